"""`Loss`: a number that says how far predictions are from targets, and how it is reduced."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base import config, shapes, tree
from kbackend.base.naming import auto_name
from kbackend.core import lang
from kbackend.core.bind import Symbolic
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.masks import get_keras_mask
from kbackend.core.tensor import Tensor
from kbackend.losses.alignment import NARROW, align
from kbackend.state import dtype_policy

_MEANS = frozenset(("sum_over_batch_size", "mean", "mean_with_sample_weight"))
_REDUCTIONS = (*sorted(_MEANS), "sum", "none", None)


def check_reduction(reduction: Any, owner: str) -> Any:
    """`reduction`, if it is one.

    Raises:
        ValueError: it is none.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"[{owner}] 'reduction' must be one of {', '.join(map(repr, _REDUCTIONS))}. "
            f"Received: reduction={reduction!r}."
        )
    return reduction


class Loss:
    """Base of all losses. A subclass implements `call`.

    Args:
        name: name; that of the class in snake case by default.
        reduction: "sum_over_batch_size" or "mean" (the mean over all that `call` returns), "sum",
            "mean_with_sample_weight" (the weighted sum, divided by the sum of the weights), or
            "none" or `None` (the weighted losses as they are).
        dtype: dtype (or policy) of the computation; `floatx` by default.

    Raises:
        ValueError: the reduction or the dtype is none of these.

    Example:
        >>> class SignedError(Loss):
        ...     def call(self, y_true, y_pred):
        ...         return y_pred - y_true
        >>> SignedError()([1.0, 2.0], [2.0, 2.0]).item()
        0.5
    """

    # Whether targets are converted to the loss's dtype; integer labels need not be.
    _casts_targets = True

    def __init__(
        self, name: str | None = None, reduction: Any = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.reduction = check_reduction(reduction, self.name)
        self._dtype_policy = dtype_policy.get(config.floatx() if dtype is None else dtype)
        self._dtype = self._dtype_policy.compute_dtype

    @property
    def dtype(self) -> str:
        """Dtype of the computation."""
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss.

        Args:
            y_true: targets; a tensor, or a structure of them if `call` takes one.
            y_pred: predictions. Places that their mask excludes don't count.
            sample_weight: weights of the samples, `(batch,)`, or of whatever `call` returns.

        Returns:
            A scalar tensor; without reduction, one loss per sample (or place).
        """
        mask = get_keras_mask(y_pred)
        y_pred = as_tensors(y_pred, self._dtype)
        y_true = as_tensors(y_true, self._dtype if self._casts_targets else None)
        values = self.call(y_true, y_pred)
        own_mask = get_keras_mask(values)
        if own_mask is not None:
            own_mask = to_tensor(own_mask, "bool")
            mask = own_mask if mask is None else lang.bitwise_and(to_tensor(mask, "bool"), own_mask)
        return reduce_weighted(values, sample_weight, mask, self.reduction, self._dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The losses before weighting and reduction, usually one per sample."""
        raise NotImplementedError(f"[{type(self).__name__}] must implement call(y_true, y_pred).")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A loss from `get_config`'s answer."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def as_tensors(value: Any, dtype: str | None) -> Any:
    """A tensor, or each tensor of a structure, in `dtype`. A list of numbers is one tensor."""
    if value.__class__ is Tensor and (dtype is None or value.dtype == dtype):
        return to_tensor(value)
    if isinstance(value, dict):
        return {key: as_tensors(item, dtype) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and any(map(_is_array, tree.iter_leaves(value))):
        items = [as_tensors(item, dtype) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return to_tensor(value, dtype)


def _is_array(leaf: Any) -> bool:
    """Whether a leaf of a list is more than a number."""
    return not isinstance(leaf, np.generic) and (
        isinstance(leaf, (Readable, Symbolic)) or hasattr(leaf, "__array__")
    )


# ----- reduction -----


def reduce_weighted(
    values: Any, sample_weight: Any, mask: Any, reduction: Any, dtype: str | None
) -> Any:
    """Losses, weighted and reduced to one number.

    Args:
        values: losses.
        sample_weight: weights, or `None`; broadcast to the losses once their ranks are aligned.
        mask: which losses count, or `None`.
        reduction: how to reduce.
        dtype: dtype of the weights and the result.

    Returns:
        A scalar tensor, or the weighted losses without reduction.
    """
    values = to_tensor(values, dtype)
    weight = None if sample_weight is None else to_tensor(sample_weight, values.dtype)
    scale = None
    if mask is not None:
        kept = lang.cast(to_tensor(mask, "bool"), values.dtype)
        if reduction == "mean" or reduction == "sum_over_batch_size":
            # The mean is over what the mask keeps; weights do not count in its denominator.
            scale = _quotient(count(kept), total(kept))
        if weight is None:
            weight = kept
        else:
            kept, weight = align(kept, weight)
            weight = lang.mul(weight, kept)
    if weight is not None:
        values, weight = align(values, weight)
        values = lang.mul(values, weight)
    if scale is not None:
        if not values.shape:
            return lang.mul(values, scale)
        return lang.mul(_reduce(values, weight, reduction), scale)
    return _reduce(values, weight, reduction)


def _reduce(values: Any, weight: Any, reduction: Any) -> Any:
    shape = values.shape
    if reduction is None or reduction == "none" or not shape or shape == (0,):
        return values
    dtype = values.dtype
    if dtype in NARROW:
        values = lang.cast(values, "float32")
    loss = total(values)
    if reduction in _MEANS:
        if reduction == "mean_with_sample_weight" and weight is not None:
            loss = _quotient(loss, lang.cast(total(weight), loss.dtype))
        else:
            loss = _quotient(loss, count(values))
    return lang.cast(loss, dtype)


def total(x: Any) -> Any:
    """The sum of all elements."""
    return lang.reduce_sum(x, tuple(range(len(x.shape)))) if x.shape else x


def count(x: Any) -> Any:
    """The number of elements: an int, or a tensor of x's dtype where a dimension is unknown."""
    size = shapes.size_of(x.shape)
    return total(lang.full(x.shape, 1, x.dtype)) if size is None else size


def _quotient(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    if y.__class__ is int:
        if x.__class__ is int:
            return x / y if y else 0.0
        return lang.div(x, float(y)) if y else lang.mul(x, 0.0)
    if x.__class__ is int:
        x = lang.lift_as(float(x), y, y.dtype)
    none = lang.eq(y, 0)
    return lang.select(none, 0.0, lang.div(x, lang.select(none, 1.0, y)))
