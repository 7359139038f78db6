"""Activations: elementwise functions (and softmaxes) between layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.activations.functions import exponential, gelu, linear, mish, relu
from kbackend.base import serialization
from kbackend.base.registry import get_registered_name
from kbackend.ops.nn import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh_shrink,
    threshold,
)
from kbackend.ops.numpy.trigonometry import tanh

__all__ = [
    "celu", "deserialize", "elu", "exponential", "gelu", "get", "glu", "hard_shrink",
    "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid",
    "log_softmax", "mish", "relu", "relu6", "selu", "serialize", "sigmoid", "silu", "soft_shrink",
    "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
    "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip

_OBJECTS: dict[str, Any] = {
    name: value
    for name, value in globals().items()
    if name in __all__ and getattr(value, "__module__", "").startswith("kbackend.")
}


def serialize(activation: Any) -> Any:
    """The config of an activation: the name of one of ours, a dict for others.

    Example:
        >>> serialize(relu)
        'relu'
    """
    name = getattr(activation, "__name__", None)
    # A registered function of the user's may have the name of one of ours.
    if name in _OBJECTS and get_registered_name(activation) == name:
        return name
    return serialization.serialize(activation)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The activation that a config describes.

    Args:
        config: what `serialize` returned.
        custom_objects: name -> class or function of the user's.

    Raises:
        TypeError: the config names a function that is not known.

    Example:
        >>> deserialize("relu") is relu
        True
    """
    return serialization.deserialize(config, custom_objects, _OBJECTS)


def get(identifier: Any) -> Any:
    """An activation given as a function, a name, a config or a layer.

    Args:
        identifier: any of these; `None` stands for `linear`.

    Raises:
        ValueError: the identifier is none of these.

    Example:
        >>> get("softmax") is softmax, get(None) is linear
        (True, True)
    """
    if identifier is None:
        return linear
    return serialization.resolve("activation", identifier, _OBJECTS)
