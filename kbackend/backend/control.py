"""Choices, loops over elements and drawing of the classic backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend import ops, random
from kbackend.base import config


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """One of two values by a condition.

    Args:
        condition: a scalar, or a tensor whose leading dimensions are those of the values.
        then_expression: tensor, or (for a scalar condition) a function that returns one.
        else_expression: likewise.

    Returns:
        `then_expression` where the condition holds, `else_expression` elsewhere.

    >>> float(switch(ops.convert_to_tensor(True), lambda: 1.0, lambda: 2.0))
    1.0
    """
    condition = ops.cast(condition, "bool")

    def value(expression: Any) -> Any:
        return ops.convert_to_tensor(expression() if callable(expression) else expression)

    if len(condition.shape) == 0:
        return ops.cond(condition, lambda: value(then_expression), lambda: value(else_expression))
    first, second = value(then_expression), value(else_expression)
    missing = len(first.shape) - len(condition.shape)
    if missing < 0:
        raise ValueError(
            "[switch] 'condition' can't have more dimensions than the values. Received: "
            f"condition.shape={condition.shape}, value shape={first.shape}."
        )
    for _ in range(missing):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, first, second)


def map_fn(fn: Callable[[Any], Any], elems: Any, name: str | None = None, dtype: Any = None) -> Any:
    """A function applied to the entries of the first dimension, its results stacked."""
    out = ops.map(fn, elems)
    return out if dtype is None else ops.cast(out, dtype)


def foldl(
    fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None
) -> Any:
    """`fn(accumulator, entry)` over the first dimension, from the first entry to the last.

    >>> float(foldl(lambda a, x: a - x, ops.convert_to_tensor([10.0, 2.0, 3.0])))
    5.0
    """
    entries = ops.unstack(elems)
    return _fold(fn, entries, initializer)


def foldr(
    fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None
) -> Any:
    """`fn(accumulator, entry)` over the first dimension, from the last entry to the first."""
    return _fold(fn, list(ops.unstack(elems))[::-1], initializer)


def _fold(fn: Callable[[Any, Any], Any], entries: Any, initializer: Any) -> Any:
    entries = list(entries)
    accumulated = entries.pop(0) if initializer is None else initializer
    for entry in entries:
        accumulated = fn(accumulated, entry)
    return accumulated


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Normally distributed values."""
    return random.normal(shape, mean, stddev, dtype, seed)


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Values between two bounds, all equally likely."""
    return random.uniform(shape, minval, maxval, dtype, seed)


def random_bernoulli(shape: Any, p: float = 0.0, dtype: Any = None, seed: Any = None) -> Any:
    """Ones with probability p, and zeros."""
    drawn = random.uniform(shape, dtype="float32", seed=seed) < p
    return ops.cast(drawn, dtype or config.floatx())


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Normally distributed values, none further than two standard deviations from the mean."""
    return random.truncated_normal(shape, mean, stddev, dtype, seed)
