"""How many threads compiled kernels run on."""

from __future__ import annotations

from kbackend_numpy import threads as host_threads


def count() -> int:
    """Threads that work at a time; see `kbackend_numpy.threads.count`."""
    return host_threads.count()
