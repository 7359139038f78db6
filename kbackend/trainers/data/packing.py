"""Batches as tuples: `(x,)`, `(x, y)` or `(x, y, sample_weight)`."""

from __future__ import annotations

from typing import Any


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Splits one batch into inputs, targets and sample weights.

    Args:
        data: a tuple or list of one to three entries, or anything else, which is taken for `x`.

    Returns:
        The tuple `(x, y, sample_weight)`; what the batch lacks is `None`.

    Raises:
        ValueError: the tuple has no entry, or more than three.

    Example:
        >>> unpack_x_y_sample_weight(("features", "labels"))
        ('features', 'labels', None)
    """
    if not isinstance(data, (tuple, list)):
        return data, None, None
    if 1 <= len(data) <= 3:
        x, y, sample_weight = (*data, None, None)[:3]
        return x, y, sample_weight
    kinds = ", ".join(type(entry).__name__ for entry in data)
    raise ValueError(
        "[unpack_x_y_sample_weight] a batch must be `x`, `(x,)`, `(x, y)` or "
        f"`(x, y, sample_weight)`. Received: {len(data)} entries ({kinds}). "
        "Wrap several inputs in one tuple or dict: `((x1, x2), y)`."
    )


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Packs inputs, targets and sample weights into the shortest form of a batch.

    Args:
        x: inputs: one array, or a nested structure of them.
        y: targets, or `None`.
        sample_weight: weights, or `None`.

    Returns:
        `(x, y, sample_weight)` or `(x, y)` without the missing entries; `x` alone where it is one
        array, and `(x,)` where it is a list or tuple that would be mistaken for a whole batch.

    Example:
        >>> pack_x_y_sample_weight("features", "labels")
        ('features', 'labels')
        >>> pack_x_y_sample_weight(["a", "b"])
        (['a', 'b'],)
    """
    if y is None and sample_weight is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def as_tuple(x: Any, y: Any = None, sample_weight: Any = None) -> tuple[Any, ...]:
    """`(x,)`, `(x, y)` or `(x, y, sample_weight)`: always a tuple, without trailing `None`s."""
    if sample_weight is not None:
        return (x, y, sample_weight)
    return (x,) if y is None else (x, y)
