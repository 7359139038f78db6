"""KerasTensors: operators, indexing, and what can't be done without values."""

import numpy as np
import pytest

from kbackend import ops
from kbackend.ops.function import Function
from kbackend.ops.keras_tensor import KerasTensor


def _run(build, *hosts):
    """`build` on KerasTensors, run as a function of arrays."""
    inputs = [KerasTensor((None, *x.shape[1:]), str(x.dtype)) for x in hosts]
    outputs = build(*inputs)
    assert isinstance(outputs, KerasTensor)
    result = Function(inputs, outputs)(list(hosts))
    return outputs, result[0] if isinstance(result, list) else result


X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -6.0]], "float32")
Y = np.array([[2.0, 2.0, 5.0], [0.5, -1.0, 2.0]], "float32")
W = np.arange(12, dtype="float32").reshape(3, 4)

OPERATORS = {
    "add": lambda x, y: x + y,
    "add number": lambda x, y: x + 1,
    "number add": lambda x, y: 1 + x,
    "subtract": lambda x, y: x - y,
    "number subtract": lambda x, y: 2.0 - x,
    "multiply": lambda x, y: x * y,
    "array multiply": lambda x, y: Y[0] * x,
    "divide": lambda x, y: x / y,
    "number divide": lambda x, y: 1 / y,
    "floor divide": lambda x, y: x // y,
    "mod": lambda x, y: x % y,
    "power": lambda x, y: x**2,
    "number power": lambda x, y: 2.0**x,
    "matmul": lambda x, y: x @ W,
    "less": lambda x, y: x < y,
    "less equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > 0,
    "greater equal": lambda x, y: x >= y,
    "not equal": lambda x, y: x != y,
    "negative": lambda x, y: -x,
    "absolute": lambda x, y: abs(x),
    "and": lambda x, y: (x > 0) & (y > 0),
    "or": lambda x, y: (x > 0) | (y > 0),
    "xor": lambda x, y: (x > 0) ^ (y > 0),
    "not": lambda x, y: ~(x > 0),
    "column": lambda x, y: x[:, 0],
    "ellipsis": lambda x, y: x[..., None, ::2],
    "last": lambda x, y: x[:, -1] + y[:, 1],
}


@pytest.mark.parametrize("build", OPERATORS.values(), ids=OPERATORS.keys())
def test_operators_build_nodes_that_compute(build):
    spec, got = _run(build, X, Y)
    want = build(X, Y)
    assert spec.shape == (None, *want.shape[1:])
    assert spec.dtype == got.dtype == str(want.dtype)
    # One rounding of float32.
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_round_builds_a_node():
    spec, got = _run(lambda x: round(x, 1), X / 3)
    np.testing.assert_allclose(got, (X / 3).round(1), rtol=1e-6)
    assert spec._keras_history.operation.op == "round"


def test_equality_is_identity():
    x, y = KerasTensor((None, 3)), KerasTensor((None, 3))
    assert x == x
    assert not x == y
    assert (x == 0) is False
    assert x in [y, x]
    assert len({x, y}) == 2


def test_no_iteration_without_values():
    with pytest.raises(TypeError, match="can't be iterated over"):
        list(KerasTensor((2, 3)))


def test_tensors_among_keyword_arguments():
    x, w = KerasTensor((None, 3)), KerasTensor((None, 3))
    out = ops.average(x, weights=w)
    assert len(out._keras_history.operation._inbound_nodes[0].input_tensors) == 2
    host = np.abs(Y)
    got = Function([x, w], out)([X, host])
    np.testing.assert_allclose(np.asarray(got).item(), np.average(X, weights=host), rtol=1e-5)


def test_lists_of_symbolic_tensors():
    x = KerasTensor((None, 3))
    assert ops.concatenate([x, x], axis=-1).shape == (None, 6)
    assert ops.concatenate([x, np.zeros((2, 3), "float32")], axis=0).shape == (None, 3)
    assert ops.stack([x, x], axis=1).shape == (None, 2, 3)
    assert [p.shape for p in ops.split(x, 3, axis=1)] == [(None, 1)] * 3


def test_unknown_dimensions():
    x = KerasTensor((None, None, 4))
    assert ops.reshape(x, (-1, 4)).shape == (None, 4)
    assert ops.mean(x, axis=(1, 2)).shape == (None,)
    assert ops.var(x, axis=1, keepdims=True).shape == (None, 1, 4)
    assert ops.repeat(x, 2, axis=1).shape == (None, None, 4)
    assert ops.tile(x, (1, 2, 3)).shape == (None, None, 12)
    assert ops.pad(x, ((0, 0), (1, 1), (0, 0)), mode="reflect").shape == (None, None, 4)
    assert ops.tril(x).shape == (None, None, 4)
    assert ops.flip(x, 1).shape == ops.roll(x, 1, 1).shape == (None, None, 4)
    assert ops.zeros_like(x).shape == (None, None, 4)
    assert ops.cumsum(x, 1).shape == ops.sort(x, 1).shape == (None, None, 4)
    assert ops.take(x, np.zeros((2, 5), "int32"), axis=1).shape == (None, 2, 5, 4)
    assert ops.argmax(x, axis=1).dtype == "int32"
    assert ops.size(x).dtype == "int32"


@pytest.mark.parametrize("name", ["nonzero", "where", "unique"])
def test_results_that_depend_on_values(name):
    with pytest.raises(ValueError, match="depends? on the values"):
        getattr(ops, name)(KerasTensor((None, 3)))


def test_keras_tensors_have_reshape_and_squeeze():
    x = KerasTensor((None, 2, 3, 1))
    assert x.squeeze(-1).shape == (None, 2, 3)
    assert x.reshape((-1, 6)).shape == (None, 6)
