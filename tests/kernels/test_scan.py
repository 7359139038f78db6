"""Running sums and products, their gradients at zeros too."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.tensor import tensor


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "complex64"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_matches_numpy_both_ways(numpy_engine, name, dtype, axis):
    x = (np.random.default_rng(0).normal(size=(3, 4, 5)) * 3).astype(dtype)
    expected = getattr(np, name)(x, axis=axis, dtype=dtype)
    kernel = numpy_engine[name]
    np.testing.assert_array_equal(kernel(x, axis=axis, reverse=False), expected)
    backwards = kernel(np.flip(x, axis), axis=axis, reverse=True)
    np.testing.assert_array_equal(np.flip(backwards, axis), expected)
    assert backwards.dtype == dtype


def test_low_precision_accumulates_in_float32(numpy_engine):
    x = np.ones(600, ml_dtypes.bfloat16)
    out = numpy_engine["cumsum"](x, axis=0, reverse=False)
    assert out.dtype == ml_dtypes.bfloat16
    # Adding ones in bfloat16 itself stops at 256.
    assert float(out[-1]) == 600


def test_empty(numpy_engine):
    x = np.zeros((0, 3), np.float32)
    assert numpy_engine["cumprod"](x, axis=0, reverse=True).shape == (0, 3)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_cumprod_gradients_with_zeros(check_grads, size, reverse):
    x = np.random.default_rng(size).normal(size=(3, size))
    x[1, size // 2] = 0.0
    x[2, 0] = x[2, -1] = 0.0
    check_grads(lambda t: lang.cumprod(t, 1, reverse), x)
    check_grads(lambda t: lang.cumprod(t, 0, reverse), x.T)


@pytest.mark.parametrize("reverse", [False, True])
def test_cumsum_gradients(check_grads, reverse):
    x = np.random.default_rng(0).normal(size=(3, 4))
    check_grads(lambda t: lang.cumsum(lang.mul(t, t), 1, reverse), x)


def test_shape_rule():
    aval = Aval((None, 3), "float32")
    assert lang.cumsum_p.infer([aval], {"axis": 0, "reverse": False}) == aval
    with pytest.raises(ValueError, match=r"\[cumsum\] axis=2 is out of bounds"):
        lang.cumsum_p.infer([aval], {"axis": 2, "reverse": False})
    with pytest.raises(TypeError, match="numbers, not bool"):
        lang.cumprod_p.infer([Aval((3,), "bool")], {"axis": 0, "reverse": False})


def test_inputs_are_unchanged(numpy_engine):
    x = tensor(np.arange(4.0))
    lang.cumprod(x, 0, True)
    np.testing.assert_array_equal(x.numpy(), np.arange(4.0))
