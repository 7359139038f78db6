"""`model_from_json`: a model from its configuration as text."""

from __future__ import annotations

import json
from typing import Any

from kbackend.base.serialization import deserialize, object_sharing_scope


def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """The model that `Model.to_json` described, with new weights.

    Args:
        json_string: the text.
        custom_objects: name -> class or function of the user's that it refers to.

    Returns:
        The model.

    Raises:
        ValueError: the text is not JSON, or holds code.
        TypeError: a class or function in it is not known.

    Example:
        >>> import kbackend as keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model_from_json(model.to_json()).output_shape
        (None, 1)
    """
    try:
        config = json.loads(json_string)
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(
            f"[model_from_json] the text must be what Model.to_json() returned: {error}."
        ) from error
    with object_sharing_scope():
        return deserialize(config, custom_objects=custom_objects)
