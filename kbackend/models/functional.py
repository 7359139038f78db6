"""`Functional`: a model made from the KerasTensors that go in and come out."""

from __future__ import annotations

from typing import Any

from kbackend.models.model import Model


class Functional(Model):
    """A model whose computation is a graph of layers and ops.

    Made by `Model(inputs, outputs)`; see there.

    Example:
        >>> import kbackend as keras
        >>> x = keras.Input((4,))
        >>> type(keras.Model(x, keras.layers.Dense(2)(x))).__name__
        'Functional'
    """

    # Files name the class by where Keras keeps it.
    _keras_module = "keras.src.models.functional"

    def get_build_config(self) -> dict[str, Any]:
        """A graph is built from the start."""
        return {"input_shape": None}


Model._functional_class = Functional
