"""Layers and models through `pickle` and `copy.deepcopy`, by the bytes of their `.keras` files."""

from __future__ import annotations

import inspect
import io
from typing import Any

from kbackend.base import tree
from kbackend.base.registry import get_registered_name
from kbackend.saving.model_file import dump_model, read_model
from kbackend.saving.walk import objects_with_state


def reduce_object(obj: Any) -> tuple[Any, tuple[bytes, dict[str, Any]]]:
    """What `__reduce__` of a layer returns: bytes, and the user's classes and functions in them."""
    buffer = io.BytesIO()
    dump_model(obj, buffer)
    return restore_object, (buffer.getvalue(), _users_objects(obj))


def restore_object(data: bytes, custom_objects: dict[str, Any]) -> Any:
    """The layer or model of `reduce_object`'s answer.

    A pickle can run code anyhow, so that code in the configuration is not refused.
    """
    return read_model(io.BytesIO(data), custom_objects, safe_mode=False, label="the pickled model")


def _users_objects(root: Any) -> dict[str, Any]:
    """Name in a config -> class or function, of those within `root` that are not kbackend's."""
    found: dict[str, Any] = {}
    for obj in objects_with_state(root).values():
        candidates = [obj]
        for value in list(vars(obj).values()):
            candidates.extend(tree.iter_leaves(value))
        for candidate in candidates:
            plain = inspect.isfunction(candidate) and candidate.__name__ != "<lambda>"
            named = candidate if plain or inspect.isclass(candidate) else type(candidate)
            if not plain and not hasattr(named, "get_config"):
                continue
            if not named.__module__.startswith("kbackend."):
                found[get_registered_name(named)] = named
                found[named.__name__] = named
    return found
