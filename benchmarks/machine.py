"""What machine a figure was taken on, and how a time is taken."""

from __future__ import annotations

import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def describe() -> dict[str, str]:
    """Processor, cores and versions, as shown with every table."""
    cpu = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "unset"),
    }


class Timing(NamedTuple):
    """Seconds of one call: the least and the median of several repetitions."""

    least: float
    median: float


def time_call(fn: Callable[[], object], number: int, repeat: int = 7) -> Timing:
    """Times `fn`.

    Args:
        fn: what to time.
        number: calls in one repetition.
        repeat: repetitions.
    """
    fn()
    seconds = []
    for _ in range(repeat):
        begin = time.perf_counter()
        for _ in range(number):
            fn()
        seconds.append((time.perf_counter() - begin) / number)
    return Timing(min(seconds), statistics.median(seconds))
