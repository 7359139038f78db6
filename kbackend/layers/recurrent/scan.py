"""The general loop over time: any cell, any mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base import tree
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.ir import bodies
from kbackend.ops.keras_tensor import KerasTensor

# (inputs of one step, states) -> (output, states)
Step = Callable[[Any, Any], tuple[Any, Any]]


def at_step(x: Any, t: int) -> Any:
    """`x[:, t]`"""
    shape = x.shape
    starts, stops = [0] * len(shape), list(shape)
    starts[1], stops[1] = t, t + 1
    return lang.reshape(lang.slice_(x, tuple(starts), tuple(stops)), (shape[0], *shape[2:]))


def _beside(mask: Any, x: Any) -> Any:
    """A mask `(batch,)` with as many dimensions as x."""
    return lang.reshape(mask, (mask.shape[0], *(1,) * (len(x.shape) - 1)))


def _keep(mask: Any, new: Any, old: Any) -> Any:
    return lang.select(_beside(mask, new), new, lang.cast(old, new.dtype))


def _infer(step: Step, x: Any, states: Any, return_sequences: bool) -> tuple[Any, Any]:
    """What the loop returns on symbolic inputs: one step tells, however many there are."""
    shape = x.shape
    out, states = step(KerasTensor.of(Aval((shape[0], *shape[2:]), x.dtype)), states)
    if return_sequences:
        out = KerasTensor.of(Aval((out.shape[0], shape[1], *out.shape[1:]), out.dtype))
    return out, states


def scan(
    step: Step,
    x: Any,
    states: Any,
    mask: Any = None,
    *,
    return_sequences: bool,
    go_backwards: bool,
    zero_output_for_mask: bool,
    unroll: bool,
) -> tuple[Any, Any]:
    """Runs a cell over the time steps of `x`.

    Where the mask is false, the states stay as they are. The output there is zero, or what came
    before: the first state, or, if `unroll`, the last unmasked output (zero at first).

    Args:
        step: `(inputs, states) -> (output, states)`.
        x: tensor `(batch, time, ...)`.
        states: list of the initial states, maybe nested.
        mask: `None`, or bool tensor `(batch, time)`.
        return_sequences: whether the outputs of all steps are wanted, or the last one's.
        go_backwards: whether the steps go from the last one to the first.
        zero_output_for_mask: whether masked outputs are zero (not if `unroll`).
        unroll: which output stands where the mask is false.

    Returns:
        The output, in the order of the steps, and the last states.

    Raises:
        ValueError: there are no time steps.
    """
    if isinstance(x, KerasTensor):
        return _infer(step, x, states, return_sequences)
    time = x.shape[1]
    if not time:
        raise ValueError(
            f"[RNN] the inputs need at least one time step. Received an input of shape {x.shape}."
        )
    if bodies.structured() and not unroll:
        return _compiled(
            step, x, states, mask,
            return_sequences=return_sequences, go_backwards=go_backwards,
            zero_output_for_mask=zero_output_for_mask,
        )  # fmt: skip
    outputs = []
    out = None
    for t in range(time - 1, -1, -1) if go_backwards else range(time):
        live = None if mask is None else at_step(mask, t)
        old = None if zero_output_for_mask and not unroll else tree.flatten(states)[0]
        out, states = _step(step, at_step(x, t), states, live, out if unroll else old)
        if return_sequences:
            outputs.append(out)
    if not return_sequences:
        return out, states
    rows = [lang.reshape(o, (o.shape[0], 1, *o.shape[1:])) for o in outputs]
    return lang.concatenate(rows, 1), states


def _step(step: Step, x: Any, states: Any, live: Any, old: Any) -> tuple[Any, Any]:
    """One step; where `live` is false, the states stay, and the output is `old` (`None`: zero)."""
    out, following = step(x, states)
    if live is None:
        return out, following
    out = _keep(live, out, lang.zeros(out.shape, out.dtype) if old is None else old)
    pairs = zip(tree.flatten(following), tree.flatten(states), strict=True)
    return out, tree.pack_as(states, [_keep(live, a, b) for a, b in pairs])


def _compiled(
    step: Step,
    x: Any,
    states: Any,
    mask: Any,
    *,
    return_sequences: bool,
    go_backwards: bool,
    zero_output_for_mask: bool,
) -> tuple[Any, Any]:
    """The loop as one equation, whose body is traced once."""
    xs = [time_first(x)] if mask is None else [time_first(x), time_first(mask)]
    if go_backwards:
        xs = [lang.rev(rows, (0,)) for rows in xs]

    def body(now: list[Any], rows: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        live = rows[1] if len(rows) > 1 else None
        old = None if zero_output_for_mask else now[0]
        out, following = _step(step, rows[0], tree.pack_as(states, now), live, old)
        last, ys = ([], [out]) if return_sequences else ([out], [])
        return tree.flatten(following), last, ys

    after, last, ys = bodies.scan("rnn", body, tree.flatten(states), xs, x.shape[1])
    return time_first(ys[0]) if return_sequences else last[0], tree.pack_as(states, after)


def time_first(x: Any) -> Any:
    """`x` with its first two dimensions swapped."""
    return lang.transpose(x, (1, 0, *range(2, len(x.shape))))
