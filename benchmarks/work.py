"""How much work a step of a model is, for its place under the roofline.

Counted from the layers: the multiplications and additions of contractions (elementwise work is left
out), and the least traffic, if every layer reads its input and writes its output once.
"""

from __future__ import annotations

import math
from typing import Any

_FLOAT = 4  # bytes

# Backward, each contraction happens twice more: for the input's gradient and for the weights'.
_TRAINING_PASSES = 3
# Adam reads the gradient, the weight and two moments, and writes the last three; forward and
# backward read the weight and write the gradient.
_TRAINING_WEIGHT_TRAFFIC = 10


def _elements(shape: Any) -> int:
    return math.prod(int(size) for size in shape[1:])


def _positions(shape: Any) -> int:
    return math.prod(int(size) for size in shape[1:-1])


def _flops(layer: Any, inside: Any, outside: Any) -> int:
    """Floating-point operations of one sample, forward."""
    kernels = sum(math.prod(w.shape) for w in layer.weights if "kernel" in w.name)
    kind = type(layer).__name__
    if kind in ("LSTM", "GRU", "Bidirectional"):
        return 2 * kernels * int(inside[1])
    # A transposed convolution has its filters at each position that it reads.
    flops = 2 * kernels * _positions(inside if kind.endswith("Transpose") else outside)
    if kind == "MultiHeadAttention":
        # Scores and the weighted sum: each a product of (tokens, width) with (width, tokens).
        width = layer.get_config()["num_heads"] * layer.get_config()["key_dim"]
        flops += 4 * int(inside[1]) ** 2 * width
    return flops


def work_of(net: Any, batch: int) -> dict[str, dict[str, int]]:
    """FLOPs and bytes of one step.

    Args:
        net: a built Sequential or functional model of Keras or kbackend.
        batch: samples in a step.

    Returns:
        `{"fit": {"flops": …, "bytes": …}, "predict": {…}}`.
    """
    flops = traffic = 0
    for layer in net.layers:
        inputs = layer.input if isinstance(layer.input, list | tuple) else [layer.input]
        # Keras counts a mask among the inputs.
        inputs = [each for each in inputs if each.dtype != "bool"]
        outside = layer.output.shape
        if type(layer).__name__ == "InputLayer":
            continue
        flops += _flops(layer, inputs[0].shape, outside)
        traffic += _elements(outside) + sum(_elements(each.shape) for each in inputs)
    weights = int(net.count_params()) * _FLOAT
    traffic *= batch * _FLOAT
    return {
        "fit": {
            "flops": _TRAINING_PASSES * batch * flops,
            "bytes": _TRAINING_PASSES * traffic + _TRAINING_WEIGHT_TRAFFIC * weights,
        },
        "predict": {"flops": batch * flops, "bytes": traffic + weights},
    }
