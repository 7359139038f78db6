"""Builds the simulated CUDA libraries, and CuPy's runtime module on top of them.

All of CuPy's wheel runs unchanged but one module: `cupy_backends.cuda.api.runtime` holds NVIDIA's
runtime inside of itself, so that nothing can be put in its place. It is built again, from CuPy's
own sources, against the simulated runtime.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tests.gpu_simulator import ingredients
from tests.gpu_simulator.ingredients import Unavailable

RUNTIME = "cupy_backends.cuda.api.runtime"
DEVICE = "libcuda.so.1"
# CuPy's module -> the library that it links.
_LINKED = {
    "cublas": "libcublas.so.13",
    "curand": "libcurand.so.10",
    "cusolver": "libcusolver.so.12",
    "cusparse": "libcusparse.so.12",
}
# These only have to be there.
_EMPTY = ("libcublasLt.so.13", "libnvJitLink.so.13")
LIBRARIES = (DEVICE, *_EMPTY, *_LINKED.values())


def _run(command: Sequence[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        list(command),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise Unavailable(f"{' '.join(command[:4])} failed:\n{tail}")
    return done.stdout


def _symbols(path: Path, option: str) -> set[str]:
    lines = _run(["nm", option, str(path)], path.parent).splitlines()
    return {line.split()[-1] for line in lines if line}


def _stubs(names: Iterable[str], answer: int) -> str:
    """C functions that do nothing but fail."""
    return "".join(f"int {name}(void) {{ return {answer}; }}\n" for name in sorted(names))


def _sources(folder: Path) -> Path:
    """CuPy's sources, unpacked."""
    target = folder / f"cupy-{ingredients.CUPY}"
    if not target.exists():
        # The package index may be out of reach.
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
             ":all:", "--no-build-isolation", "--dest", ".", f"cupy=={ingredients.CUPY}"],
            folder,
            CUPY_INSTALL_USE_STUB="1",
        )  # fmt: skip
        with tarfile.open(next(folder.glob("cupy-*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
    return target


_CYTHON = """
import sys
import Cython
from Cython.Compiler.Main import compile
from Cython.Compiler.Options import CompilationOptions
constants = dict(CUPY_USE_CUDA_PYTHON=False, CUPY_CUFFT_STATIC=False, CUPY_HIP_VERSION=0,
                 CUPY_CYTHON_VERSION=Cython.__version__, CUPY_CUDA_VERSION=13020)
directives = {"linetrace": False, "profile": False, "embedsignature": True, "binding": False,
              "c_api_binop_methods": True, "warn.deprecated.IF": False,
              "freethreading_compatible": True}
options = CompilationOptions(cplus=True, language_level=3, compile_time_env=constants,
                             include_path=["."], compiler_directives=directives,
                             output_file=sys.argv[1])
result = compile("cupy_backends/cuda/api/runtime.pyx", options=options,
                 full_module_name="cupy_backends.cuda.api.runtime")
sys.exit(result.num_errors)
"""


def _runtime_object(folder: Path) -> Path:
    """CuPy's runtime module, not linked yet."""
    target = folder / "runtime.o"
    if target.exists():
        return target
    sources = _sources(folder)
    _run([sys.executable, "-c", _CYTHON, str(folder / "runtime.cpp")], sources)
    # A header that no wheel has, of which only two declarations are needed.
    (folder / "cuda_profiler_api.h").write_text(
        '#pragma once\nextern "C" {\nint cudaProfilerStart(void);\nint cudaProfilerStop(void);\n}\n'
    )
    own = sources / "cupy_backends"
    includes = [folder, sources, own, own / "cuda" / "api", sysconfig.get_path("include"),
                np.get_include()]  # fmt: skip
    _run(
        ["g++", "-O1", "-fPIC", "-w", *[f"-I{path}" for path in includes], *ingredients.headers(),
         "-c", "runtime.cpp", "-o", "runtime.o"],
        folder,
    )  # fmt: skip
    return target


def _device(folder: Path, runtime: Path) -> None:
    here = ingredients.FOLDER
    _run(
        ["g++", "-std=c++17", "-O1", "-g", "-fPIC", "-fpermissive", "-w", "-c", f"-I{here}",
         *ingredients.headers(), str(here / "device.cpp"), "-o", "device.o"],
        folder,
    )  # fmt: skip
    wanted = {s for s in _symbols(runtime, "--undefined-only") if re.match(r"cuda[A-Z]", s)}
    lacking = wanted - _symbols(folder / "device.o", "--defined-only")
    (folder / "device_stubs.c").write_text(_stubs(lacking, 801))
    _run(["gcc", "-fPIC", "-w", "-c", "device_stubs.c"], folder)
    _run(["g++", "-shared", "device.o", "device_stubs.o", f"-Wl,-soname,{DEVICE}", "-o", DEVICE,
          "-ldl"], folder)  # fmt: skip


def _linked(folder: Path) -> None:
    """The libraries that CuPy's modules link, each with the symbols that it asks for."""
    source = str(ingredients.FOLDER / "libraries.cpp")
    _run(["g++", "-std=c++17", "-O2", "-fPIC", "-w", "-c", source, "-o", "libraries.o"], folder)
    have = _symbols(folder / "libraries.o", "--defined-only")
    found = importlib.util.find_spec("cupy_backends")
    modules = Path(found.submodule_search_locations[0]) / "cuda" / "libs"
    for module, library in _LINKED.items():
        path = next(modules.glob(f"{module}.*.so"))
        wanted = {name.partition("@")[0] for name in _symbols(path, "-Du")}
        lacking = {name for name in wanted if name.startswith(module)} - have
        (folder / f"{module}.c").write_text(_stubs(lacking, 15))
        (folder / f"{module}.map").write_text(f"{library} {{ global: *; }};\n")
        _run(["gcc", "-fPIC", "-w", "-c", f"{module}.c"], folder)
        _run(
            ["g++", "-shared", "libraries.o", f"{module}.o", f"-Wl,-soname,{library}",
             f"-Wl,--version-script={module}.map", "-L.", f"-l:{DEVICE}", "-o", library],
            folder,
        )  # fmt: skip
    (folder / "nothing.c").write_text("int gpu_simulator_nothing;\n")
    for library in _EMPTY:
        _run(["gcc", "-shared", "-fPIC", "nothing.c", f"-Wl,-soname,{library}", "-o", library],
             folder)  # fmt: skip


def build() -> Path:
    """The folder with the simulated libraries, built if need be (about 20 s).

    Raises:
        Unavailable: something is missing; the message says what.
    """
    fault = ingredients.missing()
    if fault is not None:
        raise Unavailable(fault)
    folder = ingredients.cache()
    if (folder / "complete").exists():
        return folder
    runtime = _runtime_object(folder)
    _device(folder, runtime)
    _linked(folder)
    _run(["g++", "-shared", "runtime.o", "-L.", f"-l:{DEVICE}", "-o", "runtime.so"], folder)
    (folder / "complete").touch()
    return folder
