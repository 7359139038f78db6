"""Compiled `dot`: every form and layout, against NumPy's."""

import numpy as np
import pytest

from kbackend.config import set_num_threads
from tests.engines.numba.harness import check, prepared
from tests.engines.numpy_prepared.harness import garbage
from tests.engines.numpy_prepared.test_contract import FORMS, LAYOUTS, contiguous

# Sums in another order: relative to the largest terms, a few roundings of float32.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def compare(form, x_layout, y_layout, dtype, rng):
    x_shape, y_shape, contract, batch = FORMS[form]
    x, y = np.asarray(x_layout(rng, x_shape, dtype)), np.asarray(y_layout(rng, y_shape, dtype))
    check("dot", (x, y), {"contract": contract, "batch": batch}, **TOLERANCE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_forms(form, layout, rng):
    for other in LAYOUTS:
        compare(form, layout, other, "float32", rng)
    compare(form, layout, contiguous, "float64", rng)


def test_infinities_and_nan(rng):
    x, y = contiguous(rng, (50, 70), "float32"), contiguous(rng, (70, 30), "float32")
    x[1, 2], x[3, 0], y[4, 1] = np.inf, np.nan, -np.inf
    check("dot", (x, y), {"contract": ((1,), (0,))}, **TOLERANCE)


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_other_dtypes_are_left_to_numpy(dtype):
    x = np.ones((2, 2), dtype)
    assert prepared("dot", (x, x), (x,), {"contract": ((1,), (0,))}) is None


def test_views_are_not_copied(rng):
    def copied(x, y, contract, batch=((), ())):
        sizes = [s for pairs in (contract, batch) for s in pairs[0]]
        out = np.zeros([d for i, d in enumerate(x.shape) if i not in sizes], "float32")
        out = np.zeros((*out.shape, y.shape[-1]), "float32")
        ready = prepared("dot", (x, y), (out,), {"contract": contract, "batch": batch})
        # With short vectors a few rows at a time are packed.
        return any(spec.size >= x.size // 4 for spec in ready.scratch)

    heads = contiguous(rng, (8, 64, 4, 16), "float32")
    weights = contiguous(rng, (16, 64), "float32")
    assert not copied(heads, weights, ((3,), (0,)))
    # Rows of x lie apart, but each is in one piece.
    assert not copied(heads[:, :, 1], weights, ((2,), (0,)))


def test_long_sums_are_cut_the_same_for_any_number_of_threads(rng):
    x, y = contiguous(rng, (4096, 40), "float32"), contiguous(rng, (4096, 64), "float32")
    found = []
    for count in (1, 2, 5):
        set_num_threads(count)
        out = np.full((40, 64), np.nan, "float32")
        ready = prepared("dot", (x, y), (out,), {"contract": ((0,), (0,))})
        ready.run(out, x, y, *map(garbage, ready.scratch))
        found.append(out)
    set_num_threads(None)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose(found[0], x.T.astype("float64") @ y, rtol=1e-4, atol=1e-4)
