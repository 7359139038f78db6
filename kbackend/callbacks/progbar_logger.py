"""`ProgbarLogger`: the progress bar of `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from typing import Any

from kbackend.callbacks.callback import Callback
from kbackend.utils import console
from kbackend.utils.progress import Progbar

# Ten redraws a second are as many as one can read.
_INTERVAL = 0.1


class ProgbarLogger(Callback):
    """Shows the progress and the metrics of an epoch. Added by `verbose=1` and `verbose=2`.

    Example:
        >>> ProgbarLogger().epochs
        1
    """

    _takes_tensors = True

    def __init__(self) -> None:
        super().__init__()
        self.target: int | None = None
        self.verbose = 1
        self.epochs = 1
        self._bar: Progbar | None = None
        self._seen = 0
        # An evaluation within fit draws nothing.
        self._in_fit = False

    def set_params(self, params: dict[str, Any]) -> None:
        """Notes how much is to be shown, and of how many epochs and steps."""
        self.params = params
        self.verbose = params.get("verbose", 1)
        self.epochs = params.get("epochs", 1)
        self.target = params.get("steps")

    def _start(self) -> None:
        self._seen = 0
        self._bar = Progbar(
            self.target, verbose=self.verbose, interval=_INTERVAL, stateless_metrics=()
        )

    def _show(self, batch: int, logs: Any) -> None:
        if self._bar is None:
            self._start()
        self._seen = batch + 1
        if self._bar is not None and self.verbose == 1:
            self._bar.update(self._seen, list(logs.items()) if logs else None, finalize=False)

    def _finish(self, logs: Any) -> None:
        bar = self._bar
        if bar is None:
            return
        if bar.target is None:
            # Known now that the data has ended; the next epoch shows how far it is.
            bar.target = self.target = self._seen or None
        bar.update(self._seen, list((logs or {}).items()), finalize=True)
        self._bar = None

    def on_train_begin(self, logs: Any = None) -> None:
        """From here on evaluations are part of training."""
        self._in_fit = True

    def on_train_end(self, logs: Any = None) -> None:
        """Training is over."""
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begins a bar."""
        self._start()
        if self.verbose and self.epochs > 1:
            console.write(f"Epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar on."""
        self._show(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Completes the bar with the values of the epoch."""
        self._finish(logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar on."""
        if not self._in_fit:
            self._show(batch, logs)

    def on_test_end(self, logs: Any = None) -> None:
        """Completes the bar."""
        if not self._in_fit:
            self._finish(logs)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar on."""
        self._show(batch, None)

    def on_predict_end(self, logs: Any = None) -> None:
        """Completes the bar."""
        self._finish(None)
