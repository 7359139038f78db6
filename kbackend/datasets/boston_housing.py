"""House prices in Boston, 1978.

The data has a variable that assumes that racial segregation drives prices. Keep it for the study of
just that, and use `california_housing` elsewhere.

Reference:
    Harrison and Rubinfeld, 1978. Hedonic prices and the demand for clean air.
    http://lib.stat.cmu.edu/datasets/boston
"""

from __future__ import annotations

from kbackend.datasets.housing import Split, load_housing


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Split:
    """Loads the Boston housing data: 506 rows, 13 features, the median price in $1000.

    Args:
        path: name of the file in the cache.
        test_split: fraction of the rows for testing.
        seed: of the shuffling before the split.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: float arrays of shapes `(rows, 13)` and `(rows,)`.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, x_test.shape  # doctest: +SKIP
        ((404, 13), (102, 13))
    """
    return load_housing("boston_housing", path, test_split, seed)
