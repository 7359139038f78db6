"""The ground floor: promotion, nested structures, shape arithmetic, names."""

import collections
import itertools
import threading

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from kbackend.base import dtypes, naming, shapes, tree
from kbackend.base.dtypes import NUMPY_DTYPES, result_type, standardize_dtype

keras = pytest.importorskip("keras")

_NAMES = [name for name in NUMPY_DTYPES if "float8" not in name]
_WEAK = [bool, int, float, complex]
# JAX without its 64-bit mode, which real Keras computes with here, has these in place of ours.
_NARROW = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}


@pytest.mark.parametrize("a", [*_NAMES, *_WEAK], ids=str)
def test_promotion_is_that_of_keras(a):
    for b in [*_NAMES, *_WEAK]:
        found = result_type(a, b)
        assert _NARROW.get(found, found) == keras.backend.result_type(a, b), (a, b)


@pytest.mark.parametrize("a", _NAMES)
def test_promotion_is_symmetric_idempotent_and_associative(a):
    assert result_type(a, a) == a
    for b in _NAMES:
        assert result_type(a, b) == result_type(b, a)
        for c in _NAMES:
            three = result_type(a, b, c)
            assert dtypes._UPPER[three] <= dtypes._UPPER[a] & dtypes._UPPER[b] & dtypes._UPPER[c]


def test_promotion_keeps_64_bits():
    assert result_type("int64", "int8") == "int64"
    assert result_type("float64", float) == "float64"
    assert result_type("uint32", "int32") == "int64"
    assert result_type("uint64", "int8") == "float32"
    assert result_type() == "float32" == result_type(None)


def test_weak_types_never_widen():
    for name in ("float16", "bfloat16", "float32", "float64"):
        for weak in (bool, int, float):
            assert result_type(name, weak) == name
    assert result_type("uint8", int) == "uint8"
    assert result_type("int8", float) == "float32"


class _Duck:
    """Another framework's dtype, by its text or its name."""

    def __init__(self, text, name=None):
        self.text = text
        if name is not None:
            self.name = name

    def __str__(self):
        return self.text


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        (None, "float32"), ("int", "int32"), (int, "int32"), (float, "float32"), (bool, "bool"),
        (complex, "complex64"), (np.float64, "float64"), (np.dtype(">f4"), "float32"),
        (np.dtype("longlong"), "int64"), (np.bool_, "bool"), (ml_dtypes.bfloat16, "bfloat16"),
        (np.dtype(ml_dtypes.bfloat16), "bfloat16"), (_Duck("torch.float16"), "float16"),
        (_Duck("torch.int64"), "int64"), (_Duck("<dtype: 'x'>", name="uint8"), "uint8"),
        ("string", "string"), (str, "string"),
    ],
)  # fmt: skip
def test_standardize_dtype_takes_the_usual_spellings(given_as, expected):
    assert standardize_dtype(given_as) == expected


@pytest.mark.parametrize("wrong", ["float31", "", 3, _Duck("torch.qint8"), "f4", np.datetime64])
def test_standardize_dtype_refuses_others(wrong):
    with pytest.raises(ValueError, match="Invalid dtype.*float32"):
        standardize_dtype(wrong)


Point = collections.namedtuple("Point", "x y")
STRUCTURES = [
    {"b": 1, "a": [2, (3, None)]},
    Point(1, [2, 3]),
    collections.OrderedDict([("z", 1), ("a", 2)]),
    collections.defaultdict(list, {"q": 1}),
    [], {}, (), {"a": {}, "b": [[]]}, None, 5, {2: 1, 1: 0}, [Point({"k": 1}, ()), "text"],
]  # fmt: skip


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_trees_are_those_of_keras(structure):
    assert tree.flatten(structure) == keras.tree.flatten(structure)
    assert list(tree.iter_leaves(structure)) == keras.tree.flatten(structure)
    assert tree.flatten_with_path(structure) == keras.tree.flatten_with_path(structure)
    ours = tree.map_structure(lambda x: (x, 1), structure)
    theirs = keras.tree.map_structure(lambda x: (x, 1), structure)
    assert repr(ours) == repr(theirs)
    leaves = [object() for _ in tree.flatten(structure)]
    packed = tree.pack_as(structure, leaves)
    assert repr(packed) == repr(keras.tree.pack_sequence_as(structure, leaves))
    assert all(a is b for a, b in zip(tree.flatten(packed), leaves, strict=True))
    tree.assert_same_structure(structure, packed)


def test_trees_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="Structures differ"):
        tree.map_structure(lambda a, b: a, {"a": 1}, {"b": 1})
    with pytest.raises(ValueError, match="Structures differ"):
        tree.map_structure(lambda a, b: a, [1, 2], [1])
    with pytest.raises(ValueError, match="Too few"):
        tree.pack_as([1, 2], [3])
    with pytest.raises(ValueError, match="Too many"):
        tree.pack_as([1, 2], [3, 4, 5])


def test_map_up_to_and_tuples():
    shallow = {"a": 0, "b": [0]}
    deep = {"a": [1, 2], "b": [{"c": 3}]}
    assert tree.map_structure_up_to(shallow, repr, deep) == {"a": "[1, 2]", "b": ["{'c': 3}"]}
    assert tree.lists_to_tuples([1, [2, {"a": [3]}], Point([4], 5)]) == (
        1, (2, {"a": (3,)}), Point((4,), 5),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4))
def test_broadcast_is_that_of_numpy(found):
    assert shapes.broadcast(*found.input_shapes) == found.result_shape


@settings(max_examples=200, deadline=None)
@given(*[st.lists(st.integers(0, 3), max_size=3).map(tuple)] * 2)
def test_broadcast_refuses_what_numpy_refuses(a, b):
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="can't be broadcast"):
            shapes.broadcast(a, b)
    else:
        assert shapes.broadcast(a, b) == expected


def test_broadcast_of_unknown_dimensions():
    assert shapes.broadcast((None, 3), (5, 1)) == (5, 3)
    assert shapes.broadcast((None,), (1,)) == (None,)
    assert shapes.broadcast((None,), (None,)) == (None,)
    with pytest.raises(ValueError, match="can't be broadcast"):
        shapes.broadcast((None, 3), (2, 4))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.lists(st.integers(-1, 6), max_size=3).map(tuple),
)
def test_reshaped_is_that_of_numpy(shape, new):
    try:
        expected = np.empty(shape).reshape(new).shape
    except ValueError:
        with pytest.raises(ValueError):
            shapes.reshaped(shape, new)
    else:
        assert shapes.reshaped(shape, new) == expected


def test_reshaped_with_unknown_dimensions():
    assert shapes.reshaped((None, 4, 5), (None, -1)) == (None, 20)
    assert shapes.reshaped((None, 4), (-1, 2)) == (None, 2)
    assert shapes.reshaped((6, 4), (None, 8)) == (3, 8)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_windows_against_brute_force(padding):
    for size, k, s, d in itertools.product(range(1, 9), (1, 2, 3), (1, 2, 3), (1, 2)):
        ((low, high),) = shapes.window_padding(padding, (size,), (k,), (s,), (d,))
        out = shapes.window_output(size, k, s, (low, high), d)
        starts = [p for p in range(-low, size + high, s) if p + (k - 1) * d < size + high]
        assert out == len(starts)
        if padding == "same":
            assert out == -(-size // s)
            assert 0 <= high - low <= 1
        if padding == "causal":
            # The last element that a window sees is never after its own place.
            assert all(p + (k - 1) * d == i * s for i, p in enumerate(starts))


@pytest.mark.parametrize("wrong", [(2, -1), ("a",), (1.5,), None])
def test_standardize_shape_refuses(wrong):
    with pytest.raises(ValueError, match="[Ss]hape"):
        shapes.standardize_shape(wrong)


def test_axes():
    assert shapes.canonical_axes((-1, 0), 3) == (0, 2)
    assert shapes.canonical_axes(None, 2) == (0, 1)
    with pytest.raises(ValueError, match="twice"):
        shapes.canonical_axes((1, -1), 2)
    with pytest.raises(ValueError, match="out of bounds"):
        shapes.canonical_axis(2, 2)
    with pytest.raises(ValueError, match="integer"):
        shapes.canonical_axis("x", 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Conv2DTranspose", "conv2d_transpose"), ("LSTMCell", "lstm_cell"), ("ReLU", "re_lu"),
        ("MyHTTPServer", "my_http_server"), ("GRU", "gru"), ("a b", "ab"), ("Dense_1", "dense_1"),
        ("GlobalAveragePooling1D", "global_average_pooling1d"),
    ],
)  # fmt: skip
def test_snake_case(name, expected):
    assert naming.to_snake_case(name) == expected


def test_names_stay_apart_across_threads():
    names = []

    def work():
        names.extend(naming.auto_name("Thing") for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 800
    assert {"thing", "thing_1", "thing_799"} <= set(names)
    assert naming.unique_among("a", {"a", "a_1"}) == "a_2"
