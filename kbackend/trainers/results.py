"""The outputs of `predict`, on their way to the host."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.base import tree
from kbackend.core.tensor import Tensor

# Batches whose outputs nobody has waited for yet. While they come, a device has the next ones to
# compute; more of them would only take memory.
_COMING = 2


class Results:
    """Gathers the outputs of batches as NumPy arrays.

    The outputs of the last batches may still be computed or copied: they are waited for later.
    """

    def __init__(self) -> None:
        self._coming: deque[Any] = deque()
        self._there: list[Any] = []

    def add(self, out: Any, data: Any) -> None:
        """Takes the outputs of the next batch.

        Args:
            out: what the step returned.
            data: what the step was given.
        """
        self._coming.append(_started(out, data))
        self.wait(_COMING)

    def wait(self, coming: int = 0) -> None:
        """Waits for the outputs of batches, the oldest first.

        Args:
            coming: of how many batches they may be on their way still.
        """
        while len(self._coming) > coming:
            there = tree.map_structure(lambda get: get(), self._coming.popleft())
            self._there.append(there)

    def joined(self) -> Any:
        """The outputs of all batches as one, along the first axis.

        Raises:
            ValueError: there was no batch.
        """
        self.wait()
        if not self._there:
            raise ValueError("[predict] the data has no batches.")
        if len(self._there) == 1:
            return tree.map_structure(np.array, self._there[0])
        return tree.map_structure(lambda *parts: np.concatenate(parts, axis=0), *self._there)


def _started(out: Any, data: Any) -> Any:
    """Functions that give the outputs. What is handed through is copied: the data's owner may
    change it."""
    given = [leaf.array for leaf in tree.iter_leaves(data) if leaf.__class__ is Tensor]

    def start(leaf: Any) -> Callable[[], Any]:
        if leaf.__class__ is not Tensor:
            host = np.asarray(leaf)
        elif any(leaf.array is array for array in given):
            host = np.array(leaf)
        else:
            return leaf.engine.fetch(leaf.array)
        return lambda: host

    return tree.map_structure(start, out)
