"""Convolutions that end with elementwise operations."""

import numpy as np
import pytest

from kbackend.engine.program import Node, Region, Spec
from kbackend_numba import table
from tests.engines.numba import harness
from tests.engines.numba.test_conv import CASES, calls

NAMES = ("plain", "same", "odd channels", "strides", "groups", "groups of four, strided",
         "wide groups", "depthwise", "depthwise, borders apart", "1-D", "3-D", "short, padded",
         "short, left over")  # fmt: skip


def ended(shape):
    """(result + row) * other."""
    whole, row = Spec(shape, "float32"), Spec(shape[-1:], "float32")
    nodes = (Node("add", (0, 1), {}, whole), Node("mul", (3, 2), {}, whole))
    return Region((whole, row, whole), nodes, (4,), shape)


@pytest.mark.parametrize("batch", [2, 33])
@pytest.mark.parametrize("name", NAMES)
def test_endings(name, batch):
    # A filter's gradient has none.
    for primitive, inputs, params in list(calls(CASES[name], batch))[:2]:
        (wanted,) = harness.reference(primitive, inputs, params)
        rng = np.random.default_rng(3)
        row = rng.standard_normal(wanted.shape[-1]).astype("float32")
        other = rng.standard_normal(wanted.shape).astype("float32")
        everything = (*inputs, row, other)
        ready = table.prepare(
            "epilogue", tuple(map(harness.spec, everything)), (harness.spec(wanted),),
            {"op": primitive, "params": params, "region": ended(wanted.shape), "place": 0},
        )  # fmt: skip
        found, pieces = np.full_like(wanted, np.nan), np.full_like(wanted, np.nan)
        ready.run(found, *everything, *map(harness.garbage, ready.scratch))
        # Sums of unit size in another order.
        np.testing.assert_allclose(found, (wanted + row) * other, rtol=2e-5, atol=1e-4)
        scratch = [harness.garbage(spec) for spec in ready.scratch]
        harness.item_by_item(ready, [pieces, *everything, *scratch])
        np.testing.assert_array_equal(pieces, found)
