"""Callbacks: what happens beside the training itself."""

from kbackend.base import lazy

_TARGETS = {
    "Callback": "kbackend.callbacks.callback:Callback",
    "CallbackList": "kbackend.callbacks.callback_list:CallbackList",
    "History": "kbackend.callbacks.history:History",
    "ProgbarLogger": "kbackend.callbacks.progbar_logger:ProgbarLogger",
}

__all__ = list(_TARGETS)

__getattr__, __dir__ = lazy.attach(__name__, _TARGETS)
