"""Names of objects: snake case, and counters that keep automatic names apart."""

from __future__ import annotations

import re
import threading
from typing import Any

_lock = threading.Lock()
_uids: dict[str, int] = {}

_WORD_START = re.compile(r"(.)([A-Z][a-z]+)")
_LOWER_UPPER = re.compile(r"([a-z])([A-Z])")


def to_snake_case(name: str) -> str:
    """`name` in snake case.

    Example:
        >>> to_snake_case("BatchNormalization"), to_snake_case("Conv2DTranspose")
        ('batch_normalization', 'conv2d_transpose')
    """
    name = re.sub(r"\W+", "", name)
    return _LOWER_UPPER.sub(r"\1_\2", _WORD_START.sub(r"\1_\2", name)).lower()


def get_uid(prefix: str = "") -> int:
    """The next number for `prefix`, from 1."""
    with _lock:
        _uids[prefix] = _uids.get(prefix, 0) + 1
        return _uids[prefix]


def reset_uids() -> None:
    """Starts all counters afresh."""
    with _lock:
        _uids.clear()


def auto_name(prefix: str) -> str:
    """`prefix`, or `prefix_1`, `prefix_2`, ... where that has been given before.

    Example:
        >>> reset_uids()
        >>> auto_name("dense"), auto_name("dense")
        ('dense', 'dense_1')
    """
    prefix = to_snake_case(prefix)
    uid = get_uid(prefix)
    return prefix if uid == 1 else f"{prefix}_{uid - 1}"


def unique_among(name: str, taken: Any) -> str:
    """`name`, with a number where it is among `taken`."""
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
