"""Compiled movement of elements: what NumPy's kernels give."""

import numpy as np
import pytest

from tests.engines.numba import harness

DTYPES = ["float32", "int32", "bool", "float16", "complex64"]


def numbers(shape, dtype="float32"):
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def layouts(x):
    yield x
    yield np.ascontiguousarray(x.T).T


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(2, 3), (2, 1), (2, 4)], 1),
        ([(3, 2), (0, 2), (1, 2)], 0),
        ([(2, 3, 17), (2, 5, 17)], 1),
        ([(2, 3, 33), (2, 3, 16), (2, 3, 1)], -1),
        ([(2, 9000), (2, 300)], 1),
    ],
)
def test_concatenate(shapes, axis, dtype):
    xs = [numbers(shape, dtype) for shape in shapes]
    for given in (xs, [np.ascontiguousarray(x.T).T for x in xs]):
        harness.check("concatenate", given, {"axis": axis})


@pytest.mark.parametrize(
    "widths",
    [
        ((0, 0, 0), (0, 0, 0), (0, 0, 0)),
        ((1, 2, 0), (3, 0, 0), (0, 0, 0)),
        ((0, 0, 0), (0, 1, 0), (2, 0, 0)),
        ((1, 0, 2), (0, 2, 1), (0, 0, 0)),
        ((0, 0, 0), (1, 1, 0), (0, 3, 1)),
    ],
)
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 40), (1, 1, 1), (0, 2, 3), (3, 0, 2)])
def test_pad(shape, widths):
    for x in layouts(numbers(shape)):
        harness.check("pad", [x, np.array(-7, "float32")], {"widths": widths})


def test_pad_of_other_dtypes():
    for dtype in DTYPES:
        given = [numbers((3, 5), dtype), np.array(1, dtype)]
        harness.check("pad", given, {"widths": ((1, 1, 0), (2, 0, 0))})
    harness.check("pad", [np.array(3.0), np.array(1.0)], {"widths": ()})


@pytest.mark.parametrize("starts", [(0, 0, 0), (2, 1, 0), (-3, 9, 2)])
@pytest.mark.parametrize("sizes", [(3, 2, 4), (1, 6, 4), (2, 6, 2), (5, 6, 4), (1, 1, 1)])
def test_dynamic_slices(starts, sizes):
    for dtype in ("int32", "int64"):
        at = np.array(starts, dtype)
        for x in layouts(numbers((5, 6, 4))):
            harness.check("dynamic_slice", [x, at], {"sizes": sizes})
            harness.check("dynamic_update_slice", [x, -numbers(sizes), at])


@pytest.mark.parametrize("dtype", [*DTYPES, "int8", "float64"])
def test_full(dtype):
    harness.check("full", [], {"shape": (2, 300), "value": 1, "dtype": dtype})
    harness.check("full", [], {"shape": (), "value": 0, "dtype": dtype})


def test_special_numbers():
    for value in (np.nan, -0.0, -np.inf, 1e-45):
        harness.check("full", [], {"shape": (40,), "value": value, "dtype": "float32"})


def test_reshape_of_strided():
    harness.check("reshape", [numbers((4, 5, 6)).T], {"shape": (6, 20)})
