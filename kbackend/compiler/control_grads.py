"""Gradients of choices and loops in a trace: their bodies are computed again under a tape.

The gradient of a scan is one scan in the other direction. It takes the carries that entered each
step, which the forward scan has kept, computes the step again, and carries the cotangents of the
carries and the sums of those of the constants. That of a switch is a switch. Both can be
differentiated again. How many steps a while loop takes isn't known before, so nothing can be kept
for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.autodiff.tape import GradientTape
from kbackend.base.dtypes import INEXACT_SET
from kbackend.base.errors import TraceError
from kbackend.core import lang
from kbackend.ir import bodies
from kbackend.ir.control import SCAN, SWITCH, WHILE, Flags, Params, kept_carries
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Graph
from kbackend.ir.trace import current_trace


def _pulled(
    graph: Graph, inputs: Sequence[Any], wanted: Flags, outputs: Flags, seeds: Sequence[Any]
) -> list[Any]:
    """Cotangents of the wanted inputs of a graph, zeros where there are none.

    Args:
        graph: what is computed again.
        inputs: its arguments, each an object of its own.
        wanted: for each input whether its cotangent is asked for.
        outputs: for each output whether it has a cotangent.
        seeds: the cotangents.
    """
    sources = [x for x, want in zip(inputs, wanted, strict=True) if want]
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        results = evaluate(graph, inputs)
    targets = [y for y, given in zip(results, outputs, strict=True) if given]
    return tape.gradient(  # type: ignore[no-any-return]
        targets, sources, list(seeds), unconnected_gradients="zero"
    )


def _inside(values: Sequence[Any]) -> list[Any]:
    """Values from around as objects of the body that is being traced."""
    trace = current_trace()
    if not isinstance(trace, bodies.Inner):
        raise TraceError("A gradient of a body is asked for outside of a body.")
    return [trace.take(value) for value in values]


# ----- switch -----


def _switch_rule(
    needs: Flags, gs: Sequence[Any], results: Any, args: Sequence[Any], params: Params
) -> list[Any]:
    index, *operands = args
    wanted = needs[1:]
    given = [g is not None for g in gs]
    seeds = [g for g in gs if g is not None]

    def pull(graph: Graph) -> Any:
        return lambda: _pulled(graph, _inside(operands), wanted, given, seeds)

    traced = [bodies.branch(pull(graph)) for graph in params["branches"]]
    found = iter(
        bodies.switch(index, [inner for inner, _ in traced], [grads for _, grads in traced])
    )
    return [None, *[next(found) if want else None for want in wanted]]


# ----- while -----


def _while_rule(
    needs: Flags, gs: Sequence[Any], results: Any, args: Sequence[Any], params: Params
) -> list[Any]:
    raise TraceError(
        "[while_loop] a loop whose number of steps is not known can't be differentiated in a "
        "compiled function. Use ops.scan, or ops.fori_loop with integers as bounds, or run "
        "eagerly: compile(run_eagerly=True)."
    )


# ----- scan -----


def _connected(params: Params, needs: Flags) -> list[bool]:
    """Which inputs of the body depend on what is differentiated with respect to."""
    body: Graph = params["body"]
    constants, carries = params["constants"], params["carries"]
    found = [n and v.aval.dtype in INEXACT_SET for n, v in zip(needs, body.inputs, strict=True)]
    while True:
        reached = {var for var, yes in zip(body.inputs, found, strict=True) if yes}
        for eqn in body.eqns:
            if eqn.op.differentiable and not reached.isdisjoint(eqn.inputs):
                reached.update(v for v in eqn.outputs if v.aval.dtype in INEXACT_SET)
        grown = list(found)
        for i, atom in enumerate(body.outputs[:carries]):
            grown[constants + i] = found[constants + i] or atom in reached
        if grown == found:
            return found
        found = grown


def _scan_rule(
    needs: Flags, gs: Sequence[Any], results: Sequence[Any], args: Sequence[Any], params: Params
) -> list[Any]:
    body: Graph = params["body"]
    constants, carries = params["constants"], params["carries"]
    rows = constants + carries
    wanted = _connected(params, needs)
    moving = [i for i in range(carries) if wanted[constants + i]]
    summed = [i for i in range(constants) if wanted[i]]
    given = [i for i in range(carries, len(gs)) if gs[i] is not None]
    given = [i for i in given if body.outputs[i].aval.dtype in INEXACT_SET]
    seeded = [i in moving if i < carries else i in given for i in range(len(gs))]
    kept = [None if place is None else results[place] for place in kept_carries(params)]
    stacks = [x for x in kept if x is not None]
    avals = [var.aval for var in body.inputs]

    def step(state: list[Any], row: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Cotangents of what leaves the step to those of what enters it."""
        each = iter(row)
        # A carry that is only handed on was not kept: nothing depends on its value.
        entered = [
            lang.zeros(avals[constants + i].shape, avals[constants + i].dtype)
            if x is None
            else next(each)
            for i, x in enumerate(kept)
        ]
        inputs = [*_inside(args[:constants]), *entered, *[next(each) for _ in args[rows:]]]
        seeds = [*state[: len(moving)], *each]
        grads = _pulled(body, inputs, wanted, seeded, seeds)
        place = dict(zip([i for i, want in enumerate(wanted) if want], grads, strict=True))
        sums = [
            lang.add(total, place[i]) for i, total in zip(summed, state[len(moving) :], strict=True)
        ]
        ys = [place[i] for i in range(rows, len(args)) if wanted[i]]
        return [*[place[constants + i] for i in moving], *sums], [], ys

    begin = [_zeros_like(args[constants + i]) if gs[i] is None else gs[i] for i in moving]
    begin += [_zeros_like(args[i]) for i in summed]
    last, _, ys = bodies.scan(
        "gradient", step, begin, [*stacks, *args[rows:], *[gs[i] for i in given]],
        params["length"], not params["reverse"],
    )  # fmt: skip
    found: dict[int, Any] = {constants + i: g for i, g in zip(moving, last, strict=False)}
    found.update(zip(summed, last[len(moving) :], strict=True))
    found.update(zip([i for i in range(rows, len(args)) if wanted[i]], ys, strict=True))
    return [found.get(i) if need else None for i, need in enumerate(needs)]


def _zeros_like(x: Any) -> Any:
    return lang.zeros(tuple(x.shape), x.dtype)


SWITCH.rule = _switch_rule
WHILE.rule = _while_rule
SCAN.rule = _scan_rule
