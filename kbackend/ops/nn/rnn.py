"""Recurrent layers over a whole sequence: `lstm_sequence`, `gru_sequence`, `simple_rnn_sequence`.

Each is a composite with a joint gradient that is a composite of its own, so that an engine may run
either in one kernel. Inside, time comes first and the batch last, `(time, features, batch)`: what
one step needs lies together, and each gate is one block of rows.

With `keep`, a composite also returns what its gradient needs: `hidden` `(time + 1, units, batch)`,
which begins with the initial state, `cells` alike, and `gates` `(time, blocks * units, batch)`
after their activations. Nothing but the gradient of the same engine reads them: an engine may keep
them in a wider dtype, or in an order of its own.

Each has a masked form, which takes a bool tensor `(batch, time)` as its last argument. Where that
is false, a step changes nothing: the output is that of the step before, and no gradient comes from
this step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.core import lang
from kbackend.core.bind import active_tapes
from kbackend.core.composite import Composite, composite
from kbackend.ir import bodies
from kbackend.ir.control import row

# Which block of Keras's weights each block of rows is; `None` where a block has no such weights.
# LSTM (input, forget, candidate, output in the weights): the three sigmoids stand together.
LSTM_BLOCKS = (0, 1, 3, 2)
# GRU (update, reset, candidate in the weights): the candidate, update, reset, and the recurrent
# part of the candidate, so that the inputs meet the first three and the state the last three.
GRU_INPUT_BLOCKS = (2, 0, 1)
GRU_STATE_BLOCKS = (0, 1, 2)


# ----- shapes -----


def _time_major(x: Any, backwards: bool) -> Any:
    """`(batch, time, features)` as `(time, features, batch)` in the order of the steps."""
    x = lang.transpose(x, (1, 2, 0))
    return lang.rev(x, (0,)) if backwards else x


def _batch_major(x: Any) -> Any:
    """`(time, features, batch)` as `(batch, time, features)`."""
    return lang.transpose(x, (2, 0, 1))


def _rows(x: Any, units: int, first: int, last: int | None = None) -> Any:
    """Blocks of rows `first` up to `last` (one block by default) of a matrix."""
    stop = first + 1 if last is None else last
    return lang.slice_(x, (first * units, 0), (stop * units, x.shape[1]))


def _step_of(matrix: Any) -> Any:
    """A matrix as `(1, rows, batch)`."""
    return lang.reshape(matrix, (1, *matrix.shape))


def _later(x: Any) -> Any:
    """All steps but the first."""
    return lang.slice_(x, (1, 0, 0), tuple(x.shape))


def _earlier(x: Any) -> Any:
    """All steps but the last."""
    return lang.slice_(x, (0, 0, 0), (x.shape[0] - 1, *x.shape[1:]))


def _live(mask: Sequence[Any], backwards: bool) -> list[Any]:
    """A mask `(batch, time)`, if there is one, as `(time, 1, batch)` in the order of the steps."""
    if not mask:
        return []
    rows = lang.reshape(lang.transpose(mask[0], (1, 0)), (mask[0].shape[1], 1, mask[0].shape[0]))
    return [lang.rev(rows, (0,)) if backwards else rows]


def _where(live: Sequence[Any], new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """`new`, and `old` where a mask is false."""
    if not live:
        return list(new)
    return [lang.select(live[0], a, b) for a, b in zip(new, old, strict=True)]


# (state, rows of the step) -> (state, what is wanted of the step)
Step = Callable[[list[Any], list[Any]], tuple[list[Any], list[Any]]]


def _over_time(step: Step, state: list[Any], xs: list[Any], reverse: bool = False) -> Any:
    """The last state, and what is wanted of the steps, `(time, rows, batch)`; see `scan`."""
    time = xs[0].shape[0]
    if bodies.structured():

        def body(now: list[Any], rows: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
            after, ys = step(now, rows)
            return after, [], ys

        last, _, stacked = bodies.scan("rnn", body, state, xs, time, reverse)
        return last, stacked
    found: list[list[Any]] = []
    for t in range(time - 1, -1, -1) if reverse else range(time):
        state, ys = step(state, [row(x, t) for x in xs])
        found.append([_step_of(y) for y in ys])
    if reverse:
        found.reverse()
    return state, [lang.concatenate(ys, 0) for ys in zip(*found, strict=True)]


def _columns(w: Any, units: int, blocks: Sequence[int]) -> Any:
    """The blocks of the last axis of a matrix, in another order."""
    rows = w.shape[0]
    return lang.concatenate(
        [lang.slice_(w, (0, b * units), (rows, (b + 1) * units)) for b in blocks], 1
    )


def _inverse(blocks: Sequence[int]) -> list[int]:
    return [blocks.index(b) for b in range(len(blocks))]


def _row(vector: Any) -> Any:
    return lang.reshape(vector, (1, vector.shape[0]))


def _project(x: Any, w: Any, b: Any) -> Any:
    """The inputs' part of all steps, `(time, rows, batch)`, in one product."""
    projected = lang.add(lang.dot(x, w, ((2,), (0,))), lang.reshape(b, (1, 1, b.shape[1])))
    return lang.transpose(projected, (1, 2, 0))


def _one_minus_square(x: Any) -> Any:
    return lang.sub(1.0, lang.mul(x, x))


def _slope(s: Any) -> Any:
    """Derivative of the sigmoid, from its value."""
    return lang.mul(s, lang.sub(1.0, s))


# ----- what the three have in common -----


def _answer(last: Any, hidden: Any, sequences: bool) -> tuple[Any, Any]:
    """The output and the last state, from that state and those of all steps."""
    last = lang.transpose(last, (1, 0))
    return (_batch_major(hidden) if sequences else last), last


def _from_start(first: Any, steps: Any) -> Any:
    """The states of all steps, preceded by the initial one."""
    return lang.concatenate([_step_of(first), steps], 0)


def _incoming(g_out: Any, g_state: Any, sequences: bool) -> tuple[Any, Any]:
    """Cotangents `(time, units, batch)` of the outputs, or `None`, and of the last state."""
    if sequences:
        return lang.transpose(g_out, (1, 2, 0)), lang.transpose(g_state, (1, 0))
    return None, lang.transpose(lang.add(g_out, g_state), (1, 0))


def _weight_grads(
    x: Any, w: Any, hidden: Any, dx_rows: Any, dh_rows: Any, backwards: bool, wants: Sequence[bool]
) -> tuple[Any, Any, Any]:
    """Gradients of the inputs, kernel and recurrent kernel from those of the blocks of rows."""
    dx = dw = dr = None
    if wants[0]:
        dx = lang.dot(dx_rows, w, ((1,), (1,)))
        dx = lang.transpose(lang.rev(dx, (0,)) if backwards else dx, (1, 0, 2))
    if wants[1]:
        dw = lang.dot(_time_major(x, backwards), dx_rows, ((0, 2), (0, 2)))
    if wants[2]:
        dr = lang.dot(_earlier(hidden), dh_rows, ((0, 2), (0, 2)))
    return dx, dw, dr


def _wanted(grads: Sequence[Any], wants: Sequence[bool]) -> tuple[Any, ...]:
    return tuple([g for g, want in zip(grads, wants, strict=True) if want])


def _rule(forward: Composite, gradient: Composite, states: int) -> None:
    """Gives `forward` its gradient: the composite `gradient` of the kept intermediate results."""

    def rule(
        needs: Sequence[bool], g: Any, result: Any, *args: Any,
        sequences: bool, backwards: bool, keep: bool,
    ) -> list[Any]:  # fmt: skip
        run: Any = gradient
        if not keep or active_tapes():
            # What was kept counts as constant, so a tape that differentiates the gradient sees
            # everything computed again from the arguments.
            result = forward.body(*args, sequences=sequences, backwards=backwards, keep=True)
            run = gradient.body
        shown, known = 1 + states, 4 + states
        found = iter(
            run(
                *g[:shown], *args[:known], *result[shown:], *args[known:],
                sequences=sequences, backwards=backwards, wants=tuple(needs[:known]),
            )
        )  # fmt: skip
        return [next(found) if need else None for need in needs]

    forward.def_vjp(rule)


def _masked(forward: Composite, gradient: Composite, states: int) -> Composite:
    """The form of `forward` that takes a mask."""
    masked = Composite(f"masked_{forward.name}", forward.body)
    _rule(masked, Composite(f"masked_{gradient.name}", gradient.body), states)
    return masked


# ----- LSTM -----


@composite("lstm_sequence")
def lstm_sequence(
    x: Any, w: Any, r: Any, b: Any, h: Any, c: Any, *mask: Any,
    sequences: bool, backwards: bool, keep: bool,
) -> Any:  # fmt: skip
    """A long short-term memory run over a sequence.

    Args:
        x: `(batch, time, features)`.
        w: kernel `(features, 4 * units)`: input, forget, candidate and output gate.
        r: recurrent kernel `(units, 4 * units)`.
        b: bias `(4 * units,)`.
        h: initial output `(batch, units)`.
        c: initial cell `(batch, units)`.
        *mask: the mask, in the masked form.
        sequences: whether the outputs of all steps are wanted, or the last one's.
        backwards: whether the steps go from the last one to the first.
        keep: whether to return what the gradient needs too.

    Returns:
        `(output, h, c)`, then `hidden`, `cells`, `gates` if `keep`. The outputs are in the order
        of the steps.
    """
    units = h.shape[1]
    rows = _project(x, _columns(w, units, LSTM_BLOCKS), _columns(_row(b), units, LSTM_BLOCKS))
    if backwards:
        rows = lang.rev(rows, (0,))
    recurrent = _columns(r, units, LSTM_BLOCKS)
    first = [lang.transpose(h, (1, 0)), lang.transpose(c, (1, 0))]

    def step(state: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        z = lang.add(now[0], lang.dot(recurrent, state[0], ((0,), (0,))))
        s, candidate = lang.sigmoid(_rows(z, units, 0, 3)), lang.tanh(_rows(z, units, 3))
        kept = lang.mul(_rows(s, units, 1), state[1])
        cell = lang.add(kept, lang.mul(_rows(s, units, 0), candidate))
        output = lang.mul(_rows(s, units, 2), lang.tanh(cell))
        output, cell = _where(now[1:], [output, cell], state)
        if keep:
            return [output, cell], [output, cell, lang.concatenate([s, candidate], 0)]
        return [output, cell], [output] if sequences else []

    (last, cell), steps = _over_time(step, first, [rows, *_live(mask, backwards)])
    shown = (*_answer(last, steps[0] if steps else None, sequences), lang.transpose(cell, (1, 0)))
    if not keep:
        return shown
    return (*shown, _from_start(first[0], steps[0]), _from_start(first[1], steps[1]), steps[2])


@composite("lstm_sequence_grad")
def lstm_sequence_grad(
    g_out: Any, g_h: Any, g_c: Any, x: Any, w: Any, r: Any, b: Any, h: Any, c: Any,
    hidden: Any, cells: Any, gates: Any, *mask: Any,
    sequences: bool, backwards: bool, wants: tuple[bool, ...],
) -> Any:  # fmt: skip
    """Gradients of `lstm_sequence` in `(x, w, r, b, h, c)`: a tuple of those that are wanted."""
    units = h.shape[1]
    recurrent = _columns(r, units, LSTM_BLOCKS)
    outer, dh = _incoming(g_out, g_h, sequences)
    dc = lang.transpose(g_c, (1, 0))

    def step(state: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        (dh, dc), (gate, before, after) = state, now[:3]
        live = now[3 : 3 + len(mask)]
        if outer is not None:
            dh = lang.add(dh, now[-1])
        flow = [dh, dc]
        s, candidate = _rows(gate, units, 0, 3), _rows(gate, units, 3)
        squashed = lang.tanh(after)
        through = lang.mul(_rows(s, units, 2), _one_minus_square(squashed))
        dc = lang.add(dc, lang.mul(dh, through))
        ds = [lang.mul(dc, candidate), lang.mul(dc, before), lang.mul(dh, squashed)]
        dcandidate = lang.mul(lang.mul(dc, _rows(s, units, 0)), _one_minus_square(candidate))
        dz = lang.concatenate([lang.mul(lang.concatenate(ds, 0), _slope(s)), dcandidate], 0)
        (dz,) = _where(live, [dz], [0.0])
        dh = lang.dot(recurrent, dz, ((1,), (0,)))
        return _where(live, [dh, lang.mul(dc, _rows(s, units, 1))], flow), [dz]

    xs = [gates, _earlier(cells), _later(cells), *_live(mask, backwards)]
    (dh, dc), (dz,) = _over_time(
        step, [dh, dc], xs if outer is None else [*xs, outer], reverse=True
    )
    ordered = _columns(w, units, LSTM_BLOCKS)
    dx, dw, dr = _weight_grads(x, ordered, hidden, dz, dz, backwards, wants)
    back = _inverse(LSTM_BLOCKS)
    db = lang.reshape(_columns(_row(lang.reduce_sum(dz, (0, 2))), units, back), b.shape)
    grads = (
        dx,
        None if dw is None else _columns(dw, units, back),
        None if dr is None else _columns(dr, units, back),
        db,
        lang.transpose(dh, (1, 0)),
        lang.transpose(dc, (1, 0)),
    )
    return _wanted(grads, wants)


_rule(lstm_sequence, lstm_sequence_grad, states=2)
masked_lstm_sequence = _masked(lstm_sequence, lstm_sequence_grad, states=2)


# ----- GRU -----


@composite("gru_sequence")
def gru_sequence(
    x: Any, w: Any, r: Any, b: Any, h: Any, *mask: Any,
    sequences: bool, backwards: bool, keep: bool,
) -> Any:  # fmt: skip
    """A gated recurrent unit, with the reset gate after the product, run over a sequence.

    Args:
        x: `(batch, time, features)`.
        w: kernel `(features, 3 * units)`: update gate, reset gate and candidate.
        r: recurrent kernel `(units, 3 * units)`.
        b: biases `(2, 3 * units)`, of the inputs' part and of the state's.
        h: initial state `(batch, units)`.
        *mask: the mask, in the masked form.
        sequences: whether the outputs of all steps are wanted, or the last one's.
        backwards: whether the steps go from the last one to the first.
        keep: whether to return what the gradient needs too.

    Returns:
        `(output, h)`, then `hidden`, `gates` if `keep`.
    """
    units = h.shape[1]
    size = 3 * units
    rows = _project(
        x,
        _columns(w, units, GRU_INPUT_BLOCKS),
        _columns(lang.slice_(b, (0, 0), (1, size)), units, GRU_INPUT_BLOCKS),
    )
    if backwards:
        rows = lang.rev(rows, (0,))
    offset = lang.transpose(lang.slice_(b, (1, 0), (2, size)), (1, 0))
    first = lang.transpose(h, (1, 0))

    def step(state: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        (before,), from_x = state, now[0]
        from_h = lang.add(lang.dot(r, before, ((0,), (0,))), offset)
        s = lang.sigmoid(lang.add(_rows(from_x, units, 1, 3), _rows(from_h, units, 0, 2)))
        recurrent = _rows(from_h, units, 2)
        reset = lang.mul(_rows(s, units, 1), recurrent)
        candidate = lang.tanh(lang.add(_rows(from_x, units, 0), reset))
        output = lang.add(candidate, lang.mul(_rows(s, units, 0), lang.sub(before, candidate)))
        (output,) = _where(now[1:], [output], state)
        if keep:
            return [output], [output, lang.concatenate([candidate, s, recurrent], 0)]
        return [output], [output] if sequences else []

    (last,), steps = _over_time(step, [first], [rows, *_live(mask, backwards)])
    shown = _answer(last, steps[0] if steps else None, sequences)
    return (*shown, _from_start(first, steps[0]), steps[1]) if keep else shown


@composite("gru_sequence_grad")
def gru_sequence_grad(
    g_out: Any, g_h: Any, x: Any, w: Any, r: Any, b: Any, h: Any, hidden: Any, gates: Any,
    *mask: Any, sequences: bool, backwards: bool, wants: tuple[bool, ...],
) -> Any:  # fmt: skip
    """Gradients of `gru_sequence` in `(x, w, r, b, h)`: a tuple of those that are wanted."""
    units = h.shape[1]
    outer, dh = _incoming(g_out, g_h, sequences)

    def step(state: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        (dh,), (gate, before) = state, now[:2]
        live = now[2 : 2 + len(mask)]
        if outer is not None:
            dh = lang.add(dh, now[-1])
        candidate, s = _rows(gate, units, 0), _rows(gate, units, 1, 3)
        update = _rows(s, units, 0)
        dcandidate = lang.mul(lang.mul(dh, lang.sub(1.0, update)), _one_minus_square(candidate))
        ds = [
            lang.mul(dh, lang.sub(before, candidate)),
            lang.mul(dcandidate, _rows(gate, units, 3)),
        ]
        dz = lang.concatenate(
            [
                dcandidate,
                lang.mul(lang.concatenate(ds, 0), _slope(s)),
                lang.mul(dcandidate, _rows(s, units, 1)),
            ],
            0,
        )
        (dz,) = _where(live, [dz], [0.0])
        through = lang.dot(r, _rows(dz, units, 1, 4), ((1,), (0,)))
        return _where(live, [lang.add(lang.mul(dh, update), through)], [dh]), [dz]

    xs = [gates, _earlier(hidden), *_live(mask, backwards)]
    (dh,), (dz,) = _over_time(step, [dh], xs if outer is None else [*xs, outer], reverse=True)
    time, _, batch = dz.shape
    dx_rows = lang.slice_(dz, (0, 0, 0), (time, 3 * units, batch))
    dh_rows = lang.slice_(dz, (0, units, 0), (time, 4 * units, batch))
    ordered = _columns(w, units, GRU_INPUT_BLOCKS)
    dx, dw, dr = _weight_grads(x, ordered, hidden, dx_rows, dh_rows, backwards, wants)
    back = _inverse(GRU_INPUT_BLOCKS)
    db = lang.concatenate(
        [
            _columns(_row(lang.reduce_sum(dx_rows, (0, 2))), units, back),
            _row(lang.reduce_sum(dh_rows, (0, 2))),
        ],
        0,
    )
    grads = (
        dx, None if dw is None else _columns(dw, units, back), dr, db, lang.transpose(dh, (1, 0))
    )  # fmt: skip
    return _wanted(grads, wants)


_rule(gru_sequence, gru_sequence_grad, states=1)
masked_gru_sequence = _masked(gru_sequence, gru_sequence_grad, states=1)


# ----- the simple recurrence -----


@composite("simple_rnn_sequence")
def simple_rnn_sequence(
    x: Any, w: Any, r: Any, b: Any, h: Any, *mask: Any,
    sequences: bool, backwards: bool, keep: bool,
) -> Any:  # fmt: skip
    """`h = tanh(x @ w + b + h @ r)` run over a sequence.

    Args:
        x: `(batch, time, features)`.
        w: kernel `(features, units)`.
        r: recurrent kernel `(units, units)`.
        b: bias `(units,)`.
        h: initial state `(batch, units)`.
        *mask: the mask, in the masked form.
        sequences: whether the outputs of all steps are wanted, or the last one's.
        backwards: whether the steps go from the last one to the first.
        keep: whether to return what the gradient needs too.

    Returns:
        `(output, h)`, then `hidden` if `keep`.
    """
    rows = _project(x, w, _row(b))
    if backwards:
        rows = lang.rev(rows, (0,))
    first = lang.transpose(h, (1, 0))

    def step(state: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        output = lang.tanh(lang.add(now[0], lang.dot(r, state[0], ((0,), (0,)))))
        (output,) = _where(now[1:], [output], state)
        return [output], [output] if sequences or keep else []

    (last,), steps = _over_time(step, [first], [rows, *_live(mask, backwards)])
    shown = _answer(last, steps[0] if steps else None, sequences)
    return (*shown, _from_start(first, steps[0])) if keep else shown


@composite("simple_rnn_sequence_grad")
def simple_rnn_sequence_grad(
    g_out: Any, g_h: Any, x: Any, w: Any, r: Any, b: Any, h: Any, hidden: Any, *mask: Any,
    sequences: bool, backwards: bool, wants: tuple[bool, ...],
) -> Any:  # fmt: skip
    """Gradients of `simple_rnn_sequence` in `(x, w, r, b, h)`: a tuple of the wanted ones."""
    outer, dh = _incoming(g_out, g_h, sequences)

    def step(state: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        dh = state[0] if outer is None else lang.add(state[0], now[-1])
        live = now[1 : 1 + len(mask)]
        (dz,) = _where(live, [lang.mul(dh, _one_minus_square(now[0]))], [0.0])
        return _where(live, [lang.dot(r, dz, ((1,), (0,)))], [dh]), [dz]

    xs = [_later(hidden), *_live(mask, backwards)]
    (dh,), (dz,) = _over_time(step, [dh], xs if outer is None else [*xs, outer], reverse=True)
    dx, dw, dr = _weight_grads(x, w, hidden, dz, dz, backwards, wants)
    return _wanted((dx, dw, dr, lang.reduce_sum(dz, (0, 2)), lang.transpose(dh, (1, 0))), wants)


_rule(simple_rnn_sequence, simple_rnn_sequence_grad, states=1)
masked_simple_rnn_sequence = _masked(simple_rnn_sequence, simple_rnn_sequence_grad, states=1)
