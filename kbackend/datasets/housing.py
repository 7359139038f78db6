"""What the two housing data sets have in common."""

from __future__ import annotations

import numpy as np

from kbackend.datasets.sources import check_fraction, fetch, read_npz, shuffled

Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_housing(
    dataset: str, path: str, test_split: float, seed: int, rows: int | None = None
) -> Split:
    """The shuffled rows of a housing data set, split into two parts."""
    check_fraction(dataset, "test_split", test_split)
    arrays = read_npz(fetch(f"{dataset}.npz", path))
    x, y = shuffled(seed, arrays["x"][:rows], arrays["y"][:rows])
    at = int(len(x) * (1 - test_split))
    return (x[:at], y[:at]), (x[at:], y[at:])
