"""Why CuPy can't run here, and what would mend it.

This is the one place that imports CuPy, inside functions: the package must load without it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterable
from typing import Any

from kbackend.engine.interface import Probe

# The oldest CuPy with everything that the kernels use.
_OLDEST = 14
_INSTALL = (
    "Install it with: pip install 'kbackend[cupy13x]' (for CUDA 13), or pip install "
    "'kbackend[cupy12x]' (for drivers of CUDA 12)."
)
_DRIVERS = "https://www.nvidia.com/drivers"
# Packages that all install a module `cupy`.
_PACKAGES = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy-rocm-7-0")


def import_cupy() -> tuple[Any, Any]:
    """The modules `cupy` and `cupyx`."""
    import cupy
    import cupyx

    return cupy, cupyx


def installed_packages() -> list[str]:
    """Names of the installed packages that bring CuPy."""
    found = []
    for name in _PACKAGES:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def _missing() -> Probe | None:
    if importlib.util.find_spec("cupy") is not None:
        return None
    return Probe(False, "CuPy is not installed.", _INSTALL)


def _conflict(packages: Iterable[str]) -> Probe | None:
    packages = list(packages)
    if len(packages) < 2:
        return None
    return Probe(
        False,
        f"Several packages that bring CuPy are installed and overwrite each other's files: "
        f"{', '.join(packages)}.",
        f"Remove all with: pip uninstall -y {' '.join(packages)}. Then install one. {_INSTALL}",
    )


def _broken(error: BaseException, packages: Iterable[str]) -> Probe:
    # CuPy wraps the message in advice; the cause follows this heading.
    text = str(error).rpartition("Original error:")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip(" =")]
    cause = lines[0] if lines else type(error).__name__
    package = next(iter(packages), "cupy-cuda13x")
    return Probe(
        False,
        f"CuPy is installed but its libraries don't load: {cause}.".replace("..", "."),
        f"Install it again with its CUDA libraries: pip install --force-reinstall "
        f"'{package}[ctk]'.",
    )


def _version(cp: Any) -> Probe | None:
    if int(cp.__version__.split(".")[0]) >= _OLDEST:
        return None
    return Probe(
        False,
        f"CuPy {cp.__version__} is installed; version {_OLDEST} or newer is needed.",
        _INSTALL,
    )


def _cuda(version: int) -> str:
    """13020 -> "13.2"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _driver(cp: Any) -> Probe | None:
    runtime = cp.cuda.runtime
    if runtime.is_hip:
        return None
    driver, built_for = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return Probe(
            False,
            "CuPy is installed, and there is no NVIDIA driver on this machine.",
            f"Install a driver for CUDA {built_for // 1000} or newer from {_DRIVERS} (in a "
            "container, start it with --gpus all), or choose another engine.",
        )
    if driver // 1000 >= built_for // 1000:
        return None
    return Probe(
        False,
        f"The NVIDIA driver is for CUDA {_cuda(driver)}, and the installed CuPy for CUDA "
        f"{_cuda(built_for)}.",
        f"Install a newer driver from {_DRIVERS}, or the CuPy for CUDA {driver // 1000}: "
        f"pip uninstall -y cupy-cuda{built_for // 1000}x && "
        f"pip install 'kbackend[cupy{driver // 1000}x]'.",
    )


def _device(cp: Any) -> Probe | None:
    runtime = cp.cuda.runtime
    try:
        count = runtime.getDeviceCount()
        detail = ""
    except runtime.CUDARuntimeError as error:
        count, detail = 0, f" ({error})"
    if count:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        mend = f"The variable CUDA_VISIBLE_DEVICES is {visible!r}: set it to 0, or remove it."
    else:
        mend = "Check that nvidia-smi lists a GPU (in a container, start it with --gpus all)."
    return Probe(False, f"There is a driver and no CUDA device{detail}.", mend)


def _trial(cp: Any) -> None:
    """Computes a little with a compiled kernel and with cuBLAS, which load their libraries late."""
    ones = cp.ones((2, 2), "float32")
    float((ones + ones).dot(ones).sum())


def probe(
    load: Callable[[], tuple[Any, Any]] = import_cupy,
    packages: Callable[[], list[str]] = installed_packages,
) -> Probe:
    """Whether CuPy can run here, and if not, why not and what would mend it.

    Args:
        load: gives the modules `cupy` and `cupyx`.
        packages: gives the names of installed packages that bring CuPy.
    """
    names = packages()
    # Before the import, which would succeed with a mixture of files.
    fault = _conflict(names) or _missing()
    if fault is not None:
        return fault
    try:
        cp, _ = load()
        fault = _version(cp) or _driver(cp) or _device(cp)
        if fault is None:
            _trial(cp)
    # Libraries fail to load with errors of many kinds; each is a reason, none may escape.
    except Exception as error:
        return _broken(error, names)
    return fault or Probe(usable=True)
