"""Batches on their way to a device, one step ahead of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kbackend.engine.loader import current_engine


class Ahead:
    """Yields the batches of an epoch as tensors; the next one may be on its way before its turn.

    It never is where the engine gains nothing by that, or where asking for a batch may change
    something that somebody can see.

    Args:
        steps: yields (step, host batch).
        upload: makes tensors of a host batch.
        early: whether the data may be asked for a batch that is not used in the end.
    """

    def __init__(
        self, steps: Iterable[tuple[int, Any]], upload: Callable[[Any], Any], early: bool
    ) -> None:
        self._steps, self._upload = iter(steps), upload
        self._early = early and current_engine().supports("upload")
        # What comes next, if it has been asked for: at most one, `None` for the end.
        self._drawn: list[tuple[int, Any] | None] = []
        self._fault: Exception | None = None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return self

    def __next__(self) -> tuple[int, Any]:
        fault, self._fault = self._fault, None
        if fault is not None:
            try:
                raise fault
            finally:
                # Its frames hold tensors, and this one would hold it.
                del fault
        found = self._drawn.pop() if self._drawn else self._draw()
        if found is None:
            raise StopIteration
        return found

    def _draw(self) -> tuple[int, Any] | None:
        found = next(self._steps, None)
        return None if found is None else (found[0], self._upload(found[1]))

    def prepare(self) -> None:
        """Begins with the next batch, once the step of this one has been handed to the device."""
        if not self._early or self._drawn or self._fault is not None:
            return
        try:
            self._drawn.append(self._draw())
        except Exception as fault:
            # In its turn: the callbacks of this step come first.
            self._fault = fault
