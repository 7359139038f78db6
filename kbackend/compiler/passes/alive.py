"""What a graph keeps in memory at each of its equations: an estimate for passes.

Inputs and outputs of the graph are elsewhere, whatever is done; movements are taken for views.
"""

from __future__ import annotations

from kbackend.core.primitive import Primitive
from kbackend.ir.cost import nbytes
from kbackend.ir.graph import Atom, Eqn, Graph, Var

_VIEWS = frozenset(("reshape", "transpose", "broadcast_to", "slice", "rev", "barrier"))


class Alive:
    """The lives of a graph's variables, equation by equation.

    Args:
        graph: any graph.

    Attributes:
        bytes: alive while each equation runs.
        uses: variable -> numbers of the equations that take it, or a view of it.
        last: variable -> number of the last of them.
    """

    def __init__(self, graph: Graph) -> None:
        self._shown: dict[Var, Var] = {}
        self.uses: dict[Var, list[int]] = {}
        made: dict[Var, int] = {}
        for number, eqn in enumerate(graph.eqns):
            for atom in dict.fromkeys(eqn.inputs):
                if isinstance(atom, Var):
                    self.uses.setdefault(self.base(atom), []).append(number)
            if is_view(eqn) and isinstance(eqn.inputs[0], Var):
                self._shown[eqn.outputs[0]] = self.base(eqn.inputs[0])
            elif eqn.op.name != "full":
                made.update(dict.fromkeys(eqn.outputs, number))
        self.last = {var: numbers[-1] for var, numbers in self.uses.items()}
        outside = {self.base(atom) for atom in graph.outputs if isinstance(atom, Var)}
        changes = [0] * (len(graph.eqns) + 1)
        for var, number in made.items():
            if var not in outside:
                changes[number] += nbytes(var.aval)
                changes[self.last.get(var, number) + 1] -= nbytes(var.aval)
        self.bytes: list[int] = []
        now = 0
        for change in changes[:-1]:
            now += change
            self.bytes.append(now)
        self.kept = outside | set(graph.inputs)

    def base(self, var: Var) -> Var:
        """The variable whose memory `var` shows."""
        return self._shown.get(var, var)

    def until(self, atom: Atom, number: int) -> bool:
        """Whether an atom can be read by equation `number` without living longer for it."""
        if not isinstance(atom, Var):
            return True
        base = self.base(atom)
        return base in self.kept or self.last.get(base, -1) >= number

    @property
    def peak(self) -> int:
        """The most bytes alive at a time."""
        return max(self.bytes, default=0)


def is_view(eqn: Eqn) -> bool:
    """Whether an equation only says how memory is read."""
    return eqn.op.name in _VIEWS and (isinstance(eqn.op, Primitive) or eqn.op.name == "barrier")
