"""The normalisations: which layout an array has, and the kernels for it."""

from __future__ import annotations

from itertools import groupby
from math import prod
from typing import NamedTuple

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.kernels import normalization_columns as by_columns
from kbackend_numba.kernels import normalization_rows as by_rows
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.normalization_columns import Matrices
from kbackend_numba.kernels.normalization_rows import Wanted
from kbackend_numba.kernels.rows import Matrix
from kbackend_numba.native import Prepare

Specs = tuple[Spec, ...]


class _Layout(NamedTuple):
    """How an array is seen.

    Attributes:
        form: matrix whose rows are normalised, or matrices whose columns are.
        row: the shape, like the array's, of a parameter with one number for each column.
    """

    form: Matrix | Matrices
    row: Ints


def _layout(x: Spec, axes: Ints, parameters: Specs) -> _Layout | None:
    """The layout for statistics over `axes`, or `None` where there is no kernel."""
    if x.dtype not in ("float32", "float64") or not x.size:
        return None
    axes = tuple([axis % len(x.shape) for axis in axes])
    large = [i for i, d in enumerate(x.shape) if d != 1]
    runs = [(over, list(run)) for over, run in groupby(large, key=lambda i: i in axes)]
    kinds = "".join("r" if over else "k" for over, _ in runs)
    sizes = [prod(x.shape[i] for i in run) for _, run in runs]
    inner = runs[-1][1] if kinds not in ("", "k") else []
    if not inner:
        # Each number is a row of its own.
        form: Matrix | Matrices = Matrix(prod(sizes), 1, x.dtype)
    elif kinds in ("r", "kr"):
        form = Matrix(prod(sizes[:-1]), sizes[-1], x.dtype)
    elif kinds in ("rk", "krk"):
        form = Matrices(prod(sizes[:-2]), sizes[-2], sizes[-1], x.dtype)
    else:
        return None
    row = tuple([d if i in inner else 1 for i, d in enumerate(x.shape)])
    if any(p.shape != row or p.dtype != x.dtype for p in parameters):
        return None
    return _Layout(form, row)


def _summed_alike(x: Spec, row: Ints, *over: Ints | None) -> bool:
    """Whether parameters' gradients are summed over all but the columns."""
    summed = tuple([i for i, d in enumerate(x.shape) if d != row[i]])
    return all(axes in (None, summed) for axes in over)


@packed
def _standardize(
    inputs: Specs, outputs: Specs, axes: Ints, epsilon: float, scaled: bool, centred: bool
) -> Prepared | None:
    layout = _layout(inputs[0], axes, inputs[1:])
    if layout is None:
        return None
    if isinstance(layout.form, Matrix):
        return by_rows.standardize(layout.form, epsilon, scaled, centred)
    return by_columns.standardize(layout.form, epsilon, scaled, centred)


@packed
def _standardize_grad(
    inputs: Specs, outputs: Specs,
    axes: Ints, epsilon: float, needs_x: bool, scale_over: Ints | None, offset_over: Ints | None,
) -> Prepared | None:  # fmt: skip
    x, scale = inputs[3], inputs[6:]
    layout = _layout(x, axes, scale)
    if layout is None or not _summed_alike(x, layout.row, scale_over, offset_over):
        return None
    wanted = Wanted(needs_x, scale_over is not None, offset_over is not None)
    if isinstance(layout.form, Matrix):
        return by_rows.standardize_grad(layout.form, epsilon, bool(scale), wanted)
    return by_columns.standardize_grad(layout.form, epsilon, bool(scale), wanted)


@packed
def _batch_normalization(
    inputs: Specs, outputs: Specs, epsilon: float, scaled: bool, centred: bool
) -> Prepared | None:
    x, mean, *_ = inputs
    axes = tuple([i for i, d in enumerate(mean.shape) if d == 1])
    layout = _layout(x, axes, inputs[1:])
    if layout is None or isinstance(layout.form, Matrix) or layout.form.number > 1:
        return None
    return by_columns.batch_normalization(layout.form, epsilon, scaled, centred)


@packed
def _rms(inputs: Specs, outputs: Specs, axes: Ints, epsilon: float) -> Prepared | None:
    layout = _layout(inputs[0], axes, inputs[1:])
    if layout is None or not isinstance(layout.form, Matrix):
        return None
    return by_rows.rms(layout.form, epsilon, len(inputs) > 1)


@packed
def _rms_grad(
    inputs: Specs, outputs: Specs, axes: Ints, needs_x: bool, scale_over: Ints | None
) -> Prepared | None:
    x, scale = inputs[2], inputs[4:]
    layout = _layout(x, axes, scale)
    if layout is None or not isinstance(layout.form, Matrix):
        return None
    if not _summed_alike(x, layout.row, scale_over):
        return None
    wanted = Wanted(needs_x, scale_over is not None, False)
    return by_rows.rms_grad(layout.form, bool(scale), wanted)


PREPARE: dict[str, Prepare] = {
    "standardize": _standardize,
    "standardize_grad": _standardize_grad,
    "batch_normalization": _batch_normalization,
    "rms_normalization": _rms,
    "rms_normalization_grad": _rms_grad,
}
