"""PyTorch without Keras: the models' twins, trained by a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..machine import gpus
from ..models.base import Model, initial_weights
from .base import Peer, Session


class TorchSession:
    """A twin with the fused Adam; images are kept channels last, which is faster."""

    def __init__(self, torch: Any, model: Model, dropout: bool, device: str) -> None:
        if model.build_torch is None:
            raise LookupError(f"The model '{model.name}' has no twin in PyTorch (build_torch).")
        self.torch, self.device = torch, device
        self.batch = model.batch
        # Slots are views of parameters, which therefore must be made where they stay.
        with torch.device(device):
            self.net, self.slots = model.build_torch(torch, dropout)
        self.images = len(model.input_shape) == 3
        self.classifies = model.loss != "mse"
        if self.images:
            self.net.to(memory_format=torch.channels_last)
        learned = [p for p in self.net.parameters() if p.requires_grad]
        # The settings of Keras, so that losses can be compared; for `eps` see `_as_in_keras`.
        self.adam = torch.optim.Adam(learned, lr=1e-3, fused=True)
        self.updates = 0
        self.parameters = sum(int(np.prod(slot.shape)) for slot in self.slots)

    def set_initial_weights(self, seed: int) -> None:
        """Sets the twin's parameters to what the Keras model gets."""
        values = initial_weights([(slot.name, slot.shape) for slot in self.slots], seed)
        for slot, value in zip(self.slots, values, strict=True):
            slot.assign(value)

    def _samples(self, x: np.ndarray) -> Any:
        samples = self.torch.from_numpy(x)
        return samples.permute(0, 3, 1, 2) if self.images else samples

    def _as_in_keras(self) -> None:
        """PyTorch corrects the average of squares before it adds `eps`, Keras behind it."""
        self.updates += 1
        self.adam.param_groups[0]["eps"] = 1e-7 / (1 - 0.999**self.updates) ** 0.5

    def fit(self, x: np.ndarray, y: np.ndarray, shuffle: bool = True) -> float:
        """One epoch; the order of the samples does not matter to the time of a plain loop."""
        samples = self._samples(x)
        targets = self.torch.from_numpy(y).long() if self.classifies else samples
        functional = self.torch.nn.functional
        loss_of = functional.cross_entropy if self.classifies else functional.mse_loss
        self.net.train()
        total: Any = 0.0
        for begin in range(0, len(x), self.batch):
            part = slice(begin, begin + self.batch)
            self.adam.zero_grad()
            x_batch, y_batch = samples[part].to(self.device), targets[part].to(self.device)
            loss = loss_of(self.net(x_batch), y_batch)
            loss.backward()
            self._as_in_keras()
            self.adam.step()
            total += loss.detach()
        return float(total) / (len(x) // self.batch)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """What the model gives for all samples; the classes of images are the second axis."""
        samples = self._samples(x)
        self.net.eval()
        with self.torch.inference_mode():
            parts = [
                self.net(samples[begin : begin + self.batch].to(self.device))
                for begin in range(0, len(x), self.batch)
            ]
            if self.classifies:
                parts = [self.torch.softmax(part, 1) for part in parts]
            return self.torch.cat(parts).cpu().numpy()


class TorchPeer(Peer):
    """Bare PyTorch, eager.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, name: str, title: str, device: str) -> None:
        super().__init__(name, title, ("torch",), ("torch",))
        self.device = device

    def start(self) -> Any:
        """Imports PyTorch."""
        import torch

        return torch

    def session(self, model: Model, dropout: bool) -> Session:
        """The model's twin."""
        return TorchSession(self.start(), model, dropout, self.device)

    def threads(self) -> str:
        """Threads inside one operation, or the device."""
        torch = self.start()
        return str(torch.get_num_threads()) if self.device == "cpu" else self.device


def peers() -> list[Peer]:
    """The peers `torch`, and `torch-cuda` on machines with an NVIDIA GPU."""
    on_gpu = [TorchPeer("torch-cuda", "PyTorch on CUDA", "cuda")] if gpus() else []
    return [TorchPeer("torch", "PyTorch", "cpu"), *on_gpu]
