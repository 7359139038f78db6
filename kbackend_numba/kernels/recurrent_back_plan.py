"""The calls that make the gradients of a recurrent layer.

A run is a few steps: first the cotangents of their sums are made, then what these add to the
weights' gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kbackend.engine.program import Prepared
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels import recurrent_back, recurrent_weights
from kbackend_numba.kernels.recurrent_back import BOTH, PRODUCTS, SUMS, Form, write_back
from kbackend_numba.kernels.recurrent_cell import Cell
from kbackend_numba.kernels.recurrent_pack import BACK_NAMES, write_back_panels
from kbackend_numba.kernels.recurrent_plan import BLOCK, GRAIN, Room, Sizes, Specs, in_time
from kbackend_numba.kernels.recurrent_rows import cut, rounded
from kbackend_numba.kernels.recurrent_weights import write_gradients, write_strips

# Examples times steps of a run: what it hands on should stay in the second cache.
_RUN = 512
# Bytes of weights that should stay in the first cache.
_PANELS = 32 << 10


def plan_back(
    cell: Cell, inputs: Specs, outputs: Specs, *, masked: bool, sequences: bool, backwards: bool,
    wants: tuple[bool, ...],
) -> Prepared:  # fmt: skip
    """The kernel of a sequence's gradient; see `kbackend.ops.nn.rnn`."""
    plan = _Back(cell, inputs, outputs, masked, sequences, backwards, wants)
    steps = plan.most // plan.s.batch
    for last in range(plan.s.time, 0, -steps):
        first = max(0, last - steps)
        plan.go_back(first, last)
        plan.add_gradients(first, last)
    return plan.room.done()


class _Back:
    """The arrays and sizes of all calls.

    Attributes:
        room: what the calls are put into.
        s: what follows from shapes.
        most: rows of sums in a run.
    """

    def __init__(
        self, cell: Cell, inputs: Specs, outputs: Specs, masked: bool, sequences: bool,
        backwards: bool, wants: tuple[bool, ...],
    ) -> None:  # fmt: skip
        x_at, made = 1 + cell.states, len(outputs)
        x, h = inputs[x_at], inputs[x_at + 4]
        self.cell, self.masked = cell, masked
        self.s = s = Sizes(cell, x.shape, h.shape, x.dtype)
        self.room = room = Room(outputs, inputs)
        self.recurrent, self.of_inputs = cell.recurrent(), cell.inputs()
        names = ("dx", "dw", "dr", "db", "dh", "dc")[: len(wants)]
        wanted = [name for name, want in zip(names, wants, strict=True) if want]
        self.place = place = {name: i for i, name in enumerate(wanted)}
        # The cotangents of the states, which end up as those of the initial ones.
        for i, (name, end) in enumerate((("flow", "dh"), ("cell_flow", "dc"))[: cell.states]):
            place[name] = place[end] if end in place else room.new(s.batch, s.units)
            room.copy(made + 1 + i, place[name])
        kept = (*("hidden", "cells")[: cell.states], *["gates"] * (cell.kept > 0))
        for i, name in enumerate(kept):
            place[name] = made + x_at + 4 + cell.states + i
        self.times: dict[str, int] = {}
        if masked:
            place["mask"] = room.contiguous(made + len(inputs) - 1)
            self.times |= in_time("mask", backwards, s.time, s.time, 1)
        place["g_out"], strides = room.rows(made)
        self.times |= {
            "g_first": 0 if sequences else s.time - 1,
            "g_example": strides[0],
            "g_step": strides[1] if sequences else 0,
        }
        place["x"], strides = room.rows(made + x_at)
        self.x_times = in_time("x", backwards, s.time, strides[0], strides[1])
        self.times |= in_time("dx", backwards, s.time, s.time * s.features, s.features)
        place["panels"] = self._packed(made + x_at + 2, self.recurrent, s.units)
        if "dx" in place:
            place["input_panels"] = self._packed(made + x_at + 1, self.of_inputs, s.features)
        self.most = min(s.time, -(-_RUN // s.batch)) * s.batch
        place["sums"] = room.new(s.groups, self.most, cell.blocks * s.width)
        # Tiles of the gradients' rows, and the strips that these are made from.
        self.tiles: dict[str, tuple[int, int, int]] = {}
        for name, rows, strips in (("dw", s.features, "inputs"), ("dr", s.units, "states")):
            self.tiles[name] = cut(host(), rows if name in place else 0)
            if self.tiles[name][0]:
                place[strips] = room.new(self.most, rounded(host(), rows))

    def _packed(self, weights: int, blocks: Sequence[int], rows: int) -> int:
        """Packs weights for the way back."""
        s, room, own = self.s, self.room, tuple(blocks)
        count, depth = -(-rows // s.panel), s.groups * len(own) * s.width
        panels = room.new(count, depth * s.panel)
        room.pack(
            ("back panels", own, s.cell.span, s.dtype),
            lambda code: write_back_panels(code, own, s.cell.span, s.dtype),
            BACK_NAMES,
            {"panels": panels, "w": room.contiguous(weights), "rows": rows, "units": s.units,
             "groups": s.groups},
            count, count * depth * s.panel,
        )  # fmt: skip
        return panels

    def go_back(self, first: int, last: int) -> None:
        """The cotangents of the sums of some steps, and those of the states before them."""
        s, cell, of_x = self.s, self.cell, "dx" in self.place
        depth = max(len(self.recurrent), len(self.of_inputs)) * s.width
        counts = {
            "state_count": -(-s.units // s.panel),
            "input_count": -(-s.features // s.panel) if of_x else 0,
        }
        values = {
            **self.place, **self.times, **counts, **s.of_examples, "tiles_block": BLOCK,
            "features": s.features, "units": s.units, "groups": s.groups,
            "groups_block": max(1, _PANELS // (depth * s.panel * s.itemsize)),
            "run": first, "room": self.most,
        }  # fmt: skip
        parts = [(BOTH, s.tiles)]
        if s.by_units:
            parts = [(SUMS, s.groups), (PRODUCTS, sum(counts.values()))]
        steps = 1 if s.by_units else last - first
        work = s.operations(self.recurrent, s.units)
        work += s.operations(self.of_inputs, s.features) if of_x else 0.0
        for end in range(last, first, -steps):
            for part, items in parts:
                form = Form(cell.name, s.tail, of_x, self.masked, part, s.dtype)
                self.room.call(
                    ("back", *form), partial(write_back, form=form),
                    (recurrent_back.ARRAYS, recurrent_back.SIZES),
                    {**values, "first": end - steps, "last": end},
                    items, work * steps / len(parts), GRAIN,
                )  # fmt: skip

    def add_gradients(self, first: int, last: int) -> None:
        """What some steps add to the gradients of the weights."""
        s, steps = self.s, last - first
        x_times = dict(self.x_times)
        x_times["x_first"] += first * x_times["x_step"]
        state = s.batch * s.units
        h_times = {"x_first": first * state, "x_example": s.units, "x_step": state}
        self._strips("dw", "inputs", "x", s.features, x_times, steps)
        self._strips("dr", "states", "hidden", s.units, h_times, steps)
        biases = int("db" in self.place)
        count = self.tiles["dw"][0] + self.tiles["dr"][0] + biases
        if not count:
            return
        sizes = {
            **self._cuts("features", s.features, "dw"), **self._cuts("units", s.units, "dr"),
            "biases": biases, "groups": s.groups, "rows": steps * s.batch, "room": self.most,
            "block": _RUN, "add": int(last < s.time),
        }  # fmt: skip
        work = s.operations(self.of_inputs, s.features) + s.operations(self.recurrent, s.units)
        self.room.call(
            ("gradients", self.cell.name, s.dtype),
            lambda code: write_gradients(code, self.cell.name, s.dtype),
            (recurrent_weights.ARRAYS, recurrent_weights.SIZES), {**self.place, **sizes},
            count * s.groups, work * steps, count,
        )  # fmt: skip

    def _cuts(self, name: str, rows: int, gradient: str) -> dict[str, int]:
        tiles, main, high = self.tiles[gradient]
        return {
            name: rows, f"{name}_tiles": tiles, f"{name}_main": main, f"{name}_high": high
        }  # fmt: skip

    def _strips(
        self, gradient: str, strips: str, x: str, rows: int, times: dict[str, int], steps: int
    ) -> None:
        """Packs what a gradient's tiles are made from."""
        s, (tiles, main, high) = self.s, self.tiles[gradient]
        if not tiles:
            return
        values = {
            "strips": self.place[strips], "x": self.place[x], "count": rows, "main": main,
            "high": high, "batch": s.batch, "steps": steps, "room": self.most, **times,
        }  # fmt: skip
        self.room.pack(
            ("strips", s.dtype), lambda code: write_strips(code, s.dtype),
            (recurrent_weights.STRIP_ARRAYS, recurrent_weights.STRIP_SIZES), values,
            tiles, rows * steps * s.batch,
        )  # fmt: skip
