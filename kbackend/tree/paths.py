"""Where leaves stand, and whether two structures have them in the same places."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from kbackend.base import tree


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """The leaves with the keys and positions that lead to each.

    Args:
        structure: a nested structure, or a leaf.

    Returns:
        A list of `(path, leaf)`; the path of a lone leaf is `()`.

    >>> flatten_with_path({"b": [1, 2], "a": 3})
    [(('a',), 3), (('b', 0), 1), (('b', 1), 2)]
    """
    return tree.flatten_with_path(structure)


def same_kind(first: Any, other: Any) -> None:
    """Raises `ValueError` unless both are containers of one kind with the same keys or length."""
    if isinstance(first, Mapping):
        if not isinstance(other, Mapping):
            raise ValueError(f"Structures differ: expected a dict. Received: {other!r}.")
        if set(first) != set(other):
            raise ValueError(
                f"Structures differ: expected the keys {list(first)}. Received: {list(other)}."
            )
        return
    kind = list if isinstance(first, list) else tuple
    if not isinstance(other, kind):
        raise ValueError(f"Structures differ: expected a {kind.__name__}. Received: {other!r}.")
    if getattr(first, "_fields", None) != getattr(other, "_fields", None):
        raise ValueError(f"Structures differ: {type(first).__name__} and {type(other).__name__}.")
    if len(first) != len(other):
        raise ValueError(
            f"Structures differ: expected {len(first)} items. Received {len(other)}: {other!r}."
        )


def items(structure: Any) -> list[tuple[Any, Any]]:
    """The keys or positions of a container, with what stands there, in the order of flattening."""
    if isinstance(structure, Mapping):
        try:
            keys = sorted(structure)
        except TypeError:  # keys of mixed types keep their order
            keys = list(structure)
        return [(key, structure[key]) for key in keys]
    return list(enumerate(structure))


def assert_same_structure(a: Any, b: Any, check_types: Any = None) -> None:
    """Check that two structures have the same form; their leaves may differ.

    Args:
        a: a nested structure.
        b: another.
        check_types: not used: kinds of containers always have to agree.

    Raises:
        ValueError: the forms differ.

    >>> assert_same_structure({"a": [1, 2]}, {"a": [3, 4]})
    """
    if check_types is not None:
        warnings.warn(
            "[assert_same_structure] 'check_types' has no effect: kinds of containers always have "
            "to agree. Leave it out.",
            DeprecationWarning,
            stacklevel=2,
        )
    _assert_same(a, b)


def _assert_same(a: Any, b: Any) -> None:
    if not tree.is_nested(a):
        if tree.is_nested(b):
            raise ValueError(f"Structures differ: expected a leaf. Received: {b!r}.")
        return
    same_kind(a, b)
    for (_, x), (_, y) in zip(items(a), items(b), strict=True):
        _assert_same(x, y)


def assert_same_paths(a: Any, b: Any) -> None:
    """Check that the leaves of two structures stand at the same paths; kinds may differ.

    Args:
        a: a nested structure.
        b: another.

    Raises:
        ValueError: a path is in one of them only.

    >>> assert_same_paths([1, (2,)], ((3, [4])))
    """
    first = {path for path, _ in tree.flatten_with_path(a)}
    second = {path for path, _ in tree.flatten_with_path(b)}
    if first != second:
        raise ValueError(
            f"The structures have different paths. Only in the first: {_listed(first - second)}. "
            f"Only in the second: {_listed(second - first)}."
        )


def _listed(paths: set[Any]) -> str:
    return ", ".join(sorted(map(repr, paths))) or "none"
