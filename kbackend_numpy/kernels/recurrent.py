"""Recurrent layers: what a step of each computes, forwards and back.

The batch is the last axis, so each gate is a contiguous block. What the gradient multiplies by at a
step is computed for many steps at once; only what depends on the step after is left to the step.

Numbers are 0-d arrays: NumPy casts those of Python in buffers that it allocates.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel
from kbackend_numpy.kernels.recurrent_frame import Cell, backward, forward

Array = np.ndarray[Any, Any]


def _blocks(z: Array, units: int) -> Array:
    """The blocks of units in the last but one dimension as a dimension of their own."""
    return z.reshape(*z.shape[:-2], z.shape[-2] // units, units, z.shape[-1])


def _stacked(blocks: Array) -> Array:
    """The inverse of `_blocks`, for one step."""
    count, units, batch = blocks.shape
    return blocks.reshape(count * units, batch)


def _each(memory: Array, time: int, first: int = 0) -> Any:
    """The place of each step; where nothing is kept, all share one."""
    return memory[first:] if len(memory) >= time + first else repeat(memory[0], time)


# ----- LSTM: the blocks are the gates for input, forgetting and output, and the candidate -----


def _lstm_steps(m: Array, xh: Array, gates: Array, cells: Array, buffer: Array) -> None:
    units, time, half = len(buffer), len(xh) - 1, np.array(0.5, xh.dtype)
    blocks = _blocks(gates, units)
    for column, state, z, s, entry, forget, exit_, candidate, cell, following in zip(
        xh, xh[1:, :units], _each(gates, time), _each(gates[:, : 3 * units], time),
        *[_each(blocks[:, k], time) for k in range(4)],
        _each(cells, time), _each(cells, time, 1), strict=False,
    ):  # fmt: skip
        np.dot(m, column, out=z)
        np.tanh(z, out=z)
        # sigmoid(z) is (1 + tanh(z / 2)) / 2, so that one tanh serves all blocks.
        np.multiply(s, half, out=s)
        np.add(s, half, out=s)
        np.multiply(forget, cell, out=following)
        np.multiply(entry, candidate, out=buffer)
        np.add(following, buffer, out=following)
        np.tanh(following, out=buffer)
        np.multiply(exit_, buffer, out=state)


def _lstm_factors(z: Array, hidden: Array, cells: Array, spare: Array) -> Any:
    count, _, units, batch = z.shape
    one = np.ones((), z.dtype)
    entry, forget, exit_, candidate = z.swapaxes(0, 1)
    slopes = spare[: 3 * candidate.size].reshape(count, 3, units, batch)
    rest = spare[3 * candidate.size :].reshape(3, count, units, batch)
    squashed, kept, through = rest
    np.tanh(cells[1:], out=squashed)
    np.copyto(kept, forget)
    np.multiply(squashed, squashed, out=through)
    np.subtract(one, through, out=through)
    np.multiply(through, exit_, out=through)
    gates = z[:, :3]
    np.subtract(one, gates, out=slopes)
    slopes *= gates
    np.multiply(slopes[:, 2], squashed, out=exit_)
    np.multiply(slopes[:, 1], cells[:-1], out=forget)
    np.multiply(candidate, candidate, out=squashed)
    np.subtract(one, squashed, out=squashed)
    squashed *= entry
    np.multiply(slopes[:, 0], candidate, out=entry)
    np.copyto(candidate, squashed)
    return kept, through


def _lstm_back(k: int, z: Array, factors: Any, r: Array, dh: Array, dc: Array, b: Array) -> None:
    kept, through = factors
    np.multiply(dh, through[k], out=b)
    np.add(dc, b, out=dc)
    dz = z[k]
    np.multiply(dz[:2], dc, out=dz[:2])
    np.multiply(dz[2], dh, out=dz[2])
    np.multiply(dz[3], dc, out=dz[3])
    np.multiply(dc, kept[k], out=dc)
    np.dot(r, _stacked(dz), out=dh)


_LSTM = Cell(
    layout=((0, 0), (1, 1), (3, 3), (2, 2)), halved=(0, 3), kept=4, states=2, spare=6,
    steps=_lstm_steps, factors=_lstm_factors, back=_lstm_back,
)  # fmt: skip


# ----- GRU: the blocks are the candidate, the gates for update and reset, the state's share -----


def _gru_steps(m: Array, xh: Array, gates: Array, cells: Array, buffer: Array) -> None:
    units, time, half = len(buffer), len(xh) - 1, np.array(0.5, xh.dtype)
    blocks = _blocks(gates, units)
    for column, before, state, z, s, candidate, update, reset, recurrent in zip(
        xh, xh[:, :units], xh[1:, :units], _each(gates, time),
        _each(gates[:, units : 3 * units], time),
        *[_each(blocks[:, k], time) for k in range(4)], strict=False,
    ):  # fmt: skip
        np.dot(m, column, out=z)
        np.tanh(s, out=s)
        np.multiply(s, half, out=s)
        np.add(s, half, out=s)
        np.multiply(reset, recurrent, out=buffer)
        np.add(candidate, buffer, out=candidate)
        np.tanh(candidate, out=candidate)
        np.subtract(before, candidate, out=buffer)
        np.multiply(buffer, update, out=buffer)
        np.add(candidate, buffer, out=state)


def _gru_factors(z: Array, hidden: Array, cells: Array, spare: Array) -> Any:
    count, _, units, batch = z.shape
    one = np.ones((), z.dtype)
    candidate, update, reset, recurrent = z.swapaxes(0, 1)
    slopes = spare[: 2 * candidate.size].reshape(count, 2, units, batch)
    kept, through = spare[2 * candidate.size :].reshape(2, count, units, batch)
    gates = z[:, 1:3]
    np.subtract(one, gates, out=slopes)
    np.multiply(candidate, candidate, out=through)
    np.subtract(one, through, out=through)
    through *= slopes[:, 0]
    slopes *= gates
    np.copyto(kept, update)
    np.subtract(hidden[:-1], candidate, out=update)
    update *= slopes[:, 0]
    np.copyto(candidate, through)
    reset_slope = slopes[:, 1]
    reset_slope *= recurrent
    reset_slope *= through
    np.multiply(through, reset, out=recurrent)
    np.copyto(reset, reset_slope)
    return kept


def _gru_back(k: int, z: Array, kept: Array, r: Array, dh: Array, dc: Array, b: Array) -> None:
    np.multiply(kept[k], dh, out=b)
    dz = z[k]
    np.multiply(dz, dh, out=dz)
    np.dot(r, _stacked(dz), out=dh)
    np.add(dh, b, out=dh)


_GRU = Cell(
    layout=((2, None), (0, 0), (1, 1), (None, 2)), halved=(1, 3), kept=4, states=1, spare=4,
    steps=_gru_steps, factors=_gru_factors, back=_gru_back,
)  # fmt: skip


# ----- the simple recurrence -----


def _simple_steps(m: Array, xh: Array, gates: Array, cells: Array, buffer: Array) -> None:
    for column, state in zip(xh, xh[1:, : len(buffer)], strict=False):
        np.dot(m, column, out=state)
        np.tanh(state, out=state)


def _simple_factors(z: Array, hidden: Array, cells: Array, spare: Array) -> Any:
    slopes, one = z[:, 0], np.ones((), z.dtype)
    np.multiply(hidden[1:], hidden[1:], out=slopes)
    np.subtract(one, slopes, out=slopes)


def _simple_back(k: int, z: Array, _: Any, r: Array, dh: Array, dc: Array, b: Array) -> None:
    dz = z[k, 0]
    np.multiply(dz, dh, out=dz)
    np.dot(r, dz, out=dh)


_SIMPLE = Cell(
    layout=((0, 0),), halved=(0, 0), kept=0, states=1, spare=0,
    steps=_simple_steps, factors=_simple_factors, back=_simple_back,
)  # fmt: skip


COMPOSITES: dict[str, Kernel] = {
    "lstm_sequence": forward(_LSTM),
    "lstm_sequence_grad": backward(_LSTM),
    "gru_sequence": forward(_GRU),
    "gru_sequence_grad": backward(_GRU),
    "simple_rnn_sequence": forward(_SIMPLE),
    "simple_rnn_sequence_grad": backward(_SIMPLE),
}
