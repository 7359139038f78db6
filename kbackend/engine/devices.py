"""Memory of devices: how much there is, who has it, and how much may be taken."""

from __future__ import annotations

import gc
from contextlib import nullcontext

from kbackend.base import config
from kbackend.engine.loader import current_engine, made_engines
from kbackend.engine.memory import MemoryInfo


def memory_info(device: str | None = None) -> MemoryInfo:
    """How much memory a device of the current engine has, and who holds it.

    Args:
        device: such as "gpu:1"; by default that on which tensors are made now.

    Returns:
        A `MemoryInfo`: a named tuple of `total`, `free`, `used`, `reserved` and `limit`, in bytes.
        For engines on the host it tells of the machine and of this process.

    Raises:
        EngineError: the engine has no such device.

    Example:
        >>> import kbackend as keras
        >>> with keras.use_backend("numpy"):
        ...     keras.memory_info().limit is None
        True
    """
    engine = current_engine()
    with nullcontext() if device is None else engine.device_scope(device):
        return engine.memory_info()


def free_memory() -> None:
    """Gives back memory that the current engine keeps for arrays to come, for other programs.

    Arrays that are still in use stay as they are.

    Example:
        >>> import kbackend as keras
        >>> with keras.use_backend("numpy"):
        ...     keras.free_memory()
    """
    # What only cycles hold is in use for an engine.
    gc.collect()
    current_engine().free_memory()


def set_memory_limit(limit: int | float | str | None) -> None:
    """Set how much memory of each device may be taken. Engines on the host have no limit.

    What is held already stays, though it may be more.

    Args:
        limit: a number of bytes; a part of the device's memory, such as `0.5` or `"50%"`; a text
            such as `"8 GiB"`; or `None` for all of it.

    Raises:
        ConfigError: (a `ValueError`) for any other value.

    Example:
        >>> import kbackend as keras
        >>> keras.config.set_memory_limit("2 GiB")
        >>> keras.config.memory_limit()
        2147483648
        >>> keras.config.set_memory_limit(None)
    """
    config.set_memory_limit(limit)
    for engine in made_engines():
        engine.limit_memory()
