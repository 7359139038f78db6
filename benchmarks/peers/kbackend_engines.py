"""kbackend on each engine that it knows, built in or announced by an installed package."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
from typing import Any

from ..models.base import Model
from .base import Peer, Session
from .keras_api import KerasSession

_DEPENDENCIES = ("numpy", "h5py", "ml_dtypes", "rich", "platformdirs")


class EnginePeer(Peer):
    """kbackend on one engine."""

    ours = True
    keras_api = True

    def __init__(self, engine: str) -> None:
        super().__init__(
            f"kbackend-{engine}",
            f"kbackend on {engine}",
            ("kbackend",),
            tuple(dict.fromkeys(("kbackend", *_DEPENDENCIES, engine))),
        )
        self.engine = engine
        self.install = f"pip install 'kbackend[{engine}]'"

    def environment(self) -> dict[str, str]:
        """The engine by its name and, if kbackend is a source tree, where that is."""
        variables = {"KBACKEND": self.engine}
        spec = importlib.util.find_spec("kbackend")
        if spec is not None and spec.origin is not None:
            root = pathlib.Path(spec.origin).resolve().parents[1]
            if (root / "pyproject.toml").is_file():
                paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
                variables["PYTHONPATH"] = os.pathsep.join(paths)
        return variables

    def cache_environment(self, folder: str) -> dict[str, str]:
        """The folder for compiled kernels."""
        return {"KBACKEND_CACHE_DIR": folder}

    def start(self) -> Any:
        """Imports kbackend and loads the engine."""
        import kbackend
        from kbackend.engine.loader import current_engine

        current_engine()
        return kbackend

    def namespace(self) -> Any:
        """The module `kbackend`."""
        return self.start()

    def session(self, model: Model, dropout: bool) -> Session:
        """A model behind `fit` and `predict`."""
        return KerasSession(self.namespace(), model, dropout)

    def source_packages(self) -> tuple[str, ...]:
        """kbackend and the package of the engine."""
        return ("kbackend", f"kbackend_{self.engine}")

    def planned_bytes(self, session: Session) -> dict[str, int] | None:
        """The arena of the compiled train step, and what its values would take one by one."""
        net = session.net
        programs = [each.program for each in net._steps.of(net, "train_step").executables()]
        if not programs:
            return None
        largest = max(programs, key=lambda program: program.planned)
        return {"planned": largest.planned, "planned, nothing shared": largest.unshared}

    def threads(self) -> str:
        """Threads of the pools that `threadpoolctl` finds, where it is installed."""
        try:
            from threadpoolctl import threadpool_info
        except ImportError:
            return super().threads()
        pools = [f"{p['internal_api']} {p['num_threads']}" for p in threadpool_info()]
        return ", ".join(pools) or super().threads()


def peers() -> list[EnginePeer]:
    """A peer for each known engine; one that can't run says why, and how to mend it."""
    if importlib.util.find_spec("kbackend") is None:
        return []
    from kbackend.engine.loader import installed_backends

    found = []
    for name, probe in sorted(installed_backends().items()):
        peer = EnginePeer(name)
        if not probe.usable:
            peer.missing = probe.reason
            command = re.search(r"pip install [^,]*", probe.reason)
            peer.install = probe.mend or (command.group(0) if command else peer.install)
        found.append(peer)
    return found
