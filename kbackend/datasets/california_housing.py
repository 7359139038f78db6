"""House prices in California, 1990.

Reference:
    Pace and Barry, 1997. Sparse spatial autoregressions. Statistics and Probability Letters 33.
"""

from __future__ import annotations

from kbackend.datasets.housing import Split, load_housing

_ROWS = {"large": None, "small": 600}


def load_data(
    version: str = "large",
    path: str = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
) -> Split:
    """Loads the California housing data: 8 features of a block, its median price in dollars.

    The features are longitude, latitude, median age of the houses, rooms, bedrooms, population,
    households and median income.

    Args:
        version: `"large"` with 20,640 rows, or `"small"` with the first 600.
        path: name of the file in the cache.
        test_split: fraction of the rows for testing.
        seed: of the shuffling before the split.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: float arrays of shapes `(rows, 8)` and `(rows,)`.

    Raises:
        ValueError: the version is unknown.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data(version="small")  # doctest: +SKIP
        >>> x_train.shape, x_test.shape  # doctest: +SKIP
        ((480, 8), (120, 8))
    """
    if version not in _ROWS:
        raise ValueError(
            "[california_housing] 'version' must be 'large' or 'small'. "
            f"Received: version={version!r}."
        )
    return load_housing("california_housing", path, test_split, seed, _ROWS[version])
