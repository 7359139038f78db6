"""Handwritten digits: 70,000 images of 28x28 pixels.

Reference:
    LeCun, Cortes and Burges. The MNIST database of handwritten digits.
    http://yann.lecun.com/exdb/mnist/ (CC BY-SA 3.0)
"""

from __future__ import annotations

import numpy as np

from kbackend.datasets.sources import fetch, read_npz


def load_data(
    path: str = "mnist.npz",
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads MNIST.

    Args:
        path: name of the file in the cache.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images of shapes `(60000, 28, 28)` and
        `(10000, 28, 28)`, uint8 labels from 0 to 9.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape  # doctest: +SKIP
        (60000, 28, 28)
    """
    arrays = read_npz(fetch("mnist.npz", path))
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
