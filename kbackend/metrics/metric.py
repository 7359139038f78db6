"""`Metric`: a number accumulated over batches."""

from __future__ import annotations

from typing import Any

from kbackend import initializers
from kbackend.base import config
from kbackend.base.naming import auto_name, to_snake_case
from kbackend.core import lang
from kbackend.state import dtype_policy
from kbackend.state.scopes import StatelessScope, name_scope
from kbackend.state.variable import Variable


class Metric:
    """Base of all metrics: state variables, an update from a batch, and a result.

    A subclass makes its variables with `add_variable` and implements `update_state` and `result`.

    Args:
        dtype: dtype (or policy) of the computation.
        name: name; that of the class in snake case by default.

    Example:
        >>> import kbackend as keras
        >>> metric = keras.metrics.Mean()
        >>> metric.update_state([1.0, 3.0])
        >>> metric.result().item()
        2.0
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or auto_name(to_snake_case(type(self).__name__))
        # A metric accumulates in floatx, whatever the layers' policy: 16 bits would stop counting.
        self._dtype_policy = dtype_policy.get(config.floatx() if dtype is None else dtype)
        self._dtype = self._dtype_policy.compute_dtype
        self._variables: list[Variable] = []
        self._metrics: list[Metric] = []

    def __setattr__(self, name: str, value: Any) -> None:
        # Metrics within metrics and variables made by hand are part of the state.
        if isinstance(value, Metric) and "_metrics" in self.__dict__:
            self._metrics.append(value)
        elif isinstance(value, Variable) and "_variables" in self.__dict__:
            if not any(value is known for known in self._variables):
                self._variables.append(value)
        object.__setattr__(self, name, value)

    @property
    def dtype(self) -> str:
        """Dtype of the computation."""
        return self._dtype

    def add_variable(
        self,
        shape: Any,
        initializer: Any,
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """A state variable.

        Args:
            shape: shape.
            initializer: initializer, or its name.
            dtype: dtype; the metric's by default.
            aggregation: how replicas' values are combined.
            name: name.
        """
        with name_scope(self.name):
            variable = Variable(
                initializers.get(initializer),
                shape=shape,
                dtype=dtype or self.dtype,
                trainable=False,
                aggregation=aggregation,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """`add_variable` under its other name."""
        return self.add_variable(shape, initializer or "zeros", dtype=dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """State variables, those of metrics inside included."""
        found = list(self._variables)
        for metric in self._metrics:
            found.extend(metric.variables)
        return found

    def reset_state(self) -> None:
        """Sets all state back to zero."""
        for variable in self.variables:
            variable.assign(lang.zeros(variable.shape, variable.dtype))

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Accumulates a batch."""
        raise NotImplementedError(f"[{type(self).__name__}] must implement update_state().")

    def result(self) -> Any:
        """The metric's value so far, a scalar tensor (or a dict of them)."""
        raise NotImplementedError(f"[{type(self).__name__}] must implement result().")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    # ----- stateless use -----

    def _under(self, metric_variables: Any) -> StatelessScope:
        if len(metric_variables) != len(self.variables):
            raise ValueError(
                f"[{self.name}] needs {len(self.variables)} metric variables. Received: "
                f"{len(metric_variables)}."
            )
        return StatelessScope(list(zip(self.variables, metric_variables, strict=True)))

    def stateless_update_state(self, metric_variables: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """The values of the state variables after an update from the given ones."""
        with self._under(metric_variables) as scope:
            self.update_state(*args, **kwargs)
        return [scope.get_current_value(v) for v in self.variables]

    def stateless_result(self, metric_variables: Any) -> Any:
        """The result for the given values of the state variables."""
        with self._under(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[Any]:
        """The values of the state variables after a reset."""
        with StatelessScope() as scope:
            self.reset_state()
        return [scope.get_current_value(v) for v in self.variables]

    # ----- configuration -----

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "dtype": self._dtype_policy.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A metric from `get_config`'s answer."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"
