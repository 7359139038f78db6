"""`keras.backend`, with the classic functions that scripts still call.

    import kbackend.backend as K
    K.mean(K.square(y_true - y_pred), axis=-1)

New code finds the same in `kbackend.ops`, `kbackend.random` and `kbackend.config`.
"""

from typing import Any

from kbackend.backend.control import (
    foldl,
    foldr,
    map_fn,
    random_bernoulli,
    random_normal,
    random_uniform,
    switch,
    truncated_normal,
)
from kbackend.backend.math import (
    all,
    any,
    argmax,
    argmin,
    batch_dot,
    clip,
    cumprod,
    cumsum,
    l2_normalize,
    max,
    mean,
    min,
    pow,
    std,
    var,
)
from kbackend.backend.nn import (
    batch_normalization,
    bias_add,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
    conv1d,
    conv2d,
    conv2d_transpose,
    conv3d,
    ctc_batch_cost,
    ctc_decode,
    depthwise_conv2d,
    dropout,
    hard_sigmoid,
    in_top_k,
    pool2d,
    pool3d,
    relu,
    separable_conv2d,
    sparse_categorical_crossentropy,
)
from kbackend.backend.settings import cast_to_floatx, is_float_dtype, is_int_dtype
from kbackend.backend.shapes import (
    arange,
    batch_flatten,
    concatenate,
    dtype,
    expand_dims,
    flatten,
    gather,
    int_shape,
    is_sparse,
    ndim,
    one_hot,
    permute_dimensions,
    repeat,
    repeat_elements,
    resize_images,
    resize_volumes,
    reverse,
    spatial_2d_padding,
    spatial_3d_padding,
    squeeze,
    temporal_padding,
    to_dense,
    transpose,
)
from kbackend.backend.values import (
    batch_get_value,
    batch_set_value,
    constant,
    count_params,
    eval,
    eye,
    function,
    get_value,
    moving_average_update,
    ones,
    ones_like,
    random_normal_variable,
    random_uniform_variable,
    set_value,
    update,
    update_add,
    update_sub,
    variable,
    zeros,
    zeros_like,
)
from kbackend.base.config import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from kbackend.base.dtypes import result_type, standardize_dtype
from kbackend.base.naming import get_uid, reset_uids
from kbackend.engine.loader import backend
from kbackend.ops import (
    abs,
    binary_crossentropy,
    cast,
    categorical_crossentropy,
    cos,
    dot,
    elu,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    logsumexp,
    maximum,
    minimum,
    not_equal,
    prod,
    reshape,
    round,
    shape,
    sigmoid,
    sign,
    sin,
    softmax,
    softplus,
    softsign,
    sqrt,
    square,
    stack,
    stop_gradient,
    sum,
    tanh,
    tile,
)
from kbackend.ops.keras_tensor import is_keras_tensor
from kbackend.state.scopes import name_scope
from kbackend.utils.session import clear_session

_PHASE = (
    "there is no global learning phase: pass `training=True` or `training=False` when you call a "
    "model or layer"
)
_SESSION = "operations run at once, so there is no session: call the functions themselves"

# What belonged to graphs and sessions, with the reason and the mend.
GONE = {
    "ctc_label_dense_to_sparse": "all tensors are dense: `ctc_batch_cost` takes dense labels",
    "get_session": _SESSION,
    "gradients": "use `kbackend.grad`, or a `kbackend.GradientTape` around the computation",
    "in_test_phase": _PHASE,
    "in_train_phase": _PHASE,
    "learning_phase": _PHASE,
    "learning_phase_scope": _PHASE,
    "manual_variable_initialization": "variables have their values as soon as they are made",
    "placeholder": "use `kbackend.Input` for the input of a model",
    "rnn": "use `kbackend.layers.RNN` with a cell",
    "set_learning_phase": _PHASE,
    "set_session": _SESSION,
}

__all__ = [
    "abs", "all", "any", "arange", "argmax", "argmin", "backend", "batch_dot", "batch_flatten",
    "batch_get_value", "batch_normalization", "batch_set_value", "bias_add", "binary_crossentropy",
    "binary_focal_crossentropy", "cast", "cast_to_floatx", "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "clear_session", "clip", "concatenate", "constant", "conv1d", "conv2d",
    "conv2d_transpose", "conv3d", "cos", "ctc_batch_cost", "ctc_decode",
    "count_params", "cumprod", "cumsum", "depthwise_conv2d", "dot", "dropout", "dtype", "elu",
    "epsilon", "equal", "eval", "exp", "expand_dims", "eye", "flatten", "floatx", "foldl", "foldr",
    "function", "gather", "get_uid", "get_value", "greater", "greater_equal", "hard_sigmoid",
    "image_data_format", "in_top_k", "int_shape", "is_float_dtype", "is_int_dtype",
    "is_keras_tensor", "is_sparse", "l2_normalize", "less", "less_equal", "log", "logsumexp",
    "map_fn", "max", "maximum", "mean", "min", "minimum", "moving_average_update", "name_scope",
    "ndim", "not_equal", "one_hot", "ones", "ones_like", "permute_dimensions", "pool2d", "pool3d",
    "pow", "prod", "random_bernoulli", "random_normal", "random_normal_variable", "random_uniform",
    "random_uniform_variable", "relu", "repeat", "repeat_elements", "reset_uids", "reshape",
    "resize_images", "resize_volumes", "result_type", "reverse", "round", "separable_conv2d",
    "set_epsilon", "set_floatx", "set_image_data_format", "set_value", "shape", "sigmoid", "sign",
    "sin", "softmax", "softplus", "softsign", "sparse_categorical_crossentropy",
    "spatial_2d_padding", "spatial_3d_padding", "sqrt", "square", "squeeze", "stack",
    "standardize_dtype", "std", "stop_gradient", "sum", "switch", "tanh", "temporal_padding",
    "tile", "to_dense", "transpose", "truncated_normal", "update", "update_add", "update_sub",
    "var", "variable", "zeros", "zeros_like",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in GONE:
        raise AttributeError(f"[kbackend.backend] '{name}' does not exist here: {GONE[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
