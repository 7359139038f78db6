"""The matrix products and attentions that are timed alone."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A dense layer's product, or an attention.

    Attributes:
        name: in a few words.
        sizes: rows, columns and summands; images, rows, heads and size of a head of an attention.
        quick: whether a quick run times it.
    """

    name: str
    sizes: tuple[int, ...]
    quick: bool = False

    @property
    def operations(self) -> tuple[str, ...]:
        """What there is to compute."""
        return ("forward", "input", "weights") if len(self.sizes) == 3 else ("forward", "gradient")

    def flops(self, operation: str) -> int:
        """Floating point operations, without those for exponentials."""
        if len(self.sizes) == 3:
            rows, columns, summands = self.sizes
            return 2 * rows * columns * summands
        images, rows, heads, size = self.sizes
        # Two products forward; back these are made again in part, and there are four more.
        return (4 if operation == "forward" else 10) * images * heads * rows * rows * size


CASES = (
    Case("128 x 784 to 512", (128, 512, 784), quick=True),
    Case("128 x 512 to 512", (128, 512, 512)),
    Case("128 x 512 to 10", (128, 10, 512)),
    Case("4096 x 64 to 64", (4096, 64, 64), quick=True),
    Case("4096 x 64 to 256", (4096, 256, 64)),
    Case("4096 x 32 to 512", (4096, 512, 32)),
    Case("64 x 128 to 512", (64, 512, 128)),
    Case("65536 x 288 to 32", (65536, 32, 288)),
    Case("8 x 784 to 512", (8, 512, 784)),
    Case("1 x 784 to 512", (1, 512, 784)),
    Case("33 x 17 to 65", (33, 65, 17)),
    Case("512 x 512 to 512", (512, 512, 512)),
    Case("1000 x 1000 to 1000", (1000, 1000, 1000)),
    Case("2048 x 2048 to 2048", (2048, 2048, 2048)),
    Case("attention, 64 x 64 x 4 x 16", (64, 64, 4, 16), quick=True),
    Case("attention, 16 x 197 x 3 x 64", (16, 197, 3, 64)),
    Case("attention, 1 x 1024 x 8 x 64", (1, 1024, 8, 64)),
)
