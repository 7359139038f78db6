"""The HDF5 file of weights: a group per object, with its variables under `vars`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kbackend.base.dtypes import NUMPY_DTYPES, name_of

# Compressed data may unpack to so many times its size; Keras does not compress.
_MOST_COMPRESSION = 64


def h5py_module(owner: str) -> Any:
    """The module `h5py`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ImportError(
            f"[{owner}] weights are kept in HDF5 files, which need h5py: pip install h5py"
        ) from error


class Entry(dict[str, np.ndarray]):
    """What one object puts into a file: name -> array.

    Args:
        name: name of the object, kept beside the arrays.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(str(key), np.asarray(value))


def write_entries(target: Any, entries: Mapping[str, Entry], owner: str = "save_weights") -> None:
    """Writes the entries, by path, into an HDF5 file.

    Args:
        target: path, or file object that can be written, read and searched.
        entries: path -> entry.
        owner: whom errors name.
    """
    h5py = h5py_module(owner)
    with h5py.File(target, "w") as file:
        for path, entry in entries.items():
            group = file.create_group(f"{path}/vars" if path else "vars")
            if entry.name is not None:
                group.attrs["name"] = entry.name
            for key, value in entry.items():
                if value.dtype.isbuiltin != 2:
                    group.create_dataset(key, data=value)
                    continue
                # HDF5 does not know such a type (bfloat16): its bytes are kept, and its name.
                raw = value.view(np.dtype(f"V{value.dtype.itemsize}"))
                group.create_dataset(key, data=raw).attrs["dtype"] = name_of(value.dtype)


class WeightsFile:
    """A weights file that is open for reading; use it in a `with` statement.

    Args:
        source: path, or file object.
        label: what errors call the file.
        owner: whom errors name.

    Raises:
        ValueError: it is not an HDF5 file, or damaged.
    """

    def __init__(self, source: Any, label: str, owner: str) -> None:
        self.label = label
        self.owner = owner
        self._h5py = h5py_module(owner)
        try:
            self._file = self._h5py.File(source, "r")
        except (OSError, RuntimeError, KeyError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise self.damaged(f"it is not a complete HDF5 file ({error})") from error

    def damaged(self, problem: str) -> ValueError:
        """The error for something wrong in the file."""
        return ValueError(
            f"[{self.owner}] {self.label} can't be read: {problem}. Save the weights again, or "
            "take another copy of the file."
        )

    def __enter__(self) -> WeightsFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def group(self, path: str) -> Any:
        """The group of that path, or `None`; links out of the file are refused."""
        group = self._file
        for part in path.split("/"):
            if part not in group:
                return None
            link = group.get(part, getlink=True)
            if not isinstance(link, self._h5py.HardLink):
                raise self.damaged(f"'{path}' is a link to another place")
            group = group[part]
            if not isinstance(group, self._h5py.Group):
                raise self.damaged(f"'{path}' is not a group")
        return group

    def entry(self, path: str) -> ReadEntry:
        """The variables under that path; empty if the file does not have it."""
        return ReadEntry(self, f"{path}/vars" if path else "vars")

    def paths(self) -> dict[str, str | None]:
        """Path of each object in the file -> the name that it had."""
        found: dict[str, str | None] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, self._h5py.Group) and name.split("/")[-1] == "vars":
                label = item.attrs.get("name")
                found[name[: -len("vars")].rstrip("/")] = None if label is None else str(label)

        self._file.visititems(visit)
        return found


class ReadEntry(Mapping[str, Any]):
    """The variables of one object in a file: key -> array, read and checked when asked for."""

    def __init__(self, file: WeightsFile, path: str) -> None:
        self._file = file
        self._path = path
        self._group = file.group(path)

    def __len__(self) -> int:
        return 0 if self._group is None else len(self._group)

    def __iter__(self) -> Iterator[str]:
        return iter(()) if self._group is None else iter(self._group)

    def __contains__(self, key: object) -> bool:
        return self._group is not None and key in self._group

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        if self._group is None or key not in self._group:
            raise KeyError(f"{self._file.label} has no '{self._path}/{key}'.")
        h5py = self._file._h5py
        link = self._group.get(key, getlink=True)
        dataset = self._group[key] if isinstance(link, h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise self._file.damaged(f"'{self._path}/{key}' is not data of this file")
        self._check_size(key, dataset)
        try:
            value = dataset[()]
        except (OSError, RuntimeError) as error:
            raise self._file.damaged(f"'{self._path}/{key}' is incomplete ({error})") from error
        dtype = dataset.attrs.get("dtype")
        if dtype is None:
            return np.asarray(value)
        if dtype not in NUMPY_DTYPES:
            raise self._file.damaged(f"'{self._path}/{key}' has the unknown dtype {dtype!r}")
        wanted = np.dtype(NUMPY_DTYPES[str(dtype)])
        raw = np.asarray(value)
        if raw.dtype.kind != "V":
            return raw.astype(wanted)
        if raw.dtype.itemsize != wanted.itemsize:
            raise self._file.damaged(f"'{self._path}/{key}' is not of dtype {dtype}")
        return raw.view(wanted)

    def _check_size(self, key: str, dataset: Any) -> None:
        """Refuses data that claims to be larger than what is there."""
        stored = dataset.id.get_storage_size()
        ratio = _MOST_COMPRESSION if dataset.compression is not None else 1
        if dataset.dtype.kind != "O" and dataset.nbytes > max(stored * ratio, 0):
            raise self._file.damaged(
                f"'{self._path}/{key}' claims the shape {dataset.shape}, but has {stored} bytes"
            )
