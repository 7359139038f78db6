"""A matrix product or an attention alone, in a peer's process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..peers.base import Peer
from . import alone
from .product_cases import CASES, Case


def load(peer: Peer, case: str, operation: str, method: str) -> bool:
    """Makes arrays and whatever has to be compiled.

    Args:
        peer: kbackend on an engine, or PyTorch.
        case: name of one.
        operation: "forward", or which gradient.
        method: always "".
    """
    chosen = next(c for c in CASES if c.name == case)
    products = len(chosen.sizes) == 3
    if peer.ours:
        made = (_product if products else _attention)(chosen, operation)
    else:
        make = _torch_product if products else _torch_attention
        made = make(peer.start(), chosen, operation)
    if made is None:
        return False
    alone.hold(method, made)
    return True


def seconds(peer: Peer, method: str, budget: float) -> float:
    """The least time of as many calls as fit in a budget of seconds."""
    return alone.least_seconds(method, budget)


def _matrices(case: Case) -> list[Any]:
    rows, columns, summands = case.sizes
    return [alone.random(s) for s in ((rows, summands), (summands, columns), (rows, columns))]


def _product(case: Case, operation: str) -> Callable[[], object]:
    x, w, y = _matrices(case)
    inputs, contract, out = {
        "forward": ((x, w), ((1,), (0,)), y.shape),
        "input": ((y, w), ((1,), (1,)), x.shape),
        "weights": ((x, y), ((0,), (0,)), w.shape),
    }[operation]
    return alone.kernel("dot", inputs, (out,), {"contract": contract})


def _torch_product(torch: Any, case: Case, operation: str) -> Callable[[], object]:
    torch.set_grad_enabled(False)
    x, w, y = map(torch.from_numpy, _matrices(case))
    a, b, out = {"forward": (x, w, y), "input": (y, w.T, x), "weights": (x.T, y, w)}[operation]
    return lambda: torch.mm(a, b, out=out)


def _attention(case: Case, operation: str) -> Callable[[], object] | None:
    from kbackend.engine.loader import current_engine

    name = "dot_product_attention" + ("" if operation == "forward" else "_grad")
    if name not in current_engine().composites:
        return None
    images, rows, heads, size = case.sizes
    inputs = [alone.random((images, rows, heads, size)) for _ in range(4)]
    params = {
        "scale": size**-0.5, "is_causal": False, "soft_cap": None, "biased": False,
        "masked": False,
    }  # fmt: skip
    if operation == "forward":
        return alone.kernel(name, inputs[:3], (inputs[0].shape,), params)
    return alone.kernel(name, inputs, (inputs[0].shape,) * 3, params)


def _torch_attention(torch: Any, case: Case, operation: str) -> Callable[[], object]:
    images, rows, heads, size = case.sizes
    made = [torch.from_numpy(alone.random((images, rows, heads, size))) for _ in range(4)]
    q, k, v, g = [x.transpose(1, 2) for x in made]
    attend = torch.nn.functional.scaled_dot_product_attention
    if operation == "forward":
        torch.set_grad_enabled(False)
        return lambda: attend(q, k, v)
    torch.set_grad_enabled(True)
    inputs = [x.detach().requires_grad_() for x in (q, k, v)]
    result = attend(*inputs)
    return lambda: torch.autograd.grad(result, inputs, g, retain_graph=True)
