"""Kernels that are one loop over the elements of their result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kbackend.engine.program import Ints, Spec
from kbackend.engine.strides import contiguous_strides
from kbackend_cupy.codegen.launch import BLOCK, BLOCKS, THREADS, Kernel, Launch, library
from kbackend_cupy.codegen.scalar import HALVES, TYPES

# Blocks from which on each thread does more than one element.
_MOST = 4096
# Positions have 32 bits.
SHORT = (1 << 31) - 1


def fits(*specs: Spec) -> bool:
    """Whether arrays are of dtypes and sizes that can be written."""
    return all(
        spec.dtype in TYPES
        and sum(abs(s) * d for s, d in zip(steps(spec), spec.shape, strict=True)) <= SHORT
        for spec in specs
    )


def steps(spec: Spec) -> Ints:
    """Elements from one index to the next, per dimension."""
    return contiguous_strides(spec.shape) if spec.strides is None else spec.strides


def pointer(spec: Spec, name: str, written: bool = False) -> str:
    """An array as a parameter."""
    return f"{'' if written else 'const '}{TYPES[spec.dtype]}* {name}"


def libraries(specs: Sequence[Spec], *names: str) -> str:
    """The texts that a kernel on such arrays begins with."""
    half = ["half.cuh"] if HALVES & {spec.dtype for spec in specs} else []
    return "".join(library(name) for name in ("elementwise.cuh", *half, *names))


def loop(
    what: str,
    head: str,
    parameters: Sequence[str],
    lines: Sequence[str],
    size: int,
    arrays: Ints,
    each: int = 1,
) -> list[Launch]:
    """A launch that does `lines` for each position `at` of the result.

    Args:
        what: the kernel's name begins with it.
        head: what the text begins with.
        parameters: arrays.
        lines: statements.
        size: how many positions there are.
        arrays: which of the step's arrays the parameters are.
        each: how much longer a position takes than a few operations do.
    """
    if not size:
        return []
    inside = (
        f"const unsigned all = {BLOCKS} * {THREADS};",
        f"for (unsigned at = {BLOCK} * {THREADS} + threadIdx.x; at < n; at += all) {{",
        *[f"    {line}" for line in lines],
        "}",
    )
    blocks = min(_MOST, -(-size // THREADS))
    kernel = Kernel(head, "", tuple(parameters), ("unsigned n",), inside)
    return [kernel.launch(what, blocks, arrays, (np.uint32(size),), size * each)]
