"""`CallbackList`: several callbacks as one, skipping the methods that nobody overrides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.base import tree
from kbackend.callbacks.callback import Callback
from kbackend.callbacks.history import History
from kbackend.callbacks.progbar_logger import ProgbarLogger

_BATCH_METHODS = tuple(
    f"on_{kind}_batch_{when}" for kind in ("train", "test", "predict") for when in ("begin", "end")
)
_OTHER_METHODS = (
    "on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end", "on_test_begin",
    "on_test_end", "on_predict_begin", "on_predict_end",
)  # fmt: skip


def _overrides(callback: Any, method: str) -> bool:
    """Whether the callback does anything in `method`."""
    names = [method]
    if method.startswith("on_train_batch_"):
        names.append(method.replace("train_", ""))
    # A function kept on the instance, as LambdaCallback does, counts as well.
    return any(
        getattr(type(callback), name, None) is not getattr(Callback, name)
        or name in getattr(callback, "__dict__", ())
        for name in names
    )


class CallbackList(Callback):
    """Calls each of several callbacks in turn.

    Args:
        callbacks: list of callbacks (nested lists are fine), one callback, or `None`.
        add_history: whether to add a `History` if there is none.
        add_progbar: whether to add a `ProgbarLogger` if there is none.
        model: the model, for the callbacks.
        **params: what the callbacks' `set_params` gets.
    """

    _takes_tensors = True

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Any] = [] if callbacks is None else tree.flatten(callbacks)
        for callback in self.callbacks:
            if not hasattr(callback, "set_model"):
                raise ValueError(
                    "[CallbackList] 'callbacks' must be instances of Callback. Received: "
                    f"{callback!r} of type {type(callback).__name__}."
                )
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self._history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if add_history and self._history is None:
            self._history = History()
            self.callbacks.append(self._history)
        self._calls: dict[str, list[tuple[Callable[..., Any], bool]]] = {}
        self._index()
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    @classmethod
    def wrap(
        cls,
        callbacks: Any,
        model: Any,
        *,
        add_history: bool,
        verbose: int,
        epochs: int,
        steps: int | None,
    ) -> CallbackList:
        """`callbacks` itself if it is such a list already, else a new one around them."""
        if isinstance(callbacks, CallbackList):
            return callbacks
        return cls(
            callbacks, add_history=add_history, add_progbar=verbose != 0, model=model,
            verbose=verbose, epochs=epochs, steps=steps,
        )  # fmt: skip

    def _index(self) -> None:
        for method in (*_BATCH_METHODS, *_OTHER_METHODS):
            self._calls[method] = [
                (getattr(callback, method), getattr(callback, "_takes_tensors", False))
                for callback in self.callbacks
                if _overrides(callback, method)
            ]

    def append(self, callback: Any) -> None:
        """Adds a callback."""
        self.callbacks.append(callback)
        self._index()

    def set_params(self, params: dict[str, Any]) -> None:
        """Hands `params` to all."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Hands the model to all; the model gets the history."""
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def _batch(self, method: str, batch: int, logs: Any) -> None:
        calls = self._calls[method]
        if not calls:
            return
        floats = None
        for call, takes_tensors in calls:
            if takes_tensors or not logs:
                call(batch, logs=logs or {})
                continue
            if floats is None:
                floats = {key: _plain(value) for key, value in logs.items()}
            call(batch, logs=floats)

    def _moment(self, method: str, *args: Any, logs: Any) -> None:
        for call, _ in self._calls[method]:
            call(*args, logs=logs or {})

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of training."""
        self._batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of training."""
        self._batch("on_train_batch_end", batch, logs)

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of training."""
        self.on_train_batch_begin(batch, logs)

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of training."""
        self.on_train_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of evaluation."""
        self._batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of evaluation."""
        self._batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of prediction."""
        self._batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of prediction."""
        self._batch("on_predict_batch_end", batch, logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before an epoch."""
        self._moment("on_epoch_begin", epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After an epoch."""
        self._moment("on_epoch_end", epoch, logs=logs)

    def on_train_begin(self, logs: Any = None) -> None:
        """Before training."""
        self._moment("on_train_begin", logs=logs)

    def on_train_end(self, logs: Any = None) -> None:
        """After training."""
        self._moment("on_train_end", logs=logs)

    def on_test_begin(self, logs: Any = None) -> None:
        """Before an evaluation."""
        self._moment("on_test_begin", logs=logs)

    def on_test_end(self, logs: Any = None) -> None:
        """After an evaluation."""
        self._moment("on_test_end", logs=logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        """Before a prediction."""
        self._moment("on_predict_begin", logs=logs)

    def on_predict_end(self, logs: Any = None) -> None:
        """After a prediction."""
        self._moment("on_predict_end", logs=logs)


def _plain(value: Any) -> Any:
    """A tensor of one element as a Python float; other values as they are."""
    if hasattr(value, "engine") and value.size == 1:
        return float(value)
    return value.item() if isinstance(value, np.generic) else value
