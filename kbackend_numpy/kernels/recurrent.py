"""Recurrent layers over a sequence: one product and a few passes in place per step.

All weights that meet at one step form one matrix, `(blocks * units, units + features + 1)`, and
the state, the input and a one form the column block that it is multiplied by. The batch is the
last axis, so each gate is a contiguous block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel

Array = np.ndarray[Any, Any]
# (block of the kernel, block of the recurrent kernel) for each block of rows; None: zeros.
Layout = tuple[tuple[int | None, int | None], ...]

_LSTM: Layout = ((0, 0), (1, 1), (3, 3), (2, 2))
_GRU: Layout = ((2, None), (0, 0), (1, 1), (None, 2))
_SIMPLE: Layout = ((0, 0),)
# Number of examples times steps whose part of the weights' gradients is computed at a time.
_RUN = 1024


def _work(x: Array) -> Any:
    """The dtype to compute in: low precision is rounded at the end only."""
    return x.dtype if x.dtype.itemsize >= 4 else np.dtype(np.float32)


def _matrix(layout: Layout, w: Array, r: Array, b: Array, dtype: Any) -> Array:
    """The weights of one step. `b` has a row for the inputs, and maybe one for the state."""
    features, units = w.shape[0], r.shape[0]
    m = np.zeros((len(layout) * units, units + features + 1), dtype)
    for k, (i, j) in enumerate(layout):
        rows = m[k * units : (k + 1) * units]
        if j is not None:
            block = slice(j * units, (j + 1) * units)
            rows[:, :units] = r[:, block].T
            if len(b) > 1:
                rows[:, -1] += b[1, block]
        if i is not None:
            block = slice(i * units, (i + 1) * units)
            rows[:, units:-1] = w[:, block].T
            rows[:, -1] += b[0, block]
    return m


def _columns(x: Array, h: Array, backwards: bool, dtype: Any) -> Array:
    """`(time + 1, units + features + 1, batch)`: room for the states, the inputs, and ones."""
    batch, time, features = x.shape
    units = h.shape[1]
    xh = np.empty((time + 1, units + features + 1, batch), dtype)
    steps = range(time - 1, -1, -1) if backwards else range(time)
    for place, t in zip(xh, steps, strict=False):
        place[units:-1] = x[:, t].T
    xh[:, -1] = 1
    xh[0, :units] = h.T
    return xh


def _answer(xh: Array, units: int, sequences: bool, dtype: Any) -> tuple[Array, Array]:
    """The output and the last state, batch first."""
    last = xh[-1, :units].T.astype(dtype, order="C")
    if not sequences:
        return last, last
    time, batch = len(xh) - 1, xh.shape[2]
    out = np.empty((batch, time, units), dtype)
    for t in range(time):
        # Step by step: what is transposed at a time fits the first level cache.
        out[:, t] = xh[t + 1, :units].T
    return out, last


def _first(g_out: Array, g_h: Array, sequences: bool, dtype: Any) -> Array:
    """Cotangent of the last state, `(units, batch)`."""
    dh = np.empty(g_h.shape[::-1], dtype)
    if sequences:
        dh[:] = g_h.T
    else:
        np.add(g_out.T, g_h.T, out=dh, casting="same_kind")
    return dh


class _Backward:
    """What the three gradients share: from the blocks' cotangents to all others.

    Args:
        layout: which weights make up the blocks.
        weights: x, w, r and the biases as rows.
        hidden: states `(time + 1, units, batch)`.
        backwards: order of the steps.
        wants: which gradients are wanted.
    """

    def __init__(
        self, layout: Layout, weights: tuple[Array, Array, Array, Array], hidden: Array,
        backwards: bool, wants: tuple[bool, ...],
    ) -> None:  # fmt: skip
        want_x, want_weights = wants[0], any(wants[1:4])
        x, w, r, b = weights
        self.layout, self.x, self.hidden, self.backwards = layout, x, hidden, backwards
        self.units = r.shape[0]
        self.batch, self.time, self.features = x.shape
        self.dtype = _work(x)
        matrix = _matrix(layout, w, r, b, self.dtype)
        used = self.units + self.features if want_x else self.units
        self.transposed = np.ascontiguousarray(matrix[:, :used].T)
        self.down = np.empty((used, self.batch), self.dtype)
        self.dx = np.empty(x.shape, x.dtype) if want_x else None
        # The weights' gradients are added up by runs of steps that stay in the caches.
        self.run = min(self.time, max(1, _RUN // max(1, self.batch)))
        self.rows = np.empty((len(matrix), self.run, self.batch), self.dtype)
        self.columns = np.empty((matrix.shape[1], self.run, self.batch), self.dtype)
        self.columns[-1] = 1
        self.total = np.zeros(matrix.shape[::-1], self.dtype) if want_weights else None

    def step(self, t: int, dz: Array) -> Array:
        """Takes the cotangents of the blocks at step `t`; returns that of the state before."""
        np.dot(self.transposed, dz, out=self.down)
        if self.dx is not None:
            at = self.time - 1 - t if self.backwards else t
            self.dx[:, at] = self.down[self.units :].T
        if self.total is not None:
            self.rows[:, t % self.run] = dz
            if t % self.run == 0:
                self._add_up(t, min(self.run, self.time - t))
        return self.down[: self.units]

    def _add_up(self, first: int, count: int) -> None:
        """Adds what `count` steps from `first` on give to the weights' gradients."""
        units, time, last = self.units, self.time, first + count
        if self.backwards:
            x = self.x[:, time - last : time - first][:, ::-1]
        else:
            x = self.x[:, first:last]
        columns, rows = self.columns[:, :count], self.rows[:, :count]
        columns[:units] = self.hidden[first:last].transpose(1, 0, 2)
        columns[units:-1] = x.transpose(2, 1, 0)
        size = count * self.batch
        self.total += columns.reshape(-1, size) @ rows.reshape(-1, size).T

    def weights(self) -> tuple[Array, Array, Array]:
        """Gradients of the kernel, the recurrent kernel and the biases."""
        units, grads = self.units, np.asarray(self.total)
        gates = 1 + max(i for i, _ in self.layout if i is not None)
        dw = np.empty((self.features, gates * units), self.dtype)
        dr = np.empty((units, gates * units), self.dtype)
        db = np.empty((2, gates * units), self.dtype)
        for k, (i, j) in enumerate(self.layout):
            part = grads[:, k * units : (k + 1) * units]
            if i is not None:
                dw[:, i * units : (i + 1) * units] = part[units:-1]
                db[0, i * units : (i + 1) * units] = part[-1]
            if j is not None:
                dr[:, j * units : (j + 1) * units] = part[:units]
                db[1, j * units : (j + 1) * units] = part[-1]
        return dw, dr, db

    def answer(
        self, wants: tuple[bool, ...], biases: int, states: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        """The wanted gradients of x, w, r, b and the initial states."""
        dw = dr = db = None
        if any(wants[1:4]):
            dw, dr, db = self.weights()
            if biases == 1:
                db = db[0]
        grads = (self.dx, dw, dr, db, *(s.T for s in states))
        dtype = self.x.dtype
        return tuple(
            [
                np.ascontiguousarray(g, dtype)
                for g, want in zip(grads, wants, strict=True)
                if want and g is not None
            ]
        )


# ----- LSTM -----


@np.errstate(all="ignore")
def _lstm(
    x: Array, w: Array, r: Array, b: Array, h: Array, c: Array,
    *, sequences: bool, backwards: bool, keep: bool,
) -> tuple[Array, ...]:  # fmt: skip
    dtype, work = x.dtype, _work(x)
    time, (batch, units) = x.shape[1], h.shape
    matrix = _matrix(_LSTM, w, r, b[None], work)
    # sigmoid(z) is (1 + tanh(z / 2)) / 2, so that one tanh serves all blocks.
    matrix[: 3 * units] *= 0.5
    xh = _columns(x, h, backwards, work)
    # Where nothing is kept, all steps share one place.
    gates = np.empty((time if keep else 1, 4 * units, batch), work)
    cells = np.empty((time + 1 if keep else 1, units, batch), work)
    cells[0] = c.T
    squashed = np.empty((units, batch), work)
    cell = cells[0]
    for t in range(time):
        z = gates[t if keep else 0]
        np.dot(matrix, xh[t], out=z)
        np.tanh(z, out=z)
        s, candidate = z[: 3 * units], z[3 * units :]
        s *= 0.5
        s += 0.5
        following = cells[t + 1] if keep else cell
        np.multiply(s[units : 2 * units], cell, out=following)
        np.multiply(s[:units], candidate, out=squashed)
        following += squashed
        np.tanh(following, out=squashed)
        np.multiply(s[2 * units :], squashed, out=xh[t + 1, :units])
        cell = following
    shown = (*_answer(xh, units, sequences, dtype), cell.T.astype(dtype, order="C"))
    return (*shown, xh[:, :units], cells, gates) if keep else shown


@np.errstate(all="ignore")
def _lstm_grad(
    g_out: Array, g_h: Array, g_c: Array, x: Array, w: Array, r: Array, b: Array, h: Array,
    c: Array, hidden: Array, cells: Array, gates: Array,
    *, sequences: bool, backwards: bool, wants: tuple[bool, ...],
) -> tuple[Array, ...]:  # fmt: skip
    back = _Backward(_LSTM, (x, w, r, b[None]), hidden, backwards, wants)
    units, work = back.units, back.dtype
    dh = _first(g_out, g_h, sequences, work)
    dc = g_c.T.astype(work, order="C")
    dz = np.empty((4 * units, back.batch), work)
    slope = np.empty((3 * units, back.batch), work)
    buffer = np.empty((units, back.batch), work)
    ds, dcandidate = dz[: 3 * units], dz[3 * units :]
    d_in, d_forget, d_out = dz[:units], dz[units : 2 * units], dz[2 * units : 3 * units]
    for t in range(back.time - 1, -1, -1):
        if sequences:
            dh += g_out[:, t].T
        z = gates[t]
        s, candidate = z[: 3 * units], z[3 * units :]
        np.tanh(cells[t + 1], out=buffer)
        np.multiply(dh, buffer, out=d_out)
        buffer *= buffer
        np.subtract(1, buffer, out=buffer)
        buffer *= s[2 * units :]
        buffer *= dh
        dc += buffer
        np.multiply(dc, candidate, out=d_in)
        np.multiply(dc, cells[t], out=d_forget)
        np.subtract(1, s, out=slope)
        slope *= s
        ds *= slope
        np.multiply(candidate, candidate, out=buffer)
        np.subtract(1, buffer, out=buffer)
        buffer *= s[:units]
        np.multiply(dc, buffer, out=dcandidate)
        dc *= s[units : 2 * units]
        dh = back.step(t, dz)
    return back.answer(wants, 1, (dh, dc))


# ----- GRU -----


@np.errstate(all="ignore")
def _gru(
    x: Array, w: Array, r: Array, b: Array, h: Array,
    *, sequences: bool, backwards: bool, keep: bool,
) -> tuple[Array, ...]:  # fmt: skip
    dtype, work = x.dtype, _work(x)
    time, (batch, units) = x.shape[1], h.shape
    matrix = _matrix(_GRU, w, r, b, work)
    matrix[units : 3 * units] *= 0.5
    xh = _columns(x, h, backwards, work)
    gates = np.empty((time if keep else 1, 4 * units, batch), work)
    buffer = np.empty((units, batch), work)
    for t in range(time):
        z = gates[t if keep else 0]
        np.dot(matrix, xh[t], out=z)
        candidate, s = z[:units], z[units : 3 * units]
        np.tanh(s, out=s)
        s *= 0.5
        s += 0.5
        np.multiply(s[units:], z[3 * units :], out=buffer)
        candidate += buffer
        np.tanh(candidate, out=candidate)
        np.subtract(xh[t, :units], candidate, out=buffer)
        buffer *= s[:units]
        np.add(candidate, buffer, out=xh[t + 1, :units])
    shown = _answer(xh, units, sequences, dtype)
    return (*shown, xh[:, :units], gates) if keep else shown


@np.errstate(all="ignore")
def _gru_grad(
    g_out: Array, g_h: Array, x: Array, w: Array, r: Array, b: Array, h: Array,
    hidden: Array, gates: Array,
    *, sequences: bool, backwards: bool, wants: tuple[bool, ...],
) -> tuple[Array, ...]:  # fmt: skip
    back = _Backward(_GRU, (x, w, r, b), hidden, backwards, wants)
    units, work = back.units, back.dtype
    dh = _first(g_out, g_h, sequences, work)
    dz = np.empty((4 * units, back.batch), work)
    slope = np.empty((2 * units, back.batch), work)
    buffer = np.empty((units, back.batch), work)
    dcandidate, ds = dz[:units], dz[units : 3 * units]
    d_update, d_reset, d_recurrent = ds[:units], ds[units:], dz[3 * units :]
    for t in range(back.time - 1, -1, -1):
        if sequences:
            dh += g_out[:, t].T
        z = gates[t]
        candidate, s = z[:units], z[units : 3 * units]
        np.subtract(1, s, out=slope)
        np.multiply(candidate, candidate, out=buffer)
        np.subtract(1, buffer, out=buffer)
        buffer *= slope[:units]
        np.multiply(dh, buffer, out=dcandidate)
        np.subtract(hidden[t], candidate, out=buffer)
        np.multiply(dh, buffer, out=d_update)
        np.multiply(dcandidate, z[3 * units :], out=d_reset)
        slope *= s
        ds *= slope
        np.multiply(dcandidate, s[units:], out=d_recurrent)
        # `dh` may be the buffer that the product is about to fill.
        np.multiply(dh, s[:units], out=buffer)
        dh = back.step(t, dz)
        dh += buffer
    return back.answer(wants, 2, (dh,))


# ----- the simple recurrence -----


@np.errstate(all="ignore")
def _simple(
    x: Array, w: Array, r: Array, b: Array, h: Array,
    *, sequences: bool, backwards: bool, keep: bool,
) -> tuple[Array, ...]:  # fmt: skip
    dtype, work, units = x.dtype, _work(x), h.shape[1]
    matrix = _matrix(_SIMPLE, w, r, b[None], work)
    xh = _columns(x, h, backwards, work)
    for t in range(x.shape[1]):
        state = xh[t + 1, :units]
        np.dot(matrix, xh[t], out=state)
        np.tanh(state, out=state)
    shown = _answer(xh, units, sequences, dtype)
    return (*shown, xh[:, :units]) if keep else shown


@np.errstate(all="ignore")
def _simple_grad(
    g_out: Array, g_h: Array, x: Array, w: Array, r: Array, b: Array, h: Array, hidden: Array,
    *, sequences: bool, backwards: bool, wants: tuple[bool, ...],
) -> tuple[Array, ...]:  # fmt: skip
    back = _Backward(_SIMPLE, (x, w, r, b[None]), hidden, backwards, wants)
    dh = _first(g_out, g_h, sequences, back.dtype)
    dz = np.empty_like(dh)
    for t in range(back.time - 1, -1, -1):
        if sequences:
            dh += g_out[:, t].T
        np.multiply(hidden[t + 1], hidden[t + 1], out=dz)
        np.subtract(1, dz, out=dz)
        dz *= dh
        dh = back.step(t, dz)
    return back.answer(wants, 1, (dh,))


COMPOSITES: dict[str, Kernel] = {
    "lstm_sequence": Kernel(_lstm),
    "lstm_sequence_grad": Kernel(_lstm_grad),
    "gru_sequence": Kernel(_gru),
    "gru_sequence_grad": Kernel(_gru_grad),
    "simple_rnn_sequence": Kernel(_simple),
    "simple_rnn_sequence_grad": Kernel(_simple_grad),
}
