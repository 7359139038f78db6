"""Compiled programs run one at a time: they own the cores, and write into memory that they keep."""

from __future__ import annotations

import threading

_lock = threading.RLock()
# The thread that runs a program, or `None`.
_thread: int | None = None


class Running:
    """The time during which a program runs; others wait for it.

    Example:
        >>> with Running():
        ...     wait_for_steps()
    """

    def __enter__(self) -> None:
        global _thread
        _lock.acquire()
        _thread = threading.get_ident()

    def __exit__(self, *exc_info: object) -> None:
        global _thread
        _thread = None
        _lock.release()


def wait_for_steps() -> None:
    """Waits until no other thread runs a program, whose variables are in motion."""
    if _thread is not None and _thread != threading.get_ident():
        with _lock:
            pass
