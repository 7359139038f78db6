"""Nested structures: maps over tuples, lists and dicts of leaves.

Dict entries are visited in sorted key order where keys can be sorted, so that two dicts with the
same keys always flatten alike; an OrderedDict keeps its own order. `None` is a leaf.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a container this module looks into."""
    return isinstance(structure, (list, tuple, Mapping))


def keys_of(structure: Mapping[Any, Any]) -> list[Any]:
    """The keys in the order in which their entries are visited."""
    if isinstance(structure, OrderedDict):
        return list(structure)
    try:
        return sorted(structure)
    except TypeError:  # keys of mixed types keep their insertion order
        return list(structure)


def iter_leaves(structure: Any) -> Iterator[Any]:
    """Leaves of `structure`, depth first."""
    if isinstance(structure, Mapping):
        for key in keys_of(structure):
            yield from iter_leaves(structure[key])
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            yield from iter_leaves(item)
    else:
        yield structure


def flatten(structure: Any) -> list[Any]:
    """List of the leaves of `structure`, depth first."""
    if not is_nested(structure):
        return [structure]
    return list(iter_leaves(structure))


def flatten_with_path(structure: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, Any]]:
    """List of `(path, leaf)` pairs, a path being the tuple of keys and indices that lead there."""
    if isinstance(structure, Mapping):
        pairs = [(key, structure[key]) for key in keys_of(structure)]
    elif isinstance(structure, (list, tuple)):
        pairs = list(enumerate(structure))
    else:
        return [(prefix, structure)]
    return [found for key, item in pairs for found in flatten_with_path(item, (*prefix, key))]


def _rebuild(like: Any, children: list[Any]) -> Any:
    """A container of the kind of `like` (lists, tuples, named tuples) holding `children`."""
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*children)
    if isinstance(like, (list, tuple)):
        cls = type(like)
        # Subclasses with bookkeeping of their own (tracked lists) come back as the plain kind.
        return (cls if cls in (list, tuple) else (list if isinstance(like, list) else tuple))(
            children
        )
    return children


def _map_dict(like: Mapping[Any, Any], children: dict[Any, Any]) -> Any:
    # Keep the original insertion order and, for the usual classes, the class.
    ordered = {key: children[key] for key in like}
    if isinstance(like, OrderedDict):
        return OrderedDict(ordered)
    if isinstance(like, defaultdict):
        return defaultdict(like.default_factory, ordered)
    return ordered


def map_structure(fn: Callable[..., Any], structure: Any, *others: Any) -> Any:
    """Applies `fn` to the corresponding leaves of one or more structures of the same form.

    Args:
        fn: called with one leaf of each structure.
        structure: the structure that gives the result its form.
        *others: structures of the same form.

    Returns:
        A structure of the form of the first one, with the results as leaves.

    Raises:
        ValueError: the forms differ.

    Example:
        >>> map_structure(lambda a, b: a + b, {"u": 1, "v": (2, 3)}, {"u": 10, "v": (20, 30)})
        {'u': 11, 'v': (22, 33)}
    """
    if isinstance(structure, Mapping):
        for other in others:
            if not isinstance(other, Mapping) or set(other) != set(structure):
                raise ValueError(f"Structures differ: {structure!r} and {other!r}.")
        return _map_dict(
            structure,
            {
                k: map_structure(fn, structure[k], *(o[k] for o in others))
                for k in keys_of(structure)
            },
        )
    if isinstance(structure, (list, tuple)):
        for other in others:
            if not isinstance(other, (list, tuple)) or len(other) != len(structure):
                raise ValueError(f"Structures differ: {structure!r} and {other!r}.")
        return _rebuild(
            structure,
            [map_structure(fn, *items) for items in zip(structure, *others, strict=True)],
        )
    return fn(structure, *others)


def map_structure_up_to(shallow: Any, fn: Callable[..., Any], *structures: Any) -> Any:
    """Like `map_structure`, but descends only as deep as `shallow` does."""
    if isinstance(shallow, Mapping):
        return _map_dict(
            shallow,
            {k: map_structure_up_to(shallow[k], fn, *(s[k] for s in structures)) for k in shallow},
        )
    if isinstance(shallow, (list, tuple)):
        return _rebuild(
            shallow,
            [
                map_structure_up_to(item, fn, *(s[i] for s in structures))
                for i, item in enumerate(shallow)
            ],
        )
    return fn(*structures)


def pack_as(structure: Any, leaves: Any) -> Any:
    """A structure of the form of `structure` with `leaves` (in flattening order) as its leaves.

    Raises:
        ValueError: there are more or fewer leaves than places.

    Example:
        >>> pack_as({"a": 0, "b": [0, 0]}, [1, 2, 3])
        {'a': 1, 'b': [2, 3]}
    """
    stream = iter(leaves)
    missing = object()

    def take(_: Any) -> Any:
        leaf = next(stream, missing)
        if leaf is missing:
            raise ValueError(f"Too few leaves for the structure {structure!r}.")
        return leaf

    packed = map_structure(take, structure)
    if next(stream, missing) is not missing:
        raise ValueError(f"Too many leaves for the structure {structure!r}.")
    return packed


def assert_same_structure(a: Any, b: Any) -> None:
    """Raises `ValueError` unless `a` and `b` have the same form."""
    map_structure(lambda *_: None, a, b)


def lists_to_tuples(structure: Any) -> Any:
    """The same structure with every list turned into a tuple (so that it can be hashed)."""
    if isinstance(structure, Mapping):
        return {key: lists_to_tuples(value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        items = [lists_to_tuples(item) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    return structure
