"""Regularizers."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import matmul


class Regularizer:
    """Base of regularizers: functions from a weight or an output to a penalty in the loss.

    A subclass implements `__call__(x)` and `get_config`.

    Example:
        >>> class Sum(Regularizer):
        ...     def __call__(self, x):
        ...         return x.sum()
        >>> float(Sum()(np.ones(3)))
        3.0
    """

    def __call__(self, x: Any) -> Any:
        """The penalty: a scalar."""
        return to_tensor(0.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        raise NotImplementedError(
            f"[{type(self).__name__}] a subclass of Regularizer that is saved must implement "
            "get_config()."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A regularizer from `get_config`'s answer."""
        return cls(**config)


def _factor(owner: Any, name: str, value: Any, default: float) -> float:
    """A penalty's factor, checked."""
    if value is None:
        return default
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ValueError(
            f"[{type(owner).__name__}] '{name}' must be a number that is not negative. Received: "
            f"{name}={value!r}."
        )
    return float(value)


def _total(x: Any) -> Any:
    return lang.reduce_sum(x, tuple(range(len(x.shape))))


class L1(Regularizer):
    """The sum of absolute values, times a factor.

    Args:
        l1: the factor.

    Raises:
        ValueError: the factor is negative or not a number.

    Example:
        >>> float(L1(0.5)(np.array([-1.0, 3.0])))
        2.0
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _factor(self, "l1", l1, 0.01)

    def __call__(self, x: Any) -> Any:
        """The penalty."""
        return lang.mul(_total(lang.abs_(to_tensor(x))), self.l1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"l1": self.l1}


class L2(Regularizer):
    """The sum of squares, times a factor.

    Args:
        l2: the factor.

    Raises:
        ValueError: the factor is negative or not a number.

    Example:
        >>> float(L2(0.5)(np.array([-1.0, 3.0])))
        5.0
    """

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _factor(self, "l2", l2, 0.01)

    def __call__(self, x: Any) -> Any:
        """The penalty."""
        x = to_tensor(x)
        return lang.mul(_total(lang.mul(x, x)), self.l2)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"l2": self.l2}


class L1L2(Regularizer):
    """The sum of absolute values and the sum of squares, each times a factor.

    Args:
        l1: factor of the absolute values.
        l2: factor of the squares.

    Raises:
        ValueError: a factor is negative or not a number.

    Example:
        >>> float(L1L2(l1=0.5, l2=0.5)(np.array([-1.0, 3.0])))
        7.0
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor(self, "l1", l1, 0.0)
        self.l2 = _factor(self, "l2", l2, 0.0)

    def __call__(self, x: Any) -> Any:
        """The penalty."""
        x = to_tensor(x)
        penalty = to_tensor(0.0, x.dtype)
        if self.l1:
            penalty = lang.add(penalty, lang.mul(_total(lang.abs_(x)), self.l1))
        if self.l2:
            penalty = lang.add(penalty, lang.mul(_total(lang.mul(x, x)), self.l2))
        return penalty

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"l1": self.l1, "l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """The mean absolute cosine between different rows (or columns) of a matrix, times a factor.

    Args:
        factor: the factor.
        mode: "rows" or "columns".

    Raises:
        ValueError: the factor is negative, or the mode is neither.

    Example:
        >>> float(OrthogonalRegularizer(1.0)(np.eye(3)))
        0.0
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor(self, "factor", factor, 0.01)
        if mode not in ("rows", "columns"):
            raise ValueError(
                "[OrthogonalRegularizer] 'mode' must be 'rows' or 'columns'. Received: "
                f"mode={mode!r}."
            )
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        """The penalty.

        Raises:
            ValueError: the input is not a matrix.
        """
        x = to_tensor(x)
        if len(x.shape) != 2:
            raise ValueError(
                f"[OrthogonalRegularizer] the input must be a matrix. Received: shape={x.shape}."
            )
        if self.mode == "columns":
            x = lang.transpose(x, (1, 0))
        squares = lang.reduce_sum(lang.mul(x, x), (1,), keepdims=True)
        # The bound keeps rows of zeros, and the gradient there, finite.
        x = lang.mul(x, lang.rsqrt(lang.maximum(squares, 1e-12)))
        cosines = matmul(x, lang.transpose(x, (1, 0)))
        size = x.shape[0]
        if size is None:
            raise ValueError("[OrthogonalRegularizer] the number of rows must be known.")
        others = to_tensor(1.0 - np.eye(size), x.dtype)
        pairs = max(size * (size - 1) / 2.0, 1.0)
        return lang.mul(_total(lang.abs_(lang.mul(cosines, others))), 0.5 * self.factor / pairs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"factor": self.factor, "mode": self.mode}
