"""`kbackend.tree` against `keras.tree`."""

from collections import namedtuple

import numpy as np
import pytest

from kbackend import tree

keras = pytest.importorskip("keras")
old = keras.tree

Pair = namedtuple("Pair", "a b")
STRUCTURES = [
    3,
    None,
    [],
    {},
    [1, 2],
    (1, [2, (3,)]),
    {"b": 1, "a": [2, None, (3,)]},
    Pair(1, {"x": 2}),
    [Pair((1,), [2]), {"z": (), "y": 4}],
]


def outcome(fn, *args, **kwargs):
    """What a call returns, or that it is refused."""
    try:
        return fn(*args, **kwargs)
    except (TypeError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_one_structure(structure):
    assert tree.is_nested(structure) == old.is_nested(structure)
    flat = tree.flatten(structure)
    assert flat == old.flatten(structure)
    for name in ("lists_to_tuples",):
        assert getattr(tree, name)(structure) == getattr(old, name)(structure)
    new = list(range(100, 100 + len(flat)))
    assert tree.pack_sequence_as(structure, new) == old.pack_sequence_as(structure, new)
    for wrong in (new + [0], new[:-1] if new else [0]):
        assert outcome(tree.pack_sequence_as, structure, wrong) is ValueError
    for flag in (True, False):
        found = tree.map_structure(lambda x: ("leaf", x), structure, none_is_leaf=flag)
        assert found == old.map_structure(lambda x: ("leaf", x), structure, none_is_leaf=flag)


def test_paths():
    structure = {"b": [1, (2,)], "a": 3}
    assert tree.flatten_with_path(structure) == old.flatten_with_path(structure)
    assert tree.flatten_with_path(3) == old.flatten_with_path(3) == [((), 3)]


@pytest.mark.parametrize(
    "pair",
    [
        ([1, 2], [3, 4]), ([1], (1,)), ([1], [1, 2]), ({"a": 1}, {"b": 1}), ({"a": 1}, {"a": 2}),
        ([1], [[1]]), ([[1]], [1]), ({"a": [1]}, {"a": (1,)}), (1, 2), (Pair(1, 2), (1, 2)),
        ({"a": 1}, [1]),
    ],
    ids=repr,
)  # fmt: skip
def test_two_structures(pair):
    assert outcome(tree.assert_same_paths, *pair) == outcome(old.assert_same_paths, *pair)

    def join(x, y):
        return x, y

    assert outcome(tree.map_structure, join, *pair) == outcome(old.map_structure, join, *pair)
    found = outcome(tree.map_structure_up_to, pair[0], join, *pair)
    assert found == outcome(old.map_structure_up_to, pair[0], join, *pair)
    assert outcome(tree.assert_same_structure, *pair) == outcome(old.assert_same_structure, *pair)


def test_map_structure_up_to():
    found = tree.map_structure_up_to([0, 0], lambda x, y: (x, y), [1, [2, 3]], [[4], 5])
    assert found == [(1, [4]), ([2, 3], 5)]
    assert outcome(tree.map_structure_up_to, [0, 0], len, [[1]]) is ValueError


def test_map_structure_refuses():
    with pytest.raises(TypeError, match="must be callable"):
        tree.map_structure(3, [1])
    with pytest.raises(ValueError, match="at least one structure"):
        tree.map_structure(len)


@pytest.mark.parametrize(
    "shapes",
    [{"a": (2, 3), "b": [(4,), (None, 5)]}, [2, 3], ((1, 2), [3, None], ()), (), [(1,)]],
    ids=repr,
)
def test_map_shape_structure(shapes):
    found = tree.map_shape_structure(lambda shape: tuple(shape) + (9,), shapes)
    assert found == old.map_shape_structure(lambda shape: tuple(shape) + (9,), shapes)


@pytest.mark.parametrize("top_down", [True, False])
def test_traverse_visits_the_same_parts(top_down):
    structure = [1, {"b": (2, 3), "a": Pair(4, [])}]
    seen, expected = [], []
    found = tree.traverse(seen.append, structure, top_down=top_down)
    assert old.traverse(expected.append, structure, top_down=top_down) == found == structure
    assert seen == expected


@pytest.mark.parametrize("top_down", [True, False])
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x + 1 if isinstance(x, int) else None,
        lambda x: "tuple" if isinstance(x, tuple) else None,
        lambda x: [x] if isinstance(x, int) else None,
    ],
)
def test_traverse_replaces(fn, top_down):
    structure = [1, {"b": (2, 3), "a": [4]}]
    found = tree.traverse(fn, structure, top_down=top_down)
    assert found == old.traverse(fn, structure, top_down=top_down)


def test_traverse_to_none():
    for none in (tree.MAP_TO_NONE, tree.MAP_TO_NONE()):
        assert tree.traverse(lambda x, n=none: n if x == 1 else None, [1, (1, 2)]) == [
            None, (None, 2)
        ]  # fmt: skip


def test_check_types_warns():
    with pytest.warns(DeprecationWarning, match="no effect"):
        tree.assert_same_structure([1], [2], check_types=True)


def test_arrays_are_leaves():
    array = np.zeros((2, 2))
    assert tree.flatten([array])[0] is array


def test_names():
    assert {name for name in dir(old) if name[0] != "_"} <= set(tree.__all__)
