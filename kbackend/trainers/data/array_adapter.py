"""Arrays in memory, or in a file, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kbackend.base import tree
from kbackend.trainers.data.adapter import DataAdapter
from kbackend.trainers.data.packing import as_tuple
from kbackend.trainers.data.rows import DenseRows, as_rows, map_leaves
from kbackend.trainers.data.weights import check_class_weight, class_weight_to_sample_weight

_DEFAULT_BATCH_SIZE = 32


def count_rows(**named: Any) -> int:
    """The number of rows that all leaves of the given data share.

    Raises:
        ValueError: there is no array, there are no rows, or the counts differ.
    """
    counts: dict[str, int] = {}

    def note(leaf: Any, path: str) -> None:
        if leaf is not None:
            counts[path] = len(leaf)

    for name, data in named.items():
        map_leaves(note, data, name)
    listed = ", ".join(f"{path}: {count}" for path, count in counts.items())
    if not counts:
        raise ValueError("[data] there is no array in the data. Give at least `x`.")
    if len(set(counts.values())) > 1:
        raise ValueError(
            "[data] all arrays must have the same number of samples (their first axis). "
            f"Received: {listed}."
        )
    rows = next(iter(counts.values()))
    if rows == 0:
        raise ValueError(f"[data] the arrays are empty. Received samples: {listed}.")
    return rows


def permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `n` rows in an epoch: a pure function of its arguments."""
    key = np.array([seed % 2**64, epoch % 2**64], dtype="uint64")
    return np.random.Generator(np.random.Philox(key=key)).permutation(n)


def resolve_seed(seed: int | None) -> int:
    """`seed`, or one drawn from NumPy's global generator, which `numpy.random.seed` fixes."""
    return int(np.random.randint(0, 2**31 - 1)) if seed is None else int(seed)


def _spread(sample_weight: Any, y: Any) -> Any:
    """One array of weights serves every output of a model with several."""
    if sample_weight is None or tree.is_nested(sample_weight) or not tree.is_nested(y):
        return sample_weight
    return tree.map_structure(lambda _: sample_weight, y)


class ArrayAdapter(DataAdapter):
    """Batches of consecutive, or shuffled, rows of arrays.

    Args:
        x: inputs: an array or a nested structure of arrays.
        y: targets, of the same kind, or `None`.
        sample_weight: weights, of the same kind, or `None`.
        batch_size: rows of a batch; by default 32, or what makes `steps` batches.
        steps: batches wanted of one pass; used only where `batch_size` is not given.
        shuffle: `True` shuffles the rows of each epoch, `"batch"` the order of the batches.
        class_weight: weight by class index, in place of `sample_weight`.
        seed: fixes the order of every epoch; `None` draws from NumPy's global generator.

    Raises:
        ValueError: row counts differ, or an argument is out of range.

    Example:
        >>> adapter = ArrayAdapter(np.arange(5), batch_size=2)
        >>> [batch[0].tolist() for batch in adapter.batches()]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        steps: int | None = None,
        shuffle: bool | str = False,
        class_weight: Any = None,
        seed: int | None = None,
    ):
        if isinstance(shuffle, str) and shuffle != "batch":
            raise ValueError(
                f"[fit] 'shuffle' must be True, False or 'batch'. Received: shuffle={shuffle!r}."
            )
        x, y, sample_weight = (
            map_leaves(as_rows, data, name)
            for name, data in (("x", x), ("y", y), ("sample_weight", sample_weight))
        )
        rows = count_rows(x=x, y=y, sample_weight=sample_weight)
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "[fit] 'class_weight' and 'sample_weight' cannot be given together. Multiply "
                    "the class weights into the sample weights."
                )
            mapping = check_class_weight(class_weight)
            labels = y.slice(0, rows) if hasattr(y, "slice") else y
            sample_weight = DenseRows(class_weight_to_sample_weight(labels, mapping))
        if batch_size is None:
            batch_size = -(-rows // steps) if steps else _DEFAULT_BATCH_SIZE
        if isinstance(batch_size, bool) or int(batch_size) != batch_size or batch_size < 1:
            raise ValueError(
                f"[fit] 'batch_size' must be a positive integer. Received: batch_size={batch_size}."
            )
        self.num_rows = rows
        self._size = self.batch_size = int(batch_size)
        self.num_batches = -(-rows // self._size)
        self.partial_batch_size = rows % self._size or None
        self.has_partial_batch = self.partial_batch_size is not None
        self._shuffle = shuffle
        self._seed = resolve_seed(seed) if shuffle else 0
        self._data = as_tuple(x, y, _spread(sample_weight, y))
        self._flat = not any(tree.is_nested(entry) or entry is None for entry in self._data)

    def batches(self, epoch: int = 0) -> Iterator[tuple[Any, ...]]:
        """A pass over the data, in the order that `epoch` has."""
        starts: Any = range(0, self.num_rows, self._size)
        if self._shuffle == "batch":
            order = permutation(len(starts), self._seed, epoch)
            starts = [starts[i] for i in order]
        elif self._shuffle:
            return self._shuffled(permutation(self.num_rows, self._seed, epoch))
        return self._sliced(starts)

    def _sliced(self, starts: Any) -> Iterator[tuple[Any, ...]]:
        size, data = self._size, self._data
        for start in starts:
            if self._flat:
                yield tuple([rows.slice(start, start + size) for rows in data])
            else:
                yield self._nested(lambda rows, a=start: rows.slice(a, a + size))

    def _shuffled(self, order: np.ndarray) -> Iterator[tuple[Any, ...]]:
        size, data = self._size, self._data
        for start in range(0, self.num_rows, size):
            picked = order[start : start + size]
            if self._flat:
                yield tuple([rows.take(picked) for rows in data])
            else:
                yield self._nested(lambda rows, p=picked: rows.take(p))

    def _nested(self, read: Any) -> tuple[Any, ...]:
        return tree.map_structure(lambda rows: None if rows is None else read(rows), self._data)
