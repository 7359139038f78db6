"""`dot` into planned memory: every form, layout and split."""

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.table import table

from .harness import allocated, check, prepared

DOT = table()["dot"]
# Sums in another order: relative to the largest terms, a few roundings of float32.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

# (shape of x, shape of y, contract, batch)
FORMS = {
    "plain": ((5, 7), (7, 3), ((1,), (0,)), ((), ())),
    "x transposed": ((7, 5), (7, 3), ((0,), (0,)), ((), ())),
    "y transposed": ((5, 7), (3, 7), ((1,), (1,)), ((), ())),
    "both transposed": ((7, 5), (3, 7), ((0,), (1,)), ((), ())),
    "rows": ((2, 5, 7), (7, 3), ((2,), (0,)), ((), ())),
    "rows by heads": ((2, 5, 7), (7, 4, 3), ((2,), (0,)), ((), ())),
    "heads summed": ((2, 5, 4, 3), (4, 3, 6), ((2, 3), (0, 1)), ((), ())),
    "heads summed, last": ((2, 5, 4, 3), (6, 4, 3), ((2, 3), (1, 2)), ((), ())),
    "samples summed": ((2, 5, 7), (2, 5, 3), ((0, 1), (0, 1)), ((), ())),
    "samples summed, heads": ((2, 5, 7), (2, 5, 4, 3), ((0, 1), (0, 1)), ((), ())),
    "apart": ((2, 5, 7), (7, 3, 2), ((0, 2), (2, 0)), ((), ())),
    "stacked": ((4, 5, 7), (4, 7, 3), ((2,), (1,)), ((0,), (0,))),
    "scores": ((3, 40, 4, 6), (3, 33, 4, 6), ((3,), (3,)), ((0, 2), (0, 2))),
    "attended": ((3, 4, 9, 8), (3, 8, 4, 6), ((3,), (1,)), ((0, 1), (0, 2))),
    "attended, back": ((3, 4, 9, 8), (3, 9, 4, 6), ((2,), (1,)), ((0, 1), (0, 2))),
    "batch behind": ((5, 7, 4), (7, 3, 4), ((1,), (0,)), ((2,), (2,))),
    "vectors": ((7,), (7,), ((0,), (0,)), ((), ())),
    "vector by matrix": ((7,), (7, 3), ((0,), (0,)), ((), ())),
    "matrix by vector": ((5, 7), (7,), ((1,), (0,)), ((), ())),
    "stacked vectors": ((4, 7), (4, 7), ((1,), (1,)), ((0,), (0,))),
    "outer": ((5,), (3,), ((), ()), ((), ())),
    "outer, stacked": ((4, 5, 2), (4, 3), ((), ()), ((0,), (0,))),
    "one term": ((5, 1), (1, 3), ((1,), (0,)), ((), ())),
    "scalars": ((), (), ((), ()), ((), ())),
    "scalar by matrix": ((), (5, 3), ((), ()), ((), ())),
    "one row": ((1, 7), (7, 3), ((1,), (0,)), ((), ())),
    "one column": ((1, 5, 7), (7, 1), ((2,), (0,)), ((), ())),
    "elementwise": ((4, 5), (4, 5), ((), ()), ((0, 1), (0, 1))),
    "everything": ((4, 5), (5, 4), ((0, 1), (1, 0)), ((), ())),
    "no samples": ((0, 7), (7, 3), ((1,), (0,)), ((), ())),
    "no terms": ((5, 0), (0, 3), ((1,), (0,)), ((), ())),
    "tall": ((3, 70, 5), (5, 6), ((2,), (0,)), ((), ())),
    "wide": ((6, 5), (5, 1, 70, 2), ((1,), (0,)), ((), ())),
    "wide, from the left": ((64, 5), (64, 160), ((0,), (0,)), ((), ())),
    "large": ((3, 60, 7), (7, 4, 25), ((2,), (0,)), ((), ())),
}


def contiguous(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def reversed_axes(rng, shape, dtype):
    return rng.standard_normal(shape[::-1]).astype(dtype).T


def axes_swapped(rng, shape, dtype):
    if len(shape) < 3:
        return reversed_axes(rng, shape, dtype)
    order = (0, 2, 1, *range(3, len(shape)))
    made = rng.standard_normal([shape[i] for i in order]).astype(dtype)
    return made.transpose(order)


def every_other(rng, shape, dtype):
    made = rng.standard_normal([2 * d for d in shape]).astype(dtype)
    return made[tuple([slice(None, None, 2)] * len(shape))]


def padded(rng, shape, dtype):
    made = rng.standard_normal([d + 3 for d in shape]).astype(dtype)
    return made[tuple([slice(1, 1 + d) for d in shape])]


def repeated(rng, shape, dtype):
    first = tuple([1 if i == 0 else d for i, d in enumerate(shape)])
    return np.broadcast_to(rng.standard_normal(first).astype(dtype), shape)


def backwards(rng, shape, dtype):
    made = rng.standard_normal(shape).astype(dtype)
    return made[tuple([slice(None, None, -1)] * len(shape))]


LAYOUTS = (
    contiguous, reversed_axes, axes_swapped, every_other, padded, repeated, backwards,
)  # fmt: skip


@pytest.fixture
def two_threads(monkeypatch):
    """Everything is split, over two threads."""
    monkeypatch.setattr(threads, "count", lambda: 2)
    monkeypatch.setattr(threads, "WORTH_SPLITTING", 0)
    monkeypatch.setattr(threads, "_pool", None)
    with threads.owned():
        yield


def compare(form, x_layout, y_layout, dtype, rng):
    x_shape, y_shape, contract, batch = FORMS[form]
    x, y = x_layout(rng, x_shape, dtype), y_layout(rng, y_shape, dtype)
    check(DOT, (x, y), {"contract": contract, "batch": batch}, **TOLERANCE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_forms(form, layout, rng):
    for other in LAYOUTS:
        compare(form, layout, other, "float32", rng)
    compare(form, layout, contiguous, "float64", rng)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_forms_in_parts(form, layout, rng, two_threads):
    for other in LAYOUTS:
        compare(form, layout, other, "float32", rng)


def test_infinities_and_nan(rng):
    x, y = contiguous(rng, (5, 7), "float32"), contiguous(rng, (7, 3), "float32")
    x[1, 2], x[3, 0], y[4, 1] = np.inf, np.nan, -np.inf
    check(DOT, (x, y), {"contract": ((1,), (0,))}, **TOLERANCE)


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "complex64"])
def test_other_dtypes_are_left_to_the_eager_kernel(dtype):
    x = np.ones((2, 2), dtype)
    with pytest.raises(AssertionError, match="declined"):
        prepared(DOT, (x, x), {"contract": ((1,), (0,))})


def test_views_are_not_copied(rng):
    heads = contiguous(rng, (8, 64, 4, 16), "float32")
    weights = contiguous(rng, (16, 64), "float32")
    ready, _ = prepared(DOT, (heads, weights), {"contract": ((3,), (0,))})
    assert not ready.scratch
    # Rows of x lie apart, but each is in one piece.
    ready, _ = prepared(DOT, (heads[:, :, 1], weights), {"contract": ((2,), (0,))})
    assert not ready.scratch


LARGE = {
    "rows": ((512, 64), (64, 256), ((1,), (0,)), ((), ())),
    "y transposed": ((512, 64), (256, 64), ((1,), (1,)), ((), ())),
    "samples summed": ((16, 32, 64), (16, 32, 128), ((0, 1), (0, 1)), ((), ())),
    "scores": ((16, 64, 4, 16), (16, 64, 4, 16), ((3,), (3,)), ((0, 2), (0, 2))),
    "attended": ((16, 4, 64, 64), (16, 64, 4, 16), ((3,), (1,)), ((0, 1), (0, 2))),
    "matrix by vector": ((512, 256), (256,), ((1,), (0,)), ((), ())),
}


def assert_frugal(form, rng, limit):
    x_shape, y_shape, contract, batch = LARGE[form]
    for layout in LAYOUTS:
        x, y = layout(rng, x_shape, "float32"), layout(rng, y_shape, "float32")
        assert allocated(DOT, (x, y), {"contract": contract, "batch": batch}) < limit


@pytest.mark.parametrize("form", LARGE)
def test_allocates_nothing(form, rng):
    assert_frugal(form, rng, 2048)


@pytest.mark.parametrize("form", LARGE)
def test_allocates_nothing_in_parts(form, rng, two_threads):
    # The views of each part, and what wakes the threads.
    assert_frugal(form, rng, 4096)
