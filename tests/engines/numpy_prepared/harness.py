"""Runs a prepared kernel as a compiled program would: into memory that it is handed."""

import tracemalloc

import numpy as np

from kbackend.base.dtypes import name_of, numpy_dtype
from kbackend.engine.program import Spec


def spec(array):
    """What a compiler knows of an array."""
    dtype = name_of(array.dtype)
    if array.flags.c_contiguous:
        return Spec(array.shape, dtype)
    return Spec(array.shape, dtype, tuple(s // array.itemsize for s in array.strides))


def garbage(spec):
    """Memory with contents that no kernel may use."""
    dtype = numpy_dtype(spec.dtype)
    out = np.empty(spec.shape, dtype)
    out.reshape(-1).view(np.uint8)[...] = 0xFF  # NaN as a float
    return out


def eager(kernel, inputs, params):
    """The results of the kernel's `fn`, as a list."""
    with np.errstate(all="ignore"):
        found = kernel.fn(*inputs, **params)
    return list(found) if isinstance(found, tuple) else [np.asarray(found)]


def prepared(kernel, inputs, params):
    """The kernel for these inputs, and the specs of its results."""
    outputs = tuple([Spec(a.shape, name_of(a.dtype)) for a in eager(kernel, inputs, params)])
    ready = kernel.prepare(tuple(map(spec, inputs)), outputs, **params)
    assert ready is not None, "declined"
    return ready, outputs


def run(kernel, inputs, params, in_place=False):
    """The results of the prepared kernel; `in_place` puts them where it may overwrite inputs."""
    ready, outputs = prepared(kernel, inputs, params)
    inputs, kept = list(inputs), [a.copy() for a in inputs]
    made, replaced = [garbage(s) for s in outputs], {}
    for given, output in ready.overwrites if in_place else ():
        free = given not in replaced and output not in replaced.values()
        if free and inputs[given].flags.c_contiguous:
            made[output][...] = inputs[given]
            inputs[given] = made[output]
            replaced[given] = output
    with np.errstate(all="ignore"):
        ready.run(*made, *inputs, *map(garbage, ready.scratch))
    for place, (array, before) in enumerate(zip(inputs, kept, strict=True)):
        if place not in replaced:
            np.testing.assert_array_equal(array, before)
    return made


def check(kernel, inputs, params=None, rtol=0.0, atol=0.0):
    """Asserts that the prepared kernel gives what `fn` does, also in the memory of its inputs."""
    params = params or {}
    wanted = eager(kernel, inputs, params)
    for in_place in (False, True):
        for f, w in zip(run(kernel, inputs, params, in_place), wanted, strict=True):
            assert f.dtype == w.dtype and f.shape == w.shape
            if rtol or atol:
                np.testing.assert_allclose(f, w, rtol=rtol, atol=atol)
            else:
                np.testing.assert_array_equal(f, w)


def allocated(kernel, inputs, params=None):
    """Bytes at the peak of a run beyond what was there before."""
    params = params or {}
    ready, outputs = prepared(kernel, inputs, params)
    arrays = [*map(garbage, outputs), *inputs, *map(garbage, ready.scratch)]
    with np.errstate(all="ignore"):
        ready.run(*arrays)
        tracemalloc.start()
        try:
            ready.run(*arrays)
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            ready.run(*arrays)
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
