"""`Callback`: what is called while a model trains."""

from __future__ import annotations

from typing import Any


class Callback:
    """Base of all callbacks: override the methods for the moments of interest.

    Attributes:
        model: the model.
        params: dict with "epochs", "steps" and "verbose".

    Example:
        >>> import kbackend as keras
        >>> class Shout(keras.callbacks.Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         keras.utils.console.write(f"epoch {epoch}: {logs}")
    """

    # Whether the batch methods take logs that hold tensors. Others get Python floats.
    _takes_tensors = False

    def __init__(self) -> None:
        self.params: dict[str, Any] | None = None
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def set_model(self, model: Any) -> None:
        """Called with the model before everything else."""
        self._model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called with "epochs", "steps" and "verbose" before everything else."""
        self.params = params

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Other name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Other name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of training."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of training; `logs` has the metrics so far in this epoch."""
        self.on_batch_end(batch, logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After an epoch; `logs` has the metrics, those of validation as `val_...`."""

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of evaluation."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of evaluation."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of prediction."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of prediction; `logs["outputs"]` are its outputs."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Before training."""

    def on_train_end(self, logs: Any = None) -> None:
        """After training."""

    def on_test_begin(self, logs: Any = None) -> None:
        """Before an evaluation (or validation)."""

    def on_test_end(self, logs: Any = None) -> None:
        """After an evaluation (or validation)."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Any = None) -> None:
        """After a prediction."""
