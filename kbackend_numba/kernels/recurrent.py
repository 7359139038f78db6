"""Recurrent layers over whole sequences, forwards and back; see `kbackend.ops.nn.rnn`.

Forwards, the weights are packed, and then the examples are shared between the threads: each goes
through all steps. Back, a few steps at a time, first the cotangents of the sums are made in the
same way, then tiles of the weights' gradients are shared between the threads.

What is kept for the gradient is in this engine's own order, so both directions are done here, or
neither is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.vectors import fill
from kbackend_numba.eager import Outputs
from kbackend_numba.kernels import recurrent_back, recurrent_forward, recurrent_weights
from kbackend_numba.kernels.recurrent_back import BOTH, PRODUCTS, SUMS
from kbackend_numba.kernels.recurrent_cell import GRU, LSTM, SIMPLE, Cell
from kbackend_numba.kernels.recurrent_pack import write_back_panels, write_forward_panels
from kbackend_numba.kernels.recurrent_plan import Room, Sizes
from kbackend_numba.kernels.recurrent_rows import cut, rounded
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

# Tiles of examples that go through all steps together, and so many that they make good use of
# panels.
_BLOCK, _GRAIN = 6, 3
# Examples times steps whose sums' cotangents are kept at a time.
_RUN = 512
# Bytes of weights that should stay in the first cache, forwards and back.
_PANELS, _BACK_PANELS = 40 << 10, 32 << 10
_DTYPES = frozenset(("float32", "float64"))


def _taken(inputs: Specs, x: Spec, h: Spec) -> bool:
    """Whether sequences of that kind are done here, in both directions.

    Args:
        inputs: all arguments of the composite that are floats.
        x: the input.
        h: the state.
    """
    same = all(spec.dtype == x.dtype for spec in inputs)
    return same and x.dtype in _DTYPES and 0 not in (*h.shape, x.shape[1])


def _nothing(outputs: Specs) -> Prepared | None:
    """What comes of an empty batch: gradients of zeros. Where NumPy has no kernel there is this."""
    if any(spec.dtype not in _DTYPES for spec in outputs):
        return None
    calls = []
    for i, spec in enumerate(outputs):

        def write(code: Code, dtype: str = spec.dtype) -> None:
            fill(code, code.array(0), code.size(0), code.number(0.0, dtype))

        calls.append(Call(function(("zeros", spec.dtype), write), (i,), (spec.size,)))
    return native(calls)


def _steps(backwards: bool, time: int, step: int) -> Ints:
    """Elements to the first step's input, and from one step to the next."""
    return ((time - 1) * step, -step) if backwards else (0, step)


def _by_steps(room: Room, x: int, backwards: bool) -> tuple[int, Ints]:
    """The input as an array whose steps lie one after the other, and the elements to the first
    step, from one example to the next, and from one step to the next.

    As `(batch, time, features)` one step's rows are so far from each other that they would drive
    each other out of the first cache.
    """
    batch, time, features = room.shape(x)
    x = room.ordered(x, (1, 0, 2))
    first, step = _steps(backwards, time, batch * features)
    return x, (first, features, step)


# An array that nobody looks at, and its places; see `_mask`.
_NO_MASK: tuple[int, Ints] = 0, (0, 0, 0)


def _mask(room: Room, mask: int, backwards: bool) -> tuple[int, Ints]:
    """A mask, and its elements to the first step, from example to example, from step to step."""
    mask = room.contiguous(mask)
    time = room.shape(mask)[1]
    first, step = _steps(backwards, time, 1)
    return mask, (first, time, step)


# ----- forwards -----


def _forward(cell: Cell, masked: bool) -> Prepare:
    def prepare(
        inputs: Specs, outputs: Specs, sequences: bool, backwards: bool, keep: bool
    ) -> Prepared | None:
        if not _taken(inputs[: 4 + cell.states], inputs[0], inputs[4]):
            return _nothing(outputs) if masked else None
        s = Sizes(cell, inputs[0].shape, inputs[4].shape, inputs[0].dtype)
        room = Room(outputs, inputs)
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
        room.pack(
            ("forward panels", cell.name, s.dtype),
            lambda code: write_forward_panels(code, cell.name, s.dtype),
            [panels, *weights], (s.features, s.units), s.groups,
            s.groups * rows * s.width,
        )  # fmt: skip
        room.copy(made + 4, hidden)
        work = s.operations(recurrent, s.units) + s.operations(of_inputs, s.features)
        mask, mask_places = _mask(room, made + 4 + cell.states, backwards) if masked else _NO_MASK
        form = recurrent_forward.Form(cell.name, s.tail, keep, s.by_units, masked, s.dtype)
        sums = room.new(s.groups if s.by_units else 1, s.batch, cell.blocks * s.width)
        arrays = [x, first_c, panels, sums, hidden, cells, gates, out, h, c, mask]
        count = s.units + s.features
        block = -(-count // -(-count * cell.blocks * s.width * s.itemsize // _PANELS))
        steps = 1 if s.by_units else s.time
        for begin in range(0, s.time, steps):
            room.call(
                ("forward", *form), lambda code: recurrent_forward.write_forward(code, form),
                arrays,
                (s.batch, s.tiles, s.main, s.high, _BLOCK, begin, begin + steps, s.time,
                 s.features, s.units, s.groups, block, -1 if keep else 1, *x_places, s.units,
                 s.time * s.units if sequences else s.units, s.units if sequences else 0,
                 *mask_places),
                s.groups if s.by_units else s.tiles, work * steps, _GRAIN,
            )  # fmt: skip
        return room.done()

    return prepare


# ----- back -----


def _back(cell: Cell, masked: bool) -> Prepare:
    x_at = 1 + cell.states

    def prepare(
        inputs: Specs, outputs: Specs, sequences: bool, backwards: bool, wants: tuple[bool, ...]
    ) -> Prepared | None:
        if not _taken(inputs[: x_at + 4 + cell.states], inputs[x_at], inputs[x_at + 4]):
            return _nothing(outputs) if masked else None
        s = Sizes(cell, inputs[x_at].shape, inputs[x_at + 4].shape, inputs[0].dtype)
        room = Room(outputs, inputs)
        made, every = len(outputs), range(cell.blocks)
        places = iter(range(made))
        dx, dw, dr, db, *ends = [next(places) if want else None for want in wants]
        x, strides = room.rows(made + x_at)
        first, step = _steps(backwards, s.time, strides[1])
        w, r = [room.contiguous(made + x_at + 1 + i) for i in range(2)]
        last_input = made + len(inputs) - 1
        mask, mask_places = _mask(room, last_input, backwards) if masked else _NO_MASK
        hidden, *kept = range(made + x_at + 4 + cell.states, last_input + (not masked))
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
            recurrent_back.Form(cell.name, s.tail, dx is not None, masked, part, s.dtype)
            for part in ((SUMS, PRODUCTS) if s.by_units else (BOTH,))
        ]
        state_panels, x_panels = -(-s.units // s.panel), -(-s.features // s.panel)
        if dx is None:
            x_panels = 0
        parts = [s.groups, state_panels + x_panels] if s.by_units else [s.tiles]
        depth = max(len(blocks), len(of_inputs)) * s.width
        groups_block = max(1, _BACK_PANELS // (depth * s.panel * s.itemsize))
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
                         sums if dx is None else dx, input_panels, mask],
                        (s.batch, s.tiles, s.main, s.high, _BLOCK, s.features, s.units, s.groups,
                         groups_block, begin, end, end - one, most, g_first, g_strides[0], g_step,
                         state_panels, x_panels, dx_first, s.time * s.features, dx_step,
                         *mask_places),
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
                    room.pack(
                        ("strips", s.dtype),
                        lambda code: recurrent_weights.write_strips(code, s.dtype),
                        (strip, source), (rows, *cuts, s.batch, now, most, *at), high,
                        rows * now * s.batch,
                    )  # fmt: skip
            if count:
                room.call(
                    ("gradients", cell.name, s.dtype),
                    lambda code: recurrent_weights.write_gradients(code, cell.name, s.dtype),
                    [sums if a is None else a for a in (dw, dr, db)] + [*strips, sums],
                    (s.features, *tiles[0], s.units, *tiles[1], int(db is not None), s.groups,
                     now * s.batch, most, _RUN, int(last < s.time)),
                    count * s.groups, gradients * now, count,
                )  # fmt: skip
        return room.done()

    return prepare


def _packed(room: Room, s: Sizes, w: int, blocks: Sequence[int], rows: int) -> int:
    """Packs weights for the way back."""
    span, own, dtype = s.cell.span, tuple(blocks), s.dtype
    count = -(-rows // s.panel)
    depth = s.groups * len(own) * s.width
    panels = room.new(count, depth * s.panel)
    room.pack(
        ("back panels", own, span, dtype),
        lambda code: write_back_panels(code, own, span, dtype),
        (panels, w), (rows, s.units, s.groups), count,
        count * depth * s.panel,
    )  # fmt: skip
    return panels


# ----- the results' specs, for calls outside of programs -----


def _forward_outputs(cell: Cell) -> Outputs:
    def outputs(inputs: Specs, sequences: bool, backwards: bool, keep: bool) -> Specs:
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

    def outputs(inputs: Specs, sequences: bool, backwards: bool, wants: tuple[bool, ...]) -> Specs:
        args = inputs[x_at : x_at + 4 + cell.states]
        return tuple([spec for spec, want in zip(args, wants, strict=True) if want])

    return outputs


_CELLS = {"lstm": LSTM, "gru": GRU, "simple_rnn": SIMPLE}
PREPARE: dict[str, Prepare] = {}
# What is kept is in this engine's own order, so single calls need these kernels, too.
OUTPUTS: dict[str, Outputs] = {}
for _name, _cell in _CELLS.items():
    for _prefix in ("", "masked_"):
        _forwards, _backwards = f"{_prefix}{_name}_sequence", f"{_prefix}{_name}_sequence_grad"
        PREPARE[_forwards] = _forward(_cell, masked=bool(_prefix))
        PREPARE[_backwards] = _back(_cell, masked=bool(_prefix))
        OUTPUTS[_forwards], OUTPUTS[_backwards] = _forward_outputs(_cell), _back_outputs(_cell)
