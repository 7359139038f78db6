"""Sorts, positions, top-k, their ties and NaN, and the gradients through them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.engine.array_module import sort as module

DTYPES = ["float32", "float64", "int32", "uint8", "bool", "float16", "bfloat16"]
SHARED_TOP_K = module.kernels(np)["top_k"].fn


def draw(shape, dtype, seed=0):
    """Few different values, so that ties are common."""
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    return np.random.default_rng(seed).integers(0, 9, shape).astype(kind)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sort_and_argsort(numpy_engine, dtype, axis):
    x = draw((30, 4), dtype)
    order = np.argsort(x.astype(np.float64), axis=axis, kind="stable")
    places = numpy_engine["argsort"](x, axis=axis)
    assert places.dtype == np.int32
    np.testing.assert_array_equal(places, order)
    ordered = numpy_engine["sort"](x, axis=axis)
    assert ordered.dtype == x.dtype
    np.testing.assert_array_equal(ordered, np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_nan_comes_last(numpy_engine, dtype):
    x = np.array([2, np.nan, -np.inf, np.nan, np.inf], np.float32)
    x = x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    assert numpy_engine["argsort"](x, axis=0).tolist() == [2, 0, 4, 1, 3]
    out = numpy_engine["sort"](x, axis=0).astype(np.float32)
    np.testing.assert_array_equal(out, np.float32([-np.inf, 2, np.inf, np.nan, np.nan]))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "bfloat16"])
def test_searchsorted(numpy_engine, dtype, side):
    grid, values = np.sort(draw((20,), dtype)), draw((3, 4), dtype, 1)
    out = numpy_engine["searchsorted"](grid, values, side=side)
    expected = np.searchsorted(grid.astype(float), values.astype(float), side=side)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, expected)
    assert numpy_engine["searchsorted"](grid, values[0, 0], side=side).shape == ()


@pytest.mark.parametrize("size, k", [(1, 1), (5, 0), (5, 5), (100, 1), (100, 7), (400, 10)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_top_k_prefers_the_lower_of_equals(numpy_engine, dtype, size, k):
    for x in (draw((2, 3, size), dtype), np.arange(3 * size).reshape(3, size)[:, ::-1] % 251):
        x = x.astype(draw((), dtype).dtype)
        order = np.argsort(-x.astype(np.float64), axis=-1, kind="stable")[..., :k]
        for top_k in (numpy_engine["top_k"], SHARED_TOP_K):
            values, places = top_k(x, k=k)
            assert (values.dtype, places.dtype) == (x.dtype, np.int32)
            np.testing.assert_array_equal(places, order)
            np.testing.assert_array_equal(values, np.take_along_axis(x, order, -1))


@pytest.mark.parametrize("size", [4, 200])
@pytest.mark.parametrize("k", [1, 3])
def test_top_k_counts_nan_as_greatest(numpy_engine, size, k):
    x = np.arange(size, dtype=np.float32)
    x[[1, 2]] = np.nan
    assert numpy_engine["top_k"](x, k=k)[1].tolist() == [1, 2, size - 1][:k]


def test_shape_rules():
    x = Aval((None, 5), "float32")
    assert lang.argsort_p.infer([x], {"axis": 1}) == Aval((None, 5), "int32")
    assert lang.top_k_p.infer([x], {"k": 2}) == (
        Aval((None, 2), "float32"),
        Aval((None, 2), "int32"),
    )
    with pytest.raises(ValueError, match=r"\[top_k\] 'k' must be between 0 and .* 5"):
        lang.top_k_p.infer([x], {"k": 6})
    with pytest.raises(ValueError, match="axis=2 is out of bounds"):
        lang.sort_p.infer([x], {"axis": 2})
    with pytest.raises(ValueError, match="must be a vector"):
        lang.searchsorted_p.infer([x, x], {"side": "left"})
    with pytest.raises(ValueError, match="'left' or 'right'"):
        lang.searchsorted_p.infer([Aval((3,), "float32"), x], {"side": "middle"})


@pytest.mark.parametrize("axis", [0, 1])
def test_sort_gradients(check_grads, axis):
    x = np.random.default_rng(0).permutation(12).reshape(3, 4) / 3.0
    check_grads(lambda t: lang.sort(lang.mul(t, t), axis), x)


def test_top_k_gradients(check_grads):
    x = np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 3.0
    check_grads(lambda t: lang.top_k(lang.mul(t, t), 2)[0], x)


def test_positions_have_no_gradient():
    assert not lang.argsort_p.differentiable
    assert not lang.searchsorted_p.differentiable
