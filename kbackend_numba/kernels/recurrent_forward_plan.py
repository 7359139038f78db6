"""The calls that run a recurrent layer over a sequence."""

from __future__ import annotations

from kbackend.engine.program import Prepared
from kbackend_numba.kernels.recurrent_cell import Cell
from kbackend_numba.kernels.recurrent_forward import ARRAYS, SIZES, Form, write_forward
from kbackend_numba.kernels.recurrent_pack import FORWARD_NAMES, write_forward_panels
from kbackend_numba.kernels.recurrent_plan import BLOCK, GRAIN, Room, Sizes, Specs, in_time

# Bytes of a group's weights that should stay in the first cache.
_PANELS = 40 << 10


def plan_forward(
    cell: Cell, inputs: Specs, outputs: Specs, *, masked: bool, sequences: bool, backwards: bool,
    keep: bool,
) -> Prepared:  # fmt: skip
    """The kernel of a sequence; see `kbackend.ops.nn.rnn`."""
    s = Sizes(cell, inputs[0].shape, inputs[4].shape, inputs[0].dtype)
    room = Room(outputs, inputs)
    made, recurrent, of_inputs = len(outputs), cell.recurrent(), cell.inputs()
    place = {**_results(cell, keep), "x": _by_steps(room, made)}
    place |= {name: room.contiguous(made + 1 + i) for i, name in enumerate("wrb")}
    if cell.states > 1:
        place["first_c"] = room.contiguous(made + 5)
    if not keep:
        # The states before and after a step.
        for name in ("hidden", "cells")[: cell.states]:
            place[name] = room.new(2, s.batch, s.units)
    rows = s.units * len(recurrent) + s.features * len(of_inputs) + cell.blocks
    place["panels"] = room.new(s.groups, rows * s.width)
    room.pack(
        ("forward panels", cell.name, s.dtype),
        lambda code: write_forward_panels(code, cell.name, s.dtype),
        FORWARD_NAMES, {**place, "features": s.features, "units": s.units},
        s.groups, s.groups * rows * s.width,
    )  # fmt: skip
    room.copy(made + 4, place["hidden"])
    times = in_time("x", backwards, s.time, s.features, s.batch * s.features)
    if masked:
        place["mask"] = room.contiguous(made + 4 + cell.states)
        times |= in_time("mask", backwards, s.time, s.time, 1)
    place["sums"] = room.new(s.groups if s.by_units else 1, s.batch, cell.blocks * s.width)
    form = Form(cell.name, s.tail, keep, s.by_units, masked, s.dtype)
    depth = s.units + s.features
    parts = -(-depth * cell.blocks * s.width * s.itemsize // _PANELS)
    values = {
        **place, **times, **s.of_examples, "tiles_block": BLOCK, "time": s.time,
        "features": s.features, "units": s.units, "groups": s.groups, "block": -(-depth // parts),
        "slots": -1 if keep else 1, "state_example": s.units,
        "out_example": s.time * s.units if sequences else s.units,
        "out_step": s.units if sequences else 0,
    }  # fmt: skip
    steps = 1 if s.by_units else s.time
    work = s.operations(recurrent, s.units) + s.operations(of_inputs, s.features)
    for first in range(0, s.time, steps):
        room.call(
            ("forward", *form), lambda code: write_forward(code, form), (ARRAYS, SIZES),
            {**values, "first": first, "last": first + steps},
            s.groups if s.by_units else s.tiles, work * steps, GRAIN,
        )  # fmt: skip
    return room.done()


def _results(cell: Cell, keep: bool) -> dict[str, int]:
    """Where the results are."""
    names = ["out", *("h", "c")[: cell.states]]
    if keep:
        names += [*("hidden", "cells")[: cell.states], *["gates"] * (cell.kept > 0)]
    return {name: i for i, name in enumerate(names)}


def _by_steps(room: Room, x: int) -> int:
    """The input as an array whose steps lie one after the other.

    As `(batch, time, features)` one step's rows are so far from each other that they would drive
    each other out of the first cache.
    """
    return room.ordered(x, (1, 0, 2))
