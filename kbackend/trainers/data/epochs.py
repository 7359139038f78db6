"""Epochs of batches: how passes over the data and epochs of training fit together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from kbackend.trainers.data.adapter import DataAdapter


class Epochs:
    """Yields the batches of one epoch after another.

    Without `steps_per_epoch` an epoch is one pass over the data. With it an epoch is that many
    batches, and the next epoch goes on where the last one stopped.

    Args:
        adapter: the data.
        steps_per_epoch: batches of one epoch, or `None`.
        initial_epoch: number of the first epoch; shuffled data has the order it would have had in
            that epoch of one long run.

    Raises:
        ValueError: the data never ends and `steps_per_epoch` is not given, or it is not positive.

    Example:
        >>> import numpy as np
        >>> from kbackend.trainers.data import ArrayAdapter
        >>> epochs = Epochs(ArrayAdapter(np.arange(4), batch_size=2))
        >>> [(step, batch[0].tolist()) for step, batch in epochs.epoch()]
        [(0, [0, 1]), (1, [2, 3])]
    """

    def __init__(
        self,
        adapter: DataAdapter,
        steps_per_epoch: int | None = None,
        initial_epoch: int = 0,
    ):
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise ValueError(
                "[fit] 'steps_per_epoch' must be a positive integer. "
                f"Received: steps_per_epoch={steps_per_epoch}."
            )
        if adapter.endless and steps_per_epoch is None:
            raise ValueError(
                "[fit] the data never ends, so the length of an epoch must be given: "
                "`steps_per_epoch=` in `fit`, `steps=` in `evaluate` and `predict`."
            )
        self.adapter = adapter
        self.steps_per_epoch = steps_per_epoch
        self._pass = initial_epoch
        self._iterator: Iterator[tuple[Any, ...]] | None = None
        self._left: int | None = None  # batches left in the running pass, where known

    @property
    def num_batches(self) -> int | None:
        """Batches of one epoch, or `None` if that is unknown."""
        return self.steps_per_epoch or self.adapter.num_batches

    def epoch(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yields `(step, batch)` for one epoch; each call is the next epoch."""
        self.adapter.on_epoch_begin()
        if self._iterator is None or self.steps_per_epoch is None:
            self._start_pass()
        step = 0
        try:
            while self.steps_per_epoch is None or step < self.steps_per_epoch:
                batch = next(self._iterator, None)  # type: ignore[arg-type]
                if batch is None:
                    self._ran_out(step)
                    break
                if self._left is not None:
                    self._left -= 1
                yield step, batch
                step += 1
            if self._left == 0:
                self._stop_pass()
        except BaseException:
            self._stop_pass()  # a training loop that breaks off must not leave workers behind
            raise
        self.adapter.on_epoch_end()

    def close(self) -> None:
        """Ends the running pass and its workers. The next epoch begins a new pass."""
        self._stop_pass()

    def _start_pass(self) -> None:
        self._stop_pass()
        self._iterator = self.adapter.batches(self._pass)
        self._left = self.adapter.num_batches
        self._pass += 1

    def _stop_pass(self) -> None:
        close = getattr(self._iterator, "close", None)
        self._iterator = None
        if close is not None:
            close()

    def _ran_out(self, step: int) -> None:
        self._stop_pass()
        expected = self.num_batches
        if expected is not None and step < expected or step == 0:
            warnings.warn(
                "The data ran out of batches: the epoch ends early, after "
                f"{step} of {'some' if expected is None else expected} steps. The data must yield "
                "`steps_per_epoch * epochs` batches; a generator should repeat, a data set can be "
                "repeated with `.repeat()`.",
                stacklevel=4,
            )
