"""Processes with the simulated GPU, which can't be taken away again once it is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_VARIABLE = "KBACKEND_GPU_SIMULATOR"


def wanted() -> bool:
    """Whether this process shall have the simulated GPU."""
    return os.environ.get(_VARIABLE) == "1"


def _run(command: list[str], seconds: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def pytest_with_gpu(path: Path, marks: str, seconds: int) -> subprocess.CompletedProcess[str]:
    """Runs the tests of a file that have these marks, in a process with the simulated GPU.

    Those that are not written for the simulated GPU run on the CuPy engine where they choose none.
    """
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "-m", marks]
    if path.parent.name != "simulated":
        command += ["-p", "tests.gpu_simulator.plugin", "--engine", "cupy"]
    command.append(str(path))
    return _run(command, seconds, **{_VARIABLE: "1"})


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a text of Python, as for faults that end a process."""
    return _run(["-c", code, *arguments], 120, **environment)


def sanitized(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a text of Python under AddressSanitizer."""
    found = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    options = "detect_leaks=0:detect_stack_use_after_return=0:verify_asan_link_order=0"
    return python(
        code,
        *arguments,
        LD_PRELOAD=found.stdout.strip(),
        ASAN_OPTIONS=options,
        PYTHONMALLOC="malloc",
    )
