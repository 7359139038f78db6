"""`TensorBoard`: the course of training as event files for TensorBoard."""

from __future__ import annotations

import os
import time
import warnings
from typing import Any

import numpy as np

from kbackend.callbacks.callback import Callback
from kbackend.callbacks.event_file import EventFile

# TensorBoard shows no more channels than these.
_IMAGE_CHANNELS = (1, 3, 4)


class TensorBoard(Callback):
    """Writes event files, which `tensorboard --logdir` shows: metrics, weights, learning rate.

    Args:
        log_dir: folder; "train" and "validation" in it hold the files.
        histogram_freq: number of epochs between two histograms of the weights, 0 for none.
        write_graph: whether to write the model's configuration, as text.
        write_images: whether to write the weights as images, whenever histograms are written.
        write_steps_per_second: whether to write the speed of training.
        update_freq: "epoch", "batch", or the number of batches between two values of the metrics.
        profile_batch: accepted for compatibility: nothing is profiled.
        embeddings_freq: accepted for compatibility: no embeddings are written.
        embeddings_metadata: accepted for compatibility.

    Raises:
        ImportError: in training, if the package tensorboard is missing.

    Example:
        >>> TensorBoard("logs", update_freq=10).update_freq
        10
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        if update_freq not in ("epoch", "batch") and not (
            isinstance(update_freq, int) and update_freq > 0
        ):
            raise ValueError(
                "[TensorBoard] 'update_freq' must be 'epoch', 'batch' or a number of batches. "
                f"Received: update_freq={update_freq!r}."
            )
        if profile_batch:
            warnings.warn(
                "[TensorBoard] 'profile_batch' is ignored: there is nothing that profiles.",
                stacklevel=2,
            )
        if embeddings_freq:
            warnings.warn(
                "[TensorBoard] 'embeddings_freq' is ignored: embeddings are not written.",
                stacklevel=2,
            )
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._files: dict[str, EventFile] = {}
        self._train_step = 0
        self._test_step = 0
        self._in_fit = False
        self._epoch_begun: tuple[float, int] = (0.0, 0)
        self._batch_begun = 0.0

    def _file(self, run: str) -> EventFile:
        if run not in self._files:
            self._files[run] = EventFile(os.path.join(self.log_dir, run))
        return self._files[run]

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins with the model's configuration."""
        self._in_fit = True
        self._train_step = self._test_step = 0
        to_json = getattr(self.model, "to_json", None)
        if self.write_graph and to_json is not None and self.model.built:
            try:
                text = to_json()
            except NotImplementedError:  # a subclass that does not say how it is configured
                return
            self._file("train").text("keras", f"```json\n{text}\n```", 0)

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the files."""
        self._in_fit = False
        self._close()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Notes the time."""
        self._batch_begun = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Writes the metrics, if it is time."""
        self._train_step += 1
        if self.update_freq == "epoch" or self._train_step % self.update_freq:
            return
        file = self._file("train")
        for name, value in (logs or {}).items():
            file.scalar(f"batch_{name}", value, self._train_step)
        if self.write_steps_per_second:
            seconds = time.perf_counter() - self._batch_begun
            file.scalar("batch_steps_per_second", 1.0 / max(seconds, 1e-9), self._train_step)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes the time."""
        self._epoch_begun = (time.perf_counter(), self._train_step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the metrics, and the weights if it is time."""
        values = dict(logs or {})
        values.setdefault("learning_rate", float(np.asarray(self.model.optimizer.learning_rate)))
        if self.write_steps_per_second:
            begun, step = self._epoch_begun
            seconds = max(time.perf_counter() - begun, 1e-9)
            values["steps_per_second"] = (self._train_step - step) / seconds
        for name, value in values.items():
            if np.ndim(value) == 0:
                run = "validation" if name.startswith("val_") else "train"
                self._file(run).scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        for file in self._files.values():
            file.flush()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts."""
        self._test_step += 1

    def on_test_end(self, logs: Any = None) -> None:
        """Writes the metrics of an evaluation."""
        if self.model.optimizer is not None:
            step = int(np.asarray(self.model.optimizer.iterations))
            for name, value in (logs or {}).items():
                if np.ndim(value) == 0:
                    self._file("validation").scalar(f"evaluation_{name}_vs_iterations", value, step)
        if not self._in_fit:
            self._close()

    def _write_weights(self, epoch: int) -> None:
        file = self._file("train")
        for weight in self.model.weights:
            values = weight.numpy().astype("float32")
            file.histogram(f"{weight.path}/histogram", values, epoch)
            if self.write_images:
                image = _as_image(values)
                if image is not None:
                    file.image(f"{weight.path}/image", image, epoch)


def _as_image(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """A weight as images `(number, height, width, channels)` from 0 to 1, if it can be shown."""
    values = np.squeeze(values)
    if values.ndim == 1:
        shaped = values.reshape(1, -1, 1, 1)
    elif values.ndim == 2:
        # Wide rather than high.
        values = values.T if values.shape[0] > values.shape[1] else values
        shaped = values[None, ..., None]
    elif values.ndim == 3:
        shaped = np.moveaxis(values, -1, 0)[..., None]
    elif values.ndim == 4 and values.shape[-2] in _IMAGE_CHANNELS:
        shaped = np.moveaxis(values, -1, 0)
    else:
        return None
    low, high = float(shaped.min()), float(shaped.max())
    return (shaped - low) / (high - low) if high > low else np.zeros_like(shaped)
