"""`PyDataset`: batches by index, made ahead by workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from kbackend.trainers.data.array_adapter import permutation, resolve_seed
from kbackend.trainers.data.stream_adapter import StreamAdapter
from kbackend.trainers.data.workers import ordered_map
from kbackend.utils.py_dataset import PyDataset


class PyDatasetAdapter(StreamAdapter):
    """Batches of a `PyDataset`.

    The workers start with each pass, so they see what `on_epoch_end` did to the data set.

    Args:
        dataset: the data set.
        shuffle: whether to shuffle the order of the batches in each epoch.
        class_weight: weight by class index.
        seed: fixes the order of every epoch; `None` draws from NumPy's global generator.
    """

    def __init__(
        self,
        dataset: PyDataset,
        shuffle: bool | str = False,
        class_weight: Any = None,
        seed: int | None = None,
    ):
        super().__init__(class_weight)
        self._dataset = dataset
        self._shuffle = bool(shuffle)
        self._seed = resolve_seed(seed) if shuffle else 0

    @property
    def num_batches(self) -> int | None:  # type: ignore[override]
        """Batches of one pass, asked anew: a data set may change its length between epochs."""
        return self._dataset.num_batches

    @property
    def endless(self) -> bool:  # type: ignore[override]
        """Whether the data set has no end."""
        return self._dataset.num_batches is None

    def _indices(self, epoch: int) -> Any:
        count = self.num_batches
        if count is None:
            return itertools.count()
        if self._shuffle:
            return permutation(count, self._seed, epoch).tolist()
        return range(count)

    def batches(self, epoch: int = 0) -> Iterator[tuple[Any, ...]]:
        """A pass over the data set."""
        dataset = self._dataset
        made = ordered_map(
            dataset.__getitem__,
            self._indices(epoch),
            workers=dataset.workers,
            processes=dataset.use_multiprocessing,
            ahead=dataset.max_queue_size,
        )
        try:
            for index, data in enumerate(made):
                if data is None:
                    raise ValueError(
                        f"[{type(dataset).__name__}] `__getitem__` returned None for a batch "
                        f"(number {index} of this epoch). It must return `(x, y)` or the like."
                    )
                yield self.to_batch(data)
        finally:
            made.close()  # type: ignore[attr-defined]

    def on_epoch_begin(self) -> None:
        """Tells the data set."""
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Tells the data set."""
        self._dataset.on_epoch_end()
