"""Compiled functions on disk, shared by all processes of a user.

A file holds one function's object code behind its checksum: what is damaged, cut short or foreign
is compiled anew. Files are written aside and then renamed, so that nobody reads half of one.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import tempfile
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import llvmlite

from kbackend_numba.codegen.target import Target

_MAGIC = b"kbackend-1\n"
_SUFFIX = ".kbo"
# Bytes; the files that were not used for longest go first.
_LIMIT = 256 << 20


def folder() -> pathlib.Path:
    """Where the files are: $KBACKEND_CACHE_DIR, else a folder of the user's cache."""
    own = os.environ.get("KBACKEND_CACHE_DIR")
    if own:
        return pathlib.Path(own).expanduser() / "numba"
    if os.name == "nt":
        base = pathlib.Path(os.environ.get("LOCALAPPDATA") or pathlib.Path.home())
        return base / "kbackend" / "Cache" / "numba"
    home = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(home) if home else pathlib.Path.home() / ".cache") / "kbackend" / "numba"


@cache
def _fingerprint() -> str:
    """A digest of everything that decides what code is written, apart from key and target."""
    digest = hashlib.sha256(llvmlite.__version__.encode())
    for path in sorted(pathlib.Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def name_of(key: tuple[Any, ...], target: Target) -> str:
    """The name of a function, which is also that of its file."""
    words = repr((key, tuple(target), _fingerprint()))
    return f"k{hashlib.sha256(words.encode()).hexdigest()[:40]}"


def read(name: str) -> bytes | None:
    """The object code of a function, or `None` if there is no sound file."""
    path = folder() / (name + _SUFFIX)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + 32
    code = content[head:]
    if content[:head] != _MAGIC + hashlib.sha256(name.encode() + code).digest():
        return None
    # Its age tells when it was last used.
    with suppress(OSError):
        os.utime(path)
    return code


def write(name: str, code: bytes) -> None:
    """Keeps a function. Where nothing can be written, nothing is kept."""
    place = folder()
    content = _MAGIC + hashlib.sha256(name.encode() + code).digest() + code
    with suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=place, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(aside, place / (name + _SUFFIX))
        except OSError:
            os.unlink(aside)
            raise


class Info(NamedTuple):
    """What the cache holds.

    Attributes:
        folder: where it is.
        files: how many functions there are.
        size: bytes that they take.
        limit: bytes that they may take.
    """

    folder: pathlib.Path
    files: int
    size: int
    limit: int


def info() -> Info:
    """What the cache holds."""
    found = _files()
    return Info(folder(), len(found), sum(size for _, size, _ in found), _LIMIT)


def clear() -> int:
    """Deletes all files; how many there were."""
    found = _files()
    for path, _, _ in found:
        path.unlink(missing_ok=True)
    return len(found)


def trim() -> None:
    """Deletes the files that were not used for longest, until the rest keeps to the limit."""
    found = sorted(_files(), key=lambda file: file[2])
    size = sum(size for _, size, _ in found)
    for path, own, _ in found:
        if size <= _LIMIT:
            return
        with suppress(OSError):
            path.unlink()
        size -= own


def _files() -> list[tuple[pathlib.Path, int, float]]:
    found = []
    for path in folder().glob("*" + _SUFFIX):
        with suppress(OSError):
            stat = path.stat()
            found.append((path, stat.st_size, stat.st_mtime))
    return found
