"""Attention and its gradient in few launches; see `kbackend.ops.nn.attention`."""

from __future__ import annotations

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.attention_back import STATISTICS, of_heads, of_keys, of_queries
from kbackend_cupy.codegen.attention_forward import forward
from kbackend_cupy.codegen.attention_parts import Form, able
from kbackend_cupy.codegen.loop import SHORT, fits
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.whole import Specs, Whole

_DTYPES = frozenset(("float16", "bfloat16", "float32"))
_BIASES = frozenset((*_DTYPES, "float64"))


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
    # The gradient of a bias is of the size of queries x keys.
    return _usual(inputs, True) and all(
        _spreads(spec.shape, inputs) and spec.dtype == "bool" for spec in inputs[3:]
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
        # However they lie: what lies too far apart can be copied.
        and max(spec.size for spec in inputs) <= SHORT // 4
        and images * heads * (queries + keys) <= SHORT // 4
    )


def _spreads(shape: Ints, inputs: Specs) -> bool:
    """Whether an array can be repeated to the shape of the products."""
    (images, queries, heads, _), keys = inputs[0].shape, inputs[1].shape[1]
    whole = (images, heads, queries, keys)
    return len(shape) <= 4 and all(
        size in (1, all_) for size, all_ in zip(reversed(shape), reversed(whole), strict=False)
    )


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
    if not fits(*inputs, *outputs):
        return None
    specs = (*outputs, *inputs)
    given = ("g", *names)
    arrays = {name: (i, specs[i]) for i, name in enumerate(("dq", "dk", "dv", *given))}
    one = of_heads(form, arrays)
    if one is not None:
        return Plan((one,))
    stats = Spec((STATISTICS, form.images, form.heads, form.queries), "float32")
    arrays["stats"] = (len(specs), stats)
    first = of_queries(form, {name: arrays[name] for name in ("dq", "stats", *given)})
    second = of_keys(form, {name: arrays[name] for name in ("dk", "dv", "stats", *given)})
    return Plan((first, second), (stats,))


def _back_outputs(inputs: Specs, **params: object) -> Specs:
    return tuple([Spec(spec.shape, spec.dtype) for spec in inputs[1:4]])


COMPOSITES = {
    "dot_product_attention": Whole(_forward, _takes, _forward_outputs, True),
    "dot_product_attention_grad": Whole(_back, _takes_back, _back_outputs),
}
PREPARE = {name: whole.plan for name, whole in COMPOSITES.items()}
