"""The loss of a compiled model: a weighted sum over its outputs."""

from __future__ import annotations

from typing import Any

from kbackend import losses as losses_module
from kbackend.base import tree
from kbackend.core import operators
from kbackend.losses.loss import Loss
from kbackend.losses.wrapper import LossFunctionWrapper
from kbackend.metrics import Mean
from kbackend.trainers.outputs import align, output_names_of, per_output


def _is_loss(value: Any) -> bool:
    return not tree.is_nested(value)


class CompileLoss:
    """Sum of the outputs' losses.

    Args:
        loss: loss, name or function, or a list or dict of them by output.
        loss_weights: number, or a list or dict of numbers.
        model: the model, for its outputs' names.
    """

    def __init__(self, loss: Any, loss_weights: Any, model: Any) -> None:
        self._given = loss
        self._given_weights = loss_weights
        self._model = model
        self._losses: list[Loss | None] | None = None
        self._weights: list[float | None] = []
        self._names: list[str] = []
        self._trackers: list[Any] = []
        # An unknown name must fail in compile(), not in the first step.
        for one in tree.flatten(loss):
            _make(one)
        for weight in tree.flatten(loss_weights):
            if (
                weight is not None
                and not isinstance(weight, (int, float))
                and not hasattr(weight, "dtype")
            ):
                raise ValueError(
                    f"[compile] 'loss_weights' must be numbers. Received: {loss_weights!r}."
                )

    @property
    def metrics(self) -> list[Any]:
        """Running means of the outputs' losses, where there are several."""
        return [tracker for tracker in self._trackers if tracker is not None]

    def _build(self, y_true: Any, y_pred: Any) -> None:
        self._names = output_names_of(self._model, y_pred)
        given = per_output(self._given, self._names, "loss", _is_loss)
        self._losses = [_make(one) for one in given]
        weights = per_output(self._given_weights, self._names, "loss_weights", _is_loss)
        self._weights = [None if w is None else w for w in weights]
        several = sum(one is not None for one in self._losses) > 1
        self._trackers = [
            Mean(name=f"{name}_loss") if several and one is not None else None
            for name, one in zip(self._names, self._losses, strict=True)
        ]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The total loss, or `None` if no output has one."""
        if y_true is None:
            raise ValueError(
                f"[{self._model.name}] the compiled loss compares outputs with targets, and there "
                "are none. Give 'y', or compile without a loss and use add_loss()."
            )
        if self._losses is None:
            self._build(y_true, y_pred)
        losses = self._losses or []
        preds = tree.flatten(y_pred)
        if len(losses) == 1 and not tree.is_nested(y_true):
            value = None if losses[0] is None else losses[0](y_true, preds[0], sample_weight)
            return _weighted(value, self._weights[0])
        trues = align(y_true, self._names, "y")
        weights = (
            align(sample_weight, self._names, "sample_weight")
            if tree.is_nested(sample_weight)
            else [sample_weight] * len(preds)
        )
        total = None
        for i, loss in enumerate(losses):
            if loss is None or trues[i] is None:
                continue
            value = loss(trues[i], preds[i], weights[i])
            tracker = self._trackers[i]
            if tracker is not None:
                tracker.update_state(value, sample_weight=_batch_size(preds[i]))
            value = _weighted(value, self._weights[i])
            total = value if total is None else operators.add(total, value)
        return total


def _batch_size(x: Any) -> int:
    return int(x.shape[0]) if x.shape else 1


def _weighted(value: Any, weight: Any) -> Any:
    return value if weight is None or value is None else operators.multiply(value, weight)


def _make(identifier: Any) -> Any:
    """A Loss (or plain function of y_true, y_pred and weights) for what the user gave."""
    if identifier is None or isinstance(identifier, Loss):
        return identifier
    found = losses_module.get(identifier)
    if isinstance(found, Loss):
        return found
    return LossFunctionWrapper(found, name=getattr(found, "__name__", "loss"))
