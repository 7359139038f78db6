"""Where a recorded graph writes its results, and copies of them, which are handed out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.base.dtypes import itemsize, numpy_dtype
from kbackend.engine.program import Spec

# Results up to this size share memory, and one copy: losses and metrics, of which there are many.
# One of them keeps the memory of the others, so that large ones have their own.
_SMALL = 4096
# What memory of a device is aligned to.
_ALIGNMENT = 256


class Results:
    """Memory of results.

    Args:
        cp: the module `cupy`.
        specs: of the results.

    Attributes:
        arrays: the results where a graph writes them.
    """

    def __init__(self, cp: Any, specs: Sequence[Spec]) -> None:
        self._cp = cp
        # For each block its size, and the results in it: (number, shape, dtype, place).
        self._blocks: list[tuple[int, list[tuple[int, Any, Any, int]]]] = []
        shared: list[tuple[int, Any, Any, int]] = []
        end = 0
        for number, spec in enumerate(specs):
            size = spec.size * itemsize(spec.dtype)
            one = number, spec.shape, numpy_dtype(spec.dtype)
            if size > _SMALL:
                self._blocks.append((size, [(*one, 0)]))
                continue
            shared.append((*one, end))
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        if shared:
            self._blocks.append((end, shared))
        self._memory = [cp.cuda.alloc(size) for size, _ in self._blocks]
        self.arrays = self._views(self._memory)

    def _views(self, memory: Sequence[Any]) -> list[Any]:
        found = [
            (number, self._cp.ndarray(shape, dtype, memptr=own + place))
            for own, (_, results) in zip(memory, self._blocks, strict=True)
            for number, shape, dtype, place in results
        ]
        return [array for _, array in sorted(found, key=lambda pair: pair[0])]

    def copied(self, stream: Any) -> list[Any]:
        """The results in memory of their own.

        Args:
            stream: the current stream, into which the graph was launched.
        """
        memory = []
        for own, (size, _) in zip(self._memory, self._blocks, strict=True):
            fresh = self._cp.cuda.alloc(size)
            if size:
                fresh.copy_from_device_async(own, size, stream)
            memory.append(fresh)
        return self._views(memory)
