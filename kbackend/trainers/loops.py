"""The loops of fit, evaluate and predict over batches and epochs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from kbackend.base import flags, tree
from kbackend.callbacks.callback_list import CallbackList
from kbackend.compiler.compiled import Compiled
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import Tensor, uploaded
from kbackend.state.seed import make_default_seed
from kbackend.trainers.ahead import Ahead
from kbackend.trainers.data import (
    ArrayAdapter,
    Epochs,
    class_weight_to_sample_weight,
    get_adapter,
    train_validation_split,
    unpack_x_y_sample_weight,
)
from kbackend.trainers.results import Results


def to_device(batch: Any, fresh: bool = False, shared: bool = False) -> Any:
    """A host batch as tensors on the current engine.

    Args:
        batch: tuple of arrays, or of structures of arrays.
        fresh: whether arrays that are no views were made for this batch, and may be kept.
        shared: whether the tensors may have the memory of the arrays, since nobody keeps them.
    """

    def convert(leaf: Any) -> Any:
        if leaf.__class__ is np.ndarray:
            if leaf.dtype.kind in "OUS":
                return leaf
            return uploaded(leaf, copy=not (shared or fresh and leaf.base is None))
        return leaf if leaf is None or leaf.__class__ is Tensor else to_tensor(leaf)

    return tuple(
        [
            convert(part) if part.__class__ is np.ndarray else tree.map_structure(convert, part)
            for part in batch
        ]
    )


def as_floats(logs: Any) -> dict[str, Any]:
    """Logs with Python floats (arrays where a value is not a scalar)."""

    def convert(value: Any) -> Any:
        if hasattr(value, "numpy") or isinstance(value, np.ndarray):
            array = np.asarray(value)
            return float(array) if array.size == 1 else array
        return value

    return {key: convert(logs[key]) for key in sorted(logs)}


def single_batch(x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
    """One batch given by hand, as tensors."""
    if class_weight is not None:
        if sample_weight is not None:
            raise ValueError(
                "[train_on_batch] give either 'sample_weight' or 'class_weight', not both."
            )
        sample_weight = class_weight_to_sample_weight(y, class_weight)
    return tuple(
        None if part is None else tree.map_structure(to_tensor, part)
        for part in (x, y, sample_weight)
    )


def _verbosity(verbose: Any) -> int:
    if verbose == "auto":
        return 1
    if verbose not in (0, 1, 2, True, False):
        raise ValueError(f"'verbose' must be 0, 1, 2 or 'auto'. Received: verbose={verbose!r}.")
    return int(verbose)


def _check_logs(logs: Any) -> Any:
    if not isinstance(logs, dict):
        raise ValueError(
            "[fit] train_step() and test_step() must return a dict of metrics. Received: "
            f"{type(logs).__name__}."
        )
    return logs


def fit(
    model: Any,
    x: Any,
    y: Any,
    *,
    batch_size: int | None,
    epochs: int,
    verbose: Any,
    callbacks: Any,
    validation_split: float,
    validation_data: Any,
    shuffle: Any,
    class_weight: Any,
    sample_weight: Any,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    validation_batch_size: int | None,
    validation_freq: Any,
) -> Any:
    """Trains `model`; see `Trainer.fit`."""
    if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 0:
        raise ValueError(f"[fit] 'epochs' must be a non-negative integer. Received: {epochs!r}.")
    if validation_split and validation_data is None:
        (x, y, sample_weight), validation_data = train_validation_split(
            (x, y, sample_weight), validation_split
        )
    _check_frequency(validation_freq)
    limit = flags.max_epochs()
    epochs = epochs if limit is None else min(epochs, initial_epoch + limit)
    adapter = get_adapter(
        x, y, sample_weight, batch_size=batch_size, steps_per_epoch=steps_per_epoch,
        shuffle=shuffle, class_weight=class_weight, seed=make_default_seed(),
    )  # fmt: skip
    passes = Epochs(adapter, _limited(steps_per_epoch, adapter), initial_epoch)
    validation = None
    if validation_data is not None:
        val_x, val_y, val_weight = _validation_parts(validation_data)
        validation = get_adapter(
            val_x, val_y, val_weight,
            batch_size=validation_batch_size or batch_size, steps_per_epoch=validation_steps,
        )  # fmt: skip
    hooks = CallbackList.wrap(
        callbacks, model, add_history=True, verbose=_verbosity(verbose), epochs=epochs,
        steps=passes.num_batches,
    )  # fmt: skip
    model.stop_training = False
    model._initial_epoch = None
    logs: dict[str, Any] = {}
    first = _built_on_first_batch(model, passes)
    try:
        hooks.on_train_begin()
        if model._initial_epoch is not None:
            # A callback has restored an earlier training, and says how far it was.
            initial_epoch = model._initial_epoch
            passes.close()
            first, passes = None, Epochs(adapter, passes.steps_per_epoch, initial_epoch)
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            hooks.on_epoch_begin(epoch)
            step_logs = _train_epoch(model, first or passes.epoch(), hooks, _is_fresh(adapter))
            first = None
            logs = as_floats(step_logs)
            if validation is not None and _validate_now(epoch, validation_freq):
                found = evaluate(
                    model, validation, None, batch_size=None, verbose=0, sample_weight=None,
                    steps=validation_steps, callbacks=hooks,
                )  # fmt: skip
                logs.update({f"val_{name}": value for name, value in found.items()})
            hooks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
    finally:
        passes.close()
    if model.optimizer is not None and epochs > 0:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    hooks.on_train_end(logs)
    return model.history


def _limited(steps: int | None, adapter: Any) -> int | None:
    """`steps`, cut to the configured maximum."""
    limit = flags.max_steps_per_epoch()
    if limit is None:
        return steps
    known = steps or adapter.num_batches
    return limit if known is None else min(limit, known)


def _built_on_first_batch(model: Any, passes: Epochs) -> Any:
    """Builds model and optimizer, so that callbacks find weights when training begins.

    Returns:
        The first epoch, if its first batch had to be looked at; else `None`.
    """
    epoch = None
    if not model.built:
        steps = passes.epoch()
        start = next(steps, None)
        epoch = itertools.chain(() if start is None else (start,), steps)
        if start is not None:
            x, _, _ = unpack_x_y_sample_weight(start[1])
            # A model that can't be built on shapes alone is built by its first step.
            with contextlib.suppress(Exception):
                model.build(tree.map_structure(lambda leaf: (None, *leaf.shape[1:]), x))
    optimizer = model.optimizer
    if not getattr(optimizer, "built", True) and all(
        layer.built for layer in model._flatten_layers()
    ):
        optimizer.build(model.trainable_variables)
    return epoch


def _is_fresh(adapter: Any) -> bool:
    """Whether the adapter makes a new array for each batch; a generator may use one again."""
    return isinstance(adapter, ArrayAdapter)


def _train_epoch(
    model: Any, steps: Iterable[tuple[int, Any]], hooks: CallbackList, fresh: bool
) -> Any:
    """One epoch; returns the logs of its last step."""
    stride = model.steps_per_execution
    logs: Any = {}
    pending = 0
    train = model.step("train_step")
    batches = Ahead(steps, lambda batch: to_device(batch, fresh), early=fresh)
    for step, batch in batches:
        if pending == 0:
            hooks.on_train_batch_begin(step)
        logs = train(batch)
        # Nobody keeps a batch longer than its step.
        del batch
        batches.prepare()
        if logs.__class__ is not dict:
            _check_logs(logs)
        pending += 1
        if pending == stride:
            hooks.on_train_batch_end(step, logs)
            pending = 0
        if model.stop_training:
            break
    if pending:
        hooks.on_train_batch_end(step, logs)
    return logs


def _validation_parts(validation_data: Any) -> tuple[Any, Any, Any]:
    if isinstance(validation_data, (tuple, list)):
        if not 1 <= len(validation_data) <= 3:
            raise ValueError(
                "[fit] 'validation_data' must be (x, y), (x, y, sample_weight) or batches. "
                f"Received {len(validation_data)} entries."
            )
        parts = (*validation_data, None, None)
        return parts[0], parts[1], parts[2]
    return validation_data, None, None


def _check_frequency(freq: Any) -> None:
    if not isinstance(freq, Iterable) and freq < 1:
        raise ValueError(
            "[fit] 'validation_freq' must be a positive integer, or a list of epochs. Received: "
            f"validation_freq={freq!r}."
        )


def _validate_now(epoch: int, freq: Any) -> bool:
    if isinstance(freq, Iterable):
        return (epoch + 1) in freq  # type: ignore[operator]
    return (epoch + 1) % int(freq) == 0


def evaluate(
    model: Any,
    x: Any,
    y: Any,
    *,
    batch_size: int | None,
    verbose: Any,
    sample_weight: Any,
    steps: int | None,
    callbacks: Any,
) -> dict[str, Any]:
    """Loss and metrics as a dict; see `Trainer.evaluate`."""
    adapter = get_adapter(x, y, sample_weight, batch_size=batch_size, steps_per_epoch=steps)
    passes = Epochs(adapter, steps)
    hooks = CallbackList.wrap(
        callbacks, model, add_history=False, verbose=_verbosity(verbose), epochs=1,
        steps=passes.num_batches,
    )  # fmt: skip
    model.reset_metrics()
    hooks.on_test_begin()
    logs: Any = {}
    try:
        pending, stride = 0, model.steps_per_execution
        test = model.step("test_step")
        compiled = isinstance(test, Compiled)
        batches = Ahead(
            passes.epoch(),
            lambda batch: to_device(batch, shared=compiled),
            early=_is_fresh(adapter),
        )
        for step, batch in batches:
            if pending == 0:
                hooks.on_test_batch_begin(step)
            logs = _check_logs(test(batch))
            del batch
            batches.prepare()
            pending = (pending + 1) % stride
            if pending == 0:
                hooks.on_test_batch_end(step, logs)
        if pending:
            hooks.on_test_batch_end(step, logs)
    finally:
        passes.close()
    values = as_floats(logs)
    hooks.on_test_end(values)
    return values


def predict(
    model: Any,
    x: Any,
    *,
    batch_size: int | None,
    verbose: Any,
    steps: int | None,
    callbacks: Any,
) -> Any:
    """Outputs as NumPy arrays; see `Trainer.predict`."""
    adapter = get_adapter(x, batch_size=batch_size, steps_per_epoch=steps)
    passes = Epochs(adapter, steps)
    hooks = CallbackList.wrap(
        callbacks, model, add_history=False, verbose=_verbosity(verbose), epochs=1,
        steps=passes.num_batches,
    )  # fmt: skip
    hooks.on_predict_begin()
    results = Results()
    try:
        pending, stride = 0, model.steps_per_execution
        forward = model.step("predict_step")
        compiled = isinstance(forward, Compiled)
        batches = Ahead(
            passes.epoch(),
            lambda batch: to_device(batch, shared=compiled),
            early=_is_fresh(adapter),
        )
        for step, batch in batches:
            if pending == 0:
                hooks.on_predict_batch_begin(step)
            out = forward(batch)
            batches.prepare()
            results.add(out, batch)
            del batch
            pending = (pending + 1) % stride
            if pending == 0:
                hooks.on_predict_batch_end(step, {"outputs": out})
        if pending:
            hooks.on_predict_batch_end(step, {"outputs": out})
    finally:
        passes.close()
    # Whoever takes the time until then shall see all of the work.
    results.wait()
    hooks.on_predict_end()
    return results.joined()
