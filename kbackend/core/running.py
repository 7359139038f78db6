"""Compiled programs run one at a time: they own the cores, and write into memory that they keep."""

from __future__ import annotations

import os
import threading

_lock = threading.RLock()
# The thread that runs a program, or `None`.
_thread: int | None = None


def _reset() -> None:
    """A forked child runs nothing, whatever its parent was at."""
    global _lock, _thread
    _lock, _thread = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)


class Running:
    """The time during which a program runs; others wait for it.

    Example:
        >>> with Running():
        ...     wait_for_steps()
    """

    __slots__ = ("_outer",)

    def __enter__(self) -> None:
        global _thread
        _lock.acquire()
        self._outer = _thread
        _thread = threading.get_ident()

    def __exit__(self, *exc_info: object) -> None:
        global _thread
        _thread = self._outer
        _lock.release()


def wait_for_steps() -> None:
    """Waits until no other thread runs a program, whose variables are in motion."""
    if _thread is not None and _thread != threading.get_ident():
        with _lock:
            pass
