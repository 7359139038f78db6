"""Recurrent layers over whole sequences, forwards and back; see `kbackend.ops.nn.rnn`.

Forwards, the weights are packed, and then the examples are shared between the threads: each goes
through all steps. Back, a few steps at a time, first the cotangents of the sums are made in the
same way, then tiles of the weights' gradients are shared between the threads.

What is kept for the gradient is in this engine's own order, so both directions are done here, or
neither is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.eager import Outputs
from kbackend_numba.kernels import recurrent_back, recurrent_forward, recurrent_weights
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.recurrent_back import BOTH, PRODUCTS, SUMS
from kbackend_numba.kernels.recurrent_cell import GRU, LSTM, SIMPLE, Cell
from kbackend_numba.kernels.recurrent_pack import write_back_panels, write_forward_panels
from kbackend_numba.kernels.recurrent_rows import VECTORS, cut, rounded
from kbackend_numba.native import Call, Prepare, native

Ints = tuple[int, ...]
Specs = tuple[Spec, ...]

# Examples that go through all steps together, and so many that they make good use of panels.
_BLOCK, _GRAIN = 6, 3
# Examples times steps whose sums' cotangents are kept, and bytes of them that stay in the first
# cache; bytes of weights that do.
_RUN, _FIRST_ROWS, _FIRST_CACHE = 512, 512, 32 << 10
# Bytes of a group's weights that stay in the first cache on the way forwards.
_PANELS = 40 << 10
# Tiles that are too few to be shared, and bytes of weights that make it worth to share steps.
_FEW_TILES, _LARGE_WEIGHTS = 2, 1 << 20
# Operations per nanosecond, and nanoseconds for a number that is packed.
_FLOPS, _PACKING = 130.0, 0.2


class _Room:
    """The arrays of a kernel: outputs, inputs, and scratch that is asked for.

    Args:
        outputs: specs of the outputs.
        inputs: specs of the inputs.
    """

    def __init__(self, outputs: Specs, inputs: Specs) -> None:
        self._specs = [*outputs, *inputs]
        self._own = len(self._specs)
        self.calls: list[Call] = []

    @property
    def scratch(self) -> list[Spec]:
        """What was asked for."""
        return self._specs[self._own :]

    def new(self, *shape: int) -> int:
        """The position of a new array."""
        self._specs.append(Spec(shape, self._specs[0].dtype))
        return len(self._specs) - 1

    def shape(self, position: int) -> Ints:
        """The shape of an array."""
        return self._specs[position].shape

    def contiguous(self, position: int) -> int:
        """An array, or a copy of it that is contiguous."""
        return self.ordered(position, range(len(self.shape(position))))

    def ordered(self, position: int, axes: Sequence[int]) -> int:
        """An array whose dimensions follow each other in that order, or a copy that does so."""
        spec = self._specs[position]
        strides = spec.strides or _row_major(spec.shape)
        shape, strides = [tuple(own[i] for i in axes) for own in (spec.shape, strides)]
        if all(a == b or n == 1 for a, b, n in zip(strides, _row_major(shape), shape, strict=True)):
            return position
        target = self.new(*shape)
        self._copy(spec._replace(shape=shape, strides=strides), position, target)
        return target

    def rows(self, position: int) -> tuple[int, Ints]:
        """An array whose last dimension is contiguous, and its strides."""
        spec = self._specs[position]
        if spec.strides is not None and (spec.strides[-1] == 1 or spec.shape[-1] == 1):
            return position, spec.strides
        return self.contiguous(position), _row_major(spec.shape)

    def copy(self, source: int, target: int) -> None:
        """Copies an array to the beginning of a contiguous one."""
        self._copy(self._specs[source], source, target)

    def _copy(self, spec: Spec, source: int, target: int) -> None:
        made = copy(spec, source, target)
        if made is not None:
            self.calls.append(made)

    def call(
        self, key: Sequence[Any], write: Callable[[Code], None], arrays: Sequence[int],
        sizes: Sequence[int], items: int, work: float, grain: int = 1,
    ) -> None:  # fmt: skip
        """Appends a call; `work` is operations of all items."""
        cost = max(1.0, work / _FLOPS / max(1, items))
        made = function(("recurrent", *key), write)
        self.calls.append(Call(made, tuple(arrays), tuple(sizes), items, cost, grain))

    def done(self) -> Prepared:
        """The kernel."""
        return native(self.calls, self.scratch)


def _row_major(shape: Ints) -> Ints:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


class _Sizes:
    """What follows from the shapes of a layer's input and state.

    Args:
        cell: the layer's.
        x: shape of the input.
        h: shape of the state.
        dtype: of all arrays.
    """

    def __init__(self, cell: Cell, x: Ints, h: Ints, dtype: str) -> None:
        self.cell, self.dtype = cell, dtype
        self.batch, self.time, self.features = x
        self.units = h[1]
        self.itemsize = 4 if dtype == "float32" else 8
        lanes = host().lanes(self.itemsize)
        self.width = cell.span * lanes
        self.groups = -(-self.units // self.width)
        self.tail = self.units % self.width != 0
        self.tiles, self.main, self.high = cut(host(), self.batch)
        # Whether each step is shared between the threads, unit by unit: there are few examples, and
        # reading the weights takes longer than it takes the threads to meet.
        weights = (self.features + self.units) * cell.blocks * self.units * self.itemsize
        self.by_units = self.tiles <= _FEW_TILES and weights >= _LARGE_WEIGHTS
        # Rows of weights that are columns of a panel on the way back.
        self.panel = VECTORS * lanes

    def operations(self, blocks: int, rows: int) -> float:
        """Of the products with some blocks of weights with that many rows, in a step."""
        return 2.0 * self.batch * rows * blocks * self.width * self.groups


def _taken(inputs: Specs, x: Spec) -> bool:
    """Whether sequences of that kind are done here, in both directions."""
    same = all(spec.dtype == x.dtype for spec in inputs)
    return same and x.dtype in ("float32", "float64") and 0 not in (*inputs[-1].shape, *x.shape)


def _steps(backwards: bool, time: int, step: int) -> Ints:
    """Elements to the first step's input, and from one step to the next."""
    return ((time - 1) * step, -step) if backwards else (0, step)


def _by_steps(room: _Room, x: int, backwards: bool) -> tuple[int, Ints]:
    """The input as an array whose steps lie one after the other, and the elements to the first
    step, from one example to the next, and from one step to the next.

    As `(batch, time, features)` one step's rows are so far from each other that they would drive
    each other out of the first cache.
    """
    batch, time, features = room.shape(x)
    x = room.ordered(x, (1, 0, 2))
    first, step = _steps(backwards, time, batch * features)
    return x, (first, features, step)


# ----- forwards -----


def _forward(cell: Cell) -> Prepare:
    def prepare(
        inputs: Specs, outputs: Specs, sequences: bool, backwards: bool, keep: bool
    ) -> Prepared | None:
        if not _taken(inputs, inputs[0]):
            return None
        s = _Sizes(cell, inputs[0].shape, inputs[4].shape, inputs[0].dtype)
        room = _Room(outputs, inputs)
        made, every = len(outputs), range(cell.blocks)
        x, x_places = _by_steps(room, made, backwards)
        weights = [room.contiguous(made + 1 + i) for i in range(3)]
        first_c = room.contiguous(made + 5) if cell.states > 1 else made
        out, h, *rest = range(made)
        c = rest.pop(0) if cell.states > 1 else out
        state = (s.batch, s.units)
        hidden = rest.pop(0) if keep else room.new(2, *state)
        cells = out
        if cell.states > 1:
            cells = rest.pop(0) if keep else room.new(2, *state)
        gates = rest.pop(0) if rest else out
        recurrent, of_inputs = len(cell.recurrent(every)), len(cell.inputs(every))
        rows = s.units * recurrent + s.features * of_inputs + cell.blocks
        panels = room.new(s.groups, rows * s.width)
        room.call(
            ("forward panels", cell.name, s.dtype),
            lambda code: write_forward_panels(code, cell.name, s.dtype),
            [panels, *weights], (s.features, s.units), s.groups,
            _PACKING * _FLOPS * s.groups * rows * s.width,
        )  # fmt: skip
        room.copy(made + 4, hidden)
        work = s.operations(recurrent, s.units) + s.operations(of_inputs, s.features)
        form = recurrent_forward.Form(cell.name, s.tail, keep, s.by_units, s.dtype)
        sums = room.new(s.groups if s.by_units else 1, s.batch, cell.blocks * s.width)
        arrays = [x, first_c, panels, sums, hidden, cells, gates, out, h, c]
        count = s.units + s.features
        block = -(-count // -(-count * cell.blocks * s.width * s.itemsize // _PANELS))
        steps = 1 if s.by_units else s.time
        for begin in range(0, s.time, steps):
            room.call(
                ("forward", *form), lambda code: recurrent_forward.write_forward(code, form),
                arrays,
                (s.batch, s.tiles, s.main, s.high, _BLOCK, begin, begin + steps, s.time,
                 s.features, s.units, s.groups, block, -1 if keep else 1, *x_places, s.units,
                 s.time * s.units if sequences else s.units, s.units if sequences else 0),
                s.groups if s.by_units else s.tiles, work * steps, _GRAIN,
            )  # fmt: skip
        return room.done()

    return prepare


# ----- back -----


def _back(cell: Cell) -> Prepare:
    x_at = 1 + cell.states

    def prepare(
        inputs: Specs, outputs: Specs, sequences: bool, backwards: bool, wants: tuple[bool, ...]
    ) -> Prepared | None:
        if not _taken(inputs[: x_at + 4 + cell.states], inputs[x_at]):
            return None
        s = _Sizes(cell, inputs[x_at].shape, inputs[x_at + 4].shape, inputs[0].dtype)
        room = _Room(outputs, inputs)
        made, every = len(outputs), range(cell.blocks)
        places = iter(range(made))
        dx, dw, dr, db, *ends = [next(places) if want else None for want in wants]
        x, strides = room.rows(made + x_at)
        first, step = _steps(backwards, s.time, strides[1])
        w, r = [room.contiguous(made + x_at + 1 + i) for i in range(2)]
        hidden, *kept = range(made + x_at + 4 + cell.states, made + len(inputs))
        cells = kept.pop(0) if cell.states > 1 else hidden
        gates = kept.pop(0) if kept else hidden
        # The cotangents of the states, which end up as those of the initial ones.
        flows = []
        for given, end in zip(range(made + 1, made + x_at), ends, strict=True):
            flows.append(room.new(s.batch, s.units) if end is None else end)
            room.copy(given, flows[-1])
        g_out, g_strides = room.rows(made)
        g_first, g_step = (0, g_strides[1]) if sequences else (s.time - 1, 0)
        blocks, of_inputs = cell.recurrent(every), cell.inputs(every)
        panels = _packed(room, s, r, blocks, s.units)
        input_panels = panels if dx is None else _packed(room, s, w, of_inputs, s.features)
        # A few steps at a time, so that what is handed on stays in the second cache.
        steps = min(s.time, -(-_RUN // s.batch))
        row = cell.blocks * s.width
        most = steps * s.batch
        sums = room.new(s.groups, most, row)
        forms = [
            recurrent_back.Form(cell.name, s.tail, dx is not None, part, s.dtype)
            for part in ((SUMS, PRODUCTS) if s.by_units else (BOTH,))
        ]
        state_panels, x_panels = -(-s.units // s.panel), -(-s.features // s.panel)
        if dx is None:
            x_panels = 0
        parts = [s.groups, state_panels + x_panels] if s.by_units else [s.tiles]
        depth = max(len(blocks), len(of_inputs)) * s.width
        groups_block = max(1, _FIRST_CACHE // (depth * s.panel * s.itemsize))
        work = s.operations(len(blocks), s.units)
        if dx is not None:
            work += s.operations(len(of_inputs), s.features)
        dx_first, dx_step = _steps(backwards, s.time, s.features)
        tiles = [
            cut(host(), 0 if wanted is None else rows)
            for wanted, rows in ((dw, s.features), (dr, s.units))
        ]
        strips = [
            room.new(most if high else 0, rounded(host(), rows))
            for rows, (high, *_) in zip((s.features, s.units), tiles, strict=True)
        ]
        count = tiles[0][0] + tiles[1][0] + (db is not None)
        gradients = s.operations(len(of_inputs), s.features) + s.operations(len(blocks), s.units)
        for last in range(s.time, 0, -steps):
            begin = max(0, last - steps)
            one = 1 if s.by_units else last - begin
            for end in range(last, begin, -one):
                for form, items in zip(forms, parts, strict=True):
                    room.call(
                        ("back", *form),
                        partial(recurrent_back.write_back, form=form),
                        [sums, flows[0], flows[-1], g_out, hidden, cells, gates, panels,
                         sums if dx is None else dx, input_panels],
                        (s.batch, s.tiles, s.main, s.high, _BLOCK, s.features, s.units, s.groups,
                         groups_block, begin, end, end - one, most, g_first, g_strides[0], g_step,
                         state_panels, x_panels, dx_first, s.time * s.features, dx_step),
                        items, work * one / len(forms), _GRAIN,
                    )  # fmt: skip
            now = last - begin
            numbers = (
                (x, s.features, (first + begin * step, strides[0], step)),
                (hidden, s.units, (begin * s.batch * s.units, s.units, s.batch * s.units)),
            )
            for strip, (high, *cuts), (source, rows, at) in zip(
                strips, tiles, numbers, strict=True
            ):
                if high:
                    room.call(
                        ("strips", s.dtype),
                        lambda code: recurrent_weights.write_strips(code, s.dtype),
                        (strip, source), (rows, *cuts, s.batch, now, most, *at), high,
                        _PACKING * _FLOPS * rows * now * s.batch,
                    )  # fmt: skip
            if count:
                room.call(
                    ("gradients", cell.name, s.dtype),
                    lambda code: recurrent_weights.write_gradients(code, cell.name, s.dtype),
                    [sums if a is None else a for a in (dw, dr, db)] + [*strips, sums],
                    (s.features, *tiles[0], s.units, *tiles[1], int(db is not None), s.groups,
                     now * s.batch, most, _FIRST_ROWS, int(last < s.time)),
                    count * s.groups, gradients * now, count,
                )  # fmt: skip
        return room.done()

    return prepare


def _packed(room: _Room, s: _Sizes, w: int, blocks: Sequence[int], rows: int) -> int:
    """Packs weights for the way back."""
    span, own, dtype = s.cell.span, tuple(blocks), s.dtype
    count = -(-rows // s.panel)
    depth = s.groups * len(own) * s.width
    panels = room.new(count, depth * s.panel)
    room.call(
        ("back panels", own, span, dtype),
        lambda code: write_back_panels(code, own, span, dtype),
        (panels, w), (rows, s.units, s.groups), count,
        _PACKING * _FLOPS * count * depth * s.panel,
    )  # fmt: skip
    return panels


# ----- the results' specs, for calls outside of programs -----


def _forward_outputs(cell: Cell) -> Outputs:
    def outputs(inputs: Specs, sequences: bool, backwards: bool, keep: bool) -> Specs | None:
        if not _taken(inputs, inputs[0]):
            return None
        batch, time, _ = inputs[0].shape
        units = inputs[4].shape[1]
        shapes: list[Ints] = [(batch, time, units) if sequences else (batch, units)]
        shapes += [(batch, units)] * cell.states
        if keep:
            shapes += [(time + 1, units, batch)] * cell.states
            shapes += [(time, cell.kept * units, batch)] * (cell.kept > 0)
        return tuple([Spec(shape, inputs[0].dtype) for shape in shapes])

    return outputs


def _back_outputs(cell: Cell) -> Outputs:
    x_at = 1 + cell.states

    def outputs(
        inputs: Specs, sequences: bool, backwards: bool, wants: tuple[bool, ...]
    ) -> Specs | None:
        args = inputs[x_at : x_at + 4 + cell.states]
        return tuple([spec for spec, want in zip(args, wants, strict=True) if want])

    return outputs


_MAKERS = {"": (_forward, _forward_outputs), "_grad": (_back, _back_outputs)}
_NAMES = {
    f"{name}_sequence{suffix}": (cell, *makers)
    for name, cell in (("lstm", LSTM), ("gru", GRU), ("simple_rnn", SIMPLE))
    for suffix, makers in _MAKERS.items()
}
PREPARE: dict[str, Prepare] = {name: make(cell) for name, (cell, make, _) in _NAMES.items()}
# What is kept is in this engine's own order, so single calls need these kernels, too.
OUTPUTS: dict[str, Outputs] = {name: make(cell) for name, (cell, _, make) in _NAMES.items()}
