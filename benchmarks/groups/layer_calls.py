"""A layer alone, in a peer's process: forward by `predict_on_batch`, and backward by a step.

The two calls are what every peer with the Keras API has, and they take the compiled way where the
peer compiles. The layer stands behind a learned factor, so that the gradient of its input is needed
as well, and before a mean of squares. The step is plain SGD.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..peers.base import Peer
from .layer_cases import CASES

_held: dict[str, Any] = {}


def _factor(keras: Any) -> Any:
    class Factor(keras.layers.Layer):  # type: ignore[misc]
        """Multiplies by one learned number."""

        def build(self, input_shape: Any) -> None:
            self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

    return Factor()


def load(peer: Peer, case: str) -> bool:
    """Builds the layer's model and calls it until it is compiled."""
    chosen = next(c for c in CASES if c.name == case)
    keras = peer.namespace()
    dtype = "int32" if chosen.tokens else "float32"
    inputs = keras.Input(chosen.shape[1:], dtype=dtype)
    x = inputs if chosen.tokens else _factor(keras)(inputs)
    layer = chosen.make(keras)
    net = keras.Model(inputs, layer(x, x) if chosen.twice else layer(x))

    def mean_of_squares(_: Any, y: Any) -> Any:
        return keras.ops.mean(keras.ops.square(y))

    net.compile(keras.optimizers.SGD(1e-3), mean_of_squares)
    data = chosen.data()
    labels = np.zeros((len(data), 1), "float32")
    _held.update(net=net, x=data, y=labels)
    for _ in range(2):
        net.predict_on_batch(data)
        net.train_on_batch(data, labels)
    return True


def _seconds(call: Any, budget: float) -> float:
    begin = time.perf_counter()
    calls = 0
    while True:
        call()
        calls += 1
        spent = time.perf_counter() - begin
        if spent > budget:
            return spent / calls


def forward(peer: Peer, budget: float) -> float:
    """Seconds of a forward pass, over as many as fit in the budget."""
    return _seconds(lambda: _held["net"].predict_on_batch(_held["x"]), budget)


def step(peer: Peer, budget: float) -> float:
    """Seconds of a forward and backward pass."""
    return _seconds(lambda: _held["net"].train_on_batch(_held["x"], _held["y"]), budget)
