"""`rearrange`: reshapes and transpositions written as a pattern of axis names."""

from __future__ import annotations

import re
from math import prod
from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op

_TOKEN = re.compile(r"\(|\)|\.\.\.|[^\s()]+")


def _parse(side: str, pattern: str) -> list[Any]:
    """Groups of axis names: a name stands alone, a parenthesis makes a list."""
    groups: list[Any] = []
    inner: list[str] | None = None
    for token in _TOKEN.findall(side):
        if token == "(" and inner is None:
            inner = []
        elif token == ")" and inner is not None:
            groups.append(inner)
            inner = None
        elif token == "..." and inner is None:
            groups.append("...")
        elif token.isidentifier() or token == "1":
            (groups if inner is None else inner).append(token)
        else:
            raise ValueError(f"[rearrange] {token!r} is out of place in the pattern {pattern!r}.")
    if inner is not None:
        raise ValueError(f"[rearrange] a parenthesis is not closed in the pattern {pattern!r}.")
    return groups


def _names(groups: list[Any]) -> list[str]:
    names = [n for group in groups for n in (group if isinstance(group, list) else [group])]
    return [n for n in names if n != "1"]


@op(static=("pattern",))
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """`tensor` with its axes reordered, split and merged as a pattern says.

    Args:
        tensor: tensor.
        pattern: such as `"b h w c -> b (h w) c"`; a parenthesis stands for one axis made of
            several, `...` for any number of axes.
        **axes_lengths: lengths of axes that the shape does not tell.

    Returns:
        A tensor with the same elements.

    Raises:
        ValueError: the pattern is malformed or does not fit the tensor.

    Example:
        >>> rearrange(np.ones((2, 6, 3)), "b (h w) c -> b h (w c)", h=2).shape
        (2, 2, 9)

    Reference:
        A. Rogozhnikov, "Einops: clear and reliable tensor manipulations", 2022.
    """
    x = to_tensor(tensor)
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"[rearrange] the pattern must hold one '->'. Received: {pattern!r}.")
    left, right = (_parse(side, pattern) for side in sides)
    rest = [f"...{i}" for i in range(len(x.shape) - len(left) + 1)]
    if "..." in left:
        at = left.index("...")
        left[at : at + 1] = rest
        if "..." in right:
            at = right.index("...")
            right[at : at + 1] = rest
    names, wanted = _names(left), _names(right)
    if (
        len(left) != len(x.shape)
        or sorted(names) != sorted(wanted)
        or len(set(names)) != len(names)
    ):
        raise ValueError(
            "[rearrange] both sides of the pattern must name each axis once, and the left one "
            f"describe every dimension. Received: {pattern!r} for shape={tuple(x.shape)}."
        )
    lengths: dict[str, int | None] = dict(axes_lengths)
    for group, size in zip(left, x.shape, strict=True):
        _measure(group if isinstance(group, list) else [group], size, lengths, pattern)
    if [n for n in names if n not in lengths]:
        raise ValueError(f"[rearrange] an axis of {pattern!r} has no known length. Name it.")
    split = tuple(lengths[n] for n in names)
    if split != tuple(x.shape):
        x = lang.reshape(x, split)
    order = tuple(names.index(n) for n in wanted)
    if order != tuple(range(len(order))):
        x = lang.transpose(x, order)
    merged = tuple(_size(group, lengths) for group in right)
    return lang.reshape(x, merged) if merged != tuple(x.shape) else x


def _measure(group: list[str], size: int | None, lengths: dict[str, Any], pattern: str) -> None:
    """Works out the one length of a group that is not known yet, and checks the group."""
    group = [n for n in group if n != "1"]
    missing = [n for n in group if n not in lengths]
    known = [lengths[n] for n in group if n in lengths]
    if len(missing) == 1:
        name = missing[0]
        if size is None or None in known:
            lengths[name] = None
            return
        part = prod(known)
        if part and size % part == 0:
            lengths[name] = size // part
            return
    elif not missing and (size is None or None in known or prod(known) == size):
        return
    raise ValueError(
        f"[rearrange] the axis ({' '.join(group)}) of {pattern!r} does not fit a dimension of size "
        f"{size} with the lengths {lengths}."
    )


def _size(group: Any, lengths: dict[str, Any]) -> int | None:
    if not isinstance(group, list):
        return 1 if group == "1" else lengths[group]
    sizes = [lengths[n] for n in group if n != "1"]
    return None if None in sizes else prod(sizes)
