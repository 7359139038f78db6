"""Half precision: computed in float32, between two casts.

A region casts what it loads and what it stores, so that its arrays are read and written once. Other
kernels get float32 arrays, which are cast before and after. Results in between are not rounded to
half precision, unless the program casts them itself.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kbackend.engine.program import Node, Prepared, Region, Spec
from kbackend_numba.codegen.elementwise import OPERATIONS
from kbackend_numba.codegen.value import HALVES
from kbackend_numba.kernels import region as regions
from kbackend_numba.native import Call, Check, Native, Prepare, native

Specs = tuple[Spec, ...]


def prepare(
    name: str, make: Prepare, inputs: Specs, outputs: Specs, params: Mapping[str, Any]
) -> Prepared | None:
    """A kernel for float32, between casts; `None` if there is none.

    Args:
        name: of the step.
        make: prepares its kernels.
        inputs: specs of its inputs.
        outputs: specs of its results.
        params: its parameters.
    """
    halves = [spec.dtype in HALVES for spec in (*outputs, *inputs)]
    if not any(halves) or name in ("cast", "bitcast"):
        return None
    own = dict(params)
    if name in OPERATIONS:
        node = Node(name, tuple(range(len(inputs))), params, outputs[0])
        own = {"region": Region(inputs, (node,), (len(inputs),), outputs[0].shape)}
    region = own.get("region")
    literals: set[int] = set()
    if region is None:
        return _between_casts(make, inputs, outputs, own, halves, literals)
    if name == "epilogue":
        own["region"] = _widened(region, range(len(region.inputs)), region.outputs)
    else:
        # Kept results can't be cast inside; what is whole can.
        specs = [*region.inputs, *[node.spec for node in region.nodes]]
        kept = [i for i in region.outputs if specs[i].shape != region.shape]
        known = [i for i in region.known if region.inputs[i].dtype in HALVES]
        own["region"] = _widened(region, known, kept)
        halves = [i in kept and half for i, half in zip(region.outputs, halves, strict=False)]
        given = [i for i in range(len(region.inputs)) if i != own.get("place")]
        halves += [i in known for i in given]
        halves += [False] * (len(inputs) - len(given))
        literals = {place for place, i in enumerate(given) if i in known}
        make = make if name == "scattered" else regions.PREPARE["region"]
    return own["region"] and _between_casts(make, inputs, outputs, own, halves, literals)


def _wide(spec: Spec) -> Spec:
    """The spec in float32, contiguous."""
    return spec._replace(dtype="float32", strides=None)


def _between_casts(
    make: Prepare,
    inputs: Specs,
    outputs: Specs,
    params: dict[str, Any],
    halves: Sequence[bool],
    literals: Container[int],
) -> Prepared | None:
    """The kernel for float32 in place of those outputs and inputs, with casts around it.

    Inputs that are literals are in its code: their arrays are not read.
    """
    specs = (*outputs, *inputs)
    wide = [_wide(spec) if half else spec for spec, half in zip(specs, halves, strict=True)]
    inner = make(tuple(wide[len(outputs) :]), tuple(wide[: len(outputs)]), **params)
    if not isinstance(inner, Native):
        return None
    places = list(range(len(specs)))
    before: list[Call] = []
    after: list[Call] = []
    scratch: list[Spec] = []
    for i, half in enumerate(halves):
        if not half or i - len(outputs) in literals:
            continue
        places[i] = len(specs) + len(scratch)
        scratch.append(wide[i])
        made = i < len(outputs)
        casts = _casts(wide[i], specs[i]) if made else _casts(specs[i], wide[i])
        if casts is None:
            return None
        ends = (i, places[i]) if made else (places[i], i)
        (after if made else before).extend([_moved(call, ends) for call in casts])
    count = len(specs) + len(scratch)
    places += range(count, count + len(inner.scratch))
    calls = [*before, *[_moved(call, places) for call in inner.calls], *after]
    check = inner.check
    if check is not None:
        check = Check(check.function, tuple([places[place] for place in check.arrays]))
    alike = [(i, o) for i, o in inner.overwrites if not halves[o] and not halves[len(outputs) + i]]
    return native(calls, (*scratch, *inner.scratch), alike, check)


def _moved(call: Call, places: Sequence[int]) -> Call:
    """The call with its arrays in other places."""
    return replace(call, arrays=tuple([places[place] for place in call.arrays]))


def _casts(given: Spec, wanted: Spec) -> Sequence[Call] | None:
    """The calls that cast an array (place 1) into another one (place 0)."""
    node = Node("cast", (0,), {"dtype": wanted.dtype}, wanted._replace(strides=None))
    made = regions.prepare(Region((given,), (node,), (1,), given.shape), (given,))
    return made.calls if isinstance(made, Native) and not made.scratch else None


class _Widening:
    """A region that is written anew, in float32.

    Attributes:
        nodes: of the new region.
        place: position of a value of the old region -> of its float32 in the new one.
        half: the same for the value in half precision, where it is there.
    """

    def __init__(self, region: Region) -> None:
        self._first = len(region.inputs)
        self.nodes: list[Node] = []
        self.place = {i: i for i in range(self._first)}
        self.half: dict[int, int] = {}

    def add(self, node: Node) -> int:
        """Appends a node; the position of its result."""
        self.nodes.append(node)
        return self._first + len(self.nodes) - 1

    def cast(self, position: int, spec: Spec, dtype: str) -> int:
        """Appends a cast; the position of its result."""
        made = spec._replace(dtype=dtype, strides=None)
        return self.add(Node("cast", (position,), {"dtype": dtype}, made))


def _widened(region: Region, wide: Sequence[int], results: Sequence[int]) -> Region | None:
    """The region in float32, with casts where arrays are of half precision.

    Args:
        region: what to compute.
        wide: inputs that come as float32 in place of half precision.
        results: outputs that are wanted as float32.
    """
    inputs = list(region.inputs)
    made = _Widening(region)
    for i, spec in enumerate(region.inputs):
        if spec.dtype not in HALVES:
            continue
        if i in wide:
            inputs[i] = spec._replace(dtype="float32")
            continue
        shapes = {
            region.shape if node.reduces else node.spec.shape
            for node in region.nodes
            if i in node.inputs
        }
        if len(shapes) > 1:
            return None
        made.half[i] = i
        for shape in shapes:
            made.place[i] = made.cast(i, spec._replace(shape=shape), "float32")
    for number, node in enumerate(region.nodes, len(region.inputs)):
        given = tuple([made.place[i] for i in node.inputs])
        if node.name == "bitcast":
            return None
        if node.spec.dtype not in HALVES:
            made.place[number] = made.add(node._replace(inputs=given))
            continue
        spec = _wide(node.spec)
        if node.name == "cast":
            # The program asks for the rounding.
            made.half[number] = made.cast(given[0], spec, node.spec.dtype)
            made.place[number] = made.cast(made.half[number], spec, "float32")
        else:
            made.place[number] = made.add(node._replace(inputs=given, spec=spec))
    specs = [*region.inputs, *[node.spec for node in region.nodes]]
    outputs = []
    for i in region.outputs:
        place = made.place[i]
        if specs[i].dtype in HALVES and i not in results:
            place = made.half[i] if i in made.half else made.cast(place, specs[i], specs[i].dtype)
            made.half[i] = place
        outputs.append(place)
    known = {i: float(v) if i in wide else v for i, v in region.known.items()}
    return replace(
        region, inputs=tuple(inputs), nodes=tuple(made.nodes), outputs=tuple(outputs), known=known
    )
