"""`fit` and `predict` of a model, in a peer's process."""

from __future__ import annotations

import gc
import time
from typing import Any

import numpy as np

from ..models import every_model
from ..peers.base import Peer
from ..work import work_of

SEED = 0

# The model at work: its session and its data.
_held: dict[str, Any] = {}


def losses(peer: Peer, model: str, steps: int) -> list[float]:
    """The losses of the first steps, one batch after the other, without dropout, in order."""
    chosen = every_model()[model]
    session = peer.session(chosen, dropout=False)
    session.set_initial_weights(SEED)
    x, y = chosen.data(steps, SEED)
    parts = [slice(b, b + chosen.batch) for b in range(0, len(x), chosen.batch)]
    found = [session.fit(x[part], y[part], shuffle=False) for part in parts]
    if not chosen.has_dropout:
        # The same model, compiled by now, is the one to time.
        _held.update(session=session)
    return found


def load(peer: Peer, model: str, steps: int) -> dict[str, Any]:
    """Builds the model unless it is there, makes the data, and warms up over one epoch.

    Returns:
        `parameters`, and the `work` of a step if the peer has the Keras API.
    """
    chosen = every_model()[model]
    session = _held.get("session") or peer.session(chosen, dropout=True)
    session.set_initial_weights(SEED)
    x, y = chosen.data(steps, SEED)
    _held.update(session=session, x=x, y=y, steps=steps)
    session.fit(x, y)
    session.predict(x)
    work = work_of(session.net, chosen.batch) if peer.keras_api else None
    return {"parameters": session.parameters, "work": work}


def fit(peer: Peer) -> float:
    """Seconds of one step, over an epoch."""
    begin = time.perf_counter()
    loss = _held["session"].fit(_held["x"], _held["y"])
    seconds = time.perf_counter() - begin
    if not np.isfinite(loss):
        raise ArithmeticError(f"the loss became {loss}")
    return seconds / _held["steps"]


def predict(peer: Peer) -> float:
    """Seconds of one batch, over all data."""
    begin = time.perf_counter()
    _held["session"].predict(_held["x"])
    return (time.perf_counter() - begin) / _held["steps"]


def drop(peer: Peer) -> bool:
    """Lets go of the model and its data."""
    _held.clear()
    gc.collect()
    return True
