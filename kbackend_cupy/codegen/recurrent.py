"""Recurrent layers over whole sequences, forwards and back; see `kbackend.ops.nn.rnn`.

Forwards: the inputs' part of all sums in one product, then one kernel for all steps. Back: one
kernel for all steps, then products over all of them. What is kept for the gradient is in this
engine's own order: a step's numbers lie together, example by example. So both directions are done
here, or neither is.
"""

from __future__ import annotations

from collections.abc import Callable

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen import contract, recurrent_weights
from kbackend_cupy.codegen.loop import SHORT, steps
from kbackend_cupy.codegen.matrices import FLOATS
from kbackend_cupy.codegen.recurrent_cells import CELLS, Cell
from kbackend_cupy.codegen.recurrent_steps import back, forward
from kbackend_cupy.codegen.recurrent_team import Layer
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.turned import copied, turned
from kbackend_cupy.codegen.whole import Outputs, Room, Specs, Whole

_STATES = ("h", "c")


def _layer(cell: Cell, inputs: Specs, x: int) -> Layer:
    """The layer whose arguments begin with the `x`-th input."""
    batch, time, features = inputs[x].shape
    return Layer(cell, batch, time, features, inputs[x + 4].shape[1], inputs[x].dtype)


def _takes(cell: Cell, x: int) -> Callable[[Specs], bool]:
    def takes(inputs: Specs) -> bool:
        layer = _layer(cell, inputs, x)
        floats = inputs[x : x + 4 + cell.states]
        # However they lie: what lies too far apart can be copied. The last one is of the gates.
        sizes = [*[spec.size for spec in floats], layer.time * layer.batch * layer.units * 4]
        return (
            layer.dtype in FLOATS
            and all(spec.dtype == layer.dtype for spec in floats)
            and 0 not in (layer.batch, layer.time, layer.features, layer.units)
            and layer.small
            and max(sizes) <= SHORT // 4
        )

    return takes


# ----- forwards -----


def _forward(cell: Cell, masked: bool) -> Callable[..., Plan | None]:
    def prepare(
        inputs: Specs, outputs: Specs, *, sequences: bool, backwards: bool, keep: bool
    ) -> Plan | None:
        layer, room, made = _layer(cell, inputs, 0), Room(outputs, inputs), len(outputs)
        names = ["out", *[f"last_{name}" for name in _STATES[: cell.states]]]
        if keep:
            names += [*("hidden", "cells")[: cell.states], *["gates"] * (cell.kept > 0)]
        places = dict(zip(names, range(made), strict=True))
        # The inputs' part of the sums.
        places["x"] = room.new(layer.batch, layer.time, cell.blocks * layer.units, dtype=layer.wide)
        given = ("r", "b", *_STATES[: cell.states], *["mask"] * masked)
        places |= dict(zip(given, range(made + 2, made + len(inputs)), strict=True))
        project = contract.dot(
            inputs[:2], (room.specs[places["x"]],), contract=((2,), (0,)), batch=((), ())
        )
        room.add(project, places["x"], made, made + 1)
        room.launch(forward(layer, room.arrays(places), sequences, backwards))
        return room.plan()

    return prepare


def _forward_outputs(cell: Cell) -> Outputs:
    def outputs(inputs: Specs, *, sequences: bool, backwards: bool, keep: bool) -> Specs:
        batch, time, _ = inputs[0].shape
        units = inputs[4].shape[1]
        shapes: list[Ints] = [(batch, time, units) if sequences else (batch, units)]
        shapes += [(batch, units)] * cell.states
        if keep:
            shapes += [(time + 1, units, batch)] * cell.states
            shapes += [(time, cell.kept * units, batch)] * (cell.kept > 0)
        return tuple([Spec(shape, inputs[0].dtype) for shape in shapes])

    return outputs


# ----- back -----


def _back(cell: Cell, masked: bool) -> Callable[..., Plan | None]:
    first = 1 + cell.states

    def prepare(
        inputs: Specs, outputs: Specs, *, sequences: bool, backwards: bool, wants: tuple[bool, ...]
    ) -> Plan | None:
        layer, room, made = _layer(cell, inputs, first), Room(outputs, inputs), len(outputs)
        wanted = [n for n, want in zip(("x", "w", "r", "b", "h", "c"), wants, strict=False) if want]
        results = {name: i for i, name in enumerate(wanted)}
        states = _STATES[: cell.states]
        names = ("g_out", *[f"g_{name}" for name in states], "x", "w", "r", "b", *states)
        names += (*("hidden", "cells")[: cell.states], *["gates"] * (cell.kept > 0))
        names += ("mask",) * masked
        given = dict(zip(names, range(made, made + len(inputs)), strict=True))
        length = cell.sums * layer.units
        dz = room.new(layer.time, layer.batch, length, dtype=layer.wide)
        turn = _turned(room, given["r"])
        places = {"dz": dz}
        if "b" in results:
            places["db"] = room.new(layer.batch, length, dtype=layer.wide)
        places |= {f"d{name}": results[name] for name in states if name in results}
        places |= {name: given[name] for name in names if name.startswith("g_")}
        places |= {"rt": turn, "hidden": given["hidden"]}
        places |= {name: given[name] for name in ("cells", "gates", "mask") if name in given}
        room.launch(back(layer, room.arrays(places), sequences, backwards))
        specs = room.specs
        if "x" in results:
            found = recurrent_weights.of_inputs(
                layer, specs[given["w"]], specs[dz], specs[results["x"]], backwards
            )
            room.add(found, results["x"], dz, given["w"])
        if "w" in results:
            found = recurrent_weights.of_kernel(
                layer, specs[given["x"]], specs[dz], specs[results["w"]], backwards
            )
            room.add(found, results["w"], given["x"], dz)
        if "r" in results:
            found = recurrent_weights.of_recurrent(
                layer, specs[given["hidden"]], specs[dz], specs[results["r"]]
            )
            room.add(found, results["r"], given["hidden"], dz)
        if "b" in results:
            arrays = (results["b"], places["db"])
            room.launch(
                recurrent_weights.of_biases(layer, specs[arrays[1]], specs[arrays[0]], arrays)
            )
        return room.plan()

    return prepare


def _turned(room: Room, r: int) -> int:
    """The recurrent weights with their columns as rows, so that neighbours read neighbours."""
    spec = room.specs[r]
    rows, columns = spec.shape
    down, across = steps(spec)
    if (down, across) == (1, rows):
        return r
    result = room.new(columns, rows, dtype=spec.dtype)
    if spec.contiguous:
        room.launch(*turned(spec, (result, r)))
    else:
        room.launch(*copied(Spec((columns, rows), spec.dtype, (across, down)), (result, r)))
    return result


def _back_outputs(cell: Cell) -> Outputs:
    first = 1 + cell.states

    def outputs(
        inputs: Specs, *, sequences: bool, backwards: bool, wants: tuple[bool, ...]
    ) -> Specs:
        args = inputs[first : first + 4 + cell.states]
        return tuple([Spec(a.shape, a.dtype) for a, w in zip(args, wants, strict=True) if w])

    return outputs


COMPOSITES: dict[str, Whole] = {}
for _cell in CELLS:
    for _prefix in ("", "masked_"):
        _name, _masked = f"{_prefix}{_cell.name}_sequence", bool(_prefix)
        COMPOSITES[_name] = Whole(
            _forward(_cell, _masked), _takes(_cell, 0), _forward_outputs(_cell)
        )
        COMPOSITES[f"{_name}_grad"] = Whole(
            _back(_cell, _masked), _takes(_cell, 1 + _cell.states), _back_outputs(_cell)
        )
PREPARE = {name: whole.plan for name, whole in COMPOSITES.items()}
