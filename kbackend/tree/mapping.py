"""Functions applied to the leaves, or to every part, of nested structures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kbackend.base import tree
from kbackend.tree.paths import assert_same_structure, items, same_kind


class MAP_TO_NONE:  # noqa: N801 - Keras's name
    """What a function given to `traverse` returns (class or instance) to put `None` in a place."""


def _check_prefix(shallow: Any, other: Any) -> None:
    """Raises unless `other` has the containers of `shallow`; below its leaves anything may be."""
    if tree.is_nested(shallow):
        same_kind(shallow, other)
        for (_, x), (_, y) in zip(items(shallow), items(other), strict=True):
            _check_prefix(x, y)


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """Apply a function to the leaves of structures of one form.

    Args:
        func: called with one leaf of each structure.
        *structures: the first gives the result its form.
        none_is_leaf: whether `func` is called with `None`; if not, `None` stays where it is.

    Returns:
        A structure of the form of the first one.

    Raises:
        TypeError: `func` can't be called.
        ValueError: there is no structure, or their forms differ.

    >>> map_structure(lambda x, y: x + y, {"a": 1, "b": [2]}, {"a": 10, "b": [20]})
    {'a': 11, 'b': [22]}
    """
    if not callable(func):
        raise TypeError(f"[map_structure] 'func' must be callable. Received: func={func!r}.")
    if not structures:
        raise ValueError("[map_structure] needs at least one structure. Received none.")
    first, *others = structures
    for other in others:
        assert_same_structure(first, other)

    def apply(*leaves: Any) -> Any:
        return None if leaves[0] is None and not none_is_leaf else func(*leaves)

    return tree.map_structure_up_to(first, apply, *structures)


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """Apply a function to the parts of structures that stand at the leaves of a shallower one.

    Args:
        shallow_structure: gives the result its form.
        func: called with one part of each of `structures`.
        *structures: each at least as deep as `shallow_structure`.

    Returns:
        A structure of the form of `shallow_structure`.

    Raises:
        ValueError: a structure does not have that form.

    >>> map_structure_up_to([0, 0], len, [[1], [2, 3]])
    [1, 2]
    """
    for structure in structures:
        _check_prefix(shallow_structure, structure)
    return tree.map_structure_up_to(shallow_structure, func, *structures)


def pack_sequence_as(structure: Any, flat_sequence: Iterable[Any]) -> Any:
    """Put a flat sequence of leaves into the form of a structure.

    Args:
        structure: gives the form.
        flat_sequence: the leaves in the order of `flatten`.

    Returns:
        A structure of that form.

    Raises:
        TypeError: `flat_sequence` is no sequence.
        ValueError: there are more or fewer leaves than places.

    >>> pack_sequence_as({"b": 0, "a": [0, 0]}, [1, 2, 3])
    {'b': 3, 'a': [1, 2]}
    """
    if not isinstance(flat_sequence, Iterable):
        raise TypeError(
            f"[pack_sequence_as] 'flat_sequence' must be a sequence. Received: "
            f"flat_sequence={flat_sequence!r}."
        )
    return tree.pack_as(structure, flat_sequence)


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """Apply a function to the shapes in a structure: tuples or lists of integers and `None`.

    Args:
        func: called with each shape.
        structure: shapes in lists, tuples and dicts.

    Returns:
        A structure of the same form.

    >>> map_shape_structure(len, {"x": (None, 3), "y": [(2,), (4, 5, 6)]})
    {'x': 2, 'y': [1, 3]}
    """
    if _is_shape(structure):
        return func(tuple(structure))
    if isinstance(structure, Mapping):
        return {key: map_shape_structure(func, item) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        mapped = [map_shape_structure(func, item) for item in structure]
        return mapped if isinstance(structure, list) else tuple(mapped)
    raise ValueError(
        f"[map_shape_structure] expected shapes (tuples of integers and None) in lists, tuples or "
        f"dicts. Received: {structure!r}."
    )


def _is_shape(structure: Any) -> bool:
    return isinstance(structure, (list, tuple)) and all(
        item is None or isinstance(item, int) for item in structure
    )


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """Apply a function to a structure and all its parts, which it may replace.

    Args:
        func: called with each part. What it returns takes the part's place; `None` keeps the part,
            and `MAP_TO_NONE` puts `None` there.
        structure: a nested structure.
        top_down: whether a container comes before what it holds (and, once replaced, is not
            looked into), or after.

    Returns:
        The structure with its replacements.

    >>> traverse(lambda part: part * 10 if isinstance(part, int) else None, [1, {"a": (2, 3)}])
    [10, {'a': (20, 30)}]
    >>> traverse(lambda part: MAP_TO_NONE if part == 1 else None, [1, 2])
    [None, 2]
    """

    def replaced(part: Any) -> tuple[bool, Any]:
        found = func(part)
        if found is None:
            return False, part
        return True, None if found is MAP_TO_NONE or isinstance(found, MAP_TO_NONE) else found

    def visit(part: Any) -> Any:
        if top_down:
            changed, part = replaced(part)
            if changed:
                return part
        if tree.is_nested(part):
            parts = {key: visit(item) for key, item in items(part)}
            part = tree.map_structure_up_to(_places(part), parts.__getitem__, _places(part))
        return part if top_down else replaced(part)[1]

    return visit(structure)


def _places(container: Any) -> Any:
    """The container with its keys or positions in place of what it holds."""
    make: Any = type(container)
    if isinstance(container, Mapping):
        keyed = {key: key for key in container}
        return make(keyed) if make is OrderedDict else keyed
    if hasattr(container, "_fields"):
        return make(*range(len(container)))
    return make(range(len(container)))
