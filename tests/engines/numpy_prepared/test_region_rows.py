"""Regions that broadcast short rows, whose rows are joined."""

import numpy as np
import pytest

from kbackend_numpy import region_rows, threads
from tests.engines.numpy_prepared.harness import allocated
from tests.engines.numpy_prepared.test_region import _Kernel, check, floats

BIASED = [("add", (0, 1), {}, "float32"), ("mul", (2, 0), {}, "float32")]
# Shape and shape of the row: one block, several, rows of several dimensions.
JOINED = [
    ((8192, 32), (32,)), ((2048, 256), (1, 256)), ((512, 16, 4, 24), (4, 24)),
    ((4096, 3, 100), (1, 3, 100)),
]  # fmt: skip


def lengths(kernel, arrays):
    """Lengths of the repeated rows, in the order of the inputs that they are made of."""
    inputs = tuple(region_rows.Spec(a.shape, a.dtype.name) for a in arrays)
    found = region_rows._widen(kernel.region(inputs))
    return None if found is None else (found.region.shape[1], list(found.repeated.values()))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("shape", "row"), JOINED)
def test_results_are_the_same_bits(shape, row, several, rng):
    kernel, arrays = _Kernel(BIASED, (3,)), [floats(s, "float32", rng) for s in (shape, row)]
    wide, (length,) = lengths(kernel, arrays)
    assert wide >= 8192
    assert length == np.prod(row)
    if several:
        with threads.owned():
            check(kernel, arrays)
    else:
        check(kernel, arrays)


def test_rows_of_several_inputs_and_dtypes(rng):
    shape = (4096, 128)
    x, bias, limit = (floats(s, "float32", rng) for s in (shape, shape[1:], (1, 128)))
    keep, half = rng.random(128) < 0.5, np.array(0.5, np.float32)
    nodes = [
        ("add", (0, 1), {}, "float32"),
        ("gelu", (5,), {"approximate": False}, "float32"),
        ("le", (6, 2), {}, "bool"),
        ("select", (7, 6, 4), {}, "float32"),
        ("select", (3, 8, 0), {}, "float32"),
    ]
    kernel = _Kernel(nodes, (6, 9, 7))
    arrays = [x, bias, limit, keep, half]
    assert lengths(kernel, arrays) == (8192, [128, 128, 128])
    check(kernel, arrays)


@pytest.mark.parametrize(
    ("shape", "row"),
    [
        ((8192, 16), (16,)),  # too few of them
        ((4099, 128), (128,)),  # an odd number of rows
        ((64, 8192), (8192,)),  # long enough as they are
        ((8192, 64), (8192, 1)),  # a column
        ((64, 128, 64), (64, 1, 64)),  # something else
        ((8192, 64), (8192, 64)),
        ((8192, 64), ()),
    ],
)
def test_what_is_left_as_it_is(shape, row, rng):
    kernel, arrays = _Kernel(BIASED, (3,)), [floats(s, "float32", rng) for s in (shape, row)]
    assert lengths(kernel, arrays) is None
    check(kernel, arrays)


def test_strided_inputs_are_left_as_they_are(rng):
    kernel, bias = _Kernel(BIASED, (3,)), floats((64,), "float32", rng)
    x = floats((64, 8192), "float32", rng).T
    ready = check(kernel, [x, bias])
    assert all(spec.shape[-1] != 8192 for spec in ready.scratch)


def test_nothing_is_allocated(rng):
    x, bias = rng.standard_normal((8192, 64), "float32"), rng.standard_normal(64, "float32")
    # Views of the blocks, but no arrays.
    assert allocated(_Kernel(BIASED, (3,)), [x, bias]) < 4096
