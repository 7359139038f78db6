"""Contractions by cuBLAS's C interface, of operands that lie in many ways."""

import numpy as np
import pytest

from kbackend.base import config
from kbackend.base.dtypes import DTYPE_NAMES, numpy_dtype
from kbackend.engine.program import Spec
from kbackend_cupy.blas import Blas, product

NONE = ((), ())
# Of matrices, on the host and on the device alike.
VIEWS = {
    "as it is": lambda xp, a: a,
    "transposed": lambda xp, a: xp.ascontiguousarray(a.T).T,
    "part of rows": lambda xp, a: xp.concatenate([a, a], axis=1)[:, : a.shape[1]],
    "every second row": lambda xp, a: xp.repeat(a, 2, axis=0)[::2],
}


def described(array):
    """What the planner says of an array."""
    steps = tuple(s // array.itemsize for s in array.strides)
    strides = None if array.flags.c_contiguous else steps
    return Spec(array.shape, DTYPE_NAMES[array.dtype], strides)


def check(cp, x, y, contract, batch=NONE, rtol=1e-5):
    """Multiplies arrays on the device, and compares with NumPy."""
    wide = [cp.asnumpy(a).astype("float64") for a in (x, y)]
    if batch == NONE:
        expected = np.tensordot(*wide, axes=contract)
    else:
        expected = np.stack([np.tensordot(a, b, 1) for a, b in zip(*wide, strict=True)])
    out = cp.full(expected.shape, np.nan, x.dtype)
    prepared = Blas(cp).prepare(
        (described(x), described(y)), (described(out),), contract=contract, batch=batch
    )
    assert prepared is not None
    prepared.run(out, x, y)
    np.testing.assert_allclose(cp.asnumpy(out).astype("float64"), expected, rtol=rtol, atol=rtol)


def normal(cp, rng, *shape, dtype="float32"):
    return cp.asarray(rng.standard_normal(shape).astype(numpy_dtype(dtype)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_dtypes(cp, rng, dtype):
    x, y = normal(cp, rng, 5, 7, dtype=dtype), normal(cp, rng, 7, 3, dtype=dtype)
    check(cp, x, y, ((1,), (0,)), rtol={"float64": 1e-12, "float32": 1e-5}.get(dtype, 0.05))


class Watched:
    """cuBLAS with a note of what is computed in: the last argument but one."""

    def __init__(self, library):
        self.library, self.computed = library, []

    def __getattr__(self, name):
        return getattr(self.library, name)

    def cublasGemmStridedBatchedEx(self, *arguments):  # noqa: N802
        self.computed.append(arguments[-2].value)
        return self.library.cublasGemmStridedBatchedEx(*arguments)


@pytest.mark.parametrize(
    ("dtype", "high", "computed"),
    [("float32", False, 68), ("float32", True, 77), ("float64", True, 70), ("float16", True, 68),
     ("bfloat16", True, 68)],
)  # fmt: skip
def test_products_of_tf32_where_they_are_asked_for(cp, dtype, high, computed):
    blas = Blas(cp)
    blas._library = watched = Watched(blas._load())
    one = Spec((2, 2), dtype)
    config.set_float32_matmul_precision("high" if high else "highest")
    try:
        prepared = blas.prepare((one, one), (one,), contract=((1,), (0,)), batch=NONE)
    finally:
        config.reset()
    x = cp.ones((2, 2), numpy_dtype(dtype))
    prepared.run(cp.empty_like(x), x, x)
    assert watched.computed == [computed]


@pytest.mark.parametrize("second", VIEWS)
@pytest.mark.parametrize("first", VIEWS)
@pytest.mark.parametrize(("i", "j"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_views(cp, rng, first, second, i, j):
    x, y = normal(cp, rng, 6, 4), normal(cp, rng, 6, 4)
    if i != j:
        y = cp.ascontiguousarray(y.T)
    check(cp, VIEWS[first](cp, x), VIEWS[second](cp, y), ((i,), (j,)))


@pytest.mark.parametrize(
    ("x", "y"),
    [((1, 4), (4, 3)), ((5, 4), (4, 1)), ((5, 1), (1, 3)), ((1, 1), (1, 1)), ((5, 2, 3), (3, 4)),
     ((4,), (4,)), ((4,), (4, 3)), ((5, 4), (4,)), ((2, 3, 4), (4, 2, 2))],
)  # fmt: skip
def test_shapes(cp, rng, x, y):
    check(cp, normal(cp, rng, *x), normal(cp, rng, *y), ((len(x) - 1,), (0,)))


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 5, 4), (3, 1, 4), (3, 5, 1)])
def test_batches(cp, rng, shape):
    x, y = normal(cp, rng, *shape), normal(cp, rng, shape[0], shape[2], 6)
    check(cp, x, y, ((2,), (1,)), ((0,), (0,)))


def test_one_for_the_whole_batch(cp, rng):
    x, y = normal(cp, rng, 3, 5, 4), normal(cp, rng, 1, 4, 6)
    y = cp.broadcast_to(y, (3, 4, 6))
    check(cp, x, y, ((2,), (1,)), ((0,), (0,)))


def test_what_would_have_to_be_copied_is_declined():
    x, y = Spec((2, 6, 3, 4), "float32"), Spec((2, 6, 3, 4), "float32")
    assert product(x, y, ((3,), (3,)), ((0, 2), (0, 2))) is None
    backwards = Spec((4, 4), "float32", (-4, 1))
    assert product(backwards, backwards, ((1,), (0,)), NONE) is None
    apart = Spec((4, 4), "float32", (16, 2))
    assert product(apart, apart, ((1,), (0,)), NONE) is None
