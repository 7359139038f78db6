"""The count of bytes that launches move."""

import numpy as np

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.region import plan
from tests.engines.cupy.kernels import needs_text
from tests.engines.cupy.regions import product, sums
from tests.engines.cupy.traffic import launched

pytestmark = needs_text


def moved(region, outputs):
    """Bytes that a region moves: (by launch, by block)."""
    planned = plan(region, region.inputs)
    arrays = (*outputs, *region.inputs, *planned.scratch)
    same = tuple(range(len(arrays)))
    return launched(planned.launches, arrays, same, planned.tickets)[1:]


def test_each_element_once():
    x = np.zeros((40, 64), "float32")
    region = product(x, x, (40, 64))
    # Two arrays are read, and two are written.
    assert moved(region, [Spec((40, 64), "float32")] * 2) == (4 * x.nbytes,) * 2


def test_what_all_blocks_read():
    x = np.zeros((4096, 64), "float32")
    region = product(x, x[0], x.shape)
    by_launch, by_block = moved(region, [Spec(x.shape, "float32")] * 2)
    # A block does 1024 elements, and reads the row for them.
    assert by_launch == 3 * x.nbytes + x[0].nbytes
    assert by_block == 3 * x.nbytes + x[0].nbytes * (x.size // 1024)


def test_results_of_shares_are_written_and_read():
    shape = (4096, 64)
    x, out = Spec(shape, "float32"), Spec((64,), "float32")
    region = sums(shape, (0,))
    by_launch, _ = moved(region, [out, out, x])
    assert by_launch > 2 * x.size * 4 + 2 * out.size * 4
