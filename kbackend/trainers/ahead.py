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
        self._drawn: tuple[int, Any] | None = None
        self._fault: Exception | None = None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return self

    def __next__(self) -> tuple[int, Any]:
        if self._fault is not None:
            raise self._fault
        drawn, self._drawn = self._drawn, None
        return self._draw() if drawn is None else drawn

    def _draw(self) -> tuple[int, Any]:
        step, batch = next(self._steps)
        return step, self._upload(batch)

    def prepare(self) -> None:
        """Begins with the next batch, once the step of this one has been handed to the device."""
        if not self._early or self._drawn is not None or self._fault is not None:
            return
        try:
            self._drawn = self._draw()
        except Exception as fault:
            # In its turn: the callbacks of this step come first.
            self._fault = fault
