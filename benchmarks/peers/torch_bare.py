"""PyTorch without Keras: the models' twins, trained by a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models.base import Model, initial_weights
from .base import Peer, Session


class TorchSession:
    """A twin with the fused Adam; images are kept channels last, which is faster on processors."""

    def __init__(self, torch: Any, model: Model, dropout: bool) -> None:
        if model.build_torch is None:
            raise LookupError(f"The model '{model.name}' has no twin in PyTorch (build_torch).")
        self.torch = torch
        self.batch = model.batch
        self.net, self.slots = model.build_torch(torch, dropout)
        self.images = len(model.input_shape) == 3
        if self.images:
            self.net.to(memory_format=torch.channels_last)
        learned = [p for p in self.net.parameters() if p.requires_grad]
        # The settings of Keras, so that losses can be compared.
        self.adam = torch.optim.Adam(learned, lr=1e-3, eps=1e-7, fused=True)
        self.parameters = sum(int(np.prod(slot.shape)) for slot in self.slots)

    def set_initial_weights(self, seed: int) -> None:
        """Sets the twin's parameters to what the Keras model gets."""
        values = initial_weights([(slot.name, slot.shape) for slot in self.slots], seed)
        for slot, value in zip(self.slots, values, strict=True):
            slot.assign(value)

    def _samples(self, x: np.ndarray) -> Any:
        samples = self.torch.from_numpy(x)
        return samples.permute(0, 3, 1, 2) if self.images else samples

    def fit(self, x: np.ndarray, y: np.ndarray, shuffle: bool = True) -> float:
        """One epoch; the order of the samples does not matter to the time of a plain loop."""
        samples, labels = self._samples(x), self.torch.from_numpy(y).long()
        self.net.train()
        total = 0.0
        for begin in range(0, len(x), self.batch):
            part = slice(begin, begin + self.batch)
            self.adam.zero_grad()
            loss = self.torch.nn.functional.cross_entropy(self.net(samples[part]), labels[part])
            loss.backward()
            self.adam.step()
            total += loss.item()
        return total / (len(x) // self.batch)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities of all samples."""
        samples = self._samples(x)
        self.net.eval()
        with self.torch.inference_mode():
            parts = [
                self.torch.softmax(self.net(samples[begin : begin + self.batch]), -1)
                for begin in range(0, len(x), self.batch)
            ]
            return self.torch.cat(parts).numpy()


class TorchPeer(Peer):
    """Bare PyTorch, eager."""

    def start(self) -> Any:
        """Imports PyTorch."""
        import torch

        return torch

    def session(self, model: Model, dropout: bool) -> Session:
        """The model's twin."""
        return TorchSession(self.start(), model, dropout)

    def threads(self) -> str:
        """Threads inside one operation."""
        return str(self.start().get_num_threads())


def peers() -> list[Peer]:
    """The peer `torch`."""
    return [TorchPeer("torch", "PyTorch", ("torch",), ("torch",))]
