"""What scenarios of training have in common: data, a model, and the table that they are in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Called with a library, and with what gives a model of it the weights that all of them begin with.
Scenario = Callable[[Any, Callable[[Any], Any]], Any]
# Samples, features, classes.
N, D, C = 24, 5, 3


class Scenarios(dict[str, Scenario]):
    """Scenarios by name. As a decorator it takes in a function."""

    def __call__(self, function: Scenario) -> Scenario:
        self[function.__name__] = function
        return function


def data(seed: int = 0) -> tuple[Any, Any, Any]:
    """Features, classes and weights of samples."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D)).astype("float32")
    return x, rng.integers(0, C, N), rng.uniform(0.1, 2.0, N).astype("float32")


def classifier(k: Any) -> Any:
    """A model of one hidden layer."""
    return k.Sequential(
        [k.Input((D,)), k.layers.Dense(7, activation="relu"), k.layers.Dense(C, "softmax")]
    )
