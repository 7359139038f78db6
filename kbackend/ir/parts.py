"""One computation on parts of its operands, part after part or side by side.

parts: operands -> results.
    body: graph of one part of each operand -> one part, or one summand, of each result.
    count: how many parts there are.
    cuts: per operand the axis along which it is cut in equal pieces, or -1 if each part takes it
        whole.
    joins: per result the axis along which the pieces are joined, or -1 if they are summed, in the
        order of the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.ir.dead import live
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Eqn

Params = Mapping[str, Any]


class Parts:
    """The op of such an equation."""

    name = "parts"

    def infer(self, avals: Sequence[Aval], params: Params) -> tuple[Aval, ...]:
        """Avals of the results."""
        found = []
        for aval, axis in zip(params["body"].out_avals, params["joins"], strict=True):
            shape = list(aval.shape)
            if axis >= 0:
                shape[axis] *= params["count"]
            found.append(aval._replace(shape=tuple(shape)))
        return tuple(found)

    def apply(self, args: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The results, one part after the other."""
        rows = [
            evaluate(params["body"], [_piece(x, axis, cut) for x, (axis, cut) in pieces])
            for pieces in _cut(args, params)
        ]
        results = []
        for axis, outs in zip(params["joins"], zip(*rows, strict=True), strict=True):
            if axis >= 0:
                results.append(lang.concatenate(list(outs), axis))
                continue
            total = outs[0]
            for out in outs[1:]:
                total = lang.add(total, out)
            results.append(total)
        return tuple(results)

    def prune(self, eqn: Eqn, used: Sequence[bool]) -> Eqn:
        """The equation with no more than it takes to compute the results in `used`."""
        if all(used):
            return eqn
        body, joins = eqn.params["body"], eqn.params["joins"]
        kept = [i for i, wanted in enumerate(used) if wanted]
        body = live(body.replace(outputs=[body.outputs[i] for i in kept]))
        params = {**eqn.params, "body": body, "joins": tuple([joins[i] for i in kept])}
        return eqn._replace(outputs=tuple([eqn.outputs[i] for i in kept]), params=params)


PARTS = Parts()


def _cut(
    args: Sequence[Any], params: Params
) -> Iterator[list[tuple[Any, tuple[int, tuple[int, int]]]]]:
    """For each part the operands, with the axis and the range of its piece."""
    count = params["count"]
    for part in range(count):
        found = []
        for x, axis in zip(args, params["cuts"], strict=True):
            size = x.shape[axis] // count if axis >= 0 else 0
            found.append((x, (axis, (part * size, (part + 1) * size))))
        yield found


def _piece(x: Any, axis: int, cut: tuple[int, int]) -> Any:
    if axis < 0:
        return x
    starts, stops = [0] * len(x.shape), list(x.shape)
    starts[axis], stops[axis] = cut
    return lang.slice_(x, tuple(starts), tuple(stops))
