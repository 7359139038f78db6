"""A convolution alone, in a peer's process: forward, and back to the input and to the filters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..peers.base import Peer
from .convolution_cases import CASES, Case

_held: dict[str, Callable[[], object]] = {}


def load(peer: Peer, case: str, operation: str, method: str) -> bool:
    """Makes arrays and whatever has to be compiled.

    Args:
        peer: kbackend on an engine, or PyTorch.
        case: name of one.
        operation: "forward", "input" or "filters", for the result or the gradient that is wanted.
        method: for kbackend's Numba engine, value of KBACKEND_CONVOLUTION; else "".
    """
    chosen = next(c for c in CASES if c.name == case)
    made = _kernel(chosen, operation, method) if peer.ours else _torch(peer, chosen, operation)
    made()
    made()
    _held[method] = made
    return True


def seconds(peer: Peer, method: str, budget: float) -> float:
    """The least time of as many calls as fit in a budget of seconds."""
    call, least, begin = _held[method], float("inf"), time.perf_counter()
    now = begin
    while now - begin < budget:
        call()
        after = time.perf_counter()
        least, now = min(least, after - now), after
    return least


def _shapes(case: Case) -> tuple[tuple[int, ...], ...]:
    """Of images, filters and results, channels last."""
    inner = case.channels // case.groups
    return (
        (case.batch, case.size, case.size, case.channels),
        (case.window, case.window, inner, case.filters),
        (case.batch, case.positions, case.positions, case.filters),
    )


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    """Memory that begins with a line of the cache, as that of programs and of PyTorch does."""
    raw = np.empty(4 * int(np.prod(shape)) + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : len(raw) - 64 + start].view("float32").reshape(shape)


def _random(shape: tuple[int, ...]) -> np.ndarray:
    found = _empty(shape)
    found[...] = np.random.default_rng(0).standard_normal(shape)
    return found


def _kernel(case: Case, operation: str, method: str) -> Callable[[], object]:
    """The prepared kernel of the current engine."""
    from kbackend.engine.loader import current_engine
    from kbackend.engine.program import Spec

    if method:
        os.environ["KBACKEND_CONVOLUTION"] = method
    x, w, y = map(_random, _shapes(case))
    pair = ((case.padding, case.padding),) * 2
    params: dict[str, Any] = {
        "strides": (case.stride,) * 2,
        "padding": pair,
        "dilation": (case.dilation,) * 2,
        "groups": case.groups,
    }
    name, inputs, output = {
        "forward": ("conv", (x, w), y),
        "input": ("conv_input_grad", (y, w), x),
        "filters": ("conv_filter_grad", (x, y), w),
    }[operation]
    if operation == "input":
        params["space"] = x.shape[1:-1]
    elif operation == "filters":
        params["window"] = w.shape[:2]
    output = _empty(output.shape)
    engine = current_engine()
    specs = tuple([Spec(a.shape, "float32") for a in inputs])
    prepared = engine.prepare(name, specs, (Spec(output.shape, "float32"),), params)
    if prepared is None:
        return lambda: engine.table[name].fn(*inputs, **params)
    scratch = [_empty(spec.shape) for spec in prepared.scratch]
    arrays = (output, *inputs, *scratch)
    return _tape(prepared, arrays) or (lambda: prepared.run(*arrays))


def _tape(prepared: Any, arrays: tuple[Any, ...]) -> Callable[[], object] | None:
    """The calls of compiled functions, as programs run them."""
    if not hasattr(prepared, "calls"):
        return None
    from kbackend_numba.native import Tape

    tape = Tape()
    for call in prepared.calls:
        pointers = tape.add(call)
        for position, place in enumerate(call.arrays):
            pointers[position] = arrays[place]
    return tape


def _torch(peer: Peer, case: Case, operation: str) -> Callable[[], object]:
    torch = peer.start()
    torch.set_grad_enabled(False)
    x, w, y = map(_random, _shapes(case))
    last = torch.channels_last
    x, y = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=last) for a in (x, y))
    w = torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=last)
    how = ((case.stride,) * 2, (case.padding,) * 2, (case.dilation,) * 2)
    if operation == "forward":
        return lambda: torch.nn.functional.conv2d(x, w, None, *how, case.groups)
    wanted = (operation == "input", operation == "filters", False)
    back = torch.ops.aten.convolution_backward
    return lambda: back(y, x, w, None, *how, False, (0, 0), case.groups, wanted)
