"""The code that goes back over the steps of a recurrent layer.

A step first turns the cotangents of the states (`flow`) into those of the sums, then these into the
cotangents of the states before, and of the inputs where they are wanted. What the weights get from
the sums' cotangents is added up later, for many steps at once, from where this code leaves them:
group by group, step by step, example by example, block by block.

An item is a few examples, through all steps of the call. Where there are too few examples for all
threads, a step is two calls: items of the first are groups of units, of the second panels.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.names import Names
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.recurrent_cell import CELLS
from kbackend_numba.kernels.recurrent_forward import Kept, live
from kbackend_numba.kernels.recurrent_rows import VECTORS, Rows, Some

ARRAYS = (
    "sums", "flow", "cell_flow", "g_out", "hidden", "cells", "gates", "panels", "dx",
    "input_panels", "mask",
)  # fmt: skip
SIZES = (
    "batch",
    "tiles", "main", "high",  # of examples; see `Rows`
    "tiles_block",  # tiles that go through all steps together
    "features",
    "units",
    "groups",  # of units
    "groups_block",  # of these, whose weights should fit into the first cache
    "run",  # first of the steps whose sums' cotangents lie together
    "last", "first",  # steps of the call
    "room",  # rows from one group's sums to the next one's
    # Cotangents of outputs: the first step that has them, elements from one example to the next and
    # from one step to the next.
    "g_first", "g_example", "g_step",
    "state_count",  # panels of the recurrent kernel
    "input_count",  # panels of the kernel, or 0
    # Elements to the first step's input, from one example to the next, from one step to the next.
    "dx_first", "dx_example", "dx_step",
    "mask_first", "mask_example", "mask_step",  # as for the input
)  # fmt: skip


BOTH, SUMS, PRODUCTS = "both", "sums", "products"


class Form(NamedTuple):
    """What the code depends on.

    Attributes:
        cell: name of the cell.
        tail: whether the last group is not full.
        inputs: whether cotangents of the inputs are wanted.
        masked: whether there is a mask.
        part: which part of a step: `SUMS`, `PRODUCTS` or `BOTH`.
        dtype: of all arrays.
    """

    cell: str
    tail: bool
    inputs: bool
    masked: bool
    part: str
    dtype: str


def write_back(code: Code, form: Form) -> None:
    """Writes the function that does the items."""
    _Back(code, form).write()


class _Back:
    def __init__(self, code: Code, form: Form) -> None:
        self.code, self.form, self.cell = code, form, CELLS[form.cell]
        names = Names(code, ARRAYS, SIZES)
        self.array, self.size = names.array, names.size
        self.lanes = code.target.lanes(4 if form.dtype == "float32" else 8)
        self.width = self.cell.span * self.lanes
        # Of the cotangents of one example's sums in a group.
        self.row = self.cell.blocks * self.width
        self.rows = Rows(code, *[self.size(name) for name in ("batch", "main", "high")])

    def write(self) -> None:
        code, size, part = self.code, self.size, self.form.part
        none = code.number(0)
        if part == SUMS:
            self._all_sums(size("first"), code.begin, code.end, none, size("batch"))
        elif part == PRODUCTS:
            self._products(size("first"), code.begin, code.end, none, size("tiles"))
        else:
            with code.loop(code.begin, code.end, size("tiles_block")) as begin:
                end = code.minimum(begin + size("tiles_block"), code.end)
                with code.loop(0, size("last") - size("first")) as i:
                    step = size("last") - 1 - i
                    examples = self.rows.start(begin), self.rows.start(end)
                    # What it needs registers for must not take them from the products.
                    with code.apart(step, none, size("groups"), *examples) as values:
                        self._all_sums(*values)
                    panels = size("state_count") + size("input_count")
                    self._products(step, none, panels, begin, end)

    def _step_sums(self, step: Value) -> Address:
        """Where the cotangents of a step's sums are, in the first group."""
        row = (step - self.size("run")) * self.size("batch") * self.row
        return self.code.offset(self.array("sums"), row, self.form.dtype)

    def _all_sums(self, step: Value, first: Value, last: Value, begin: Value, end: Value) -> None:
        """Those of the groups from `first` up to `last`, and the examples from `begin` to `end`."""
        code, sums = self.code, self._step_sums(step)
        with code.loop(first, last) as group, code.loop(begin, end) as example:
            for s in range(self.cell.span):
                self._sums(sums, step, example, group, s)

    def _products(self, step: Value, first: Value, last: Value, begin: Value, end: Value) -> None:
        """Those of the panels from `first` up to `last`, and the tiles from `begin` to `end`."""
        code, size, cell = self.code, self.size, self.cell
        sums, count = self._step_sums(step), size("state_count")
        self._product(
            first, code.minimum(last, count), begin, end, sums, len(cell.recurrent()),
            last=True, add=cell.carries or self.form.masked, panels=self.array("panels"),
            target=self.array("flow"), columns=size("units"), row=size("units"),
        )  # fmt: skip
        if self.form.inputs:
            place = size("dx_first") + step * size("dx_step")
            self._product(
                code.maximum(first - count, 0), last - count, begin, end, sums,
                len(cell.inputs()),
                last=False, add=False, panels=self.array("input_panels"),
                target=code.offset(self.array("dx"), place, self.form.dtype),
                columns=size("features"), row=size("dx_example"),
            )  # fmt: skip

    def _sums(self, sums: Address, step: Value, example: Value, group: Value, s: int) -> None:
        """The cotangents of one example's sums, for one vector of units."""
        code, size, form, cell, lanes = self.code, self.size, self.form, self.cell, self.lanes
        unit = group * self.width + s * lanes
        mask = code.first(size("units") - unit, lanes) if form.tail else None

        def load(name: str, place: Value, only: Value | None = mask) -> Value:
            return code.load(self.array(name), place, form.dtype, lanes, only)

        state = size("batch") * size("units")
        kept = Kept(code, size("batch"), size("units"), self.width, form.tail, group)
        place = example * size("units") + unit
        flows = ("flow", "cell_flow")[: cell.states]
        flow = [load(name, place) for name in flows]
        seen = code.splat(step >= size("g_first"), lanes)
        given = example * size("g_example") + step * size("g_step") + unit
        flow[0] = flow[0] + load("g_out", given, seen if mask is None else seen & mask)
        places = {"hidden": place, "cells": kept.place(example, 1, 0) + s * lanes}
        names = ("hidden", "cells")[: cell.states]
        found, rest = cell.back(
            code,
            [
                load("gates", step * state * cell.kept + kept.place(example, cell.kept, k))
                for k in range(cell.kept)
            ],
            [load(name, step * state + places[name]) for name in names],
            [load(name, (step + 1) * state + places[name]) for name in names],
            flow,
        )
        if form.masked:
            # Where the step changed nothing, the states' cotangents are handed on.
            alive = live(code, self.array, size, example, step, lanes)
            zero = code.number(0.0, form.dtype, lanes)
            found = [code.select(alive, value, zero) for value in found]
            rest = [
                code.select(alive, zero if value is None else value, whole)
                for value, whole in zip(rest, flow, strict=True)
            ]
        for name, value in zip(flows, rest, strict=True):
            if value is not None:
                code.store(value, self.array(name), place, mask)
        row = (group * size("room") + example) * self.row
        for k, value in enumerate(found):
            code.store(value, sums, row + (k * cell.span + s) * lanes)

    def _product(
        self, first_panel: Value, last_panel: Value, begin: Value, end: Value, sums: Address,
        blocks: int, *, last: bool, add: bool, panels: Address, target: Address, columns: Value,
        row: Value,
    ) -> None:  # fmt: skip
        """`target` becomes (if `add`: grows by) the product of the cotangents of the first or the
        `last` blocks of sums with the weights that made them."""
        code, size, dtype = self.code, self.size, self.form.dtype
        depth, width = blocks * self.width, VECTORS * self.lanes
        sums = code.offset(sums, self.row - depth if last else 0, dtype)

        def write(rows: Some, panel: Value, start: Value, stop: Value) -> None:
            masks: list[Value | None] = [
                code.first(columns - panel * width - j * self.lanes, self.lanes)
                for j in range(VECTORS)
            ]
            place, places = rows.times(row)
            y = code.offset(target, panel * width + place, dtype)
            place, sums_rows = rows.times(self.row)
            tile = Tile(code, len(rows.after), VECTORS, dtype)
            with nullcontext() if add else code.when(start > 0):
                tile.load(y, places, masks)
            with code.loop(start, stop) as group:
                tile.accumulate(
                    code.offset(sums, group * (size("room") * self.row) + place, dtype),
                    sums_rows, 1,
                    code.offset(panels, (panel * size("groups") + group) * (depth * width), dtype),
                    width, depth,
                )  # fmt: skip
            tile.store(y, places, masks)

        with (
            code.loop(first_panel, last_panel) as panel,
            code.loop(0, size("groups"), size("groups_block")) as start,
        ):
            stop = code.minimum(start + size("groups_block"), size("groups"))
            self.rows.each(begin, end, lambda rows: write(rows, panel, start, stop))
