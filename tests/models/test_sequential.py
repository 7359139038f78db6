"""`Sequential`: adding, popping, building late, calling, and the same as Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kbackend as k

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


def test_layers_and_shapes() -> None:
    model = k.Sequential([k.Input((3,)), k.layers.Dense(4, name="a"), k.layers.Dense(2, name="b")])
    assert [layer.name for layer in model.layers] == ["a", "b"]
    assert model.input_shape == (None, 3) and model.output_shape == (None, 2)
    assert model.built and model.count_params() == 3 * 4 + 4 + 4 * 2 + 2
    assert model.get_layer("b") is model.layers[1] is model.get_layer(index=1)


@pytest.mark.parametrize("spelling", ["input", "input_shape", "input_layer", "late", "build"])
def test_ways_to_say_the_input(spelling: str) -> None:
    if spelling == "input":
        model = k.Sequential([k.Input((3,)), k.layers.Dense(2)])
    elif spelling == "input_shape":
        model = k.Sequential([k.layers.Dense(2, input_shape=(3,))])
    elif spelling == "input_layer":
        model = k.Sequential([k.layers.InputLayer(shape=(3,)), k.layers.Dense(2)])
    else:
        model = k.Sequential([k.layers.Dense(2)])
        assert not model.built and model.weights == []
        if spelling == "late":
            model(X)
        else:
            model.build((None, 3))
    assert model.built and [w.shape for w in model.weights] == [(3, 2), (2,)]
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ kernel + bias, rtol=1e-6, atol=1e-6)


def test_add_and_pop() -> None:
    model = k.Sequential(name="stack")
    model.add(k.Input((3,)))
    model.add(k.layers.Dense(4))
    model.add(k.layers.Dense(2))
    assert model.output_shape == (None, 2)
    top = model.pop()
    assert top.units == 2 and model.output_shape == (None, 4)
    assert len(model.weights) == 2
    model.add(k.layers.Dense(5))
    assert model(X).shape == (4, 5)
    with pytest.raises(ValueError, match="has no layers to pop"):
        k.Sequential().pop()


def test_what_can_not_be_added() -> None:
    model = k.Sequential([k.layers.Dense(2, name="a")])
    with pytest.raises(ValueError, match="only layers can be added. Received: 'b'"):
        model.add("b")
    with pytest.raises(ValueError, match="'a' is there already"):
        model.add(k.layers.Dense(3, name="a"))
    with pytest.raises(ValueError, match="Input must come first"):
        model.add(k.Input((3,)))
    with pytest.raises(ValueError, match="layers.Lambda"):
        model.add(lambda x: x)


def test_wrong_data() -> None:
    model = k.Sequential([k.Input((3,)), k.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"has the shape \(None, 3\). Received data of shape"):
        model(np.ones((4, 5), "float32"))


def test_training_and_masks_reach_the_layers() -> None:
    seen: list[Any] = []

    class Look(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.supports_masking = True

        def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
            seen.append((training, mask))
            return x

    model = k.Sequential([k.layers.Masking(), Look()])
    x = np.array([[[1.0], [0.0]]], "float32")
    model(x)
    seen.clear()
    model(x, training=True)
    ((training, mask),) = seen
    assert training is True and np.asarray(mask).tolist() == [[True, False]]


def test_nested_models() -> None:
    inner = k.Sequential([k.Input((3,)), k.layers.Dense(4)])
    model = k.Sequential([inner, k.layers.Dense(1)])
    assert model.built and len(model.weights) == 4 and model.layers[0] is inner
    inner.trainable = False
    assert len(model.trainable_weights) == 2


# Keras hands NumPy an array without the `copy` argument.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_same_as_keras() -> None:
    keras = pytest.importorskip("keras")

    def run(lib: Any, weights: Any) -> Any:
        model = lib.Sequential(
            [lib.Input((8, 8, 1)), lib.layers.Conv2D(2, 3, activation="relu"),
             lib.layers.MaxPooling2D(), lib.layers.Flatten(), lib.layers.Dense(3, name="top")]
        )  # fmt: skip
        if weights is not None:
            model.set_weights(weights)
        x = np.linspace(-1, 1, 128, dtype="float32").reshape(2, 8, 8, 1)
        shapes = [layer.output.shape for layer in model.layers]
        return (
            model.get_weights(),
            np.asarray(model.predict(x, verbose=0)),
            shapes,
            [type(layer).__name__ for layer in model.layers],
        )

    weights, ours, shapes, names = run(k, None)
    _, theirs, their_shapes, their_names = run(keras, weights)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert shapes == their_shapes and names == their_names
