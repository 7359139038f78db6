"""Convolutions and pooling against real Keras, in both data formats."""

import numpy as np
import pytest

from kbackend.ops import nn
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")


def _image(rng, shape, data_format):
    x = rng.normal(size=shape).astype("float32")
    return np.moveaxis(x, -1, 1).copy() if data_format == "channels_first" else x


CONV = [
    ((2, 9, 3), (3, 3, 4), {}),
    ((2, 9, 3), (2, 3, 4), {"strides": 2, "padding": "same"}),
    ((2, 8, 7, 4), (3, 2, 4, 6), {"strides": (2, 1), "padding": "same"}),
    ((2, 8, 7, 4), (3, 3, 2, 6), {"padding": "same", "dilation_rate": 2}),
    ((2, 8, 7, 4), (3, 3, 1, 4), {}),
    ((1, 5, 5, 4, 2), (2, 2, 3, 2, 3), {"padding": "SAME"}),
]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("x", "w", "how"), CONV, ids=range(len(CONV)))
def test_conv(agrees, rng, x, w, how, data_format):
    how = {**how, "data_format": data_format}
    agrees(
        lambda x, w: nn.conv(x, w, **how), lambda x, w: keras.ops.conv(x, w, **how),
        _image(rng, x, data_format), rng.normal(size=w).astype("float32"), rtol=1e-3, atol=1e-4,
        grads=data_format == "channels_last",
    )  # fmt: skip


def test_causal_conv_sees_the_past_only(rng):
    x, w = rng.normal(size=(1, 6, 2)), rng.normal(size=(3, 2, 1))
    before = np.asarray(nn.conv(x, w, padding="causal", dilation_rate=2))
    x[:, 4] += 1
    after = np.asarray(nn.conv(x, w, padding="causal", dilation_rate=2))
    assert before.shape == (1, 6, 1)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("window", "stride", "more", "rate"),
    [(3, 1, None, 1), (3, 2, None, 1), (2, 3, None, 1), (4, 2, 1, 1), (3, 2, 0, 1), (3, 1, None, 2),
     (3, 2, 3, 1), (1, 2, 1, 1)],
)  # fmt: skip
def test_conv_transpose(agrees, rng, window, stride, more, rate, padding, data_format):
    how = {"strides": stride, "padding": padding, "output_padding": more, "dilation_rate": rate,
           "data_format": data_format}  # fmt: skip
    agrees(
        lambda x, w: nn.conv_transpose(x, w, **how),
        lambda x, w: keras.ops.conv_transpose(x, w, **how),
        _image(rng, (2, 4, 3), data_format),
        rng.normal(size=(window, 5, 3)).astype("float32"),
        rtol=1e-3, atol=1e-4,
        grads=data_format == "channels_last",
    )  # fmt: skip


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_depthwise_and_separable(agrees, rng, data_format):
    how = {"strides": 2, "padding": "same", "data_format": data_format}
    x = _image(rng, (2, 7, 6, 3), data_format)
    w, p = rng.normal(size=(3, 3, 3, 2)), rng.normal(size=(1, 1, 6, 4))
    agrees(
        lambda x, w: nn.depthwise_conv(x, w, **how),
        lambda x, w: keras.ops.depthwise_conv(x, w, **how),
        x, w.astype("float32"), rtol=1e-3, atol=1e-4,
        grads=data_format == "channels_last",
    )  # fmt: skip
    agrees(
        lambda x, w, p: nn.separable_conv(x, w, p, **how),
        lambda x, w, p: keras.ops.separable_conv(x, w, p, **how),
        x, w.astype("float32"), p.astype("float32"), rtol=1e-3, atol=1e-4,
        grads=data_format == "channels_last",
    )  # fmt: skip


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
@pytest.mark.parametrize(
    ("shape", "size", "strides", "padding"),
    [((2, 9, 3), 2, None, "valid"), ((2, 9, 3), 3, 2, "same"), ((2, 7, 8, 3), (3, 2), None, "same"),
     ((2, 7, 8, 3), 3, 1, "valid"), ((1, 4, 5, 6, 2), 2, None, "valid")],
)  # fmt: skip
def test_pool(agrees, rng, name, shape, size, strides, padding, data_format):
    how = {"padding": padding, "data_format": data_format}
    agrees(
        lambda x: getattr(nn, name)(x, size, strides=strides, **how),
        lambda x: getattr(keras.ops, name)(x, size, strides=strides or size, **how),
        _image(rng, shape, data_format),
        grads=data_format == "channels_last",
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", ["adaptive_max_pool", "adaptive_average_pool"])
@pytest.mark.parametrize(
    ("shape", "size"), [((2, 7, 3), 3), ((2, 8, 9, 3), (4, 2)), ((1, 5, 4, 6, 2), (2, 4, 5))]
)
def test_adaptive_pool(agrees, rng, name, shape, size, data_format):
    agrees(
        lambda x: getattr(nn, name)(x, size, data_format=data_format),
        lambda x: getattr(keras.ops, name)(x, size, data_format=data_format),
        _image(rng, shape, data_format),
        grads=data_format == "channels_last",
    )


def test_unknown_space():
    x = KerasTensor((None, None, None, 3))
    assert nn.conv(x, np.zeros((3, 3, 3, 8)), padding="same").shape == (None, None, None, 8)
    assert nn.max_pool(x, 2, padding="same").shape == (None, None, None, 3)
    assert nn.average_pool(x, 2, padding="same").shape == (None, None, None, 3)
    assert nn.conv_transpose(x, np.zeros((3, 3, 5, 3)), 2).shape == (None, None, None, 5)


def test_integers_and_half_precision():
    assert nn.max_pool(np.ones((1, 4, 1), "int32"), 2).dtype == "int32"
    assert nn.average_pool(np.ones((1, 4, 1), "int32"), 2).dtype == "float32"
    x = np.ones((1, 4, 1), "float16")
    assert nn.conv(x, np.ones((2, 1, 1), "float16")).dtype == "float16"
    assert nn.conv(x, np.ones((2, 1, 1), "float32")).dtype == "float32"


def test_errors():
    x = np.zeros((1, 8, 8, 4))
    with pytest.raises(ValueError, match=r"\[conv\] 'padding'.*'full'"):
        nn.conv(x, np.zeros((3, 3, 4, 2)), padding="full")
    with pytest.raises(ValueError, match=r"\[conv\].*multiple.*4 channels"):
        nn.conv(x, np.zeros((3, 3, 3, 2)))
    with pytest.raises(ValueError, match=r"\[conv\] 'strides'.*strides=0"):
        nn.conv(x, np.zeros((3, 3, 4, 2)), strides=0)
    with pytest.raises(ValueError, match=r"\[depthwise_conv\].*as many channels"):
        nn.depthwise_conv(x, np.zeros((3, 3, 3, 2)))
    with pytest.raises(ValueError, match=r"\[max_pool\] 'pool_size'"):
        nn.max_pool(x, (2, 2, 2))
    with pytest.raises(ValueError, match=r"\[max_pool\] 'data_format'"):
        nn.max_pool(x, 2, data_format="last")
    with pytest.raises(ValueError, match=r"\[average_pool\] 'inputs'"):
        nn.average_pool(np.zeros((2, 2)), 2)
