"""Peers that speak the Keras API: they differ in the namespace that they hand out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models.base import Model, initial_weights
from .base import Peer, Session


class KerasSession:
    """A model behind `fit` and `predict`."""

    def __init__(self, keras: Any, model: Model, dropout: bool) -> None:
        self.batch = model.batch
        self.net = model.build(keras, dropout)
        metrics = [] if model.loss == "mse" else ["accuracy"]
        self.net.compile("adam", model.loss, metrics=metrics)
        self.parameters = int(self.net.count_params())

    def set_initial_weights(self, seed: int) -> None:
        """Sets all weights by their names, shapes and order."""
        specs = [(weight.name, tuple(weight.shape)) for weight in self.net.weights]
        self.net.set_weights(initial_weights(specs, seed))

    def fit(self, x: np.ndarray, y: np.ndarray, shuffle: bool = True) -> float:
        """One epoch."""
        history = self.net.fit(
            x, y, batch_size=self.batch, epochs=1, verbose=0, shuffle=shuffle
        ).history
        return float(history["loss"][0])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """What the model gives for all samples."""
        return np.asarray(self.net.predict(x, batch_size=self.batch, verbose=0))


class KerasPeer(Peer):
    """Keras on one of its backends."""

    keras_api = True

    def __init__(self, backend: str, title: str, package: str, module: str) -> None:
        super().__init__(
            f"keras-{backend}", f"Keras on {title}", ("keras", module), ("keras", package)
        )
        self.backend = backend

    def environment(self) -> dict[str, str]:
        """Keras chooses its backend by a variable; TensorFlow keeps its start-up messages."""
        return {"KERAS_BACKEND": self.backend, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def start(self) -> Any:
        """Imports Keras with its backend."""
        import keras

        return keras

    def namespace(self) -> Any:
        """The module `keras`."""
        return self.start()

    def session(self, model: Model, dropout: bool) -> Session:
        """A model behind `fit` and `predict`."""
        return KerasSession(self.namespace(), model, dropout)
