"""Subclasses, the user's own objects, pickles and copies, weights by name, assets."""

import copy
import pickle

import numpy as np
import pytest

import kbackend
from kbackend import layers, ops, saving
from tests.saving.test_interchange import BOTH, DIRECTIONS, compare, keras, pytestmark  # noqa: F401


def define(k):
    """A layer, a model, a loss and a metric of the user's, for Keras or kbackend."""

    @k.saving.register_keras_serializable("zoo")
    class Block(k.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.inner = [k.layers.Dense(units), k.layers.Dense(units)]
            self.by_name = {"b": k.layers.Dense(units), "a": k.layers.LayerNormalization()}
            self._hidden = k.layers.Dropout(0.5)

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")
            shape = (*input_shape[:-1], self.units)
            self.inner[0].build(input_shape)
            for layer in (self.inner[1], *self.by_name.values()):
                layer.build(shape)

        def call(self, x):
            for layer in (*self.inner, *self.by_name.values(), self._hidden):
                x = layer(x)
            return x * self.scale

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], self.units)

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    @k.saving.register_keras_serializable("zoo")
    class Net(k.Model):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.block = Block(units)
            self.tail = k.layers.Dense(2)
            self.odd = k.layers.Dense(2)

        def call(self, x):
            return self.tail(self.odd(self.block(x)))

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    @k.saving.register_keras_serializable("zoo")
    def loss(y_true, y_pred):
        return k.ops.mean(k.ops.abs(y_true - y_pred), axis=-1)

    return Net, loss


@pytest.mark.parametrize(("here", "there"), BOTH, ids=DIRECTIONS)
def test_registered_subclasses(here, there, tmp_path, rng):
    x = rng.standard_normal((4, 3)).astype("float32")
    y = np.ones((4, 2), "float32")
    define(there)
    net, loss = define(here)
    model = net(3)
    model.compile("adam", loss, run_eagerly=True)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = there.saving.load_model(tmp_path / "model.keras")
    compare(model(x), loaded(x))
    compare(
        [np.asarray(v) for v in model.optimizer.variables],
        [np.asarray(v) for v in loaded.optimizer.variables],
    )
    model.save_weights(tmp_path / "model.weights.h5")
    other = define(there)[0](3)
    other(x)
    other.load_weights(tmp_path / "model.weights.h5")
    compare(model(x), other(x))


def small():
    x = kbackend.Input((3,), name="x")
    y = layers.Dense(4, name="first")(x)
    return kbackend.Model(x, layers.Dropout(0.5)(layers.Dense(2, name="second")(y)))


class Unregistered(kbackend.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units, activation=activation)

    def call(self, x):
        return self.dense(x)


def activation(x):
    return ops.tanh(x) * 2.0


def own_loss(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("make", [small, lambda: Unregistered(2)])
def test_copies_train_alike(make, copier):
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    model = make()
    model.compile("adam", own_loss)
    model.train_on_batch(x, y)
    twin = copier(model)
    assert twin is not model and type(twin) is type(model)
    # Masks of dropout and moments of the optimizer go on as well.
    assert model.train_on_batch(x, y) == twin.train_on_batch(x, y)
    np.testing.assert_array_equal(model.get_weights()[0], twin.get_weights()[0])
    twin.train_on_batch(x, y)
    assert not np.array_equal(model.get_weights()[0], twin.get_weights()[0])


def test_layers_are_copied_built_or_not():
    layer = layers.Dense(2)
    assert not copy.deepcopy(layer).built
    layer.build((None, 3))
    np.testing.assert_array_equal(copy.deepcopy(layer).get_weights()[0], layer.get_weights()[0])


def test_unknown_classes_are_named(tmp_path):
    model = Unregistered(2)
    model(np.ones((1, 3), "float32"))
    model.save(tmp_path / "model.keras")
    with pytest.raises(TypeError, match="There is no class called 'Unregistered'"):
        saving.load_model(tmp_path / "model.keras")
    known = {"Unregistered": Unregistered, "activation": activation}
    loaded = saving.load_model(tmp_path / "model.keras", custom_objects=known)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
    with saving.CustomObjectScope(known):
        assert saving.load_model(tmp_path / "model.keras").built


def test_weights_by_name(tmp_path):
    model = small()
    model.save_weights(tmp_path / "model.weights.h5")
    other = kbackend.Sequential(
        [kbackend.Input((4,)), layers.Dense(2, name="second"), layers.Dense(3, name="new")]
    )
    new = other.get_layer("new").get_weights()[0]
    other.load_weights(tmp_path / "model.weights.h5", by_name=True)
    np.testing.assert_array_equal(
        other.get_layer("second").get_weights()[0], model.get_layer("second").get_weights()[0]
    )
    np.testing.assert_array_equal(other.get_layer("new").get_weights()[0], new)


def test_weights_from_a_model_file(tmp_path):
    model, other = small(), small()
    model.save(tmp_path / "model.keras")
    other.load_weights(tmp_path / "model.keras")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_compile_may_be_left_out(tmp_path):
    model = small()
    model.compile("adam", "mse")
    model.save(tmp_path / "model.keras")
    assert saving.load_model(tmp_path / "model.keras").compiled
    assert not saving.load_model(tmp_path / "model.keras", compile=False).compiled


@saving.register_keras_serializable("tests")
class Words(layers.Layer):
    """A layer with a file of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.words = []

    def call(self, x):
        return x

    def save_assets(self, folder):
        with open(f"{folder}/words.txt", "w") as file:
            file.write("\n".join(self.words))

    def load_assets(self, folder):
        with open(f"{folder}/words.txt") as file:
            self.words = file.read().split("\n")


def test_assets(tmp_path):
    model = kbackend.Sequential([kbackend.Input((2,)), Words()])
    model.layers[0].words = ["one", "two"]
    model.save(tmp_path / "model.keras")
    assert list(saving.load_model(tmp_path / "model.keras").layers[0].words) == ["one", "two"]
    assert list(copy.deepcopy(model).layers[0].words) == ["one", "two"]


def test_shared_layers_stay_shared(tmp_path):
    shared = layers.Dense(3)
    x = kbackend.Input((3,))
    model = kbackend.Model(x, shared(shared(x)))
    model.save(tmp_path / "model.keras")
    assert len(saving.load_model(tmp_path / "model.keras").weights) == 2
