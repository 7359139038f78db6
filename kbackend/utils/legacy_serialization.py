"""The short form of configs that versions of Keras before 3 wrote: class name and config."""

from __future__ import annotations

from typing import Any

from kbackend.base.registry import get_registered_name
from kbackend.base.serialization import deserialize


def serialize_keras_object(instance: Any) -> Any:
    """An object as `{"class_name": ..., "config": ...}`, or a function as its name.

    Args:
        instance: object with `get_config`, function, or `None`.

    Raises:
        ValueError: it is none of these.

    Example:
        >>> import kbackend as keras
        >>> serialize_keras_object(keras.initializers.Zeros())
        {'class_name': 'Zeros', 'config': {}}
    """
    if instance is None:
        return None
    if hasattr(instance, "get_config"):
        return {
            "class_name": get_registered_name(type(instance)),
            "config": instance.get_config(),
        }
    if hasattr(instance, "__name__"):
        return get_registered_name(instance)
    raise ValueError(f"[serialize_keras_object] {instance!r} has neither get_config() nor a name.")


def deserialize_keras_object(
    identifier: Any,
    module_objects: Any = None,
    custom_objects: Any = None,
    printable_module_name: str = "object",
) -> Any:
    """The object that `serialize_keras_object` described.

    Args:
        identifier: the description; a function's name; `None`.
        module_objects: name -> class or function of the family that it belongs to.
        custom_objects: name -> class or function of the user's.
        printable_module_name: what a member of the family is called in errors.

    Raises:
        ValueError: there is no such object.
    """
    if identifier is None:
        return None
    try:
        found = deserialize(identifier, custom_objects, module_objects)
    except TypeError as error:
        raise ValueError(f"Unknown {printable_module_name}: {error}") from error
    if isinstance(found, str):
        raise ValueError(
            f"Unknown {printable_module_name} {identifier!r}. Pass it in custom_objects."
        )
    return found
