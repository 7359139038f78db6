"""Convolutional LSTMs against Keras on JAX."""

import numpy as np
import pytest

from kbackend import layers
from tests.layers.harness import check_layer


@pytest.mark.parametrize(
    ("name", "kwargs", "shape"),
    [
        ("ConvLSTM1D", {"return_sequences": True, "return_state": True}, (2, 3, 5, 2)),
        ("ConvLSTM1D", {"padding": "same", "strides": 2, "go_backwards": True}, (2, 3, 5, 2)),
        ("ConvLSTM2D", {"dilation_rate": (2, 1), "use_bias": False}, (2, 3, 5, 4, 2)),
        ("ConvLSTM2D", {"kernel_regularizer": "l2", "activation": "relu"}, (2, 2, 4, 4, 1)),
        ("ConvLSTM3D", {"padding": "same"}, (2, 2, 3, 3, 3, 1)),
    ],
)
def test_conv_lstm(name, kwargs, shape):
    check_layer(name, {"filters": 3, "kernel_size": 2, **kwargs}, shape)


def test_channels_first():
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 5, 4)).astype("float32")
    first = layers.ConvLSTM2D(3, 2, data_format="channels_first", return_sequences=True)
    last = layers.ConvLSTM2D(3, 2, data_format="channels_last", return_sequences=True)
    a = first(x)
    last.build((2, 3, 5, 4, 2))
    last.set_weights(first.get_weights())
    b = last(np.moveaxis(x, 2, -1))
    np.testing.assert_allclose(
        np.asarray(a), np.moveaxis(np.asarray(b), -1, 2), rtol=1e-5, atol=1e-6
    )


def test_masks_states_dropout():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 2)).astype("float32")
    layer = layers.ConvLSTM1D(2, 2)
    # Keras on JAX fails on masks here. A masked step is as if it were not there.
    masked = layer(x, mask=np.array([[True, False, True]] * 2))
    np.testing.assert_allclose(masked, layer(x[:, ::2]), rtol=1e-6, atol=1e-7)
    layer = layers.ConvLSTM1D(2, 2, stateful=True)
    one, two = np.asarray(layer(x)), np.asarray(layer(x))
    assert np.abs(one - two).max() > 0
    layer.reset_state()
    np.testing.assert_array_equal(np.asarray(layer(x)), one)
    layer = layers.ConvLSTM1D(2, 2, dropout=0.5, recurrent_dropout=0.5, seed=1)
    assert np.abs(np.asarray(layer(x)) - np.asarray(layer(x, training=True))).max() > 0


def test_errors():
    with pytest.raises(ValueError, match="can't both be above 1"):
        layers.ConvLSTM1D(3, 2, strides=2, dilation_rate=2)
    with pytest.raises(ValueError, match="'kernel_size' must be an integer or a tuple of 2"):
        layers.ConvLSTM2D(3, (2, 2, 2))
    with pytest.raises(ValueError, match="'padding'"):
        layers.ConvLSTM2D(3, 2, padding="causal")
    with pytest.raises(ValueError, match="ndim=4"):
        layers.ConvLSTM1D(3, 2)(np.ones((2, 3, 4)))
