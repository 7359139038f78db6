"""Prepared movement, creation, running sums and sorting."""

import numpy as np
import pytest

from kbackend_numpy.kernels import movement, scan, sort
from tests.engines.numpy_prepared.harness import allocated, check, prepared

KERNELS = movement.KERNELS | scan.KERNELS | sort.KERNELS


def _numbers(shape, dtype="float32"):
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def _layouts(x):
    yield x
    yield np.ascontiguousarray(x.T).T


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "float16"])
@pytest.mark.parametrize(("shapes", "axis"), [([(2, 3), (2, 1), (2, 4)], 1), ([(3, 2), (0, 2)], 0)])
def test_concatenate(shapes, axis, dtype):
    xs = [_numbers(shape, dtype) for shape in shapes]
    check(KERNELS["concatenate"], xs, {"axis": axis})
    check(KERNELS["concatenate"], [np.ascontiguousarray(x.T).T for x in xs], {"axis": axis})


@pytest.mark.parametrize(
    "widths",
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 2, 0), (3, 0, 0)),
        ((0, 0, 0), (0, 1, 0)),
        ((1, 0, 2), (0, 2, 1)),
    ],
)
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (0, 2), (3, 0)])
def test_pad(shape, widths):
    for x in _layouts(_numbers(shape)):
        check(KERNELS["pad"], [x, np.array(-7, "float32")], {"widths": widths})


@pytest.mark.parametrize("starts", [(0, 0), (2, 1), (-3, 9)])
def test_dynamic_slices(starts):
    starts = np.array(starts, "int32")
    for x in _layouts(_numbers((5, 6))):
        check(KERNELS["dynamic_slice"], [x, starts], {"sizes": (3, 2)})
        check(KERNELS["dynamic_update_slice"], [x, -_numbers((3, 2)), starts])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool", "complex64"])
def test_creation(dtype):
    check(KERNELS["full"], [], {"shape": (2, 3), "value": 1, "dtype": dtype})
    check(KERNELS["full"], [], {"shape": (), "value": 0, "dtype": dtype})
    if dtype != "bool":
        for axis in (0, 1):
            check(KERNELS["iota"], [], {"shape": (2, 3), "axis": axis, "dtype": dtype})


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "axis"), [((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 0), 1)])
def test_running(shape, axis, reverse, dtype, rng):
    for x in _layouts((rng.normal(size=shape) * 3).astype(dtype)):
        for name in ("cumsum", "cumprod"):
            check(KERNELS[name], [x], {"axis": axis, "reverse": reverse})


@pytest.mark.parametrize("axis", [0, 1])
def test_sort(axis, rng):
    x = rng.normal(size=(7, 5)).astype("float32")
    x[2, 3], x[4, 1] = np.nan, np.inf
    for layout in _layouts(x):
        check(KERNELS["sort"], [layout], {"axis": axis})


def test_an_update_stays_in_its_memory():
    ready, _ = prepared(
        KERNELS["dynamic_update_slice"],
        [_numbers((4, 4)), _numbers((1, 1)), np.zeros(2, "int32")],
        {},
    )
    assert ready.overwrites == ((0, 0),)


def test_nothing_is_allocated(rng):
    x = rng.normal(size=(300, 400)).astype("float32")
    starts = np.array((3, 4), "int32")
    cases = [
        ("concatenate", [x, x], {"axis": 1}),
        ("pad", [x, np.array(0, "float32")], {"widths": ((1, 1, 0), (2, 2, 0))}),
        ("dynamic_slice", [x, starts], {"sizes": (50, 60)}),
        ("dynamic_update_slice", [x, x[:50, :60].copy(), starts], {}),
        ("full", [], {"shape": (300, 400), "value": 2.5, "dtype": "float32"}),
        ("iota", [], {"shape": (300, 400), "axis": 1, "dtype": "float32"}),
        ("cumsum", [x], {"axis": 1, "reverse": False}),
        ("sort", [x], {"axis": 1}),
    ]
    for name, inputs, params in cases:
        # Views, and what sorting a line takes.
        assert allocated(KERNELS[name], inputs, params) < 4096, name
