"""Functional models: structures of inputs and outputs, sharing, nesting, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kbackend as k

A = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
B = np.linspace(0, 1, 8, dtype="float32").reshape(4, 2)


def two_inputs(kind: str) -> Any:
    a, b = k.Input((3,), name="a"), k.Input((2,), name="b")
    joined = k.layers.Concatenate()([k.layers.Dense(4, name="first")(a), b])
    out = k.layers.Dense(1, name="out")(joined)
    inputs: Any = {"list": [a, b], "tuple": (a, b), "dict": {"a": a, "b": b}}[kind]
    return k.Model(inputs, out)


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
def test_structures_of_inputs(kind: str) -> None:
    model = two_inputs(kind)
    expected = np.concatenate([A @ model.get_weights()[0] + model.get_weights()[1], B], 1)
    expected = expected @ model.get_weights()[2] + model.get_weights()[3]
    for data in ({"a": A, "b": B}, *([] if kind == "dict" else [[A, B], (A, B)])):
        np.testing.assert_allclose(model.predict(data, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert [x.name for x in model.inputs] == ["a", "b"]


def test_structures_of_outputs() -> None:
    x = k.Input((3,))
    model = k.Model(x, {"one": k.layers.Dense(1)(x), "both": [x, k.layers.Dense(2)(x)]})
    out = model.predict(A, batch_size=3, verbose=0)
    assert out["one"].shape == (4, 1) and out["both"][1].shape == (4, 2)
    np.testing.assert_array_equal(out["both"][0], A)


def test_shared_layers_have_one_set_of_weights() -> None:
    a, b = k.Input((3,)), k.Input((3,))
    dense = k.layers.Dense(2)
    model = k.Model([a, b], k.layers.Subtract()([dense(a), dense(b)]))
    assert len(model.weights) == 2
    np.testing.assert_array_equal(model.predict([A, A], verbose=0), np.zeros((4, 2)))


def test_ops_and_operators_are_part_of_the_graph() -> None:
    x = k.Input((3,))
    model = k.Model(x, k.ops.sum(x * 2.0 + 1.0, axis=-1, keepdims=True))
    np.testing.assert_allclose(
        model.predict(A, verbose=0), (A * 2 + 1).sum(-1, keepdims=True), 1e-6
    )


def test_part_of_a_model() -> None:
    model = two_inputs("list")
    part = k.Model(model.inputs[0], model.get_layer("first").output)
    assert part.get_layer("first") is model.get_layer("first")
    kernel, bias = part.get_weights()
    np.testing.assert_allclose(part.predict(A, verbose=0), A @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_nested_models_train() -> None:
    inner_x = k.Input((3,))
    inner = k.Model(inner_x, k.layers.Dense(4, activation="tanh")(inner_x), name="inner")
    x = k.Input((3,))
    model = k.Model(x, k.layers.Dense(1)(inner(x)))
    model.compile("adam", "mse")
    before = inner.get_weights()[0]
    model.fit(A, A[:, :1], verbose=0)
    assert not np.array_equal(before, inner.get_weights()[0])
    assert [layer.name for layer in model.layers][1] == "inner"


def test_rank_of_the_data_is_adjusted() -> None:
    x = k.Input((1,))
    model = k.Model(x, k.layers.Dense(2)(x))
    assert model.predict(np.ones(5, "float32"), verbose=0).shape == (5, 2)


def test_errors() -> None:
    model = two_inputs("list")
    with pytest.raises(ValueError, match="expects 2 input"):
        model([A])
    with pytest.raises(ValueError, match=r"the inputs lack \['b'\]"):
        model({"a": A})
    with pytest.raises(ValueError, match="has the shape"):
        model([B, A])
    with pytest.raises(ValueError, match="takes a name or an index"):
        model.get_layer()
    with pytest.raises(ValueError, match="no layer called 'zzz'"):
        model.get_layer("zzz")
    with pytest.raises(ValueError, match="has .* layers"):
        model.get_layer(index=99)
    with pytest.raises(AttributeError, match="can't be set"):
        model.layers = []


def test_class_of_the_model() -> None:
    model = two_inputs("list")
    assert type(model).__name__ == "Functional" and isinstance(model, k.Model)
    with pytest.warns(DeprecationWarning, match="Use (in|out)puts="):
        x = k.Input((3,))
        k.Model(input=x, output=x)


def test_subclass_with_a_graph() -> None:
    class Named(k.Model):
        def extra(self) -> int:
            return 7

    x = k.Input((3,))
    model = Named(x, k.layers.Dense(1)(x))
    assert model.extra() == 7 and model.predict(A, verbose=0).shape == (4, 1)


# Keras hands NumPy an array without the `copy` argument.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_same_as_keras() -> None:
    keras = pytest.importorskip("keras")

    def run(lib: Any, weights: Any) -> Any:
        x = lib.Input((3,))
        h = lib.layers.Dense(4, activation="relu")(x)
        h = lib.layers.Add()([h, lib.layers.Dense(4)(h)])
        y = lib.ops.concatenate([h, lib.ops.exp(x)], axis=1)
        model = lib.Model(x, [lib.layers.Dense(2)(y), lib.ops.mean(y, axis=1)])
        if weights is not None:
            model.set_weights(weights)
        return model.get_weights(), model.predict(A, verbose=0), [o.shape for o in model.outputs]

    weights, ours, shapes = run(k, None)
    _, theirs, their_shapes = run(keras, weights)
    assert shapes == their_shapes
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
