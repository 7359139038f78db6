"""Classes and functions by name: what serialized configs refer to.

Families (layers, losses, ...) register the public classes that they bring; users register theirs
with `register_keras_serializable` or within a `CustomObjectScope`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# "package>Name" -> object, and back
_registered: dict[str, Any] = {}
_names: dict[Any, str] = {}
_scope: ContextVar[dict[str, Any]] = ContextVar("kbackend_custom_objects", default={})  # noqa: B039 - never mutated


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[Any], Any]:
    """Decorator that lets saved configs refer to a class or function of the user's.

    Args:
        package: name of the package it belongs to.
        name: name within the package; that of the class by default.

    Returns:
        The decorator, which returns the class or function itself.

    Raises:
        ValueError: a class does not define `get_config`.

    Example:
        >>> @register_keras_serializable("docs")
        ... def shifted_relu(x):
        ...     return x
        >>> get_registered_name(shifted_relu)
        'docs>shifted_relu'
    """

    def decorate(obj: Any) -> Any:
        if inspect.isclass(obj) and not hasattr(obj, "get_config"):
            raise ValueError(
                f"[register_keras_serializable] {obj.__name__} must define get_config()."
            )
        full = f"{package}>{name or obj.__name__}"
        _registered[full] = obj
        _names[obj] = full
        return obj

    return decorate


def get_registered_name(obj: Any) -> str:
    """The name that `obj` was registered under, or its own name."""
    try:
        return _names.get(obj) or obj.__name__
    except TypeError:  # not hashable
        return str(obj.__name__)


def get_registered_object(
    name: str,
    custom_objects: dict[str, Any] | None = None,
    module_objects: dict[str, Any] | None = None,
) -> Any:
    """The class or function of that name, or `None`.

    Looks in the open `CustomObjectScope`s, the registered objects, `custom_objects` and
    `module_objects`, in this order.
    """
    for table in (_scope.get(), custom_objects or {}, _registered, module_objects or {}):
        if name in table:
            return table[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """The objects of the open scopes."""
    return _scope.get()


@contextmanager
def custom_object_scope(objects: dict[str, Any]) -> Iterator[None]:
    """Lets configs read inside refer to `objects` by name.

    Args:
        objects: name -> class or function.
    """
    token = _scope.set({**_scope.get(), **objects})
    try:
        yield
    finally:
        _scope.reset(token)
