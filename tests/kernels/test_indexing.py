"""Gather and scatter against NumPy's indexing and `ufunc.at`, bounds, and gradients."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.tensor import tensor
from kbackend.engine.array_module import indexing as module

UFUNCS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
# (x shape, axes, shape of each index tensor)
CASES = [
    ((10,), (0,), [(4,)]),
    ((10,), (0,), [()]),
    ((10, 3), (0,), [(2, 5)]),
    ((10, 3), (0,), [(0,)]),
    ((0, 3), (0,), [(0,)]),
    ((4, 6, 5), (1,), [(3,)]),
    ((4, 6, 5), (0, 2), [(3,), (2, 1)]),
    ((4, 6, 5), (0, 1, 2), [(7,), (7,), (7,)]),
    ((4, 6), (0, 1), [(4, 1), (1, 6)]),
    ((300, 40), (0,), [(2000,)]),
]


def draw(case, dtype="float32", seed=0):
    shape, axes, index_shapes = case
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * 3).astype(dtype)
    indices = [
        rng.integers(-shape[a], max(shape[a], 1), s).astype(np.int32)
        for a, s in zip(axes, index_shapes, strict=True)
    ]
    view = x.transpose(*axes, *(i for i in range(x.ndim) if i not in axes))
    updates = (rng.normal(size=view[tuple(indices)].shape) * 3).astype(dtype)
    return x, indices, updates


def moved(x, axes):
    return x.transpose(*axes, *(i for i in range(x.ndim) if i not in axes))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gather(numpy_engine, case):
    x, indices, _ = draw(case)
    expected = moved(x, case[1])[tuple(indices)]
    for gather in (numpy_engine["gather"], module.kernels(np)["gather"].fn):
        out = gather(x, *indices, axes=case[1])
        assert isinstance(out, np.ndarray)
        assert out.shape == expected.shape
        np.testing.assert_array_equal(out, expected)
    avals = [Aval(a.shape, a.dtype.name) for a in (x, *indices)]
    assert lang.gather_p.infer(avals, {"axes": case[1]}) == Aval(expected.shape, "float32")


@pytest.mark.parametrize("mode", [*UFUNCS, "set"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "uint8"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_scatter(numpy_engine, case, dtype, mode):
    x, indices, updates = draw(case, dtype)
    before = x.copy()
    expected = x.copy()
    view = moved(expected, case[1])
    if mode == "set":
        view[tuple(indices)] = updates
    else:
        UFUNCS[mode].at(view, tuple(indices), updates)
    out = numpy_engine["scatter"](x, updates, *indices, axes=case[1], mode=mode)
    assert out.dtype == x.dtype
    # Bit for bit: the updates of a place are taken in their order.
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(x, before)


def test_every_integer_type_indexes(numpy_engine):
    x = np.arange(12.0).reshape(4, 3)
    for dtype in ("int8", "int64", "uint8", "uint32", "uint64"):
        index = np.array([3, 0], dtype)
        np.testing.assert_array_equal(numpy_engine["gather"](x, index, axes=(0,)), x[[3, 0]])
        np.testing.assert_array_equal(numpy_engine["gather"](x, index % 3, axes=(1,)), x.T[[0, 0]])
        out = numpy_engine["scatter"](x, x[:2], index, axes=(0,), mode="add")
        np.testing.assert_array_equal(out[[0, 3]], x[[0, 3]] + x[[1, 0]])


def test_views_are_taken_as_they_are(numpy_engine):
    x, indices, updates = draw(((6, 8), (0,), [(5,)]))
    strided = np.asfortranarray(x)[::-1, ::2]
    out = numpy_engine["scatter"](strided, updates[:, ::2], *indices, axes=(0,), mode="add")
    expected = strided.copy()
    np.add.at(expected, indices[0], updates[:, ::2])
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_low_precision_sums_round_once(numpy_engine, dtype):
    x, ones = np.zeros((2, 1), dtype), np.ones((3000, 1), dtype)
    index = np.zeros(3000, np.int32)
    out = numpy_engine["scatter"](x, ones, index, axes=(0,), mode="add")
    # One by one in the dtype itself it would stop at 256 or 2048.
    assert out.dtype == dtype
    assert float(out[0, 0]) == float(dtype(3000))


@pytest.mark.parametrize("bad", [5, -6])
def test_out_of_range_names_the_place(numpy_engine, bad):
    x, index = np.zeros((3, 5, 2)), np.array([0, bad], np.int32)
    message = f"Index {bad} is out of range for axis 1 with size 5"
    with pytest.raises(IndexError, match=message):
        numpy_engine["gather"](x, index, axes=(1,))
    with pytest.raises(IndexError, match=message):
        numpy_engine["gather"](x, np.zeros(2, np.int32), index, axes=(0, 1))
    with pytest.raises(IndexError, match=message):
        numpy_engine["scatter"](x, np.zeros((2, 3, 2)), index, axes=(1,), mode="add")
    with pytest.raises(IndexError, match=f"Index {bad} .* axis 0"):
        numpy_engine["gather"](np.zeros(5), index, axes=(0,))


def test_shape_rules():
    x, index = Aval((None, 4, 5), "float32"), Aval((2,), "int32")
    updates = Aval((2, 4, 5), "float32")
    params = {"axes": (0,), "mode": "add"}
    assert lang.gather_p.infer([x, index], {"axes": (1,)}).shape == (2, None, 5)
    assert lang.scatter_p.infer([x, updates, index], params) == x
    with pytest.raises(TypeError, match=r"\[gather\] Indices must be integers"):
        lang.gather_p.infer([x, Aval((2,), "bool")], {"axes": (0,)})
    with pytest.raises(ValueError, match="axis=3 is out of bounds"):
        lang.gather_p.infer([x, index], {"axes": (3,)})
    with pytest.raises(ValueError, match="one index tensor per axis"):
        lang.gather_p.infer([x, index], {"axes": (0, 1)})
    with pytest.raises(ValueError, match="different and ascending"):
        lang.gather_p.infer([x, index, index], {"axes": (1, 0)})
    with pytest.raises(ValueError, match="'mode' must be one of"):
        lang.scatter_p.infer([x, updates, index], {"axes": (0,), "mode": "sub"})
    with pytest.raises(ValueError, match=r"must have the shape \(2, 4, 5\)"):
        lang.scatter_p.infer([x, Aval((3, 4, 5), "float32"), index], params)
    with pytest.raises(TypeError, match="x's dtype float32"):
        lang.scatter_p.infer([x, Aval((2, 4, 5), "int32"), index], params)


# ----- gradients -----

GRADIENT_CASES = [CASES[0], CASES[1], CASES[2], CASES[5], CASES[6], CASES[8]]


@pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
def test_gather_gradients(check_grads, case):
    x, indices, _ = draw(case, "float64")
    places = tuple(tensor(i) for i in indices)
    check_grads(lambda t: lang.gather(lang.mul(t, t), places, case[1]), x)


@pytest.mark.parametrize("mode", [*UFUNCS, "set"])
@pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
def test_scatter_gradients(check_grads, case, mode):
    x, indices, updates = draw(case, "float64")
    places = tuple(tensor(i) for i in indices)

    def fn(t, u):
        return lang.scatter(lang.mul(t, t), lang.mul(u, u), places, case[1], mode)

    check_grads(fn, x, updates)


def test_products_with_zeros(check_grads):
    """First derivatives are exact however many updates of one place are zero."""
    index = (tensor(np.array([0, 0, 0, 1, 1, 2], np.int32)),)
    x = np.array([2.0, 3.0, 0.0, 5.0])

    def fn(t, u):
        return lang.scatter(t, u, index, (0,), "mul")

    check_grads(fn, x, np.array([0.0, 2.0, 3.0, 0.5, 0.0, 0.0]))
    check_grads(fn, x, np.array([0.0, 0.0, 3.0, 0.0, 0.0, 0.0]), order=1)


def test_ties_share_the_gradient(check_grads, numpy_engine):
    index = tensor(np.array([0, 0, 1], np.int32))
    args = (tensor(np.array([1.0, 5.0])), tensor(np.array([1.0, 1.0, 4.0])), index)
    params = {"axes": (0,), "mode": "max"}
    result = lang.scatter(args[0], args[1], (index,), **params)
    g = tensor(np.array([3.0, 7.0]))
    gx, gu, _ = lang.scatter_p.backward((True, True, False), g, result, args, params)
    assert gx.tolist() == [1.0, 7.0]
    assert gu.tolist() == [1.0, 1.0, 0.0]
