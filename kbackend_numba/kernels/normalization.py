"""The normalisations: which layout an array has, and the kernels for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Prepared, Region, Spec
from kbackend_numba.kernels import normalization_columns as by_columns
from kbackend_numba.kernels import normalization_columns_grad as columns_grad
from kbackend_numba.kernels import normalization_joint as joint
from kbackend_numba.kernels import normalization_rows as by_rows
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.ending import ending_of
from kbackend_numba.kernels.normalization_columns import Ended
from kbackend_numba.kernels.normalization_groups import Matrices
from kbackend_numba.kernels.normalization_joint import Joint
from kbackend_numba.kernels.normalization_rows import Wanted
from kbackend_numba.kernels.rows import Matrix
from kbackend_numba.native import Prepare

Specs = tuple[Spec, ...]


class _Layout(NamedTuple):
    """How an array is seen.

    Attributes:
        form: matrix whose rows are normalised, or matrices whose columns are, each for itself or
            some together.
        row: the shape, like the array's, of a parameter.
    """

    form: Matrix | Matrices | Joint
    row: Ints


def _layout(x: Spec, axes: Ints, parameters: Specs, *over: Ints | None) -> _Layout | None:
    """The layout for statistics over `axes`, or `None` where there is no kernel.

    Args:
        x: what is normalised.
        axes: over which statistics are taken.
        parameters: scale and offset, those that there are.
        over: axes over which gradients of parameters are summed, or `None`.
    """
    if x.dtype not in ("float32", "float64") or not x.size:
        return None
    axes = tuple([axis % len(x.shape) for axis in axes])
    large = [i for i, d in enumerate(x.shape) if d != 1]
    runs = [(kind, list(run)) for kind, run in groupby(large, key=lambda i: i in axes)]
    kinds = "".join("r" if over else "k" for over, _ in runs)
    sizes = [prod(x.shape[i] for i in run) for _, run in runs]
    dims = [run for _, run in runs]
    for form, inner in _forms(kinds, sizes, dims, x.dtype):
        row = tuple([d if i in inner else 1 for i, d in enumerate(x.shape)])
        summed = tuple([i for i, d in enumerate(x.shape) if d != row[i]])
        if all(p.shape == row and p.dtype == x.dtype for p in parameters) and all(
            axes in (None, summed) for axes in over
        ):
            return _Layout(form, row)
    return None


def _forms(
    kinds: str, sizes: list[int], dims: list[list[int]], dtype: str
) -> Iterator[tuple[Matrix | Matrices | Joint, list[int]]]:
    """The forms that there are for runs of dimensions that are reduced or kept, with the dimensions
    along which parameters vary."""
    if kinds in ("", "k"):
        # Each number is a row of its own.
        yield Matrix(prod(sizes), 1, dtype), []
    elif kinds in ("r", "kr"):
        yield Matrix(prod(sizes[:-1]), sizes[-1], dtype), dims[-1]
    elif kinds in ("rk", "krk"):
        yield Matrices(prod(sizes[:-2]), sizes[-2], sizes[-1], dtype), dims[-1]
    elif kinds in ("rkr", "krkr"):
        matrices = Matrices(prod(sizes[:-3]), sizes[-3], sizes[-2] * sizes[-1], dtype)
        yield Joint(matrices, sizes[-1], single=True), dims[-2] + dims[-1]
        yield Joint(matrices, sizes[-1], single=False), dims[-2]


@packed
def _standardize(
    inputs: Specs, outputs: Specs, axes: Ints, epsilon: float, scaled: bool, centred: bool
) -> Prepared | None:
    layout = _layout(inputs[0], axes, inputs[1:])
    if layout is None:
        return None
    if isinstance(layout.form, Matrix):
        return by_rows.standardize(layout.form, epsilon, scaled, centred)
    if isinstance(layout.form, Joint):
        return joint.standardize(layout.form, epsilon, scaled, centred, 3 + len(inputs))
    return by_columns.standardize(layout.form, epsilon, scaled, centred, 3 + len(inputs))


@packed
def _standardize_grad(
    inputs: Specs, outputs: Specs,
    axes: Ints, epsilon: float, needs_x: bool, scale_over: Ints | None, offset_over: Ints | None,
) -> Prepared | None:  # fmt: skip
    x, scale = inputs[3], inputs[6:]
    layout = _layout(x, axes, scale, scale_over, offset_over)
    if layout is None:
        return None
    wanted = Wanted(needs_x, scale_over is not None, offset_over is not None)
    if isinstance(layout.form, Matrix):
        return by_rows.standardize_grad(layout.form, epsilon, bool(scale), wanted)
    if isinstance(layout.form, Joint):
        return joint.standardize_grad(layout.form, epsilon, bool(scale), wanted)
    return columns_grad.standardize_grad(layout.form, epsilon, bool(scale), wanted)


def _channels(inputs: Specs) -> _Layout | None:
    """The layout for statistics that are given, one for each column."""
    axes = tuple([i for i, d in enumerate(inputs[1].shape) if d == 1])
    return _layout(inputs[0], axes, inputs[1:])


@packed
def _batch_normalization(
    inputs: Specs, outputs: Specs, epsilon: float, scaled: bool, centred: bool
) -> Prepared | None:
    layout = _channels(inputs)
    if layout is None or isinstance(layout.form, Matrix):
        return None
    if isinstance(layout.form, Joint):
        if layout.form.single or layout.form.matrices.number > 1:
            return None
        return joint.batch_normalization(layout.form, epsilon, scaled, centred, 1 + len(inputs))
    if layout.form.number > 1:
        return None
    return by_columns.batch_normalization(layout.form, epsilon, scaled, centred, 1 + len(inputs))


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
    layout = _layout(x, axes, scale, scale_over)
    if layout is None or not isinstance(layout.form, Matrix):
        return None
    wanted = Wanted(needs_x, scale_over is not None, False)
    return by_rows.rms_grad(layout.form, bool(scale), wanted)


# ----- with endings -----


def _ended(
    inputs: Specs, own: int, outputs: Specs, columns: int, region: Region, place: int
) -> Ended | None:
    """The ending of a kernel that has `own` inputs itself."""
    ending = ending_of(region, place, inputs[own:], outputs[0], columns)
    if ending is None or outputs[0].dtype != inputs[0].dtype:
        return None
    first = len(outputs) + own
    return Ended(ending, tuple([first + i - (i > place) for i in ending.others]))


@packed
def _standardize_ended(
    inputs: Specs, outputs: Specs, *, params: Mapping[str, Any], region: Region, place: int
) -> Prepared | None:
    own = 1 + params["scaled"] + params["centred"]
    layout = _layout(inputs[0], params["axes"], inputs[1:own])
    if layout is None or not isinstance(layout.form, Matrices):
        return None
    ended = _ended(inputs, own, outputs, layout.form.columns, region, place)
    if ended is None:
        return None
    how = params["epsilon"], params["scaled"], params["centred"]
    return by_columns.standardize(layout.form, *how, 3 + len(inputs), ended)


@packed
def _batch_normalization_ended(
    inputs: Specs, outputs: Specs, *, params: Mapping[str, Any], region: Region, place: int
) -> Prepared | None:
    own = 3 + params["scaled"] + params["centred"]
    layout = _channels(inputs[:own])
    if layout is None or not isinstance(layout.form, Matrices) or layout.form.number > 1:
        return None
    ended = _ended(inputs, own, outputs, layout.form.columns, region, place)
    if ended is None:
        return None
    how = params["epsilon"], params["scaled"], params["centred"]
    return by_columns.batch_normalization(layout.form, *how, 1 + len(inputs), ended)


PREPARE: dict[str, Prepare] = {
    "standardize": _standardize,
    "standardize_grad": _standardize_grad,
    "batch_normalization": _batch_normalization,
    "rms_normalization": _rms,
    "rms_normalization_grad": _rms_grad,
}
EPILOGUES: dict[str, Prepare] = {
    "standardize": _standardize_ended,
    "batch_normalization": _batch_normalization_ended,
}
