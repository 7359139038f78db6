"""The adapter for whatever `fit`, `evaluate` or `predict` was given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kbackend.base import tree
from kbackend.trainers.data.adapter import DataAdapter
from kbackend.trainers.data.array_adapter import ArrayAdapter
from kbackend.trainers.data.py_dataset_adapter import PyDatasetAdapter
from kbackend.trainers.data.rows import is_array_data
from kbackend.trainers.data.stream_adapter import (
    IterableAdapter,
    IteratorAdapter,
    check_not_function,
)
from kbackend.utils.py_dataset import PyDataset


def _refuse(kind: str, y: Any, sample_weight: Any) -> None:
    for name, value, what in (
        ("y", y, "targets"),
        ("sample_weight", sample_weight, "sample weights"),
    ):
        if value is not None:
            raise ValueError(
                f"[fit] '{name}' must not be given when 'x' is {kind}: it must yield the {what} "
                f"itself, as `(x, y)` or `(x, y, sample_weight)`. Received: {name} of type "
                f"{type(value).__name__}."
            )


def get_adapter(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    shuffle: bool | str = False,
    class_weight: Any = None,
    seed: int | None = None,
) -> DataAdapter:
    """The adapter that turns what the user gave into host batches.

    Args:
        x: arrays (nested or not), a `PyDataset`, a generator, or any iterable of batches.
        y: targets, for arrays only.
        sample_weight: weights, for arrays only.
        batch_size: rows of a batch, for arrays; other data brings its own batches.
        steps_per_epoch: batches of one epoch; without `batch_size` it decides it.
        shuffle: for arrays `True` (rows) or `"batch"`; for a `PyDataset` the order of batches.
            Other data comes in its own order.
        class_weight: weight by class index.
        seed: fixes every epoch's order.

    Returns:
        A `DataAdapter`.

    Raises:
        ValueError: the data is of no known kind, or the arguments do not go together.

    Example:
        >>> import numpy as np
        >>> get_adapter(np.zeros((100, 3)), np.zeros(100), batch_size=32).num_batches
        4
    """
    if isinstance(x, DataAdapter):
        return x
    if isinstance(x, PyDataset):
        _refuse("a PyDataset", y, sample_weight)
        return PyDatasetAdapter(x, shuffle=shuffle, class_weight=class_weight, seed=seed)
    if x is not None and is_array_data(x):
        return ArrayAdapter(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            seed=seed,
        )
    if isinstance(x, Iterator):
        _refuse("a generator", y, sample_weight)
        return IteratorAdapter(x, class_weight=class_weight)
    check_not_function(x)
    if hasattr(x, "__iter__") and not tree.is_nested(x) and not isinstance(x, (str, bytes, set)):
        _refuse("an iterable of batches", y, sample_weight)
        return IterableAdapter(x, class_weight=class_weight)
    raise ValueError(
        f"[fit] data of an unrecognized kind. Received: x={_brief(x)}. Give arrays (or tuples, "
        "lists and dicts of arrays), a `kbackend.utils.PyDataset`, a generator of batches, or an "
        "iterable of batches such as a `DataLoader`."
    )


def _brief(x: Any) -> str:
    if tree.is_nested(x):
        kinds = sorted({type(leaf).__name__ for leaf in tree.iter_leaves(x)})
        return f"a {type(x).__name__} of {', '.join(kinds) or 'nothing'}"
    text = repr(x)
    return f"{text if len(text) <= 80 else text[:77] + '...'} (type {type(x).__name__})"
