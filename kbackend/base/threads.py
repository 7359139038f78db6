"""How many threads may compute at a time."""

from __future__ import annotations

import os
from collections.abc import Callable

from kbackend.base.config import DEFAULT, RUNTIME, Setting
from kbackend.base.errors import ConfigError

# The variables that limit BLAS limit kbackend as well, because both share the same cores.
_VARIABLES = ("KBACKEND_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

_found: Setting | None = None
_followers: list[Callable[[Setting], None]] = []


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _look() -> Setting:
    found = Setting("num_threads", _cores(), DEFAULT)
    for name in _VARIABLES:
        text = os.environ.get(name, "").strip()
        if not text.isdecimal() or int(text) < 1:
            if text and name == "KBACKEND_NUM_THREADS":
                raise ConfigError(
                    f"[environment variable {name}] must be a positive integer. Received: "
                    f"{text!r}. Mend it, or unset it for one thread on each core."
                )
            continue
        if int(text) < found.value:
            found = Setting("num_threads", int(text), f"environment variable {name}")
    return found


def thread_setting() -> Setting:
    """The number of threads with the place that it came from.

    >>> thread_setting().name
    'num_threads'
    """
    global _found
    if _found is None:
        _found = _look()
    return _found


def follow(follower: Callable[[Setting], None]) -> None:
    """Tells of the setting, now and whenever it changes.

    Args:
        follower: called with the setting. For libraries that have threads of their own.

    >>> follow(lambda setting: None)
    """
    _followers.append(follower)
    follower(thread_setting())


def num_threads() -> int:
    """How many threads may compute at a time.

    Returns:
        What `set_num_threads` set; else the number of cores of this process, or less where one of
        the variables `KBACKEND_NUM_THREADS`, `OPENBLAS_NUM_THREADS`, `OMP_NUM_THREADS` says so.
        The environment is read once.

    >>> set_num_threads(1)
    >>> num_threads()
    1
    >>> set_num_threads(None)
    """
    return (_found or thread_setting()).value  # type: ignore[no-any-return]


def set_num_threads(num_threads: int | None) -> None:
    """Set how many threads may compute at a time. Results do not depend on it.

    NumPy's BLAS gets no more of them either, also where others call it. Steps that are compiled
    already are compiled anew when they next run.

    Args:
        num_threads: the number, or None for what the environment says.

    Raises:
        ConfigError: (a `ValueError`) if it is no positive integer.

    >>> set_num_threads(2)
    >>> num_threads()
    2
    >>> set_num_threads(None)
    """
    global _found
    if num_threads is None:
        _found = None
    elif isinstance(num_threads, bool) or not isinstance(num_threads, int) or num_threads < 1:
        raise ConfigError(
            f"[set_num_threads] 'num_threads' must be a positive integer, or None for what the "
            f"environment says. Received: num_threads={num_threads!r}."
        )
    else:
        _found = Setting("num_threads", num_threads, RUNTIME)
    for follower in _followers:
        follower(thread_setting())
