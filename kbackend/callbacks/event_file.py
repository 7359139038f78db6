"""Writing of event files, which TensorBoard reads."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np

_BUCKETS = 30


class EventFile:
    """Values of one run, written to a folder.

    Args:
        folder: folder of the run.

    Raises:
        ImportError: the package tensorboard is missing.
    """

    def __init__(self, folder: str) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.plugins.histogram import metadata as histogram
            from tensorboard.plugins.image import metadata as image
            from tensorboard.plugins.scalar import metadata as scalar
            from tensorboard.plugins.text import metadata as text
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
            from tensorboard.util import tensor_util
        except ImportError as error:
            raise ImportError(
                "[TensorBoard] needs the package tensorboard. Install it: pip install "
                "'kbackend[tensorboard]'."
            ) from error
        self._events, self._summaries = event_pb2, summary_pb2
        self._kinds = {"histogram": histogram, "image": image, "scalar": scalar, "text": text}
        self._proto = tensor_util.make_tensor_proto
        self._writer = EventFileWriter(folder)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Writes a number."""
        self._add("scalar", name, np.float32(value), step)

    def histogram(self, name: str, values: Any, step: int) -> None:
        """Writes the distribution of an array's elements."""
        self._add("histogram", name, _buckets(np.asarray(values, "float64").ravel()), step)

    def image(self, name: str, images: np.ndarray[Any, Any], step: int) -> None:
        """Writes images, `(number, height, width, channels)`, with values from 0 to 1."""
        _, height, width, _ = images.shape
        encoded = [_png(image) for image in images]
        self._add("image", name, np.array([str(width), str(height), *encoded], object), step)

    def text(self, name: str, value: str, step: int) -> None:
        """Writes a text in Markdown."""
        self._add("text", name, np.array([value.encode()], object), step)

    def _add(self, kind: str, name: str, value: Any, step: int) -> None:
        module = self._kinds[kind]
        extra = {"converted_to_tensor": True} if kind == "image" else {}
        metadata = module.create_summary_metadata(display_name=None, description="", **extra)
        summary = self._summaries.Summary()
        summary.value.add(tag=name, tensor=self._proto(value), metadata=metadata)
        self._writer.add_event(
            self._events.Event(summary=summary, step=int(step), wall_time=time.time())
        )

    def flush(self) -> None:
        """Writes what is still in memory."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()


def _buckets(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rows of left edge, right edge and count."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.zeros((_BUCKETS, 3))
    counts, edges = np.histogram(values, bins=_BUCKETS)
    return np.stack([edges[:-1], edges[1:], counts.astype("float64")], axis=1)


def _png(image: np.ndarray[Any, Any]) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "[TensorBoard] write_images needs the package Pillow. Install it: pip install Pillow."
        ) from error
    pixels = (np.clip(image, 0.0, 1.0) * 255).astype("uint8")
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()
