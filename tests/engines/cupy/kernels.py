"""Launches of the CuPy engine run on the CPU, and compiled for real devices."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from kbackend.base.dtypes import DTYPE_NAMES, numpy_dtype
from kbackend.engine.program import Spec
from tests.gpu_simulator import cuda_on_cpu, ingredients, nvrtc

needs_text = pytest.mark.skipif(
    ingredients.missing_for_text() is not None, reason=str(ingredients.missing_for_text())
)


def spec(array):
    """What the planner says of an array."""
    strides = None
    if not array.flags.c_contiguous:
        strides = tuple(s // array.itemsize for s in array.strides)
    return Spec(array.shape, DTYPE_NAMES[array.dtype], strides)


def garbage(given):
    """Memory as a kernel finds it: all bits set, which is NaN."""
    dtype = numpy_dtype(given.dtype)
    count = int(np.prod(given.shape))
    # Rounded up to what a device allocates, so that it begins at an aligned place.
    raw = np.full(count * dtype.itemsize + 64, 255, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * dtype.itemsize].view(dtype).reshape(given.shape)


def execute(plan, outputs, inputs, change=None, **build):
    """The outputs of a plan.

    Args:
        plan: launches and the scratch that they need.
        outputs: specs.
        inputs: arrays.
        change: makes another text of each text, such as one with a fault.
        **build: further arguments of `cuda_on_cpu.build`.
    """
    results = [garbage(one) for one in outputs]
    tickets = np.zeros(plan.tickets, np.uint32)
    arrays = [*results, *inputs, *[garbage(one) for one in plan.scratch], tickets]
    for launch in plan.launches:
        # An argument is the address of the first element, whatever the strides.
        given = [arrays[i] for i in launch.arrays]
        text = launch.text if change is None else change(launch.text)
        library = cuda_on_cpu.build(text, **build)
        cuda_on_cpu.launch(
            library, launch.name, launch.grid, launch.block, [*given, *launch.scalars]
        )
    # The next run finds them as this one did.
    assert not tickets.any()
    return results


@functools.cache
def compiled(text, architecture):
    """What each kernel of a text takes on a real device."""
    return nvrtc.compile(text, architecture)[1]
