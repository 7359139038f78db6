"""Compiled fit, evaluate, predict and single batches: the numbers of eager ones."""

import numpy as np
import pytest

import kbackend as k
from kbackend import ops
from tests.compiler.training import C, D, N, check, classifier, data, executables

X, Y, W = data()
CROSSENTROPY = "sparse_categorical_crossentropy"


def fit_and_all(model, options, x=X, y=Y, loss=CROSSENTROPY, optimizer="adam", **more):
    """Everything that a user does with a model, for a few batches."""
    metrics = options.pop("metrics", ["accuracy"] if loss == CROSSENTROPY else None)
    model.compile(optimizer, loss, metrics=metrics, **options)
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, **more).history
    return (
        history,
        model.evaluate(x, y, batch_size=8, verbose=0),
        model.predict(x, batch_size=8, verbose=0),
        model.train_on_batch(x, y),
        model.test_on_batch(x, y),
        model.predict_on_batch(x),
    )


def test_functional():
    model = check(classifier, fit_and_all)
    # Batches of 8, the last one of 4, and the whole.
    assert executables(model) == {"train_step": 3, "test_step": 3, "predict_step": 3}


def test_validation_and_weights():
    def run(model, options):
        model.compile(
            "adam",
            CROSSENTROPY,
            metrics=["accuracy"],
            weighted_metrics=["sparse_categorical_crossentropy"],
            **options,
        )
        other = data(1)
        runs = [
            model.fit(X, Y, batch_size=8, epochs=2, verbose=0, validation_split=0.3),
            model.fit(X, Y, sample_weight=W, verbose=0, validation_data=other),
            model.fit(X, Y, class_weight={0: 1.0, 1: 0.3, 2: 2.0}, verbose=0, batch_size=10),
        ]
        return (
            [run.history for run in runs],
            model.evaluate(X, Y, sample_weight=W, verbose=0),
            model.train_on_batch(X, Y, sample_weight=W),
            model.train_on_batch(X, Y, class_weight={0: 1.0, 1: 0.5, 2: 3.0}),
            model.test_on_batch(X, Y, sample_weight=W),
        )

    check(classifier, run)


class Subclassed(k.Model):
    """A model that is built by its first batch."""

    def __init__(self):
        super().__init__()
        self.first = k.layers.Dense(7, activation="relu")
        self.dropout = k.layers.Dropout(0.3, seed=3)
        self.last = k.layers.Dense(C, activation="softmax")

    def call(self, x, training=False):
        return self.last(self.dropout(self.first(x), training=training))


def test_subclassed():
    check(Subclassed, fit_and_all)


def test_built_by_the_first_step():
    class Lazy(k.Model):
        def call(self, x):
            if not hasattr(self, "inner"):
                self.inner = k.layers.Dense(C, activation="softmax")
            return self.inner(x)

    def run(model, options):
        model.compile("sgd", CROSSENTROPY, **options)
        return [model.train_on_batch(X, Y) for _ in range(3)]

    check(Lazy, run)


def test_dicts_of_inputs_and_outputs():
    def make():
        left, right = k.Input((D,), name="left"), k.Input((2,), name="right")
        hidden = k.layers.Dense(5, activation="tanh")(left)
        joined = k.layers.Concatenate()([hidden, k.layers.Dense(3)(right)])
        return k.Model(
            {"left": left, "right": right},
            {
                "kind": k.layers.Dense(C, activation="softmax", name="kind")(joined),
                "size": k.layers.Dense(1, name="size")(joined),
            },
        )

    x = {"left": X, "right": X[:, :2] * 2}
    y = {"kind": Y, "size": X[:, :1]}

    def run(model, options):
        model.compile(
            "adam",
            {"kind": CROSSENTROPY, "size": "mse"},
            loss_weights={"kind": 1.0, "size": 0.25},
            metrics={"kind": ["accuracy"], "size": ["mae", "mse"]},
            **options,
        )
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history
        weights = {"kind": W, "size": W}
        return (
            history,
            model.fit(x, y, sample_weight=weights, verbose=0).history,
            model.evaluate(x, y, verbose=0, return_dict=True),
            model.predict(x, verbose=0),
            model.predict_on_batch(x),
        )

    check(make, run)


def test_lists_of_inputs_and_outputs():
    def make():
        one, two = k.Input((D,)), k.Input((D,))
        shared = k.layers.Dense(4, activation="relu")
        a, b = shared(one), shared(two)
        return k.Model([one, two], [k.layers.Dense(1)(a), k.layers.Dense(2)(b)])

    def run(model, options):
        model.compile("sgd", ["mse", "mae"], metrics=[["mae"], ["mse"]], **options)
        y = [X[:, :1], X[:, :2]]
        history = model.fit([X, X * 2], y, batch_size=8, epochs=2, verbose=0).history
        return history, model.predict([X, X], verbose=0), model.test_on_batch([X, X], y)

    check(make, run)


LAYERS = {
    "dropout": lambda: [k.layers.Dropout(0.4)],
    "noise": lambda: [k.layers.GaussianNoise(0.2), k.layers.GaussianDropout(0.2)],
    "alpha dropout": lambda: [k.layers.AlphaDropout(0.2)],
    "batch norm": lambda: [k.layers.BatchNormalization()],
    "layer norm": lambda: [k.layers.LayerNormalization(), k.layers.UnitNormalization()],
    "group norm": lambda: [k.layers.GroupNormalization(groups=2)],
    "spectral norm": lambda: [k.layers.SpectralNormalization(k.layers.Dense(4))],
    "prelu": lambda: [k.layers.PReLU(), k.layers.LeakyReLU()],
    "regularized": lambda: [
        k.layers.Dense(
            5,
            kernel_regularizer=k.regularizers.L2(0.01),
            activity_regularizer=k.regularizers.L1(0.01),
            kernel_constraint=k.constraints.MaxNorm(1.0),
            bias_constraint="non_neg",
        )
    ],
    "orthogonal": lambda: [k.layers.Dense(5, kernel_regularizer="orthogonal_regularizer")],
    "convolution": lambda: [
        k.layers.Reshape((8, 1)),
        k.layers.Conv1D(4, 3, padding="same", activation="relu"),
        k.layers.MaxPooling1D(),
        k.layers.Flatten(),
    ],
    "recurrent": lambda: [
        k.layers.Reshape((4, 2)),
        k.layers.LSTM(3, return_sequences=True),
        k.layers.GRU(3, recurrent_dropout=0.2),
    ],
    "bidirectional": lambda: [
        k.layers.Reshape((4, 2)),
        k.layers.Bidirectional(k.layers.SimpleRNN(3)),
    ],
    "attention": lambda: [
        k.layers.Reshape((4, 2)),
        SelfAttention(),
        k.layers.GlobalAveragePooling1D(),
    ],
    "remat": lambda: [rematerialised()],
}


class SelfAttention(k.layers.Layer):
    """Attention of a sequence to itself."""

    def __init__(self):
        super().__init__()
        self.attention = k.layers.MultiHeadAttention(2, 2, dropout=0.1)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x, training=False):
        return self.attention(x, x, training=training, use_causal_mask=True)


def rematerialised():
    with k.RematScope("full"):
        return k.layers.Dense(5, activation="gelu")


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    # Statistics of small batches divide by small numbers: a digit less.
    loose = "norm" in name or name == "attention"
    check(
        lambda: classifier(*LAYERS[name]()),
        fit_and_all,
        rtol=5e-4 if loose else 5e-5,
        atol=5e-5 if loose else 5e-6,
    )


def test_stateful_recurrence():
    def make():
        return k.Sequential(
            [
                k.Input(batch_shape=(4, 3, 2)),
                k.layers.GRU(3, stateful=True, return_sequences=True),
                k.layers.LSTM(3, stateful=True),
                k.layers.Dense(1),
            ]
        )

    x = np.random.default_rng(0).standard_normal((12, 3, 2)).astype("float32")
    y = x[:, 0, :1]

    def run(model, options):
        model.compile("sgd", "mse", **options)
        found = [model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history]
        found.append(model.predict(x, batch_size=4, verbose=0))
        for layer in model.layers[:2]:
            layer.reset_state()
        found.append(model.predict(x, batch_size=4, verbose=0))
        return found

    check(make, run)


def test_embeddings_with_masks():
    def make():
        return k.Sequential(
            [
                k.Input((5,), dtype="int32"),
                k.layers.Embedding(7, 4, mask_zero=True),
                k.layers.LSTM(3),
                k.layers.Dense(1),
            ]
        )

    ids = np.random.default_rng(0).integers(0, 7, (N, 5))
    ids[:, 3:] = 0
    check(make, lambda m, o: fit_and_all(m, o, ids, X[:, :1], "mse"))


OPTIMIZERS = {
    "SGD": {"learning_rate": 0.1},
    "SGD momentum": {"learning_rate": 0.1, "momentum": 0.9},
    "SGD nesterov": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    "SGD weight decay": {"learning_rate": 0.1, "weight_decay": 0.01},
    "SGD clipnorm": {"learning_rate": 0.1, "clipnorm": 0.1},
    "SGD clipvalue": {"learning_rate": 0.1, "clipvalue": 0.01},
    "SGD global_clipnorm": {"learning_rate": 0.1, "global_clipnorm": 0.1},
    "SGD ema": {"learning_rate": 0.1, "use_ema": True, "ema_overwrite_frequency": 3},
    "Adam": {},
    "Adam amsgrad": {"amsgrad": True},
    "Adam ema": {"use_ema": True, "ema_momentum": 0.5},
    "Adam accumulation": {"gradient_accumulation_steps": 3},
    "AdamW": {"weight_decay": 0.01},
    "Adamax": {},
    "Nadam": {},
    "Adadelta": {"learning_rate": 0.5},
    "Adagrad": {"learning_rate": 0.1},
    "Adafactor": {"learning_rate": 0.01},
    "RMSprop": {},
    "RMSprop centered": {"centered": True, "momentum": 0.5},
    "Ftrl": {"learning_rate": 0.1, "l1_regularization_strength": 0.001},
    "Lamb": {},
    "Lion": {},
    "Muon": {"learning_rate": 0.01},
    "ScheduleFreeAdamW": {"learning_rate": 0.01},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    make = getattr(k.optimizers, name.split()[0])
    # Quotients of a gradient and its own size blow up the last digits of gradients near zero.
    check(
        classifier,
        lambda m, o: fit_and_all(m, o, optimizer=make(**OPTIMIZERS[name])),
        rtol=1e-3,
        atol=1e-4,
    )


def test_every_optimizer_is_tested():
    from kbackend.optimizers import optimizer

    classes = {
        name
        for name in k.optimizers.__all__
        if isinstance(getattr(k.optimizers, name), type)
        and issubclass(getattr(k.optimizers, name), optimizer.Optimizer)
    }
    # Tested below, or no optimizers of their own.
    others = {"LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Optimizer"}
    assert classes - others == {name.split()[0] for name in OPTIMIZERS}


@pytest.mark.parametrize(
    "schedule",
    [
        lambda: k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5),
        lambda: k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5, staircase=True),
        lambda: k.optimizers.schedules.PiecewiseConstantDecay([2, 5], [0.1, 0.05, 0.01]),
        lambda: k.optimizers.schedules.PolynomialDecay(0.1, 4, 0.01, power=2.0, cycle=True),
        lambda: k.optimizers.schedules.InverseTimeDecay(0.1, 2, 0.5),
        lambda: k.optimizers.schedules.CosineDecay(0.1, 6, warmup_target=0.2, warmup_steps=2),
        lambda: k.optimizers.schedules.CosineDecayRestarts(0.1, 2),
    ],
    ids=["exponential", "staircase", "piecewise", "polynomial", "inverse", "cosine", "restarts"],
)
def test_schedules(schedule):
    model = check(
        classifier,
        lambda m, o: fit_and_all(m, o, optimizer=k.optimizers.SGD(schedule())),
        rtol=1e-4,
        atol=1e-5,
    )
    assert executables(model)["train_step"] == 3, "the rate is no constant of the program"


def test_rates_that_callbacks_set():
    def run(model, options):
        rates = []

        class Watch(k.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.optimizer.learning_rate = 0.1 / (1 + len(rates))
                rates.append(float(self.model.optimizer.learning_rate))

        scheduler = k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
        history = fit_and_all(
            model, options, optimizer=k.optimizers.SGD(0.1), callbacks=[scheduler, Watch()]
        )
        return history, rates

    model = check(classifier, run)
    assert executables(model)["train_step"] == 3


def test_accumulation_across_batches():
    def run(model, options):
        model.compile(
            k.optimizers.SGD(0.1, momentum=0.5, gradient_accumulation_steps=2),
            CROSSENTROPY,
            **options,
        )
        found = []
        for _ in range(5):
            model.train_on_batch(X, Y)
            found.append([np.array(w) for w in model.get_weights()])
        return found

    model = check(classifier, run)
    assert executables(model) == {"train_step": 1}


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64", "float16"])
def test_policies(policy):
    """Half precision keeps 11 or 8 bits, so sums taken in another order differ that much.

    Losses are computed in `floatx`, float32, whatever the policy of the layers.
    """
    k.mixed_precision.set_global_policy(policy)
    tolerance = {"float64": 1e-7, "mixed_bfloat16": 0.05}.get(policy, 0.01)
    model = check(
        lambda: classifier(k.layers.BatchNormalization(), k.layers.Dropout(0.2)),
        lambda m, o: fit_and_all(m, o, optimizer=k.optimizers.SGD(0.05)),
        rtol=tolerance,
        atol=tolerance,
    )
    assert isinstance(model.optimizer, k.optimizers.LossScaleOptimizer) is (
        policy == "mixed_float16"
    )


def test_loss_scale_moves_as_in_eager():
    """The scale halves at an infinite gradient, without changing a weight, and doubles in time."""

    def run(model, options):
        optimizer = k.optimizers.LossScaleOptimizer(
            k.optimizers.SGD(0.01), initial_scale=4.0, dynamic_growth_steps=2
        )
        model.compile(optimizer, "mse", **options)
        scales = []
        for n in range(8):
            x = X * np.float32(np.inf) if n in (3, 4) else X
            model.train_on_batch(x, X[:, :1])
            scales.append(float(optimizer.dynamic_scale))
        return scales, model.get_weights()

    model = check(lambda: k.Sequential([k.Input((D,)), k.layers.Dense(1)]), run)
    assert executables(model) == {"train_step": 1}
    assert all(np.isfinite(w).all() for w in model.get_weights())


# ----- steps of one's own -----


class OwnStep(k.Model):
    """The step of Keras's guides."""

    def train_step(self, data):
        x, y = data
        with k.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics} | {"norm": ops.sum(y_pred**2)}

    def test_step(self, data):
        x, y = data
        return {
            "distance": ops.mean(ops.abs(self(x, training=False)[:, 0] - ops.cast(y, "float32")))
        }

    def predict_step(self, data):
        x = data[0]
        return {"probabilities": self(x), "best": ops.argmax(self(x), axis=-1)}


def functional(cls):
    inputs = k.Input((D,))
    hidden = k.layers.Dense(5, activation="relu")(inputs)
    return cls(inputs, k.layers.Dense(C, activation="softmax")(hidden))


def test_own_steps():
    def run(model, options):
        model.compile("adam", CROSSENTROPY, **options)
        history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0).history
        return (
            history,
            model.evaluate(X, Y, verbose=0),
            model.predict(X, verbose=0),
            model.predict_on_batch(X),
        )

    check(lambda: functional(OwnStep), run)


class OwnLoss(k.Model):
    """Own loss and metrics, with state."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.steps = k.Variable(0, dtype="int32", trainable=False, name="steps")
        self.mean = k.metrics.Mean(name="mean_output")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.steps.assign_add(1)
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + 0.1 * ops.mean(y_pred**2) + ops.cast(self.steps, "float32") * 0.0

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.mean.update_state(y_pred)
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**logs, "steps": self.steps.value}


def test_own_loss_and_metrics():
    model = check(lambda: functional(OwnLoss), fit_and_all)
    assert int(model.steps) > 0


def test_losses_that_layers_add():
    class Penalty(k.layers.Layer):
        def call(self, x, training=False):
            self.add_loss(0.1 * ops.mean(x**2))
            if training:
                self.add_loss(ops.sum(ops.abs(x)) * 0.01)
            return x * 2

    def run(model, options):
        found = fit_and_all(model, options)
        # Losses of compiled steps end with them; eager calls leave theirs.
        assert model.losses == [] or all(isinstance(x, k.Tensor) for x in model.losses)
        model(X, training=True)
        return found, [float(loss) for loss in model.losses]

    check(lambda: classifier(Penalty(), Penalty()), run)


def test_without_a_loss():
    class Penalty(k.layers.Layer):
        def call(self, x):
            self.add_loss(ops.mean((x - 1) ** 2))
            return x

    def run(model, options):
        model.compile("sgd", **options)
        return model.fit(X, batch_size=8, epochs=2, verbose=0).history

    check(lambda: k.Sequential([k.Input((D,)), k.layers.Dense(2), Penalty()]), run)


class Adversaries(k.Model):
    """Two networks with an optimizer each, that work against each other."""

    def __init__(self):
        super().__init__()
        self.generator = k.Sequential([k.Input((2,)), k.layers.Dense(8, "relu"), k.layers.Dense(D)])
        self.critic = k.Sequential(
            [k.Input((D,)), k.layers.Dense(8, "relu"), k.layers.Dropout(0.2), k.layers.Dense(1)]
        )
        self.seeds = k.random.SeedGenerator(5)
        self.losses_of = [k.metrics.Mean(name="critic_loss"), k.metrics.Mean(name="generator_loss")]
        self.built = True

    def compile(self, **kwargs):
        super().compile(optimizer=k.optimizers.Adam(0.01), **kwargs)
        self.critic_optimizer = k.optimizers.Adam(0.02, beta_1=0.5)

    @property
    def metrics(self):
        return self.losses_of

    def train_step(self, data):
        real = data[0]
        count = real.shape[0]
        loss = k.losses.BinaryCrossentropy(from_logits=True)
        fake = self.generator(k.random.normal((count, 2), seed=self.seeds))
        with k.GradientTape() as tape:
            both = self.critic(ops.concatenate([real, fake]), training=True)
            labels = ops.concatenate([ops.ones((count, 1)), ops.zeros((count, 1))])
            critic_loss = loss(labels, both)
        weights = self.critic.trainable_weights
        self.critic_optimizer.apply(tape.gradient(critic_loss, weights), weights)
        with k.GradientTape() as tape:
            fake = self.generator(k.random.normal((count, 2), seed=self.seeds))
            generator_loss = loss(ops.ones((count, 1)), self.critic(fake, training=True))
        weights = self.generator.trainable_weights
        self.optimizer.apply(tape.gradient(generator_loss, weights), weights)
        self.losses_of[0].update_state(critic_loss)
        self.losses_of[1].update_state(generator_loss)
        return {m.name: m.result() for m in self.metrics}


def test_two_optimizers():
    def run(model, options):
        model.compile(**options)
        history = model.fit(X, batch_size=10, epochs=3, verbose=0).history
        return history, [np.asarray(v) for v in model.critic_optimizer.variables]

    model = check(Adversaries, run, rtol=1e-4, atol=1e-5)
    assert executables(model) == {"train_step": 1}


# ----- losses and metrics -----

LOSSES = [
    "mse", "mae", "mape", "msle", "huber", "log_cosh", "cosine_similarity", "hinge",
    "squared_hinge", "poisson", "kl_divergence", "categorical_crossentropy",
    "binary_crossentropy", "categorical_focal_crossentropy", "binary_focal_crossentropy", "dice",
]  # fmt: skip
METRICS = [
    "mse", "mae", "binary_accuracy", "categorical_accuracy", "cosine_similarity",
    "top_k_categorical_accuracy", "hinge", "poisson",
]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss):
    def run(model, options):
        made = [
            k.metrics.AUC(num_thresholds=11),
            k.metrics.Precision(),
            k.metrics.Recall(top_k=1),
            k.metrics.F1Score(average="macro"),
            k.metrics.R2Score(),
            k.metrics.RootMeanSquaredError(),
        ]
        model.compile("sgd", loss, metrics=[*METRICS, *made], **options)
        target = np.eye(C, dtype="float32")[Y]
        return model.fit(X, target, batch_size=8, epochs=2, verbose=0).history

    check(classifier, run, rtol=1e-4, atol=1e-5)
