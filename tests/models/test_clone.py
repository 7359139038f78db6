"""clone_model."""

import numpy as np
import pytest

import kbackend as keras
from kbackend import layers
from kbackend.base import tree
from kbackend.models import clone_model
from tests.saving import zoo


@pytest.mark.parametrize("build", zoo.MODELS)
def test_a_clone_computes_the_same_with_the_same_weights(build):
    model = build(keras)
    clone = clone_model(model)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    clone.set_weights(model.get_weights())
    data = zoo.inputs_for(model)
    for x, y in zip(tree.flatten(model(data)), tree.flatten(clone(data)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_weights_are_its_own():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    clone = clone_model(model)
    model.layers[0].kernel.assign(np.zeros((2, 1)))
    assert np.any(clone.get_weights()[0] != 0)


def nested():
    x = keras.Input((2,))
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="in")], name="inner")
    return keras.Model(x, layers.Dense(2, name="out")(inner(x)) + 1.0)


def test_clone_function_and_recursion():
    seen = []

    def clone_function(layer):
        seen.append(layer.name)
        return type(layer).from_config(layer.get_config())

    clone_model(nested(), clone_function=clone_function)
    assert seen == ["inner", "out"]
    seen.clear()
    clone_model(nested(), clone_function=clone_function, recursive=True)
    assert seen == ["in", "out"]


def test_call_function():
    def call_function(layer, *args, **kwargs):
        out = layer(*args, **kwargs)
        return layers.Dropout(0.5)(out) if isinstance(layer, layers.Dense) else out

    clone = clone_model(nested(), call_function=call_function)
    assert [type(layer).__name__ for layer in clone.layers].count("Dropout") == 1


def test_input_tensors():
    x = keras.Input((2,), name="new")
    assert clone_model(nested(), input_tensors=x).inputs[0] is x
    assert clone_model(nested(), input_tensors=[x * 2.0]).inputs[0].shape == (None, 2)
    stack = keras.Sequential([layers.Dense(1)])
    assert clone_model(stack, input_tensors=x).output_shape == (None, 1)
    with pytest.raises(ValueError, match="must be 1 KerasTensor"):
        clone_model(nested(), input_tensors=[x, x])


def test_subclasses():
    class Net(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = layers.Dense(units)

        def call(self, x):
            return self.dense(x)

    assert clone_model(Net(3)).dense.units == 3
    with pytest.raises(ValueError, match="'clone_function' works with"):
        clone_model(Net(3), clone_function=lambda layer: layer)
    with pytest.raises(ValueError, match="takes a model"):
        clone_model(layers.Dense(1))
