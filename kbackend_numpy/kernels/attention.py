"""Attention block by block: a block's products of queries and keys stay in cache until they have
weighed the values.

Weights are exponentials that are not divided by their sums; the averages are, which are fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import e, log, prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels.blocks import BLOCK, kernel, row_sums
from kbackend_numpy.kernels.normalization_plan import contiguous_inputs, ones
from kbackend_numpy.kernels.parts import run_parts, workers_for
from kbackend_numpy.kernels.softmax import HIGH, LOW
from kbackend_numpy.kernels.vectorised import BASE, POWER

Array = Any
Ints = tuple[int, ...]

# What a masked product becomes, as in the composite's body.
_FLOOR = {"float32": -2.38e38, "float64": -1.25e308}
# Nanoseconds on one thread: of an operation of the products, and of a weight besides.
_FLOP, _WEIGHT = 0.012, 0.7


class _Block(NamedTuple):
    """What is computed at a time."""

    images: slice
    heads: slice
    rows: slice

    def sizes(self) -> Ints:
        """How many of each."""
        return tuple([s.stop - s.start for s in self])

    def of(self, array: Array) -> Array:
        """The block of an array that broadcasts to (images, heads, rows, keys)."""
        places = zip(self, array.shape[:3], strict=True)
        return array[tuple([s if count > 1 else slice(None) for s, count in places])]


def _blocks(images: int, heads: int, rows: int, row: int) -> list[_Block]:
    """Blocks of at most `BLOCK` bytes, if a row of `row` bytes is not longer."""
    steps = []
    for count, one in ((images, heads * rows * row), (heads, rows * row), (rows, row)):
        steps.append(max(1, min(count, BLOCK // one)))
    cuts = [
        [slice(i, min(i + step, count)) for i in range(0, count, step)]
        for count, step in zip((images, heads, rows), steps, strict=True)
    ]
    return [_Block(i, h, r) for i in cuts[0] for h in cuts[1] for r in cuts[2]]


def _readable(spec: Spec) -> Spec:
    """The spec of an array whose rows BLAS can read; contiguous, unless it must be copied."""
    if spec.strides is not None:
        down, across = spec.strides[1], spec.strides[3]
        if across == 1 and down >= spec.shape[3]:
            return spec._replace(strides=None)
    return spec


def _plan(
    inputs: Sequence[Spec],
    *,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> Prepared:
    query, key, value = inputs[:3]
    images, rows, heads, size = query.shape
    keys, width = key.shape[1], value.shape[3]
    if not prod(query.shape[:3]) * keys * size * width:
        return Prepared(lambda out, *arrays: out.fill(0))
    dtype = numpy_dtype(query.dtype)
    # The factor of the products takes the change to another base with it, if nothing is in between.
    other = query.dtype == "float32" and soft_cap is None and not biased
    power, base = (POWER, BASE) if other else (np.exp, e)
    factor, most = np.array(scale / log(base), dtype), e**HIGH
    floor = dtype.type(_FLOOR[query.dtype])
    cap = None if soft_cap is None else np.array(soft_cap, dtype)
    future = np.triu(np.ones((rows, keys), np.bool_), 1) if is_causal else None
    one = ones(width, dtype)[None]
    work = images * heads * rows * keys * (2 * (size + width) * _FLOP + _WEIGHT)
    workers = workers_for(work)
    blocks = _blocks(images, heads, rows, keys * dtype.itemsize)
    parts = threads.ranges(len(blocks), workers)
    extra = len(inputs) - 3

    def run(out: Array, q: Array, k: Array, v: Array, *rest: Array) -> None:
        more, (hidden, *scratch) = rest[:extra], rest[extra:]
        bias = _of_four(more[0]) if biased else None
        if masked:
            np.logical_not(more[-1], hidden)
            hidden = _of_four(hidden)

        def multiply(block: _Block, turned: Array, scores: Array) -> None:
            np.matmul(
                q[block.images, block.rows, block.heads].transpose(0, 2, 1, 3), turned, scores
            )
            if cap is not None:
                np.divide(scores, cap, scores)
                np.tanh(scores, scores)
                np.multiply(scores, cap, scores)
            if bias is not None:
                np.add(scores, block.of(bias), scores)
            if masked:
                np.copyto(scores, floor, where=block.of(hidden))
            if future is not None:
                np.copyto(scores, floor, where=future[block.rows])

        def exponentials(x: Array, sums: Array) -> bool:
            """In place, with the sums of rows; false where they may have lost digits."""
            power(x, x)
            row_sums(x, sums)
            # NaN, which they also have in common, is neither.
            return bool(np.minimum.reduce(sums) >= LOW and np.maximum.reduce(sums) <= most)

        def attend(block: _Block, own: Sequence[Array]) -> None:
            n, h, t = block.sizes()
            turned = own[0][: n * h * size * keys].reshape(n, h, size, keys)
            flat = own[1][: n * h * t * keys].reshape(n * h * t, keys)
            sums, inverses = [a[: n * h * t] for a in own[2:4]]
            factors = own[4][: n * h * t * width].reshape(n * h * t, width)
            scores = flat.reshape(n, h, t, keys)
            # In two steps, since a product of a transposed array would allocate a buffer.
            np.copyto(turned, k[block.images, :, block.heads].transpose(0, 2, 3, 1))
            np.multiply(turned, factor, turned)
            multiply(block, turned, scores)
            if not exponentials(flat, sums):
                multiply(block, turned, scores)
                np.maximum.reduce(flat, 1, out=sums)
                np.subtract(flat, sums[:, None], flat)
                power(flat, flat)
                row_sums(flat, sums)
            into = out[block.images, block.rows, block.heads]
            values = v[block.images, :, block.heads].transpose(0, 2, 1, 3)
            np.matmul(scores, values, into.transpose(0, 2, 1, 3))
            # In the order of the result.
            np.reciprocal(sums.reshape(n, h, t).transpose(0, 2, 1), inverses.reshape(n, t, h))
            np.dot(inverses[:, None], one, factors)
            np.multiply(into, factors.reshape(into.shape), into)

        def part(index: int, worker: int) -> None:
            own = [array[worker] for array in scratch]
            for block in blocks[slice(*parts[index])]:
                attend(block, own)

        run_parts(part, len(parts), workers)

    n, h, t = blocks[0].sizes()
    lengths = (n * h * size * keys, n * h * t * keys, n * h * t, n * h * t, n * h * t * width)
    scratch = [Spec((workers, length), query.dtype) for length in lengths]
    hidden = Spec(inputs[-1].shape if masked else (), "bool")
    specs = (_readable(query), key._replace(strides=None), _readable(value))
    copied, needed = contiguous_inputs(run, 1, specs, (hidden, *scratch))
    return Prepared(copied, needed, work=work if workers > 1 else 0.0)


def _of_four(array: Array) -> Array:
    """An array with dimensions in front, so that it has four."""
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def _like_query(*shapes: Ints, **params: Any) -> Ints:
    query, _, value, *_ = shapes
    return (*query[:3], value[3])


COMPOSITES: dict[str, Kernel] = {
    "dot_product_attention": kernel(_plan, _like_query, frozenset(("float32", "float64")), of=0)
}
