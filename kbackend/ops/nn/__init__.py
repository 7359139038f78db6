"""`keras.ops.nn`: activations, convolutions, pooling, normalisation, attention, losses."""

from kbackend.ops.nn.activation import (
    gelu,
    log_sigmoid,
    sigmoid,
    silu,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    swish,
)
from kbackend.ops.nn.attention import dot_product_attention
from kbackend.ops.nn.convolution import conv, conv_transpose, depthwise_conv, separable_conv
from kbackend.ops.nn.ctc import ctc_decode, ctc_loss
from kbackend.ops.nn.encode import multi_hot, one_hot, polar
from kbackend.ops.nn.loss import (
    binary_crossentropy,
    categorical_crossentropy,
    psnr,
    sparse_categorical_crossentropy,
)
from kbackend.ops.nn.norm import (
    batch_normalization,
    layer_normalization,
    moments,
    normalize,
    rms_normalization,
)
from kbackend.ops.nn.normalized_exp import glu, log_softmax, softmax, sparsemax
from kbackend.ops.nn.patches import depth_to_space, fold, space_to_depth, unfold
from kbackend.ops.nn.pool import (
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    max_pool,
)
from kbackend.ops.nn.rectifiers import (
    celu,
    elu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    relu,
    relu6,
    selu,
    soft_shrink,
    tanh_shrink,
    threshold,
)

__all__ = [
    "adaptive_average_pool", "adaptive_max_pool", "average_pool", "batch_normalization",
    "binary_crossentropy", "categorical_crossentropy", "celu", "conv", "conv_transpose",
    "ctc_decode", "ctc_loss", "depth_to_space", "depthwise_conv", "dot_product_attention", "elu",
    "fold", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "layer_normalization", "leaky_relu", "log_sigmoid", "log_softmax", "max_pool", "moments",
    "multi_hot", "normalize", "one_hot", "polar", "psnr", "relu", "relu6", "rms_normalization",
    "selu", "separable_conv", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "space_to_depth", "sparse_categorical_crossentropy", "sparse_plus", "sparse_sigmoid",
    "sparsemax", "squareplus", "swish", "tanh_shrink", "threshold", "unfold",
]  # fmt: skip
