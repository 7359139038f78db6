"""What the simulated GPU is made of: where it lies, and what is missing.

`pip install 'kbackend[gpu-simulator]'` brings all but g++.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
CUPY = "14.2.0"
_WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cuda-crt", "nvidia-cuda-cccl")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def nvidia() -> Path | None:
    """The folder with the wheels' headers and libraries."""
    found = importlib.util.find_spec("nvidia")
    for place in () if found is None else found.submodule_search_locations or ():
        if (Path(place) / "cu13" / "include" / "cuda_runtime.h").exists():
            return Path(place) / "cu13"
    return None


def headers() -> list[str]:
    """Options of compilers that find CUDA's headers."""
    return [f"-I{nvidia()}/include", f"-I{nvidia()}/include/cccl"]


def nvrtc() -> Path:
    """The library that compiles CUDA C++."""
    return next((nvidia() / "lib").glob("libnvrtc.so.*"))


class Unavailable(RuntimeError):
    """The simulated GPU can't be built here."""


def required() -> bool:
    """Whether its absence shall be an error, so that nothing is left out in silence."""
    return os.environ.get("KBACKEND_GPU_SIMULATOR_REQUIRED") == "1"


def _unless_required(fault: str | None) -> str | None:
    if fault is not None and required():
        raise Unavailable(fault)
    return fault


def missing_for_text() -> str | None:
    """Why kernels' texts can be neither compiled nor run here, or `None`.

    Raises:
        Unavailable: they can't be, and that is an error.
    """
    return _unless_required(_fault_of_text())


def _fault_of_text() -> str | None:
    if not sys.platform.startswith("linux"):
        return "The simulated GPU needs Linux."
    lacking = [name for name in _WHEELS if _version(name) is None]
    if lacking or nvidia() is None:
        return f"Not installed: {', '.join(lacking)}: pip install 'kbackend[gpu-simulator]'."
    if shutil.which("g++") is None:
        return "There is no g++."
    return None


def missing() -> str | None:
    """Why there can be no simulated GPU here, or `None`.

    Raises:
        Unavailable: there can be none, and that is an error.
    """
    return _unless_required(_fault())


def _fault() -> str | None:
    fault = _fault_of_text()
    if fault is not None:
        return fault
    if _version("cupy-cuda13x") != CUPY:
        return f"CuPy {CUPY} is not installed: pip install 'kbackend[gpu-simulator]'."
    if _version("Cython") is None:
        return "Cython is not installed: pip install 'kbackend[gpu-simulator]'."
    return None


def cache() -> Path:
    """Where what is built is kept: a folder for these versions and these sources."""
    own = os.environ.get("KBACKEND_GPU_SIMULATOR_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(own) if own else Path(home) / "kbackend-gpu-simulator"
    digest = hashlib.sha256(repr([(name, _version(name)) for name in _WHEELS]).encode())
    digest.update(f"{CUPY} {sys.version}".encode())
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in (".h", ".cpp", ".c"):
            digest.update(path.read_bytes())
    folder = root / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder
