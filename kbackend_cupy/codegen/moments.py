"""Mean and variance of an array over some of its dimensions, read once."""

from __future__ import annotations

from collections.abc import Callable

from kbackend.engine.program import Ints, Node, Region, Spec
from kbackend_cupy.codegen.body import Body
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.shares import Parts, Sum, kernel_of, launch_of, tile_of
from kbackend_cupy.codegen.space import offset
from kbackend_cupy.codegen.whole import Whole

# Divisions of float64, one for each element, need too many registers.
DTYPES = frozenset(("float32",))


def moments(inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, axes: Ints) -> Plan | None:
    """The composite "moments"."""
    (x,), (mean, _) = inputs, outputs
    if not _takes(inputs):
        return None
    over = tuple(sorted(axis % len(x.shape) for axis in axes))
    # As what is read and where it lies are those of a sum.
    node = Node("reduce_sum", (0,), {"axes": over, "keepdims": True}, mean)
    body = Body(Region(inputs, (node,), (1,), x.shape, axes=over), inputs)
    space, kind = body.space, body.type(0)
    tile = tile_of(space)
    steps = space.inputs[0]
    place = f"{offset(steps.kept, 'k', space.long)} + {offset(steps.reduced, 'c', space.long)}"
    parts = Parts(
        kept=[],
        inner=[f"found = kb::with(found, {body.read(0, place)});"],
        first=[],
        last=["o0[row] = found.sum / found.count;", "o1[row] = found.squares / found.count;"],
    )
    parameters = [f"{kind}* o0", f"{kind}* o1", f"const {kind}* i0"]
    sums = [Sum("found", f"kb::spread<{kind}>", "{}", "kb::both")]

    def head(*names: str) -> str:
        return body.libraries("moments.cuh", *names)

    kernel = kernel_of(head, parameters, space, tile, sums, parts)
    if tile.shares == 1:
        return Plan((launch_of("moments", kernel, space, tile, (0, 1, 2)),))
    launch = launch_of("moments", kernel, space, tile, (0, 1, 2, 3, 4))
    scratch = Spec((tile.shares, space.rows, 4), x.dtype)
    return Plan((launch,), (scratch,), tickets=tile.columns(space.rows))


def _takes(inputs: tuple[Spec, ...]) -> bool:
    return inputs[0].dtype in DTYPES and inputs[0].size > 0


def _outputs(inputs: tuple[Spec, ...], *, axes: Ints) -> tuple[Spec, ...]:
    shape = list(inputs[0].shape)
    for axis in axes:
        shape[axis] = 1
    return (Spec(tuple(shape), inputs[0].dtype),) * 2


COMPOSITES = {"moments": Whole(moments, _takes, _outputs)}
PREPARE: dict[str, Callable[..., Plan | None]] = {"moments": moments}
