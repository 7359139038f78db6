"""Handwritten digits: 1,797 images of 8x8 pixels, which ship with the package.

Reference:
    Alpaydin and Kaynak, 1998. Optical Recognition of Handwritten Digits. UCI Machine Learning
    Repository, https://doi.org/10.24432/C50P49 (CC BY 4.0). These are the 1,797 images of its test
    set, by 13 writers, in their original order.
"""

from __future__ import annotations

import importlib.resources

import numpy as np

_FILE = "digits.npz"
_SEED = 1797


def load_data(
    test_fraction: float = 0.2, flatten: bool = False
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads the digits. Nothing is fetched from anywhere.

    The split is always the same: of each digit, the same fraction is held back.

    Args:
        test_fraction: fraction of the images for testing, from 0 to 1 (1 excluded).
        flatten: whether images come as rows of 64 pixels.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images with values from 0 to 16 of shape
        `(rows, 8, 8)`, or `(rows, 64)`, and uint8 labels from 0 to 9.

    Raises:
        ValueError: the fraction is out of range.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, x_test.shape, int(x_train.max())
        ((1438, 8, 8), (359, 8, 8), 16)
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(
            "[digits] 'test_fraction' must lie from 0 to 1 (1 excluded). "
            f"Received: test_fraction={test_fraction}."
        )
    resource = importlib.resources.files(__package__).joinpath(_FILE)
    with resource.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"]
    order = np.random.Generator(np.random.Philox(key=_SEED)).permutation(len(x))
    test = np.zeros(len(x), dtype=bool)
    for digit in range(10):
        chosen = order[y[order] == digit]
        test[chosen[: round(len(chosen) * test_fraction)]] = True
    if flatten:
        x = x.reshape(len(x), -1)
    train_order, test_order = order[~test[order]], order[test[order]]
    return (x[train_order], y[train_order]), (x[test_order], y[test_order])
