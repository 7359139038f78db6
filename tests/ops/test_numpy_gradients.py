"""Gradients of the NumPy namespace against JAX's, kinks and empty cases included."""

import numpy as np
import pytest

from kbackend import ops
from kbackend.autodiff import GradientTape
from kbackend.core.convert import to_tensor

jax = pytest.importorskip("jax")
keras = pytest.importorskip("keras")

R = np.random.default_rng(11)


def real(*shape, low=-2.0, high=2.0):
    return R.uniform(low, high, shape).astype("float32")


X, Y, P, U = real(3, 4), real(3, 4), real(3, 4, low=0.2), real(3, 4, low=-0.9, high=0.9)
NAN = np.where(R.integers(0, 3, (3, 4)) == 0, np.nan, X).astype("float32")

ONE = [
    *(
        (name, X)
        for name in (
            "abs",
            "fabs",
            "square",
            "reciprocal",
            "exp",
            "exp2",
            "expm1",
            "cbrt",
            "sin",
            "cos",
            "tan",
            "arctan",
            "sinh",
            "cosh",
            "tanh",
            "arcsinh",
            "sinc",
            "i0",
            "deg2rad",
            "rad2deg",
            "sum",
            "mean",
            "var",
            "std",
            "prod",
            "max",
            "min",
            "ptp",
            "cumsum",
            "cumprod",
            "sort",
            "median",
            "tril",
            "triu",
            "diag",
            "trace",
            "diff",
            "trapezoid",
            "flip",
            "rot90",
            "corrcoef",
            "ravel",
        )
    ),
    *((name, P) for name in ("log", "log10", "log1p", "log2", "sqrt")),
    *((name, U) for name in ("arcsin", "arccos", "arctanh")),
    ("arccosh", P + 1),
    ("sinc", np.zeros(2, "float32")),
    ("nan_to_num", NAN),
    *((name, NAN) for name in ("nansum", "nanmean", "nanvar", "nanmax", "nanmin", "nancumsum")),
    ("slogdet", np.eye(3, dtype="float32") * 2 + real(3, 3) / 5),
]
TWO = [
    *(
        (name, X, Y)
        for name in (
            "add",
            "subtract",
            "multiply",
            "divide",
            "maximum",
            "minimum",
            "fmax",
            "fmin",
            "arctan2",
            "hypot",
            "logaddexp",
            "logaddexp2",
            "outer",
            "inner",
            "kron",
            "vdot",
        )
    ),
    ("mod", X, P),
    ("fmod", X, P),
    ("power", P, X),
    ("divide_no_nan", X, P),
    ("matmul", X, Y.T.copy()),
    ("cross", real(3, 3), real(3, 3)),
    ("dot", X, real(2, 4, 3)),
    ("maximum", X, X),
    ("logaddexp", X, X),
    ("divide_no_nan", X, np.zeros_like(X)),
    ("tensordot", X, Y),
]
SLOPED = [
    ("take", lambda o, x: o.take(x, np.array([[0, 2], [0, -1]]), axis=1)),
    ("take_along_axis", lambda o, x: o.take_along_axis(x, np.argsort(X, 1), axis=1)),
    ("pad", lambda o, x: o.pad(x, ((1, 2), (0, 1)), mode="reflect")),
    ("tile", lambda o, x: o.tile(x, (2, 3))),
    ("repeat", lambda o, x: o.repeat(x, 3, axis=1)),
    ("roll", lambda o, x: o.roll(x, 2, axis=1)),
    ("where", lambda o, x: o.where(X > 0, x, 2 * x)),
    ("split", lambda o, x: o.split(x, 2, axis=1)[1]),
    ("clip", lambda o, x: o.clip(x, -0.5, 0.5)),
    ("quantile", lambda o, x: o.quantile(x, [0.2, 0.55], axis=1)),
    ("average", lambda o, x: o.average(x, axis=1, weights=o.abs(x))),
    ("get_item", lambda o, x: x[1:, ::2]),
    ("stack", lambda o, x: o.stack([x, x * x], axis=1)),
    ("linspace", lambda o, x: o.linspace(x, 2.0, 5)),
    ("correlate", lambda o, x: o.correlate(x[0], x[1, :2], "full")),
    ("diagonal", lambda o, x: o.diagonal(x, offset=1)),
    ("moveaxis", lambda o, x: o.moveaxis(x, 0, 1)),
    ("select", lambda o, x: o.select([X > 1, X > 0], [x, x * x])),
    ("tensordot", lambda o, x: o.tensordot(x, x, ((0, 1), (0, 1)))),
]


def _leaves(out):
    return list(out) if isinstance(out, (tuple, list)) else [out]


def _compare(ours, theirs, args):
    out = _leaves(ours(*args))
    weights = [R.normal(size=o.shape).astype("float32") for o in out]
    tensors = [to_tensor(x) for x in args]
    with GradientTape() as tape:
        tape.watch(tensors)
        total = sum(
            ops.sum(ops.multiply(o, w))
            for o, w in zip(_leaves(ours(*tensors)), weights, strict=True)
        )
    got = tape.gradient(total, tensors, unconnected_gradients="zero")

    def loss(*args):
        found = _leaves(theirs(*args))
        return sum((o * w).sum() for o, w in zip(found, weights, strict=True))

    want = jax.jit(jax.grad(loss, argnums=tuple(range(len(args)))))(*args)
    for g, w in zip(got, want, strict=True):
        # Both sides round in float32, in different orders.
        np.testing.assert_allclose(g, w, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("name", "x"), ONE, ids=[f"{i}-{c[0]}" for i, c in enumerate(ONE)])
def test_gradient_of_one(name, x):
    _compare(getattr(ops, name), getattr(keras.ops, name), (x,))


@pytest.mark.parametrize(("name", "x", "y"), TWO, ids=[f"{i}-{c[0]}" for i, c in enumerate(TWO)])
def test_gradient_of_two(name, x, y):
    _compare(getattr(ops, name), getattr(keras.ops, name), (x, y))


@pytest.mark.parametrize(("name", "fn"), SLOPED, ids=[c[0] for c in SLOPED])
def test_gradient_with_arguments(name, fn):
    _compare(lambda x: fn(ops, x), lambda x: fn(keras.ops, x), (X,))


SECOND = ("cbrt", "arcsin", "arccos", "arctan", "sinh", "cosh", "arcsinh", "i0", "sinc")


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name):
    fn = getattr(ops, name)

    def slope(x):
        x = to_tensor(x)
        with GradientTape() as tape:
            tape.watch(x)
            y = ops.sum(fn(x))
        return tape.gradient(y, x)

    x = to_tensor(real(5, low=0.2, high=0.8).astype("float64"))
    with GradientTape() as tape:
        tape.watch(x)
        first = ops.sum(slope(x))
    got = np.asarray(tape.gradient(first, x))
    step = 1e-5
    host = np.asarray(x)
    want = (np.asarray(slope(host + step)) - np.asarray(slope(host - step))) / (2 * step)
    # The central difference is off by about step^2.
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)


def test_second_derivative_of_logaddexp_where_equal():
    x = to_tensor(np.array([0.3]))
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as tape:
            tape.watch(x)
            y = ops.logaddexp(x, 0.3)
        first = tape.gradient(y, x)
    np.testing.assert_allclose(outer.gradient(first, x), [0.25], rtol=1e-12)
