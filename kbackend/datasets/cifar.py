"""What CIFAR-10 and CIFAR-100 have in common."""

from __future__ import annotations

import os

import numpy as np

from kbackend.base import config
from kbackend.datasets.sources import CIFAR_ORIGIN, fetch, unpickle_arrays

Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_cifar(
    archive: str, cache_name: str, folder: str, files: tuple[list[str], str], labels: str
) -> Split:
    """The images and labels of the training files, and of the test file."""
    path = fetch(archive, cache_name, origin=CIFAR_ORIGIN, extract=True)
    train, test = files
    batches = [_read(os.path.join(path, folder, name), labels) for name in train]
    x_train, y_train = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return (x_train, y_train), _read(os.path.join(path, folder, test), labels)


def _read(path: str, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    with open(path, "rb") as file:
        content = unpickle_arrays(file, encoding="bytes")
    images = content[b"data"].reshape(-1, 3, 32, 32)
    if config.image_data_format() == "channels_last":
        images = images.transpose(0, 2, 3, 1)
    labels = np.array(content[label_key.encode()], dtype="uint8")
    return np.ascontiguousarray(images), labels[:, None]
