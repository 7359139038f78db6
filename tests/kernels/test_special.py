"""erf and erfinv against the C library's erf, scipy where it is installed, and their inverses."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from kbackend.core import lang
from kbackend.engine.array_module import special as module

SHARED = {name: kernel.fn for name, kernel in module.kernels(np).items()}


@pytest.fixture(params=["numpy", "shared"])
def table(request, numpy_engine):
    return numpy_engine if request.param == "numpy" else SHARED


def off_by(found, exact):
    """Error in units of the last place of the dtype of `found`."""
    last = np.spacing(np.abs(exact).astype(found.dtype)).astype(np.float64)
    return np.abs(found.astype(np.float64) - exact) / last


def exact_erf(x):
    return np.array([math.erf(v) for v in x.astype(np.float64).tolist()])


def points(dtype):
    near = 10.0 ** np.linspace(-30, 0, 500)
    far = np.linspace(-6.5, 6.5, 20_001)
    return np.concatenate([near, -near, far, np.linspace(-0.5, 0.5, 5000)]).astype(dtype)


# In units of the last place: measured 3.1 and 5, plus one. The latter is 6e-16 relative.
@pytest.mark.parametrize("dtype, limit", [("float32", 4), ("float64", 6)])
def test_erf(table, dtype, limit):
    x = points(dtype)
    out = table["erf"](x)
    assert out.dtype == dtype
    assert off_by(out, exact_erf(x)).max() <= limit
    np.testing.assert_array_equal(table["erf"](-x), -out)


@pytest.mark.parametrize("dtype, limit", [("float32", 5), ("float64", 1.5e-15)])
def test_erfinv_against_scipy(table, dtype, limit):
    scipy = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-1, 1, 20_003)[1:-1], 1 - 10.0 ** np.linspace(-15, -1, 2000)])
    x = np.concatenate([x, 10.0 ** np.linspace(-30, -1, 500)]).astype(dtype)
    x = x[(np.abs(x) < 1) & (x != 0)]
    exact = scipy.erfinv(x.astype(np.float64))
    out = table["erfinv"](x)
    assert out.dtype == dtype
    if dtype == "float32":
        assert off_by(out, exact).max() <= limit
    else:
        np.testing.assert_allclose(out, exact, rtol=limit)
    np.testing.assert_array_equal(table["erfinv"](-x), -out)


def test_erfinv_inverts_erf(table):
    x = np.linspace(-2, 2, 4001)
    # The error of erf, 1e-16, over its slope, 0.02 at 2.
    np.testing.assert_allclose(table["erfinv"](exact_erf(x)), x, rtol=0, atol=2e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(table, dtype):
    with np.errstate(all="ignore"):
        x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 10.0, -10.0], dtype)
        out = table["erf"](x)
        np.testing.assert_array_equal(out, np.array([0, -0.0, 1, -1, np.nan, 1, -1], dtype))
        assert np.signbit(out[1])
        x = np.array([0.0, -0.0, 1, -1, np.nan, 1.5, -2, np.inf], dtype)
        out = table["erfinv"](x)
    expected = [0, 0, np.inf, -np.inf, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(out, np.array(expected, dtype))
    assert np.signbit(out[1])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_low_precision_rounds_once(table, dtype):
    x = np.linspace(-0.9, 0.9, 101).astype(dtype)
    for name in ("erf", "erfinv"):
        expected = table[name](x.astype(np.float32)).astype(dtype)
        out = table[name](x)
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", ["erf", "erfinv"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (70_000,), (5, 7)], ids=str)
def test_shapes_blocks_and_views(table, name, shape):
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    x = np.asarray(x)
    before = x.copy()
    out = table[name](x)
    assert out.shape == shape
    np.testing.assert_array_equal(x, before)
    if x.ndim == 2 and x.size:
        np.testing.assert_array_equal(table[name](x.T[::-1]), out.T[::-1])
    if shape == (70_000,):
        # NumPy may take another path for short arrays, a rounding apart.
        np.testing.assert_allclose(out[-10:], table[name](x[-10:].copy()), rtol=1e-6)


def test_gradients(check_grads):
    check_grads(lang.erf, np.linspace(-2, 2, 7))
    check_grads(lang.erfinv, np.linspace(-0.9, 0.9, 7))
