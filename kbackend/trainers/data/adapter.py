"""The interface between a user's data and the training loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class DataAdapter:
    """Yields host batches, pass after pass.

    A batch is a tuple of one to three entries, `(x,)`, `(x, y)` or `(x, y, sample_weight)`, each a
    NumPy array or a nested structure of them. Batches may be views of the user's arrays: they must
    be read, never written.

    Attributes:
        num_batches: batches in one pass, or `None` if that is unknown.
        batch_size: rows of a full batch, or `None` if that is unknown.
        has_partial_batch: whether the last batch is known to be smaller.
        partial_batch_size: rows of that last batch, or `None`.
        endless: whether a pass never ends, so that the steps of an epoch must be given.
    """

    num_batches: int | None = None
    batch_size: int | None = None
    has_partial_batch: bool = False
    partial_batch_size: int | None = None
    endless: bool = False

    def batches(self, epoch: int = 0) -> Iterator[tuple[Any, ...]]:
        """A new pass over the data. `epoch` tells shuffled passes apart, and repeats them."""
        raise NotImplementedError(f"[{type(self).__name__}] must define `batches`.")

    def on_epoch_begin(self) -> None:
        """Called before the first batch of an epoch."""

    def on_epoch_end(self) -> None:
        """Called after the last batch of an epoch."""
