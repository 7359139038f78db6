"""Recurrent layers over a sequence: what all of them share, on parts of the batch.

All weights that meet at one step form one matrix, `(units + features + 1, blocks * units)`, and
the state, the input and a one form the column block that it is multiplied by. The batch is the
last axis. Large batches are halved: each thread takes a part through all steps.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels.buffering import short_buffer

Array = Any
Ints = tuple[int, ...]
# (block of the kernel, block of the recurrent kernel) for each block of rows; None: zeros.
Layout = tuple[tuple[int | None, int | None], ...]
Run = tuple[Callable[..., None], tuple[Ints, ...]]

# Number of examples times steps whose part of the weights' gradients is computed at a time.
_RUN = 512
# Operations per step and thread from which on it pays to halve the batch.
_LARGE_STEP = 2.4e6
# Nanoseconds per operation, roughly.
_COST = 0.01


class Cell(NamedTuple):
    """What a recurrent layer computes.

    Attributes:
        layout: which weights make up the blocks.
        halved: the blocks, from and to, whose weights are halved for the step forwards.
        kept: the number of blocks that are kept for the gradient.
        states: the number of states, of which the first is the output.
        spare: the room that `factors` needs, in states.
        steps: `steps(matrix, xh, gates, cells, buffer)` runs forwards over all columns `xh`.
        factors: `factors(z, hidden, cells, spare)` turns what was kept of some steps into what
            their gradients are multiplied by.
        back: `back(k, z, factors, recurrent, dh, dc, buffer)` goes back over one of these steps,
            from the cotangents of the states after it to those before it, and leaves those of the
            blocks in `z`.
    """

    layout: Layout
    halved: tuple[int, int]
    kept: int
    states: int
    spare: int
    steps: Callable[..., None]
    factors: Callable[..., Any]
    back: Callable[..., None]


class _Sizes(NamedTuple):
    batch: int
    time: int
    features: int
    units: int
    blocks: int

    @property
    def rows(self) -> int:
        """Of the matrix."""
        return self.units + self.features + 1

    @property
    def operations(self) -> float:
        """Per step."""
        return 2.0 * self.batch * self.blocks * self.units * self.rows

    def parts(self) -> int:
        """In how many parts to cut the batch, where the threads are ours."""
        return max(1, min(threads.count(), int(self.operations / _LARGE_STEP)))


def _sizes(cell: Cell, x: Ints, h: Ints) -> _Sizes:
    batch, time, features = x
    return _Sizes(batch, time, features, h[1], len(cell.layout))


def _take(memory: Array, *shape: int) -> Array:
    """The beginning of a vector as an array."""
    return memory[: prod(shape)].reshape(shape)


def _share(memory: Array, low: int, high: int, *shape: int) -> Array:
    """The part of a vector for the examples from `low` to `high`: `(*shape, examples)`."""
    size = prod(shape)
    return memory[low * size : high * size].reshape(*shape, high - low)


def _fill_matrix(m: Array, layout: Layout, w: Array, r: Array, b: Array) -> None:
    """The weights of one step. `b` has a row for the inputs, and maybe one for the state."""
    units = len(r)
    for k, (i, j) in enumerate(layout):
        columns = m[:, k * units : (k + 1) * units]
        columns[-1] = 0
        if j is None:
            columns[:units] = 0
        else:
            block = slice(j * units, (j + 1) * units)
            columns[:units] = r[:, block]
            if len(b) > 1:
                columns[-1] += b[1, block]
        if i is None:
            columns[units:-1] = 0
        else:
            block = slice(i * units, (i + 1) * units)
            columns[units:-1] = w[:, block]
            columns[-1] += b[0, block]


def _split_gradients(
    total: Array, layout: Layout, wants: tuple[bool, ...], outputs: list[Array]
) -> None:
    """Writes the wanted gradients of w, r and b from that of the matrix."""
    dw, dr, db = [outputs.pop(0) if want else None for want in wants]
    db = None if db is None else np.atleast_2d(db)
    units = total.shape[1] // len(layout)
    for k, (i, j) in enumerate(layout):
        part = total[:, k * units : (k + 1) * units]
        if i is not None:
            block = slice(i * units, (i + 1) * units)
            if dw is not None:
                dw[:, block] = part[units:-1]
            if db is not None:
                db[0, block] = part[-1]
        if j is not None:
            block = slice(j * units, (j + 1) * units)
            if dr is not None:
                dr[:, block] = part[:units]
            if db is not None and len(db) > 1:
                db[1, block] = part[-1]


def _by_parts(part: Callable[[int, int, int], None], batch: int, parts: int) -> int:
    """`part(index, low, high)` for each part of the batch, on the threads if they are ours.

    Returns:
        How many parts there were.
    """
    cuts = threads.ranges(batch, parts) if threads.active() else [(0, batch)]
    if len(cuts) == 1:
        part(0, 0, batch)
    else:
        threads.split(lambda index, worker: part(index, *cuts[index]), len(cuts))
    return len(cuts)


# ----- forwards -----


def _forward_shapes(cell: Cell, s: _Sizes, sequences: bool, keep: bool) -> list[Ints]:
    state: Ints = (s.batch, s.units)
    shapes = [(s.batch, s.time, s.units) if sequences else state, *[state] * cell.states]
    if keep:
        shapes += [(s.time + 1, s.units, s.batch)] * cell.states
        if cell.kept:
            shapes.append((s.time, cell.kept * s.units, s.batch))
    return shapes


def _forward(
    cell: Cell, s: _Sizes, parts: int, sequences: bool, backwards: bool, keep: bool
) -> Run:
    made = len(_forward_shapes(cell, s, sequences, keep))
    shown = 1 + cell.states
    kept_rows, cell_rows = cell.kept * s.units, s.units if cell.states > 1 else 0
    # Where nothing is kept, all steps share one place.
    places = s.time if keep else 1

    def run(*args: Array) -> None:
        outputs, (x, w, r, b, *states) = args[:made], args[made : made + 4 + cell.states]
        matrix, columns, buffers, gate_memory, cell_memory = args[made + 4 + cell.states :]
        residuals = outputs[shown:]
        cells_out = residuals[1] if keep and cell.states > 1 else None
        gates_out = residuals[-1] if keep and cell.kept else None
        _fill_matrix(matrix, cell.layout, w, r, b.reshape(-1, b.shape[-1]))
        first, last = cell.halved
        sigmoids = matrix[:, first * s.units : last * s.units]
        np.multiply(sigmoids, np.array(0.5, matrix.dtype), out=sigmoids)

        def part(index: int, low: int, high: int) -> None:
            whole = high - low == s.batch
            xh = _share(columns, low, high, s.time + 1, s.rows)
            if whole and cells_out is not None:
                cells = cells_out
            else:
                cells = _share(cell_memory, low, high, places + keep, cell_rows)
            if whole and gates_out is not None:
                gates = gates_out
            else:
                gates = _share(gate_memory, low, high, places, kept_rows)
            steps = x[low:high, ::-1] if backwards else x[low:high]
            np.copyto(xh[:-1, s.units : -1], steps.transpose(1, 2, 0))
            xh[:, -1] = 1
            hidden = xh[:, : s.units]
            for state, place in zip(states, (hidden, cells), strict=False):
                np.copyto(place[0], state[low:high].T)
            cell.steps(matrix.T, xh, gates, cells, _share(buffers, low, high, s.units))
            ends = hidden[-1], cells[s.time % len(cells)]
            for out, end in zip(outputs[1:shown], ends, strict=False):
                np.copyto(out[low:high], end.T)
            if sequences:
                # Step by step: what is transposed at a time fits the first level cache.
                for t in range(s.time):
                    np.copyto(outputs[0][low:high, t], hidden[t + 1].T)
            else:
                np.copyto(outputs[0][low:high], outputs[1][low:high])
            if keep:
                np.copyto(residuals[0][..., low:high], hidden)
            if not whole and cells_out is not None:
                np.copyto(cells_out[..., low:high], cells)
            if not whole and gates_out is not None:
                np.copyto(gates_out[..., low:high], gates)

        _by_parts(part, s.batch, parts)

    # Where the batch is one part, what is kept is written where it is to stay.
    own = s.batch if parts > 1 or not keep else 0
    return short_buffer(run), (
        (s.rows, s.blocks * s.units),
        (s.batch * (s.time + 1) * s.rows,),
        (s.batch * s.units,),
        (own * places * kept_rows,),
        (own * (places + keep) * cell_rows,),
    )


# ----- back -----


def _backward_shapes(s: _Sizes, b: Ints, states: int, wants: tuple[bool, ...]) -> list[Ints]:
    gates = b[-1]
    state = (s.batch, s.units)
    shapes: list[Ints] = [
        (s.batch, s.time, s.features), (s.features, gates), (s.units, gates), b, *[state] * states
    ]  # fmt: skip
    return [shape for shape, want in zip(shapes, wants, strict=True) if want]


def _backward(
    cell: Cell, s: _Sizes, parts: int, sequences: bool, backwards: bool, wants: tuple[bool, ...]
) -> Run:
    made, states = sum(wants), cell.states
    want_weights, rows = any(wants[1:4]), s.blocks * s.units
    # Examples times steps that buffers have room for.
    room = max(_RUN, s.batch)

    def run(*args: Array) -> None:
        outputs, (g_out, *g_states) = list(args[:made]), args[made : made + 1 + states]
        rest = args[made + 1 + states :]
        x, w, r, b = rest[:4]
        hidden, *kept = rest[4 + states : 4 + 2 * states + (cell.kept > 0)]
        matrix, cotangents, z_memory, row_memory, column_memory, spare, totals, products = rest[
            4 + 2 * states + (cell.kept > 0) :
        ]
        _fill_matrix(matrix, cell.layout, w, r, b.reshape(-1, b.shape[-1]))
        dx = outputs.pop(0) if wants[0] else None
        if backwards:
            x, dx = x[:, ::-1], None if dx is None else dx[:, ::-1]
        ends = [outputs.pop() if want else None for want in reversed(wants[4:])][::-1]

        def part(index: int, low: int, high: int) -> None:
            batch = high - low
            here = slice(low, high)
            flow = _share(cotangents, low, high, 3, s.units)
            dh, dc, buffer = flow
            for given, state in zip(g_states, (dh, dc), strict=False):
                np.copyto(state, given[here].T)
            if not sequences:
                np.add(dh, g_out[here].T, out=dh)
            total, product = totals[index], products[index]
            total[...] = 0
            longest = max(1, _RUN // max(1, batch))
            for first in reversed(range(0, s.time, longest)):
                last = min(first + longest, s.time)
                count = last - first
                z = _take(z_memory[index], count, s.blocks, s.units, batch)
                if cell.kept:
                    np.copyto(z.reshape(count, rows, batch), kept[-1][first:last, :, here])
                past = hidden[first : last + 1, :, here]
                cells = kept[0][first : last + 1, :, here] if states > 1 else past
                own = _take(spare[index], cell.spare * count * s.units * batch)
                factors = cell.factors(z, past, cells, own)
                for k in reversed(range(count)):
                    if sequences:
                        np.add(dh, g_out[here, first + k].T, out=dh)
                    cell.back(k, z, factors, matrix[: s.units], dh, dc, buffer)
                if dx is None and not want_weights:
                    continue
                dz = _take(row_memory[index], rows, count * batch)
                np.copyto(
                    dz.reshape(rows, count, batch),
                    z.reshape(count, rows, batch).transpose(1, 0, 2),
                )
                if want_weights:
                    columns = _take(column_memory[index], s.rows, count, batch)
                    np.copyto(columns[: s.units], past[:-1].transpose(1, 0, 2))
                    np.copyto(columns[s.units : -1], x[here, first:last].transpose(2, 1, 0))
                    columns[-1] = 1
                    np.dot(columns.reshape(s.rows, -1), dz.T, out=product)
                    np.add(total, product, out=total)
                if dx is not None:
                    columns = _take(column_memory[index], s.features, count, batch)
                    np.dot(matrix[s.units : -1], dz, out=columns.reshape(s.features, -1))
                    np.copyto(dx[here, first:last], columns.transpose(2, 1, 0))
            for out, state in zip(ends, (dh, dc), strict=False):
                if out is not None:
                    np.copyto(out[here], state.T)

        used = _by_parts(short_buffer(part), s.batch, parts)
        for index in range(1, used):
            np.add(totals[0], totals[index], out=totals[0])
        _split_gradients(totals[0], cell.layout, wants[1:4], outputs)

    return run, (
        (s.rows, rows),
        (3 * s.batch * s.units,),
        (parts, room * rows),
        (parts, room * rows),
        (parts, room * s.rows),
        (parts, room * s.units * cell.spare),
        (parts, s.rows, rows),
        (parts, s.rows, rows),
    )


# ----- the kernels -----


def _eager(make: Callable[..., tuple[Run, list[Ints]]], arrays: tuple[Array, ...]) -> Any:
    """Allocates, and runs; low precision is rounded at the end only."""
    dtype = arrays[0].dtype
    work = dtype if dtype.itemsize >= 4 else np.dtype(np.float32)
    (run, scratch), shapes = make(*[a.shape for a in arrays])
    outputs = [np.empty(shape, work) for shape in shapes]
    with np.errstate(all="ignore"):
        arrays = tuple([a.astype(work, copy=False) for a in arrays])
        run(*outputs, *arrays, *[np.empty(shape, work) for shape in scratch])
        return tuple([out.astype(dtype, copy=False) for out in outputs])


def _ready(made: Run, inputs: tuple[Spec, ...], work: float) -> Prepared | None:
    dtype = inputs[0].dtype
    if dtype not in ("float32", "float64"):
        return None
    run, scratch = made
    return Prepared(run, tuple([Spec(shape, dtype) for shape in scratch]), work=work)


def forward(cell: Cell) -> Kernel:
    """The kernel that runs a layer over a sequence; see `kbackend.ops.nn.rnn`."""

    def fn(*arrays: Array, sequences: bool, backwards: bool, keep: bool) -> Any:
        def make(*shapes: Ints) -> tuple[Run, list[Ints]]:
            s = _sizes(cell, shapes[0], shapes[4])
            run = _forward(cell, s, 1, sequences, backwards, keep)
            return run, _forward_shapes(cell, s, sequences, keep)

        return _eager(make, arrays)

    def prepare(
        inputs: tuple[Spec, ...], outputs: tuple[Spec, ...],
        sequences: bool, backwards: bool, keep: bool,
    ) -> Prepared | None:  # fmt: skip
        s = _sizes(cell, inputs[0].shape, inputs[4].shape)
        parts = s.parts()
        work = _COST * s.operations * s.time if parts > 1 else 0.0
        return _ready(_forward(cell, s, parts, sequences, backwards, keep), inputs, work)

    return Kernel(fn, prepare=prepare)


def backward(cell: Cell) -> Kernel:
    """The kernel of a layer's gradient; see `kbackend.ops.nn.rnn`."""
    x_at = 1 + cell.states

    def fn(*arrays: Array, sequences: bool, backwards: bool, wants: tuple[bool, ...]) -> Any:
        def make(*shapes: Ints) -> tuple[Run, list[Ints]]:
            s = _sizes(cell, shapes[x_at], shapes[x_at + 4])
            run = _backward(cell, s, 1, sequences, backwards, wants)
            return run, _backward_shapes(s, shapes[x_at + 3], cell.states, wants)

        return _eager(make, arrays)

    def prepare(
        inputs: tuple[Spec, ...], outputs: tuple[Spec, ...],
        sequences: bool, backwards: bool, wants: tuple[bool, ...],
    ) -> Prepared | None:  # fmt: skip
        s = _sizes(cell, inputs[x_at].shape, inputs[x_at + 4].shape)
        parts = s.parts()
        work = 2 * _COST * s.operations * s.time if parts > 1 else 0.0
        return _ready(_backward(cell, s, parts, sequences, backwards, wants), inputs, work)

    return Kernel(fn, prepare=prepare)
