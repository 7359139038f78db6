"""`KerasFileEditor`: looks into a file of weights, and changes its objects and their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kbackend.saving.archive import CONFIG, METADATA, Archive
from kbackend.saving.paths import checked_path, replacing
from kbackend.saving.state import collect
from kbackend.saving.weights_store import Entry, WeightsFile, write_entries
from kbackend.utils import console

_WEIGHTS = ".weights.h5"


class KerasFileEditor:
    """The weights in a `.keras` or `.weights.h5` file, to be inspected, edited and saved anew.

    The file itself is not changed; `save` writes another one.

    Args:
        filepath: path of the file.

    Attributes:
        config: the model's configuration; `None` for a file of weights.
        metadata: what the file says of itself; `None` for a file of weights.

    Raises:
        ValueError: the file is damaged.
        FileNotFoundError: there is no such file.

    Example:
        >>> import kbackend as keras, tempfile
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.keras")
        ...     editor = KerasFileEditor(f"{folder}/model.keras")
        >>> editor.weights_dict["layers"]["dense"]["0"].shape
        (2, 1)
    """

    def __init__(self, filepath: Any) -> None:
        owner = type(self).__name__
        path = checked_path(filepath, owner, (".keras", _WEIGHTS))
        if not path.is_file():
            raise FileNotFoundError(f"[{owner}] there is no file {path}.")
        self.filepath = path
        self.config: dict[str, Any] | None = None
        self.metadata: dict[str, Any] | None = None
        if path.suffix == ".keras":
            with Archive(path, owner) as archive, archive.weights() as file:
                self.metadata, self.config = archive.json(METADATA), archive.json(CONFIG)
                self._entries = _read(file)
        else:
            with WeightsFile(path, str(path), owner) as file:
                self._entries = _read(file)

    @property
    def weights_dict(self) -> dict[str, Any]:
        """The weights in nested dicts, by the parts of the objects' paths."""
        nested: dict[str, Any] = {}
        for path, entry in self._entries.items():
            if not entry:
                continue
            inner = nested
            for part in filter(None, path.split("/")):
                inner = inner.setdefault(part, {})
            inner.update(entry)
        return nested

    def summary(self) -> None:
        """Prints the objects in the file, with their weights."""
        lines = [f"Keras model file '{self.filepath}'"]
        if self.metadata is not None:
            lines.append(
                f"Saved with Keras {self.metadata.get('keras_version')} - date: "
                f"{self.metadata.get('date_saved')}"
            )
        lines.append("Weights structure")
        for path, entry in sorted(self._entries.items()):
            if entry:
                lines.append(f"  {path or '(the model itself)'}")
                lines.extend(f"    {k}: shape={v.shape}, dtype={v.dtype}" for k, v in entry.items())
        console.write("\n".join(lines))

    def compare(self, reference_model: Any) -> dict[str, Any]:
        """Compares the file with a model, and prints the differences.

        Args:
            reference_model: model that is built.

        Returns:
            Dict of "status" ("success" or "error"), "error_count" and "match_count".
        """
        wanted = {path: entry for path, entry in collect(reference_model).items() if entry}
        problems: list[str] = []
        matches = 0
        for path in sorted(set(wanted) | {path for path, entry in self._entries.items() if entry}):
            ours, theirs = wanted.get(path), self._entries.get(path)
            # Keras's files have no seeds.
            if not theirs and path.split("/")[-1].startswith("seed_generator"):
                continue
            if ours is None or not theirs:
                where = "model" if ours is None else "file"
                problems.append(f"the {where} has no object '{path}'")
                continue
            for key in sorted(set(ours) | set(theirs)):
                if key not in ours or key not in theirs:
                    where = "model" if key not in ours else "file"
                    problems.append(f"the {where} has no weight '{key}' of '{path}'")
                elif ours[key].shape != theirs[key].shape:
                    problems.append(
                        f"'{path}/{key}' has the shape {theirs[key].shape} in the file and "
                        f"{ours[key].shape} in the model"
                    )
                else:
                    matches += 1
        verdict = "does not fit" if problems else "fits"
        lines = [f"The file {verdict} the model: {matches} weights match.", *problems]
        console.write("\n  ".join(lines))
        return {
            "status": "error" if problems else "success",
            "error_count": len(problems),
            "match_count": matches,
        }

    # ----- editing -----

    def _path_of(self, name: str) -> str:
        """The path of the only object of that path, or of that last part of a path."""
        if name in self._entries:
            return name
        found = [path for path in self._prefixes() if path == name or path.endswith(f"/{name}")]
        if len(found) != 1:
            problem = "no object" if not found else f"{len(found)} objects"
            known = ", ".join(sorted(path for path in self._entries if path))
            raise ValueError(
                f"[KerasFileEditor] there is {problem} called {name!r}. Give the whole path of "
                f"one of: {known}."
            )
        return found[0]

    def _prefixes(self) -> set[str]:
        found: set[str] = set()
        for path in self._entries:
            parts = path.split("/")
            found.update("/".join(parts[: i + 1]) for i in range(len(parts)))
        return found - {""}

    def _inside(self, path: str) -> list[str]:
        return [p for p in self._entries if p == path or p.startswith(f"{path}/")]

    def rename_object(self, object_name: str, new_name: str) -> None:
        """Gives an object, with all that is inside of it, another name.

        Args:
            object_name: its path, or the last part of it.
            new_name: the new last part.

        Raises:
            ValueError: there is no such object, or the name is taken.
        """
        path = self._path_of(object_name)
        if not new_name or "/" in new_name:
            raise ValueError(
                f"[KerasFileEditor] a name is a part of a path, without '/'. Received: "
                f"new_name={new_name!r}."
            )
        target = "/".join([*path.split("/")[:-1], new_name])
        if target in self._prefixes():
            raise ValueError(f"[KerasFileEditor] there is an object '{target}' already.")
        inside = set(self._inside(path))
        self._entries = {
            (target + p[len(path) :] if p in inside else p): entry
            for p, entry in self._entries.items()
        }

    def delete_object(self, object_name: str) -> None:
        """Removes an object, with all that is inside of it.

        Args:
            object_name: its path, or the last part of it.
        """
        for path in self._inside(self._path_of(object_name)):
            del self._entries[path]

    def add_object(self, object_path: str, weights: Mapping[str, Any]) -> None:
        """Adds an object.

        Args:
            object_path: its path, such as "layers/dense_3".
            weights: name ("0", "1", ...) -> array.

        Raises:
            ValueError: there is an object of that path.
        """
        if object_path in self._prefixes():
            raise ValueError(f"[KerasFileEditor] there is an object '{object_path}' already.")
        self._entries[object_path] = _entry(weights, object_path.split("/")[-1])

    def add_weights(self, object_name: str, weights: Mapping[str, Any]) -> None:
        """Adds weights to an object, or replaces them.

        Args:
            object_name: its path, or the last part of it.
            weights: name ("0", "1", ...) -> array.
        """
        path = self._path_of(object_name)
        self._entries.setdefault(path, Entry(path.split("/")[-1])).update(_entry(weights, None))

    def delete_weight(self, object_name: str, weight_name: str) -> None:
        """Removes a weight of an object.

        Args:
            object_name: its path, or the last part of it.
            weight_name: name of the weight ("0", "1", ...).

        Raises:
            ValueError: there is no such weight.
        """
        path = self._path_of(object_name)
        entry = self._entries.get(path, Entry())
        if weight_name not in entry:
            raise ValueError(
                f"[KerasFileEditor] '{path}' has no weight {weight_name!r}. It has: "
                f"{', '.join(entry)}."
            )
        del entry[weight_name]

    def save(self, filepath: Any) -> None:
        """Writes the edited weights to a file.

        Args:
            filepath: path that ends in ".weights.h5".
        """
        path: Path = checked_path(filepath, "KerasFileEditor", (_WEIGHTS,))
        with replacing(path, "KerasFileEditor") as temporary:
            write_entries(temporary, self._entries, "KerasFileEditor")

    def resave_weights(self, filepath: Any) -> None:
        """The same as `save`."""
        self.save(filepath)


def _entry(weights: Mapping[str, Any], name: str | None) -> Entry:
    entry = Entry(name)
    for key, value in weights.items():
        array = np.asarray(value)
        if array.dtype.kind == "O":
            raise ValueError(f"[KerasFileEditor] the weight {key!r} is no array: {value!r}.")
        entry[key] = array
    return entry


def _read(file: WeightsFile) -> dict[str, Entry]:
    return {path: _entry(file.entry(path), name) for path, name in file.paths().items()}
