"""Fetching one file: resumable, checked, and put in its place in one step."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from kbackend.utils.progress import Progbar

try:
    import fcntl

    def _exclusive(file: Any) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    _lock: Any = _exclusive
except ImportError:  # Windows has no such locks
    _lock = None

_CHUNK = 1 << 18
_TIMEOUT = 60.0
_ATTEMPTS = 4
_PAUSE = 1.0
_SCHEMES = ("http", "https", "ftp", "file")


def hash_file(path: str, algorithm: str = "sha256") -> str:
    """The hash of a file as hexadecimal digits.

    Args:
        path: the file.
        algorithm: `"sha256"`, `"md5"`, or another that `hashlib` knows; `"auto"` is sha256.

    Returns:
        The digest.

    Raises:
        ValueError: the algorithm is unknown.
    """
    name = "sha256" if algorithm == "auto" else algorithm
    if name not in hashlib.algorithms_available:
        raise ValueError(
            "[get_file] 'hash_algorithm' must be 'auto', 'sha256' or 'md5'. "
            f"Received: hash_algorithm={algorithm!r}."
        )
    digest = hashlib.new(name, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def matches_hash(path: str, expected: str, algorithm: str = "auto") -> bool:
    """Whether a file has the given hash. `"auto"` tells md5 from sha256 by the digits."""
    if algorithm == "auto":
        algorithm = "md5" if len(expected) == 32 else "sha256"
    return hash_file(path, algorithm) == expected.strip().lower()


def download(
    url: str,
    target: str,
    file_hash: str | None = None,
    hash_algorithm: str = "auto",
    force: bool = False,
) -> None:
    """Fetches `url` to the file `target`.

    What arrives is kept in `target` + `.part`, so that a broken download goes on where it stopped
    (in this call, or in a later one), as far as the server allows it. `target` appears, or is
    replaced, only when it is complete and its hash is right. Processes that want the same file
    wait for each other.

    Args:
        url: an `http`, `https`, `ftp` or `file` address.
        target: path of the file; its directory must exist.
        file_hash: the expected hash, or `None`.
        hash_algorithm: `"auto"`, `"sha256"` or `"md5"`.
        force: fetch although another process has just done so.

    Raises:
        ValueError: the address is of another kind, or the hash differs.
        OSError: the file can't be fetched.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise ValueError(
            f"[get_file] 'origin' must be a {', '.join(_SCHEMES)} address. Received: {url!r}."
        )
    part = target + ".part"
    began = time.time_ns()
    with _locked(part):
        if not force and _made_since(target, began):
            return
        resumed = _fetch(url, part, trusted=file_hash is not None)
        if file_hash is not None and not matches_hash(part, file_hash, hash_algorithm):
            _discard(part)
            if resumed:  # the beginning may have been of another version: once more, from zero
                _fetch(url, part, trusted=False)
            if not resumed or not matches_hash(part, file_hash, hash_algorithm):
                _discard(part)
                raise ValueError(
                    f"[get_file] the file fetched from {url} is incomplete or not the expected "
                    f"one: its hash differs from {file_hash}. Check the address and the hash."
                )
        os.replace(part, target)
        _remove(part + ".tag")


def _made_since(target: str, moment: int) -> bool:
    try:
        return os.stat(target).st_mtime_ns > moment
    except OSError:
        return False


@contextlib.contextmanager
def _locked(part: str) -> Iterator[None]:
    if _lock is None:
        yield
        return
    while True:
        file = open(part, "ab")  # noqa: SIM115 - held open for as long as the lock
        _lock(file)
        try:
            same = os.path.samestat(os.fstat(file.fileno()), os.stat(part))
        except FileNotFoundError:
            same = False
        if same:
            break
        file.close()  # whoever held the lock has moved the file away: begin again
    try:
        yield
    finally:
        if os.path.exists(part) and os.path.getsize(part) == 0:
            _discard(part)
        file.close()


def _discard(part: str) -> None:
    _remove(part)
    _remove(part + ".tag")


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _fetch(url: str, part: str, trusted: bool) -> bool:
    """Brings `part` to its full length; says whether an earlier beginning was kept."""
    resumed = False
    progress: dict[str, Any] = {}  # the bar, which goes on through all attempts
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _fetch_once(url, part, trusted, progress) or resumed
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 or attempt == _ATTEMPTS:
                raise OSError(
                    f"[get_file] {url} can't be fetched: the server answers {error.code} "
                    f"({error.reason})."
                ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            lost = isinstance(error, (ConnectionError, TimeoutError, http.client.HTTPException))
            if not lost or attempt == _ATTEMPTS:
                raise OSError(
                    f"[get_file] {url} can't be fetched: {reason}. Check the address and the "
                    "network; what has arrived is kept, and the next call goes on from there."
                ) from error
        resumed = resumed or (os.path.exists(part) and os.path.getsize(part) > 0)
        time.sleep(_PAUSE * attempt)
    return resumed


def _fetch_once(url: str, part: str, trusted: bool, progress: dict[str, Any]) -> bool:
    request = urllib.request.Request(url, headers={"User-Agent": "kbackend"})
    have = os.path.getsize(part) if os.path.exists(part) else 0
    tag = _read_tag(part)
    if have and (tag or trusted) and url.startswith("http"):
        request.add_header("Range", f"bytes={have}-")
        if tag:
            request.add_header("If-Range", tag)
    else:
        have = 0
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()  # nothing after what we have: it is complete, or of another version
        os.truncate(part, 0)
        return _fetch_once(url, part, trusted, progress)
    with response:
        start = _start_of_range(response)
        resumed = start is not None and start == have and have > 0
        if not resumed:
            have = 0
        _write_tag(part, response)
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with open(part, "r+b" if os.path.exists(part) else "w+b") as file:
            file.truncate(have)
            file.seek(have)
            _copy(response, file, have, total, progress)
    return resumed


def _copy(response: Any, file: Any, have: int, total: int | None, progress: dict[str, Any]) -> None:
    bar = progress.setdefault("bar", Progbar(total, unit_name="byte"))
    bar.target = total
    while block := response.read(_CHUNK):
        file.write(block)
        have += len(block)
        bar.update(have, finalize=False)
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")
    bar.update(have, finalize=True)


def _start_of_range(response: Any) -> int | None:
    if getattr(response, "status", None) != 206:
        return None
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None


def _read_tag(part: str) -> str | None:
    try:
        with open(part + ".tag", encoding="utf-8") as file:
            return file.read() or None
    except OSError:
        return None


def _write_tag(part: str, response: Any) -> None:
    """Keeps what tells this version of the file from the next, for a later `If-Range`."""
    tag = response.headers.get("ETag", "")
    if tag.startswith("W/"):  # weak tags may not be used with ranges
        tag = ""
    tag = tag or response.headers.get("Last-Modified", "")
    with open(part + ".tag", "w", encoding="utf-8") as file:
        file.write(tag)
