"""The CPU that code is made for: its name, features and vector width."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm

from kbackend.base.errors import ConfigError


class Target(NamedTuple):
    """What code is made for.

    Attributes:
        triple: architecture, vendor and system, as LLVM names them.
        cpu: LLVM's name of the CPU.
        features: its features, as LLVM writes them.
        width: bytes in a vector register.
        registers: how many of them there are.
    """

    triple: str
    cpu: str
    features: str
    width: int
    registers: int

    def casts(self, dtype: str) -> bool:
        """Whether it has instructions for casts between a half precision and float32."""
        words = self.features.split(",")
        arm = self.triple.startswith(("aarch64", "arm64"))
        return dtype == "bfloat16" or (dtype == "float16" and (arm or "+f16c" in words))

    def lanes(self, itemsize: int = 4) -> int:
        """Elements of `itemsize` bytes in a vector."""
        return self.width // itemsize


def describe(triple: str, cpu: str, features: str) -> Target:
    """The target of that name; vectors are as wide as its features allow."""
    on = {word[1:] for word in features.split(",") if word.startswith("+")}
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= on:
        return Target(triple, cpu, features, 64, 32)
    if {"avx2", "fma"} <= on:
        return Target(triple, cpu, features, 32, 16)
    if triple.startswith(("aarch64", "arm64")):
        return Target(triple, cpu, features, 16, 32)
    return Target(triple, cpu, features, 16, 16)


# The levels of x86-64 by which operating systems and compilers name what many processors share, and
# the features of theirs that matter here.
_LEVELS = {
    "x86-64-v2": ("sse4.2",),
    "x86-64-v3": ("avx2", "fma", "f16c"),
    "x86-64-v4": ("avx512f", "avx512vl", "avx512dq", "avx512bw", "avx2", "fma", "f16c"),
}
_VARIABLE = "KBACKEND_CPU_LEVEL"


def at_level(target: Target, level: str) -> Target:
    """The target with nothing but what a level has, so that its code runs on all of that level.

    Args:
        target: a processor that has at least this.
        level: "x86-64-v2", "x86-64-v3" or "x86-64-v4".

    Raises:
        ConfigError: there is no such level, or the processor doesn't reach it.
    """
    if level not in _LEVELS:
        known = ", ".join(_LEVELS)
        raise ConfigError(
            f"[environment variable {_VARIABLE}] must be one of {known}. Received: {level!r}. Mend "
            "it, or unset it for what this processor has."
        )
    lacking = [name for name in _LEVELS[level] if f"+{name}" not in target.features.split(",")]
    if lacking:
        raise ConfigError(
            f"[environment variable {_VARIABLE}] asks for what this processor ({target.cpu}) "
            f"doesn't have: {', '.join(lacking)}. Received: {level!r}. Choose a lower level, or "
            "unset it."
        )
    return describe(target.triple, level, ",".join(f"+{name}" for name in _LEVELS[level]))


@cache
def initialize() -> None:
    """Makes LLVM ready to write code for this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def host() -> Target:
    """This machine, or the part of it that `KBACKEND_CPU_LEVEL` names."""
    initialize()
    features = llvm.get_host_cpu_features().flatten()
    found = describe(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)
    level = os.environ.get(_VARIABLE)
    return at_level(found, level) if level else found


def machine(target: Target) -> Any:
    """LLVM's code generator for a target."""
    initialize()
    # "large": code and its constants may be any distance apart. The linker puts them where there is
    # room, and large arrays may lie between; with other models it then ends the process.
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="static", codemodel="large", jit=True
    )


@cache
def second_cache() -> int:
    """Bytes of the second cache of a core, or a usual size where the system doesn't say."""
    name = "SC_LEVEL2_CACHE_SIZE"
    names = getattr(os, "sysconf_names", {})
    size = os.sysconf(name) if name in names else 0
    return size if size > 0 else 1 << 20
