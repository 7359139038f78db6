"""Pooling layers against real Keras."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer

SPACE = {1: (7,), 2: (7, 6), 3: (5, 4, 6)}


def shape_of(rank, first=False):
    return (2, 3, *SPACE[rank]) if first else (2, *SPACE[rank], 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"pool_size": 3, "strides": 2, "padding": "same"},
        {"padding": "same", "data_format": "channels_first"},
    ],
)
def test_pooling(kind, rank, kwargs):
    first = "data_format" in kwargs
    check_layer(f"{kind}Pooling{rank}D", {"pool_size": 2, **kwargs}, shape_of(rank, first))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("kwargs", [{}, {"keepdims": True, "data_format": "channels_first"}])
def test_global_pooling(kind, rank, kwargs):
    shape = shape_of(rank, "data_format" in kwargs)
    check_layer(f"Global{kind}Pooling{rank}D", kwargs, shape)


@pytest.mark.parametrize("keepdims", [False, True])
def test_masked_average(keepdims):
    mask = np.array([[True, True, False, True], [True, False, False, False]])
    check_layer("GlobalAveragePooling1D", {"keepdims": keepdims}, (2, 4, 3), mask=mask)


def test_masked_average_channels_first():
    mask = np.array([[True, True, False, True], [True, False, False, False]])
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    out = layers.GlobalAveragePooling1D(data_format="channels_first")(x, mask=mask)
    np.testing.assert_allclose(out[0], x[0][:, mask[0]].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(out[1], x[1][:, 0], rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("kwargs", [{}, {"data_format": "channels_first"}])
def test_adaptive_pooling(kind, rank, kwargs):
    shape = shape_of(rank, "data_format" in kwargs)
    check_layer(f"Adaptive{kind}Pooling{rank}D", {"output_size": 3, **kwargs}, shape)


def test_adaptive_pooling_by_dimension():
    check_layer("AdaptiveAveragePooling2D", {"output_size": (2, 5)}, (2, 7, 6, 3))


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("MaxPooling2D", {"pool_size": 0}, r"\[MaxPooling2D\] 'pool_size' .* pool_size=0"),
        ("MaxPooling2D", {"pool_size": (2, 2, 2)}, "2 of them"),
        ("MaxPooling1D", {"strides": -1}, "'strides'"),
        ("AveragePooling3D", {"padding": "causal"}, "'padding'"),
        ("GlobalMaxPooling2D", {"data_format": "first"}, "'data_format'"),
        (
            "AdaptiveMaxPooling2D",
            {"output_size": (0, 2)},
            r"\[AdaptiveMaxPooling2D\] 'output_size'",
        ),
    ],
)
def test_bad_arguments(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(layers, name)(**kwargs)


def test_bad_inputs():
    with pytest.raises(ValueError, match="ndim=4"):
        layers.MaxPooling2D()(np.ones((2, 5, 3), "float32"))


def test_unknown_space():
    x = kbackend.KerasTensor((None, None, None, 3))
    assert layers.MaxPooling2D(padding="same")(x).shape == (None, None, None, 3)
    assert layers.AveragePooling2D()(x).shape == (None, None, None, 3)
    assert layers.GlobalAveragePooling2D()(x).shape == (None, 3)


def test_aliases():
    assert layers.MaxPool3D is layers.MaxPooling3D
    assert layers.AvgPool1D is layers.AveragePooling1D
    assert layers.GlobalAvgPool2D is layers.GlobalAveragePooling2D
    assert layers.GlobalMaxPool1D is layers.GlobalMaxPooling1D
