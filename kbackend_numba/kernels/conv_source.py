"""What an item of a convolution reads: the source of a block of positions.

A block is some images, or some rows of an image. Where windows reach beyond the images, the item
first copies its source into memory of its worker, with zeros around it; else it reads the array
itself. Either way the windows are found by tables of offsets, which are made here.

Whatever its rank, an array has three spatial dimensions here: outer, middle and inner. Blocks are
cut along the outer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.vectors import each_vector, fill
from kbackend_numpy.kernels.conv_axes import Axis

Ints = tuple[int, ...]

_NO_AXIS = Axis(1, 1, 1)


def three(axes: Sequence[Any], missing: Any = _NO_AXIS) -> tuple[Any, Any, Any]:
    """What is given for each spatial dimension, for three of them."""
    if len(axes) == 1:
        return (axes[0], missing, missing)
    return (axes[0], missing, axes[1]) if len(axes) == 2 else (axes[0], axes[1], axes[2])


# The integers that describe a source to the code, in this order.
SIZES = (
    "batch",
    "images",  # of a block
    "image",  # elements from one image to the next
    "hop",  # elements from one position to the next along the outer dimension
    # Of the copy, and zero without one:
    "stride",  # rows from one position to the next
    "outer", "middle",  # dimensions
    "row",  # elements of a row: of the inner dimension
    "low_outer", "low_middle",  # indices where the copy begins
    "length_outer", "length_middle",  # its dimensions
    "left", "count", "right",  # of a row of the copy: zeros, what is copied, zeros
    "start",  # what is copied begins at this element of a row
)  # fmt: skip


class Source(NamedTuple):
    """How blocks of a source are read.

    Attributes:
        images: in a block.
        steps: elements from one image, and from one index of each dimension to the next.
        low: indices of the three dimensions that offsets count from.
        room: elements of a copy, or 0.
        sizes: see `SIZES`.
    """

    images: int
    steps: Ints
    low: Ints
    room: int
    sizes: Ints

    def offsets(self, *indices: Any) -> Any:
        """Elements from a block's source to the given indices: of images, and of the array's
        dimensions for the block that comes first. One axis of the result for each."""
        found = np.zeros((), np.int64)
        for index, step, low in zip(indices, self.steps, (0, *self.low), strict=True):
            found = np.add.outer(found, (np.asarray(index, np.int64) - low) * step)
        return found


def source_of(
    shape: Ints, axes: Sequence[tuple[Axis, Axis, Axis]], images: int, rows: int
) -> Source:
    """How to read an array.

    Args:
        shape: `(batch, outer, middle, inner, channels)`.
        axes: how positions read it, in one way or in several.
        images: in a block.
        rows: positions along the outer dimension in a block.
    """
    batch, *space, channels = shape
    stride = axes[0][0].stride
    low, high = [], []
    for i in range(3):
        counts = [min(rows, a[i].positions) if i == 0 else a[i].positions for a in axes]
        low.append(min(a[i].start for a in axes))
        high.append(max(a[i].start + a[i].reach(n) for a, n in zip(axes, counts, strict=True)))
    inside = all(axis.inside for each in axes for axis in each)
    row = space[2] * channels
    dense = (space[0] * space[1] * row, space[1] * row, row, channels)
    if inside:
        sizes = (batch, images, dense[0], stride * dense[1])
        steps = dense
        return Source(images, steps, (0, 0, 0), 0, (*sizes, *[0] * (len(SIZES) - 4)))
    lengths = [b - a for a, b in zip(low, high, strict=True)]
    length = lengths[2] * channels
    steps = (
        lengths[0] * lengths[1] * length,
        lengths[1] * length,
        length,
        channels,
    )
    left = min(max(-low[2], 0), lengths[2])
    start = min(max(low[2], 0), space[2])
    count = max(0, min(low[2] + lengths[2], space[2]) - start)
    right = lengths[2] - left - count
    sizes = (
        batch, images, dense[0], 0, stride, space[0], space[1], row, low[0], low[1],
        lengths[0], lengths[1], left * channels, count * channels, right * channels,
        start * channels,
    )  # fmt: skip
    return Source(images, steps, tuple(low), images * steps[0], sizes)


def write_source(
    code: Code,
    sizes: dict[str, Value],
    dtype: str,
    x: Address,
    memory: Address,
    block: Value,
    row: Value,
) -> tuple[Address, Value]:
    """Writes how to get at the source of a block.

    Args:
        code: where to write.
        sizes: by the names in `SIZES`.
        dtype: of the array.
        x: the array.
        memory: for copies, of all workers.
        block: number of the block of images.
        row: the first position along the outer dimension.

    Returns:
        Where the source begins, and how many images there are.
    """
    first = block * sizes["images"]
    images = code.minimum(sizes["images"], sizes["batch"] - first)
    memory = code.offset(memory, code.worker * _copy_size(sizes), dtype)
    place = first * sizes["image"] + row * sizes["hop"]
    copied = sizes["length_outer"] > 0
    with code.when(copied):
        _copy(code, sizes, dtype, x, memory, first, images, row)
    return code.choose(copied, memory, code.offset(x, place, dtype)), images


def _copy_size(sizes: dict[str, Value]) -> Value:
    """Elements of the copy of a block's source."""
    row = sizes["left"] + sizes["count"] + sizes["right"]
    return sizes["images"] * sizes["length_outer"] * sizes["length_middle"] * row


def _copy(
    code: Code,
    sizes: dict[str, Value],
    dtype: str,
    x: Address,
    memory: Address,
    first: Value,
    images: Value,
    row: Value,
) -> None:
    """Writes the copy of a block's source, with zeros around it."""
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    zero = code.number(0.0, dtype)
    left, count, right = sizes["left"], sizes["count"], sizes["right"]
    whole = left + count + right
    into = code.var(code.number(0))
    low = row * sizes["stride"] + sizes["low_outer"]
    low_middle = sizes["low_middle"]
    with (
        code.loop(first, first + images) as image,
        code.loop(low, low + sizes["length_outer"]) as i,
        code.loop(low_middle, low_middle + sizes["length_middle"]) as j,
    ):
        here = code.offset(memory, into.value, dtype)
        inside = (i >= 0) & (i < sizes["outer"]) & (j >= 0) & (j < sizes["middle"])
        with code.either(inside) as (then, otherwise):
            with then:
                fill(code, here, left, zero)
                line = (i * sizes["middle"] + j) * sizes["row"] + sizes["start"]
                taken = code.offset(x, image * sizes["image"] + line, dtype)
                target = code.offset(here, left, dtype)

                def copy(at: Value, mask: Value | None) -> None:
                    code.store(code.load(taken, at, dtype, lanes, mask), target, at, mask)

                each_vector(code, count, lanes, copy)
                fill(code, code.offset(target, count, dtype), right, zero)
            with otherwise:
                fill(code, here, whole, zero)
        into.set(into.value + whole)
