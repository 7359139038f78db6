"""Runs one scenario in this library and in real Keras, and compares what comes out."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import kbackend


def flat(value: Any) -> dict[str, Any]:
    """A nested result as path -> NumPy array, string or None."""
    found: dict[str, Any] = {}

    def walk(path: str, one: Any) -> None:
        if isinstance(one, dict):
            for key, inner in one.items():
                walk(f"{path}/{key}", inner)
        elif isinstance(one, (list, tuple)):
            for i, inner in enumerate(one):
                walk(f"{path}/{i}", inner)
        else:
            found[path] = one if one is None or isinstance(one, str) else np.asarray(one)

    walk("", value)
    return found


def same_weights(source: Any, target: Any) -> None:
    """Gives `target` the weights of `source`."""
    target.set_weights([np.asarray(w) for w in source.get_weights()])


def _repeatable(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result that two runs give, bit for bit.

    Eager steps of Keras on JAX don't always repeat themselves: of 40 runs of a model with added
    losses, about 10 differed from the others in the fourth digit of one value.
    """
    seen: set[bytes] = set()
    while len(seen) < 10:
        found = run()
        content = pickle.dumps(found)
        if content in seen:
            return found
        seen.add(content)
    raise AssertionError("Ten runs of the reference gave ten results.")


def assert_same(
    keras: Any,
    scenario: Callable[[Any, Callable[[Any], Any]], Any],
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> None:
    """The scenario gives the same result in both libraries.

    Args:
        keras: real Keras.
        scenario: function `(k, start)`. `k` is the library; `start(model)` gives the model the same
            weights in both, and returns it. Its result is compared: keys exactly, values closely.
        rtol: relative tolerance; float32 sums of a few hundred terms, over a few steps.
        atol: absolute tolerance.
    """
    kept: list[list[np.ndarray[Any, Any]]] = []

    def start(model: Any) -> Any:
        rng = np.random.default_rng(len(kept))
        values = [rng.normal(0, 0.4, w.shape).astype("float32") for w in model.get_weights()]
        # Vectors may be variances.
        kept.append([np.abs(w) if w.ndim == 1 else w for w in values])
        model.set_weights(kept[-1])
        return model

    ours = flat(scenario(kbackend, start))

    def run_keras() -> dict[str, Any]:
        kept.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return flat(scenario(keras, start))

    theirs = _repeatable(run_keras)
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        if value is None or isinstance(value, str):
            assert ours[key] == value, key
        else:
            np.testing.assert_allclose(
                ours[key].astype("float64"), value.astype("float64"), rtol, atol, err_msg=key
            )
