"""What earlier versions of Keras had."""

from kbackend.base.lazy import attach

_TARGETS = {"saving": "kbackend.legacy.saving"}

__getattr__, __dir__ = attach(__name__, _TARGETS)
