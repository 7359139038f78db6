"""`MultiOptimizer`: different optimizers for different variables of one model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

from kbackend.base.serialization import deserialize, serialize
from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer


class OptimizerMap(MutableMapping[str, Any]):
    """Regular expressions of variables' paths, and the optimizers for them.

    Args:
        default_optimizer: the optimizer for paths that no expression matches entirely.
        optimizer_map: expression -> optimizer.

    Raises:
        TypeError: the default is not an Optimizer.
        ValueError: a key is not a string, or a value not an Optimizer.

    Example:
        >>> import kbackend as keras
        >>> rest, encoder = keras.optimizers.SGD(), keras.optimizers.Adam()
        >>> chosen = OptimizerMap(rest, {"encoder/.*": encoder})
        >>> chosen["encoder/dense/kernel"] is encoder, chosen["head/kernel"] is rest
        (True, True)
    """

    def __init__(self, default_optimizer: Any, optimizer_map: dict[str, Any] | None = None) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                "[OptimizerMap] 'default_optimizer' must be an Optimizer. Received: "
                f"default_optimizer={default_optimizer!r}."
            )
        self._default_optimizer = default_optimizer
        self._optimizer_map: dict[str, Any] = {}
        for pattern, optimizer in (optimizer_map or {}).items():
            self[pattern] = optimizer

    @property
    def default_optimizer(self) -> Any:
        """The optimizer for paths that no expression matches."""
        return self._default_optimizer

    def __getitem__(self, key: str) -> Any:
        """The optimizer for a path.

        Raises:
            ValueError: several expressions match it.
        """
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        matches = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(matches) > 1:
            raise ValueError(
                f"[OptimizerMap] several expressions match the path '{key}': {matches}. "
                "Narrow them down."
            )
        return self._optimizer_map[matches[0]] if matches else self._default_optimizer

    def __setitem__(self, key: str, optimizer: Any) -> None:
        """Adds an expression."""
        if not isinstance(key, str):
            raise ValueError(f"[OptimizerMap] a key must be a string. Received: {key!r}.")
        if key in self._optimizer_map:
            raise ValueError(f"[OptimizerMap] '{key}' is there already. Delete it first.")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"[OptimizerMap] the value for '{key}' must be an Optimizer. "
                f"Received: {optimizer!r}."
            )
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __contains__(self, key: object) -> bool:
        # The mixin's would say yes to all, as every path has an optimizer.
        return key in self._optimizer_map

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def get_config(self) -> dict[str, Any]:
        """Settings that `from_config` makes an equal map from."""
        return {
            "default_optimizer": serialize(self._default_optimizer),
            "optimizer_map": {key: serialize(value) for key, value in self._optimizer_map.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> OptimizerMap:
        """A map from what `get_config` returned."""
        return cls(
            deserialize(config["default_optimizer"], custom_objects),
            {
                key: deserialize(value, custom_objects)
                for key, value in (config.get("optimizer_map") or {}).items()
            },
        )


class MultiOptimizer(Optimizer):
    """Gives each variable to the optimizer that was chosen for it.

    There is no one learning rate: set those of the optimizers in `optimizers`.

    Args:
        optimizer_map: `OptimizerMap`, or a function that returns the optimizer of a variable.
        loss_scale_factor: factor on the loss, by which the gradients are divided again. It takes
            the place of the optimizers' own.
        name: name.

    Raises:
        TypeError: `optimizer_map` is neither.

    Example:
        >>> import kbackend as keras
        >>> with keras.name_scope("head"):
        ...     fast = keras.Variable([1.0])
        >>> slow = keras.Variable([1.0])
        >>> SGD = keras.optimizers.SGD
        >>> optimizer = MultiOptimizer(OptimizerMap(SGD(0.125), {"head/.*": SGD(0.5)}))
        >>> _ = optimizer.apply([[1.0], [1.0]], [fast, slow])
        >>> fast.tolist(), slow.tolist()
        ([0.5], [0.875])
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Any], Any],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(optimizer_map, OptimizerMap) and not callable(optimizer_map):
            raise TypeError(
                "[MultiOptimizer] 'optimizer_map' must be an OptimizerMap or a function. Received: "
                f"optimizer_map={optimizer_map!r}."
            )
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        # One per trainable variable.
        self._chosen: list[Any] = []
        self._optimizers: list[Any] = []
        if isinstance(optimizer_map, OptimizerMap):
            listed = [*optimizer_map._optimizer_map.values(), optimizer_map.default_optimizer]
            self._optimizers = _distinct(listed)

    @property
    def optimizers(self) -> list[Any]:
        """The optimizers; those of a function are known once it is built."""
        return list(self._optimizers)

    @property
    def variables(self) -> list[Any]:
        """Its own variables, then those of each optimizer."""
        return [*self._variables, *(v for inner in self._optimizers for v in inner.variables)]

    @property
    def learning_rate(self) -> Any:
        """Not there.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(
            "[MultiOptimizer] there is no one learning rate. Use those of `optimizers`."
        )

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise AttributeError(
            "[MultiOptimizer] there is no one learning rate to set. Set those of `optimizers`."
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Chooses an optimizer for each variable, and builds them all."""
        if self.built:
            return
        variables = list(variables)
        chosen = [self._choose(variable) for variable in variables]
        super().build(variables)
        self._chosen = chosen
        if not isinstance(self._optimizer_map, OptimizerMap):
            self._optimizers = _distinct(chosen)
        for inner in self._optimizers:
            inner.loss_scale_factor = self.loss_scale_factor
            inner.build([v for v, c in zip(variables, chosen, strict=True) if c is inner])

    def _choose(self, variable: Any) -> Any:
        if isinstance(self._optimizer_map, OptimizerMap):
            return self._optimizer_map[variable.path]
        optimizer = self._optimizer_map(variable)
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                "[MultiOptimizer] the function must return an Optimizer. Received: "
                f"{optimizer!r} for the variable '{variable.path}'."
            )
        return optimizer

    def _step(self, pairs: list[tuple[Any, Any]]) -> None:
        for inner in self._optimizers:
            own = [
                (gradient, variable)
                for gradient, variable in pairs
                if self._chosen[self._get_variable_index(variable)] is inner
            ]
            if own:
                inner._step(own)
        self._iterations.assign(lang.add(self._iterations.value, 1))

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """See `Optimizer.finalize_variable_values`."""
        for variable in var_list:
            inner = self._chosen[self._get_variable_index(variable)]
            inner.finalize_variable_values([variable])

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            "optimizer_map": serialize(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """See `Optimizer.from_config`."""
        chosen = deserialize(
            config["optimizer_map"], custom_objects, {"OptimizerMap": OptimizerMap}
        )
        return cls(**{**config, "optimizer_map": chosen})


def _distinct(optimizers: list[Any]) -> list[Any]:
    """Each optimizer once, in the order of their first places."""
    return list({id(optimizer): optimizer for optimizer in optimizers}.values())
