"""Attention and its gradient as compiled kernels; see `attention_parts`."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend.engine.strides import broadcast_strides
from kbackend_numba import threads
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.pack import panel_rows
from kbackend_numba.codegen.row import length_of
from kbackend_numba.codegen.target import host
from kbackend_numba.eager import Outputs
from kbackend_numba.kernels.attention_back import BACK_SIZES, write_back
from kbackend_numba.kernels.attention_forward import FORWARD_SIZES, write_forward
from kbackend_numba.kernels.attention_parts import Form
from kbackend_numba.kernels.attention_reference import attention_gradient
from kbackend_numba.kernels.dot_form import strides_of
from kbackend_numba.kernels.gemm_plan import heights
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

_DTYPES = ("float32", "float64")
# Bytes of the products of some queries with all keys. The gradient in keys is read and written
# for each block, which then should have some tiles even if they take more memory.
_BLOCK, _LARGE_BLOCK, _SOME_TILES = 96 << 10, 768 << 10, 4
# Items for each thread.
_ITEMS = 4
# Floating point operations of the products in a nanosecond, and nanoseconds for a weight.
_FLOPS, _WEIGHT = 120.0, 0.15


class _Shape(NamedTuple):
    """Sizes of the arrays."""

    images: int
    queries: int
    keys: int
    heads: int
    depth: int
    width: int


class _Rooms:
    """Areas of scratch memory, one behind the other.

    Attributes:
        sizes: name -> where it begins.
        total: elements of all.
    """

    def __init__(self, lanes: int) -> None:
        self.sizes: dict[str, int] = {}
        self.total, self._lanes = 0, lanes

    def add(self, name: str, count: int) -> None:
        """Another area."""
        self.sizes[name] = self.total
        self.total += -(-count // self._lanes) * self._lanes


def prepare_forward(
    inputs: Specs,
    outputs: Specs,
    *,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> Prepared | None:
    """See `Kernel.prepare`."""
    q, k, v = inputs[:3]
    plan = _plan(inputs, scale, is_causal, masked)
    if plan is None or soft_cap is not None or biased:
        return None
    shape, form, sizes, rooms = plan
    lanes = host().lanes(4 if q.dtype == "float32" else 8)
    columns = [count * lanes for count in form.vectors]
    tiles, block = sizes["tiles_queries"], sizes["tiles_block"]
    keys_rows, values_rows = panel_rows(shape.depth, lanes), shape.keys
    rooms.add("packed_keys", keys_rows * _up(shape.keys, columns[0]))
    rooms.add("packed_values", values_rows * _up(shape.width, columns[2]))
    rooms.add("sums", block * (form.queries[0] + 1))
    heads = shape.images * shape.heads
    wanted = -(-_ITEMS * threads.count() // heads)
    tiles_item = max(block, _up(-(-tiles // wanted), block))
    sizes |= {"tiles_item": tiles_item, "keys_rows": keys_rows, "values_rows": values_rows}
    sizes |= {"room": rooms.total, **rooms.sizes}
    items = heads * -(-tiles // tiles_item)
    weights = shape.queries * shape.keys * heads
    cost = weights * (2 * (shape.depth + shape.width) / _FLOPS + _WEIGHT) / items
    call = Call(
        function(("attention", *form), lambda code: write_forward(code, form)),
        (0, 1, 2, 3, 3 + masked, 4 + masked),
        tuple([sizes[name] for name in FORWARD_SIZES]),
        items,
        cost,
    )
    return native([call], [Spec((threads.count(), rooms.total), q.dtype)])


def prepare_back(
    inputs: Specs,
    outputs: Specs,
    *,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> Prepared | None:
    """The gradient in queries, keys and values; see `Kernel.prepare`."""
    g, q = inputs[:2]
    plan = _plan(inputs[1:], scale, is_causal, masked, _SOME_TILES)
    if plan is None or soft_cap is not None or biased:
        return None
    shape, form, sizes, rooms = plan
    steps = strides_of(g)
    if steps[3] != 1 and shape.width != 1:
        return None
    lanes = host().lanes(4 if q.dtype == "float32" else 8)
    columns = [count * lanes for count in form.vectors]
    rows = sizes["tiles_block"] * (form.queries[0] + 1)
    more = {
        "keys_t_rows": panel_rows(shape.depth, lanes),
        "values_t_rows": panel_rows(shape.width, lanes), "block_rows": rows,
        "g_image": steps[0], "g_row": steps[1], "g_head": steps[2],
    }  # fmt: skip
    rooms.add("slopes", rows * sizes["scores_row"])
    rooms.add("keys_t", more["keys_t_rows"] * _up(shape.keys, columns[0]))
    rooms.add("values_t", more["values_t_rows"] * _up(shape.keys, columns[0]))
    rooms.add("keys_p", shape.keys * _up(shape.depth, columns[1]))
    rooms.add("queries_p", rows * _up(shape.depth, columns[1]))
    rooms.add("g_p", rows * _up(shape.width, columns[2]))
    sizes |= {**more, "room": rooms.total, **rooms.sizes}
    weights = shape.queries * shape.keys
    call = Call(
        function(("attention gradient", *form), lambda code: write_back(code, form)),
        (0, 1, 2, 3, 4, 5, 6, 6 + masked, 7 + masked),
        tuple([sizes[name] for name in BACK_SIZES]),
        shape.images * shape.heads,
        weights * ((6 * shape.depth + 4 * shape.width) / _FLOPS + 2 * _WEIGHT),
    )
    return native([call], [Spec((threads.count(), rooms.total), q.dtype)])


def _plan(
    inputs: Specs, scale: float, causal: bool, masked: bool, some: int = 1
) -> tuple[_Shape, Form, dict[str, int], _Rooms] | None:
    """What both kernels have in common, or `None` where there are none.

    Blocks have `some` tiles at least, unless these are very large.
    """
    q, k, v = inputs[:3]
    images, queries, heads, depth = q.shape
    shape = _Shape(images, queries, k.shape[1], heads, depth, v.shape[3])
    if q.dtype not in _DTYPES or not prod(shape):
        return None
    strides = [strides_of(s) for s in (q, k, v)]
    if any(one[3] != 1 and s.shape[3] != 1 for one, s in zip(strides, (q, k, v), strict=True)):
        return None
    weights = (images, heads, queries, shape.keys)
    mask = broadcast_strides(inputs[-1], weights) if masked else (0, 0, 0, 0)
    if mask[3] not in (0, 1):
        return None
    lanes = host().lanes(4 if q.dtype == "float32" else 8)
    vectors = [min(2, -(-count // lanes)) for count in (shape.keys, depth, shape.width)]
    rows, columns = heights(queries, 2), heights(shape.keys, 2)
    tails = [
        count % (lanes * n) != 0 for count, n in zip((depth, shape.width), vectors[1:], strict=True)
    ]
    scores_row = _up(shape.keys, lanes * vectors[0]) + lanes
    itemsize = 4 if q.dtype == "float32" else 8
    size = scores_row * itemsize * (rows.rows + 1)
    block = min(rows.tiles, max(1, _BLOCK // size, min(some, _LARGE_BLOCK // size)))
    whole = block == rows.tiles
    if whole:
        rows, columns = heights(queries, 2, True), heights(shape.keys, 2, True)
    form = Form(
        q.dtype, repr(scale), causal, "" if not masked else "row" if mask[3] else "one", whole,
        (rows.rows, rows.tall > 0), (columns.rows, columns.tall > 0),
        length_of(shape.keys, q.dtype), tuple(vectors), tuple(tails),
    )  # fmt: skip
    sizes = {
        "heads": heads, "queries": queries, "keys": shape.keys, "depth": depth,
        "width": shape.width, "tall_queries": rows.tall, "tiles_queries": rows.tiles,
        "tiles_block": block, "tall_keys": columns.tall, "tiles_keys": columns.tiles,
        "scores_row": scores_row,
        "mask_image": mask[0], "mask_head": mask[1], "mask_row": mask[2],
    }  # fmt: skip
    for name, one in zip("qkv", strides, strict=True):
        sizes |= {f"{name}_image": one[0], f"{name}_row": one[1], f"{name}_head": one[2]}
    rooms = _Rooms(lanes)
    rooms.add("scores", block * (rows.rows + 1) * scores_row)
    return shape, form, sizes, rooms


def _up(count: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-count // step) * step


def _gradients(inputs: Specs, *, biased: bool, **params: Any) -> Specs | None:
    return None if biased else inputs[1:4]


PREPARE: dict[str, Prepare] = {
    "dot_product_attention": prepare_forward,
    "dot_product_attention_grad": prepare_back,
}
# NumPy has no gradient of attention of its own.
COMPOSITES: dict[str, Kernel] = {
    "dot_product_attention_grad": Kernel(attention_gradient, frozenset(_DTYPES))
}
OUTPUTS: dict[str, Outputs] = {"dot_product_attention_grad": _gradients}
