"""Layers that rearrange, repeat, crop and pad, against real Keras."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer

CASES = [
    ("Flatten", {}, (2, 3, 4)),
    ("Flatten", {"data_format": "channels_first"}, (2, 3, 4, 5)),
    ("Flatten", {}, (4,)),
    ("Reshape", {"target_shape": (2, -1)}, (3, 4, 5)),
    ("Reshape", {"target_shape": (20,)}, (3, 4, 5)),
    ("Permute", {"dims": (3, 1, 2)}, (2, 3, 4, 5)),
    ("RepeatVector", {"n": 3}, (2, 4)),
    ("Cropping1D", {}, (2, 5, 3)),
    ("Cropping1D", {"cropping": (0, 2)}, (2, 5, 3)),
    ("Cropping2D", {"cropping": ((1, 0), (2, 1))}, (2, 4, 5, 3)),
    ("Cropping2D", {"cropping": (1, 2), "data_format": "channels_first"}, (2, 3, 4, 5)),
    ("Cropping3D", {"cropping": 1}, (2, 3, 4, 5, 2)),
    ("Cropping3D", {"cropping": (0, 1, 2), "data_format": "channels_first"}, (2, 2, 3, 4, 5)),
    ("UpSampling1D", {"size": 3}, (2, 3, 2)),
    ("UpSampling2D", {"size": (2, 3)}, (2, 2, 3, 2)),
    ("UpSampling2D", {"data_format": "channels_first"}, (2, 2, 3, 2)),
    ("UpSampling3D", {"size": 2}, (1, 2, 1, 3, 2)),
    ("ZeroPadding1D", {"padding": (1, 2)}, (2, 3, 2)),
    ("ZeroPadding1D", {"padding": 1, "data_format": "channels_first"}, (2, 3, 2)),
    ("ZeroPadding2D", {"padding": ((1, 0), (0, 2))}, (2, 2, 3, 2)),
    ("ZeroPadding2D", {"padding": (1, 2), "data_format": "channels_first"}, (2, 2, 3, 2)),
    ("ZeroPadding3D", {"padding": (0, 1, 2)}, (1, 2, 1, 3, 2)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES)
def test_against_keras(name, kwargs, shape):
    check_layer(name, kwargs, shape)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_interpolation(interpolation, data_format):
    kwargs = {"size": (2, 3), "interpolation": interpolation, "data_format": data_format}
    check_layer("UpSampling2D", kwargs, (1, 3, 4, 3))


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Flatten(), (None, None, 3), (None, None)),
        (layers.Flatten(), (4, 3, 2), (4, 6)),
        (layers.Reshape((-1, 2)), (None, None, 2), (None, None, 2)),
        (layers.Reshape((4, 2)), (None, None, 2), (None, 4, 2)),
        (layers.RepeatVector(3), (None, None), (None, 3, None)),
        (layers.Cropping2D(2), (None, None, None, 1), (None, None, None, 1)),
        (layers.ZeroPadding2D(2), (None, None, 3, 1), (None, None, 7, 1)),
        (layers.UpSampling2D(2), (None, None, 3, 1), (None, None, 6, 1)),
        (layers.UpSampling2D(2, interpolation="bilinear"), (None, None, 3, 1), (None, None, 6, 1)),
        (layers.Permute((2, 1)), (None, None, 3), (None, 3, None)),
    ],
)
def test_unknown_dimensions(layer, shape, expected):
    assert layer(kbackend.KerasTensor(shape)).shape == expected
    assert layer.compute_output_shape(shape) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Reshape((-1, -1)), "at most one -1"),
        (lambda: layers.Reshape((4, 2))(np.ones((1, 3, 2))), r"6 elements"),
        (lambda: layers.Reshape((4, -1))(np.ones((1, 3, 2))), r"6 elements"),
        (lambda: layers.Permute((1, 3)), "permutation of 1, 2"),
        (lambda: layers.RepeatVector(0), "'n' must be a positive integer. Received: n=0"),
        (lambda: layers.Cropping2D((-3, 3)), r"\[Cropping2D\] 'cropping' must be an int, 2 ints"),
        (lambda: layers.Cropping1D((1, 2, 3)), "'cropping' must be an int or a pair"),
        (lambda: layers.Cropping1D(2)(np.ones((1, 4, 1))), "leaves nothing of the axis 1"),
        (lambda: layers.ZeroPadding3D((1, 2)), "3 ints or 3 pairs"),
        (lambda: layers.UpSampling2D((0, 1)), "'size' must be a positive integer"),
        (lambda: layers.UpSampling2D(2, interpolation="cubic"), "'interpolation' must be one of"),
        (lambda: layers.UpSampling3D((1, 2)), "an int or 3 ints"),
        (lambda: layers.Flatten(data_format="last"), "'data_format' must be"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
