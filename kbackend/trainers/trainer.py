"""`Trainer`: what makes a model trainable. Steps, and the loops over data around them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kbackend import optimizers
from kbackend.autodiff.tape import GradientTape
from kbackend.base import tree
from kbackend.core import lang, operators
from kbackend.core.convert import to_tensor
from kbackend.metrics import Mean
from kbackend.trainers import loops
from kbackend.trainers.compile_loss import CompileLoss
from kbackend.trainers.compile_metrics import CompileMetrics
from kbackend.trainers.compiled_steps import CompiledSteps
from kbackend.trainers.data import unpack_x_y_sample_weight


class Trainer:
    """Mixed into `Model`: compile, fit, evaluate, predict, and the steps they are made of.

    Override `train_step`, `test_step` or `predict_step` to change what happens with one batch, or
    `compute_loss` and `compute_metrics` for less.
    """

    def __init__(self) -> None:
        self.stop_training = False
        # What compile() makes is no state of the layer: it is set past the layer's tracking.
        self.__dict__.update(
            compiled=False,
            optimizer=None,
            loss=None,
            steps_per_execution=1,
            run_eagerly=False,
            jit_compile="auto",
            _compile_loss=None,
            _compile_metrics=None,
            _loss_tracker=None,
            _compile_arguments=None,
            _initial_epoch=None,
            _steps=CompiledSteps(),
        )

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Says how the model is to be trained.

        Args:
            optimizer: optimizer, or its name.
            loss: loss, its name or a function `(y_true, y_pred)`; a list or dict by output.
            loss_weights: numbers by which the outputs' losses are multiplied.
            metrics: list of metrics, names or functions; lists or a dict by output.
            weighted_metrics: metrics that sample weights apply to.
            run_eagerly: whether steps must never be compiled.
            steps_per_execution: batches between two calls of the callbacks' batch methods.
            jit_compile: whether steps are compiled: traced once for each shape of the data, then
                replayed. "auto" and `True` compile what can be traced, and run the rest eagerly
                with a warning.
            auto_scale_loss: whether float16 computation scales the loss by itself.

        Raises:
            ValueError: a name is unknown, or an argument has a wrong value.
        """
        if steps_per_execution < 1:
            raise ValueError(
                "[compile] 'steps_per_execution' must be a positive integer. Received: "
                f"{steps_per_execution}."
            )
        arguments = {
            "optimizer": optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution, "jit_compile": jit_compile,
        }  # fmt: skip
        made = optimizers.get(optimizer)
        compile_loss = None if loss is None else CompileLoss(loss, loss_weights, self)
        compile_metrics = (
            CompileMetrics(metrics, weighted_metrics, self) if metrics or weighted_metrics else None
        )
        if (
            auto_scale_loss
            and self.dtype_policy.name == "mixed_float16"
            and made is not None
            and not isinstance(made, optimizers.LossScaleOptimizer)
        ):
            made = optimizers.LossScaleOptimizer(made, name="loss_scale_optimizer")
        if run_eagerly and jit_compile is True:
            warnings.warn(
                "[compile] steps that run eagerly are not compiled: 'jit_compile' is switched off. "
                "Received: run_eagerly=True, jit_compile=True.",
                stacklevel=2,
            )
            jit_compile = False
        self.stop_training = False
        self.__dict__.update(
            compiled=True,
            optimizer=made,
            loss=loss,
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
            jit_compile=jit_compile,
            _compile_loss=compile_loss,
            _compile_metrics=compile_metrics,
            _loss_tracker=Mean(name="loss"),
            _compile_arguments=arguments,
            _steps=CompiledSteps(),
        )

    # ----- metrics -----

    @property
    def metrics(self) -> list[Any]:
        """The loss's mean, the compiled metrics (as one), outputs' losses, and layers' metrics."""
        found: list[Any] = []
        if self.compiled:
            found.append(self._loss_tracker)
            if self._compile_metrics is not None:
                found.append(self._compile_metrics)
            if self._compile_loss is not None:
                found.extend(self._compile_loss.metrics)
        for layer in self._flatten_layers():
            found.extend(m for m in layer._metrics if not any(m is known for known in found))
        return found

    @property
    def metrics_names(self) -> list[str]:
        """Names of `metrics`."""
        return [metric.name for metric in self.metrics]

    @property
    def metrics_variables(self) -> list[Any]:
        """Variables of all metrics."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def find_metric(self, name: str) -> Any:
        """The metric with that name in the logs, or `None`."""
        if self._compile_metrics is not None:
            found = self._compile_metrics.find(name)
            if found is not None:
                return found
        return next((metric for metric in self.metrics if metric.name == name), None)

    def reset_metrics(self) -> None:
        """Sets all metrics back."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """Name -> value so far of each metric."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            value = metric.result()
            if isinstance(value, dict):
                results.update(value)
            else:
                results[metric.name] = value
        return results

    # ----- one batch -----

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The scalar to minimize: the compiled loss and the losses added by layers.

        Args:
            x: inputs.
            y: targets.
            y_pred: the model's outputs.
            sample_weight: weights of the samples.
            training: whether this is for training.

        Raises:
            ValueError: there is nothing to minimize.
        """
        total = None
        if self._compile_loss is not None:
            total = self._compile_loss(y, y_pred, sample_weight)
        for loss in self.losses:
            loss = operators.add(loss, 0.0) if loss.dtype == "bool" else loss
            if loss.shape:
                loss = lang.reduce_sum(loss, tuple(range(len(loss.shape))))
            total = loss if total is None else operators.add(total, loss)
        if total is None:
            if training:
                raise ValueError(
                    f"[{self.name}] there is no loss to minimize. Give one to compile(loss=...), "
                    "or add one in a layer with add_loss()."
                )
            return lang.zeros((), "float32")
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Accumulates the compiled metrics and returns all metrics' values.

        Args:
            x: inputs.
            y: targets.
            y_pred: the model's outputs.
            sample_weight: weights of the samples.
        """
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _track_loss(self, loss: Any, x: Any) -> None:
        leaf = next(iter(tree.iter_leaves(x)))
        weight = float(leaf.shape[0]) if leaf is not None and leaf.shape else None
        self._loss_tracker.update_state(loss, sample_weight=weight)

    def _forward(self, x: Any, training: bool) -> Any:
        if self._call_signature.has_training:
            return self(x, training=training)  # type: ignore[operator]
        return self(x)  # type: ignore[operator]

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on one batch.

        Args:
            data: tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)` of tensors.

        Returns:
            Name -> value of the metrics.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self._forward(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        gradients = tape.gradient(scaled, weights)
        self._track_loss(loss, x)
        if weights:
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluates one batch; like `train_step` without the training."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self._forward(x, training=False)
        loss = self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False
        )
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self._forward(x, training=False)

    def step(self, name: str) -> Any:
        """The function for one batch: `train_step`, `test_step` or `predict_step`, or a compiled
        form of it.

        Args:
            name: which of them.
        """
        if self.run_eagerly or self.jit_compile is False:
            return getattr(self, name)
        return self._steps.of(self, name)

    # ----- many batches: see loops.py -----

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        """Trains the model.

        Args:
            x: inputs: arrays (in nested structures), a `PyDataset`, a generator or another iterable
                of batches `(x, y)` or `(x, y, sample_weight)`.
            y: targets, if `x` does not bring them.
            batch_size: samples in a batch, 32 by default; for arrays only.
            epochs: passes over the data, counted from 0.
            verbose: 0 silent, 1 progress bar, 2 a line per epoch; "auto" is 1.
            callbacks: list of callbacks.
            validation_split: part of the arrays, at their end, to validate on.
            validation_data: data to validate on, as `(x, y)`, `(x, y, sample_weight)` or batches.
            shuffle: whether arrays are shuffled before each epoch.
            class_weight: class -> weight in the loss.
            sample_weight: weights of the samples, for arrays.
            initial_epoch: epoch to begin with.
            steps_per_epoch: batches of an epoch.
            validation_steps: batches of a validation.
            validation_batch_size: samples in a batch of the validation.
            validation_freq: epochs between validations, or the epochs to validate after.

        Returns:
            The `History` callback: `history.history` maps names to lists of values.

        Raises:
            ValueError: the model is not compiled, or arguments do not fit together.
        """
        self._check_compiled("fit")
        return loops.fit(
            self, x, y, batch_size=batch_size, epochs=epochs, verbose=verbose,
            callbacks=callbacks, validation_split=validation_split,
            validation_data=validation_data, shuffle=shuffle, class_weight=class_weight,
            sample_weight=sample_weight, initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch, validation_steps=validation_steps,
            validation_batch_size=validation_batch_size, validation_freq=validation_freq,
        )  # fmt: skip

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The loss and the metrics on some data.

        Args:
            x: inputs, as for `fit`.
            y: targets.
            batch_size: samples in a batch, 32 by default.
            verbose: 0 silent, 1 progress bar, 2 a line.
            sample_weight: weights of the samples.
            steps: number of batches.
            callbacks: list of callbacks.
            return_dict: whether to return a dict.

        Returns:
            The loss, or a list of the loss and the metrics, or a dict of them.
        """
        self._check_compiled("evaluate")
        if kwargs:
            raise ValueError(f"[evaluate] unknown arguments: {', '.join(kwargs)}.")
        logs = loops.evaluate(
            self, x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight,
            steps=steps, callbacks=callbacks,
        )  # fmt: skip
        return logs if return_dict else self._in_order(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The model's outputs as NumPy arrays, computed batch by batch.

        Args:
            x: inputs, as for `fit`.
            batch_size: samples in a batch, 32 by default.
            verbose: 0 silent, 1 progress bar, 2 a line.
            steps: number of batches.
            callbacks: list of callbacks.
        """
        return loops.predict(
            self, x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
        )

    # ----- single batches -----

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step on one batch; returns the loss and the metrics of this batch.

        Args:
            x: inputs of the batch.
            y: targets.
            sample_weight: weights of the samples.
            class_weight: class -> weight.
            return_dict: whether to return a dict.
        """
        self._check_compiled("train_on_batch")
        data = loops.single_batch(x, y, sample_weight, class_weight)
        self.reset_metrics()
        logs = loops.as_floats(self.step("train_step")(data))
        return logs if return_dict else self._in_order(logs)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and the metrics of one batch, without training."""
        self._check_compiled("test_on_batch")
        data = loops.single_batch(x, y, sample_weight, None)
        self.reset_metrics()
        logs = loops.as_floats(self.step("test_step")(data))
        return logs if return_dict else self._in_order(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        data = (tree.map_structure(to_tensor, x),)
        return tree.map_structure(lambda t: np.array(t), self.step("predict_step")(data))

    def _in_order(self, logs: dict[str, Any]) -> Any:
        """The values of the logs in the metrics' order, the others behind them; one value alone."""
        names: list[str] = []
        for metric in self.metrics:
            inner = metric.metrics if metric is self._compile_metrics else (metric,)
            names.extend(one.name for one in inner)
        known = [logs[name] for name in names if name in logs]
        others = [logs[key] for key in sorted(logs) if key not in names]
        values = known + others
        return values[0] if len(values) == 1 else values

    def _check_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(f"[{self.name}] call compile() before {method}().")
        if method in ("fit", "train_on_batch") and self.optimizer is None:
            raise ValueError(
                f"[{self.name}] {method}() needs an optimizer. compile(optimizer=None) only allows "
                "evaluation."
            )
