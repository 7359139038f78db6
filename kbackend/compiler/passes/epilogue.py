"""What is done elementwise to a product's result becomes the end of the product's own kernel.

So a convolution's result is written once, with bias and activation, instead of being read and
written again. It is for engines that list the product among their `epilogues`; one whose kernel
declines for the shapes at hand gets the two as steps of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kbackend.compiler.passes.domain import Domain, domain_of, is_reduction
from kbackend.compiler.passes.fused import fused
from kbackend.compiler.passes.inner import everywhere
from kbackend.core.aval import Aval
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Atom, Eqn, Graph, Var


@dataclass(frozen=True, eq=False)
class Finished:
    """The op of a product with its epilogue.

    Attributes:
        graph: two equations, the product and the region that takes its result, or the first of
            them. Its inputs are the product's, then the others of the region in their order; its
            outputs are the region's, then the product's other ones.
    """

    graph: Graph
    name = "epilogue"

    def infer(self, avals: Sequence[Aval], params: dict[str, Any]) -> tuple[Aval, ...]:
        """Avals of the results."""
        return self.graph.out_avals

    def apply(self, args: Sequence[Any], params: Any) -> tuple[Any, ...]:
        """The results, computed one equation after the other."""
        return tuple(evaluate(self.graph, args))

    @property
    def params(self) -> Mapping[str, Any]:
        """The same as plain data, for engines; see `kbackend.engine.program.Step`."""
        product, region = self.graph.eqns
        return {
            "op": product.op.name,
            "params": product.params,
            "region": region.op.region,
            "place": region.inputs.index(product.outputs[0]),
        }


@everywhere
def epilogue(graph: Graph, able: Callable[[Eqn], bool], fusible: Callable[[Eqn], bool]) -> Graph:
    """The graph with elementwise equations joined to the products whose results they take.

    Args:
        graph: any graph.
        able: whether the engine's kernel of an equation can end with a region.
        fusible: whether the engine can run an equation inside a region.
    """
    users: dict[Atom, list[int]] = {}
    for i, eqn in enumerate(graph.eqns):
        for atom in dict.fromkeys(eqn.inputs):
            users.setdefault(atom, []).append(i)
    for atom in graph.outputs:
        users.setdefault(atom, []).append(len(graph.eqns))
    gone: set[int] = set()
    ends: dict[int, Eqn] = {}
    # Where an equation comes, if not at its number: behind another one.
    order: dict[int, tuple[int, ...]] = {i: (i,) for i in range(len(graph.eqns))}
    for i, eqn in enumerate(graph.eqns):
        if i in gone or not able(eqn):
            continue
        chain = _chain(graph, users, eqn.outputs[0], fusible, gone)
        if not chain:
            continue
        # What takes the other results has to wait for the end.
        late = _dependents(graph, users, eqn.outputs[1:], chain[-1])
        if not late.isdisjoint((*gone, *chain)):
            continue
        order.update({j: (*order[chain[-1]], j) for j in late})
        gone.update((i, *chain))
        ends[chain[-1]] = _finished(eqn, [graph.eqns[j] for j in chain])
    if not ends:
        return graph
    kept = sorted((i for i in order if i in ends or i not in gone), key=order.__getitem__)
    return graph.replace([ends.get(i, graph.eqns[i]) for i in kept])


def _dependents(
    graph: Graph, users: Mapping[Atom, list[int]], atoms: Sequence[Var], end: int
) -> set[int]:
    """Numbers of the equations up to `end` that need any of `atoms`."""
    found: set[int] = set()
    stack = list(atoms)
    while stack:
        for i in users.get(stack.pop(), ()):
            if i <= end and i not in found:
                found.add(i)
                stack += graph.eqns[i].outputs
    return found


def _chain(
    graph: Graph,
    users: Mapping[Atom, list[int]],
    result: Var,
    fusible: Callable[[Eqn], bool],
    gone: set[int],
) -> list[int]:
    """Numbers of the equations that follow a result, each the only one to take what is before.

    Those that are `gone` follow another one.
    """
    found: list[int] = []
    shape: Any = result.aval.shape
    while len(users.get(result, ())) == 1 and users[result][0] < len(graph.eqns):
        eqn = graph.eqns[users[result][0]]
        if users[result][0] in gone:
            break
        if is_reduction(eqn) or domain_of(eqn) != Domain(shape) or not fusible(eqn):
            break
        if not all(atom is result or _suits(atom.aval.shape, shape) for atom in eqn.inputs):
            break
        found.append(users[result][0])
        (result,) = eqn.outputs
    return found


def _suits(shape: Any, whole: Any) -> bool:
    """Whether a kernel that makes a row after the other has an operand of that shape at hand."""
    used = next((i for i, dim in enumerate(shape) if dim != 1), len(shape))
    row = shape[used:]
    return shape == whole or len(row) < len(whole) and row == whole[len(whole) - len(row) :]


def _finished(product: Eqn, members: Sequence[Eqn]) -> Eqn:
    last = members[-1].outputs[0]
    (region,) = fused(members, Domain(last.aval.shape), {last})  # type: ignore[arg-type]
    result = product.outputs[0]
    outside = (*product.inputs, *[atom for atom in region.inputs if atom is not result])
    inside = [Var(atom.aval) for atom in outside]
    count = len(product.inputs)
    others = iter(inside[count:])
    made, *rest = [Var(var.aval) for var in product.outputs]
    inner = [
        product._replace(inputs=tuple(inside[:count]), outputs=(made, *rest)),
        region._replace(
            inputs=tuple([made if atom is result else next(others) for atom in region.inputs]),
            outputs=(Var(last.aval),),
        ),
    ]
    graph = Graph(tuple(inside), tuple(inner), (*inner[1].outputs, *rest), "epilogue")
    return Eqn(Finished(graph), outside, (last, *product.outputs[1:]), {}, product.source)
