"""Limits on gradients: by value, by each tensor's norm, by the norm of all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang


def sum_of_squares(x: Any) -> Any:
    """Sum of the squares of all elements, a scalar."""
    return lang.reduce_sum(lang.mul(x, x), tuple(range(len(x.shape))))


def clip_by_value(gradient: Any, limit: float) -> Any:
    """`gradient` with its elements between `-limit` and `limit`."""
    return lang.minimum(lang.maximum(gradient, -limit), limit)


def clip_by_norm(gradient: Any, limit: float) -> Any:
    """`gradient` scaled so that its Euclidean norm is at most `limit`."""
    norm = lang.sqrt(sum_of_squares(gradient))
    return lang.div(lang.mul(gradient, limit), lang.maximum(norm, limit))


def global_norm(gradients: Sequence[Any]) -> Any:
    """Euclidean norm of all elements of all gradients together, a scalar in at least float32."""
    total = None
    for gradient in gradients:
        square = sum_of_squares(_wide(gradient))
        total = square if total is None else lang.add(total, square)
    return lang.sqrt(total)


def clip_by_global_norm(gradients: Sequence[Any], limit: float) -> list[Any]:
    """All gradients scaled by one factor so that their joint norm is at most `limit`.

    A norm that is not finite makes all of them NaN, so that it does not go unnoticed.
    """
    joint = global_norm(gradients)
    scale = lang.mul(lang.minimum(lang.div(1.0, joint), 1.0 / limit), limit)
    # NaN if the norm is not finite, else nothing.
    scale = lang.add(scale, lang.sub(joint, joint))
    return [lang.mul(gradient, lang.cast(scale, gradient.dtype)) for gradient in gradients]


def _wide(x: Any) -> Any:
    """float16 squares overflow at 256: such gradients are measured in float32."""
    return lang.cast(x, "float32") if x.dtype in ("float16", "bfloat16") else x
