"""Convolution layers against real Keras."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer

SPACE = {1: (7,), 2: (7, 6), 3: (5, 4, 6)}


def shape_of(rank, first=False, channels=4):
    space = SPACE[rank]
    return (2, channels, *space) if first else (2, *space, channels)


# Compiling for JAX takes most of the time, so not each rank meets each setting.
@pytest.mark.parametrize(
    ("rank", "kwargs"),
    [
        (1, {"strides": 2, "padding": "same", "activation": "relu"}),
        (2, {}),
        (2, {"strides": 2, "padding": "same"}),
        (2, {"padding": "same", "dilation_rate": 2, "use_bias": False}),
        (2, {"groups": 2, "padding": "SAME"}),
        (3, {"groups": 2, "padding": "same", "dilation_rate": 2}),
    ],
)
def test_conv(rank, kwargs):
    check_layer(f"Conv{rank}D", {"filters": 6, "kernel_size": 3, **kwargs}, shape_of(rank))


@pytest.mark.parametrize(
    ("rank", "kwargs"),
    [
        (1, {"padding": "causal", "dilation_rate": 2}),
        (1, {"padding": "causal", "strides": 2, "kernel_size": 2}),
        (2, {"kernel_size": (1, 2), "strides": (2, 1), "padding": "same"}),
        (2, {"kernel_size": 1}),
        (3, {"kernel_size": (1, 2, 3), "strides": (1, 2, 2)}),
        (
            2,
            {
                "kernel_regularizer": "l2",
                "bias_regularizer": "l1",
                "activity_regularizer": "l2",
                "kernel_constraint": "max_norm",
                "bias_constraint": "non_neg",
                "kernel_initializer": "he_normal",
            },
        ),
    ],
)
def test_conv_settings(rank, kwargs):
    check_layer(f"Conv{rank}D", {"filters": 3, "kernel_size": 3, **kwargs}, shape_of(rank))


@pytest.mark.parametrize(
    ("rank", "kwargs"),
    [
        (1, {"strides": 2, "padding": "same", "activation": "tanh"}),
        (1, {"padding": "same", "dilation_rate": 2}),
        (1, {"strides": 3, "kernel_size": 2}),
        (2, {}),
        (2, {"strides": 2, "padding": "same", "output_padding": 1, "use_bias": False}),
        (3, {"strides": (1, 2, 2), "padding": "same"}),
    ],
)
def test_conv_transpose(rank, kwargs):
    check_layer(f"Conv{rank}DTranspose", {"filters": 2, "kernel_size": 3, **kwargs}, shape_of(rank))


@pytest.mark.parametrize(
    ("rank", "kwargs"),
    [
        (1, {"strides": 2, "padding": "same", "depth_multiplier": 2, "activation": "relu"}),
        (2, {"padding": "same", "dilation_rate": 2, "use_bias": False}),
        (2, {"depthwise_regularizer": "l2", "depthwise_constraint": "unit_norm"}),
    ],
)
def test_depthwise_conv(rank, kwargs):
    check_layer(f"DepthwiseConv{rank}D", {"kernel_size": 3, **kwargs}, shape_of(rank))


@pytest.mark.parametrize(
    ("rank", "kwargs"),
    [
        (1, {"strides": 2, "padding": "same", "depth_multiplier": 2, "activation": "relu"}),
        (2, {"padding": "same", "dilation_rate": 2, "use_bias": False}),
        (2, {"pointwise_regularizer": "l2", "depthwise_constraint": "unit_norm"}),
    ],
)
def test_separable_conv(rank, kwargs):
    check_layer(f"SeparableConv{rank}D", {"filters": 5, "kernel_size": 3, **kwargs}, shape_of(rank))


@pytest.mark.parametrize(
    ("name", "rank", "kwargs"),
    [
        ("Conv1D", 1, {"filters": 4, "groups": 2}),
        ("Conv2D", 2, {"filters": 4, "strides": 2, "padding": "same", "activation": "relu"}),
        ("Conv3D", 3, {"filters": 4, "padding": "same"}),
        ("DepthwiseConv1D", 1, {"depth_multiplier": 2}),
        ("DepthwiseConv2D", 2, {"depth_multiplier": 2, "padding": "same"}),
        ("SeparableConv1D", 1, {"filters": 4}),
        ("SeparableConv2D", 2, {"filters": 4, "padding": "same"}),
        ("Conv1DTranspose", 1, {"filters": 4}),
        ("Conv2DTranspose", 2, {"filters": 4, "strides": 2, "padding": "same"}),
        ("Conv3DTranspose", 3, {"filters": 4, "strides": 2}),
    ],
)
def test_channels_first_equals_channels_last(name, rank, kwargs):
    # Not every build of JAX convolves with channels first, so the other layer is the oracle.
    kwargs = {"kernel_size": 3, **kwargs}
    first = getattr(layers, name)(data_format="channels_first", **kwargs)
    last = getattr(layers, name)(data_format="channels_last", **kwargs)
    x = np.random.default_rng(0).normal(size=shape_of(rank, first=True)).astype("float32")
    moved = np.moveaxis(x, 1, -1)
    last.build(moved.shape)
    last.set_weights([w + 0.1 for w in last.get_weights()])
    first.build(x.shape)
    first.set_weights(last.get_weights())
    expected = np.moveaxis(np.asarray(last(moved)), -1, 1)
    np.testing.assert_allclose(first(x), expected, rtol=1e-6, atol=1e-6)
    symbolic = first(kbackend.KerasTensor((None, *x.shape[1:])))
    assert symbolic.shape == (None, *expected.shape[1:])
    assert first.get_config()["data_format"] == "channels_first"


def test_channels_first_config_and_weights_against_keras():
    check_layer(
        "Conv2D",
        {"filters": 3, "kernel_size": 2, "data_format": "channels_first"},
        (2, 4, 5, 5),
    )


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("Conv2D", {"filters": 0, "kernel_size": 3}, r"\[Conv2D\] 'filters' must be .* filters=0"),
        ("Conv2D", {"filters": 2, "kernel_size": 0}, r"\[Conv2D\] 'kernel_size' .* kernel_size=0"),
        ("Conv2D", {"filters": 2, "kernel_size": (3, 3, 3)}, "2 of them"),
        ("Conv2D", {"filters": 2, "kernel_size": 3, "padding": "causal"}, "'valid', 'same'"),
        ("Conv2D", {"filters": 2, "kernel_size": 3, "strides": -1}, "'strides'"),
        ("Conv2D", {"filters": 2, "kernel_size": 3, "data_format": "last"}, "'data_format'"),
        ("Conv2D", {"filters": 2, "kernel_size": 3, "groups": 0}, "'groups'"),
        ("Conv2D", {"filters": 3, "kernel_size": 3, "groups": 2}, "multiple of 'groups'"),
        ("Conv1D", {"filters": 2, "kernel_size": 3, "strides": 2, "dilation_rate": 2}, "combined"),
        ("Conv1D", {"filters": 2, "kernel_size": 3, "color": 2}, "color"),
        (
            "Conv2DTranspose",
            {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 2},
            "less than 'strides'",
        ),
        ("Conv1DTranspose", {"filters": 2, "kernel_size": 3, "padding": "causal"}, "'padding'"),
        ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 0}, "'depth_multiplier'"),
        ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "dilation_rate": 2}, "combined"),
        ("SeparableConv2D", {"filters": 1.5, "kernel_size": 3}, "'filters'"),
    ],
)
def test_bad_arguments(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(layers, name)(**kwargs)


def test_bad_inputs():
    with pytest.raises(ValueError, match="multiple of 'groups'"):
        layers.Conv1D(4, 2, groups=2)(np.ones((2, 5, 3), "float32"))
    with pytest.raises(ValueError, match="min_ndim=4"):
        layers.Conv2D(4, 2)(np.ones((2, 5, 3), "float32"))
    with pytest.raises(ValueError, match="axis -1 must be known"):
        layers.Conv1D(4, 2)(kbackend.KerasTensor((None, 5, None)))
    layer = layers.Conv1D(4, 2)
    layer(np.ones((2, 5, 3), "float32"))
    with pytest.raises(ValueError, match="axis -1 to have the size 3"):
        layer(np.ones((2, 5, 4), "float32"))


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("Conv2D", {"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2}),
        ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2}),
        ("DepthwiseConv2D", {"kernel_size": 3}),
        ("SeparableConv2D", {"filters": 3, "kernel_size": 3}),
    ],
)
def test_unknown_space(name, kwargs):
    layer = getattr(layers, name)(**kwargs)
    out = layer(kbackend.KerasTensor((None, None, None, 4)))
    assert out.shape == (None, None, None, 4 if name == "DepthwiseConv2D" else 3)
    assert layer.compute_output_shape((None, 9, 9, 4))[1:] == tuple(
        layer(np.ones((1, 9, 9, 4), "float32")).shape[1:]
    )


def test_mixed_precision():
    layer = layers.Conv2D(3, 3, dtype="mixed_bfloat16")
    out = layer(np.ones((2, 5, 5, 4), "float32"))
    assert out.dtype == "bfloat16"
    assert layer.kernel.dtype == "float32"


def test_aliases():
    assert layers.Convolution2D is layers.Conv2D
    assert layers.Convolution1DTranspose is layers.Conv1DTranspose
    assert layers.SeparableConvolution2D is layers.SeparableConv2D
