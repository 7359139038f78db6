"""`ReduceLROnPlateau`: a smaller learning rate when a metric no longer improves."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.callbacks.monitor_callback import MonitorCallback
from kbackend.utils import console


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by `factor` when a metric has stopped improving.

    The logs of the epochs get the learning rate as "learning_rate".

    Args:
        monitor: name of the metric in the logs.
        factor: factor on the learning rate, below 1.
        patience: number of epochs without improvement after which the rate is reduced.
        verbose: 1 tells of each reduction.
        mode: "min", "max", or "auto": by what the metric is.
        min_delta: least change that counts as an improvement.
        cooldown: number of epochs after a reduction that don't count.
        min_lr: least learning rate.

    Raises:
        ValueError: `factor` is not below 1.

    Example:
        >>> import kbackend as keras
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), "mse")
        >>> reduce = ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=1e3)
        >>> history = model.fit(
        ...     np.ones((2, 1)), np.ones((2, 1)), epochs=3, verbose=0, callbacks=[reduce])
        >>> history.history["learning_rate"]
        [0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(
                f"[ReduceLROnPlateau] 'factor' must be below 1. Received: factor={factor}."
            )
        if kwargs:
            raise ValueError(f"[ReduceLROnPlateau] unknown arguments: {', '.join(kwargs)}.")
        super().__init__(monitor, mode, min_delta=min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Forgets earlier training."""
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether the last reduction was so recent that the epochs don't count."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compares the metric with its best value."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
        current = self._value_in(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        old = float(np.asarray(optimizer.learning_rate))
        if old <= np.float32(self.min_lr):
            return
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose:
            console.write(
                f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}."
            )
        self.cooldown_counter = self.cooldown
        self.wait = 0
