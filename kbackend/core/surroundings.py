"""Settings around a computation that change it, although they are no arguments of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from kbackend.base import config

_settings: list[Callable[[], Hashable]] = [config.float32_matmul_precision]


def depends_on(setting: Callable[[], Hashable]) -> None:
    """Makes compiled programs belong to what `setting` returned when they were traced.

    Args:
        setting: function without arguments that tells how things are set now.
    """
    _settings.append(setting)


def surroundings() -> tuple[Hashable, ...]:
    """How all these are set now."""
    return tuple([setting() for setting in _settings])
