"""Batches that somebody else makes: generators, iterators, and any iterable of batches."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

from kbackend.base import tree
from kbackend.trainers.data.adapter import DataAdapter
from kbackend.trainers.data.packing import as_tuple, unpack_x_y_sample_weight
from kbackend.trainers.data.rows import map_leaves, to_host
from kbackend.trainers.data.weights import check_class_weight, class_weight_to_sample_weight


def _leaf_to_host(leaf: Any, path: str) -> Any:
    return None if leaf is None else to_host(leaf, path)


def rows_in(batch: tuple[Any, ...]) -> int | None:
    """Rows of a host batch, by its first array that has an axis."""
    for leaf in tree.iter_leaves(batch):
        if leaf is not None and leaf.ndim:
            return int(leaf.shape[0])
    return None


class StreamAdapter(DataAdapter):
    """Base of the adapters whose batches come ready made: it turns each into a host batch."""

    def __init__(self, class_weight: Any = None):
        self._class_weight = None if class_weight is None else check_class_weight(class_weight)

    def to_batch(self, data: Any) -> tuple[Any, ...]:
        """What the source yielded, as a host batch."""
        named = zip(("x", "y", "sample_weight"), unpack_x_y_sample_weight(data), strict=True)
        x, y, weight = (map_leaves(_leaf_to_host, entry, name) for name, entry in named)
        if self._class_weight is not None:
            if weight is not None:
                raise ValueError(
                    "[fit] 'class_weight' cannot be given with data that brings sample weights."
                )
            weight = class_weight_to_sample_weight(y, self._class_weight)
        elif weight is not None and tree.is_nested(y) and not tree.is_nested(weight):
            weight = tree.map_structure(lambda _, w=weight: w, y)
        return as_tuple(x, y, weight)


class IteratorAdapter(StreamAdapter):
    """A generator or another iterator: one pass in all, which the epochs share.

    Args:
        iterator: yields batches. The first one is drawn at once, to be checked.
        class_weight: weight by class index.

    Raises:
        ValueError: the iterator is empty, or yields what is no batch.

    Example:
        >>> import numpy as np
        >>> adapter = IteratorAdapter(iter([(np.zeros((2, 3)), np.ones(2))]))
        >>> adapter.batch_size
        2
    """

    def __init__(self, iterator: Iterator[Any], class_weight: Any = None):
        super().__init__(class_weight)
        try:
            first = next(iterator)
        except StopIteration:
            raise ValueError(
                "[fit] the generator given as data yielded no batch. If it was used before, it is "
                "exhausted: make a new one."
            ) from None
        self.batch_size = rows_in(self.to_batch(first))
        self._source = itertools.chain((first,), iterator)

    def batches(self, epoch: int = 0) -> Iterator[tuple[Any, ...]]:
        """What is left of the iterator."""
        return map(self.to_batch, self._source)


def _length(source: Any) -> tuple[int | None, bool]:
    """Batches of one pass (or `None`), and whether it is known never to end."""
    if callable(getattr(source, "cardinality", None)):  # as tf.data tells it
        count = int(source.cardinality())
        return (count if count >= 0 else None), count == -1
    try:
        return len(source), False
    except TypeError:  # no length, or a loader over a data set without one
        return None, False


class IterableAdapter(StreamAdapter):
    """Anything that can be iterated again and again over batches.

    Loaders of PyTorch, data sets of tf.data and Grain, and plain lists of batches qualify.

    Args:
        source: the iterable.
        class_weight: weight by class index.

    Example:
        >>> import numpy as np
        >>> class Batches:
        ...     def __iter__(self):
        ...         yield np.zeros((4, 2)), np.ones(4)
        >>> [len(batch) for batch in IterableAdapter(Batches()).batches()]
        [2]
    """

    def __init__(self, source: Any, class_weight: Any = None):
        super().__init__(class_weight)
        self._source = source
        self.num_batches, self.endless = _length(source)
        size = getattr(source, "batch_size", None)
        self.batch_size = size if isinstance(size, int) else None
        self._find_partial_batch()

    def _find_partial_batch(self) -> None:
        if not self.batch_size or getattr(self._source, "drop_last", False):
            return
        try:
            rest = len(self._source.dataset) % self.batch_size
        except (AttributeError, TypeError):
            return
        self.partial_batch_size = rest or None
        self.has_partial_batch = rest > 0

    def batches(self, epoch: int = 0) -> Iterator[tuple[Any, ...]]:
        """A new pass over the source."""
        return map(self.to_batch, iter(self._source))


def check_not_function(source: Any) -> None:
    """A generator function given in place of its generator is a slip worth a word of its own."""
    if inspect.isgeneratorfunction(source) or inspect.ismethod(source):
        raise ValueError(
            f"[fit] the data is a function, '{source.__name__}', not what it yields. Call it: "
            f"`fit({source.__name__}(), ...)`."
        )
