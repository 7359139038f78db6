"""Choices and loops. On concrete tensors they are Python's own; on KerasTensors the body is run
once to learn shapes; in a trace it is run once to become an equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index as as_index
from typing import Any

from kbackend.base import tree
from kbackend.core.bind import Symbolic
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.tensor import Tensor
from kbackend.ir.bodies import structured
from kbackend.ops.core import traced
from kbackend.ops.define import op
from kbackend.ops.keras_tensor import KerasTensor, any_symbolic

Fn = Callable[..., Any]


def _is_value(leaf: Any) -> bool:
    return leaf.__class__ is Tensor or isinstance(leaf, Symbolic)


def _check_alike(name: str, first: Any, other: Any, what: str) -> None:
    """Raises unless two structures have the same form, shapes and dtypes."""

    def compare(a: Any, b: Any) -> None:
        if not (_is_value(a) and _is_value(b)):
            return
        dims = tuple(a.shape), tuple(b.shape)
        fits = len(dims[0]) == len(dims[1]) and all(
            m is None or n is None or m == n for m, n in zip(*dims, strict=True)
        )
        if not fits or a.dtype != b.dtype:
            raise ValueError(
                f"[{name}] {what} must have the same shapes and dtypes. Received: "
                f"{a.dtype}{dims[0]} and {b.dtype}{dims[1]}."
            )

    try:
        tree.map_structure(compare, first, other)
    except ValueError as error:
        if str(error).startswith("["):
            raise
        raise ValueError(f"[{name}] {what} must have the same structure. {error}") from None


@op(static=("true_fn", "false_fn"))
def cond(pred: Any, true_fn: Fn, false_fn: Fn) -> Any:
    """What `true_fn` or `false_fn` returns, as `pred` says.

    Args:
        pred: bool scalar.
        true_fn: called without arguments if `pred` holds.
        false_fn: called without arguments if it does not.

    Returns:
        The result of the one that is called.

    Raises:
        ValueError: for a KerasTensor, or where it is compiled: the two results differ in
            structure, shape or dtype.

    Example:
        >>> cond(True, lambda: 1, lambda: 2)
        1
    """
    if not callable(true_fn) or not callable(false_fn):
        raise TypeError(
            "[cond] 'true_fn' and 'false_fn' must be functions without arguments. "
            f"Received: true_fn={true_fn!r}, false_fn={false_fn!r}."
        )
    if isinstance(pred, Readable):
        pred = pred.read()
    if isinstance(pred, KerasTensor):
        first, second = true_fn(), false_fn()
        _check_alike("cond", first, second, "the results of 'true_fn' and 'false_fn'")
        return first
    if isinstance(pred, Symbolic):
        return traced.cond(pred, true_fn, false_fn)
    return true_fn() if bool(pred) else false_fn()


@op(static=("branches",))
def switch(index: Any, branches: Sequence[Fn], *operands: Any) -> Any:
    """What the function number `index` returns for `operands`.

    Args:
        index: integer scalar; moved into the range of `branches`.
        branches: sequence of functions.
        *operands: what the chosen one is called with.

    Returns:
        Its result.

    Raises:
        ValueError: there is no branch; or for KerasTensors, or where it is compiled: the results
            differ in structure, shape or dtype.

    Example:
        >>> switch(1, [lambda x: x + 1, lambda x: x * 10], 5)
        50
    """
    if not branches:
        raise ValueError("[switch] 'branches' must hold at least one function. Received: none.")
    if isinstance(index, KerasTensor) or any_symbolic(operands):
        outs = [branch(*operands) for branch in branches]
        for other in outs[1:]:
            _check_alike("switch", outs[0], other, "the results of the branches")
        return outs[0]
    if isinstance(index, Readable):
        index = index.read()
    if isinstance(index, Symbolic):
        return traced.switch(index, branches, operands)
    found = as_index(index if isinstance(index, int) else int(to_tensor(index)))
    return branches[min(max(found, 0), len(branches) - 1)](*operands)


def _call_all(fn: Fn, values: Any, several: bool) -> Any:
    return fn(*values) if several else fn(values)


def while_loop(cond: Fn, body: Fn, loop_vars: Any, maximum_iterations: int | None = None) -> Any:
    """`body` applied to `loop_vars` again and again while `cond` holds for them.

    Args:
        cond: takes the loop variables, returns a bool scalar.
        body: takes the loop variables, returns their next values.
        loop_vars: tensor, or tuple or list of (structures of) tensors.
        maximum_iterations: `None`, or the greatest number of steps.

    Returns:
        The last values: a tuple if `loop_vars` is a tuple or a list.

    Raises:
        ValueError: `body` returns another number of variables; or, where it is compiled, another
            shape or a narrower dtype.
        TraceError: the compiled loop is differentiated.

    Example:
        >>> while_loop(lambda i: i < 10, lambda i: i * 3, 1)
        27
    """
    several = isinstance(loop_vars, (tuple, list))
    values = tuple(loop_vars) if several else loop_vars
    limit = float("inf") if maximum_iterations is None else maximum_iterations
    if any_symbolic(values):
        following = _call_all(body, values, several)
        _check_alike(
            "while_loop",
            tree.map_structure(_as_value, values),
            tree.map_structure(_as_value, _as_loop_vars(following, several, values)),
            "the loop variables before and after a step",
        )
        return tree.map_structure(
            lambda x: KerasTensor.of(x.aval) if isinstance(x, KerasTensor) else x, values
        )
    if structured():
        return traced.while_loop(
            lambda now: _call_all(cond, now, several),
            lambda now: _as_loop_vars(_call_all(body, now, several), several, now),
            values,
            None if maximum_iterations is None else int(maximum_iterations),
            "while_loop",
        )
    step = 0
    while step < limit and bool(_call_all(cond, values, several)):
        values = _as_loop_vars(_call_all(body, values, several), several, values)
        step += 1
    return values


def _as_value(leaf: Any) -> Any:
    return leaf if _is_value(leaf) else to_tensor(leaf)


def _as_loop_vars(found: Any, several: bool, before: Any) -> Any:
    if not several:
        return found
    found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    if len(found) != len(before):
        raise ValueError(
            f"[while_loop] 'body' must return {len(before)} loop variable(s). "
            f"Received: {len(found)}."
        )
    return found


def fori_loop(lower: Any, upper: Any, body_fun: Fn, init_val: Any) -> Any:
    """`body_fun` applied for each integer from `lower` up to `upper`.

    Args:
        lower: integer, the first.
        upper: integer, one above the last.
        body_fun: takes the integer and the value, returns the next value.
        init_val: the first value, a structure of tensors.

    Returns:
        The last value.

    Raises:
        ValueError: where it is compiled: `body_fun` returns another structure or shape, or a
            narrower dtype.
        TraceError: the compiled loop is differentiated, and its bounds are not known.

    Example:
        >>> fori_loop(0, 4, lambda i, total: total + i, 0)
        6
    """
    if structured():
        lower, upper = (b.read() if isinstance(b, Readable) else b for b in (lower, upper))
        return traced.fori_loop(lower, upper, body_fun, init_val)
    start, stop = int(lower), int(upper)
    value = init_val
    if any_symbolic(value) and stop > start:
        following = body_fun(start, value)
        _check_alike("fori_loop", value, following, "the value before and after a step")
        return following
    for i in range(start, stop):
        value = body_fun(i, value)
    return value
