"""Constraints."""

from __future__ import annotations

from typing import Any, Self

from kbackend.base import config
from kbackend.base.shapes import canonical_axes
from kbackend.core import lang
from kbackend.core.convert import to_tensor


class Constraint:
    """Base of constraints: functions that an optimizer applies to a weight after each step.

    Example:
        >>> class Clip(Constraint):
        ...     def __call__(self, w):
        ...         return np.clip(w, -1.0, 1.0)
        >>> Clip()(np.array([3.0])).tolist()
        [1.0]
    """

    def __call__(self, w: Any) -> Any:
        """The weight's value, projected; the value itself in the base class."""
        return w

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A constraint from `get_config`'s answer."""
        return cls(**config)


def _norms(w: Any, axis: Any) -> Any:
    axes = canonical_axes(axis, len(w.shape))
    return lang.sqrt(lang.reduce_sum(lang.mul(w, w), axes, keepdims=True))


def _clip(x: Any, low: float, high: float) -> Any:
    return lang.minimum(lang.maximum(x, float(low)), float(high))


class MaxNorm(Constraint):
    """Shrinks weights so that their norm is at most a number.

    Args:
        max_value: the greatest norm.
        axis: axis or axes along which norms are taken: 0 for the kernel of a Dense layer, `[0, 1,
            2]` for that of a Conv2D one.

    Example:
        >>> MaxNorm(1.0)(np.array([[3.0], [4.0]])).numpy().round(4).tolist()
        [[0.6], [0.8]]

    Reference:
        N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
        JMLR 2014.
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The weight's value, projected."""
        w = to_tensor(w)
        norms = _norms(w, self.axis)
        desired = _clip(norms, 0.0, self.max_value)
        return lang.mul(w, lang.div(desired, lang.add(norms, config.epsilon())))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Sets negative weights to zero.

    Example:
        >>> NonNeg()(np.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __call__(self, w: Any) -> Any:
        """The weight's value, projected."""
        return lang.maximum(to_tensor(w), 0)


class UnitNorm(Constraint):
    """Scales weights to the norm 1.

    Args:
        axis: axis or axes along which norms are taken.

    Example:
        >>> UnitNorm()(np.array([[3.0], [4.0]])).numpy().round(4).tolist()
        [[0.6], [0.8]]
    """

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The weight's value, projected."""
        w = to_tensor(w)
        return lang.div(w, lang.add(_norms(w, self.axis), config.epsilon()))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Moves the norm of weights towards an interval.

    Args:
        min_value: the least norm.
        max_value: the greatest norm.
        rate: how far to go: at 1 the norm lies in the interval after each step, below 1 it gets
            closer.
        axis: axis or axes along which norms are taken.

    Example:
        >>> MinMaxNorm(0.0, 1.0)(np.array([[3.0], [4.0]])).numpy().round(4).tolist()
        [[0.6], [0.8]]
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The weight's value, projected."""
        w = to_tensor(w)
        norms = _norms(w, self.axis)
        desired = lang.add(
            lang.mul(_clip(norms, self.min_value, self.max_value), float(self.rate)),
            lang.mul(norms, 1.0 - self.rate),
        )
        return lang.mul(w, lang.div(desired, lang.add(norms, config.epsilon())))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }
