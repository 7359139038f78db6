"""Initializers: what the weights of layers start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kbackend.base import serialization
from kbackend.base.shapes import standardize_shape
from kbackend.core.bind import Symbolic
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.tensor import Tensor
from kbackend.initializers.drawn import (
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from kbackend.initializers.fixed import Constant, Identity, Ones, Zeros
from kbackend.initializers.fourier import STFT
from kbackend.initializers.initializer import Initializer
from kbackend.initializers.presets import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
)

constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = IdentityInitializer = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = OrthogonalInitializer = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
stft = STFTInitializer = STFT
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

__all__ = [
    "STFT", "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity",
    "IdentityInitializer", "Initializer", "LecunNormal", "LecunUniform", "Ones", "Orthogonal",
    "OrthogonalInitializer", "RandomNormal", "RandomUniform",
    "STFTInitializer", "TruncatedNormal", "VarianceScaling", "Zeros", "constant", "deserialize",
    "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity",
    "lecun_normal", "lecun_uniform", "ones", "orthogonal", "random_normal", "random_uniform",
    "serialize", "stft", "truncated_normal", "variance_scaling", "zeros",
]  # fmt: skip

_OBJECTS: dict[str, Any] = {
    **{
        name: value
        for name, value in globals().items()
        if name in __all__ and isinstance(value, type)
    },
    # Short names that configs and layers may give.
    "normal": RandomNormal,
    "one": Ones,
    "uniform": RandomUniform,
    "zero": Zeros,
}


def serialize(initializer: Any) -> Any:
    """The config of an initializer.

    Example:
        >>> serialize(Zeros())["class_name"]
        'Zeros'
    """
    return serialization.serialize(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that a config describes.

    Args:
        config: what `serialize` returned.
        custom_objects: name -> class or function of the user's.

    Raises:
        TypeError: the config names a class that is not known.

    Example:
        >>> deserialize({"class_name": "Constant", "config": {"value": 2.0}}).value
        2.0
    """
    return serialization.deserialize(config, custom_objects, _OBJECTS)


def get(identifier: Any) -> Any:
    """An initializer given as an instance, a class, a name, a config, an array or a function.

    Args:
        identifier: any of these, or `None`, which is returned as it is. An array stands for a
            function that returns it.

    Raises:
        ValueError: the identifier is none of these.

    Example:
        >>> type(get("glorot_uniform")).__name__
        'GlorotUniform'
    """
    if isinstance(identifier, (np.ndarray, Tensor, Readable)):
        return _returns(identifier)
    if isinstance(identifier, Symbolic):
        raise ValueError(f"A symbolic tensor can't be an initial value. Received: {identifier}.")
    return serialization.resolve("initializer", identifier, _OBJECTS)


def _returns(value: Any) -> Any:
    def initialize(shape: Any, dtype: Any = None) -> Any:
        if standardize_shape(shape) != tuple(value.shape):
            raise ValueError(
                f"The initial value has the shape {tuple(value.shape)}. Received: shape={shape}."
            )
        return to_tensor(value, dtype)

    return initialize
