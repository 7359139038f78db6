"""`ModelCheckpoint`: saves the model, or its weights, while it trains."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from kbackend.callbacks.monitor_callback import MonitorCallback
from kbackend.utils import console


class ModelCheckpoint(MonitorCallback):
    """Saves the model, or its weights, after epochs or every few batches.

    Args:
        filepath: path of the file, ending in ".keras" (".weights.h5" for weights). It may have
            places for the epoch, the batch and the logs: "best-{epoch:02d}-{val_loss:.2f}.keras".
        monitor: name of the metric in the logs.
        verbose: 1 tells what is saved, and why.
        save_best_only: whether to save only when the metric has improved.
        save_weights_only: whether to save weights only.
        mode: "min", "max", or "auto": by what the metric is.
        save_freq: "epoch", or the number of batches between two savings.
        initial_value_threshold: value that the metric must beat for the first saving.

    Raises:
        ValueError: the path has the wrong ending, or `save_freq` is none of these.

    Example:
        >>> callback = ModelCheckpoint("best.keras", monitor="loss", save_best_only=True)
        >>> callback.save_freq
        'epoch'
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, baseline=initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int)):
            raise ValueError(
                "[ModelCheckpoint] 'save_freq' must be 'epoch' or a number of batches. Received: "
                f"save_freq={save_freq!r}."
            )
        endings = (".weights.h5",) if save_weights_only else (".keras", ".h5")
        if not self.filepath.endswith(endings):
            what = "'filepath' of weights" if save_weights_only else "'filepath'"
            raise ValueError(
                f"[ModelCheckpoint] {what} must end in {endings[0]!r}. Received: "
                f"filepath={self.filepath}."
            )
        self._epoch = 0
        self._last_batch = 0
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch
        self._last_batch = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves, if it is time."""
        if self.save_freq == "epoch":
            return
        # With several steps per execution not every batch is seen.
        self._batches += batch + 1 if batch <= self._last_batch else batch - self._last_batch
        self._last_batch = batch
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves, if it is time."""
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        path = self._path(epoch, batch, logs)
        reason = self._reason(logs)
        if reason is None:
            if self.verbose:
                console.write(
                    f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}"
                )
            return
        if self.verbose:
            console.write(f"\nEpoch {epoch + 1}: {reason}saving model to {path}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if os.path.isdir(path):
            raise IsADirectoryError(
                f"[ModelCheckpoint] 'filepath' is a folder: {path}. Give the path of a file."
            )
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _reason(self, logs: dict[str, Any]) -> str | None:
        """Why to save, as the beginning of a message; `None`: not to."""
        if not self.save_best_only:
            return ""
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"[ModelCheckpoint] '{self.monitor}' is not among the metrics "
                f"({', '.join(logs) or 'there are none'}): the model is saved without comparing.",
                stacklevel=2,
            )
            return ""
        if np.ndim(current) > 0:
            warnings.warn(
                f"[ModelCheckpoint] '{self.monitor}' is not a single number: the model is saved "
                "without comparing.",
                stacklevel=2,
            )
            return ""
        if not self._is_improvement(current, self.best):
            return None
        before = "None" if self.best is None else f"{self.best:.5f}"
        self.best = current
        return f"{self.monitor} improved from {before} to {current:.5f}, "

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        places = {**logs, "epoch": epoch + 1}
        if batch is not None:
            places["batch"] = batch + 1
        try:
            return self.filepath.format(**places)
        except KeyError as error:
            raise KeyError(
                f"[ModelCheckpoint] 'filepath' has a place for {error}, which is not known. "
                f"Received: filepath={self.filepath}; known are: {', '.join(places)}."
            ) from error
