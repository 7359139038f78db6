"""Layers: what models are made of. Each is imported when it is first asked for."""

from kbackend.base.lazy import attach

# A block for each family: public name -> where it lives.
_TARGETS: dict[str, str] = {
    # base
    "InputSpec": "kbackend.layers.input_spec:InputSpec",
    "Layer": "kbackend.layers.layer:Layer",
    # core
    "Dense": "kbackend.layers.core.dense:Dense",
    "Input": "kbackend.layers.core.input_layer:Input",
    "InputLayer": "kbackend.layers.core.input_layer:InputLayer",
    # reshaping
    "Flatten": "kbackend.layers.reshaping.flatten:Flatten",
    # regularization
    "Dropout": "kbackend.layers.regularization.dropout:Dropout",
    # activations
    "Activation": "kbackend.layers.activations.activation:Activation",
}

__getattr__, __dir__ = attach(__name__, _TARGETS)

# Read by `from kbackend.layers import *`, which imports everything.
__all__ = [*_TARGETS]  # noqa: PLE0604 (the names are strings)
