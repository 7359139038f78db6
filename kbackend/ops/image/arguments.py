"""What the image ops share: one image or a batch, channels first or last."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from kbackend.core import lang
from kbackend.ops.nn.arguments import channels_first, to_first, to_last


def with_batch(images: Any, data_format: Any, name: str, fn: Callable[[Any], Any]) -> Any:
    """`fn` of the images as `(batch, height, width, channels)`, its result in the form given."""
    first = channels_first(data_format, name)
    ndim = len(images.shape)
    if ndim not in (3, 4):
        raise ValueError(
            f"[{name}] takes an image with 3 dimensions or a batch with 4. "
            f"Received: images.shape={tuple(images.shape)}."
        )
    if ndim == 3:
        images = lang.reshape(images, (1, *images.shape))
    out = fn(to_last(images) if first else images)
    if first:
        out = to_first(out)
    return lang.reshape(out, tuple(out.shape[1:])) if ndim == 3 else out


def two(value: Any, name: str, op: str) -> tuple[int, int]:
    """A pair of positive integers."""
    try:
        pair = tuple(index(v) for v in value)
    except TypeError:
        pair = ()
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(
            f"[{op}] '{name}' must be a pair of positive integers. Received: {name}={value!r}."
        )
    return pair[0], pair[1]


def one_of(value: Any, allowed: tuple[str, ...], name: str, op: str) -> None:
    """Raises unless `value` is allowed."""
    if value not in allowed:
        raise ValueError(
            f"[{op}] '{name}' must be one of {', '.join(map(repr, allowed))}. "
            f"Received: {name}={value!r}."
        )
