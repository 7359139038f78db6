"""From written code to addresses of machine code, by way of the cache on disk."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from kbackend_numba import cache
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.target import Target, host, machine

Write = Callable[[Code], None]


class Function:
    """A compiled function, which is written and compiled when its address is first asked for.

    Args:
        key: what it does, in a few words and numbers. Functions of one key are the same.
        write: writes it.
    """

    __slots__ = ("_address", "_write", "key")

    def __init__(self, key: tuple[Any, ...], write: Write) -> None:
        self.key, self._write = key, write
        self._address = 0

    @property
    def address(self) -> int:
        """Where its machine code begins."""
        if not self._address:
            (self._address,) = load(self.key, self._module)
        return self._address

    def _module(self, name: str) -> ir.Module:
        code = Code(name, host())
        self._write(code)
        return code.finish()


_lock = threading.Lock()
_functions: dict[tuple[Any, ...], Function] = {}
_addresses: dict[tuple[Any, ...], list[int]] = {}


def function(key: tuple[Any, ...], write: Write) -> Function:
    """The function of that key, which `write` writes if nobody has before.

    Args:
        key: name of the kernel and all that its code depends on: plain strings and numbers.
        write: called with the `Code` to fill.
    """
    found = _functions.get(key)
    if found is None:
        found = _functions[key] = Function(key, write)
    return found


def load(
    key: tuple[Any, ...], write: Callable[[str], ir.Module], suffixes: Sequence[str] = ("",)
) -> list[int]:
    """The addresses of the functions of a module.

    Args:
        key: what they do; see `function`.
        write: writes the module, whose functions are called by the given name and a suffix.
        suffixes: of the functions wanted.
    """
    with _lock:
        if key not in _addresses:
            name = cache.name_of(key, host())
            code = cache.kernels.read(name)
            if code is None:
                code = object_code(lambda: write(name), host())
                cache.kernels.write(name, code)
            _addresses[key] = _linker().add(code, [name + suffix for suffix in suffixes])
        return _addresses[key]


def object_code(make: Callable[[], ir.Module], target: Target) -> bytes:
    """The machine code of a module, as an object file.

    Args:
        make: writes the module.
        target: the CPU that it is for.
    """
    module = llvm.parse_assembly(str(make()))
    module.verify()
    generator = machine(target)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # Kernels say themselves what is a vector and what is unrolled.
    options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(generator, options)
    builder.getModulePassManager().run(module, builder)
    return bytes(generator.emit_object(module))


class _Linker:
    """Puts object files into memory that can be run."""

    def __init__(self) -> None:
        generator = machine(host())
        self._engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), generator)

    def add(self, code: bytes, names: Sequence[str]) -> list[int]:
        """The addresses of functions in an object file."""
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return [int(self._engine.get_function_address(name)) for name in names]


_the_linker: list[_Linker] = []


def _linker() -> _Linker:
    if not _the_linker:
        _the_linker.append(_Linker())
    return _the_linker[0]


# What a compiled function looks like from Python; the interpreter's lock is open while it runs.
PROTOTYPE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64
)
