"""`LearningRateScheduler`: a learning rate for each epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.callbacks.callback import Callback
from kbackend.utils import console


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    The logs of the epochs get the learning rate as "learning_rate".

    Args:
        schedule: function `(epoch, learning_rate)`, or `(epoch)`, that returns the new rate.
        verbose: 1 tells the rate.

    Example:
        >>> import kbackend as keras
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), "mse")
        >>> history = model.fit(np.ones((2, 1)), np.ones((2, 1)), epochs=3, verbose=0,
        ...     callbacks=[LearningRateScheduler(lambda epoch, rate: rate / 2)])
        >>> history.history["learning_rate"]
        [0.25, 0.125, 0.0625]
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the learning rate."""
        optimizer = self.model.optimizer
        old = float(np.asarray(optimizer.learning_rate))
        rate = self.schedule(epoch, old) if self._takes_rate else self.schedule(epoch)
        if not isinstance(rate, (float, np.floating)):
            raise ValueError(
                "[LearningRateScheduler] 'schedule' must return a float. Received: "
                f"{rate!r} of type {type(rate).__name__} for epoch {epoch}."
            )
        optimizer.learning_rate = float(rate)
        if self.verbose:
            console.write(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}."
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds the learning rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # some built-in functions do not tell
        return True
    return True
