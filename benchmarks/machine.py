"""What machine a figure was taken on, how a time is taken, and what the machine can reach."""

from __future__ import annotations

import datetime
import functools
import os
import pathlib
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

_VARIABLES = (
    "KBACKEND",
    "KERAS_BACKEND",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "XLA_FLAGS",
)


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _processor_times() -> tuple[int, int]:
    """Ticks of all cores since the start of the machine, and those that they idled."""
    line = pathlib.Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    ticks = [int(field) for field in line.split()[1:9]]
    # The fourth is idle, the fifth waiting for a disk.
    return sum(ticks), ticks[3] + ticks[4]


def busy_cores(seconds: float = 0.5) -> float | None:
    """How many cores are at work, over a moment in which this process sleeps.

    Args:
        seconds: length of the moment.

    Returns:
        The cores that others use; None where the system doesn't tell.
    """
    try:
        total, idle = _processor_times()
        time.sleep(seconds)
        total_after, idle_after = _processor_times()
    except (OSError, ValueError, IndexError):
        return None
    passed = max(1, total_after - total)
    return (os.cpu_count() or 1) * (1 - (idle_after - idle) / passed)


@functools.cache
def gpus() -> list[str]:
    """NVIDIA's devices with their memory and driver, as `nvidia-smi` tells them."""
    command = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,driver_version",
        "--format=csv,noheader",
    ]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        "{}, {}, driver {}".format(*line.split(", ")) for line in told.stdout.splitlines() if line
    ]


def describe() -> dict[str, Any]:
    """Processor, cores, GPUs, versions, environment, load and date, as shown with every table."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_bytes": _memory_bytes(),
        "gpus": gpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "busy_cores": busy_cores(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
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


def _gemm(size: int) -> float:
    a = np.ones((size, size), "float32")
    out = np.empty_like(a)
    return 2 * size**3 / time_call(lambda: np.matmul(a, a, out=out), 1).least


def _copy(total: int, number: int) -> float:
    """Bytes per second, read and written, of copies by all cores at once."""
    cores = usable_cores()
    # Each core writes its own memory once before, so that it is there.
    pairs = [(np.ones(total // 2 // cores, "uint8"), np.zeros(total // 2 // cores, "uint8"))]
    pairs += [(source.copy(), target.copy()) for source, target in pairs * (cores - 1)]

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(number):
            np.copyto(pair[1], pair[0])

    with ThreadPoolExecutor(cores) as threads:
        seconds = time_call(lambda: list(threads.map(copy, pairs)), 1).least
    return total // cores * cores * number / seconds


def ceilings(quick: bool = False) -> dict[str, float]:
    """What this machine reaches: the roof under which results lie.

    Args:
        quick: smaller arrays.

    Returns:
        `gemm`: FLOP/s of a large float32 matrix product through NumPy; `memory` and `cache`: bytes
        per second, read and written, of copies in all cores at once, from memory and within caches.
    """
    return {
        "gemm": _gemm(1024 if quick else 2048),
        "memory": _copy(256 * 2**20, 1),
        "cache": _copy(usable_cores() * 256 * 2**10, 200),
    }
