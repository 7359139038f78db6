"""`dot`: every contraction is a stack of matrix products.

The axes of an array fall into three groups: those of the stack, those that the result keeps and
those that are summed over. A group whose axes lie in memory like one is one dimension of a matrix.
Two more dimensions, of either kind, may be a stack. Arrays whose axes don't fit are copied first.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.gemm import Matrix, product
from kbackend_numba.native import Call, Prepare, native

Ints = tuple[int, ...]
Pairs = tuple[Ints, Ints]

_DTYPES = ("float32", "float64")


class _Axis(NamedTuple):
    """Axes that are one dimension: its size, and elements from one index to the next."""

    size: int
    steps: Ints


class _Form(NamedTuple):
    """A contraction as a stack of matrix products.

    Attributes:
        rows: the dimension of the first array; steps are its own and the result's.
        columns: that of the second array; the same.
        summed: the dimension of both; steps are those of both.
        stack: outer and inner dimension; steps are those of both arrays and the result.
    """

    rows: _Axis
    columns: _Axis
    summed: _Axis
    stack: tuple[_Axis, _Axis]


def prepare_dot(
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    *,
    contract: Pairs,
    batch: Pairs = ((), ()),
) -> Prepared | None:
    """See `Kernel.prepare`."""
    x, y = inputs
    if x.dtype not in _DTYPES:
        return None
    free = tuple(
        tuple([i for i in range(len(s.shape)) if i not in c and i not in b])
        for s, c, b in zip(inputs, contract, batch, strict=True)
    )
    calls: list[Call] = []
    scratch: list[Spec] = []
    places = [1, 2]
    specs = [x, y]
    form = _form(specs[0], specs[1], contract, batch, free)
    for i in (0, 1):
        if form is not None:
            break
        # In the order of stack, rows and columns; the order of axes is told by the strides.
        order = (*batch[i], *((*free[0], *contract[0]) if i == 0 else (*contract[1], *free[1])))
        call, dense, specs[i] = _copied(specs[i], order, i + 1, 3 + len(scratch))
        if call is None:
            return None
        calls.append(call)
        places[i] = 3 + len(scratch)
        scratch.append(dense)
        form = _form(specs[0], specs[1], contract, batch, free)
    if form is None:
        return None
    outer, inner = form.stack
    made = product(
        (form.rows.size, form.columns.size, form.summed.size),
        Matrix(
            places[0], form.rows.steps[0], form.summed.steps[0], 0, outer.steps[0], inner.steps[0]
        ),
        Matrix(
            places[1], form.summed.steps[1], form.columns.steps[0], 0, outer.steps[1],
            inner.steps[1],
        ),
        Matrix(0, form.rows.steps[1], 1, 0, outer.steps[2], inner.steps[2]),
        scratch=3 + len(scratch), stack=(outer.size, inner.size), dtype=x.dtype,
    )  # fmt: skip
    return native([*calls, *made.calls], [*scratch, *made.scratch])


def _copied(spec: Spec, order: Ints, source: int, target: int) -> tuple[Call | None, Spec, Spec]:
    """The copy of an array with its axes in an order: the call, the memory, and what the array
    looks like there."""
    strides = _strides(spec)
    dims = tuple([spec.shape[i] for i in order])
    dense = Spec(dims, spec.dtype)
    call = copy(Spec(dims, spec.dtype, tuple([strides[i] for i in order])), source, target)
    steps = [0] * len(order)
    for i, step in zip(order, _strides(dense), strict=True):
        steps[i] = step
    return call, dense, spec._replace(strides=tuple(steps))


def _form(x: Spec, y: Spec, contract: Pairs, batch: Pairs, free: Pairs) -> _Form | None:
    """The products, or `None` if axes don't fit."""
    a, b = _strides(x), _strides(y)
    out = _strides(
        Spec(
            (
                *[x.shape[i] for i in batch[0]],
                *[x.shape[i] for i in free[0]],
                *[y.shape[i] for i in free[1]],
            ),
            x.dtype,
        )
    )
    first = len(batch[0])
    second = first + len(free[0])
    # The order of sums is free: that of the larger steps in either array.
    for steps, axes in ((b, contract[1]), (a, contract[0])):
        order = sorted(range(len(axes)), key=lambda n: -steps[axes[n]])
        summed = _joined(
            [_Axis(x.shape[contract[0][n]], (a[contract[0][n]], b[contract[1][n]])) for n in order]
        )
        if len(summed) == 1:
            break
    else:
        return None
    rows = _joined([_Axis(x.shape[i], (a[i], out[first + n])) for n, i in enumerate(free[0])])
    columns = _joined([_Axis(y.shape[j], (b[j], out[second + n])) for n, j in enumerate(free[1])])
    stack = _joined(
        [
            _Axis(x.shape[i], (a[i], b[j], out[n]))
            for n, (i, j) in enumerate(zip(*batch, strict=True))
        ],
        3,
    )
    # Rows and columns that are not one dimension may be a stack.
    stack = [axis for axis in stack if axis.size != 1]
    stack += [_Axis(axis.size, (axis.steps[0], 0, axis.steps[1])) for axis in rows[:-1]]
    stack += [_Axis(axis.size, (0, *axis.steps)) for axis in columns[:-1]]
    if len(stack) > 2 or columns[-1].steps[1] != 1:
        return None
    one = _Axis(1, (0, 0, 0))
    outer, inner = [*[one] * (2 - len(stack)), *stack]
    return _Form(rows[-1], columns[-1], summed[0], (outer, inner))


def _joined(axes: list[_Axis], arrays: int = 2) -> list[_Axis]:
    """Axes, those joined that lie in all arrays like one."""
    found: list[_Axis] = []
    for axis in axes:
        if axis.size == 1:
            continue
        before = found[-1] if found else None
        if before and before.steps == tuple([axis.size * step for step in axis.steps]):
            found[-1] = _Axis(before.size * axis.size, axis.steps)
        else:
            found.append(axis)
    return found or [_Axis(1, (1,) * arrays)]


def _strides(spec: Spec) -> Ints:
    if spec.strides is not None:
        return spec.strides
    return tuple([prod(spec.shape[i + 1 :]) for i in range(len(spec.shape))])


PREPARE: dict[str, Prepare] = {"dot": prepare_dot}
