"""Files from the network, kept in a directory of the user's."""

from __future__ import annotations

import os
import tempfile
import urllib.parse
import warnings

from kbackend.base import config
from kbackend.utils import console
from kbackend.utils.archives import extract_archive
from kbackend.utils.download import download, matches_hash


def cache_home() -> str:
    """The directory that holds downloads: `$KERAS_CACHE`, `$KERAS_HOME`, or `~/.keras`."""
    return os.path.expanduser(
        os.environ.get("KERAS_CACHE") or os.path.dirname(config.config_path())
    )


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | list[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """Fetches a file, unless it is in the cache, and returns its path.

    A download that breaks off goes on where it stopped. A file appears in the cache only when it is
    complete and its hash is right.

    Args:
        fname: name in the cache; by default the last part of `origin`. For archives it is the
            name of the directory.
        origin: address of the file (`http`, `https`, `ftp`, `file`).
        untar: unpack a tar archive. Older spelling of `extract=True`.
        md5_hash: expected md5 hash. Older spelling of `file_hash`.
        file_hash: expected hash, sha256 or md5. Give it whenever you know it.
        cache_subdir: directory inside of `cache_dir`, or an absolute path.
        hash_algorithm: `"auto"`, `"sha256"` or `"md5"`.
        extract: unpack the archive; unsafe entries are an error.
        archive_format: `"auto"`, `"tar"`, `"zip"`, or `None` for no unpacking.
        cache_dir: by default `$KERAS_CACHE`, then `$KERAS_HOME`, then `~/.keras`; a directory of
            temporary files if that can't be written to.
        force_download: fetch the file although it is there.

    Returns:
        Path of the file, or of the directory that the archive was unpacked to.

    Raises:
        ValueError: an argument is wrong, the hash differs, or the archive is unsafe or damaged.
        OSError: the file can't be fetched, or the cache can't be written to.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "words.txt").write_text("one two")
        >>> path = get_file(origin=(folder / "words.txt").as_uri(), cache_dir=folder)
        Downloading data from file:...
        7/7 ...
        >>> pathlib.Path(path).read_text()
        'one two'
    """
    if origin is None:
        raise ValueError("[get_file] 'origin' is missing: give the address of the file.")
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    name = _cache_name(fname, origin)
    folder = _cache_folder(cache_dir, cache_subdir)
    archived = extract or untar
    path = os.path.join(folder, name)
    unpacked = path
    if archived and fname and "." in name:
        unpacked = os.path.join(folder, name[: name.find(".")] + "_extracted")
    elif archived:
        path += "_archive"
    fetched = _needs_download(path, file_hash, hash_algorithm, force_download)
    if fetched:
        console.write(f"Downloading data from {origin}")
        download(origin, path, file_hash, hash_algorithm, force=force_download)
    if not archived:
        return path
    if not fetched and os.path.isdir(unpacked):
        return unpacked  # it was moved into place whole
    if not extract_archive(path, unpacked, "tar" if untar else archive_format):
        warnings.warn(
            f"[get_file] {path} is no archive of format {archive_format!r}: it was not unpacked.",
            stacklevel=2,
        )
    return unpacked


def _cache_name(fname: str | os.PathLike[str] | None, origin: str) -> str:
    name = os.fspath(fname) if fname else ""
    if not name:
        name = os.path.basename(urllib.parse.unquote(urllib.parse.urlsplit(origin).path))
        if not name or name in (".", ".."):
            raise ValueError(
                f"[get_file] the address {origin!r} does not end in a file name. Give 'fname'."
            )
    if os.path.basename(name) != name or name in (".", ".."):
        raise ValueError(
            "[get_file] 'fname' must be a name without a path; 'cache_dir' and 'cache_subdir' say "
            f"where it lies. Received: fname={name!r}."
        )
    return name


def _cache_folder(cache_dir: str | os.PathLike[str] | None, subdir: str) -> str:
    base = os.path.expanduser(os.fspath(cache_dir)) if cache_dir is not None else cache_home()
    folder = os.path.join(base, subdir)
    try:
        os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
        problem = "it is read-only"
    except OSError as error:
        problem = str(error)
    if cache_dir is not None:
        raise OSError(
            f"[get_file] the cache directory {folder} can't be used: {problem}. "
            "Give another 'cache_dir'."
        )
    return _temporary_folder(subdir)


def _temporary_folder(subdir: str) -> str:
    # Private to the user: files that others could have put there must not be taken for ours.
    user = os.getuid() if hasattr(os, "getuid") else "user"
    base = os.path.join(tempfile.gettempdir(), f"kbackend-{user}")
    os.makedirs(base, mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and os.stat(base).st_uid != user:
        raise OSError(
            f"[get_file] the directory {base} belongs to somebody else. Set KERAS_HOME to a "
            "directory that can be written to."
        )
    folder = os.path.join(base, subdir)
    os.makedirs(folder, exist_ok=True)
    return folder


def _needs_download(path: str, file_hash: str | None, algorithm: str, force: bool) -> bool:
    if force or not os.path.exists(path):
        return True
    if file_hash is None or matches_hash(path, file_hash, algorithm):
        return False
    console.write(
        f"The file {path} is not the expected one (its hash differs from {file_hash}), so it is "
        "fetched again."
    )
    return True
