"""The state of an object as entries of a file, and back: all of it, or nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kbackend.optimizers.optimizer import Optimizer
from kbackend.saving.walk import objects_with_state
from kbackend.saving.weights_store import Entry, WeightsFile
from kbackend.state.seed import SeedGenerator

# An optimizer that has not been built has its counter and its learning rate.
_UNBUILT = 2


def collect(root: Any) -> dict[str, Entry]:
    """Path -> entry, for `root` and all objects with state inside."""
    entries: dict[str, Entry] = {}
    for path, obj in objects_with_state(root).items():
        entry = Entry(getattr(obj, "name", None))
        if isinstance(obj, SeedGenerator):
            entry["0"] = obj.state
        elif hasattr(obj, "save_own_variables"):
            obj.save_own_variables(entry)
        else:
            continue
        entries[path] = entry
    return entries


def save_assets(root: Any, folder: Path) -> None:
    """Lets the objects inside of `root` write their files into folders named by their paths."""
    for path, obj in objects_with_state(root).items():
        if hasattr(obj, "save_assets"):
            own = folder / path
            own.mkdir(parents=True, exist_ok=True)
            obj.save_assets(str(own))


def has_assets(root: Any) -> bool:
    """Whether an object inside of `root` brings files of its own."""
    return any(hasattr(obj, "save_assets") for obj in objects_with_state(root).values())


def load_assets(root: Any, folder: Path) -> None:
    """Lets the objects inside of `root` read their files."""
    for path, obj in objects_with_state(root).items():
        if hasattr(obj, "load_assets") and (folder / path).is_dir():
            obj.load_assets(str(folder / path))


@contextmanager
def unchanged_on_failure(root: Any) -> Iterator[None]:
    """Puts the values of all variables inside of `root` back if an error is raised inside."""
    before = []
    for obj in objects_with_state(root).values():
        if isinstance(obj, SeedGenerator):
            before.append((obj.state, obj.state.value))
        else:
            before.extend((v, v.value) for v in getattr(obj, "variables", ()))
    try:
        yield
    except BaseException:
        for variable, value in before:
            variable.assign(value)
        raise


def restore(
    root: Any, file: WeightsFile, skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Sets the state of `root` from a file.

    Args:
        root: object whose variables are set.
        file: open file.
        skip_mismatch: whether objects that the file does not fit keep their state, with a warning.
        by_name: whether objects are found in the file by their names, and others left as they are.

    Raises:
        ValueError: the file does not fit; nothing is changed then.
    """
    names = {name: path for path, name in file.paths().items()} if by_name else {}
    problems: list[str] = []
    with unchanged_on_failure(root):
        for path, obj in objects_with_state(root).items():
            if by_name:
                name = getattr(obj, "name", None)
                if name not in names:
                    continue
                path = names[name]
            problem = _restore_one(obj, file, path)
            if problem is not None:
                problems.append(problem)
        if problems and not skip_mismatch:
            shown = "\n".join(f"  {problem}" for problem in problems[:10])
            more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
            raise ValueError(
                f"[{file.owner}] {file.label} does not fit '{_label(root)}', which was left as it "
                f"was:\n{shown}{more}\nMake the model with the layers that it was saved with, or "
                "pass skip_mismatch=True to load what fits."
            )
    for problem in problems:
        warnings.warn(f"[{file.owner}] kept the state of an object: {problem}", stacklevel=4)


def _label(obj: Any) -> str:
    return str(getattr(obj, "name", None) or type(obj).__name__)


def _restore_one(obj: Any, file: WeightsFile, path: str) -> str | None:
    """Sets the state of one object; what was wrong, or `None`."""
    entry = file.entry(path)
    try:
        if isinstance(obj, SeedGenerator):
            # Keras does not keep seeds: a generator that the file lacks goes on with its own.
            if "0" in entry:
                obj.state.assign(entry["0"])
        elif isinstance(obj, Optimizer) and len(entry) <= _UNBUILT < len(obj.variables):
            # It had made no step, and has nothing to go on from.
            return None
        elif hasattr(obj, "load_own_variables"):
            if len(entry) or getattr(obj, "variables", True):
                obj.load_own_variables(entry)
    except (ValueError, KeyError, TypeError) as error:
        return f"'{path or _label(obj)}': {error}"
    return None
