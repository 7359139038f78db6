"""Who is measured: every file here that has a function `peers` brings one or more.

To add one, write `peers/mine.py` with `def peers() -> list[Peer]`. See `base.Peer` for what a peer
tells of itself; one with the Keras API needs nothing but its namespace (`keras_jax.py`).
"""

from __future__ import annotations

from .. import discovery
from .base import Peer


def all_peers() -> list[Peer]:
    """Every peer that the suite knows, installed or not; kbackend's engines first."""
    found = [
        peer for module in discovery.modules(__name__) for peer in getattr(module, "peers", list)()
    ]
    return sorted(found, key=lambda peer: (not peer.ours, peer.name))


def select(word: str, peers: list[Peer]) -> list[Peer]:
    """The peers that a word of the command line means: the one of that name, or all with that part.

    Args:
        word: `torch`, `keras-torch`, `keras`, …
        peers: the peers to choose from.

    Raises:
        ValueError: it means none of them.
    """
    chosen = [peer for peer in peers if peer.name == word]
    chosen = chosen or [peer for peer in peers if word in peer.name.split("-")]
    if not chosen:
        names = ", ".join(peer.name for peer in peers)
        raise ValueError(f"[benchmarks] No peer is called {word!r}. Known peers: {names}.")
    return chosen
