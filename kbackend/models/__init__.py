"""Models: layers that can be trained, saved and summarized."""

from kbackend.base import lazy

_TARGETS = {
    "Functional": "kbackend.models.functional:Functional",
    "Model": "kbackend.models.functional:Model",
    "Sequential": "kbackend.models.sequential:Sequential",
    "clone_model": "kbackend.models.cloning:clone_model",
    "load_model": "kbackend.saving:load_model",
    "model_from_json": "kbackend.models.json:model_from_json",
    "save_model": "kbackend.saving:save_model",
}

__all__ = list(_TARGETS)

__getattr__, __dir__ = lazy.attach(__name__, _TARGETS)
