"""Where the weights of a Keras model go in its PyTorch twin.

Each function lists the slots of one layer in the order in which Keras lists its weights: name and
shape there, and a function that stores the array in PyTorch's own layout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Assign = Callable[[np.ndarray], None]


class Slot(NamedTuple):
    """One weight of the Keras model: name, shape, and how to store it in the twin."""

    name: str
    shape: tuple[int, ...]
    assign: Assign


def _into(parameter: Any, layout: Callable[[np.ndarray], np.ndarray] | None = None) -> Assign:
    def assign(value: np.ndarray) -> None:
        stored = np.ascontiguousarray(layout(value) if layout else value)
        # `.data` leaves no trace in the graph; `copy_` keeps the parameter's memory format.
        parameter.data.copy_(parameter.data.new_tensor(stored))

    return assign


def dense(layer: Any) -> list[Slot]:
    """`Linear` for `Dense`."""
    out, inside = layer.weight.shape
    return [
        Slot("kernel", (inside, out), _into(layer.weight, np.transpose)),
        Slot("bias", (out,), _into(layer.bias)),
    ]


def conv(layer: Any) -> list[Slot]:
    """`Conv2d` for `Conv2D`, `Conv1d` for `Conv1D`, with or without a bias."""
    out, inside, *window = layer.weight.shape
    kernel = _into(layer.weight, lambda w: np.moveaxis(w, (-1, -2), (0, 1)))
    return [Slot("kernel", (*window, inside, out), kernel), *_bias(layer)]


def _bias(layer: Any) -> list[Slot]:
    if layer.bias is None:
        return []
    return [Slot("bias", tuple(layer.bias.shape), _into(layer.bias))]


def conv_transpose(layer: Any) -> list[Slot]:
    """`ConvTranspose2d` for `Conv2DTranspose`."""
    inside, out, height, width = layer.weight.shape
    kernel = _into(layer.weight, lambda w: w.transpose(3, 2, 0, 1))
    return [Slot("kernel", (height, width, out, inside), kernel), *_bias(layer)]


def depthwise(layer: Any) -> list[Slot]:
    """`Conv2d` with a group for each channel for `DepthwiseConv2D`."""
    channels, _, height, width = layer.weight.shape
    kernel = _into(layer.weight, lambda w: w.transpose(2, 3, 0, 1))
    return [Slot("kernel", (height, width, channels, 1), kernel), *_bias(layer)]


def batch_norm(layer: Any) -> list[Slot]:
    """`BatchNorm2d` for `BatchNormalization`."""
    shape = tuple(layer.weight.shape)
    return [
        Slot("gamma", shape, _into(layer.weight)),
        Slot("beta", shape, _into(layer.bias)),
        Slot("moving_mean", shape, _into(layer.running_mean)),
        Slot("moving_variance", shape, _into(layer.running_var)),
    ]


def layer_norm(layer: Any) -> list[Slot]:
    """`LayerNorm` for `LayerNormalization`."""
    shape = tuple(layer.weight.shape)
    return [
        Slot("gamma", shape, _into(layer.weight)),
        Slot("beta", shape, _into(layer.bias)),
    ]


def lstm(layer: Any) -> list[Slot]:
    """`LSTM` for `LSTM`, with the gates in the same order; PyTorch's second bias stays 0."""
    gates, inside = layer.weight_ih_l0.shape
    layer.bias_hh_l0.data.zero_()
    layer.bias_hh_l0.requires_grad_(False)
    return [
        Slot("kernel", (inside, gates), _into(layer.weight_ih_l0, np.transpose)),
        Slot("recurrent_kernel", (gates // 4, gates), _into(layer.weight_hh_l0, np.transpose)),
        Slot("bias", (gates,), _into(layer.bias_ih_l0)),
    ]


def gru(layer: Any) -> list[Slot]:
    """`GRU` for `GRU`: PyTorch has the reset gate first, Keras the update gate."""
    gates, inside = layer.weight_ih_l0.shape
    units = gates // 3

    def turned(parameter: Any) -> Assign:
        def layout(value: np.ndarray) -> np.ndarray:
            update, reset, candidate = np.split(value.T, 3)
            return np.concatenate([reset, update, candidate])

        return _into(parameter, layout)

    inner, outer = turned(layer.bias_ih_l0), turned(layer.bias_hh_l0)

    def biases(value: np.ndarray) -> None:
        inner(value[0])
        outer(value[1])

    return [
        Slot("kernel", (inside, gates), turned(layer.weight_ih_l0)),
        Slot("recurrent_kernel", (units, gates), turned(layer.weight_hh_l0)),
        Slot("bias", (2, gates), biases),
    ]


def attention(layer: Any) -> list[Slot]:
    """`MultiheadAttention` for `MultiHeadAttention`: one matrix holds the inner projections."""
    width, heads = layer.embed_dim, layer.num_heads
    inner = (heads, width // heads)
    slots = []
    for position in range(3):
        rows = slice(position * width, (position + 1) * width)
        weight, bias = layer.in_proj_weight[rows], layer.in_proj_bias[rows]
        slots += [
            Slot("kernel", (width, *inner), _into(weight, lambda w: w.reshape(len(w), -1).T)),
            Slot("bias", inner, _into(bias, np.ravel)),
        ]
    weight = _into(layer.out_proj.weight, lambda w: w.reshape(-1, w.shape[-1]).T)
    return [
        *slots,
        Slot("kernel", (*inner, width), weight),
        Slot("bias", (width,), _into(layer.out_proj.bias)),
    ]
