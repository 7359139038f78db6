"""fit, evaluate, predict and single batches: the numbers and names of real Keras."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainers.oracle import assert_same
from tests.trainers.scenarios import D, Scenarios, classifier, data

keras = pytest.importorskip("keras")

scenario = Scenarios()


@scenario
def epochs_with_validation(k, start):
    model = start(classifier(k))
    x, y, _ = data()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    h = model.fit(x, y, 7, 3, verbose=0, shuffle=False, validation_data=data(1)[:2])
    return h.history, h.epoch, model.evaluate(x, y, verbose=0), model.predict(x, verbose=0)


@scenario
def validation_split(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=["acc"],
        run_eagerly=True,
        weighted_metrics=["accuracy"],
    )
    h = model.fit(x, y, 5, 3, verbose=0, shuffle=False, validation_split=0.3, sample_weight=w)
    return h.history


@scenario
def validation_freq_and_steps(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["acc"], run_eagerly=True)
    a = model.fit(
        x,
        y,
        5,
        4,
        verbose=0,
        shuffle=False,
        validation_data=(x, y, w),
        validation_freq=2,
        validation_batch_size=4,
        validation_steps=2,
    ).history
    b = model.fit(
        x, y, 5, 4, verbose=0, shuffle=False, validation_data=(x, y), validation_freq=[1, 3]
    ).history
    return a, b


@scenario
def custom_steps(k, start):
    class M(k.Model):
        def __init__(self):
            super().__init__()
            self.d = k.layers.Dense(1)
            self.mae = k.metrics.MeanAbsoluteError(name="my_mae")
            self.seen = k.metrics.Mean(name="seen")

        def call(self, x):
            return self.d(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = k.ops.mean((y - y_pred[:, 0]) ** 2)
            self.seen.update_state(loss)
            return loss * 2.0

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            self.mae.update_state(y, y_pred[:, 0])
            return self.get_metrics_result()

    model = M()
    model(np.zeros((1, D), "float32"))
    start(model)
    model.compile("sgd", run_eagerly=True)
    x, y, _ = data()
    h = model.fit(x, y.astype("float32"), 7, 3, verbose=0, shuffle=False)
    return (
        h.history,
        model.evaluate(x, y.astype("float32"), verbose=0, return_dict=True),
        model.metrics_names,
    )


@scenario
def generator_steps(k, start):
    model = start(classifier(k))
    x, y, w = data()

    def batches():
        i = 0
        while True:
            s = slice(4 * (i % 6), 4 * (i % 6) + 4)
            i += 1
            yield x[s], y[s], w[s]

    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return (
        model.fit(
            batches(),
            steps_per_epoch=4,
            epochs=3,
            verbose=0,
            validation_data=(x, y, w),
            validation_steps=2,
        ).history,
        model.evaluate(batches(), steps=3, verbose=0),
        model.predict(((x,) for _ in range(2)), verbose=0),
    )


@scenario
def pydataset(k, start):
    x, y, w = data()

    class Rows(k.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4]

    model = start(classifier(k))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    h = model.fit(Rows(), epochs=3, verbose=0, shuffle=False, validation_data=Rows())
    h2 = model.fit(
        Rows(), epochs=2, steps_per_epoch=2, verbose=0, shuffle=False, class_weight={0: 3.0}
    )
    return (
        h.history,
        h2.history,
        model.evaluate(Rows(), verbose=0),
        model.predict(Rows(), verbose=0),
    )


@scenario
def initial_epoch(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    h = model.fit(x, y, 6, epochs=5, initial_epoch=3, verbose=0, shuffle=False)
    return h.history, h.epoch, sorted(h.params)


@scenario
def initial_epoch_beyond(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    h = model.fit(x, y, 6, epochs=2, initial_epoch=3, verbose=0)
    return h.history, h.epoch


@scenario
def single_batches(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
        run_eagerly=True,
    )
    return [
        model.train_on_batch(x, y),
        model.train_on_batch(x, y, return_dict=True),
        model.train_on_batch(x, y, sample_weight=w, return_dict=True),
        model.train_on_batch(x, y, class_weight={1: 3.0}, return_dict=True),
        model.test_on_batch(x, y, sample_weight=w),
        model.test_on_batch(x, y, return_dict=True),
        model.predict_on_batch(x),
    ]


@scenario
def frozen_layers(k, start):
    model = classifier(k)
    model.layers[0].trainable = False
    start(model)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y, w = data()
    before = model.layers[0].get_weights()
    h = model.fit(x, y, 6, 2, verbose=0, shuffle=False)
    after = model.layers[0].get_weights()
    return (
        h.history,
        [float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True)],
        [len(model.trainable_weights), len(model.non_trainable_weights)],
    )


@scenario
def stops(k, start):
    class Stop(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.stop_training = True

    model = start(classifier(k))
    x, y, w = data()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    h = model.fit(x, y, 4, 3, verbose=0, shuffle=False, callbacks=[Stop()], validation_data=(x, y))
    return h.history, h.epoch


@scenario
def callback_calls(k, start):
    calls = []

    class Spy(k.callbacks.Callback):
        pass

    def add(name):
        def method(self, *args, **kwargs):
            logs = kwargs.get("logs") or (args[-1] if args and isinstance(args[-1], dict) else {})
            number = [str(a) for a in args if isinstance(a, int)]
            calls.append(f"{name} {number} {sorted(logs)}")

        return method

    for kind in ("train", "test", "predict"):
        for when in ("begin", "end"):
            setattr(Spy, f"on_{kind}_{when}", add(f"{kind} {when}"))
            setattr(Spy, f"on_{kind}_batch_{when}", add(f"{kind} batch {when}"))
    Spy.on_epoch_begin = add("epoch begin")
    Spy.on_epoch_end = add("epoch end")
    model = start(classifier(k))
    x, y, w = data()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    spy = Spy()
    model.fit(x, y, 9, 2, verbose=0, shuffle=False, callbacks=[spy], validation_data=(x, y))
    calls.append(str(sorted(spy.params.items())))
    model.evaluate(x, y, 10, verbose=0, callbacks=[spy])
    calls.append(str(sorted(spy.params.items())))
    model.predict(x, 10, verbose=0, callbacks=[spy])
    calls.append(str(sorted(spy.params.items())))
    return calls


@scenario
def steps_per_execution(k, start):
    batches = []

    class Spy(k.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            batches.append(f"b{batch}")

        def on_train_batch_end(self, batch, logs=None):
            batches.append(f"e{batch}")

        def on_test_batch_begin(self, batch, logs=None):
            batches.append(f"tb{batch}")

        def on_test_batch_end(self, batch, logs=None):
            batches.append(f"te{batch}")

        def on_predict_batch_begin(self, batch, logs=None):
            batches.append(f"pb{batch}")

        def on_predict_batch_end(self, batch, logs=None):
            batches.append(f"pe{batch}")

    model = start(classifier(k))
    x, y, w = data()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=5, run_eagerly=True)
    h = model.fit(x, y, 5, 2, verbose=0, shuffle=False, callbacks=[Spy()])
    model.evaluate(x, y, 5, verbose=0, callbacks=[Spy()])
    model.predict(x, 5, verbose=0, callbacks=[Spy()])
    return h.history, batches


@scenario
def accumulated_gradients(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        k.optimizers.Adam(0.05, gradient_accumulation_steps=3),
        "sparse_categorical_crossentropy",
        run_eagerly=True,
    )
    return model.fit(x, y, 4, 3, verbose=0, shuffle=False).history, int(model.optimizer.iterations)


@scenario
def moving_averages(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        k.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.7),
        "sparse_categorical_crossentropy",
        run_eagerly=True,
    )
    return model.fit(x, y, 4, 3, verbose=0, shuffle=False).history, model.get_weights()


@scenario
def swapped_averages(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        k.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.7),
        "sparse_categorical_crossentropy",
        run_eagerly=True,
    )
    cb = k.callbacks.SwapEMAWeights
    a = model.fit(x, y, 4, 2, verbose=0, shuffle=False, callbacks=[cb()], validation_data=(x, y))
    b = model.fit(
        x, y, 4, 2, verbose=0, shuffle=False, callbacks=[cb(True)], validation_data=(x, y)
    )
    return a.history, b.history, model.get_weights()


@scenario
def batch_norm(k, start):
    model = start(
        k.Sequential(
            [k.Input((D,)), k.layers.Dense(4), k.layers.BatchNormalization(), k.layers.Dense(1)]
        )
    )
    x, y, w = data()
    model.compile("sgd", "mse", run_eagerly=True)
    h = model.fit(x, y.astype("float32"), 8, 3, verbose=0, shuffle=False, validation_data=(x, y))
    return h.history, model.get_weights()


@scenario
def clipped_adamw(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        k.optimizers.AdamW(0.02, weight_decay=0.1, global_clipnorm=0.1),
        "sparse_categorical_crossentropy",
        run_eagerly=True,
    )
    return model.fit(x, y, 4, 3, verbose=0, shuffle=False).history


@scenario
def learning_rate_callbacks(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        k.optimizers.SGD(0.1),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        run_eagerly=True,
    )
    c = k.callbacks

    def fit(*cbs):
        return model.fit(
            x, y, 6, 6, verbose=0, shuffle=False, callbacks=list(cbs), validation_data=(x, y)
        ).history

    return [
        fit(c.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10, factor=0.3, cooldown=1)),
        fit(c.ReduceLROnPlateau(monitor="val_accuracy", patience=2, min_lr=0.001)),
        fit(
            c.LearningRateScheduler(lambda e, lr: lr * 0.9), c.EarlyStopping("accuracy", patience=1)
        ),
        fit(c.LearningRateScheduler(lambda e: 0.1 / (e + 1))),
        fit(c.EarlyStopping("loss", min_delta=10, patience=2, restore_best_weights=True)),
        model.get_weights(),
        fit(c.EarlyStopping("val_loss", baseline=0.0, patience=2, start_from_epoch=2)),
    ]


@scenario
def shared_and_nested_models(k, start):
    inner = k.Sequential(
        [k.Input((D,)), k.layers.Dense(4, activation="relu", kernel_regularizer="l2")]
    )
    a, b = k.Input((D,), name="a"), k.Input((D,), name="b")
    model = start(k.Model([a, b], k.layers.Dense(1)(k.layers.Add()([inner(a), inner(b)]))))
    x, y, w = data()
    model.compile("sgd", "mse", run_eagerly=True)
    return (
        model.fit([x, x[::-1].copy()], y, 8, 2, verbose=0, shuffle=False).history,
        model.fit({"a": x, "b": x}, y, 8, 2, verbose=0, shuffle=False).history,
        model.predict([x, x], verbose=0),
    )


def _half(k, start, policy):
    k.mixed_precision.set_global_policy(policy)
    try:
        model = start(classifier(k))
        x, y, _ = data()
        model.compile(
            k.optimizers.SGD(0.1),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            run_eagerly=True,
        )
        h = model.fit(x, y, 8, 3, verbose=0, shuffle=False)
        optimizer = model.optimizer
        return [
            h.history["loss"],
            type(optimizer).__name__,
            model.predict(x, verbose=0).astype("f4"),
            float(getattr(optimizer, "dynamic_scale", 0.0)),
            int(optimizer.iterations),
        ]
    finally:
        k.mixed_precision.set_global_policy("float32")


# Sums are rounded in different places: a few units of 2**-11 and 2**-8.
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2)]
)
def test_half_precision_is_like_in_keras(policy: str, tolerance: float) -> None:
    assert_same(keras, lambda k, start: _half(k, start, policy), tolerance, tolerance)


@pytest.mark.parametrize("name", sorted(scenario))
def test_same_as_keras(name: str) -> None:
    assert_same(keras, scenario[name])
