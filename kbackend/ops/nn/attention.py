"""Scaled dot product attention."""

from __future__ import annotations

from math import sqrt
from typing import Any

from kbackend.autodiff.api import vjp
from kbackend.base import dtypes
from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import LOW_PRECISION, floating
from kbackend.ops.nn.normalized_exp import softmax_c

# What a masked logit becomes: far below all others, yet finite, so that a row in which everything
# is masked stays a number.
_MASKED = {"float64": -1.25e308}
_MASKED_FLOAT32 = -2.38e38


@composite("dot_product_attention")
def dot_product_attention_c(
    query: Any,
    key: Any,
    value: Any,
    *extra: Any,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> Any:
    """Attention of `(batch, time, heads, size)`; `extra` is the bias, the mask, or both."""
    # The factor goes to what has fewer elements; low precision keeps it until after the sums.
    early = query.dtype not in LOW_PRECISION and query.shape[3] < (key.shape[1] or 0)
    logits = lang.dot(
        lang.mul(query, scale) if early else query, key, ((3,), (3,)), ((0, 2), (0, 2))
    )
    if not early:
        logits = lang.mul(logits, scale)
    if logits.dtype in LOW_PRECISION:
        logits = lang.cast(logits, "float32")
    if soft_cap is not None:
        logits = lang.mul(lang.tanh(lang.div(logits, soft_cap)), soft_cap)
    if biased:
        logits = lang.add(logits, lang.cast(extra[0], logits.dtype))
    floor = _MASKED.get(logits.dtype, _MASKED_FLOAT32)
    if masked:
        logits = lang.select(extra[-1], logits, floor)
    if is_causal:
        size = (logits.shape[2], logits.shape[3])
        seen = lang.le(lang.iota(size, 1, "int32"), lang.iota(size, 0, "int32"))
        logits = lang.select(seen, logits, floor)
    weights = lang.cast(softmax_c(logits, axes=(3,)), value.dtype)
    out = lang.dot(weights, value, ((3,), (1,)), ((0, 1), (0, 2)))
    return lang.transpose(out, (0, 2, 1, 3))


@composite("dot_product_attention_grad")
def dot_product_attention_grad_c(
    g: Any, query: Any, key: Any, value: Any, *extra: Any, biased: bool, **params: Any
) -> Any:
    """Gradients of `dot_product_attention` in query, key and value, and in the bias if any."""
    inputs = (query, key, value, *extra[:biased])

    def attend(*inputs: Any) -> Any:
        return dot_product_attention_c.body(*inputs, *extra[biased:], biased=biased, **params)

    _, pull = vjp(attend, *inputs)
    return tuple(pull(g))


# Weights are computed again: to keep them would take memory of the size of queries x keys.
dot_product_attention_grad_c.repeats = dot_product_attention_c


@dot_product_attention_c.def_vjp
def _attention_vjp(needs: Any, g: Any, result: Any, *args: Any, **params: Any) -> Any:
    grads = dot_product_attention_grad_c(g, *args, **params)
    return (*grads, *[None] * (len(args) - len(grads)))


def _repeat_heads(x: Any, times: int) -> Any:
    """Each head `times` times in a row."""
    batch, length, heads, size = x.shape
    x = lang.reshape(x, (batch, length, heads, 1, size))
    x = lang.broadcast_to(x, (batch, length, heads, times, size))
    return lang.reshape(x, (batch, length, heads * times, size))


@op(tensors=("query", "key", "value", "bias", "mask"))
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """Attention: values averaged by the softmax of scaled products of queries and keys.

    Args:
        query: tensor `(batch, queries, heads, size)`.
        key: tensor `(batch, keys, key heads, size)`; the key heads divide the heads.
        value: tensor shaped like `key`.
        bias: `None`, or tensor to add to the logits `(batch, heads, queries, keys)`.
        mask: `None`, or bool tensor that broadcasts to the logits; false entries are left out.
        scale: factor of the products, `1 / sqrt(size)` by default.
        is_causal: whether a query sees the keys up to its own position only.
        flash_attention: accepted for compatibility; an engine's fused kernel runs where it has one.
        attn_logits_soft_cap: `None`, or the bound that logits are squashed to.

    Returns:
        A floating tensor of the shape of `query`.

    Raises:
        ValueError: an argument does not have four dimensions, or the heads do not fit.

    Example:
        >>> x = np.ones((1, 3, 2, 4), "float32")
        >>> dot_product_attention(x, x, x).shape
        (1, 3, 2, 4)

    Reference:
        A. Vaswani et al., "Attention is all you need", 2017.
    """
    q, k, v = floating(query), floating(key), floating(value)
    if not len(q.shape) == len(k.shape) == len(v.shape) == 4:
        raise ValueError(
            "[dot_product_attention] 'query', 'key' and 'value' must have 4 dimensions. Received: "
            f"query.shape={tuple(q.shape)}, key.shape={tuple(k.shape)}, "
            f"value.shape={tuple(v.shape)}."
        )
    if not q.dtype == k.dtype == v.dtype:
        joint = dtypes.result_type(q.dtype, k.dtype, v.dtype)
        q, k, v = (lang.cast(x, joint) for x in (q, k, v))
    heads, key_heads = q.shape[2], k.shape[2]
    if heads != key_heads:
        if not heads or not key_heads or heads % key_heads:
            raise ValueError(
                "[dot_product_attention] the heads of 'query' must be a multiple of those of 'key'."
                f" Received: {heads} and {key_heads}."
            )
        k, v = _repeat_heads(k, heads // key_heads), _repeat_heads(v, heads // key_heads)
    extra = []
    if bias is not None:
        extra.append(floating(bias))
    if mask is not None:
        extra.append(lang.cast(to_tensor(mask), "bool"))
    return dot_product_attention_c(
        q,
        k,
        v,
        *extra,
        scale=1 / sqrt(q.shape[3]) if scale is None else float(scale),
        is_causal=bool(is_causal),
        soft_cap=attn_logits_soft_cap,
        biased=bias is not None,
        masked=mask is not None,
    )
