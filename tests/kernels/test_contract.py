"""`dot` against einsum in float64, its shape rule, and its gradient as the transpose identity."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.engine.array_module import contract as module
from kbackend.prim import contract as rules

DOT = module.kernels(np)["dot"].fn
NONE = ((), ())

# (x shape, y shape, contract, batch, einsum)
CASES = [
    ((3, 4), (4, 5), ((1,), (0,)), NONE, "ab,bc->ac"),
    ((4, 3), (4, 5), ((0,), (0,)), NONE, "ba,bc->ac"),
    ((3, 4), (5, 4), ((1,), (1,)), NONE, "ab,cb->ac"),
    ((4, 3), (5, 4), ((0,), (1,)), NONE, "ba,cb->ac"),
    ((4,), (4,), ((0,), (0,)), NONE, "a,a->"),
    ((3,), (4,), NONE, NONE, "a,b->ab"),
    ((), (4,), NONE, NONE, ",a->a"),
    ((3, 4), (4,), ((1,), (0,)), NONE, "ab,b->a"),
    ((4,), (4, 5), ((0,), (0,)), NONE, "b,bc->c"),
    ((2, 3, 4), (4, 5), ((2,), (0,)), NONE, "xab,bc->xac"),
    ((2, 3, 4), (2, 4, 5), ((2,), (1,)), ((0,), (0,)), "xab,xbc->xac"),
    ((2, 3, 6, 4), (2, 3, 4, 5), ((3,), (2,)), ((0, 1), (0, 1)), "xyab,xybc->xyac"),
    ((2, 6, 3, 4), (2, 5, 3, 4), ((3,), (3,)), ((0, 2), (0, 2)), "xayb,xcyb->xyac"),
    ((2, 3, 4), (2, 3, 5), ((0, 1), (0, 1)), NONE, "xya,xyb->ab"),
    ((2, 3, 4), (3, 5, 2), ((0, 1), (2, 0)), NONE, "xya,ybx->ab"),
    ((2, 3, 4), (4, 5, 3), ((2, 1), (0, 2)), NONE, "xya,aby->xb"),
    ((2, 3, 4, 5), (5, 3), ((1, 3), (1, 0)), NONE, "wxyz,zx->wy"),
    ((3, 2), (2, 3), NONE, ((0, 1), (1, 0)), "ab,ba->ab"),
    ((3, 2, 4), (4, 3), NONE, ((2, 0), (0, 1)), "abc,ca->cab"),
    ((2, 3, 4), (4, 6, 2), ((0,), (2,)), ((2,), (0,)), "abc,cda->cbd"),
    ((0, 4), (4, 5), ((1,), (0,)), NONE, "ab,bc->ac"),
    ((3, 0), (0, 5), ((1,), (0,)), NONE, "ab,bc->ac"),
    ((2, 0, 3, 4), (4, 5), ((3,), (0,)), NONE, "wxab,bc->wxac"),
]


def draw(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed + len(shape))
    if dtype == "bool":
        return rng.random(shape) > 0.7
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 9, shape).astype(dtype)
    if np.dtype(dtype).kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    return np.asarray(rng.normal(size=shape)).astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[4])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "complex64"])
def test_matches_einsum(case, dtype):
    x_shape, y_shape, contract, batch, subscripts = case
    x, y = draw(x_shape, dtype), draw(y_shape, dtype, 1)
    wide = "complex128" if dtype == "complex64" else "float64"
    expected = np.einsum(subscripts, x.astype(wide), y.astype(wide))
    out = DOT(x, y, contract=contract, batch=batch)
    assert out.dtype == x.dtype
    assert out.shape == expected.shape
    # Sums of at most 20 products of numbers near 1: a few float32 roundings.
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[4])
def test_non_contiguous(case):
    x_shape, y_shape, contract, batch, subscripts = case
    x = draw(tuple(2 * d for d in x_shape))[tuple(slice(None, None, 2) for _ in x_shape)]
    y = draw(y_shape[::-1], seed=1).T
    expected = np.einsum(subscripts, x, y)
    np.testing.assert_allclose(DOT(x, y, contract=contract, batch=batch), expected, atol=1e-12)


@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
)
def test_low_precision_rounds_once(dtype):
    x, y = draw((2, 3, 40)).astype(dtype), draw((40, 5), seed=1).astype(dtype)
    out = DOT(x, y, contract=((2,), (0,)))
    wide = (x.astype("float32") @ y.astype("float32")).astype(dtype)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.astype("float32"), wide.astype("float32"))


def test_bool_is_any_of_and():
    x, y = draw((6, 7), "bool"), draw((7, 5), "bool", 1)
    out = DOT(x, y, contract=((1,), (0,)))
    assert out.dtype == bool
    np.testing.assert_array_equal(out, (x[:, :, None] & y[None]).any(1))


def test_nan_propagates():
    x = np.ones((2, 3), "float32")
    x[0, 1] = np.nan
    out = DOT(x, np.zeros((3, 2), "float32"), contract=((1,), (0,)))
    assert np.isnan(out[0]).all()
    assert (out[1] == 0).all()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[4])
def test_shape_rule(case):
    x_shape, y_shape, contract, batch, subscripts = case
    out = lang.dot_p.infer(
        [Aval(x_shape, "float32"), Aval(y_shape, "float32")],
        {"contract": contract, "batch": batch},
    )
    assert out == Aval(np.einsum(subscripts, np.ones(x_shape), np.ones(y_shape)).shape, "float32")


def test_shape_rule_unknown_dimensions_and_faults():
    infer = lang.dot_p.infer
    x, y = Aval((None, 4), "float32"), Aval((4, 5), "float32")
    params = {"contract": ((1,), (0,)), "batch": NONE}
    assert infer([x, y], params).shape == (None, 5)
    with pytest.raises(ValueError, match=r"\[dot\] Paired dimensions .* is 4 .* is 5"):
        infer([x, Aval((5, 5), "float32")], params)
    with pytest.raises(TypeError, match="one dtype"):
        infer([x, Aval((4, 5), "int32")], params)
    with pytest.raises(ValueError, match="distinct and within"):
        infer([x, y], {"contract": ((2,), (0,)), "batch": NONE})


@pytest.fixture
def raw(monkeypatch):
    """The rules' binders on raw arrays, so that they need no engine."""
    monkeypatch.setattr(lang, "dot", DOT)
    monkeypatch.setattr(lang, "transpose", np.transpose)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[4])
def test_gradient_is_the_transpose(case, raw):
    x_shape, y_shape, contract, batch, _ = case
    x, y = draw(x_shape), draw(y_shape, seed=1)
    params = {"contract": contract, "batch": batch}
    out = DOT(x, y, **params)
    g = draw(out.shape, seed=2)
    vjp_x, vjp_y = lang.dot_p.vjp_rule
    gx, gy = vjp_x(g, out, x, y, **params), vjp_y(g, out, x, y, **params)
    assert gx.shape == x.shape
    assert gy.shape == y.shape
    # dot is linear in each argument, so <dot(u, y), g> = <u, gx> for any u.
    u, v = draw(x_shape, seed=3), draw(y_shape, seed=4)
    np.testing.assert_allclose(np.sum(DOT(u, y, **params) * g), np.sum(u * gx), atol=1e-10)
    np.testing.assert_allclose(np.sum(DOT(x, v, **params) * g), np.sum(v * gy), atol=1e-10)


def test_gradients_of_a_matrix_product_need_no_transposition():
    for contract in (((1,), (0,)), ((1,), (1,)), ((0,), (0,)), ((0,), (1,))):
        for mine, pair in ((0, contract), (1, contract[::-1])):
            g_axes = (1,) if mine == 0 else (0,)
            assert rules._plan(2, 2, pair, NONE, g_axes)[3] is None
