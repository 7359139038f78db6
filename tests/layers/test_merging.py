"""Layers and functions that merge tensors, against real Keras."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer

M1 = np.array([[True, False], [True, True]])
M2 = np.array([[False, False], [True, False]])
ELEMENTWISE = ["Add", "Multiply", "Average", "Maximum", "Minimum"]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_three_tensors(name):
    check_layer(name, {}, [(2, 3, 4)] * 3)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Subtract"])
@pytest.mark.parametrize("masks", [[M1, M2], [M1, None], [None, M2]])
def test_masks(name, masks):
    check_layer(name, {}, [(2, 2, 3), (2, 2, 3)], mask=masks, symbolic=False)


def test_masks_of_three():
    masks = [M1, M2, np.array([[False, True], [False, False]])]
    for name in ("Multiply", "Maximum", "Minimum"):
        check_layer(name, {}, [(2, 2, 3)] * 3, mask=masks, symbolic=False)


@pytest.mark.parametrize(
    "shapes", [[(2, 3, 4), (2, 4)], [(2, 4), (2, 3, 4)], [(2, 1, 4), (2, 3, 1)], [(2, 3)]]
)
def test_broadcasting(shapes):
    check_layer("Add", {}, shapes)


def test_broadcasting_of_the_rest():
    for name in ("Subtract", "Maximum"):
        check_layer(name, {}, [(2, 3, 4), (2, 4)])


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_concatenate(axis):
    shapes = [(2, 2, 3), (2, 2, 3)]
    shapes[1] = tuple(4 if i == axis % 3 else d for i, d in enumerate(shapes[1]))
    check_layer("Concatenate", {"axis": axis}, shapes)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("masks", [[M1, M2], [M1, None]])
def test_masks_concatenated(axis, masks):
    check_layer("Concatenate", {"axis": axis}, [(2, 2, 3), (2, 2, 3)], mask=masks, symbolic=False)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("axes", "shapes"),
    [
        (1, [(2, 3), (2, 3)]),
        ((1, 2), [(2, 3, 4), (2, 5, 3)]),
        (-1, [(2, 3, 4), (2, 5, 4)]),
        ((3, 1), [(2, 3, 2, 4), (2, 4, 3, 2)]),
        ((1, 1), [(2, 3, 4), (2, 3)]),
    ],
)
def test_dot(axes, shapes, normalize):
    check_layer("Dot", {"axes": axes, "normalize": normalize}, shapes)


def test_cosines_in_half_precision():
    x = np.array([[3.0, 4.0]])
    out = layers.Dot(axes=1, normalize=True, dtype="float16")([x, 2 * x])
    # float16 has 11 bits.
    np.testing.assert_allclose(out.numpy(), [[1.0]], rtol=2e-3)


def test_dot_drops_masks():
    pair = check_layer("Dot", {"axes": 1}, [(2, 2, 3), (2, 2, 3)], mask=[M1, M2], symbolic=False)
    assert not hasattr(pair.output, "_keras_mask") or pair.output._keras_mask is None


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (layers.add, [[4.0, 6.0]]),
        (layers.subtract, [[-2.0, -2.0]]),
        (layers.multiply, [[3.0, 8.0]]),
        (layers.average, [[2.0, 3.0]]),
        (layers.maximum, [[3.0, 4.0]]),
        (layers.minimum, [[1.0, 2.0]]),
        (layers.concatenate, [[1.0, 2.0, 3.0, 4.0]]),
        (layers.dot, [[11.0]]),
    ],
)
def test_functions(fn, expected):
    x, y = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    assert fn([x, y]).tolist() == expected
    made = fn([kbackend.Input((2,)), kbackend.Input((2,))], name="merged")
    assert made.shape == (None, len(expected[0]))


def test_masks_in_a_functional_graph():
    a, b = kbackend.Input((2,), dtype="int32"), kbackend.Input((2,), dtype="int32")
    embed = layers.Embedding(5, 3, mask_zero=True)
    out = layers.Add()([embed(a), embed(b)])
    assert out._keras_mask.shape == (None, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Add()(np.ones((2, 2))), "list of at least one tensor"),
        (lambda: layers.Add()([np.ones((2, 3)), np.ones((2, 4))]), "don't fit together"),
        (lambda: layers.Add()([np.ones((1, 3)), np.ones((2, 3))]), "different batch sizes"),
        (lambda: layers.Subtract()([np.ones((2, 2))] * 3), "exactly 2 tensors"),
        (lambda: layers.Concatenate(1)([np.ones((2, 2)), np.ones((3, 3))]), "the same but for"),
        (lambda: layers.Dot((1, 2, 3)), "two ints"),
        (lambda: layers.Dot((1, "a")), "two ints"),
        (lambda: layers.Dot(1)([np.ones((2, 2)), np.ones((2, 3))]), "sizes 2 and 3 along"),
        (lambda: layers.Dot(0)([np.ones((2, 2)), np.ones((2, 2))]), "can't sum over the batch"),
        (lambda: layers.Dot(1)([np.ones((2, 2))]), "exactly 2 tensors"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_dot_takes_ints():
    with pytest.raises(TypeError, match="'axes' must be an int or two ints"):
        layers.Dot("a")
