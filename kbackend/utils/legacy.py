"""`keras.utils.legacy`: the short form of configs."""

from kbackend.utils.legacy_serialization import deserialize_keras_object, serialize_keras_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]
