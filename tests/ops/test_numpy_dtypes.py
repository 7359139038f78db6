"""Dtypes of the NumPy namespace equal real Keras's for every combination of dtypes."""

import numpy as np
import pytest

from kbackend import ops
from kbackend.core.convert import to_tensor

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

# Those that JAX has without 64 bits.
DTYPES = (
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "int8",
    "int16",
    "int32",
    "bfloat16",
    "float16",
    "float32",
)
UNARY = """
    abs absolute all amax amin any arccos arccosh arcsin arcsinh arctan arctanh argmax argmin
    argsort array average bitwise_invert cbrt ceil conj copy corrcoef cos cosh count_nonzero cumprod
    cumsum deg2rad diag diagonal diff exp exp2 expm1 fabs flip floor i0 imag isfinite isinf isnan
    isneginf isposinf isreal log log10 log1p log2 logical_not max mean median min nan_to_num
    nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd nansum
    nanvar negative ones_like prod ptp rad2deg real reciprocal round sign signbit sin sinc sinh sort
    sqrt square std sum tan tanh trace tril trapezoid trunc var zeros_like
""".split()
BINARY = """
    add append arctan2 bitwise_and bitwise_left_shift bitwise_or bitwise_xor correlate cross
    digitize divide divide_no_nan dot equal
    floor_divide fmax fmin fmod gcd greater heaviside hypot inner
    isclose isin kron lcm ldexp less logaddexp logaddexp2 logical_and logical_xor matmul maximum
    minimum mod multiply nextafter outer power searchsorted subtract tensordot vdot
""".split()
SCALARS = {"a bool": True, "an int": 2, "a float": 2.0}
# With a Python number: it is weak here throughout, while Keras fixes its dtype in some functions.
STRONG = ("append", "arctan2", "logaddexp", "logaddexp2")


def _keras_dtype(fn, *args):
    """The dtype by abstract evaluation, `None` where Keras refuses."""
    try:
        out = jax.eval_shape(fn, *args)
    except (TypeError, ValueError):
        return None
    return keras.backend.standardize_dtype(out.dtype)


def _ones(shape, dtype):
    return to_tensor(np.ones(shape), dtype)


def _spec(shape, dtype):
    return jax.ShapeDtypeStruct(shape, dtype)


@pytest.mark.parametrize("name", UNARY)
def test_one_argument(name):
    for dtype in DTYPES:
        want = _keras_dtype(getattr(keras.ops, name), _spec((2, 2), dtype))
        if want is not None:
            assert getattr(ops, name)(_ones((2, 2), dtype)).dtype == want, dtype


@pytest.mark.parametrize("name", BINARY)
def test_two_arguments(name):
    theirs, ours = getattr(keras.ops, name), getattr(ops, name)
    for first in DTYPES:
        for second in DTYPES:
            want = _keras_dtype(theirs, _spec((3,), first), _spec((3,), second))
            if want is not None:
                got = ours(_ones((3,), first), _ones((3,), second)).dtype
                # The dtype above uint32 and a signed one, which JAX has with 64 bits only.
                assert got == want or (got, want) == ("int64", "int32"), (first, second)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("scalar", SCALARS.values(), ids=SCALARS.keys())
def test_python_numbers_are_weak(name, scalar):
    if name in STRONG:
        pytest.skip("Keras gives the number a dtype of its own")
    theirs, ours = getattr(keras.ops, name), getattr(ops, name)
    for dtype in DTYPES:
        want = _keras_dtype(lambda x: theirs(x, scalar), _spec((3,), dtype))  # noqa: B023
        if want is not None:
            assert ours(_ones((3,), dtype), scalar).dtype == want, dtype


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64", "complex64", "complex128"])
def test_wide_dtypes_stay(dtype):
    x = _ones((2, 2), dtype)
    for fn in (ops.add, ops.multiply, ops.subtract, ops.matmul, ops.where):
        args = (True, x, x) if fn is ops.where else (x, x)
        assert fn(*args).dtype == dtype
    for fn in (ops.sum, ops.prod, ops.cumsum, ops.ravel, ops.square, ops.negative):
        assert fn(x).dtype == dtype


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_means_of_half_precision_do_not_overflow(dtype):
    x = to_tensor(np.full(100_000, 3.0), dtype)
    assert ops.mean(x).item() == 3.0
    assert ops.var(x).item() == 0.0
    assert ops.std(x).dtype == dtype
