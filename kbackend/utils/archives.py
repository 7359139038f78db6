"""Unpacking archives that somebody else made."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
import zipfile

_FORMATS = ("tar", "zip")


def extract_archive(
    path: str, target: str, archive_format: str | list[str] | None = "auto"
) -> bool:
    """Unpacks an archive into a directory, all of it or nothing.

    The files are unpacked beside `target` and moved there in one step, in place of what was there.
    Entries that would land outside of `target` (absolute paths, `..`, links that lead out) and
    special files are an error.

    Args:
        path: the archive.
        target: the directory to make.
        archive_format: `"tar"` (with any compression), `"zip"`, `"auto"` for either, a list of
            these, or `None` for no unpacking at all.

    Returns:
        Whether the file is an archive of that kind, and was unpacked.

    Raises:
        ValueError: the format is unknown, or an entry is unsafe. Nothing is left behind.

    Example:
        >>> extract_archive("photos.bin", "photos", archive_format=None)
        False
    """
    if archive_format is None:
        return False
    if archive_format == "auto":
        wanted = list(_FORMATS)
    else:
        wanted = [archive_format] if isinstance(archive_format, str) else list(archive_format)
    for kind in wanted:
        if kind not in _FORMATS:
            raise ValueError(
                f"[get_file] 'archive_format' must be 'auto', 'tar', 'zip' or None. "
                f"Received: {kind!r}."
            )
    if "tar" in wanted and tarfile.is_tarfile(path):
        unpack = _unpack_tar
    elif "zip" in wanted and zipfile.is_zipfile(path):
        unpack = _unpack_zip
    else:
        return False
    if os.path.lexists(target) and not os.path.isdir(target):
        raise ValueError(
            f"[get_file] {target} is a file, so no archive can be unpacked there. Remove it, or "
            "give another 'fname'."
        )
    parent = os.path.dirname(os.path.abspath(target))
    os.makedirs(parent, exist_ok=True)
    fresh = tempfile.mkdtemp(dir=parent, prefix=f".{os.path.basename(target)}-")
    try:
        unpack(path, fresh)
        os.chmod(fresh, 0o755)  # mkdtemp makes it private
        if os.path.isdir(target) and not os.path.islink(target):
            old = tempfile.mkdtemp(dir=parent, prefix=".old-")
            os.replace(target, os.path.join(old, "content"))
            os.replace(fresh, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(fresh, target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return True


def _unpack_tar(path: str, target: str) -> None:
    try:
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
    except tarfile.FilterError as error:
        raise ValueError(
            f"[get_file] the archive {path} holds an unsafe entry and was not unpacked: {error}"
        ) from error
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(
            f"[get_file] the archive {path} is damaged: {error}. Delete it and fetch it again."
        ) from error


def _unpack_zip(path: str, target: str) -> None:
    root = os.path.realpath(target)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                goal = os.path.realpath(os.path.join(root, entry.filename))
                inside = goal == root or goal.startswith(root + os.sep)
                if not inside or stat.S_ISLNK(entry.external_attr >> 16):
                    raise ValueError(
                        f"[get_file] the archive {path} holds an unsafe entry and was not "
                        f"unpacked: {entry.filename!r} leads out of it."
                    )
            archive.extractall(target)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"[get_file] the archive {path} is damaged: {error}. Delete it and fetch it again."
        ) from error
