"""`Optimizer`: what all optimizers share, from clipping to averaged weights."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.optimizers import clipping
from kbackend.optimizers.conditional import update_if
from kbackend.optimizers.optimizer_state import OptimizerState
from kbackend.optimizers.updates import weight_decay as decay
from kbackend.state.scopes import StatelessScope


class Optimizer(OptimizerState):
    """Base of all optimizers.

    A subclass makes its state in `build` and changes one variable in `update_step`.

    Args:
        learning_rate: number, `LearningRateSchedule`, Variable, or a function without arguments.
        weight_decay: fraction of a variable, times the learning rate, taken off in each step.
        clipnorm: greatest norm of each gradient.
        clipvalue: greatest absolute value of the gradients' elements.
        global_clipnorm: greatest norm of all gradients together.
        use_ema: whether to keep a moving average of the variables.
        ema_momentum: weight of the past in that average.
        ema_overwrite_frequency: number of steps after which the variables take their average's
            values; `None`: only at the end of training (`finalize_variable_values`).
        loss_scale_factor: factor on the loss, by which the gradients are divided again.
        gradient_accumulation_steps: number of batches whose mean gradient makes one update.
        name: name; by default made of the class's.

    Raises:
        ValueError: an argument has a wrong value, or contradicts another.

    Example:
        >>> class Plain(Optimizer):
        ...     def update_step(self, gradient, variable, learning_rate):
        ...         self.assign_sub(variable, learning_rate * gradient)
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0, 2.0])
        >>> _ = Plain(learning_rate=0.5).apply([[1.0, 1.0]], [w])
        >>> w.tolist()
        [0.5, 1.5]
    """

    # ----- state -----

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the state for `variables`; does nothing if that is done already.

        Args:
            variables: the trainable variables that will be updated.
        """
        if self.built:
            return
        variables = list(variables)
        self._trainable_variables = variables
        self._indices = {id(variable): i for i, variable in enumerate(variables)}
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(variable, "gradient_accumulator")
                for variable in variables
            ]
        self.built = True

    # ----- applying gradients -----

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """One step.

        Args:
            grads_and_vars: pairs of a gradient (or `None`) and a variable.

        Returns:
            The Variable that counts the steps.
        """
        pairs = list(grads_and_vars)
        return self.apply([g for g, _ in pairs], [v for _, v in pairs])

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> Any:
        """One step.

        Args:
            grads: gradients; variables whose gradient is `None` are left alone, with a warning.
            trainable_variables: the variables, in the same order; those that the optimizer was
                built with by default.

        Returns:
            The Variable that counts the steps.

        Raises:
            ValueError: no gradient is there, or gradients and variables don't match.
        """
        grads = list(grads)
        if not grads:
            return self._iterations
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    f"[{type(self).__name__}] apply(grads) without variables needs an optimizer "
                    "that is built. Call build(trainable_variables) first, or pass them."
                )
            trainable_variables = self._trainable_variables
        variables = list(trainable_variables)
        if len(grads) != len(variables):
            raise ValueError(
                f"[{type(self).__name__}] there must be one gradient per variable. Received: "
                f"{len(grads)} gradients for {len(variables)} variables."
            )
        if not self.built:
            self.build(variables)
        for variable in variables:
            self._get_variable_index(variable)
        kept = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        if len(kept) < len(grads):
            self._warn_of_missing([v for g, v in zip(grads, variables, strict=True) if g is None])
        if not kept:
            raise ValueError(
                f"[{type(self).__name__}] none of the variables has a gradient: the loss does not "
                "depend on them."
            )
        self._step(kept)
        return self._iterations

    def _step(self, pairs: list[tuple[Any, Any]]) -> None:
        updated = [(_gradient(g, v), v) for g, v in pairs if not v.overwrite_with_gradient]
        for gradient, variable in pairs:
            if variable.overwrite_with_gradient:
                self._overwrite(variable, to_tensor(gradient, variable.dtype))
        if updated:
            variables = [v for _, v in updated]
            gradients = [g for g, _ in updated]
            if self.loss_scale_factor is not None:
                gradients = [lang.div(g, self.loss_scale_factor) for g in gradients]
            self._apply_all(gradients, variables)
            for variable in variables:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable.value))
        self._iterations.assign(lang.add(self._iterations.value, 1))

    def _apply_all(self, gradients: list[Any], variables: list[Any]) -> None:
        if self.gradient_accumulation_steps:
            self._accumulate(gradients, variables)
        else:
            self._update(gradients, variables)
        if self.use_ema:
            self._update_averages()

    def _update(self, gradients: list[Any], variables: list[Any]) -> None:
        """Clips, decays and updates."""
        gradients = self._clip_gradients(gradients)
        rate = self._rate()
        self._apply_weight_decay(variables)
        self.update_steps(gradients, variables, rate)

    def update_steps(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> None:
        """Updates several variables: one `update_step` for each of them.

        Args:
            gradients: their gradients.
            variables: the variables.
            learning_rate: the learning rate, a 0-d tensor.
        """
        for gradient, variable in zip(gradients, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable; subclasses define it.

        Args:
            gradient: its gradient, a tensor.
            variable: the variable.
            learning_rate: the learning rate, a 0-d tensor.

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError(
            f"[{type(self).__name__}] an optimizer must define "
            "update_step(gradient, variable, learning_rate)."
        )

    def _accumulate(self, gradients: list[Any], variables: list[Any]) -> None:
        """Adds to the accumulators; every few steps updates with their mean."""
        steps = self.gradient_accumulation_steps or 1
        sums = [self._accumulated_gradients[self._get_variable_index(v)] for v in variables]
        totals = [lang.add(g, s.value) for g, s in zip(gradients, sums, strict=True)]
        # When the sum is used up it starts again from 0.
        due = self._due_every(steps)
        for total, accumulator in zip(totals, sums, strict=True):
            zero = lang.zeros(tuple(total.shape), total.dtype)
            accumulator.assign(lang.select(due, zero, total))

        def update() -> None:
            self._update([lang.div(total, float(steps)) for total in totals], variables)

        update_if(due, update, [*variables, *self._variables])

    def _overwrite(self, variable: Any, value: Any) -> None:
        """Gives `variable` its "gradient" as a value; of accumulated ones, the greatest."""
        if not self.gradient_accumulation_steps:
            variable.assign(value)
            return
        due = self._due_every(self.gradient_accumulation_steps)
        accumulator = self._accumulated_gradients[self._get_variable_index(variable)]
        greatest = lang.maximum(value, accumulator.value)
        zero = lang.zeros(tuple(value.shape), value.dtype)
        accumulator.assign(lang.select(due, zero, greatest))
        variable.assign(lang.select(due, greatest, variable.value))

    def _due_every(self, steps: int) -> Any:
        """bool tensor: whether this step is the last of `steps`."""
        return _is_last(self._iterations.value, steps)

    def _clip_gradients(self, gradients: list[Any]) -> list[Any]:
        if self.clipnorm:
            return [clipping.clip_by_norm(g, self.clipnorm) for g in gradients]
        if self.global_clipnorm:
            return clipping.clip_by_global_norm(gradients, self.global_clipnorm)
        if self.clipvalue:
            return [clipping.clip_by_value(g, self.clipvalue) for g in gradients]
        return gradients

    def _warn_of_missing(self, variables: list[Any]) -> None:
        names = ", ".join(f"'{variable.path}'" for variable in variables)
        warnings.warn(
            f"[{type(self).__name__}] the loss has no gradient in: {names}. They are not updated.",
            stacklevel=3,
        )

    # ----- weight decay -----

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Leaves variables out of the weight decay.

        Args:
            var_list: the variables.
            var_names: regular expressions, found in the names of the variables.
        """
        self._undecayed = list(var_list or ())
        self._undecayed_names = list(var_names or ())

    def _use_weight_decay(self, variable: Any) -> bool:
        return not (
            any(excluded is variable for excluded in self._undecayed)
            or any(re.search(pattern, variable.name) for pattern in self._undecayed_names)
        )

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        if self.weight_decay is None:
            return
        rate = self._rate()
        for variable in variables:
            if self._use_weight_decay(variable):
                lr = lang.cast(rate, variable.dtype)
                variable.assign(decay(variable.value, lr, rate=float(self.weight_decay)))

    # ----- averaged weights -----

    def _update_averages(self) -> None:
        # The first step's values start the average.
        count = self._count()
        begun = lang.ne(count, 0)
        due = None
        if self.ema_overwrite_frequency:
            due = _is_last(count, self.ema_overwrite_frequency)
        for variable, average in self._averaged():
            value = variable.value
            momentum = lang.mul(lang.cast(begun, value.dtype), self.ema_momentum)
            old, new = lang.mul(average.value, momentum), lang.mul(value, lang.sub(1.0, momentum))
            mean = average.assign(lang.add(old, new))
            if due is not None:
                variable.assign(lang.select(due, mean, value))

    def _averaged(self) -> list[tuple[Any, Any]]:
        pairs = zip(self._trainable_variables, self._averages, strict=True)
        return [(variable, average) for variable, average in pairs if average is not None]

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Gives variables the values of their moving average, if one is kept (`use_ema`).

        Called at the end of training.

        Args:
            var_list: the variables.
        """
        if not self.use_ema or not self.built:
            return
        for variable in var_list:
            average = self._averages[self._get_variable_index(variable)]
            if average is not None:
                variable.assign(average.value)

    # ----- without side effects -----

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Any
    ) -> tuple[list[Any], list[Any]]:
        """One step as a function: nothing is assigned, the new values are returned.

        Args:
            optimizer_variables: a tensor per variable of `variables`.
            grads: the gradients.
            trainable_variables: a tensor per variable that the optimizer was built with.

        Returns:
            The new values of the trainable and of the optimizer's variables.

        Raises:
            ValueError: the optimizer is not built, or a list has the wrong length.
        """
        label = type(self).__name__
        if not self.built:
            raise ValueError(
                f"[{label}] stateless_apply() needs an optimizer that is built. Call "
                "build(trainable_variables) first."
            )
        own, trained = self.variables, self._trainable_variables
        for what, given, wanted in (
            ("optimizer_variables", optimizer_variables, own),
            ("trainable_variables", trainable_variables, trained),
        ):
            if len(given) != len(wanted):
                raise ValueError(
                    f"[{label}] '{what}' must hold {len(wanted)} tensors. Received: {len(given)}."
                )
        mapping = [
            *zip(trained, trainable_variables, strict=True),
            *zip(own, optimizer_variables, strict=True),
        ]
        with StatelessScope(mapping) as scope:
            self.apply(grads)
        return (
            [scope.get_current_value(variable) for variable in trained],
            [scope.get_current_value(variable) for variable in own],
        )

    def scale_loss(self, loss: Any) -> Any:
        """The loss times `loss_scale_factor`, to be differentiated in its place."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # ----- assigning, for subclasses -----

    def assign(self, variable: Any, value: Any) -> None:
        """Replaces the value of a variable; `value` is cast to its dtype."""
        variable.assign(to_tensor(value, variable.dtype))

    def _assign_all(self, variables: Sequence[Any], values: Sequence[Any]) -> None:
        """Assigns one value to each variable."""
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Adds to a variable; `value` is cast to its dtype."""
        variable.assign(lang.add(variable.value, to_tensor(value, variable.dtype)))

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtracts from a variable; `value` is cast to its dtype."""
        variable.assign(lang.sub(variable.value, to_tensor(value, variable.dtype)))


def _is_last(count: Any, steps: int) -> Any:
    return lang.eq(lang.mod(lang.add(count, 1), steps), 0)


def _gradient(gradient: Any, variable: Any) -> Any:
    """A gradient as a tensor of the variable's dtype and shape."""
    tensor = to_tensor(gradient, variable.dtype)
    if tuple(tensor.shape) != tuple(variable.shape):
        raise ValueError(
            f"The gradient of '{variable.path}' has the shape {tuple(tensor.shape)}, the variable "
            f"{tuple(variable.shape)}."
        )
    return tensor
