"""Compiled kernels on disk, shared by all processes of a user.

A file holds one kernel behind its checksum: what is damaged, cut short or foreign is not used, and
made anew. Files are written aside and then renamed, so that nobody reads half of one.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import tempfile
import threading
from contextlib import suppress
from typing import NamedTuple

_MAGIC = b"kbackend-1\n"
_HEAD = len(_MAGIC) + hashlib.sha256().digest_size
_SUFFIX = ".kernel"
# Bytes for each engine.
LIMIT = 256 << 20


def root() -> pathlib.Path:
    """The folder of all caches: $KBACKEND_CACHE_DIR, else one in the user's folder for caches.

    >>> isinstance(root(), pathlib.Path)
    True
    """
    own = os.environ.get("KBACKEND_CACHE_DIR")
    if own:
        return pathlib.Path(own).expanduser()
    home = pathlib.Path.home()
    if os.name == "nt":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or home) / "kbackend" / "Cache"
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "kbackend"


class Info(NamedTuple):
    """What a cache holds.

    Attributes:
        name: the engine.
        folder: where its files are.
        files: how many kernels.
        size: bytes that they take.
        limit: bytes that they may take.
    """

    name: str
    folder: pathlib.Path
    files: int
    size: int
    limit: int


class DiskCache:
    """The kernels of one engine. Those that were not used for longest go when it is full.

    Args:
        name: the engine.
        limit: bytes that the files may take.
    """

    def __init__(self, name: str, limit: int = LIMIT) -> None:
        self.name, self.limit = name, limit
        self._trimmed = False
        self._lock = threading.Lock()

    @property
    def folder(self) -> pathlib.Path:
        """Where the files are."""
        return root() / self.name

    def _path(self, key: str) -> pathlib.Path:
        return self.folder / (key + _SUFFIX)

    def read(self, key: str) -> bytes | None:
        """The kernel of that name, or `None` if there is no sound file.

        Args:
            key: letters and digits.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        kernel = content[_HEAD:]
        if content[:_HEAD] != _head(key, kernel):
            return None
        # Its age tells when it was last used.
        with suppress(OSError):
            os.utime(path)
        return kernel

    def write(self, key: str, kernel: bytes) -> None:
        """Keeps a kernel. Where nothing can be written, nothing is kept.

        Args:
            key: letters and digits.
            kernel: what `read` shall return.
        """
        with suppress(OSError):
            # What is run later must not be anybody else's to change.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_head(key, kernel) + kernel)
                os.replace(aside, self._path(key))
            except OSError:
                os.unlink(aside)
                raise
            self._trim()

    def info(self) -> Info:
        """What the cache holds."""
        found = self._files()
        size = sum(size for _, size, _ in found)
        return Info(self.name, self.folder, len(found), size, self.limit)

    def clear(self) -> int:
        """Deletes all kernels; how many there were."""
        found = self._files()
        for path, _, _ in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _trim(self) -> None:
        """Keeps to the limit; looked at once by each process."""
        with self._lock:
            if self._trimmed:
                return
            self._trimmed = True
        found = sorted(self._files(), key=lambda file: file[2])
        size = sum(size for _, size, _ in found)
        for path, own, _ in found:
            if size <= self.limit:
                return
            with suppress(OSError):
                path.unlink()
            size -= own

    def _files(self) -> list[tuple[pathlib.Path, int, float]]:
        found = []
        for path in self.folder.glob("*" + _SUFFIX):
            with suppress(OSError):
                stat = path.stat()
                found.append((path, stat.st_size, stat.st_mtime))
        return found


def _head(key: str, kernel: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(key.encode() + b"\n" + kernel).digest()


def caches() -> list[DiskCache]:
    """The caches that there are on disk.

    >>> all(isinstance(cache, DiskCache) for cache in caches())
    True
    """
    place = root()
    if not place.is_dir():
        return []
    return [DiskCache(path.name) for path in sorted(place.iterdir()) if path.is_dir()]
