"""What a peer is: a library, or a library on a backend, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np

from ..models.base import Model


class Session(Protocol):
    """A model of the peer, compiled with Adam and the cross entropy, with a batch size."""

    net: Any
    parameters: int

    def set_initial_weights(self, seed: int) -> None:
        """Gives the model the weights that `models.base.initial_weights` makes."""

    def fit(self, x: np.ndarray, y: np.ndarray, shuffle: bool = True) -> float:
        """Trains for one epoch and returns its mean loss."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """What the model gives for all samples, in batches."""


class Peer(ABC):
    """One column of the tables. Methods run in the peer's own process, unless they say otherwise.

    The process gets the peer as its class and its attributes, which are therefore strings and
    tuples of strings.

    Attributes:
        name: unique name, as in `--peers name`; each of its parts between hyphens selects it, too.
        title: what tables call it.
        ours: whether it is kbackend; ratios are taken to the best of the others.
        modules: what must be importable.
        packages: distributions whose versions and sizes are told.
        keras_api: whether it has the Keras API, so that it can run all models, and layers.
        install: the command that installs what is missing.
        missing: why it can't run here, if that is known beforehand.
    """

    ours = False
    keras_api = False
    missing = ""

    def __init__(
        self, name: str, title: str, modules: tuple[str, ...], packages: tuple[str, ...]
    ) -> None:
        self.name = name
        self.title = title
        self.modules = modules
        self.packages = packages
        self.install = f"pip install {' '.join(packages)}"

    def to_arguments(self) -> list[str]:
        """The peer as command-line arguments: file within the suite, class, attributes."""
        kind = type(self)
        return [kind.__module__.partition(".")[2], kind.__qualname__, json.dumps(vars(self))]

    def environment(self) -> dict[str, str]:
        """Variables to set before its process starts. Asked in the parent process."""
        return {}

    def cache_environment(self, folder: str) -> dict[str, str]:
        """Variables that put its compilation caches into a folder. Asked in the parent process."""
        return {"XDG_CACHE_HOME": folder, "NUMBA_CACHE_DIR": folder}

    def absent(self) -> list[str]:
        """Those of `modules` that can't be found."""
        return [name for name in self.modules if importlib.util.find_spec(name) is None]

    @abstractmethod
    def start(self) -> Any:
        """Imports the library and returns it."""

    @abstractmethod
    def session(self, model: Model, dropout: bool) -> Session:
        """Builds and compiles a model."""

    def namespace(self) -> Any:
        """What has `layers`, `Sequential` and the rest of the Keras API; None without it."""
        return None

    def threads(self) -> str:
        """How many threads the library says it uses. Asked after the first work."""
        return f"all {len(os.sched_getaffinity(0))}" if hasattr(os, "sched_getaffinity") else "all"

    def source_packages(self) -> tuple[str, ...]:
        """Packages of its own that may run from a source tree instead of being installed."""
        return ()

    def planned_bytes(self, session: Session) -> dict[str, int] | None:
        """Bytes of a compiled train step `planned` and `naive`, if the peer plans its memory."""
        return None
