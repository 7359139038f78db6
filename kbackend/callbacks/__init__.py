"""Callbacks: what happens beside the training itself."""

from kbackend.base import lazy

_TARGETS = {
    "Callback": "kbackend.callbacks.callback:Callback",
    "CallbackList": "kbackend.callbacks.callback_list:CallbackList",
    "EarlyStopping": "kbackend.callbacks.early_stopping:EarlyStopping",
    "History": "kbackend.callbacks.history:History",
    "LambdaCallback": "kbackend.callbacks.lambda_callback:LambdaCallback",
    "ModelCheckpoint": "kbackend.callbacks.model_checkpoint:ModelCheckpoint",
    "MonitorCallback": "kbackend.callbacks.monitor_callback:MonitorCallback",
    "ProgbarLogger": "kbackend.callbacks.progbar_logger:ProgbarLogger",
    "ReduceLROnPlateau": "kbackend.callbacks.reduce_lr_on_plateau:ReduceLROnPlateau",
}

__all__ = sorted(_TARGETS)

__getattr__, __dir__ = lazy.attach(__name__, _TARGETS)
