"""The first call to a peer: is it there, and what is it?"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

from .base import Peer


def greet(peer: Peer) -> dict[str, Any]:
    """What is missing, or else the versions of the peer, which is imported."""
    absent = peer.absent()
    if absent:
        return {"absent": absent}
    peer.start()
    versions = {"python": platform.python_version()}
    for package in peer.packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            # A source tree that was not installed.
            version = getattr(sys.modules.get(package), "__version__", None)
            if version:
                versions[package] = version
    return {"absent": [], "versions": versions}


def threads(peer: Peer) -> str:
    """How many threads the peer says it uses."""
    return peer.threads()
