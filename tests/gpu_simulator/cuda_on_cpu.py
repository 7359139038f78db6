"""CUDA text compiled by g++, and run on NumPy's arrays: no CuPy, no simulated device."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.gpu_simulator import ingredients

ORDERS = ("forward", "reverse", "random")
# -ffp-contract=fast: multiplications and additions are fused, as on the device.
_FLAGS = ("-O1", "-g1", "-ffp-contract=fast")
_ALWAYS = ("-std=c++17", "-w", "-fpermissive", "-fPIC", "-fno-gnu-unique", "-fno-strict-aliasing",
           "-fvisibility=hidden", "-march=native")  # fmt: skip
_BARRIERS = re.compile(
    r"__syncthreads|__syncwarp|__shfl|__ballot|__any_sync|__all_sync|cooperative_groups|"
    r"__activemask|cub::"
)
_KERNEL = re.compile(
    r'extern\s+"C"\s*(?:\{)?\s*__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\('
)
_ALIGNED = r"(?:__align__\(\d+\)\s+)?"
_DYNAMIC = re.compile(r"extern\s+__shared__\s+" + _ALIGNED + r"([\w:<> ]+?)\s+(\w+)\s*\[\s*\]\s*;")
_STATIC = re.compile(r"__shared__\s+" + _ALIGNED + r"([\w:<> ]+?)\s+(\w+)\s*((?:\[[^\]]+\])+)\s*;")


class BuildError(RuntimeError):
    """g++ refuses a text."""


def _gxx(arguments: Sequence[str], what: str) -> None:
    done = subprocess.run(["g++", *arguments], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise BuildError(f"g++ refuses {what}:\n" + "\n".join(errors[:20]))


def _translated(text: str) -> str:
    """The text with its shared arrays as the header provides them."""
    text = _DYNAMIC.sub(r"\1* \2 = reinterpret_cast<\1*>(on_cpu::dynamic_memory);", text)
    return _STATIC.sub(r"__shared__ \1 \2\3; on_cpu::poison(\2, sizeof(\2));", text)


def _tables(names: Mapping[str, str]) -> str:
    """Exports kernels; `names`: symbol -> how the text calls it."""
    found = []
    for symbol, expression in names.items():
        if re.fullmatch(r"\w+", expression):
            found.append(f"ON_CPU_KERNEL({symbol}, {expression})\n")
        else:
            # A template's instance, which this makes.
            found.append(f"typedef decltype(&{expression}) type_of_{symbol};\n")
            found.append(f"ON_CPU_KERNEL({symbol}, ({expression}))\n")
    return "".join(found)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


@functools.cache
def _header(flags: tuple[str, ...]) -> Path:
    """A folder with the header, compiled beforehand for these flags."""
    folder = ingredients.cache() / "header"
    compiled = folder / "cuda_on_cpu.h.gch" / f"{_digest(*flags)}.gch"
    if not compiled.exists():
        compiled.parent.mkdir(parents=True, exist_ok=True)
        for name in ("cuda_on_cpu.h", "kernel_table.h"):
            (folder / name).write_bytes((ingredients.FOLDER / name).read_bytes())
        aside = f"{compiled}.{os.getpid()}"
        source = str(folder / "cuda_on_cpu.h")
        _gxx([*_ALWAYS, *flags, "-x", "c++-header", source, "-o", aside], "the header")
        os.replace(aside, compiled)
    return folder


def build(
    text: str,
    options: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    flags: Sequence[str] = _FLAGS,
) -> Path:
    """A library with the kernels of a CUDA text.

    Args:
        text: CUDA C++.
        options: of the CUDA compiler; include folders and macros are kept.
        names: symbol -> expression of each kernel; `None` for those declared extern "C".
        flags: of g++.

    Raises:
        BuildError: g++ refuses the text.
    """
    if names is None:
        names = {name: name for name in _KERNEL.findall(text)}
    barriers = [] if _BARRIERS.search(text) else ["-DON_CPU_WITHOUT_BARRIERS"]
    kept = [option for option in options if option.startswith(("-I", "-D"))]
    own = (*flags, *barriers, *kept, *ingredients.headers())
    program = f'#include "cuda_on_cpu.h"\n{_translated(text)}\n{_tables(names)}'
    library = ingredients.cache() / "kernels" / f"{_digest(program, *own)}.so"
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        source = library.with_suffix(f".{os.getpid()}.cpp")
        source.write_text(program, encoding="utf-8")
        aside = f"{library}.{os.getpid()}"
        folder = _header(own)
        link = ["-shared", "-Wl,-Bsymbolic", f"-I{folder}", str(source), "-o", aside]
        _gxx([*_ALWAYS, *own, *link], str(source))
        os.replace(aside, library)
        source.unlink()
    return library


@contextlib.contextmanager
def order(name: str) -> Iterator[None]:
    """Threads and blocks run in that order: one of `ORDERS`."""
    before = os.environ.get("GPU_SIMULATOR_ORDER", "forward")
    os.environ["GPU_SIMULATOR_ORDER"] = name
    try:
        yield
    finally:
        os.environ["GPU_SIMULATOR_ORDER"] = before


class _Table(ctypes.Structure):
    _fields_ = [
        ("run", ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, ctypes.c_size_t, ctypes.c_void_p)),
        ("count", ctypes.c_int),
        ("sizes", ctypes.POINTER(ctypes.c_size_t)),
        ("name", ctypes.c_char_p),
        ("shared_limit", ctypes.c_int),
    ]


def launch(
    library: Path,
    name: str,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    arguments: Sequence[Any],
    shared: int = 0,
) -> None:
    """Runs a kernel.

    Args:
        library: from `build`.
        name: of the kernel.
        grid: blocks in each direction.
        block: threads of a block in each direction.
        arguments: arrays, which are handed as pointers, and NumPy's scalars.
        shared: bytes of dynamic shared memory.
    """
    table = _Table.in_dll(ctypes.CDLL(str(library)), f"on_cpu_kernel_{name}")
    if table.count != len(arguments):
        raise TypeError(f"{name} takes {table.count} arguments. Received: {len(arguments)}.")
    held = []
    for number, argument in enumerate(arguments):
        is_array = isinstance(argument, np.ndarray)
        value = np.array(argument.ctypes.data, np.uint64) if is_array else np.array(argument)
        if value.nbytes != table.sizes[number]:
            raise TypeError(
                f"Argument {number} of {name} has {table.sizes[number]} bytes. "
                f"Received: {value.nbytes}."
            )
        held.append(value)
    places = (ctypes.c_void_p * max(1, len(held)))(*[value.ctypes.data for value in held])
    sizes = [(ctypes.c_uint * 3)(*numbers) for numbers in (grid, block)]
    table.run(*sizes, shared, places)
