"""Kernels of the normalisations: few temporaries, and block by block, so that they stay in cache.

Two layouts have fast kernels, for arrays in any order of memory, as a matrix. *Rows*: each row has
its own statistics (layer normalisation). *Columns*: each column has (batch normalisation with
channels last). All others take whole-array steps.

Sums are products with a vector of ones: BLAS is faster than `np.sum`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy.kernels import normalization_columns as by_columns
from kbackend_numpy.kernels import normalization_rows as by_rows
from kbackend_numpy.kernels.normalization_plan import Plan, contiguous_inputs

Array = Any
Ints = tuple[int, ...]
Specs = tuple[Spec, ...]


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


def _rms_any_grad(
    g: Array, g_inverse: Array, x: Array, inverse: Array, scale: tuple[Array, ...],
    axes: Ints, needs_x: bool, scale_over: Ints | None,
) -> tuple[Array, ...]:  # fmt: skip
    n = prod(x.shape[axis] for axis in axes)
    found = []
    weighted = g * x
    if needs_x:
        along = np.add.reduce(weighted * scale[0] if scale else weighted, axes, keepdims=True)
        dx = g * inverse
        if scale:
            dx *= scale[0]
        dx -= x * ((along + g_inverse) / n * (inverse * inverse * inverse))
        found.append(dx)
    if scale_over is not None:
        weighted *= inverse
        found.append(np.add.reduce(weighted, scale_over, keepdims=True))
    return tuple(found)


# ----- plans of matrices -----

_Make = Callable[[int, int, Any], Plan]


@lru_cache(maxsize=512)
def _plan(make: _Make, rows: int, columns: int, dtype: Any) -> Plan:
    return make(rows, columns, dtype)


def _run(make: _Make, x: Array, *args: Any) -> None:
    """Runs a plan for matrices like x, with scratch of its own."""
    plan = _plan(make, *x.shape, x.dtype)
    plan.run(*args, *[np.empty(shape, x.dtype) for shape in plan.scratch])


def _standardizer(matrix: _Matrix) -> _Make:
    return by_rows.standardize if matrix.by_rows else by_columns.standardize


def _gradient(matrix: _Matrix) -> _Make:
    return by_rows.standardize_grad if matrix.by_rows else by_columns.standardize_grad


def _contiguous_matrix(x: Spec, axes: Ints, affine: Specs) -> _Matrix | None:
    """The matrix that x is once it is contiguous, if there is a fast kernel."""
    matrix = _layout(x.shape, None, axes) if x.dtype in ("float32", "float64") else None
    if matrix is None or any(p.shape != matrix.row or p.dtype != x.dtype for p in affine):
        return None
    return matrix


def _prepared(
    matrix: _Matrix, make: _Make, inputs: Specs, made: int,
    call: Callable[..., None], overwrites: tuple[tuple[int, int], ...] = (),
) -> Prepared:  # fmt: skip
    """The kernel of a plan; `call(run, *outputs, *inputs, *scratch)` hands matrices to its `run`.

    The first input is contiguous in `overwrites`, or none.
    """
    dtype = inputs[0].dtype
    plan = _plan(make, matrix.rows, matrix.columns, numpy_dtype(dtype))
    scratch = tuple([Spec(shape, dtype) for shape in plan.scratch])

    def run(*args: Array) -> None:
        call(plan.run, *args)

    ready, scratch = contiguous_inputs(run, made, inputs, scratch)
    return Prepared(ready, scratch, overwrites if inputs[0].contiguous else (), plan.work)


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
    seen = matrix.view(x)
    y, count = np.empty_like(seen), matrix.rows if matrix.by_rows else matrix.columns
    mean, variance = np.empty(count, x.dtype), np.empty(count, x.dtype)
    _run(_standardizer(matrix), seen, seen, _flat(scale), _flat(offset), epsilon, y, mean, variance)
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    mean, variance = matrix.unview(mean, shape), matrix.unview(variance, shape)
    return matrix.unview(y, x.shape), mean, variance


def _prepare_standardize(
    inputs: Specs, outputs: Specs, axes: Ints, epsilon: float, scaled: bool, centred: bool
) -> Prepared | None:
    matrix = _contiguous_matrix(inputs[0], axes, inputs[1:])
    if matrix is None:
        return None
    eps, size = numpy_dtype(inputs[0].dtype).type(epsilon), (matrix.rows, matrix.columns)
    count = len(inputs)

    def call(run: Any, y: Array, mean: Array, variance: Array, x: Array, *rest: Array) -> None:
        affine, scratch = rest[: count - 1], rest[count - 1 :]
        scale, offset = affine[0] if scaled else None, affine[-1] if centred else None
        run(
            x.reshape(size), _flat(scale), _flat(offset), eps,
            y.reshape(size), _flat(mean), _flat(variance), *scratch,
        )  # fmt: skip

    return _prepared(matrix, _standardizer(matrix), inputs, 3, call)


def _summed_alike(matrix: _Matrix, shape: Ints, *over: Ints | None) -> bool:
    """Whether gradients of parameters are summed as for rows of the matrix."""
    summed = tuple(i for i, d in enumerate(shape) if d != matrix.row[i])
    return all(o in (None, summed) for o in over)


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
    over = scale_over, offset_over
    if matrix is not None and over != (None, None):
        # What the parameters' gradients are summed over tells whether they are rows, too.
        if not matrix.sorted or not _summed_alike(matrix, x.shape, *over):
            matrix = None
    if matrix is None:
        return tuple(
            _standardize_any_grad(
                g, g_mean, g_variance, x, mean, variance, factors, axes, epsilon, needs_x,
                scale_over, offset_over,
            )
        )  # fmt: skip
    small = [v.transpose(matrix.order).reshape(-1) for v in (g_mean, g_variance, mean, variance)]
    seen = matrix.view(x)
    dx = np.empty_like(seen) if needs_x else None
    d_scale, d_offset = (None if o is None else np.empty(matrix.columns, x.dtype) for o in over)
    _run(
        _gradient(matrix), seen, matrix.view(g), small[0], small[1], seen, small[2], small[3],
        _flat(factors), epsilon, dx, d_scale, d_offset,
    )  # fmt: skip
    found = [] if dx is None else [matrix.unview(dx, x.shape)]
    found += [v.reshape(matrix.row) for v in (d_scale, d_offset) if v is not None]
    return tuple(found)


def _prepare_standardize_grad(
    inputs: Specs, outputs: Specs,
    axes: Ints, epsilon: float, needs_x: bool, scale_over: Ints | None, offset_over: Ints | None,
) -> Prepared | None:  # fmt: skip
    x = inputs[3]
    matrix = _contiguous_matrix(x, axes, inputs[6:])
    if matrix is None or not _summed_alike(matrix, x.shape, scale_over, offset_over):
        return None
    eps, size = numpy_dtype(x.dtype).type(epsilon), (matrix.rows, matrix.columns)
    wanted = needs_x, scale_over is not None, offset_over is not None
    made, count = sum(wanted), len(inputs)

    def call(run: Any, *args: Array) -> None:
        outputs = iter(args[:made])
        dx, d_scale, d_offset = [next(outputs) if want else None for want in wanted]
        g, g_mean, g_variance, x, mean, variance, *rest = args[made:]
        scale = rest.pop(0) if count > 6 else None
        run(
            g.reshape(size), _flat(g_mean), _flat(g_variance), x.reshape(size),
            _flat(mean), _flat(variance), _flat(scale), eps,
            None if dx is None else dx.reshape(size), _flat(d_scale), _flat(d_offset), *rest,
        )  # fmt: skip

    overwrites = ((0, 0),) if needs_x else ()
    return _prepared(matrix, _gradient(matrix), inputs, made, call, overwrites)


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
        seen = matrix.view(x)
        y = np.empty_like(seen)
        _run(by_columns.apply, seen, seen, _flat(mean), _flat(factor), _flat(offset), y)
        return matrix.unview(y, x.shape)
    y = x - mean
    y *= factor
    if offset is not None:
        y += offset
    return y


def _prepare_batch_normalization(
    inputs: Specs, outputs: Specs, epsilon: float, scaled: bool, centred: bool
) -> Prepared | None:
    x, mean, variance, *affine = inputs
    if x.dtype not in ("float32", "float64") or any(p.dtype != x.dtype for p in inputs):
        return None
    axes = tuple(i for i, d in enumerate(mean.shape) if d == 1)
    matrix = _contiguous_matrix(x, axes, (mean, variance, *affine))
    eps, count = numpy_dtype(x.dtype).type(epsilon), len(inputs)

    def factored(mean: Array, variance: Array, *affine: Array) -> tuple[Array, ...]:
        # Small beside x.
        factor = 1 / np.sqrt(variance + eps)
        return mean, factor * affine[0] if scaled else factor, affine[-1] if centred else None

    if matrix is not None and not matrix.by_rows:
        size = matrix.rows, matrix.columns

        def call(run: Any, y: Array, x: Array, *small: Array) -> None:
            run(x.reshape(size), *map(_flat, factored(*small[: count - 1])), y.reshape(size))

        return _prepared(matrix, by_columns.apply, inputs, 1, call, ((0, 0),))

    def run(y: Array, x: Array, *small: Array) -> None:
        mean, factor, offset = factored(*small)
        np.subtract(x, mean, out=y)
        np.multiply(y, factor, out=y)
        if offset is not None:
            np.add(y, offset, out=y)

    return Prepared(run, (), ((0, 0),) if x.contiguous else ())


@_wide
def rms_normalization(x: Array, *scale: Array, axes: Ints, epsilon: float) -> Any:
    """See `kbackend.ops.nn.normalizing`."""
    epsilon = x.dtype.type(epsilon)
    matrix = _matrix(x, axes, scale)
    if matrix is None or not matrix.by_rows:
        n = prod(x.shape[axis] for axis in axes)
        inverse = 1 / np.sqrt(np.add.reduce(x * x, axes, keepdims=True) / n + epsilon)
        y = x * inverse
        if scale:
            y *= scale[0]
        return y, inverse
    seen = matrix.view(x)
    y, inverse = np.empty_like(seen), np.empty(matrix.rows, x.dtype)
    _run(by_rows.rms, seen, seen, _flat(scale[0]) if scale else None, epsilon, y, inverse)
    kept = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    return matrix.unview(y, x.shape), matrix.unview(inverse, kept)


def _prepare_rms(inputs: Specs, outputs: Specs, axes: Ints, epsilon: float) -> Prepared | None:
    matrix = _contiguous_matrix(inputs[0], axes, inputs[1:])
    if matrix is None or not matrix.by_rows:
        return None
    eps, size = numpy_dtype(inputs[0].dtype).type(epsilon), (matrix.rows, matrix.columns)
    scaled = len(inputs) > 1

    def call(run: Any, y: Array, inverse: Array, x: Array, *rest: Array) -> None:
        scale, scratch = (rest[0], rest[1:]) if scaled else (None, rest)
        run(x.reshape(size), _flat(scale), eps, y.reshape(size), _flat(inverse), *scratch)

    return _prepared(matrix, by_rows.rms, inputs, 2, call)


@_wide
def rms_normalization_grad(
    g: Array, g_inverse: Array, x: Array, inverse: Array, *scale: Array,
    axes: Ints, needs_x: bool, scale_over: Ints | None,
) -> Any:  # fmt: skip
    """See `kbackend.ops.nn.normalizing`."""
    matrix = _matrix(x, axes, scale)
    if matrix is None or not matrix.by_rows:
        return _rms_any_grad(g, g_inverse, x, inverse, scale, axes, needs_x, scale_over)
    small = [v.transpose(matrix.order).reshape(-1) for v in (g_inverse, inverse)]
    seen = matrix.view(x)
    dx = np.empty_like(seen) if needs_x else None
    d_scale = None if scale_over is None else np.empty(matrix.columns, x.dtype)
    _run(
        by_rows.rms_grad, seen, matrix.view(g), small[0], seen, small[1],
        _flat(scale[0]) if scale else None, dx, d_scale,
    )  # fmt: skip
    found = [] if dx is None else [matrix.unview(dx, x.shape)]
    return (*found, d_scale.reshape(scale[0].shape)) if d_scale is not None else tuple(found)


def _prepare_rms_grad(
    inputs: Specs, outputs: Specs, axes: Ints, needs_x: bool, scale_over: Ints | None
) -> Prepared | None:
    x = inputs[2]
    matrix = _contiguous_matrix(x, axes, inputs[4:])
    if matrix is None or not matrix.by_rows:
        return None
    size, wanted = (matrix.rows, matrix.columns), (needs_x, scale_over is not None)
    made, count = sum(wanted), len(inputs)

    def call(run: Any, *args: Array) -> None:
        outputs = iter(args[:made])
        dx, d_scale = [next(outputs) if want else None for want in wanted]
        g, g_inverse, x, inverse, *rest = args[made:]
        scale = rest.pop(0) if count > 4 else None
        run(
            g.reshape(size), _flat(g_inverse), x.reshape(size), _flat(inverse), _flat(scale),
            None if dx is None else dx.reshape(size), _flat(d_scale), *rest,
        )  # fmt: skip

    return _prepared(matrix, by_rows.rms_grad, inputs, made, call, ((0, 0),) if needs_x else ())


COMPOSITES: dict[str, Kernel] = {
    "standardize": Kernel(standardize, prepare=_prepare_standardize),
    "standardize_grad": Kernel(standardize_grad, prepare=_prepare_standardize_grad),
    "batch_normalization": Kernel(batch_normalization, prepare=_prepare_batch_normalization),
    "rms_normalization": Kernel(rms_normalization, prepare=_prepare_rms),
    "rms_normalization_grad": Kernel(rms_normalization_grad, prepare=_prepare_rms_grad),
}
