"""Files on disk: whole new ones or none at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def checked_path(path: Any, owner: str, suffixes: tuple[str, ...]) -> Path:
    """`path` as a Path that ends in one of `suffixes`.

    Raises:
        ValueError: it is not a path, or ends otherwise.
    """
    try:
        text = os.fspath(path)
    except TypeError as error:
        raise ValueError(
            f"[{owner}] the file must be given by its path. Received: {path!r}."
        ) from error
    text = os.fsdecode(text)
    if not text.endswith(suffixes):
        raise ValueError(
            f"[{owner}] the file's name must end in {' or '.join(map(repr, suffixes))}. "
            f"Received: {text}."
        )
    return Path(text)


@contextmanager
def replacing(path: Path, owner: str, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path in the folder of `path`, which takes its place if all goes well.

    Raises:
        FileExistsError: the file exists and must not be overwritten.
        FileNotFoundError: its folder does not exist.
        IsADirectoryError: the path is a folder's.
    """
    if path.is_dir():
        raise IsADirectoryError(f"[{owner}] {path} is a folder. Give the name of a file.")
    if not overwrite and path.exists():
        raise FileExistsError(
            f"[{owner}] {path} exists. Pass overwrite=True to replace it, or choose another name."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"[{owner}] the folder {path.parent} does not exist. Make it before saving {path.name}."
        )
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
