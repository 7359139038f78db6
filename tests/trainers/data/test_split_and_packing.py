"""Holding rows back, and batches as tuples."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from kbackend.trainers.data import (
    get_adapter,
    pack_x_y_sample_weight,
    train_validation_split,
    unpack_x_y_sample_weight,
)


def values(parts):
    return [
        np.concatenate([b[i] for b in get_adapter(*parts).batches()])
        for i, part in enumerate(parts)
        if part is not None
    ]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
def test_split_matches_keras(fraction):
    keras_split = pytest.importorskip(
        "keras.src.trainers.data_adapters.array_slicing"
    ).train_validation_split
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    (tx, ty, tw), (vx, vy, vw) = keras_split((x, y, None), fraction)
    train, validation = train_validation_split((x, y, None), fraction)
    assert train[2] is None
    assert validation[2] is None
    for ours, theirs in zip(values(train) + values(validation), (tx, ty, vx, vy), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_split_copies_nothing():
    x = np.zeros((10, 2), "float32")
    train, validation = train_validation_split((x,), 0.3)
    assert np.shares_memory(train[0].array, x)
    assert np.shares_memory(validation[0].array, x)


def test_split_of_structures_frames_and_sparse():
    x = {"a": pd.DataFrame({"u": range(5)}), "b": [scipy.sparse.eye(5)]}
    train, validation = train_validation_split((x, [1, 2, 3, 4, 5], None), 0.4)
    (batch,) = get_adapter(*validation).batches()
    np.testing.assert_array_equal(batch[0]["a"], [[3], [4]])
    np.testing.assert_array_equal(batch[0]["b"][0], np.eye(5)[3:])
    np.testing.assert_array_equal(batch[1], [4, 5])
    assert get_adapter(*train).num_rows == 3


@pytest.mark.parametrize(
    ("arrays", "fraction", "message"),
    [
        ((np.ones(4), np.ones(4)), 0.99, r"4 samples are too few.*0\.99"),
        ((np.ones(4), np.ones(4)), 0.0, r"between 0 and 1.*0\.0"),
        ((np.ones(4), np.ones(4)), 1.0, r"between 0 and 1"),
        ((np.ones(4), np.ones(3)), 0.5, r"x: 4, y: 3"),
        ((iter([1]), None), 0.5, r"arrays only.*validation_data"),
    ],
)
def test_split_errors(arrays, fraction, message):
    with pytest.raises(ValueError, match=message):
        train_validation_split(arrays, fraction)


def test_generator_split_names_its_type():
    with pytest.raises(ValueError, match="generator"):
        train_validation_split(((i for i in range(3)), None, None), 0.5)


@pytest.mark.parametrize("data", [1, (1,), (1, 2), (1, 2, 3), [1, 2], {"a": 1}], ids=str)
def test_unpack_matches_keras(data):
    keras = pytest.importorskip("keras")
    assert unpack_x_y_sample_weight(data) == keras.utils.unpack_x_y_sample_weight(data)


@pytest.mark.parametrize("data", [(1,), (1, 2), (1, 2, 3), ([1, 2],), ((1, 2),)], ids=str)
def test_pack_matches_keras(data):
    keras = pytest.importorskip("keras")
    assert pack_x_y_sample_weight(*data) == keras.utils.pack_x_y_sample_weight(*data)


def test_pack_keeps_weights_without_targets():
    assert pack_x_y_sample_weight(1, None, 3) == (1, None, 3)


@pytest.mark.parametrize("data", [(), (1, 2, 3, 4)])
def test_unpack_refuses_other_lengths(data):
    with pytest.raises(ValueError, match=f"{len(data)} entries"):
        unpack_x_y_sample_weight(data)
