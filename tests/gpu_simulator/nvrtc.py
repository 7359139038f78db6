"""CUDA text compiled for real architectures by NVRTC, which needs no driver and no device."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from tests.gpu_simulator import ingredients

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
_USED = re.compile(
    r"Compiling entry function '(\w+)'.*?"
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
    r"Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
    re.DOTALL,
)


class CompileError(RuntimeError):
    """NVRTC refuses a text."""


class Used(NamedTuple):
    """What a kernel takes.

    Attributes:
        registers: for each thread.
        spilled: bytes that find no register, for each thread.
        shared: bytes of static shared memory, for each block.
    """

    registers: int
    spilled: int
    shared: int


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(ingredients.nvrtc()))


def _check(code: int, what: str) -> None:
    if code:
        raise CompileError(f"{what} failed with code {code}")


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    library, size = _library(), ctypes.c_size_t()
    _check(getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), what)
    found = ctypes.create_string_buffer(size.value)
    _check(getattr(library, f"nvrtcGet{what}")(program, found), what)
    return found.raw


def compile(
    text: str, architecture: str, options: Sequence[str] = ()
) -> tuple[bytes, dict[str, Used]]:
    """The machine code of a text, and what each kernel takes; kept for the next time.

    Args:
        text: CUDA C++.
        architecture: such as "sm_90".
        options: further ones of NVRTC.

    Raises:
        CompileError: the text is no legal CUDA.
    """
    key = hashlib.sha256(repr((text, architecture, tuple(options))).encode()).hexdigest()
    kept = ingredients.cache() / "machine" / key
    if kept.exists():
        head, _, code = kept.read_bytes().partition(b"\n")
        return code, {name: Used(*used) for name, used in json.loads(head).items()}
    code, found = _compile(text, architecture, options)
    kept.parent.mkdir(exist_ok=True)
    aside = kept.with_suffix(f".{os.getpid()}")
    aside.write_bytes(json.dumps(found).encode() + b"\n" + code)
    os.replace(aside, kept)
    return code, found


def _compile(text: str, architecture: str, options: Sequence[str]) -> tuple[bytes, dict[str, Used]]:
    library, program = _library(), ctypes.c_void_p()
    given = [
        f"--gpu-architecture={architecture}", "--std=c++17", "--device-as-default-execution-space",
        "--ptxas-options=-v", *ingredients.headers(), *options,
    ]  # fmt: skip
    words = (ctypes.c_char_p * len(given))(*[option.encode() for option in given])
    made = library.nvrtcCreateProgram(
        ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None
    )
    _check(made, "nvrtcCreateProgram")
    try:
        code = library.nvrtcCompileProgram(program, len(given), words)
        log = _text(program, "ProgramLog").decode(errors="replace").strip("\0")
        if code:
            raise CompileError(log)
        used = {
            name: Used(int(registers), int(stores) + int(loads), int(shared or 0))
            for name, _, stores, loads, registers, shared in _USED.findall(log)
        }
        return _text(program, "CUBIN"), used
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
