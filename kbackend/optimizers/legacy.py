"""The names of `keras.optimizers.legacy`, which say where to go."""

from __future__ import annotations

from typing import Any


class LegacyOptimizerWarning:
    """What stands for an optimizer of `keras.optimizers.legacy`: making one is an error.

    Raises:
        ImportError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError(
            "keras.optimizers.legacy is not there in Keras 3. Use the optimizer of the same name "
            "in keras.optimizers."
        )


Adagrad = Adam = Ftrl = Optimizer = RMSprop = SGD = LegacyOptimizerWarning

__all__ = ["SGD", "Adagrad", "Adam", "Ftrl", "Optimizer", "RMSprop"]
