"""Callbacks: what happens beside the training itself."""

from kbackend.base import lazy

_TARGETS = {
    "BackupAndRestore": "kbackend.callbacks.backup_and_restore:BackupAndRestore",
    "CSVLogger": "kbackend.callbacks.csv_logger:CSVLogger",
    "Callback": "kbackend.callbacks.callback:Callback",
    "CallbackList": "kbackend.callbacks.callback_list:CallbackList",
    "EarlyStopping": "kbackend.callbacks.early_stopping:EarlyStopping",
    "History": "kbackend.callbacks.history:History",
    "LambdaCallback": "kbackend.callbacks.lambda_callback:LambdaCallback",
    "LearningRateScheduler": "kbackend.callbacks.learning_rate_scheduler:LearningRateScheduler",
    "ModelCheckpoint": "kbackend.callbacks.model_checkpoint:ModelCheckpoint",
    "MonitorCallback": "kbackend.callbacks.monitor_callback:MonitorCallback",
    "ProgbarLogger": "kbackend.callbacks.progbar_logger:ProgbarLogger",
    "ReduceLROnPlateau": "kbackend.callbacks.reduce_lr_on_plateau:ReduceLROnPlateau",
    "RemoteMonitor": "kbackend.callbacks.remote_monitor:RemoteMonitor",
    "SwapEMAWeights": "kbackend.callbacks.swap_ema_weights:SwapEMAWeights",
    "TensorBoard": "kbackend.callbacks.tensorboard:TensorBoard",
    "TerminateOnNaN": "kbackend.callbacks.terminate_on_nan:TerminateOnNaN",
}

__all__ = list(_TARGETS)

__getattr__, __dir__ = lazy.attach(__name__, _TARGETS)
