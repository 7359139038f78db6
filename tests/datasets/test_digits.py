"""The digits that ship with the package."""

import importlib.resources

import numpy as np
import pytest

from kbackend.datasets import digits


def test_default_split():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert x_train.shape[1:] == x_test.shape[1:] == (8, 8)
    assert len(x_train) == len(y_train)
    assert len(x_train) + len(x_test) == 1797
    assert x_train.dtype == y_train.dtype == "uint8"
    assert (x_train.min(), x_train.max()) == (0, 16)
    # Of each of the ten digits a fifth, rounded: half a row off at most.
    held = np.bincount(y_test) / (np.bincount(y_train) + np.bincount(y_test))
    np.testing.assert_allclose(held, 0.2, atol=0.5 / 174)


def test_split_is_fixed_and_shuffled():
    first, second = digits.load_data(), digits.load_data()
    np.testing.assert_array_equal(first[0][0], second[0][0])
    np.testing.assert_array_equal(first[1][1], second[1][1])
    # Every digit is among the first hundred labels, as it would not be if they were sorted.
    assert set(first[0][1][:100].tolist()) == set(range(10))


def test_parts_make_up_the_original_data():
    sklearn = pytest.importorskip("sklearn.datasets")
    original = sklearn.load_digits()
    (x_train, y_train), (x_test, y_test) = digits.load_data(flatten=True)
    ours = np.column_stack([np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])])
    theirs = np.column_stack([original.data, original.target])
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.astype(int).tolist()))


@pytest.mark.parametrize("fraction", [0, 0.5])
def test_other_fractions(fraction):
    (x_train, _), (x_test, _) = digits.load_data(test_fraction=fraction)
    assert len(x_test) == pytest.approx(fraction * 1797, abs=5)
    assert len(x_train) + len(x_test) == 1797


@pytest.mark.parametrize("fraction", [1, -0.1])
def test_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match=f"test_fraction={fraction}"):
        digits.load_data(fraction)


def test_file_is_small():
    content = importlib.resources.files("kbackend.datasets").joinpath("digits.npz").read_bytes()
    assert len(content) < 100_000
