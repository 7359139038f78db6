"""Moments, normalisations, attention and encodings against real Keras."""

import numpy as np
import pytest

from kbackend.core.convert import to_tensor
from kbackend.ops import nn

keras = pytest.importorskip("keras")


def _normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("axes", [0, (0, 2), [1], -1])
@pytest.mark.parametrize("keepdims", [True, False])
def test_moments(agrees, rng, axes, keepdims):
    agrees(
        lambda x: nn.moments(x, axes, keepdims=keepdims),
        lambda x: keras.ops.moments(x, axes, keepdims=keepdims),
        _normal(rng, 4, 3, 5), second=True,
    )  # fmt: skip


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("which", ["", "scale", "offset", "scale offset"])
def test_batch_normalization(agrees, rng, axis, which):
    names = which.split()
    x = _normal(rng, 4, 5, 5)
    mean, variance = _normal(rng, 5), rng.uniform(0.5, 2, 5).astype("float32")

    def of(fn):
        return lambda x, m, v, *rest: fn(x, m, v, axis, **dict(zip(names, rest, strict=True)))

    agrees(
        of(nn.batch_normalization), of(keras.ops.batch_normalization),
        x, mean, variance, *(_normal(rng, 5) for _ in names), second=True,
    )  # fmt: skip


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (-2, -1)])
@pytest.mark.parametrize("which", ["", "gamma", "beta", "gamma beta"])
def test_layer_normalization(agrees, rng, axis, which):
    names = which.split()
    shape = tuple(np.array((4, 3, 6))[np.atleast_1d(axis)])

    def of(fn):
        return lambda x, *rest: fn(x, axis=axis, **dict(zip(names, rest, strict=True)))

    agrees(
        of(nn.layer_normalization), of(keras.ops.layer_normalization),
        _normal(rng, 4, 3, 6), *(_normal(rng, *shape) for _ in names), second=True,
    )  # fmt: skip


@pytest.mark.parametrize("axis", [-1, (1, 2)])
@pytest.mark.parametrize("scaled", [True, False])
def test_rms_normalization(agrees, rng, axis, scaled):
    shape = tuple(np.array((4, 3, 6))[np.atleast_1d(axis)])
    scale = [_normal(rng, *shape)] if scaled else []
    agrees(
        lambda x, *s: nn.rms_normalization(x, *s, axis=axis),
        lambda x, *s: keras.ops.rms_normalization(x, *s, axis=axis),
        _normal(rng, 4, 3, 6), *scale, second=True,
    )  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("axis", [-1, 1])
def test_normalize(agrees, rng, order, axis):
    agrees(
        lambda x: nn.normalize(x, axis=axis, order=order),
        lambda x: keras.ops.normalize(x, axis=axis, order=order),
        _normal(rng, 4, 3, 6),
    )
    np.testing.assert_array_equal(nn.normalize(np.zeros((2, 2))), np.zeros((2, 2)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    x = to_tensor(np.linspace(0, 3e4, 1000).reshape(2, 500), dtype)  # squares overflow float16
    for y in (nn.layer_normalization(x), nn.rms_normalization(x), *nn.moments(x, -1)[:1]):
        assert y.dtype == dtype
        assert np.isfinite(np.asarray(y, "float32")).all()


ATTENTION = [
    {}, {"is_causal": True}, {"scale": 0.3},
]  # fmt: skip


@pytest.mark.parametrize("how", ATTENTION, ids=str)
@pytest.mark.parametrize("heads", [4, 2, 1])
def test_attention(agrees, rng, how, heads):
    agrees(
        lambda q, k, v: nn.dot_product_attention(q, k, v, **how),
        lambda q, k, v: keras.ops.dot_product_attention(q, k, v, flash_attention=False, **how),
        _normal(rng, 2, 5, 4, 3), _normal(rng, 2, 5, heads, 3), _normal(rng, 2, 5, heads, 3),
        second=heads == 4,
    )  # fmt: skip


def test_attention_with_soft_cap(agrees, rng):
    # Keras on JAX has this on TPUs only.
    def theirs(q, k, v):
        logits = keras.ops.einsum("btnh,bsnh->bnts", q, k) / np.sqrt(3)
        weights = keras.ops.softmax(1.5 * keras.ops.tanh(logits / 1.5))
        return keras.ops.einsum("bnts,bsnh->btnh", weights, v)

    agrees(
        lambda q, k, v: nn.dot_product_attention(q, k, v, attn_logits_soft_cap=1.5),
        theirs,
        *(_normal(rng, 2, 5, 4, 3) for _ in range(3)),
    )


def test_attention_with_bias_and_mask(agrees, rng):
    mask = rng.uniform(size=(2, 1, 5, 6)) > 0.4
    mask[0, 0, 1] = False  # a query that sees nothing
    agrees(
        lambda q, k, v, b: nn.dot_product_attention(q, k, v, bias=b, mask=mask),
        lambda q, k, v, b: keras.ops.dot_product_attention(
            q, k, v, bias=b, mask=mask, flash_attention=False
        ),
        _normal(rng, 2, 5, 2, 3), _normal(rng, 2, 6, 2, 3), _normal(rng, 2, 6, 2, 3),
        _normal(rng, 1, 2, 5, 6),
    )  # fmt: skip


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis):
    x = np.array([[1, 0, 3], [-1, 4, 2]])
    for dtype in (None, "int32", "bool"):
        found = nn.one_hot(x, 4, axis=axis, dtype=dtype)
        wanted = keras.ops.one_hot(x, 4, axis=axis, dtype=dtype)
        assert found.dtype == keras.backend.standardize_dtype(wanted.dtype)
        np.testing.assert_array_equal(found, wanted)
    assert nn.one_hot(np.array([200], "uint8"), 300).numpy()[0, 200] == 1


def test_multi_hot():
    for x in (np.array([[1, 2], [0, 0]]), np.array([3, 1])):
        np.testing.assert_array_equal(nn.multi_hot(x, 4), keras.ops.multi_hot(x, 4))
    with pytest.raises(ValueError, match=r"\[multi_hot\]"):
        nn.multi_hot([1])


def test_polar(agrees, rng):
    np.testing.assert_allclose(
        nn.polar([1.0, 2.0], [0.5, -3.0]), keras.ops.polar([1.0, 2.0], [0.5, -3.0]), rtol=1e-6
    )


def test_errors():
    with pytest.raises(ValueError, match=r"\[dot_product_attention\].*4 dimensions"):
        nn.dot_product_attention(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"\[batch_normalization\].*one element per"):
        nn.batch_normalization(np.zeros((2, 3)), np.zeros(2), np.zeros(3), -1)
    with pytest.raises(ValueError, match=r"\[layer_normalization\].*'eps'"):
        nn.layer_normalization(np.zeros((2, 3)), eps=1)
    with pytest.raises(ValueError, match=r"\[normalize\] 'order'"):
        nn.normalize(np.zeros(3), order=0)
