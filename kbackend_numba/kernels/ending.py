"""What is done elementwise to the result of a product, in the product's own kernel."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from kbackend.engine.program import Ints, Region, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.finish import Finish, Part
from kbackend_numba.codegen.nest import ONE, ROW, SAME
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.region_body import Body, Given, body_of, evaluate

# Nanoseconds to read or write an element that is near.
_NEAR = 0.04


class Ending(NamedTuple):
    """What becomes of a result.

    Attributes:
        body: what to compute.
        made: position of the product's result among the body's inputs.
        others: positions of the other arrays.
    """

    body: Body
    made: int
    others: Ints

    @property
    def cost(self) -> float:
        """Nanoseconds for an element, roughly."""
        return self.body.cost + _NEAR * (2 + len(self.others))

    @property
    def alike(self) -> Ints:
        """Which of the others may be the very memory of the result, where a part is written after
        it is read."""
        given, own = self.body.inputs, self.body.inputs[self.made]
        return tuple([number for number, i in enumerate(self.others) if given[i] == own])

    def writer(self, code: Code, first: int) -> Finish:
        """What writes it.

        Args:
            code: where to write.
            first: position of the first of the other arrays among those of the call.
        """
        arrays = {i: code.array(first + number) for number, i in enumerate(self.others)}

        def finish(value: Value, part: Part) -> Value:
            lanes = value.type.lanes

            def load(position: int) -> Value:
                given = self.body.inputs[position]
                if not isinstance(given, Given):
                    return given.write(code)
                if given.lies == ONE:
                    return code.load(arrays[position], 0, given.dtype)
                place = part.at if given.lies == SAME else part.column
                return code.load(arrays[position], place, given.dtype, lanes, part.mask)

            (found,) = evaluate(code, self.body, self.body.outputs, {self.made: value}, load)
            return code.splat(found, lanes)

        return finish


def ending_of(
    region: Region, place: int, others: tuple[Spec, ...], result: Spec, columns: int
) -> Ending | None:
    """The ending that a region is, or `None` if a kernel can't have it.

    Args:
        region: what is done.
        place: position of the product's result among its inputs.
        others: specs of its other inputs, in their order.
        result: spec of the result, which must have the product's dtype.
        columns: elements of a row of the result, as the kernel sees it.
    """
    specs = [*others[:place], result, *others[place:]]
    lies = {place: SAME}
    for i, spec in enumerate(specs):
        if i == place or i in region.known:
            continue
        how = _lies(spec, result.shape, columns)
        if how is None:
            return None
        lies[i] = how
    body = body_of(region, specs, lies)
    if body is None or region.axes or body.of(body.outputs[0]).dtype != result.dtype:
        return None
    return Ending(body, place, tuple([i for i in body.arrays if i != place]))


def _lies(spec: Spec, whole: Ints, columns: int) -> str | None:
    if spec.size == 1:
        return ONE
    if not spec.contiguous:
        return None
    if spec.shape == whole:
        return SAME
    used = next(i for i, dim in enumerate(spec.shape) if dim != 1)
    row = spec.shape[used:]
    return ROW if row == whole[len(whole) - len(row) :] and prod(row) == columns else None
