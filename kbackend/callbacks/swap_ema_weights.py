"""`SwapEMAWeights`: evaluation with the weights' moving averages."""

from __future__ import annotations

from typing import Any

from kbackend.callbacks.callback import Callback


class SwapEMAWeights(Callback):
    """Exchanges the weights with their moving averages while the model is evaluated.

    The optimizer must keep such averages (`use_ema=True`).

    Args:
        swap_on_epoch: whether to exchange at the end of each epoch as well, until the next begins,
            so that callbacks after this one save the averages.

    Example:
        >>> SwapEMAWeights(swap_on_epoch=True).swap_on_epoch
        True
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False
        self._before = False

    def _swap(self, swapped: bool) -> None:
        """Exchanges if that is needed for the averages to be in use (or no longer)."""
        pairs = self._pairs()
        if swapped == self._swapped or not pairs:
            return
        for variable, average in pairs:
            value = variable.value
            variable.assign(average.value)
            average.assign(value)
        self._swapped = swapped

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Weights and their averages."""
        optimizer: Any = self.model.optimizer
        # The averages belong to the optimizer within, where a wrapper scales the loss.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ValueError(
                "[SwapEMAWeights] the optimizer must keep moving averages: make it with "
                f"use_ema=True. Received: {optimizer!r}."
            )
        return list(optimizer._averaged()) if optimizer.built else []

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins with the weights themselves."""
        self._swapped = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Back to the weights."""
        if self.swap_on_epoch and self._swapped:
            self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """To the averages."""
        if not self.swap_on_epoch:
            return
        self._swap(True)
        last = self.params is not None and epoch == self.params.get("epochs", 0) - 1
        if last or self.model.stop_training:
            # After the last epoch the optimizer puts the averages into the weights: it must find
            # them where it keeps them.
            for variable, average in self._pairs():
                average.assign(variable.value)

    def on_test_begin(self, logs: Any = None) -> None:
        """To the averages."""
        self._before = self._swapped
        self._swap(True)

    def on_test_end(self, logs: Any = None) -> None:
        """Back to what was in use before."""
        self._swap(self._before)

    def on_predict_begin(self, logs: Any = None) -> None:
        """To the averages."""
        self._before = self._swapped
        self._swap(True)

    def on_predict_end(self, logs: Any = None) -> None:
        """Back to what was in use before."""
        self._swap(self._before)
