"""What an engine tells of the memory of a device, and what the host tells of its own."""

from __future__ import annotations

import os
from typing import NamedTuple


class MemoryInfo(NamedTuple):
    """Memory of a device, in bytes; `None` for what is not known or does not exist.

    Attributes:
        total: what the device has.
        free: what nobody has taken, other programs included.
        used: what arrays of this process hold; on a host, all that the process holds.
        reserved: what this process has taken, `used` included: memory for arrays to come is kept.
        limit: what it may take at most.
    """

    total: int | None
    free: int | None
    used: int | None
    reserved: int | None
    limit: int | None


def host_memory() -> MemoryInfo:
    """The memory of this machine, and what of it the process holds. There is no limit."""
    total, free = _pages("SC_PHYS_PAGES"), _pages("SC_AVPHYS_PAGES")
    used = None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        # What the system could free counts as free, other than for `sysconf`.
        free = int(lines["MemAvailable"].split()[0]) << 10
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, KeyError, ValueError):
        pass  # No Linux.
    return MemoryInfo(total, free, used, used, None)


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None  # No Unix, or one that doesn't tell.
