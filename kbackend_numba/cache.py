"""Names of compiled functions, under which they are kept on disk."""

from __future__ import annotations

import hashlib
import pathlib
from functools import cache
from typing import Any

import llvmlite

from kbackend.engine.disk_cache import DiskCache
from kbackend_numba.codegen.target import Target

kernels = DiskCache("numba")


@cache
def _fingerprint() -> str:
    """A digest of everything that decides what code is written, apart from key and target."""
    digest = hashlib.sha256(llvmlite.__version__.encode())
    for path in sorted(pathlib.Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def name_of(key: tuple[Any, ...], target: Target) -> str:
    """The name of a function.

    Args:
        key: what it does.
        target: the CPU that it is for.
    """
    words = repr((key, tuple(target), _fingerprint()))
    return f"k{hashlib.sha256(words.encode()).hexdigest()[:40]}"
