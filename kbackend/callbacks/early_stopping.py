"""`EarlyStopping`: ends training when a metric no longer improves."""

from __future__ import annotations

from typing import Any

from kbackend.callbacks.monitor_callback import MonitorCallback
from kbackend.utils import console


class EarlyStopping(MonitorCallback):
    """Ends training when a metric has not improved for `patience` epochs.

    Args:
        monitor: name of the metric in the logs.
        min_delta: least change that counts as an improvement.
        patience: number of epochs without improvement after which training ends.
        verbose: 1 tells when training ends.
        mode: "min", "max", or "auto": by what the metric is.
        baseline: value that the metric must beat for patience to be renewed.
        restore_best_weights: whether the model gets the weights of its best epoch in the end.
        start_from_epoch: number of epochs that don't count, at the beginning.

    Example:
        >>> import kbackend as keras
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> stop = EarlyStopping(monitor="loss", min_delta=1e3, patience=2)
        >>> len(model.fit(np.ones((2, 1)), np.ones((2, 1)), epochs=9, verbose=0,
        ...               callbacks=[stop]).epoch)
        3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best_weights: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Forgets earlier training."""
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights = None

    def get_monitor_value(self, logs: Any) -> Any:
        """The metric's value in the logs; `None`, with a warning, if it is not there."""
        return self._value_in(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compares the metric with its best value."""
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            # Even if no epoch improves on anything there is something to restore.
            self._remember(epoch)
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self._is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int) -> None:
        self.best_weights = self.model.get_weights()
        self.best_epoch = epoch

    def on_train_end(self, logs: Any = None) -> None:
        """Restores the best weights."""
        if self.stopped_epoch > 0 and self.verbose:
            console.write(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                console.write(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)
