"""A convolution alone, in a peer's process: forward, and back to the input and to the filters."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..peers.base import Peer
from . import alone
from .convolution_cases import CASES, Case


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
    alone.hold(method, made)
    return True


def seconds(peer: Peer, method: str, budget: float) -> float:
    """The least time of as many calls as fit in a budget of seconds."""
    return alone.least_seconds(method, budget)


def _shapes(case: Case) -> tuple[tuple[int, ...], ...]:
    """Of images, filters and results, channels last."""
    inner = case.channels // case.groups
    return (
        (case.batch, case.size, case.size, case.channels),
        (case.window, case.window, inner, case.filters),
        (case.batch, case.positions, case.positions, case.filters),
    )


def _kernel(case: Case, operation: str, method: str) -> Callable[[], object]:
    """The prepared kernel of the current engine."""
    if method:
        os.environ["KBACKEND_CONVOLUTION"] = method
    x, w, y = map(alone.random, _shapes(case))
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
    return alone.kernel(name, inputs, (output.shape,), params)


def _torch(peer: Peer, case: Case, operation: str) -> Callable[[], object]:
    torch = peer.start()
    torch.set_grad_enabled(False)
    x, w, y = map(alone.random, _shapes(case))
    last = torch.channels_last
    x, y = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=last) for a in (x, y))
    w = torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=last)
    how = ((case.stride,) * 2, (case.padding,) * 2, (case.dilation,) * 2)
    if operation == "forward":
        return lambda: torch.nn.functional.conv2d(x, w, None, *how, case.groups)
    wanted = (operation == "input", operation == "filters", False)
    back = torch.ops.aten.convolution_backward
    return lambda: back(y, x, w, None, *how, False, (0, 0), case.groups, wanted)
