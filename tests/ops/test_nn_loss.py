"""Cross entropies against real Keras, with gradients of both orders in both arguments."""

import numpy as np
import pytest

from kbackend.core.convert import to_tensor
from kbackend.ops import nn

keras = pytest.importorskip("keras")


def _probabilities(rng, shape, axis=-1):
    x = np.exp(rng.normal(size=shape))
    return (x / x.sum(axis, keepdims=True)).astype("float32")


@pytest.mark.parametrize("axis", [-1, 1, 0])
@pytest.mark.parametrize("from_logits", [True, False])
def test_categorical(agrees, rng, from_logits, axis):
    shape = (5, 4, 6)
    target = _probabilities(rng, shape, axis)
    target[0] *= 0.5  # targets need not sum to 1
    output = rng.normal(size=shape).astype("float32") if from_logits else _probabilities(rng, shape)
    how = {"from_logits": from_logits, "axis": axis}
    agrees(
        lambda t, y: nn.categorical_crossentropy(t, y, **how),
        lambda t, y: keras.ops.categorical_crossentropy(t, y, **how),
        target, output, second=True, batch=axis != 0,
    )  # fmt: skip


@pytest.mark.parametrize(("shape", "axis"), [((5, 6), -1), ((5, 4, 6), -1), ((5, 6, 4), 1)])
@pytest.mark.parametrize("from_logits", [True, False])
def test_sparse_categorical(agrees, rng, from_logits, shape, axis):
    labels = rng.integers(0, 6, size=[d for i, d in enumerate(shape) if i != axis % len(shape)])
    labels = labels.astype("int32")
    labels.reshape(-1)[:2] = [-1, 6]  # no class at all
    output = rng.normal(size=shape).astype("float32")
    if not from_logits:
        output = np.exp(output)
    how = {"from_logits": from_logits, "axis": axis}
    agrees(
        lambda t, y: nn.sparse_categorical_crossentropy(t, y, **how),
        # Keras checks shapes as if the classes were last.
        lambda t, y: keras.ops.sparse_categorical_crossentropy(
            t, keras.ops.moveaxis(y, axis, -1), from_logits=from_logits
        ),
        labels, output, second=True, batch=False,
    )  # fmt: skip


@pytest.mark.parametrize("from_logits", [True, False])
def test_binary(agrees, rng, from_logits):
    target = rng.uniform(size=(5, 4)).astype("float32")
    output = (
        rng.normal(size=(5, 4)).astype("float32") * 4
        if from_logits
        else rng.uniform(0.01, 0.99, size=(5, 4)).astype("float32")
    )
    agrees(
        lambda t, y: nn.binary_crossentropy(t, y, from_logits=from_logits),
        lambda t, y: keras.ops.binary_crossentropy(t, y, from_logits=from_logits),
        target, output, second=True,
    )  # fmt: skip


def test_clipping_of_certain_predictions(agrees):
    one, zero = np.array([1.0, 0.0, 1.0, 0.0], "float32"), np.array([1.0, 0.0, 0.0, 1.0], "float32")
    agrees(nn.binary_crossentropy, keras.ops.binary_crossentropy, one, zero)
    target = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    output = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")
    agrees(nn.categorical_crossentropy, keras.ops.categorical_crossentropy, target, output)
    labels = np.array([0, 1], "int32")
    agrees(
        nn.sparse_categorical_crossentropy,
        keras.ops.sparse_categorical_crossentropy,
        labels,
        output,
        batch=False,
    )


def test_large_logits_stay_finite():
    losses = nn.sparse_categorical_crossentropy([0, 1], [[1e4, 0.0]] * 2, from_logits=True)
    np.testing.assert_array_equal(losses, [0.0, 1e4])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_dtypes(dtype):
    for name in ("binary_crossentropy", "categorical_crossentropy"):
        y = keras.ops.cast([[1.0, 1.0]], dtype)
        wanted = getattr(keras.ops, name)(keras.ops.cast([[1.0, 0.0]], "float16"), y).dtype
        found = getattr(nn, name)(to_tensor([[1.0, 0.0]], "float16"), to_tensor([[1, 1]], dtype))
        if dtype != "int32":
            assert found.dtype == keras.backend.standardize_dtype(wanted)


def test_labels_with_a_last_dimension_of_one():
    y = np.array([[0.2, 0.8], [0.5, 0.5]], "float32")
    assert nn.sparse_categorical_crossentropy(np.array([[1], [0]]), y).shape == (2,)


def test_psnr(agrees, rng):
    a, b = rng.uniform(size=(2, 3, 4)).astype("float32")
    agrees(
        lambda x, y: nn.psnr(x, y, 2.0), lambda x, y: keras.ops.psnr(x, y, 2.0), a, b, batch=False
    )


def test_errors():
    with pytest.raises(ValueError, match=r"\[categorical_crossentropy\].*same shape.*\(2, 3\)"):
        nn.categorical_crossentropy(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"\[sparse_categorical_crossentropy\].*without the"):
        nn.sparse_categorical_crossentropy(np.zeros((3,)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"\[binary_crossentropy\]"):
        nn.binary_crossentropy(np.zeros(2), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"\[psnr\]"):
        nn.psnr(np.zeros(2), np.zeros(3), 1.0)
