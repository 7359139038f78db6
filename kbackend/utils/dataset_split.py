"""A data set in two parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base import tree
from kbackend.utils.py_dataset import PyDataset
from kbackend.utils.sample_dataset import SampleDataset


def split_dataset(
    dataset: Any,
    left_size: float | int | None = None,
    right_size: float | int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[SampleDataset, SampleDataset]:
    """Splits a data set into a left and a right part.

    Args:
        dataset: an array; a tuple, list or dict of arrays with the same number of rows; a
            `PyDataset`; or an iterable of samples. Batches of a `PyDataset` are its samples here.
        left_size: size of the left part: a fraction of 1, or a number of samples.
        right_size: size of the right part, likewise. One of the two may be left out; if together
            they are less than the whole, the rest is left out.
        shuffle: whether to shuffle before splitting.
        seed: of the shuffling.
        preferred_backend: accepted for the sake of Keras's signature; data sets are always of the
            kind that `kbackend.utils.PyDataset` is.

    Returns:
        Two data sets that yield samples; `.batch(n)` makes batches of them.

    Raises:
        ValueError: the sizes are missing, out of range, or more than there is.

    Example:
        >>> left, right = split_dataset(np.arange(10), left_size=0.8)
        >>> len(left), len(right), [int(x) for x in right]
        (8, 2, [8, 9])
    """
    read, total = _samples(dataset)
    left, right = _sizes(left_size, right_size, total)
    order = np.arange(total)
    if shuffle:
        seed = int(np.random.randint(0, 2**31 - 1)) if seed is None else seed
        order = np.random.Generator(np.random.Philox(key=seed % 2**64)).permutation(total)
    return SampleDataset(read, order[:left]), SampleDataset(read, order[total - right :])


def _samples(dataset: Any) -> tuple[Any, int]:
    """A function that reads sample `i`, and the number of samples."""
    if isinstance(dataset, PyDataset):
        if dataset.num_batches is None:
            raise ValueError("[split_dataset] a data set without end can't be split.")
        return dataset.__getitem__, dataset.num_batches
    if isinstance(dataset, (tuple, list, dict)) and len(dataset):
        leaves = tree.flatten(dataset)
        if all(hasattr(leaf, "shape") and np.ndim(leaf) for leaf in leaves):
            arrays = tree.map_structure(np.asarray, dataset)
            counts = {len(leaf) for leaf in tree.iter_leaves(arrays)}
            if len(counts) > 1:
                raise ValueError(
                    "[split_dataset] all arrays must have the same number of samples. "
                    f"Received: {sorted(counts)}."
                )
            return lambda i: tree.map_structure(lambda a: a[i], arrays), counts.pop()
    if hasattr(dataset, "shape") and np.ndim(dataset):
        array = np.asarray(dataset)
        return array.__getitem__, len(array)
    if isinstance(dataset, (str, bytes)) or not hasattr(dataset, "__iter__"):
        raise ValueError(
            "[split_dataset] the data must be arrays, a PyDataset or an iterable of samples. "
            f"Received: {dataset!r} of type {type(dataset).__name__}."
        )
    samples = list(dataset.values() if isinstance(dataset, dict) else dataset)
    if not samples:
        raise ValueError("[split_dataset] the data set is empty.")
    return samples.__getitem__, len(samples)


def _count(name: str, size: Any, total: int) -> int:
    if isinstance(size, bool) or not isinstance(size, (int, float, np.number)):
        raise ValueError(f"[split_dataset] '{name}' must be a number. Received: {name}={size!r}.")
    if isinstance(size, (float, np.floating)):
        if not 0 < size < 1:
            raise ValueError(
                f"[split_dataset] '{name}' as a fraction must lie between 0 and 1; give an "
                f"integer for a number of samples. Received: {name}={size}."
            )
        return round(float(size) * total)
    if not 0 < size < total:
        raise ValueError(
            f"[split_dataset] '{name}' must be positive and less than the {total} samples. "
            f"Received: {name}={size}."
        )
    return int(size)


def _sizes(left_size: Any, right_size: Any, total: int) -> tuple[int, int]:
    if left_size is None and right_size is None:
        raise ValueError("[split_dataset] give 'left_size', 'right_size', or both.")
    left = None if left_size is None else _count("left_size", left_size, total)
    right = None if right_size is None else _count("right_size", right_size, total)
    left = total - right if left is None and right is not None else left or 0
    right = total - left if right is None else right
    if left + right > total or not left or not right:
        raise ValueError(
            f"[split_dataset] {total} samples can't be split so. Received: left_size={left_size}, "
            f"right_size={right_size}, which makes {left} and {right} samples."
        )
    return left, right
