"""Which programs a model has: when steps are compiled, anew, or not at all."""

import copy
import pickle

import numpy as np
import pytest

import kbackend as k
from kbackend import ops
from kbackend.engine.loader import register_engine
from tests.compiler.training import C, D, assert_close, classifier, data, executables, state
from tests.examples.loading import load

X, Y, W = data()
CROSSENTROPY = "sparse_categorical_crossentropy"


def compiled(model=None, optimizer="sgd", **options):
    model = classifier() if model is None else model
    model.compile(optimizer, CROSSENTROPY, metrics=["accuracy"], **options)
    return model


def test_one_program_for_each_size_of_batch():
    model = compiled()
    model.fit(X, Y, batch_size=10, epochs=3, verbose=0)
    assert executables(model) == {"train_step": 1}
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    assert executables(model) == {"train_step": 1}
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    assert executables(model) == {"train_step": 3}, "one of 8, and one of 4 at the end"
    model.evaluate(X, Y, batch_size=8, verbose=0)
    model.predict(X, batch_size=8, verbose=0)
    assert executables(model) == {"train_step": 3, "test_step": 2, "predict_step": 2}


def test_weights_of_samples_are_another_kind_of_data():
    model = compiled()
    model.fit(X, Y, batch_size=10, verbose=0)
    model.fit(X, Y, sample_weight=W, batch_size=10, verbose=0)
    model.fit(X, Y, class_weight={0: 1.0, 1: 2.0, 2: 1.0}, batch_size=10, verbose=0)
    assert executables(model) == {"train_step": 2}


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": False}])
def test_nothing_is_compiled_on_request(options):
    model = compiled(**options)
    model.fit(X, Y, verbose=0, validation_data=(X, Y))
    model.predict(X, verbose=0)
    model.train_on_batch(X, Y)
    assert executables(model) == {}


@pytest.mark.parametrize("choice", ["auto", True])
def test_auto_and_true_compile(choice):
    model = compiled(jit_compile=choice)
    model.train_on_batch(X, Y)
    assert executables(model) == {"train_step": 1}


def test_before_compile():
    """predict() needs no compile()."""
    model = classifier()
    found = model.predict(X, verbose=0)
    assert_close(found, model(X), 1e-6, 1e-7)
    assert executables(model) == {"predict_step": 1}


def test_compiling_again_starts_anew():
    model = compiled()
    model.train_on_batch(X, Y)
    model.compile(k.optimizers.SGD(0.0), "mse")
    assert executables(model) == {}
    before = model.get_weights()
    loss = model.train_on_batch(X, np.eye(C, dtype="float32")[Y])
    np.testing.assert_allclose(
        loss, np.mean((model.predict(X, verbose=0) - np.eye(C)[Y]) ** 2), 1e-5
    )
    assert_close(model.get_weights(), before, 0, 0)
    model.compile(jit_compile=False)
    model.predict(X, verbose=0)
    assert executables(model) == {}


def test_run_eagerly_can_be_switched():
    model = compiled()
    model.train_on_batch(X, Y)
    model.run_eagerly = True
    assert model.step("train_step") == model.train_step
    model.train_on_batch(X, Y)
    model.run_eagerly = False
    model.train_on_batch(X, Y)
    assert executables(model) == {"train_step": 1}


def test_frozen_layers():
    model = compiled(optimizer=k.optimizers.SGD(0.5))
    first, last = model.layers[0], model.layers[-1]

    def changed():
        before = [np.array(w) for w in (first.kernel, last.kernel)]
        model.fit(X, Y, batch_size=10, verbose=0)
        return [
            not np.array_equal(a, b)
            for a, b in zip(before, (first.kernel, last.kernel), strict=True)
        ]

    assert changed() == [True, True]
    first.trainable = False
    assert changed() == [False, True]
    assert executables(model) == {"train_step": 2}
    first.trainable, last.trainable = True, False
    assert changed() == [True, False]
    last.trainable = True
    assert changed() == [True, True]
    assert executables(model) == {"train_step": 3}, "the first program serves again"


def test_frozen_normalization():
    """A frozen BatchNormalization infers, also in steps that were traced before."""
    norm = k.layers.BatchNormalization(momentum=0.5)
    model = compiled(classifier(norm))
    model.fit(X, Y, batch_size=10, verbose=0)
    norm.trainable = False
    before = norm.moving_mean.numpy()
    model.fit(X, Y, batch_size=10, verbose=0)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    norm.trainable = True
    model.fit(X, Y, batch_size=10, verbose=0)
    assert not np.array_equal(norm.moving_mean.numpy(), before)


def test_the_whole_model_frozen():
    model = compiled(optimizer=k.optimizers.SGD(0.5))
    model.fit(X, Y, verbose=0)
    model.trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    assert_close(model.get_weights(), before, 0, 0)


def test_weights_set_between_steps_are_used():
    model, other = compiled(), compiled()
    model.fit(X, Y, verbose=0)
    other.fit(X[::-1], Y, verbose=0, epochs=2)
    model.set_weights(other.get_weights())
    assert_close(model.predict(X, verbose=0), other.predict(X, verbose=0), 0, 0)
    assert model.evaluate(X, Y, verbose=0) == other.evaluate(X, Y, verbose=0)


def test_layers_added_to_a_sequential_model():
    model = k.Sequential([k.Input((D,)), k.layers.Dense(C)])
    assert model.predict(X, verbose=0).shape == (20, C)
    model.add(k.layers.Dense(2))
    assert model.predict(X, verbose=0).shape == (20, 2)
    model.pop()
    assert model.predict(X, verbose=0).shape == (20, C)


def test_a_layer_that_is_replaced():
    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.last = k.layers.Dense(C)

        def call(self, x):
            return self.last(x)

    model = Net()
    assert model.predict(X, verbose=0).shape == (20, C)
    model.last = k.layers.Dense(2)
    model.compile()  # as in Keras, compile() is what looks at the model anew
    assert model.predict(X, verbose=0).shape == (20, 2)


def test_lora():
    model = compiled(optimizer=k.optimizers.SGD(0.5))
    model.fit(X, Y, verbose=0)
    layer = model.layers[0]
    if not hasattr(layer, "enable_lora"):
        pytest.skip("no LoRA yet")
    wanted = model.predict(X, verbose=0)
    layer.enable_lora(2)
    model.compile(k.optimizers.SGD(0.5), CROSSENTROPY)
    assert_close(model.predict(X, verbose=0), wanted, 1e-5, 1e-6)
    kernel = np.array(layer._kernel)
    model.fit(X, Y, epochs=3, verbose=0)
    np.testing.assert_array_equal(np.array(layer._kernel), kernel)
    assert not np.allclose(model.predict(X, verbose=0), wanted)


def continued(model):
    """What two more steps, evaluation and prediction give."""
    losses = [model.train_on_batch(X, Y) for _ in range(2)]
    return losses, model.test_on_batch(X, Y), model.predict(X, verbose=0), state(model)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_train_on_by_themselves(name):
    model = compiled(classifier(k.layers.Dropout(0.2, seed=1)), optimizer="adam")
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    copied = COPIES[name](model)
    assert executables(copied) == {}
    before = state(copied)
    wanted = continued(model)
    assert_close(state(copied), before, 0, 0)
    assert_close(continued(copied), wanted, 0, 0)


def test_saved_models_train_on(tmp_path):
    model = compiled(classifier(k.layers.BatchNormalization()), optimizer="adam")
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = k.models.load_model(tmp_path / "model.keras")
    assert executables(loaded) == {}
    assert_close(continued(loaded), continued(model), 1e-6, 1e-7)


def test_weights_loaded_between_steps(tmp_path):
    model, other = compiled(), compiled()
    model.fit(X, Y, verbose=0)
    other.fit(X, Y, verbose=0)
    model.save_weights(tmp_path / "a.weights.h5")
    other.load_weights(tmp_path / "a.weights.h5")
    assert_close(other.predict(X, verbose=0), model.predict(X, verbose=0), 0, 0)
    assert executables(other)["train_step"] == 1


def test_clones():
    model = compiled()
    model.fit(X, Y, verbose=0)
    clone = k.models.clone_model(model)
    clone.set_weights(model.get_weights())
    before = model.get_weights()
    assert_close(clone.predict(X, verbose=0), model.predict(X, verbose=0), 0, 0)
    compiled(clone).fit(X, Y, verbose=0)
    assert_close(model.get_weights(), before, 0, 0)


def test_switching_engines():
    register_engine("counting", load("counting_engine").CountingEngine)
    model, alone = [compiled(classifier(), k.optimizers.Adam(0.01)) for _ in range(2)]
    alone.set_weights(model.get_weights())
    model.fit(X, Y, batch_size=10, verbose=0, shuffle=False)
    with k.use_backend("counting") as engine:
        engine.counts.clear()
        model.fit(X, Y, batch_size=10, verbose=0, shuffle=False)
        assert engine.counts["dot"] > 0
    model.fit(X, Y, batch_size=10, verbose=0, shuffle=False)
    assert executables(model) == {"train_step": 2}
    alone.fit(X, Y, batch_size=10, epochs=3, verbose=0, shuffle=False)
    # Composites run as their parts there, which rounds otherwise.
    assert_close(state(model), state(alone), 1e-4, 1e-5)
    assert_close(model.predict(X, verbose=0), alone.predict(X, verbose=0), 1e-4, 1e-5)


def test_data_of_every_kind():
    """Adapters that hand out new arrays, views and tensors all meet one program."""
    model = compiled()

    class Batches(k.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return X[10 * i : 10 * i + 10], Y[10 * i : 10 * i + 10]

    buffer = np.empty((10, D), "float32")

    def reused():
        for i in (0, 1):
            buffer[:] = X[10 * i : 10 * i + 10]
            yield buffer, Y[10 * i : 10 * i + 10]

    start = model.get_weights()
    results = []
    for source in (
        lambda: model.fit(X, Y, batch_size=10, shuffle=False, verbose=0),
        lambda: model.fit(ops.convert_to_tensor(X), ops.convert_to_tensor(Y), batch_size=10,
                          shuffle=False, verbose=0),
        lambda: model.fit(Batches(), shuffle=False, verbose=0),
        lambda: model.fit(reused(), verbose=0),
        lambda: model.fit(np.asfortranarray(X), Y, batch_size=10, shuffle=False, verbose=0),
        lambda: model.fit(np.repeat(X, 2, axis=1)[:, ::2], Y, batch_size=10,
                          shuffle=False, verbose=0),
    ):  # fmt: skip
        model.set_weights(start)
        source()
        results.append(model.get_weights())
    for result in results[1:]:
        assert_close(result, results[0], 0, 0)
    assert executables(model) == {"train_step": 1}


def test_float64_data_is_cast_as_in_eager():
    found = [
        compiled(classifier(), run_eagerly=eager).predict(X.astype("float64"), verbose=0).dtype
        for eager in (False, True)
    ]
    assert found[0] == found[1] == np.float32


def test_callbacks_see_the_logs_of_their_batch():
    """Logs are kept by callbacks; later steps don't change them."""
    kept = []

    class Keep(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.append((dict(logs), {name: float(value) for name, value in logs.items()}))

    compiled().fit(X, Y, batch_size=4, verbose=0, epochs=2, callbacks=[Keep()])
    assert len({values["loss"] for _, values in kept}) == 10
    for logs, values in kept:
        assert {name: float(value) for name, value in logs.items()} == values


def test_steps_per_execution():
    histories = []
    for stride in (1, 3):
        k.utils.set_random_seed(1)
        model = compiled(steps_per_execution=stride)
        histories.append(model.fit(X, Y, batch_size=4, epochs=2, verbose=0).history)
    assert histories[0] == histories[1]


def test_predicting_outside_of_gradients_and_inside():
    """Under a tape a model's step runs as it is, so that the tape sees it."""
    model = classifier()
    x = ops.convert_to_tensor(X)
    model.predict(X, verbose=0)
    with k.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(model.predict_step((x,)) ** 2)
    assert np.asarray(tape.gradient(y, x)).any()


def test_examples_of_memory():
    """The plan is there for the asking."""
    model = compiled()
    model.train_on_batch(X, Y)
    program = model._steps.of(model, "train_step").executables()[0].program
    assert 0 < program.arena <= program.naive
