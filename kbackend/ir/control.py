"""Choices and loops as equations: ops with graphs among their parameters.

switch: index (int32 scalar), then what all branches take -> the results of the chosen one.
    branches: graphs of equal inputs and outputs. An index out of range is moved inside.
while: what only the condition takes, what only the body takes, the carries -> the last carries.
    condition: graph of (its constants, carries) -> one bool scalar.
    body: graph of (its constants, carries) -> carries.
    constants: the two numbers of constants. limit: the greatest number of steps, or `None`.
scan: constants, carries, xs -> the last carries, then the ys of all steps stacked.
    body: graph of (constants, carries, rows of the xs) -> (carries, ys).
    constants, carries: how many there are. length: number of steps, at least one.
    reverse: whether the steps go from the last row to the first; ys keep their places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kbackend.base.errors import GraphError
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.bind import active_tapes
from kbackend.ir.dead import live, used_inputs, variables
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Eqn, Graph
from kbackend.ir.trace import Tracer, live_trace

Params = dict[str, Any]
Flags = Sequence[bool]
# (needs, cotangents or None, results, arguments, parameters) -> a cotangent or None per argument
Rule = Callable[[Flags, Sequence[Any], Sequence[Any], Sequence[Any], Params], Sequence[Any]]


class Control:
    """Base of the ops.

    Attributes:
        name: key of the steps in programs.
        rule: the gradient rule; the compiler attaches it.
        partial: the rule is given `None` for results that have no cotangent.
    """

    name: str
    rule: Rule | None = None
    differentiable = True
    partial = True

    def infer(self, avals: Sequence[Aval], params: Params) -> tuple[Aval, ...]:
        """Avals of the results."""
        raise self._lacks("infer")

    def run(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The results for tensors, computed at once."""
        raise self._lacks("run")

    def prune(self, eqn: Eqn, used: Flags) -> Eqn:
        """The equation with no more than it takes to compute the results in `used`."""
        raise self._lacks("prune")

    def _lacks(self, method: str) -> GraphError:
        return GraphError(f"The op '{self.name}' does not implement {method}().")

    def apply(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The results: an equation of the trace for symbolic arguments."""
        if any(arg.__class__ is Tracer for arg in args):
            return self.emit(args, params)
        return self.run(args, params)

    def emit(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """Appends an equation to the trace and shows it to the tapes; returns its results."""
        avals = self.infer([arg.aval for arg in args], params)
        results = live_trace().emit(self, args, avals, params)
        for tape in active_tapes():
            tape.record(self, args, results, params)
        return results

    def backward(
        self, needs: Flags, g: Any, result: Any, args: Sequence[Any], params: Params
    ) -> Sequence[Any]:
        """Cotangents of the arguments."""
        if self.rule is None:
            raise self._lacks("rule")
        return self.rule(needs, g, result, args, params)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def _check(name: str, what: str, expected: Sequence[Aval], found: Sequence[Aval]) -> None:
    if [a[:2] for a in expected] != [a[:2] for a in found]:
        raise GraphError(
            f"[{name}] {what} should be {', '.join(map(str, expected))}. Received: "
            f"{', '.join(map(str, found))}."
        )


# ----- switch -----


class Switch(Control):
    """One of several graphs, chosen by an index."""

    name = "switch"

    def infer(self, avals: Sequence[Aval], params: Params) -> tuple[Aval, ...]:
        """Avals of the results."""
        first = params["branches"][0]
        _check(self.name, "the index", [Aval((), "int32")], avals[:1])
        for branch in params["branches"]:
            _check(self.name, "the operands", branch.in_avals, avals[1:])
            _check(self.name, "the results of a branch", first.out_avals, branch.out_avals)
        return first.out_avals  # type: ignore[no-any-return]

    def run(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """What the chosen graph computes."""
        index, *operands = args
        branches = params["branches"]
        return tuple(evaluate(branches[min(max(int(index), 0), len(branches) - 1)], operands))

    def prune(self, eqn: Eqn, used: Flags) -> Eqn:
        """The equation without results and operands that are not needed."""
        old = eqn.params["branches"]
        branches = [live(_with_outputs(graph, used)) for graph in old]
        taken = [any(flags) for flags in zip(*map(used_inputs, branches), strict=True)]
        if all(used) and all(taken) and all(a is b for a, b in zip(branches, old, strict=True)):
            return eqn
        return eqn._replace(
            inputs=(eqn.inputs[0], *_chosen(eqn.inputs[1:], taken)),
            outputs=_chosen(eqn.outputs, used),
            params={"branches": tuple([_with_inputs(graph, taken) for graph in branches])},
        )


def _chosen(items: Sequence[Any], flags: Flags) -> tuple[Any, ...]:
    return tuple([item for item, flag in zip(items, flags, strict=True) if flag])


def _with_outputs(graph: Graph, flags: Flags) -> Graph:
    return graph if all(flags) else graph.replace(outputs=_chosen(graph.outputs, flags))


def _with_inputs(graph: Graph, flags: Flags) -> Graph:
    return graph if all(flags) else graph.replace(inputs=_chosen(graph.inputs, flags))


# ----- while -----


class While(Control):
    """A graph applied again and again while another one says so."""

    name = "while"

    def infer(self, avals: Sequence[Aval], params: Params) -> tuple[Aval, ...]:
        """Avals of the results."""
        first, second = params["constants"]
        carries = avals[first + second :]
        condition, body = params["condition"], params["body"]
        _check(
            self.name, "what the condition takes", condition.in_avals, [*avals[:first], *carries]
        )
        _check(self.name, "what the body takes", body.in_avals, avals[first:])
        _check(self.name, "the condition", [Aval((), "bool")], condition.out_avals)
        _check(self.name, "the carries after a step", carries, body.out_avals)
        return body.out_avals  # type: ignore[no-any-return]

    def run(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The carries after the last step."""
        first, second = params["constants"]
        limit = params["limit"]
        carries, count = list(args[first + second :]), 0
        while limit is None or count < limit:
            if not bool(evaluate(params["condition"], [*args[:first], *carries])[0]):
                break
            carries = evaluate(params["body"], [*args[first : first + second], *carries])
            count += 1
        return tuple(carries)

    def prune(self, eqn: Eqn, used: Flags) -> Eqn:
        """The equation without carries on which neither the end nor a result depends."""
        params = eqn.params
        first, second = params["constants"]
        condition = live(params["condition"])
        takes = used_inputs(condition)
        wanted = [u or t for u, t in zip(used, takes[first:], strict=True)]
        body, kept = _closed(params["body"], second, len(used), wanted, ())
        flags = used_inputs(body)[:second]
        if all(kept) and all(takes[:first]) and all(flags):
            if body is params["body"] and condition is params["condition"]:
                return eqn
        inputs = eqn.inputs
        return eqn._replace(
            inputs=(
                *_chosen(inputs[:first], takes[:first]),
                *_chosen(inputs[first : first + second], flags),
                *_chosen(inputs[first + second :], kept),
            ),
            outputs=_chosen(eqn.outputs, kept),
            params={
                **params,
                "condition": _with_inputs(condition, [*takes[:first], *kept]),
                "body": _with_inputs(body, [*flags, *kept]),
                "constants": (sum(takes[:first]), sum(flags)),
            },
        )


def _closed(
    body: Graph, constants: int, carries: int, wanted: Flags, ys: Flags
) -> tuple[Graph, list[bool]]:
    """A loop's body with the wanted outputs and the carries that they depend on; and which."""
    kept = list(wanted)
    while True:
        graph = live(_with_outputs(body, [*kept, *ys]))
        needs = used_inputs(graph)[constants : constants + carries]
        grown = [k or n for k, n in zip(kept, needs, strict=True)]
        if grown == kept:
            return graph, kept
        kept = grown


# ----- scan -----


class Scan(Control):
    """A graph applied a known number of times, to one row after the other."""

    name = "scan"

    def infer(self, avals: Sequence[Aval], params: Params) -> tuple[Aval, ...]:
        """Avals of the results."""
        body, length = params["body"], params["length"]
        constants, carries = params["constants"], params["carries"]
        rows = constants + carries
        for x in avals[rows:]:
            if x.shape[:1] != (length,):
                raise GraphError(f"[scan] the xs should have {length} rows. Received: {x}.")
        given = [*avals[:rows], *[Aval(x.shape[1:], x.dtype) for x in avals[rows:]]]
        _check(self.name, "what the body takes", body.in_avals, given)
        after = body.out_avals[:carries]
        _check(self.name, "the carries after a step", avals[constants:rows], after)
        return (*after, *[Aval((length, *y.shape), y.dtype) for y in body.out_avals[carries:]])

    def emit(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The equation; it hands out what its gradient will need, where a tape follows it."""
        shown = len(params["body"].outputs)
        if any(tape.follows(arg) for tape in active_tapes() for arg in args):
            params = {**params, "body": _keeping_carries(params)}
        return super().emit(args, params)[:shown]

    def run(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The last carries, and the ys."""
        constants, carries = params["constants"], params["carries"]
        fixed, state = args[:constants], list(args[constants : constants + carries])
        xs = args[constants + carries :]
        stacked: list[list[Any]] = []
        steps = range(params["length"])
        for t in reversed(steps) if params["reverse"] else steps:
            outs = evaluate(params["body"], [*fixed, *state, *[row(x, t) for x in xs]])
            state = outs[:carries]
            stacked.append([lang.reshape(y, (1, *y.shape)) for y in outs[carries:]])
        if params["reverse"]:
            stacked.reverse()
        return (*state, *[lang.concatenate(ys, 0) for ys in zip(*stacked, strict=True)])

    def prune(self, eqn: Eqn, used: Flags) -> Eqn:
        """The equation without ys, carries, constants and xs that nothing needs."""
        params = eqn.params
        constants, carries = params["constants"], params["carries"]
        ys = used[carries:]
        body, kept = _closed(params["body"], constants, carries, used[:carries], ys)
        taken = used_inputs(body)
        taken[constants : constants + carries] = kept
        if all(taken) and all(kept) and all(ys) and body is params["body"]:
            return eqn
        return eqn._replace(
            inputs=_chosen(eqn.inputs, taken),
            outputs=_chosen(eqn.outputs, [*kept, *ys]),
            params={
                **params,
                "body": _with_inputs(body, taken),
                "constants": sum(taken[:constants]),
                "carries": sum(kept),
            },
        )


def row(x: Any, t: int) -> Any:
    """x[t]"""
    rest = tuple(x.shape[1:])
    part = lang.slice_(x, (t, *(0 for _ in rest)), (t + 1, *rest))
    return lang.reshape(part, rest)


def _keeping_carries(params: Params) -> Graph:
    """The body with the carries that it takes among its ys."""
    body: Graph = params["body"]
    taken: set[Any] = set()
    for eqn in body.eqns:
        taken |= variables(eqn.inputs)
    entering = body.inputs[params["constants"] : params["constants"] + params["carries"]]
    there = variables(body.outputs[params["carries"] :])
    extra = [var for var in entering if var in taken and var not in there]
    return body.replace(outputs=(*body.outputs, *extra)) if extra else body


def kept_carries(params: Params) -> Iterator[int | None]:
    """For each carry of a scan the result that has its values before each step, if there is one."""
    body: Graph = params["body"]
    constants, carries = params["constants"], params["carries"]
    places = {var: carries + i for i, var in enumerate(body.outputs[carries:])}
    for var in body.inputs[constants : constants + carries]:
        yield places.get(var)


# ----- no gradient -----


class StopGradient(Control):
    """The argument itself, through which no gradient flows."""

    name = "stop_gradient"
    differentiable = False

    def infer(self, avals: Sequence[Aval], params: Params) -> tuple[Aval, ...]:
        """The argument's."""
        return tuple(avals)

    def run(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The argument as an object of its own."""
        return (args[0].alias(),)

    def prune(self, eqn: Eqn, used: Flags) -> Eqn:
        """The equation."""
        return eqn


SWITCH, WHILE, SCAN, STOP_GRADIENT = Switch(), While(), Scan(), StopGradient()
