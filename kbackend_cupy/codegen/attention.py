"""Attention and its gradient in few launches; see `kbackend.ops.nn.attention`."""

from __future__ import annotations

from math import prod

from kbackend.engine.program import Ints, Node, Region, Spec
from kbackend_cupy.codegen import region
from kbackend_cupy.codegen.attention_back import STATISTICS, of_heads, of_keys, of_queries
from kbackend_cupy.codegen.attention_forward import forward
from kbackend_cupy.codegen.attention_parts import SIDES, Form, able
from kbackend_cupy.codegen.loop import SHORT, fits
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.whole import Room, Specs, Whole

_DTYPES = frozenset(("float16", "bfloat16", "float32"))
_BIASES = frozenset((*_DTYPES, "float64"))
# Blocks that leave most of a device idle, and how many rows they may go through all the same. No
# measured numbers: half of the multiprocessors of an H100, and about as long as the launches take
# that make all products at once.
_FEW, _LONG = 66, 512


def _takes(inputs: Specs) -> bool:
    if any(len(spec.shape) != 4 for spec in inputs[:3]):
        return False
    return _usual(inputs, False) and all(
        _spreads(spec.shape, inputs) and spec.dtype in {"bool", *_BIASES} for spec in inputs[3:]
    )


def _takes_back(inputs: Specs) -> bool:
    inputs = inputs[1:]
    if any(len(spec.shape) != 4 for spec in inputs[:3]):
        return False
    # Whatever comes with a bias that is no number is the body's.
    biases = [spec for spec in inputs[3:] if spec.dtype != "bool"]
    return (
        _usual(inputs, True)
        and all(_spreads(spec.shape, inputs) for spec in inputs[3:])
        and all(spec.dtype in _BIASES and prod(_products(inputs)) <= SHORT // 8 for spec in biases)
    )


def _usual(inputs: Specs, back: bool) -> bool:
    """Whether queries, keys and values are of dtypes and sizes that are done here."""
    q, k, v = inputs[:3]
    images, queries, heads, depth = q.shape
    keys, width = k.shape[1], v.shape[3]
    sizes = (images, queries, heads, depth, keys, width)
    return (
        q.dtype in _DTYPES
        and q.dtype == k.dtype == v.dtype
        and k.shape == (images, keys, heads, depth)
        and v.shape == (images, keys, heads, width)
        and 0 not in sizes
        and able(depth, width, back)
        and _busy(images * heads, queries, keys)
        and (not back or _busy(images * heads, keys, queries))
        # However they lie: what lies too far apart can be copied.
        and max(spec.size for spec in inputs) <= SHORT // 4
        and images * heads * (queries + keys) <= SHORT // 4
    )


def _busy(heads: int, rows: int, columns: int) -> bool:
    """Whether blocks with tiles of rows are not few that go through many columns."""
    return columns <= _LONG or heads * -(-rows // SIDES[-1]) >= _FEW


def _spreads(shape: Ints, inputs: Specs) -> bool:
    """Whether an array can be repeated to the shape of the products."""
    pairs = zip(reversed(shape), reversed(_products(inputs)), strict=False)
    return len(shape) <= 4 and all(size in (1, whole) for size, whole in pairs)


def _products(inputs: Specs) -> Ints:
    """The shape of the products of queries and keys."""
    images, queries, heads, _ = inputs[0].shape
    return images, heads, queries, inputs[1].shape[1]


def _form(
    inputs: Specs,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> tuple[Form, tuple[str, ...]]:
    """What is computed, and the names of the arrays."""
    extra = (*["bias"] * biased, *["mask"] * masked)
    found = dict(zip(extra, inputs[3:], strict=True))
    q, k, v = inputs[:3]
    bias, mask = found.get("bias"), found.get("mask")
    return Form(q, k, v, bias, mask, scale, is_causal, soft_cap), ("q", "k", "v", *extra)


def _forward(
    inputs: Specs,
    outputs: Specs,
    *,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> Plan | None:
    form, names = _form(inputs, scale, is_causal, soft_cap, biased, masked)
    if not fits(*inputs, *outputs):
        return None
    return Plan((forward(form, outputs[0], tuple(range(1 + len(names)))),))


def _forward_outputs(inputs: Specs, **params: object) -> Specs:
    q, v = inputs[0], inputs[2]
    return (Spec((*q.shape[:3], v.shape[3]), q.dtype),)


def _back(
    inputs: Specs,
    outputs: Specs,
    *,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> Plan | None:
    form, names = _form(inputs[1:], scale, is_causal, soft_cap, biased, masked)
    room = Room(outputs, inputs)
    given = ("dq", "dk", "dv", *["db"] * biased, "g", *names)
    places = {name: i for i, name in enumerate(given)}
    repeated = biased and outputs[-1].shape != form.products
    if repeated:
        places["db"] = room.new(*form.products, dtype=outputs[-1].dtype)
    one = of_heads(form, room.arrays(places))
    if one is not None:
        room.launch(one)
    else:
        places["stats"] = room.new(STATISTICS, *form.products[:3], dtype="float32")
        first, second = dict(places), dict(places)
        for name in ("dk", "dv", "db"):
            first.pop(name, None)
        del second["dq"]
        room.launch(of_queries(form, room.arrays(first)), of_keys(form, room.arrays(second)))
    if repeated:
        room.add(_summed(room.specs[places["db"]], outputs[-1]), 3, places["db"])
    return room.plan()


def _summed(x: Spec, out: Spec) -> Plan | None:
    """The sum over what was repeated to make the shape of `x` of that of `out`."""
    missing = len(x.shape) - len(out.shape)
    shape = (1,) * missing + out.shape
    axes = tuple([i for i, size in enumerate(shape) if size == 1 and x.shape[i] != 1])
    made = Spec(tuple([size for i, size in enumerate(x.shape) if i not in axes]), x.dtype)
    node = Node("reduce_sum", (0,), {"axes": axes, "keepdims": False}, made)
    return region.plan(Region((x,), (node,), (1,), x.shape, axes=axes), (x,))


def _back_outputs(inputs: Specs, *, biased: bool, **params: object) -> Specs:
    return tuple([Spec(spec.shape, spec.dtype) for spec in inputs[1 : 4 + biased]])


COMPOSITES = {
    "dot_product_attention": Whole(_forward, _takes, _forward_outputs, True),
    "dot_product_attention_grad": Whole(_back, _takes_back, _back_outputs),
}
PREPARE = {name: whole.plan for name, whole in COMPOSITES.items()}
