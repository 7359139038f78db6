"""`layers.serialize` and `layers.deserialize`."""

from __future__ import annotations

from typing import Any

from kbackend.base import serialization


def serialize(layer: Any) -> dict[str, Any]:
    """The configuration of a layer as plain data.

    Args:
        layer: the layer.

    Example:
        >>> import kbackend as keras
        >>> serialize(keras.layers.Dense(2))["class_name"]
        'Dense'
    """
    return serialization.serialize(layer)  # type: ignore[no-any-return]


def deserialize(config: dict[str, Any], custom_objects: Any = None) -> Any:
    """The layer that a configuration describes.

    Args:
        config: what `serialize` returned; "module" may be missing for the layers of kbackend.
        custom_objects: name -> class of the user's.

    Raises:
        ValueError: the configuration is no dict with "class_name" and "config".
        TypeError: there is no such layer.

    Example:
        >>> deserialize({"class_name": "Dense", "config": {"units": 2}}).units
        2
    """
    if not isinstance(config, dict) or not {"class_name", "config"} <= set(config):
        raise ValueError(
            "[layers.deserialize] a layer's config is a dict with 'class_name' and 'config'. "
            f"Received: {config!r}."
        )
    return serialization.deserialize({"module": "keras.layers", **config}, custom_objects)
