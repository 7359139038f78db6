"""Memory of a training step, in a process that does nothing else."""

from __future__ import annotations

import importlib
import pathlib
import sys
from typing import Any

from ..models import every_model
from ..peers.base import Peer

_STATUS = pathlib.Path("/proc/self/status")
_CLEAR = pathlib.Path("/proc/self/clear_refs")


def _status(field: str) -> int:
    """A field of the process status that is given in kB, in bytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _peak() -> int:
    """The most memory that was resident at a time."""
    if _STATUS.exists():
        return _status("VmHWM:")
    # A module that Windows hasn't.
    resource = importlib.import_module("resource")
    # Bytes on macOS, kB on other systems.
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _forget_peak() -> None:
    """Makes the kernel start anew, as Linux can, so that imports don't count."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return


def fit(peer: Peer, model: str, epochs: int) -> dict[str, Any]:
    """Bytes after the import, and at the peak of building a model and training it.

    Returns:
        `imported` (0 where the system can't tell), `peak`, and `planned`: what the peer planned.
    """
    peer.start()
    imported = _status("VmRSS:") if _STATUS.exists() else 0
    _forget_peak()
    chosen = every_model()[model]
    session = peer.session(chosen, dropout=True)
    x, y = chosen.data(2, 0)
    for _ in range(epochs):
        session.fit(x, y)
    return {"imported": imported, "peak": _peak(), "planned": peer.planned_bytes(session)}
