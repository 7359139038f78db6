"""How layers are pickled: by what saves models, which is imported when it is first needed."""

from kbackend.base.lazy import attach

_TARGETS = {"reduce_object": "kbackend.saving.pickling:reduce_object"}

__getattr__, __dir__ = attach(__name__, _TARGETS)
