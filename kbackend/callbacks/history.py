"""`History`: the logs of all epochs."""

from __future__ import annotations

from typing import Any

from kbackend.callbacks.callback import Callback


class History(Callback):
    """Keeps the metrics of every epoch. `fit` adds one and returns it.

    Attributes:
        history: name -> list of values, one per epoch.
        epoch: list of the epochs' numbers.

    Example:
        >>> History().history
        {}
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins a new record of epochs."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Records the epoch's logs."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self
