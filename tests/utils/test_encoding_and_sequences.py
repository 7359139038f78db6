"""`to_categorical`, `normalize` and `pad_sequences` against Keras, and their errors."""

import numpy as np
import pytest

from kbackend import utils
from kbackend.utils import normalize, pad_sequences, to_categorical

keras = pytest.importorskip("keras")


@pytest.mark.parametrize(
    ("x", "classes"),
    [
        ([0, 1, 2, 1], None),
        (np.array([[1], [0]]), 4),
        (np.array([[1, 2], [0, 3]]), None),
        (2, 4),
        (np.array([1.7, 0.2]), 3),
        ([], 3),
    ],
)
def test_to_categorical_matches_keras(x, classes):
    ours, theirs = to_categorical(x, classes), keras.utils.to_categorical(x, classes)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("x", [[3], [-1]])
def test_to_categorical_range(x):
    with pytest.raises(IndexError, match=f"num_classes=3.*{x[0]}"):
        to_categorical(x, 3)


@pytest.mark.parametrize("order", [1, 2, np.inf])
@pytest.mark.parametrize("axis", [-1, 1])
def test_normalize_matches_keras(axis, order):
    x = np.random.default_rng(0).normal(size=(3, 4))
    x[1] = 0
    np.testing.assert_allclose(
        normalize(x, axis, order), keras.utils.normalize(x, axis, order), rtol=1e-12
    )


def test_normalize_along_the_first_axis():
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_array_equal(normalize(x, axis=0), normalize(x.T).T)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"maxlen": 2},
        {"maxlen": 5, "padding": "post", "value": 7},
        {"maxlen": 2, "truncating": "post"},
        {"maxlen": 2, "padding": "post", "truncating": "post", "dtype": "float64"},
    ],
)
@pytest.mark.parametrize(
    "sequences",
    [
        [[1], [2, 3], [4, 5, 6]],
        [[], [1, 2, 3, 4]],
        [[[1, 2]], [[3, 4], [5, 6], [7, 8]]],
        [np.arange(3), (1, 2)],
    ],
)
def test_pad_sequences_matches_keras(sequences, options):
    ours, theirs = (
        pad_sequences(sequences, **options),
        keras.utils.pad_sequences(sequences, **options),
    )
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_pad_sequences_of_strings_and_of_nothing():
    padded = pad_sequences([["a"], ["b", "c"]], dtype=object, value="-")
    assert padded.tolist() == [["-", "a"], ["b", "c"]]
    assert pad_sequences([]).shape == (0, 0)
    assert pad_sequences([[]]).shape == (1, 0)
    assert pad_sequences([[1, 2]], maxlen=0).shape == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequences": 3}, "list of sequences.*3"),
        ({"sequences": [1, 2]}, "sequence itself.*1"),
        ({"sequences": [[1]], "padding": "x"}, "padding='x'"),
        ({"sequences": [[1]], "truncating": "x"}, "truncating='x'"),
        ({"sequences": [[1]], "value": "a"}, "dtype=object"),
        ({"sequences": [[[1, 2]], [[3]]]}, r"\(2,\) first, but \(1,\) in sequence 1"),
    ],
)
def test_pad_sequences_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        pad_sequences(**arguments)


def test_every_lazy_name_resolves():
    names = [name for name in dir(utils) if not name.startswith("_")]
    assert "get_file" in names
    for name in names:
        assert getattr(utils, name) is not utils
    assert utils.Sequence is utils.PyDataset
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = utils.nonsense
