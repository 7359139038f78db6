"""Copies from any layout into contiguous memory."""

from itertools import permutations

import numpy as np
import pytest

from kbackend_numba.kernels.copying import copy, packed
from kbackend_numba.native import Native, native
from tests.engines.numba import harness


def check(x):
    """Copies whole, and item by item."""
    call = copy(harness.spec(x), 1, 0)
    ready = native([call])
    for run in (ready.run, lambda *arrays: harness.item_by_item(ready, arrays)):
        out = np.empty(x.shape, x.dtype)
        out.reshape(-1).view(np.uint8)[...] = 0xFF
        run(out, x)
        np.testing.assert_array_equal(out, x)


def numbers(shape, dtype="float32"):
    return (np.arange(np.prod(shape, dtype=int)) % 251).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("shape", [(3, 5), (17, 33), (64, 70), (16, 16)])
def test_transposed(shape, dtype):
    check(numbers(shape, dtype).T)


@pytest.mark.parametrize("order", [*permutations(range(4))])
@pytest.mark.parametrize("shape", [(2, 33, 3, 17), (20, 4, 18, 3)])
def test_orders(shape, order):
    check(numbers(shape).transpose(order))


LAYOUTS = {
    "contiguous": lambda x: x,
    "scalar": lambda x: x[0, 0, 0],
    "every other": lambda x: x[:, :, ::2],
    "backwards": lambda x: x[:, ::-1, ::-1],
    "rows of part": lambda x: x[1:, :, 3:20],
    "rows backwards": lambda x: x[::-1, :, 1:],
    "repeated": lambda x: np.broadcast_to(x[:, None, 1], (4, 9, 40)),
    "repeated numbers": lambda x: np.broadcast_to(x[:, :, :1], (4, 37, 40)),
    "one number": lambda x: np.broadcast_to(x[0, 0, 0], (3, 50)),
    "diagonal": lambda x: np.einsum("iij->ij", np.broadcast_to(x[:, :4], (4, 4, 40))),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(layout):
    check(np.asarray(layout(numbers((4, 37, 40)))))


def test_large():
    check(numbers((50_001,)))
    check(np.broadcast_to(np.float32(3), (50_001,)))


def test_nothing():
    assert copy(harness.spec(np.empty((0, 3), "float32")), 1, 0) is None


def test_a_kernel_for_contiguous_inputs_takes_others():
    @packed
    def prepare(inputs, outputs):
        assert all(given.contiguous for given in inputs)
        return native([copy(inputs[1], 2, 0)], overwrites=[(0, 0), (1, 0)])

    a, b = numbers((6, 40)), numbers((40, 6)).T
    ready = prepare((harness.spec(a), harness.spec(b)), (harness.spec(a),))
    assert isinstance(ready, Native)
    assert ready.overwrites == ((0, 0),)
    out = np.empty_like(a)
    ready.run(out, a, b, *map(harness.garbage, ready.scratch))
    np.testing.assert_array_equal(out, b)
