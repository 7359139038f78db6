"""Blur, edges and structural similarity."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.image.arguments import two, with_batch
from kbackend.ops.nn.arguments import floating, mean_of

Pads = tuple[tuple[int, int], ...]


def _per_channel(x: Any, kernel: Any, pads: Pads) -> Any:
    """Each channel of x correlated with the matrix `kernel`."""
    channels = x.shape[-1]
    w = np.repeat(np.asarray(kernel)[:, :, None, None], channels, axis=3)
    return lang.conv(x, to_tensor(w, x.dtype), (1, 1), pads, (1, 1), groups=channels)


def _bell(size: int, sigma: float) -> Any:
    """A Gaussian of sum 1."""
    places = np.arange(size) - (size - 1) / 2
    values = np.exp(-0.5 * (places / sigma) ** 2)
    return values / values.sum()


def blurred(x: Any, kernel_size: tuple[int, int], sigma: tuple[float, float]) -> Any:
    """`(batch, height, width, channels)` blurred; outside it is zero."""
    rows, columns = (_bell(k, float(s)) for k, s in zip(kernel_size, sigma, strict=True))
    # A Gaussian is a product, so that two thin kernels do the work of a square one.
    for kernel in (rows[:, None], columns[None, :]):
        pads = shapes.window_padding("same", x.shape[1:3], kernel.shape, (1, 1), (1, 1))
        x = _per_channel(x, kernel, pads)
    return x


@op()
def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Any:
    """Images blurred by a Gaussian.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        kernel_size: pair of height and width of the Gaussian.
        sigma: pair of standard deviations.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the shape and dtype of `images`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> gaussian_blur(np.ones((4, 4, 1))).shape
        (4, 4, 1)
    """
    size = two(kernel_size, "kernel_size", "gaussian_blur")
    widths = tuple(sigma) if isinstance(sigma, (tuple, list)) else (sigma, sigma)
    if len(widths) != 2 or min(widths) <= 0:
        raise ValueError(
            f"[gaussian_blur] 'sigma' must be a pair of positive numbers. Received: sigma={sigma}."
        )
    images = to_tensor(images)
    dtype = images.dtype
    return with_batch(
        images,
        data_format,
        "gaussian_blur",
        lambda x: lang.cast(blurred(floating(x), size, widths), dtype),
    )


_SOBEL = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])


@op()
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """Vertical and horizontal slopes of images, which are zero outside.

    Args:
        images: tensor `(batch, height, width, channels)`, or channels first.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A floating tensor with a last dimension of 2: the slope along the rows and the columns.

    Raises:
        ValueError: the images do not have three or four dimensions.

    Example:
        >>> sobel_edges(np.ones((1, 4, 4, 3))).shape
        (1, 4, 4, 3, 2)
    """
    found = []
    for kernel in (_SOBEL, _SOBEL.T):

        def run(x: Any, kernel: Any = kernel) -> Any:
            return _per_channel(x, kernel, ((1, 1), (1, 1)))

        out = with_batch(floating(images), data_format, "sobel_edges", run)
        found.append(lang.reshape(out, (*out.shape, 1)))
    return lang.concatenate(found, len(found[0].shape) - 1)


@op(tensors=("image2",))
def ssim(
    image1: Any,
    image2: Any,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Any:
    """Structural similarity of images, 1 for equal ones.

    Args:
        image1: tensor `(height, width, channels)` or a batch of them.
        image2: tensor of that shape.
        max_val: the greatest value that a pixel can have.
        filter_size: height and width of the Gaussian window.
        filter_sigma: its standard deviation.
        k1: constant of the brightness term.
        k2: constant of the contrast term.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A floating tensor, one value per image.

    Raises:
        ValueError: the shapes do not fit, or the images are smaller than the window.

    Example:
        >>> ssim(np.ones((1, 12, 12, 1)), np.ones((1, 12, 12, 1))).tolist()
        [1.0]

    Reference:
        Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
        2004.
    """
    name = "ssim"
    x, y = promote(image1, image2, force_float=True)
    if tuple(x.shape) != tuple(y.shape):
        raise ValueError(
            f"[{name}] the images must have the same shape. "
            f"Received: {tuple(x.shape)} and {tuple(y.shape)}."
        )
    bell = _bell(int(filter_size), float(filter_sigma))
    kernel = np.outer(bell, bell)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2

    def smooth(x: Any) -> Any:
        if None not in x.shape[1:3] and min(x.shape[1:3]) < filter_size:
            raise ValueError(
                f"[{name}] the images must not be smaller than the window. "
                f"Received: shape={tuple(x.shape)}, filter_size={filter_size}."
            )
        return _per_channel(x, kernel, ((0, 0), (0, 0)))

    def filtered(x: Any) -> Any:
        return with_batch(x, data_format, name, smooth)

    a, b = filtered(x), filtered(y)
    aa, bb, ab = lang.mul(a, a), lang.mul(b, b), lang.mul(a, b)
    spread = lang.sub(
        lang.add(filtered(lang.mul(x, x)), filtered(lang.mul(y, y))), lang.add(aa, bb)
    )
    joint = lang.sub(filtered(lang.mul(x, y)), ab)
    brightness = lang.div(lang.add(lang.mul(ab, 2.0), c1), lang.add(lang.add(aa, bb), c1))
    contrast = lang.div(lang.add(lang.mul(joint, 2.0), c2), lang.add(spread, c2))
    values = lang.mul(brightness, contrast)
    ndim = len(values.shape)
    axes = tuple(range(ndim - 3, ndim))
    return lang.reshape(mean_of(values, axes), tuple(values.shape[: ndim - 3]))
