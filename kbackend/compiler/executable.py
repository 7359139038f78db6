"""A function compiled for one signature, with the variables that it reads and changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.base import tree
from kbackend.compiler.pipeline import compile_graph
from kbackend.core.masks import set_keras_mask
from kbackend.core.running import Running
from kbackend.core.tensor import Tensor
from kbackend.engine.interface import Engine
from kbackend.engine.program import Program
from kbackend.ir.trace import Output, Traced


class Executable:
    """A traced function, compiled for an engine.

    Args:
        traced: the function.
        engine: where it runs.
        batch: how many of its first inputs are data with a common first dimension.

    Attributes:
        program: the planned program, with its arena's size.
        flags: whether each variable was trainable when the function was traced.
    """

    def __init__(self, traced: Traced, engine: Engine, batch: int = 0) -> None:
        self.engine = engine
        self.graph = traced.graph
        assigned = {id(variable) for variable in traced.assigned}
        read = {id(variable) for variable in traced.read}
        # A variable that is only assigned lends its memory, too.
        only_assigned = [v for v in traced.assigned if id(v) not in read]
        self._variables = [*traced.read, *only_assigned]
        self._lent = [(v, id(v) in assigned) for v in self._variables]
        graph = traced.graph.with_inputs(tuple(v.stored().aval for v in only_assigned))
        first = len(graph.inputs) - len(self._variables)
        position = {id(v): first + i for i, v in enumerate(self._variables)}
        count = len(graph.outputs) - len(traced.assigned)
        updates = [(position[id(v)], count + i) for i, v in enumerate(traced.assigned)]
        self._assigned = traced.assigned
        self.program: Program = compile_graph(graph, engine, updates, batch)
        self._run = engine.compile(self.program)
        self._pack = _packer(traced.structure, engine)
        self.flags = self._trainable()

    def _trainable(self) -> list[bool]:
        return [variable.trainable for variable in self._variables]

    def fits(self) -> bool:
        """Whether the variables are trainable as they were when the function was traced."""
        return self.flags == self._trainable()

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """Runs it.

        Args:
            arrays: of the tensors among the function's arguments.

        Returns:
            What the function returns.
        """
        engine = self.engine
        with Running():
            lent = [variable.lend(engine, written) for variable, written in self._lent]
            outputs, updated = self._run([*arrays, *lent])
            for variable, array in zip(self._assigned, updated, strict=True):
                variable.take_back(engine, array)
        return self._pack(outputs)


def _packer(structure: Any, engine: Engine) -> Callable[[list[Any]], Any]:
    """The function that puts arrays into the structure that was returned."""
    if _is_plain(structure):
        return lambda arrays: Tensor(arrays[structure], engine)
    if structure.__class__ is dict and all(_is_plain(leaf) for leaf in structure.values()):
        items = list(structure.items())
        return lambda arrays: {key: Tensor(arrays[i], engine) for key, i in items}

    def pack(arrays: list[Any]) -> Any:
        def fill(leaf: Any) -> Any:
            if leaf.__class__ is not Output:
                return leaf
            made = Tensor(arrays[leaf], engine)
            if leaf.mask is not None:
                set_keras_mask(made, fill(leaf.mask))
            return made

        return tree.map_structure(fill, structure)

    return pack


def _is_plain(leaf: Any) -> bool:
    """Whether it stands for a tensor without a mask."""
    return leaf.__class__ is Output and leaf.mask is None
