"""Dense and the other core layers against real Keras."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"units": 3}, (4, 5)),
        ({"units": 3, "activation": "relu", "use_bias": False}, (4, 5)),
        ({"units": 2, "activation": "tanh"}, (2, 3, 4)),
        ({"units": 2, "kernel_regularizer": "l2", "bias_regularizer": "l1"}, (2, 3, 2, 4)),
        ({"units": 3, "activity_regularizer": "l2"}, (4, 5)),
        ({"units": 3, "kernel_constraint": "non_neg", "bias_constraint": "unit_norm"}, (4, 5)),
    ],
)
def test_dense(kwargs, shape):
    check_layer("Dense", kwargs, shape)
