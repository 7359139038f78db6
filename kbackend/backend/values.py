"""Variables and constants: made, read, written, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from kbackend import ops, random
from kbackend.base import config
from kbackend.ops.function import Function
from kbackend.state.variable import Variable


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Any:
    """A trainable variable that holds a value.

    >>> get_value(variable([1.0, 2.0]))
    array([1., 2.], dtype=float32)
    """
    made = Variable(ops.convert_to_tensor(value, dtype=dtype or config.floatx()), name=name)
    if constraint is not None:
        made.constraint = constraint
    return made


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of a value, repeated to `shape` if that is given."""
    tensor = ops.convert_to_tensor(value, dtype=dtype or config.floatx())
    return tensor if shape is None else ops.broadcast_to(tensor, shape)


def zeros(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A variable of zeros."""
    return variable(ops.zeros(shape, dtype=dtype or config.floatx()), dtype, name)


def ones(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A variable of ones."""
    return variable(ops.ones(shape, dtype=dtype or config.floatx()), dtype, name)


def eye(size: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A variable that holds an identity matrix of `size`, or of `(rows, columns)`."""
    rows, columns = size if isinstance(size, (tuple, list)) else (size, size)
    return variable(ops.eye(rows, columns, dtype=dtype or config.floatx()), dtype, name)


def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Zeros of the shape of x."""
    return ops.zeros_like(x, dtype=dtype)


def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Ones of the shape of x."""
    return ops.ones_like(x, dtype=dtype)


def random_uniform_variable(
    shape: Any,
    low: float,
    high: float,
    dtype: Any = None,
    name: str | None = None,
    seed: Any = None,
) -> Any:
    """A variable of values drawn uniformly between `low` and `high`."""
    return variable(random.uniform(shape, low, high, dtype, seed), dtype, name)


def random_normal_variable(
    shape: Any,
    mean: float,
    scale: float,
    dtype: Any = None,
    name: str | None = None,
    seed: Any = None,
) -> Any:
    """A variable of normally distributed values."""
    return variable(random.normal(shape, mean, scale, dtype, seed), dtype, name)


def eval(x: Any) -> np.ndarray[Any, Any]:
    """The value of a tensor or variable as a NumPy array."""
    return ops.convert_to_numpy(x)


def get_value(x: Any) -> np.ndarray[Any, Any]:
    """The value of a variable as a NumPy array."""
    return ops.convert_to_numpy(x)


def set_value(x: Any, value: Any) -> None:
    """Write a value to a variable."""
    x.assign(value)


def batch_get_value(tensors: Iterable[Any]) -> list[np.ndarray[Any, Any]]:
    """The values of several variables."""
    return [get_value(x) for x in tensors]


def batch_set_value(tuples: Iterable[tuple[Any, Any]]) -> None:
    """Write several variables, given as pairs of variable and value."""
    for x, value in tuples:
        set_value(x, value)


def update(x: Any, new_x: Any) -> Any:
    """Write `new_x` to the variable x."""
    return x.assign(new_x)


def update_add(x: Any, increment: Any) -> Any:
    """Add to the variable x."""
    return x.assign_add(increment)


def update_sub(x: Any, decrement: Any) -> Any:
    """Subtract from the variable x."""
    return x.assign_sub(decrement)


def moving_average_update(x: Any, value: Any, momentum: float) -> Any:
    """Move the variable x towards a value: `x * momentum + value * (1 - momentum)`."""
    return x.assign(x * momentum + ops.cast(value, x.dtype) * (1 - momentum))


def count_params(x: Any) -> int:
    """Number of elements.

    >>> count_params(zeros((2, 3)))
    6
    """
    return prod(x.shape)


def function(
    inputs: Any, outputs: Any, updates: Any = None, name: str | None = None
) -> Callable[..., Any]:
    """A function from the inputs of a functional model to any of its inner tensors.

    Args:
        inputs: KerasTensor or list of them, such as `model.input` or `model.inputs`.
        outputs: KerasTensor or list of them, such as `model.layers[2].output`.
        updates: must be empty: in eager execution, assign variables instead.
        name: a name.

    Returns:
        A function of a list of arrays, which returns a list of NumPy arrays (one array if
        `outputs` was no list).

    Raises:
        ValueError: there are updates.
    """
    if updates:
        raise ValueError(
            "[function] 'updates' can't be part of a function here. Call assign() on the variables "
            f"after it. Received: updates={updates!r}."
        )
    several = isinstance(inputs, (list, tuple))
    graph = Function(list(inputs) if several else inputs, outputs, name=name)

    def call(values: Any) -> Any:
        if not several and isinstance(values, (list, tuple)) and len(values) == 1:
            values = values[0]
        if several:
            arguments: Any = [ops.convert_to_tensor(value) for value in values]
        else:
            arguments = ops.convert_to_tensor(values)
        found = graph(arguments)
        if isinstance(found, (list, tuple)):
            return [get_value(x) for x in found]
        return get_value(found)

    return call
