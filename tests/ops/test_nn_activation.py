"""Activations against real Keras: values, dtypes, gradients of first and second order, shapes."""

import numpy as np
import pytest

from kbackend.autodiff import GradientTape, grad
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops import nn
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

ELEMENTWISE = [
    ("relu", {}), ("relu6", {}), ("leaky_relu", {"negative_slope": 0.3}), ("elu", {"alpha": 1.3}),
    ("selu", {}), ("celu", {"alpha": 0.7}), ("hard_sigmoid", {}), ("hard_silu", {}),
    ("hard_tanh", {}), ("tanh_shrink", {}), ("soft_shrink", {"threshold": 0.4}),
    ("hard_shrink", {}), ("threshold", {"threshold": 0.2, "default_value": 3.0}),
    ("sigmoid", {}), ("log_sigmoid", {}), ("softplus", {}), ("silu", {}), ("swish", {}),
    ("softsign", {}), ("gelu", {"approximate": True}), ("gelu", {"approximate": False}),
    ("squareplus", {"b": 3}), ("sparse_plus", {}), ("sparse_sigmoid", {}), ("hard_swish", {}),
]  # fmt: skip
ALONG = [
    ("softmax", {}), ("softmax", {"axis": 0}), ("softmax", {"axis": (0, 2)}),
    ("log_softmax", {}), ("log_softmax", {"axis": 1}),
    ("glu", {}), ("glu", {"axis": 0}),
]  # fmt: skip
CASES = ELEMENTWISE + ALONG


def _ids(cases):
    return [f"{name}-{'-'.join(map(str, how.values()))}" for name, how in cases]


def _both(name, how):
    ours, theirs = getattr(nn, name), getattr(keras.ops.nn, name)
    return lambda x: ours(x, **how), lambda x: theirs(x, **how)


def total(x):
    """Sum of all elements."""
    return lang.reduce_sum(x, tuple(range(len(x.shape))))


@pytest.mark.parametrize(("name", "how"), CASES, ids=_ids(CASES))
def test_values(name, how, rng):
    ours, theirs = _both(name, how)
    x = rng.normal(size=(4, 3, 6)).astype("float32") * 3
    x[0, 0] = [0.0, 0.5, -0.5, 1.0, -1.0, 6.0]
    np.testing.assert_allclose(ours(x), theirs(x), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("name", "how"), CASES, ids=_ids(CASES))
def test_gradients(name, how, rng):
    ours, theirs = _both(name, how)
    # Away from 0 and within it: the kinks of most functions are at 0, 1/2, 1 and 3.
    x = rng.normal(size=(4, 3, 6)).astype("float32") * 2
    w = rng.normal(size=ours(x).shape).astype("float32")
    expected = jax.grad(lambda x: (theirs(x) * w).sum())(x)
    np.testing.assert_allclose(
        grad(lambda x: total(ours(x) * w))(x), expected, rtol=1e-4, atol=1e-5
    )
    v = rng.normal(size=x.shape).astype("float32")
    second = jax.grad(lambda x: (jax.grad(lambda x: (theirs(x) * w).sum())(x) * v).sum())(x)
    found = grad(lambda x: total(grad(lambda x: total(ours(x) * w))(x) * v))(x)
    np.testing.assert_allclose(found, second, rtol=1e-3, atol=1e-4)


KINKS = [0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0]


@pytest.mark.parametrize(("name", "how"), ELEMENTWISE, ids=_ids(ELEMENTWISE))
def test_gradients_at_kinks(name, how):
    ours, theirs = _both(name, how)
    x = np.array(KINKS, "float32")
    expected = jax.grad(lambda x: theirs(x).sum())(x)
    np.testing.assert_allclose(grad(lambda x: total(ours(x)))(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of JAX, in casts of -inf to integers
@pytest.mark.parametrize("dtype", ["int32", "bfloat16", "float16"])
@pytest.mark.parametrize(("name", "how"), CASES, ids=_ids(CASES))
def test_dtypes(name, how, dtype):
    ours, theirs = _both(name, how)
    x = to_tensor(np.arange(24).reshape(2, 2, 6) % 5, dtype)
    try:
        expected = theirs(keras.ops.cast(np.asarray(x, "float32"), dtype))
    except TypeError:
        assert ours(x).dtype == "float32"  # what Keras on JAX does not take at all
        return
    assert ours(x).dtype == keras.backend.standardize_dtype(expected.dtype)
    tolerance = {"bfloat16": 4e-2, "float16": 5e-3}.get(dtype, 1e-5)
    np.testing.assert_allclose(
        np.asarray(ours(x), "float32"),
        np.asarray(expected, "float32"),
        rtol=tolerance,
        atol=tolerance,
    )


@pytest.mark.parametrize(("name", "how"), CASES, ids=_ids(CASES))
def test_symbolic_shape(name, how):
    ours, _ = _both(name, how)
    eager = ours(np.zeros((4, 3, 6), "float32")).shape
    out = ours(KerasTensor((4, 3, 6)))
    assert out.shape == eager
    if how.get("axis") != 0:
        assert ours(KerasTensor((None, 3, 6))).shape == (None, *eager[1:])


def test_extremes_are_finite_or_nan_as_they_should():
    x = np.array([-1e4, -100.0, 100.0, 1e4, np.inf, -np.inf], "float32")
    for name in ("sigmoid", "softplus", "log_sigmoid", "elu", "selu", "celu", "relu", "relu6"):
        np.testing.assert_allclose(
            getattr(nn, name)(x), getattr(keras.ops, name)(x), rtol=1e-5, atol=1e-30, err_msg=name
        )
    assert np.isnan(nn.relu([np.nan]).tolist()[0])
    np.testing.assert_array_equal(nn.softmax([1e4, 0.0]), [1.0, 0.0])
    np.testing.assert_array_equal(nn.log_softmax([1e4, 0.0]), [0.0, -1e4])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_sparsemax(axis, rng):
    # Keras on JAX mixes up the rows here, so that the optimality conditions are the reference.
    x = rng.normal(size=(4, 3, 6)).astype("float32")
    p = np.asarray(nn.sparsemax(x, axis=axis))
    np.testing.assert_allclose(p.sum(axis), 1, rtol=1e-5)
    assert (p >= 0).all() and (p == 0).any()
    # Where p is positive x - p is one number, and nowhere greater.
    rest = x - p
    np.testing.assert_allclose(
        np.where(p > 0, rest, rest.max(axis, keepdims=True)),
        np.broadcast_to(rest.max(axis, keepdims=True), p.shape),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip
    w = rng.normal(size=p.shape).astype("float32")
    kept = p > 0
    mean = (w * kept).sum(axis, keepdims=True) / kept.sum(axis, keepdims=True)
    found = grad(lambda x: total(nn.sparsemax(x, axis=axis) * w))(x)
    np.testing.assert_allclose(found, np.where(kept, w - mean, 0), rtol=1e-4, atol=1e-5)


def test_zero_size():
    for name in ("relu", "gelu", "softplus"):
        assert getattr(nn, name)(np.zeros((0, 3), "float32")).shape == (0, 3)
    assert nn.softmax(np.zeros((0, 3), "float32")).shape == (0, 3)


def test_errors():
    with pytest.raises(ValueError, match=r"axis=3 is out of bounds"):
        nn.softmax(np.zeros((2, 2)), axis=3)
    with pytest.raises(ValueError, match=r"\[glu\].*even"):
        nn.glu(np.zeros((2, 3)))


def test_softmax_of_one_class_warns():
    with pytest.warns(UserWarning, match="size 1"):
        nn.softmax(np.zeros((3, 1)))


def test_a_composite_is_one_node():
    x = to_tensor(np.ones(3, "float32"))
    with GradientTape() as tape:
        tape.watch(x)
        y = nn.silu(x)
        assert len(tape._nodes) == 1
    np.testing.assert_allclose(tape.gradient(y, x), [0.9277] * 3, rtol=1e-4)
