"""Keras on PyTorch."""

from __future__ import annotations

from .keras_api import KerasPeer


class KerasTorch(KerasPeer):
    """PyTorch tells its threads."""

    def threads(self) -> str:
        """Threads inside one operation."""
        import torch

        return str(torch.get_num_threads())


def peers() -> list[KerasPeer]:
    """The peer `keras-torch`."""
    return [KerasTorch("torch", "PyTorch", "torch", "torch")]
