"""`Functional`: a model made from the KerasTensors that go in and come out."""

from __future__ import annotations

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


Model._functional_class = Functional
