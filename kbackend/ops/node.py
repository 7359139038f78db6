"""`Node`: one call of an operation in a functional model."""

from __future__ import annotations

from typing import Any, NamedTuple

from kbackend.base import tree
from kbackend.ops.keras_tensor import KerasTensor


class KerasHistory(NamedTuple):
    """Where a KerasTensor comes from.

    Attributes:
        operation: the operation that made it.
        node_index: which call of the operation.
        tensor_index: which output of that call.
    """

    operation: Any
    node_index: int
    tensor_index: int


class Node:
    """One call of `operation`, with its arguments and outputs.

    Args:
        operation: what was called.
        call_args: positional arguments, with KerasTensors in them.
        call_kwargs: keyword arguments.
        outputs: structure of KerasTensors; each gets its history here.
    """

    def __init__(
        self, operation: Any, call_args: tuple[Any, ...], call_kwargs: dict[str, Any], outputs: Any
    ) -> None:
        self.operation = operation
        self.args = call_args
        self.kwargs = call_kwargs
        self.input_tensors: list[KerasTensor] = [
            x for x in tree.flatten((call_args, call_kwargs)) if isinstance(x, KerasTensor)
        ]
        self.outputs = [x for x in tree.flatten(outputs) if isinstance(x, KerasTensor)]
        self.index = len(operation._inbound_nodes)
        self.parents: list[Node] = []
        for x in self.input_tensors:
            if not hasattr(x, "_keras_history"):
                x._keras_history = KerasHistory(None, 0, 0)
            origin = x._keras_history.operation
            if origin is not None:
                self.parents.append(origin._inbound_nodes[x._keras_history.node_index])
        operation._inbound_nodes.append(self)
        for i, out in enumerate(self.outputs):
            out._keras_history = KerasHistory(operation, self.index, i)

    @property
    def is_input(self) -> bool:
        """Whether the node brings in the model's inputs."""
        return not self.input_tensors

    def fill(self, values: dict[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with each KerasTensor replaced by its entry in `values` (by id)."""

        def replace(x: Any) -> Any:
            return values.get(id(x), x) if isinstance(x, KerasTensor) else x

        # The usual call has one positional tensor.
        if len(self.args) == 1 and not self.kwargs and isinstance(self.args[0], KerasTensor):
            return (values[id(self.args[0])],), {}
        return tree.map_structure(replace, self.args), tree.map_structure(replace, self.kwargs)

    def __repr__(self) -> str:
        return f"<Node of {self.operation.name}, call {self.index}>"
