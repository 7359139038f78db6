"""`StateHolder`: an object that finds and lists the state among its attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kbackend.base import tree
from kbackend.layers import pickling
from kbackend.layers.tracking import Tracker, Unique
from kbackend.metrics.metric import Metric
from kbackend.state.seed import SeedGenerator
from kbackend.state.variable import Variable

# Attributes that hold bookkeeping, and are not state of the layer.
_UNTRACKED = frozenset(
    ("_trainable_variables", "_non_trainable_variables", "_layers", "_metrics",
     "_seed_generators", "_losses", "_inbound_nodes", "_build_shapes", "_init_arguments")
)  # fmt: skip


class StateHolder:
    """Base of layers: variables, layers, metrics and seed generators set as attributes are found.

    It lists them, sets and stores their values; what is computed with them is up to the subclass.
    """

    name: str
    built: bool
    _trainable: bool
    _tracker: Tracker

    if TYPE_CHECKING:
        # Layers get attributes in build() and by setattr; their types are their own business.
        def __getattr__(self, name: str) -> Any: ...

    def _make_tracker(self) -> None:
        self._trainable_variables: list[Variable] = []
        self._non_trainable_variables: list[Variable] = []
        self._layers: list[Any] = []
        self._metrics: list[Metric] = []
        self._seed_generators: list[SeedGenerator] = []
        object.__setattr__(
            self,
            "_tracker",
            Tracker(
                {
                    "trainable_variables": (
                        lambda v: isinstance(v, Variable) and v.trainable,
                        self._trainable_variables,
                    ),
                    "non_trainable_variables": (
                        lambda v: isinstance(v, Variable),
                        self._non_trainable_variables,
                    ),
                    "metrics": (lambda v: isinstance(v, Metric), self._metrics),
                    "layers": (
                        lambda v: isinstance(v, StateHolder) and v is not self,
                        self._layers,
                    ),
                    "seeds": (lambda v: isinstance(v, SeedGenerator), self._seed_generators),
                }
            ),
        )

    def __setattr__(self, name: str, value: Any) -> None:
        tracker = self.__dict__.get("_tracker")
        if tracker is not None:
            if name[:1] != "_" or name not in _UNTRACKED:
                value = tracker.track(value)
        elif isinstance(value, (Variable, StateHolder, Metric)):
            raise RuntimeError(
                f"[{type(self).__name__}] call super().__init__() before setting '{name}': "
                "state can't be tracked yet."
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        tracker = self.__dict__.get("_tracker")
        object.__delattr__(self, name)
        if tracker is not None and value is not None:
            for leaf in tree.flatten(value):
                tracker.untrack(leaf)

    # ----- weights -----

    @property
    def trainable(self) -> bool:
        """Whether the weights are to be trained. Setting it also sets it for all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = bool(value)
        self._trainable = value
        for variable in self._trainable_variables:
            variable.trainable = value
        for layer in self._layers:
            layer.trainable = value

    @property
    def variables(self) -> list[Variable]:
        """Weights and seed generators' states, of layers inside too; no metrics' variables."""
        found = Unique()
        for layer in self._flatten_layers():
            found.extend(layer._trainable_variables)
            found.extend(layer._non_trainable_variables)
            found.extend(seed.state for seed in layer._seed_generators)
        return found.items

    @property
    def weights(self) -> list[Variable]:
        """Weights of the layer and of layers inside; no seeds and no metrics."""
        found = Unique()
        for layer in self._flatten_layers():
            found.extend(layer._trainable_variables)
            found.extend(layer._non_trainable_variables)
        return found.items

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that are to be trained."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that are not to be trained."""
        return [v for v in self.weights if not v.trainable] if self.trainable else self.weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """All state that is to be trained."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """All other state."""
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    @property
    def metrics_variables(self) -> list[Variable]:
        """Variables of all metrics."""
        return [
            variable
            for layer in self._flatten_layers()
            for metric in layer._metrics
            for variable in metric.variables
        ]

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The weights' values as NumPy arrays."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Sets the weights' values.

        Args:
            weights: list of arrays shaped like `get_weights()`.

        Raises:
            ValueError: their number or a shape is wrong; nothing is changed then.
        """
        own = self.weights
        if len(own) != len(weights):
            raise ValueError(
                f"[{self.name}] has {len(own)} weights. Received a list of {len(weights)}."
            )
        values = [variable.conform(value) for variable, value in zip(own, weights, strict=True)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Number of scalars in the weights.

        Raises:
            ValueError: the layer is not built yet.
        """
        if not self.built:
            raise ValueError(
                f"[{self.name}] has no weights yet. Call it on data, or build(input_shape), first."
            )
        return sum(weight.size for weight in self.weights)

    # ----- layers inside -----

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> Iterator[Any]:
        """The layer and all layers inside, each once, depth first."""
        seen: set[int] = set()
        if include_self:
            seen.add(id(self))
            yield self
        stack = list(reversed(self._layers))
        while stack:
            layer = stack.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            yield layer
            if recursive:
                stack.extend(reversed(layer._layers))

    # ----- saving -----

    def __reduce__(self) -> Any:
        return pickling.reduce_object(self)

    def save_own_variables(self, store: Any) -> None:
        """Writes the layer's own weights into a mapping: "0", "1", ..."""
        for i, v in enumerate([*self._trainable_variables, *self._non_trainable_variables]):
            store[str(i)] = v

    def load_own_variables(self, store: Any) -> None:
        """Reads the layer's own weights from such a mapping.

        Raises:
            ValueError: their number or a shape is wrong; nothing is changed then.
        """
        own = [*self._trainable_variables, *self._non_trainable_variables]
        if len(store.keys()) != len(own):
            hint = "" if self.built else " The layer is not built: call it on data first."
            raise ValueError(
                f"[{self.name}] expects {len(own)} variables. The file has {len(store.keys())}: "
                f"{sorted(store.keys())}.{hint}"
            )
        values = [v.conform(np.asarray(store[str(i)])) for i, v in enumerate(own)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)
