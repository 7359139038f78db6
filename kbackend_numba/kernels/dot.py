"""`dot`: every contraction is a stack of matrix products.

The axes of an array fall into three groups: those of the stack, those that the result keeps and
those that are summed over. A group whose axes lie in memory like one is one dimension of a matrix.
Two more dimensions, of either kind, may be a stack. Arrays whose axes don't fit are copied first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Prepared, Region, Spec
from kbackend.engine.strides import contiguous_strides
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.dot_form import Form, Pairs, form_of, free_axes, strides_of
from kbackend_numba.kernels.ending import ending_of
from kbackend_numba.kernels.gemm import Matrix, Product, product
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

_DTYPES = ("float32", "float64")


def prepare_dot(
    inputs: Specs, outputs: Specs, *, contract: Pairs, batch: Pairs = ((), ())
) -> Prepared | None:
    """See `Kernel.prepare`."""
    made = _arranged(inputs[0], inputs[1], contract, batch, 3)
    if made is None:
        return None
    calls = _product(made, inputs[0].dtype, 3 + len(made.scratch))
    return native([*made.calls, *calls.calls], [*made.scratch, *calls.scratch])


def prepare_ended(
    inputs: Specs, outputs: Specs, *, params: Mapping[str, Any], region: Region, place: int
) -> Prepared | None:
    """`dot` with an elementwise ending; see `Step`."""
    x, y, *others = inputs
    count = 1 + len(inputs)
    made = _arranged(x, y, params["contract"], params.get("batch", ((), ())), count)
    if made is None or outputs[0].dtype != x.dtype:
        return None
    ending = ending_of(region, place, tuple(others), outputs[0], made.form.columns.size)
    if ending is None:
        return None
    operands = tuple([3 + i - (i > place) for i in ending.others])
    calls = _product(made, x.dtype, count + len(made.scratch), ending=ending, operands=operands)
    return native([*made.calls, *calls.calls], [*made.scratch, *calls.scratch])


class _Arranged(NamedTuple):
    """Arrays that are copied where their axes don't fit.

    Attributes:
        form: the products.
        places: of the arrays to multiply.
        calls: that copy them.
        scratch: what they are copied into.
    """

    form: Form
    places: Ints
    calls: tuple[Call, ...]
    scratch: Specs


def _arranged(x: Spec, y: Spec, contract: Pairs, batch: Pairs, scratch: int) -> _Arranged | None:
    """The arrays made fit, with scratch from a position on; `None` where there is no kernel."""
    if x.dtype not in _DTYPES:
        return None
    specs, places = [x, y], [1, 2]
    calls: list[Call] = []
    dense: list[Spec] = []
    free = free_axes(x, y, contract, batch)
    # In the order of stack, rows and columns. That of the axes in them is told by the strides.
    orders = ((*batch[0], *free[0], *contract[0]), (*batch[1], *contract[1], *free[1]))
    for i, order in enumerate(orders):
        form = form_of(specs[0], specs[1], contract, batch)
        if form is not None:
            return _Arranged(form, tuple(places), tuple(calls), tuple(dense))
        places[i] = scratch + len(dense)
        steps = strides_of(specs[i])
        shape = tuple([specs[i].shape[axis] for axis in order])
        lies = Spec(shape, x.dtype, tuple([steps[axis] for axis in order]))
        call = copy(lies, i + 1, places[i])
        if call is None:
            return None
        calls.append(call)
        dense.append(Spec(shape, x.dtype))
        into = dict(zip(order, contiguous_strides(shape), strict=True))
        specs[i] = specs[i]._replace(strides=tuple([into[axis] for axis in range(len(order))]))
    form = form_of(specs[0], specs[1], contract, batch)
    return form and _Arranged(form, tuple(places), tuple(calls), tuple(dense))


def _product(made: _Arranged, dtype: str, scratch: int, **ending: Any) -> Product:
    """The calls of the products."""
    form = made.form
    rows, columns, summed, (outer, inner) = form
    return product(
        (rows.size, columns.size, summed.size),
        Matrix(
            made.places[0], rows.steps[0], summed.steps[0], 0, outer.steps[0], inner.steps[0]
        ),
        Matrix(
            made.places[1], summed.steps[1], columns.steps[0], 0, outer.steps[1], inner.steps[1]
        ),
        Matrix(0, rows.steps[1], 1, 0, outer.steps[2], inner.steps[2]),
        scratch=scratch, stack=(outer.size, inner.size), dtype=dtype, **ending,
    )  # fmt: skip


PREPARE: dict[str, Prepare] = {"dot": prepare_dot}
EPILOGUES: dict[str, Prepare] = {"dot": prepare_ended}
