"""Activations as layers, against real Keras."""

import numpy as np
import pytest

from kbackend import layers
from tests.layers.harness import check_layer

MASK = np.array([[True, False, True], [False, False, False]])


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("Activation", {"activation": "relu"}),
        ("Activation", {"activation": "softmax"}),
        ("ReLU", {}),
        ("ReLU", {"max_value": 1.0, "negative_slope": 0.2, "threshold": 0.1}),
        ("LeakyReLU", {}),
        ("LeakyReLU", {"negative_slope": 0.1}),
        ("PReLU", {}),
        ("PReLU", {"shared_axes": 1, "alpha_regularizer": "l2"}),
        ("PReLU", {"shared_axes": [1, 2], "alpha_constraint": "non_neg"}),
        ("ELU", {"alpha": 0.5}),
        ("Softmax", {}),
        ("Softmax", {"axis": [1, 2]}),
        ("Softmax", {"axis": 1}),
    ],
)
def test_against_keras(name, kwargs):
    check_layer(name, kwargs, (2, 3, 4))


@pytest.mark.parametrize("name", ["Activation", "ReLU", "ELU"])
def test_masks_pass(name):
    kwargs = {"activation": "tanh"} if name == "Activation" else {}
    check_layer(name, kwargs, (2, 3, 4), mask=MASK, symbolic=False)


def test_softmax_with_a_mask():
    check_layer("Softmax", {}, (2, 3), mask=MASK, symbolic=False)
    check_layer("Softmax", {}, (2, 3), extra={"mask": MASK}, symbolic=False)
    kwargs = {"axis": (1, 2)}
    check_layer("Softmax", kwargs, (2, 3, 4), extra={"mask": MASK[..., None]}, symbolic=False)


def test_thresholded_relu():
    layer = layers.ThresholdedReLU(theta=1.0)
    assert layer(np.array([0.5, 1.0, 1.5])).tolist() == [0.0, 0.0, 1.5]
    assert layer.get_config()["theta"] == 1.0


def test_alpha_of_leaky_relu():
    assert layers.LeakyReLU(alpha=0.2).negative_slope == 0.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.ReLU(max_value=-1.0), r"\[ReLU\] 'max_value' must .* max_value=-1.0"),
        (lambda: layers.ReLU(negative_slope=None), "'negative_slope' must be"),
        (lambda: layers.ReLU(threshold=-1.0), "'threshold' must be"),
        (lambda: layers.LeakyReLU(-0.1), "'negative_slope' must be"),
        (lambda: layers.ThresholdedReLU(None), "'theta' must be"),
        (lambda: layers.PReLU().build((None, None, 3)), "axis 1 must be known"),
        (lambda: layers.Activation("rilu"), "There is no activation 'rilu'"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
