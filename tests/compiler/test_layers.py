"""Layers forwards and backwards, eager and compiled."""

import numpy as np
import pytest

from kbackend import GradientTape, layers, ops
from kbackend.core.tensor import tensor

from .running import every_way
from .support import assert_close, assert_same_bits

pytestmark = pytest.mark.engine("numpy")

# name, arguments, shapes of the inputs, whether it is told that it is training
LAYERS = [
    ("Dense", {"units": 5, "activation": "relu"}, [(4, 6)], False),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 5)}, [(2, 3, 4)], False),
    ("Activation", {"activation": "gelu"}, [(4, 6)], False),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1}, [(4, 6)], False),
    ("PReLU", {}, [(4, 6)], False),
    ("ELU", {}, [(4, 6)], False),
    ("LeakyReLU", {}, [(4, 6)], False),
    ("Softmax", {}, [(4, 6)], False),
    ("Conv1D", {"filters": 3, "kernel_size": 3}, [(2, 9, 4)], False),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "padding": "same"}, [(2, 6, 7, 4)], False),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}, [(2, 4, 5, 3)], False),
    ("DepthwiseConv2D", {"kernel_size": 3}, [(2, 6, 7, 4)], False),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3}, [(2, 6, 7, 4)], False),
    ("MaxPooling2D", {}, [(2, 6, 8, 3)], False),
    ("AveragePooling2D", {"padding": "same"}, [(2, 7, 7, 3)], False),
    ("GlobalAveragePooling2D", {}, [(2, 6, 8, 3)], False),
    ("GlobalMaxPooling1D", {}, [(2, 6, 3)], False),
    ("BatchNormalization", {}, [(8, 6)], True),
    ("BatchNormalization", {}, [(8, 6)], False),
    ("LayerNormalization", {}, [(8, 6)], False),
    ("GroupNormalization", {"groups": 3}, [(2, 4, 6)], False),
    ("RMSNormalization", {}, [(8, 6)], False),
    ("UnitNormalization", {}, [(8, 6)], False),
    ("Dropout", {"rate": 0.5}, [(40, 6)], True),
    ("SpatialDropout1D", {"rate": 0.5}, [(4, 6, 5)], True),
    ("GaussianDropout", {"rate": 0.5}, [(40, 6)], True),
    ("GaussianNoise", {"stddev": 0.5}, [(40, 6)], True),
    ("AlphaDropout", {"rate": 0.5}, [(40, 6)], True),
    ("SimpleRNN", {"units": 5}, [(3, 6, 4)], False),
    ("LSTM", {"units": 5, "return_sequences": True}, [(3, 6, 4)], False),
    ("GRU", {"units": 5}, [(3, 6, 4)], False),
    ("ConvLSTM1D", {"filters": 2, "kernel_size": 2}, [(2, 3, 6, 2)], False),
    # A bias of keys changes nothing: its gradient would be rounding errors, and no others.
    (
        "MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "use_bias": False},
        [(2, 5, 6), (2, 4, 6)], False,
    ),
    ("Attention", {}, [[(2, 5, 6), (2, 4, 6)]], False),
    ("Reshape", {"target_shape": (3, 8)}, [(4, 6, 4)], False),
    ("Permute", {"dims": (2, 1)}, [(4, 6, 4)], False),
    ("ZeroPadding2D", {}, [(2, 3, 4, 2)], False),
    ("Cropping1D", {}, [(2, 6, 3)], False),
    ("UpSampling2D", {}, [(2, 3, 4, 2)], False),
    ("RepeatVector", {"n": 3}, [(4, 6)], False),
    ("Flatten", {}, [(4, 6, 2)], False),
    ("Concatenate", {}, [[(4, 6), (4, 3)]], False),
    ("Add", {}, [[(4, 6), (4, 6), (4, 6)]], False),
    ("Dot", {"axes": 1}, [[(4, 6), (4, 6)]], False),
]  # fmt: skip

# Their gradients are chains of scalar factors, which become one.
REASSOCIATED = {"GlobalAveragePooling2D"}
# Outside of programs their results come from kernels of their own.
OTHERWISE = {"MultiHeadAttention"}


def drawn(shape, rng):
    if isinstance(shape, list):
        return [drawn(one, rng) for one in shape]
    return tensor(rng.standard_normal(shape).astype("float32"))


@pytest.mark.parametrize(
    ("name", "kwargs", "shapes", "training"), LAYERS, ids=[row[0] for row in LAYERS]
)
def test_layer(name, kwargs, shapes, training, rng):
    layer = getattr(layers, name)(**kwargs)
    args = tuple(drawn(shape, rng) for shape in shapes)
    told = {"training": True} if training else {}
    layer(*args, **told)

    def fn(*xs):
        with GradientTape() as tape:
            tape.watch(xs)
            y = layer(*xs, **told)
            loss = ops.sum(ops.square(y))
        return y, tape.gradient(loss, [xs, layer.trainable_variables])

    eager, ways = every_way(fn, args)
    # Prepared kernels may sum in another order than eager ones.
    assert_close(ways["numpy"], eager, 4.0)
    if name in REASSOCIATED | OTHERWISE:
        assert_close(ways["plain"], eager, 4.0 if name in OTHERWISE else 1.0)
    else:
        assert_same_bits(ways["plain"], eager)
    assert all(np.isfinite(np.asarray(x, "float64")).all() for x in eager)
