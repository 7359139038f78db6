"""Kernels of the normalisations: few temporaries, and block by block, so that they stay in cache.

Two layouts have fast kernels, for arrays in any order of memory, as a matrix. *Rows*: each row has
its own statistics (layer normalisation). *Columns*: each column has (batch normalisation with
channels last). All others take whole-array steps.

Sums are products with a vector of ones: BLAS is faster than `np.sum`. Moments of blocks of rows are
merged by the formula of T. F. Chan et al. (1979), which loses no digits when the mean is large.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.interface import Kernel

Array = Any
Ints = tuple[int, ...]

# Bytes of one block: three or four of them fit in a level 2 cache of 1 MB or more.
_BLOCK = 1 << 18
# Short rows are joined until they have at least this many elements, where that comes out even.
_WIDTH = 256


class _Matrix(NamedTuple):
    """How x is seen as a contiguous matrix.

    Attributes:
        order: the permutation of dimensions that leads to the order of memory.
        back: the permutation that leads back.
        by_rows: whether each row has its own statistics; else each column.
        rows: number of rows.
        columns: number of columns.
        row: the shape, like x, of a parameter that is a row of the matrix.
        sorted: whether such a parameter's elements are in the order of the matrix.
    """

    order: Ints
    back: Ints
    by_rows: bool
    rows: int
    columns: int
    row: Ints
    sorted: bool

    def view(self, array: Array) -> Array:
        """An array like x as the matrix."""
        moved = np.ascontiguousarray(array.transpose(self.order))
        return moved.reshape(self.rows, self.columns)

    def unview(self, matrix: Array, shape: Ints) -> Array:
        """A matrix as an array of a shape like x's."""
        return matrix.reshape([shape[i] for i in self.order]).transpose(self.back)


@lru_cache(maxsize=1024)
def _layout(shape: Ints, strides: Ints | None, axes: Ints) -> _Matrix | None:
    """The matrix for a shape; `strides` are `None` for a contiguous array."""
    size = prod(shape)
    if size == 0:
        return None
    order = tuple(range(len(shape)))
    if strides is not None:
        order = tuple(sorted(order, key=lambda i: -strides[i]))
    # Dimensions of size 1 may stand anywhere.
    over = [i for i, axis in enumerate(order) if axis in axes and shape[axis] != 1]
    kept = [i for i, axis in enumerate(order) if axis not in axes and shape[axis] != 1]
    columns = prod(shape[axis] for axis in axes)
    if not kept or (over and max(kept) < min(over)):
        by_rows = True
    elif not over or max(over) < min(kept):
        by_rows, columns = False, size // columns
    else:
        return None
    inner = [axis for axis in order if (axis in axes) == by_rows and shape[axis] != 1]
    row = tuple(d if i in inner else 1 for i, d in enumerate(shape))
    back = tuple(order.index(i) for i in range(len(shape)))
    return _Matrix(order, back, by_rows, size // columns, columns, row, inner == sorted(inner))


def _matrix(x: Array, axes: Ints, affine: tuple[Array, ...]) -> _Matrix | None:
    """The matrix that x is, or `None` if its layout, or a parameter's, has no fast kernel."""
    matrix = _layout(x.shape, None if x.flags.c_contiguous else x.strides, axes)
    if matrix is None:
        return None
    for p in affine:
        if p.shape != matrix.row or p.dtype != x.dtype or not matrix.sorted:
            return None
    return matrix


def _blocks(matrix: Array) -> list[slice]:
    rows, columns = matrix.shape
    step = max(1, _BLOCK // (columns * matrix.itemsize))
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]


def _joined(rows: int, columns: int) -> int:
    """How many rows to take as one, so that inner loops are not too short."""
    count = 1
    while count * columns < _WIDTH and rows % (2 * count) == 0:
        count *= 2
    return count


def _fold(wide: Array, count: int) -> Array:
    """Sums over `count` joined rows as sums of single rows."""
    return wide if count == 1 else wide.reshape(count, -1).sum(0)


def _tile(row: Array, count: int) -> Array:
    """A parameter of single rows for `count` joined rows."""
    return row if count == 1 else np.tile(row, count)


# ----- each row by its own statistics -----


def _standardize_rows(x: Array, scale: Array, offset: Array, epsilon: float) -> Any:
    rows, columns = x.shape
    y, ones = np.empty_like(x), np.ones(columns, x.dtype)
    mean, variance = np.empty((rows, 1), x.dtype), np.empty((rows, 1), x.dtype)
    for at in _blocks(x):
        block, out, m, v = x[at], y[at], mean[at], variance[at]
        np.divide((block @ ones)[:, None], columns, out=m)
        np.subtract(block, m, out=out)
        np.divide(np.einsum("ij,ij->i", out, out)[:, None], columns, out=v)
        out *= 1 / np.sqrt(v + epsilon)
        if scale is not None:
            out *= scale
        if offset is not None:
            out += offset
    return y, mean, variance


def _standardize_rows_grad(
    g: Array, g_mean: Array, g_variance: Array, x: Array, mean: Array, variance: Array,
    scale: Array, epsilon: float, needs_x: bool, needs_scale: bool, needs_offset: bool,
) -> Any:  # fmt: skip
    n = x.shape[1]
    dx = np.empty_like(x) if needs_x else None
    d_scale = np.zeros(n, x.dtype) if needs_scale else None
    d_offset = np.zeros(n, x.dtype) if needs_offset else None
    factors = np.ones(n, x.dtype) if scale is None else scale
    inverse = 1 / np.sqrt(variance + epsilon)
    ones = np.ones(len(x), x.dtype)
    blocks = _blocks(x)
    centred, weighted = np.empty((2, blocks[0].stop, n), x.dtype)
    for at in blocks:
        given, inv = g[at], inverse[at]
        c, w = centred[: len(given)], weighted[: len(given)]
        np.subtract(x[at], mean[at], out=c)
        np.multiply(given, c, out=w)
        if d_scale is not None:
            d_scale += inv[:, 0] @ w
        if d_offset is not None:
            d_offset += ones[: len(given)] @ given
        if dx is None:
            continue
        out = dx[at]
        along = (w @ factors)[:, None] * (inv * inv * inv)
        level = (g_mean[at] - inv * (given @ factors)[:, None]) / n
        if scale is None:
            np.multiply(given, inv, out=out)
        else:
            np.multiply(given, scale, out=out)
            out *= inv
        c *= (2 * g_variance[at] - along) / n
        out += c
        out += level
    return dx, d_scale, d_offset


# ----- each column by its own statistics -----


def _column_moments(x: Array) -> Any:
    """Mean and variance of each column, read in one pass."""
    rows, columns = x.shape
    count = _joined(rows, columns)
    wide = x.reshape(rows // count, columns * count)
    blocks = _blocks(wide)
    ones, scratch = np.ones(blocks[0].stop, x.dtype), np.empty_like(wide[blocks[0]])
    mean, squares, seen = np.zeros(columns, x.dtype), np.zeros(columns, x.dtype), 0
    for at in blocks:
        block = wide[at]
        one, n = ones[: len(block)], len(block) * count
        m = _fold(one @ block, count) / n
        c = np.subtract(block, _tile(m, count), out=scratch[: len(block)])
        # The sum's rounding shows in what is left of it.
        left = _fold(one @ c, count) / n
        m += left
        np.multiply(c, c, out=c)
        apart = m - mean
        seen += n
        mean += apart * (n / seen)
        squares += _fold(one @ c, count) - left * left * n
        squares += apart * apart * (n * (seen - n) / seen)
    return mean, squares / rows


def _apply_columns(x: Array, mean: Array, factor: Array, offset: Array) -> Array:
    """(x - mean) * factor + offset"""
    rows, columns = x.shape
    count = _joined(rows, columns)
    wide = x.reshape(rows // count, columns * count)
    mean, factor = _tile(mean, count), _tile(factor, count)
    offset = None if offset is None else _tile(offset, count)
    y = np.empty_like(wide)
    for at in _blocks(wide):
        out = np.subtract(wide[at], mean, out=y[at])
        out *= factor
        if offset is not None:
            out += offset
    return y


def _standardize_columns(x: Array, scale: Array, offset: Array, epsilon: float) -> Any:
    mean, variance = _column_moments(x)
    factor = 1 / np.sqrt(variance + epsilon)
    if scale is not None:
        factor *= scale
    return _apply_columns(x, mean, factor, offset), mean, variance


def _standardize_columns_grad(
    g: Array, g_mean: Array, g_variance: Array, x: Array, mean: Array, variance: Array,
    scale: Array, epsilon: float, needs_x: bool, needs_scale: bool, needs_offset: bool,
) -> Any:  # fmt: skip
    rows, columns = x.shape
    g_mean, g_variance, mean, variance = (
        v.reshape(-1) for v in (g_mean, g_variance, mean, variance)
    )
    count = _joined(rows, columns)
    wide, given = (v.reshape(rows // count, columns * count) for v in (x, g))
    blocks = _blocks(wide)
    ones, scratch = np.ones(blocks[0].stop, x.dtype), np.empty_like(wide[blocks[0]])
    middle = _tile(mean, count)
    total, along = np.zeros_like(middle), np.zeros_like(middle)
    for at in blocks:
        one, gs = ones[: at.stop - at.start], given[at]
        total += one @ gs
        c = np.subtract(wide[at], middle, out=scratch[: len(one)])
        np.multiply(c, gs, out=c)
        along += one @ c
    total, along = _fold(total, count), _fold(along, count)
    inverse = 1 / np.sqrt(variance + epsilon)
    dx = None
    if needs_x:
        factor = inverse if scale is None else inverse * scale
        slope = _tile((2 * g_variance - along * factor * (inverse * inverse)) / rows, count)
        level = _tile((g_mean - factor * total) / rows, count)
        factor = _tile(factor, count)
        dx = np.empty_like(wide)
        for at in blocks:
            out = np.multiply(given[at], factor, out=dx[at])
            c = np.subtract(wide[at], middle, out=scratch[: len(out)])
            c *= slope
            out += c
            out += level
    return dx, along * inverse if needs_scale else None, total if needs_offset else None


# ----- any layout -----


def _standardize_any(x: Array, scale: Array, offset: Array, axes: Ints, epsilon: float) -> Any:
    n = prod(x.shape[axis] for axis in axes)
    mean = np.add.reduce(x, axes, keepdims=True) / n
    y = x - mean
    variance = np.add.reduce(y * y, axes, keepdims=True) / n
    factor = 1 / np.sqrt(variance + epsilon)
    if scale is not None:
        factor = factor * scale
    y *= factor
    if offset is not None:
        y += offset
    return y, mean, variance


def _standardize_any_grad(
    g: Array, g_mean: Array, g_variance: Array, x: Array, mean: Array, variance: Array,
    scale: Array, axes: Ints, epsilon: float, needs_x: bool,
    scale_over: Ints | None, offset_over: Ints | None,
) -> list[Array]:  # fmt: skip
    inverse = 1 / np.sqrt(variance + epsilon)
    c = x - mean
    weighted = g * c
    n = prod(x.shape[axis] for axis in axes)
    out = []
    if needs_x:
        d, weighted_d, factor = g, weighted, inverse
        if scale is not None and all(scale.shape[axis] == 1 for axis in axes):
            factor = inverse * scale
        elif scale is not None:
            d, weighted_d = g * scale, weighted * scale
        along = np.add.reduce(weighted_d, axes, keepdims=True) * factor * (inverse * inverse)
        level = (g_mean - factor * np.add.reduce(d, axes, keepdims=True)) / n
        c *= (2 * g_variance - along) / n
        dx = d * factor
        dx += c
        dx += level
        out.append(dx)
    if scale_over is not None:
        weighted *= inverse
        out.append(np.add.reduce(weighted, scale_over, keepdims=True))
    if offset_over is not None:
        out.append(np.add.reduce(g, offset_over, keepdims=True))
    return out


# ----- the composites -----


def _wide(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel` without warnings, and on half precision in float32 with one rounding at the end."""

    @wraps(kernel)
    def run(*arrays: Array, **params: Any) -> Any:
        dtype = arrays[0].dtype
        with np.errstate(all="ignore"):
            if dtype.char in "fd":
                return kernel(*arrays, **params)
            out = kernel(*[array.astype(np.float32) for array in arrays], **params)
        if out.__class__ is tuple:
            return tuple([array.astype(dtype) for array in out])
        return out.astype(dtype)

    return run


def _flat(p: Array | None) -> Array | None:
    return None if p is None else p.reshape(-1)


@_wide
def standardize(
    x: Array, *affine: Array, axes: Ints, epsilon: float, scaled: bool, centred: bool
) -> Any:
    """See `kbackend.ops.nn.normalizing`."""
    scale, offset = affine[0] if scaled else None, affine[-1] if centred else None
    epsilon = x.dtype.type(epsilon)
    matrix = _matrix(x, axes, affine)
    if matrix is None:
        return _standardize_any(x, scale, offset, axes, epsilon)
    run = _standardize_rows if matrix.by_rows else _standardize_columns
    y, mean, variance = run(matrix.view(x), _flat(scale), _flat(offset), epsilon)
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    mean, variance = matrix.unview(mean, shape), matrix.unview(variance, shape)
    return matrix.unview(y, x.shape), mean, variance


@_wide
def standardize_grad(
    g: Array, g_mean: Array, g_variance: Array, x: Array, mean: Array, variance: Array,
    *scale: Array,
    axes: Ints, epsilon: float, needs_x: bool, scale_over: Ints | None, offset_over: Ints | None,
) -> Any:  # fmt: skip
    """See `kbackend.ops.nn.normalizing`."""
    epsilon = x.dtype.type(epsilon)
    factors = scale[0] if scale else None
    matrix = _matrix(x, axes, scale)
    if matrix is not None and (scale_over is not None or offset_over is not None):
        # What the parameters' gradients are summed over tells whether they are rows, too.
        summed = tuple(i for i, d in enumerate(x.shape) if d != matrix.row[i])
        if scale_over not in (None, summed) or offset_over not in (None, summed):
            matrix = None
        elif not matrix.sorted:
            matrix = None
    if matrix is None:
        return tuple(
            _standardize_any_grad(
                g, g_mean, g_variance, x, mean, variance, factors, axes, epsilon, needs_x,
                scale_over, offset_over,
            )
        )  # fmt: skip
    run = _standardize_rows_grad if matrix.by_rows else _standardize_columns_grad
    small = [v.transpose(matrix.order).reshape(-1, 1) for v in (g_mean, g_variance, mean, variance)]
    dx, d_scale, d_offset = run(
        matrix.view(g), small[0], small[1], matrix.view(x), small[2], small[3], _flat(factors),
        epsilon, needs_x, scale_over is not None, offset_over is not None,
    )  # fmt: skip
    found = [] if dx is None else [matrix.unview(dx, x.shape)]
    found += [v.reshape(matrix.row) for v in (d_scale, d_offset) if v is not None]
    return tuple(found)


@_wide
def batch_normalization(
    x: Array, mean: Array, variance: Array, *affine: Array,
    epsilon: float, scaled: bool, centred: bool,
) -> Any:  # fmt: skip
    """See `kbackend.ops.nn.normalizing`."""
    factor = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    if scaled:
        factor = factor * affine[0]
    offset = affine[-1] if centred else None
    axes = tuple(i for i, d in enumerate(mean.shape) if d == 1)
    matrix = _matrix(x, axes, (mean, factor, *affine)) if len(axes) < x.ndim else None
    if matrix is not None and not matrix.by_rows:
        y = _apply_columns(matrix.view(x), _flat(mean), _flat(factor), _flat(offset))
        return matrix.unview(y, x.shape)
    y = x - mean
    y *= factor
    if offset is not None:
        y += offset
    return y


@_wide
def rms_normalization(x: Array, *scale: Array, axes: Ints, epsilon: float) -> Any:
    """See `kbackend.ops.nn.normalizing`."""
    epsilon = x.dtype.type(epsilon)
    n = prod(x.shape[axis] for axis in axes)
    matrix = _matrix(x, axes, scale)
    if matrix is None or not matrix.by_rows:
        inverse = 1 / np.sqrt(np.add.reduce(x * x, axes, keepdims=True) / n + epsilon)
        y = x * inverse
        if scale:
            y *= scale[0]
        return y, inverse
    wide = matrix.view(x)
    y, factors = np.empty_like(wide), _flat(scale[0]) if scale else None
    inverse = np.empty((len(wide), 1), x.dtype)
    for at in _blocks(wide):
        block, inv = wide[at], inverse[at]
        np.divide(1, np.sqrt(np.einsum("ij,ij->i", block, block)[:, None] / n + epsilon), out=inv)
        out = np.multiply(block, inv, out=y[at])
        if factors is not None:
            out *= factors
    kept = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    return matrix.unview(y, x.shape), matrix.unview(inverse, kept)


@_wide
def rms_normalization_grad(
    g: Array, g_inverse: Array, x: Array, inverse: Array, *scale: Array,
    axes: Ints, needs_x: bool, scale_over: Ints | None,
) -> Any:  # fmt: skip
    """See `kbackend.ops.nn.normalizing`."""
    n = prod(x.shape[axis] for axis in axes)
    cubed = inverse * inverse * inverse
    matrix = _matrix(x, axes, scale)
    if matrix is None or not matrix.by_rows:
        found = []
        weighted = g * x
        if needs_x:
            along = np.add.reduce(weighted * scale[0] if scale else weighted, axes, keepdims=True)
            dx = g * inverse
            if scale:
                dx *= scale[0]
            dx -= x * ((along + g_inverse) / n * cubed)
            found.append(dx)
        if scale_over is not None:
            weighted *= inverse
            found.append(np.add.reduce(weighted, scale_over, keepdims=True))
        return tuple(found)
    small = [v.transpose(matrix.order).reshape(-1, 1) for v in (g_inverse, inverse, cubed)]
    dx, d_scale = _rms_rows_grad(
        matrix.view(g), matrix.view(x), small[0], small[1], small[2],
        _flat(scale[0]) if scale else None, needs_x, scale_over is not None,
    )  # fmt: skip
    found = [] if dx is None else [matrix.unview(dx, x.shape)]
    return (*found, d_scale.reshape(scale[0].shape)) if d_scale is not None else tuple(found)


def _rms_rows_grad(
    g: Array, x: Array, g_inverse: Array, inverse: Array, cubed: Array,
    scale: Array, needs_x: bool, needs_scale: bool,
) -> Any:  # fmt: skip
    n = x.shape[1]
    dx = np.empty_like(x) if needs_x else None
    d_scale = np.zeros(n, x.dtype) if needs_scale else None
    factors = np.ones(n, x.dtype) if scale is None else scale
    blocks = _blocks(x)
    scratch = np.empty((blocks[0].stop, n), x.dtype)
    for at in blocks:
        given, block, inv = g[at], x[at], inverse[at]
        w = np.multiply(given, block, out=scratch[: len(given)])
        if d_scale is not None:
            d_scale += inv[:, 0] @ w
        if dx is None:
            continue
        slope = ((w @ factors)[:, None] + g_inverse[at]) / n * cubed[at]
        out = np.multiply(given, inv, out=dx[at])
        if scale is not None:
            out *= scale
        out -= np.multiply(block, slope, out=w)
    return dx, d_scale


COMPOSITES: dict[str, Kernel] = {
    fn.__name__: Kernel(fn)
    for fn in (
        standardize, standardize_grad, batch_normalization, rms_normalization,
        rms_normalization_grad,
    )
}  # fmt: skip
