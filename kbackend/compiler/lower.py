"""From a graph to the steps of a program: numbered values, layouts of views, prepared kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.base.errors import EngineError
from kbackend.compiler.memory.draft import Draft
from kbackend.compiler.memory.layout import broadcast_to, contiguous, view
from kbackend.compiler.memory.plan import assign
from kbackend.compiler.passes.epilogue import Finished
from kbackend.compiler.passes.fused import Fused
from kbackend.compiler.passes.scattered import Scattered
from kbackend.core.aval import Aval
from kbackend.engine.interface import Engine
from kbackend.engine.program import Program, Step
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Var


def lower(graph: Graph, engine: Engine, updates: Sequence[tuple[int, int]] = ()) -> Program:
    """The program of a graph.

    Args:
        graph: without composites that the engine has no kernel for.
        engine: whose kernels run it.
        updates: pairs (input, output) of positions: that input's memory takes the output's value.
            Those outputs are not handed out.

    Returns:
        The planned program.
    """
    draft = Draft(engine, graph.name)
    numbers: dict[Var, int] = {}
    for var in graph.inputs:
        numbers[var] = draft.new(var.aval)
    draft.inputs = list(numbers.values())
    literals: dict[int, int] = {}

    def number(atom: Atom) -> int:
        if isinstance(atom, Lit):
            known = literals.get(id(atom))
            if known is None:
                array = engine.contiguous(atom.value.array)
                known = literals[id(atom)] = draft.constant(array, atom.aval)
            return known
        return numbers[atom]

    for eqn in graph.eqns:
        _lower(draft, eqn, numbers, [number(atom) for atom in eqn.inputs])
    updated = {output: draft.inputs[position] for position, output in updates}
    taken: set[int] = set()
    for position, atom in enumerate(graph.outputs):
        if position in updated:
            draft.updates.append((updated[position], number(atom)))
        else:
            draft.outputs.append(_handed_out(draft, number(atom), set(updated.values()), taken))
    return assign(draft)


def _lower(draft: Draft, eqn: Eqn, numbers: dict[Var, int], inputs: list[int]) -> None:
    """Appends what an equation becomes: a view, a constant or a step."""
    name, engine = eqn.op.name, draft.engine
    if name == "barrier":
        numbers[eqn.outputs[0]] = inputs[0]
        return
    if name in engine.views:
        seen = draft.values[inputs[0]]
        layout = view(name, seen.layout, eqn.params)
        if layout is not None:
            numbers[eqn.outputs[0]] = draft.show(eqn.outputs[0].aval, seen.base, layout)
            return
    if name == "full" and "broadcast_to" in engine.views:
        # One element, shown everywhere.
        aval = eqn.outputs[0].aval
        array = engine.kernels["full"](**{**eqn.params, "shape": ()})
        base = draft.constant(array, Aval((), aval.dtype))
        layout = broadcast_to(contiguous(()), aval.shape)  # type: ignore[arg-type]
        numbers[eqn.outputs[0]] = draft.show(aval, base, layout)
        return
    if isinstance(eqn.op, Finished | Scattered):
        _lower_joined(draft, eqn, eqn.op, numbers, inputs)
        return
    source = str(eqn.source)
    outputs = [draft.new(var.aval) for var in eqn.outputs]
    numbers.update(zip(eqn.outputs, outputs, strict=True))
    if isinstance(eqn.op, Fused):
        draft.step("region", inputs, outputs, {"region": eqn.op.region}, source)
        return
    if name not in engine.table and name not in engine.composites and name not in STRUCTURED:
        raise EngineError(f"The engine '{engine.name}' has no kernel for '{name}'.")
    params = {
        key: lower_inner(value, engine) if name in STRUCTURED else value
        for key, value in eqn.params.items()
    }
    draft.step(name, inputs, outputs, params, source)


def _lower_joined(
    draft: Draft, eqn: Eqn, op: Finished | Scattered, numbers: dict[Var, int], inputs: list[int]
) -> None:
    """Appends equations that can be one step: as one, or one by one where the engine declines."""
    made = tuple([draft.new(var.aval) for var in eqn.outputs])
    params = op.params
    prepared = draft.prepared(op.name, inputs, made, params)
    if prepared is not None:
        source = str(eqn.source)
        draft.steps.append(Step(op.name, tuple(inputs), made, params, source, prepared))
        numbers.update(zip(eqn.outputs, made, strict=True))
        return
    inside = dict(zip(op.graph.inputs, inputs, strict=True))
    for inner in op.graph.eqns:
        _lower(draft, inner, inside, [inside[atom] for atom in inner.inputs])  # type: ignore[index]
    found = [inside[atom] for atom in op.graph.outputs]  # type: ignore[index]
    numbers.update(zip(eqn.outputs, found, strict=True))


# Equations with graphs inside become steps with programs inside.
STRUCTURED = frozenset(("switch", "while", "scan", "parts"))


def lower_inner(value: Any, engine: Engine) -> Any:
    """A parameter with the graphs in it as programs."""
    if isinstance(value, Graph):
        return lower(value, engine)
    if isinstance(value, tuple):
        return tuple(lower_inner(item, engine) for item in value)
    return value


def _handed_out(draft: Draft, value: int, updated: set[int], taken: set[int]) -> int:
    """The value to hand out in place of `value`: one with memory that nothing else touches."""
    seen = draft.values[value]
    base = seen.base
    if base in draft.inputs or base in draft.constants:
        # Tensors don't change, so an argument may be handed back as it is.
        if seen.whole and base == value and base not in updated:
            return value
        return draft.copy(value)
    if base != value or base in taken:
        return value if value in taken else draft.copy(value)
    taken.add(value)
    return value
