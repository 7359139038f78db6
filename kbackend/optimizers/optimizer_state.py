"""What an optimizer keeps: variables, learning rate, settings; and how they are saved."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from kbackend import initializers
from kbackend.base import dtypes
from kbackend.base.naming import auto_name
from kbackend.base.serialization import deserialize, serialize
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.optimizers.options import check_options, is_number, take_classic_arguments
from kbackend.optimizers.schedules.learning_rate_schedule import LearningRateSchedule
from kbackend.state.scopes import name_scope
from kbackend.state.variable import Variable


class OptimizerState:
    """The half of `Optimizer` that holds state; arguments are described there."""

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        label = type(self).__name__
        learning_rate = take_classic_arguments(label, kwargs, learning_rate)
        self.name = auto_name(label) if name is None else name
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.global_clipnorm = global_clipnorm
        self.clipvalue = clipvalue
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency if use_ema else None
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        check_options(self, ema_overwrite_frequency)
        self.built = False
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._indices: dict[int, int] = {}
        self._undecayed: list[Any] = []
        self._undecayed_names: list[str] = []
        self._averages: list[Any] = []
        self._accumulated_gradients: list[Variable] = []
        self._iterations = self._scalar(0, "int32", "iteration")
        self._learning_rate: Any = None
        if is_number(learning_rate):
            self._learning_rate = self._scalar(float(learning_rate), None, "learning_rate")
        else:
            self._set_learning_rate(learning_rate)

    # ----- state -----

    def _scalar(self, value: float, dtype: str | None, name: str) -> Variable:
        """A tracked counter or setting."""
        with name_scope(self.name):
            variable = Variable(
                value,
                dtype=dtype or dtypes.standardize_dtype(None),
                trainable=False,
                aggregation="only_first_replica",
                name=name,
            )
        self._variables.append(variable)
        return variable

    @property
    def iterations(self) -> Any:
        """Number of updates made: of batches, unless gradients are accumulated over several."""
        if self.gradient_accumulation_steps:
            return lang.floor_divide(self._iterations.value, self.gradient_accumulation_steps)
        return self._iterations

    def _count(self) -> Any:
        """`iterations` as a tensor."""
        return to_tensor(self.iterations)

    @property
    def variables(self) -> list[Any]:
        """All variables of the optimizer, in the order in which they are saved."""
        return list(self._variables)

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the coming step: a Variable, or a schedule's value.

        Setting it changes the value of the Variable, or takes a schedule in its place.
        """
        return self._current_rate(self._learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._set_learning_rate(value)

    @property
    def lr(self) -> Any:
        """Classic name of `learning_rate`."""
        _warn_of_lr(self)
        return self.learning_rate

    @lr.setter
    def lr(self, value: Any) -> None:
        _warn_of_lr(self)
        self.learning_rate = value

    def _rate(self) -> Any:
        """The learning rate of the coming step as a tensor."""
        return to_tensor(self._current_rate(self._learning_rate))

    def _set_learning_rate(self, value: Any) -> None:
        kept = self._learning_rate
        fixed = kept is not None and not isinstance(kept, Variable)
        new: Any = value if isinstance(value, (Variable, LearningRateSchedule)) else None
        if new is None and callable(value) and not hasattr(value, "__array__"):
            new = value
        if fixed and (new is None or isinstance(new, Variable)):
            raise TypeError(
                f"[{type(self).__name__}] the learning rate follows {kept!r} and can't "
                f"be set. Received: {value!r}. Make the optimizer with a number instead."
            )
        if new is None:
            if kept is None or not (is_number(value) or hasattr(value, "__array__")):
                raise ValueError(
                    f"[{type(self).__name__}] 'learning_rate' must be a number, a "
                    "LearningRateSchedule, a Variable or a function without arguments. Received: "
                    f"learning_rate={value!r}."
                )
            kept.assign(value)
            return
        if kept is not None:
            self._variables = [v for v in self._variables if v is not kept]
        if isinstance(new, Variable):
            # Where the optimizer's own variable stands: after the number of iterations.
            self._variables.insert(1, new)
        self._learning_rate = new

    def _current_rate(self, rate: Any) -> Any:
        if isinstance(rate, LearningRateSchedule):
            return to_tensor(rate(self.iterations))
        return rate if isinstance(rate, Variable) else to_tensor(rate())

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new variable of the optimizer.

        Args:
            shape: its shape.
            initializer: what `initializers.get` takes, such as "zeros".
            dtype: its dtype, `floatx` by default.
            aggregation: see `Variable`.
            layout: accepted for compatibility.
            name: its name.

        Returns:
            The variable.
        """
        with name_scope(self.name):
            variable = Variable(
                initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=False,
                aggregation=aggregation,
                layout=layout,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A new variable with the shape and dtype of `reference_variable`.

        Args:
            reference_variable: the variable that it belongs to.
            name: what it is; the reference's path comes before it.
            initializer: see `add_variable`.

        Returns:
            The variable.
        """
        # The path, not the name: layers may all have a "kernel".
        stem = reference_variable.path.replace("/", "_")
        return self.add_variable(
            reference_variable.shape,
            initializer,
            reference_variable.dtype,
            name=stem if name is None else f"{stem}_{name}",
        )

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Any], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """One new variable for each trainable one.

        Args:
            trainable_variables: the variables that they belong to.
            name: what they are, or a sequence of several such names.
            initializer: see `add_variable`, or one for each name.

        Returns:
            A list with a variable (`None` for those that are overwritten with their gradient) per
            trainable variable, or a tuple of such lists, one per name.
        """
        several = not isinstance(name, str)
        names = tuple(name) if several else (name,)
        starts = (
            tuple(initializer)
            if isinstance(initializer, (list, tuple))
            else (initializer,) * len(names)
        )
        if len(starts) != len(names):
            raise ValueError(
                f"[{type(self).__name__}] there must be as many initializers as names. Received: "
                f"name={name}, initializer={initializer}."
            )
        lists: tuple[list[Any], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            for made, label, start in zip(lists, names, starts, strict=True):
                made.append(
                    None
                    if variable.overwrite_with_gradient
                    else self.add_variable_from_reference(variable, label, start)
                )
        return lists if several else lists[0]

    def _get_variable_index(self, variable: Any) -> int:
        """Position of a variable among those that the optimizer was built with."""
        index = self._indices.get(id(variable))
        if index is None:
            raise ValueError(
                f"[{type(self).__name__}] the variable '{variable.path}' is unknown. An optimizer "
                "updates only the variables that it was built with; make a new one for others."
            )
        return index

    # ----- saving -----

    def save_own_variables(self, store: Any) -> None:
        """Puts the values of all variables into `store` under "0", "1", ..."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Takes the values of all variables from `store`.

        Warns and changes nothing if it holds another number of values.
        """
        variables = self.variables
        if len(store) != len(variables):
            warnings.warn(
                f"[{type(self).__name__}] the saved state has {len(store)} values, the optimizer "
                f"{len(variables)} variables. It keeps its own state.",
                stacklevel=2,
            )
            return
        self.set_weights([store[str(i)] for i in range(len(variables))])

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces the values of all variables.

        Args:
            weights: an array per variable of `variables`.

        Raises:
            ValueError: number or shapes don't match.
        """
        variables = self.variables
        if len(weights) != len(variables):
            raise ValueError(
                f"[{type(self).__name__}] set_weights() takes {len(variables)} arrays. Received: "
                f"{len(weights)}."
            )
        # All are checked before the first is assigned.
        checked = [v.conform(w) for v, w in zip(variables, weights, strict=True)]
        for variable, value in zip(variables, checked, strict=True):
            variable.assign(value)

    def get_config(self) -> dict[str, Any]:
        """Settings that `from_config` makes an equal optimizer from."""
        rate = self._learning_rate
        return {
            "name": self.name,
            "learning_rate": float(rate) if isinstance(rate, Variable) else serialize(rate),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """An optimizer from what `get_config` returned.

        Args:
            config: the settings.
            custom_objects: name -> class of the user's schedules.
        """
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = deserialize(config["learning_rate"], custom_objects)
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_indices": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Copies of the variables have other ids.
        self.__dict__.update(state)
        self._indices = {id(v): i for i, v in enumerate(self._trainable_variables)}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _warn_of_lr(optimizer: OptimizerState) -> None:
    warnings.warn(
        f"[{type(optimizer).__name__}] 'lr' is the classic name of 'learning_rate'.",
        DeprecationWarning,
        stacklevel=3,
    )
