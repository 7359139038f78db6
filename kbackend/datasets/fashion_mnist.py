"""Images of clothes, in the form of MNIST: 70,000 images of 28x28 pixels.

Reference:
    Xiao, Rasul and Vollgraf, 2017. Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms. https://github.com/zalandoresearch/fashion-mnist (MIT)
"""

from __future__ import annotations

import gzip
import math
import os

import numpy as np

from kbackend.datasets.sources import fetch

_FOLDER = os.path.join("datasets", "fashion-mnist")
_UINT8 = 8


def read_idx(path: str) -> np.ndarray:
    """The array of bytes in a gzipped IDX file.

    Raises:
        ValueError: it is no such file, or it is cut off.
    """
    try:
        with gzip.open(path, "rb") as file:
            raw = file.read()
    except (OSError, EOFError) as error:
        raise ValueError(f"[fashion_mnist] {path} is damaged: {error}. Delete it.") from error
    # Two zeros, the code of the dtype, the number of axes; then the size of each axis.
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UINT8 or len(raw) < 4 + 4 * raw[3]:
        raise ValueError(f"[fashion_mnist] {path} is no IDX file of bytes. Delete it.")
    axes = raw[3]
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", count=axes, offset=4))
    values = np.frombuffer(raw, "uint8", offset=4 + 4 * axes)
    if values.size != math.prod(shape):
        raise ValueError(
            f"[fashion_mnist] {path} is cut off: it has {values.size} values for the shape "
            f"{shape}. Delete it."
        )
    return values.reshape(shape)


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads Fashion-MNIST.

    The classes are T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag and
    ankle boot.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images of shapes `(60000, 28, 28)` and
        `(10000, 28, 28)`, uint8 labels from 0 to 9.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape  # doctest: +SKIP
        (60000, 28, 28)
    """
    parts = []
    for part in ("train", "t10k"):
        images, labels = (
            read_idx(fetch(f"{part}-{kind}-ubyte.gz", cache_subdir=_FOLDER))
            for kind in ("images-idx3", "labels-idx1")
        )
        parts.append((images, labels))
    return parts[0], parts[1]
