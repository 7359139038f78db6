"""Small colour images of ten kinds: 60,000 images of 32x32 pixels.

Reference:
    Krizhevsky, 2009. Learning multiple layers of features from tiny images.
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from kbackend.datasets.cifar import Split, load_cifar


def load_data() -> Split:
    """Loads CIFAR-10.

    The classes are airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images of shapes `(50000, 32, 32, 3)` and
        `(10000, 32, 32, 3)` (channels first where that is configured), and uint8 labels of shape
        `(rows, 1)`.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, y_train.shape  # doctest: +SKIP
        ((50000, 32, 32, 3), (50000, 1))
    """
    train = [f"data_batch_{number}" for number in range(1, 6)]
    return load_cifar(
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py-target",
        "cifar-10-batches-py",
        (train, "test_batch"),
        "labels",
    )
