"""`Operation`: something that can be called on tensors, or on KerasTensors to build a model."""

from __future__ import annotations

import inspect
from typing import Any

from kbackend.base import tree
from kbackend.base.naming import auto_name
from kbackend.core.bind import abstract_maker
from kbackend.ops.keras_tensor import KerasTensor, any_symbolic, infer_spec
from kbackend.ops.node import Node


class Operation:
    """Base of layers, models and ops.

    A subclass implements `call`. Called on KerasTensors, an operation becomes part of a functional
    model; called on tensors, it computes.

    Args:
        name: name, made up from the class by default.
    """

    _init_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        # What `get_config` falls back to for classes that do not define it.
        object.__setattr__(made, "_init_arguments", (args, kwargs))
        return made

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"[{type(self).__name__}] 'name' must be a string without '/'. Received: "
                f"name={name!r}."
            )
        self.name = name
        self._inbound_nodes: list[Node] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if abstract_maker() is None and any_symbolic((args, kwargs)):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the operation computes."""
        raise NotImplementedError(f"[{type(self).__name__}] a subclass must implement call().")

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Structure of KerasTensors with the shapes and dtypes of the outputs."""
        return infer_spec(self.call, *args, **kwargs)

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs of a call on KerasTensors, connected to it by a node."""
        outputs = self.compute_output_spec(*args, **kwargs)
        return self._connect(args, kwargs, outputs)

    def _connect(self, args: Any, kwargs: Any, outputs: Any) -> Any:
        """`outputs` as the results of a new node. An input handed through gets an alias."""
        taken = {id(x) for x in tree.flatten((args, kwargs))}
        outputs = tree.map_structure(
            lambda x: (
                x.alias()
                if isinstance(x, KerasTensor) and (id(x) in taken or hasattr(x, "_keras_history"))
                else x
            ),
            outputs,
        )
        Node(self, args, kwargs, outputs)
        return outputs

    # ----- the calls of this operation, as Keras names them -----

    @property
    def input(self) -> Any:
        """Input KerasTensor(s) of the only call."""
        return _one_or_list(self._only_node("input").input_tensors)

    @property
    def output(self) -> Any:
        """Output KerasTensor(s) of the only call."""
        return _one_or_list(self._only_node("output").outputs)

    def _only_node(self, attribute: str) -> Node:
        if len(self._inbound_nodes) != 1:
            count = len(self._inbound_nodes)
            raise AttributeError(
                f"[{self.name}] '{attribute}' needs exactly one call on KerasTensors. "
                f"Calls: {count}."
            )
        return self._inbound_nodes[0]

    # ----- configuration -----

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, from which `from_config` makes an equal operation.

        Raises:
            NotImplementedError: an argument is not of a plain type, and the class does not define
                `get_config` itself.
        """
        args, kwargs = self._init_arguments
        parameters = [
            p for p in list(inspect.signature(type(self).__init__).parameters.values())[1:]
        ]
        named = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        config = {**dict(zip(named, args, strict=False)), **kwargs}
        plain = (str, int, float, bool, type(None))
        unfit = [
            key
            for key, value in config.items()
            if not all(isinstance(leaf, plain) for leaf in tree.flatten(value))
        ]
        if unfit or len(args) > len(named):
            raise NotImplementedError(
                f"[{type(self).__name__}] define get_config(): the constructor's arguments "
                f"{unfit or list(args)} are not plain values that can be stored."
            )
        if any(p.name == "name" or p.kind is p.VAR_KEYWORD for p in parameters):
            config["name"] = self.name
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """An operation made with the arguments that `get_config` gave."""
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(
                f"[{cls.__name__}] can't be made from its config: {error}. Received: {config}."
            ) from error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _one_or_list(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
