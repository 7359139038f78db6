"""Directories of files whose subdirectories are classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.base import config, dtypes
from kbackend.utils import console
from kbackend.utils.encoding import to_categorical
from kbackend.utils.sample_dataset import SampleDataset

_LABEL_MODES = ("int", "categorical", "binary", None)
_SUBSETS = ("training", "validation", "both")


def _walk(folder: str, suffixes: tuple[str, ...], follow_links: bool) -> list[str]:
    found = []
    for parent, _, names in sorted(os.walk(folder, followlinks=follow_links)):
        found += [
            os.path.join(parent, name)
            for name in sorted(names)
            if name.lower().endswith(suffixes) and not name.startswith(".")
        ]
    return found


def _classes(feature: str, directory: str, class_names: Any) -> list[str]:
    folders = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    folders = [name for name in folders if not name.startswith(".")]
    if class_names is None:
        return folders
    if sorted(class_names) != folders:
        raise ValueError(
            f"[{feature}] 'class_names' must name the subdirectories of {directory}. "
            f"Received: class_names={list(class_names)}; subdirectories: {folders}."
        )
    return list(class_names)


def index_directory(
    feature: str,
    directory: str,
    labels: Any,
    label_mode: str | None,
    class_names: Any,
    suffixes: tuple[str, ...],
    follow_links: bool,
) -> tuple[list[str], np.ndarray | None, list[str] | None]:
    """The files of a directory, their labels, and the names of the classes."""
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        raise ValueError(f"[{feature}] there is no directory {directory!r}.")
    if label_mode not in _LABEL_MODES:
        raise ValueError(
            f"[{feature}] 'label_mode' must be 'int', 'categorical', 'binary' or None. "
            f"Received: label_mode={label_mode!r}."
        )
    if labels is None or label_mode is None:
        if class_names is not None:
            raise ValueError(f"[{feature}] 'class_names' needs labels. Received: labels=None.")
        paths = _walk(directory, suffixes, follow_links)
        _check_found(feature, directory, paths, suffixes)
        return paths, None, None
    if isinstance(labels, str):
        if labels != "inferred":
            raise ValueError(
                f"[{feature}] 'labels' must be 'inferred', None, or a list with one label for each "
                f"file. Received: labels={labels!r}."
            )
        names = _classes(feature, directory, class_names)
        by_class = [_walk(os.path.join(directory, name), suffixes, follow_links) for name in names]
        paths = [path for found in by_class for path in found]
        _check_found(feature, directory, paths, suffixes)
        numbers = np.repeat(np.arange(len(names)), [len(found) for found in by_class])
    else:
        if class_names is not None:
            raise ValueError(
                f"[{feature}] 'class_names' can be given only with labels='inferred'. "
                f"Received: class_names={list(class_names)}."
            )
        paths = _walk(directory, suffixes, follow_links)
        _check_found(feature, directory, paths, suffixes)
        numbers = np.asarray(labels)
        if len(numbers) != len(paths):
            raise ValueError(
                f"[{feature}] 'labels' must have one entry for each file (sorted by path). "
                f"Received: {len(numbers)} labels for {len(paths)} files in {directory}."
            )
        names = [str(label) for label in sorted(set(numbers.tolist()))]
    if label_mode == "binary" and len(names) != 2:
        raise ValueError(
            f"[{feature}] label_mode='binary' needs exactly 2 classes. "
            f"Received: {len(names)} ({names})."
        )
    return paths, numbers, names


def _check_found(feature: str, directory: str, paths: list[str], suffixes: tuple[str, ...]) -> None:
    if not paths:
        raise ValueError(
            f"[{feature}] {directory} holds no file that ends in {', '.join(suffixes)} (in a "
            "subdirectory for each class, where labels are inferred)."
        )


def _encode(numbers: np.ndarray, label_mode: str | None, classes: int) -> np.ndarray:
    if label_mode == "categorical":
        return to_categorical(numbers, classes).astype("float32")
    if label_mode == "binary":
        return numbers.astype(dtypes.numpy_dtype(config.floatx()))[:, None]
    return numbers.astype("int32")


def _check_split(feature: str, split: Any, subset: Any, shuffle: bool, seed: Any) -> None:
    if split is not None and not 0 < split < 1:
        raise ValueError(
            f"[{feature}] 'validation_split' must lie between 0 and 1. "
            f"Received: validation_split={split}."
        )
    if (split is None) != (subset is None):
        raise ValueError(
            f"[{feature}] 'validation_split' and 'subset' go together. "
            f"Received: validation_split={split}, subset={subset!r}."
        )
    if subset is not None and subset not in _SUBSETS:
        raise ValueError(
            f"[{feature}] 'subset' must be 'training', 'validation' or 'both'. "
            f"Received: subset={subset!r}."
        )
    if split is not None and shuffle and seed is None and subset != "both":
        raise ValueError(
            f"[{feature}] give a 'seed' (or shuffle=False) with 'validation_split': without it the "
            "two subsets would share files."
        )


def folder_dataset(
    feature: str,
    read: Callable[[str], Any],
    directory: Any,
    labels: Any,
    label_mode: str | None,
    class_names: Any,
    suffixes: tuple[str, ...],
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    validation_split: float | None,
    subset: str | None,
    follow_links: bool,
    verbose: bool,
) -> Any:
    """The data set, or the pair of them, of the files of a directory; `read` reads one file."""
    _check_split(feature, validation_split, subset, shuffle, seed)
    paths, numbers, names = index_directory(
        feature, directory, labels, label_mode, class_names, suffixes, follow_links
    )
    if verbose:
        of = f" belonging to {len(names)} classes" if names is not None else ""
        console.write(f"Found {len(paths)} files{of}.")
    if seed is None:
        seed = int(np.random.randint(0, 2**31 - 1))
    order = np.arange(len(paths))
    if shuffle:
        order = np.random.Generator(np.random.Philox(key=seed % 2**64)).permutation(len(paths))
    encoded = None if numbers is None else _encode(numbers, label_mode, len(names or ()))

    def read_sample(i: int) -> Any:
        return read(paths[i]) if encoded is None else (read(paths[i]), encoded[i])

    def part(indices: np.ndarray) -> SampleDataset:
        dataset = SampleDataset(read_sample, indices, batch_size, shuffle=shuffle, seed=seed)
        dataset.class_names = names
        dataset.file_paths = [paths[i] for i in indices]
        return dataset

    if validation_split is None:
        return part(order)
    held = int(validation_split * len(paths))
    if held == 0 or held == len(paths):
        raise ValueError(
            f"[{feature}] {len(paths)} files are too few for validation_split={validation_split}."
        )
    parts = {"training": order[:-held], "validation": order[-held:]}
    if verbose:
        for name in _SUBSETS[:2] if subset == "both" else (subset,):
            console.write(f"Using {len(parts[str(name)])} files for {name}.")
    if subset == "both":
        return part(parts["training"]), part(parts["validation"])
    return part(parts[str(subset)])
