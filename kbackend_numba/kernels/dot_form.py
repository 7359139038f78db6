"""The forms of contractions: which axes are the rows, columns and stack of matrix products."""

from __future__ import annotations

from typing import NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend.engine.strides import contiguous_strides

Pairs = tuple[Ints, Ints]


class Axis(NamedTuple):
    """Axes that are one dimension: its size, and elements from one index to the next."""

    size: int
    steps: Ints


class Form(NamedTuple):
    """A contraction as a stack of matrix products.

    Attributes:
        rows: the dimension of the first array; steps are its own and the result's.
        columns: that of the second array; the same.
        summed: the dimension of both; steps are those of both.
        stack: outer and inner dimension; steps are those of both arrays and the result.
    """

    rows: Axis
    columns: Axis
    summed: Axis
    stack: tuple[Axis, Axis]


def free_axes(x: Spec, y: Spec, contract: Pairs, batch: Pairs) -> Pairs:
    """The axes that the result keeps and that aren't the stack's."""
    x_free, y_free = [
        tuple([i for i in range(len(spec.shape)) if i not in summed and i not in stacked])
        for spec, summed, stacked in zip((x, y), contract, batch, strict=True)
    ]
    return x_free, y_free


def strides_of(spec: Spec) -> Ints:
    """Elements from one index to the next, for each axis."""
    return contiguous_strides(spec.shape) if spec.strides is None else spec.strides


def form_of(x: Spec, y: Spec, contract: Pairs, batch: Pairs) -> Form | None:
    """The products, or `None` if axes of the arrays as they lie don't fit.

    Args:
        x: spec of the first array.
        y: spec of the second one.
        contract: pairs of axes that are summed over; see `dot`.
        batch: pairs of axes of the stack.
    """
    free = free_axes(x, y, contract, batch)
    a, b = strides_of(x), strides_of(y)
    shape = [x.shape[i] for i in (*batch[0], *free[0])] + [y.shape[j] for j in free[1]]
    out = contiguous_strides(tuple(shape))
    first = len(batch[0])
    second = first + len(free[0])
    # The order of sums is free: that of the larger steps in either array.
    for steps, axes in ((b, contract[1]), (a, contract[0])):
        order = sorted(range(len(axes)), key=lambda n: -steps[axes[n]])
        summed = _joined(
            [Axis(x.shape[contract[0][n]], (a[contract[0][n]], b[contract[1][n]])) for n in order]
        )
        if len(summed) == 1:
            break
    else:
        return None
    rows = _joined([Axis(x.shape[i], (a[i], out[first + n])) for n, i in enumerate(free[0])])
    columns = _joined([Axis(y.shape[j], (b[j], out[second + n])) for n, j in enumerate(free[1])])
    stack = _joined(
        [
            Axis(x.shape[i], (a[i], b[j], out[n]))
            for n, (i, j) in enumerate(zip(*batch, strict=True))
        ],
        3,
    )
    # Rows and columns that are not one dimension may be a stack.
    stack = [axis for axis in stack if axis.size != 1]
    stack += [Axis(axis.size, (axis.steps[0], 0, axis.steps[1])) for axis in rows[:-1]]
    stack += [Axis(axis.size, (0, *axis.steps)) for axis in columns[:-1]]
    if len(stack) > 2 or columns[-1].steps[1] != 1:
        return None
    one = Axis(1, (0, 0, 0))
    outer, inner = [*[one] * (2 - len(stack)), *stack]
    return Form(rows[-1], columns[-1], summed[0], (outer, inner))


def _joined(axes: list[Axis], arrays: int = 2) -> list[Axis]:
    """Axes, those joined that lie in all arrays like one."""
    found: list[Axis] = []
    for axis in axes:
        if axis.size == 1:
            continue
        before = found[-1] if found else None
        if before and before.steps == tuple([axis.size * step for step in axis.steps]):
            found[-1] = Axis(before.size * axis.size, axis.steps)
        else:
            found.append(axis)
    return found or [Axis(1, (1,) * arrays)]
