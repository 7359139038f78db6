"""`PyDataset`: a data set that makes its batches in Python, by index."""

from __future__ import annotations

from typing import Any


class PyDataset:
    """Base class of data sets that make their batches in Python, safely in several workers.

    A subclass defines `__getitem__(index)`, which returns one whole batch (`x`, `(x, y)` or
    `(x, y, sample_weight)`), and `__len__()`, the number of batches of an epoch. A data set
    without end sets `num_batches` to `None` instead, and `fit` is told the `steps_per_epoch`.

    Args:
        workers: threads, or processes, that make batches ahead of need. 1 means the thread that
            trains, unless `use_multiprocessing` is set.
        use_multiprocessing: processes instead of threads: for batches that cost much Python. The
            data set must then be picklable where processes are spawned, and the script that
            trains must guard its main part with `if __name__ == "__main__":`. They start the way
            that `multiprocessing.set_start_method` says, by default as Python does.
        max_queue_size: batches that may wait to be used.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> import numpy as np
        >>> class Squares(PyDataset):
        ...     def __len__(self):
        ...         return 3
        ...     def __getitem__(self, index):
        ...         x = np.arange(4.0) + 4 * index
        ...         return x, x**2
        >>> Squares().num_batches
        3
    """

    # Defaults of the class serve subclasses that do not call `super().__init__`.
    _workers: int = 1
    _use_multiprocessing: bool = False
    _max_queue_size: int = 10

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ):
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    @property
    def workers(self) -> int:
        """Threads or processes that make batches."""
        return self._workers

    @workers.setter
    def workers(self, value: int) -> None:
        self._workers = _at_least(self, "workers", value, 0)

    @property
    def use_multiprocessing(self) -> bool:
        """Whether the workers are processes."""
        return self._use_multiprocessing

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        self._use_multiprocessing = bool(value)

    @property
    def max_queue_size(self) -> int:
        """Batches that may wait to be used."""
        return self._max_queue_size

    @max_queue_size.setter
    def max_queue_size(self, value: int) -> None:
        self._max_queue_size = _at_least(self, "max_queue_size", value, 1)

    def __getitem__(self, index: int) -> Any:
        """The batch at `index`."""
        raise NotImplementedError(
            f"[{type(self).__name__}] must define `__getitem__(index)`, which returns one batch."
        )

    @property
    def num_batches(self) -> int | None:
        """Batches of one epoch; `None` where there is no end."""
        if not hasattr(self, "__len__"):
            raise NotImplementedError(
                f"[{type(self).__name__}] must define `__len__` (the number of batches of an "
                "epoch), or set `num_batches` to None if it has no end."
            )
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch: the place to shuffle."""


def _at_least(dataset: PyDataset, name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"[{type(dataset).__name__}] '{name}' must be an integer of at least {least}. "
            f"Received: {name}={value!r}."
        )
    return value
