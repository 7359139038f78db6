"""Small colour images of a hundred kinds: 60,000 images of 32x32 pixels.

Reference:
    Krizhevsky, 2009. Learning multiple layers of features from tiny images.
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from kbackend.datasets.cifar import Split, load_cifar


def load_data(label_mode: str = "fine") -> Split:
    """Loads CIFAR-100.

    Args:
        label_mode: `"fine"` for the 100 classes, `"coarse"` for the 20 groups of them.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images of shapes `(50000, 32, 32, 3)` and
        `(10000, 32, 32, 3)` (channels first where that is configured), and uint8 labels of shape
        `(rows, 1)`.

    Raises:
        ValueError: the mode is unknown.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data("coarse")  # doctest: +SKIP
        >>> int(y_train.max())  # doctest: +SKIP
        19
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(
            "[cifar100] 'label_mode' must be 'fine' or 'coarse'. "
            f"Received: label_mode={label_mode!r}."
        )
    return load_cifar(
        "cifar-100-python.tar.gz",
        "cifar-100-python-target",
        "cifar-100-python",
        (["train"], "test"),
        f"{label_mode}_labels",
    )
