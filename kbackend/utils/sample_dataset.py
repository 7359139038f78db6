"""Data sets of samples that are read one by one, and batched on the way out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kbackend.base import tree
from kbackend.utils.py_dataset import PyDataset


def stack(samples: list[Any]) -> Any:
    """Samples of one structure as a batch of that structure."""
    return tree.map_structure(lambda *leaves: _stack_leaves(leaves), *samples)


def _stack_leaves(leaves: tuple[Any, ...]) -> np.ndarray:
    if isinstance(leaves[0], str):
        return np.array(leaves, dtype=object)  # fixed-width strings would take the longest's room
    return np.stack([np.asarray(leaf) for leaf in leaves])


class SampleDataset(PyDataset):
    """A data set of numbered samples.

    It can be given to `fit`, iterated over, and asked for a batch by index. Batches are read in
    workers if `workers` is raised.

    Args:
        read: function from the number of a sample to the sample, a (structure of) array.
        indices: the numbers of the samples, in order.
        batch_size: samples of a batch; `None` yields single samples.
        shuffle: whether each epoch has an order of its own.
        seed: of the orders.
        transform: applied to each batch, or `None`.
        **options: of `PyDataset`.

    Attributes:
        class_names: names of the classes, where the data set came from a directory.
        file_paths: paths of the samples' files, likewise.

    Example:
        >>> dataset = SampleDataset(lambda i: (np.full(2, i), i), range(5), batch_size=2)
        >>> [y.tolist() for x, y in dataset]
        [[0, 1], [2, 3], [4]]
        >>> [y for x, y in dataset.unbatch().take(2)]
        [0, 1]
    """

    class_names: list[str] | None = None
    file_paths: list[str] | None = None

    def __init__(
        self,
        read: Callable[[int], Any],
        indices: Any,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        transform: Callable[..., Any] | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise ValueError(
                "[SampleDataset] 'batch_size' must be a positive integer or None. "
                f"Received: batch_size={batch_size!r}."
            )
        self._read = read
        self._indices = np.asarray(indices, dtype="int64")
        self.batch_size = batch_size
        self._shuffle = shuffle
        self._seed = int(np.random.randint(0, 2**31 - 1)) if seed is None else int(seed)
        self._transform = transform
        self._epoch = 0
        self._order = self._indices
        self._reorder()

    def _reorder(self) -> None:
        if self._shuffle:
            key = np.array([self._seed % 2**64, self._epoch], dtype="uint64")
            order = np.random.Generator(np.random.Philox(key=key)).permutation(len(self._indices))
            self._order = self._indices[order]

    def on_epoch_end(self) -> None:
        """Brings the order of the next epoch."""
        self._epoch += 1
        self._reorder()

    def __len__(self) -> int:
        return math.ceil(len(self._indices) / (self.batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"[SampleDataset] index {index} is out of range: {count} batches.")
        index %= count
        if self.batch_size is None:
            batch = self._read(int(self._order[index]))
        else:
            chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
            batch = stack([self._read(int(i)) for i in chosen])
        if self._transform is None:
            return batch
        return self._transform(*batch) if isinstance(batch, tuple) else self._transform(batch)

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):
            yield self[index]
        self.on_epoch_end()

    def _like(self, **changes: Any) -> SampleDataset:
        options: dict[str, Any] = {
            "read": self._read,
            "indices": self._indices,
            "batch_size": self.batch_size,
            "shuffle": self._shuffle,
            "seed": self._seed,
            "transform": self._transform,
            "workers": self.workers,
            "use_multiprocessing": self.use_multiprocessing,
            "max_queue_size": self.max_queue_size,
        }
        other = SampleDataset(**{**options, **changes})
        other.class_names, other.file_paths = self.class_names, self.file_paths
        return other

    def batch(self, batch_size: int) -> SampleDataset:
        """The same samples in batches of another size."""
        return self._like(batch_size=batch_size)

    def unbatch(self) -> SampleDataset:
        """The same samples one by one."""
        return self._like(batch_size=None)

    def map(self, transform: Callable[..., Any]) -> SampleDataset:
        """The data set with `transform(x, y)` applied to each batch."""
        before = self._transform
        if before is None:
            return self._like(transform=transform)

        def both(*batch: Any) -> Any:
            result = before(*batch)
            return transform(*result) if isinstance(result, tuple) else transform(result)

        return self._like(transform=both)

    def take(self, count: int) -> SampleDataset:
        """The first `count` batches (of the unshuffled order)."""
        return self._like(indices=self._indices[: count * (self.batch_size or 1)])

    def skip(self, count: int) -> SampleDataset:
        """All but the first `count` batches (of the unshuffled order)."""
        return self._like(indices=self._indices[count * (self.batch_size or 1) :])
