"""`BackupAndRestore`: training that goes on where it was interrupted."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from typing import Any

from kbackend.callbacks.callback import Callback


class BackupAndRestore(Callback):
    """Saves the state of training, and takes it up again when `fit` is called after a crash.

    The state is that of the weights, the optimizer's included, and the number of the epoch. An
    epoch that was interrupted is run again from its beginning.

    Args:
        backup_dir: folder of the backup; one per training.
        save_freq: "epoch", a number of batches, or `False`: saves at the end only.
        double_checkpoint: whether the backup before the last one is kept as well.
        delete_checkpoint: whether the backup is deleted when training has ended as planned.

    Raises:
        ValueError: the folder is empty, or `save_freq` is none of these.

    Example:
        >>> callback = BackupAndRestore("/tmp/backup", save_freq=100)
        >>> callback.save_freq
        100
    """

    def __init__(
        self,
        backup_dir: Any,
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError("[BackupAndRestore] 'backup_dir' must not be empty.")
        if save_freq not in ("epoch", False) and not (
            isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq > 0
        ):
            raise ValueError(
                "[BackupAndRestore] 'save_freq' must be 'epoch', a number of batches or False. "
                f"Received: save_freq={save_freq!r}."
            )
        self.backup_dir = pathlib.Path(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._epoch = 0
        self._last_batch = 0
        self._batches = 0

    @property
    def _places(self) -> tuple[pathlib.Path, pathlib.Path]:
        return self.backup_dir / "latest", self.backup_dir / "previous"

    def on_train_begin(self, logs: Any = None) -> None:
        """Takes up the saved state, if there is one."""
        self._last_batch = self._batches = 0
        for place in self._places:
            # The newer backup is incomplete if the crash came while it was written.
            epoch = self._load(place)
            if epoch is not None:
                self._epoch = epoch
                self.model._initial_epoch = epoch
                return

    def _load(self, place: pathlib.Path) -> int | None:
        weights, note = place / "state.weights.h5", place / "training.json"
        if not (weights.exists() and note.exists()):
            return None
        self.model.load_weights(str(weights))
        return int(json.loads(note.read_text(encoding="utf-8"))["epoch"])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch
        self._last_batch = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves, if it is time."""
        if self.save_freq in ("epoch", False):
            return
        # With several steps per execution not every batch is seen.
        self._batches += batch + 1 if batch <= self._last_batch else batch - self._last_batch
        self._last_batch = batch
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves, if it is time."""
        self._epoch = epoch + 1
        if self.save_freq == "epoch":
            self._save()

    def _save(self) -> None:
        latest, previous = self._places
        writing = self.backup_dir / "writing"
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        self.model.save_weights(str(writing / "state.weights.h5"), overwrite=True)
        note = json.dumps({"epoch": self._epoch, "batch": self._last_batch})
        (writing / "training.json").write_text(note, encoding="utf-8")
        # At every moment one complete backup exists.
        if latest.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.replace(latest, previous)
        os.replace(writing, latest)
        if not self.double_checkpoint:
            shutil.rmtree(previous, ignore_errors=True)

    def on_train_end(self, logs: Any = None) -> None:
        """Deletes the backup."""
        if self.save_freq is False:
            self._save()
        if self.delete_checkpoint:
            shutil.rmtree(self.backup_dir, ignore_errors=True)
