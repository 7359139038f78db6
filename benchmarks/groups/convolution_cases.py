"""The convolutions that are timed alone."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A convolution of square images and windows, channels last.

    Attributes:
        name: in a few words.
        batch: images.
        size: rows and columns of an image.
        channels: of an image.
        filters: how many.
        window: taps along each dimension.
        stride: between positions.
        padding: zeros on each side.
        dilation: between taps.
        groups: into which the channels are cut.
        quick: whether a quick run times it.
    """

    name: str
    batch: int
    size: int
    channels: int
    filters: int
    window: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    quick: bool = False

    @property
    def positions(self) -> int:
        """Along each dimension."""
        reach = (self.window - 1) * self.dilation + 1
        return (self.size + 2 * self.padding - reach) // self.stride + 1

    @property
    def flops(self) -> int:
        """Floating point operations of the direct method, in each of the three directions."""
        taps = self.window**2 * self.channels // self.groups
        return 2 * self.batch * self.positions**2 * self.filters * taps


CASES = (
    Case("first layer, digits", 128, 28, 1, 32, 3, quick=True),
    Case("28x28 digits, second", 128, 13, 32, 64, 3, quick=True),
    Case("first layer, colours", 64, 32, 3, 32, 3, padding=1),
    Case("32x32, 32 channels", 64, 32, 32, 32, 3, padding=1),
    Case("16x16, 64 channels", 64, 16, 64, 64, 3, padding=1, quick=True),
    Case("8x8, 128 channels", 64, 8, 128, 128, 3, padding=1),
    Case("32x32, stride 2", 64, 32, 32, 64, 3, stride=2, padding=1, quick=True),
    Case("16x16, stride 2", 64, 16, 64, 128, 3, stride=2, padding=1),
    Case("32x32, 1x1", 64, 32, 32, 32, 1),
    Case("28x28, 1x1, 256 channels", 4, 28, 256, 256, 1),
    Case("28x28, 5x5", 16, 28, 32, 64, 5, padding=2),
    Case("28x28, dilated", 16, 28, 64, 64, 3, padding=2, dilation=2),
    Case("28x28, 17 to 33 channels", 16, 28, 17, 33, 3, padding=1),
    Case("28x28, 3 filters", 16, 28, 64, 3, 3, padding=1),
    Case("28x28, 32 groups", 8, 28, 256, 256, 3, padding=1, groups=32),
    Case("56x56, depthwise", 16, 56, 128, 128, 3, padding=1, groups=128),
    Case("56x56, depthwise, stride 2", 16, 56, 128, 128, 3, stride=2, padding=1, groups=128),
    Case("224x224, 7x7, stride 2", 4, 224, 3, 64, 7, stride=2, padding=3),
    Case("14x14, 256 channels, one image", 1, 14, 256, 256, 3, padding=1),
)
