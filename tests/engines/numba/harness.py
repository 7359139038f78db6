"""Runs compiled kernels as a program would, and compares them with NumPy's."""

import ctypes

import numpy as np

from kbackend_numba import table
from kbackend_numba.codegen.compile import PROTOTYPE
from kbackend_numba.native import Native
from kbackend_numpy.engine import NumpyEngine
from tests.engines.numpy_prepared.harness import eager, garbage, spec

_ENGINE = NumpyEngine()


def reference(name, inputs, params):
    """What NumPy's kernel gives."""
    return eager(_ENGINE.table.get(name) or _ENGINE.composites[name], inputs, params)


def prepared(name, inputs, outputs, params):
    """The compiled kernel for these arrays, or `None`."""
    return table.prepare(name, tuple(map(spec, inputs)), tuple(map(spec, outputs)), params)


def item_by_item(ready, arrays):
    """Runs a kernel's calls one item at a time, the last item first, as other threads might."""
    for call in ready.calls:
        table = (ctypes.c_int64 * len(call.arrays))(*[arrays[i].ctypes.data for i in call.arrays])
        sizes = (ctypes.c_int64 * max(len(call.sizes), 1))(*call.sizes)
        function = PROTOTYPE(call.function.address)
        for item in reversed(range(call.items)):
            function(ctypes.addressof(table), ctypes.addressof(sizes), item, item + 1, 0)


def outcomes(name, inputs, params, outputs):
    """The results in new memory, item by item, and in the memory of inputs where that may be."""
    ready = prepared(name, inputs, outputs, params)
    assert isinstance(ready, Native), "declined"
    made = [garbage(spec(a)) for a in outputs]
    before = [a.copy() for a in inputs]
    ready.run(*made, *inputs, *map(garbage, ready.scratch))
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    pieces = [garbage(spec(a)) for a in outputs]
    item_by_item(ready, [*pieces, *inputs, *map(garbage, ready.scratch)])
    for found, piece in zip(made, pieces, strict=True):
        np.testing.assert_array_equal(piece, found)
    yield made
    for given, output in ready.overwrites:
        if not inputs[given].flags.c_contiguous:
            continue
        again, arrays = [garbage(spec(a)) for a in outputs], list(inputs)
        again[output][...] = inputs[given]
        arrays[given] = again[output]
        ready.run(*again, *arrays, *map(garbage, ready.scratch))
        yield again


def check(name, inputs, params=None, rtol=0.0, atol=0.0):
    """Asserts that the compiled kernel gives what NumPy's does, for any order of its items."""
    params = params or {}
    wanted = reference(name, inputs, params)
    for made in outcomes(name, inputs, params, wanted):
        for found, want in zip(made, wanted, strict=True):
            if rtol or atol:
                np.testing.assert_allclose(found, want, rtol=rtol, atol=atol)
            else:
                np.testing.assert_array_equal(found, want)
