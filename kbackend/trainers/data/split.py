"""Holding the last rows back for validation."""

from __future__ import annotations

from typing import Any

from kbackend.base import tree
from kbackend.trainers.data.array_adapter import count_rows
from kbackend.trainers.data.rows import as_rows, is_array_data, map_leaves


def train_validation_split(arrays: Any, validation_split: float) -> tuple[Any, Any]:
    """Splits arrays into the first rows, to train on, and the last ones, to validate with.

    Args:
        arrays: a nested structure of arrays with the same number of rows, as a rule the tuple
            `(x, y, sample_weight)`; entries that are `None` stay `None`.
        validation_split: fraction of the rows to hold back, between 0 and 1.

    Returns:
        The pair `(train, validation)`, of the same structure, with rows as leaves, which
        `get_adapter` accepts. Nothing is copied.

    Raises:
        ValueError: the fraction is out of range, the data is no array, or a part would be empty.

    Example:
        >>> import numpy as np
        >>> train, validation = train_validation_split((np.arange(10), None), 0.2)
        >>> len(train[0]), len(validation[0])
        (8, 2)
    """
    if not 0 < validation_split < 1:
        raise ValueError(
            "[fit] 'validation_split' must lie between 0 and 1. "
            f"Received: validation_split={validation_split}."
        )
    if not is_array_data(arrays):
        kinds = sorted({type(leaf).__name__ for leaf in tree.iter_leaves(arrays)} - {"NoneType"})
        raise ValueError(
            "[fit] 'validation_split' works for arrays only; give `validation_data=` instead. "
            f"Received data of type: {', '.join(kinds)}."
        )
    named = arrays if isinstance(arrays, (tuple, list)) else (arrays,)
    names = ("x", "y", "sample_weight") if len(named) <= 3 else ("data",)
    if len(names) == 1:
        rows: Any = map_leaves(as_rows, arrays, "data")
        total = count_rows(data=rows)
    else:
        parts = dict(zip(names, named, strict=False))
        parts = {name: map_leaves(as_rows, data, name) for name, data in parts.items()}
        total = count_rows(**parts)
        rows = tuple(parts.values()) if named is arrays else parts["x"]
    at = int(total * (1 - validation_split))
    if at == 0 or at == total:
        raise ValueError(
            f"[fit] {total} samples are too few to be split by 'validation_split'. "
            f"Received: validation_split={validation_split}, which leaves {at} to train on and "
            f"{total - at} to validate with."
        )

    def cut(start: int, stop: int) -> Any:
        return tree.map_structure(lambda r: None if r is None else r.part(start, stop), rows)

    return cut(0, at), cut(at, total)
