"""Work that a kernel splits itself: into parts, for as many workers as it is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kbackend.engine.program import Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels.buffering import short_buffer

# Parts per thread, so that none waits long for another.
PARTS = 4
# Bytes of a block of images: with what is computed from it, it stays in a level 2 cache.
_BLOCK = 1 << 19


def workers_for(work: float) -> int:
    """Threads among which to split so many nanoseconds of work."""
    return threads.count() if work > threads.WORTH_SPLITTING else 1


def run_parts(part: Callable[[int, int], Any], parts: int, workers: int) -> None:
    """Calls `part(index, worker)` for all parts, on several threads if there are to be several."""
    if workers > 1 and threads.active():
        threads.split(part, parts)
    else:
        for index in range(parts):
            part(index, 0)


class Batch:
    """Images in blocks, and these in parts, for kernels that are ufuncs over strided slices.

    Attributes:
        step: images in a block.
        parts: how many parts there are.
        work: as in `Prepared`.
    """

    def __init__(self, images: int, image_bytes: int, work: float, per_worker: int = PARTS) -> None:
        self.workers = workers_for(work)
        self.work = work if self.workers > 1 else 0.0
        # A block is no larger than a worker's fair share.
        fair = -(-images // self.workers)
        self.step = max(1, min(fair, _BLOCK // max(image_bytes, 1)))
        blocks = -(-images // self.step)
        self._ranges = threads.ranges(blocks, per_worker * self.workers if self.work else 1)
        self.parts = len(self._ranges)
        self._images = images

    def scratch(self, shape: tuple[int, ...], dtype: str) -> Spec:
        """Scratch memory for the images of a block, for each worker."""
        return Spec((self.workers, self.step, *shape), dtype)

    def blocks(self, part: int) -> Iterator[slice]:
        """The images of each block of a part."""
        for i in range(*self._ranges[part]):
            yield slice(i * self.step, min((i + 1) * self.step, self._images))

    def run_parts(self, part: Callable[[int, int], Any]) -> None:
        """Calls `part(index, worker)` for all parts."""
        # The buffer's size is a setting of each thread.
        run_parts(short_buffer(part), self.parts, self.workers)

    def run(self, block: Callable[[slice, int], None]) -> None:
        """Calls `block(images, worker)` for all blocks."""

        def part(index: int, worker: int) -> None:
            for images in self.blocks(index):
                block(images, worker)

        self.run_parts(part)
