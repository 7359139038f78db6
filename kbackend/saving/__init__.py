"""Saving and loading: whole models, weights, and the configs that describe objects."""

from kbackend.base import lazy

_TARGETS = {
    "CustomObjectScope": "kbackend.base.registry:custom_object_scope",
    "KerasFileEditor": "kbackend.saving.file_editor:KerasFileEditor",
    "custom_object_scope": "kbackend.base.registry:custom_object_scope",
    "deserialize_keras_object": "kbackend.base.serialization:deserialize",
    "get_custom_objects": "kbackend.base.registry:get_custom_objects",
    "get_registered_name": "kbackend.base.registry:get_registered_name",
    "get_registered_object": "kbackend.base.registry:get_registered_object",
    "load_model": "kbackend.saving.model_file:load_model",
    "load_weights": "kbackend.saving.model_weights:load_weights",
    "register_keras_serializable": "kbackend.base.registry:register_keras_serializable",
    "save_model": "kbackend.saving.model_file:save_model",
    "save_weights": "kbackend.saving.model_weights:save_weights",
    "serialize_keras_object": "kbackend.base.serialization:serialize",
}

__all__ = [*_TARGETS]  # noqa: PLE0604 (the names are strings)

__getattr__, __dir__ = lazy.attach(__name__, _TARGETS)
