"""`Function`: the graph of operations between given inputs and outputs, and how to run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base import tree
from kbackend.ops.keras_tensor import KerasTensor, infer_spec
from kbackend.ops.node import Node
from kbackend.ops.operation import Operation


class Function(Operation):
    """The operations that lead from `inputs` to `outputs`, as one operation.

    Args:
        inputs: KerasTensor, or nested structure of them.
        outputs: KerasTensor, or nested structure of them, computed from `inputs`.
        name: name.

    Raises:
        ValueError: an output depends on a KerasTensor that is not computed from the inputs.

    Example:
        >>> import kbackend as keras
        >>> x = keras.Input((2,))
        >>> Function(x, x * 2.0 + 1.0)(keras.ops.ones((1, 2))).tolist()
        [[3.0, 3.0]]
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self.inputs_struct = inputs
        self.outputs_struct = outputs
        self.inputs: list[KerasTensor] = tree.flatten(inputs)
        self.outputs: list[KerasTensor] = tree.flatten(outputs)
        for x in (*self.inputs, *self.outputs):
            if not isinstance(x, KerasTensor):
                raise ValueError(
                    f"[{self.name}] inputs and outputs must be KerasTensors, as Input() makes "
                    f"them. Received: {x!r} of type {type(x).__name__}."
                )
        if not self.inputs or not self.outputs:
            raise ValueError(f"[{self.name}] needs at least one input and one output.")
        graph = _Graph(self.inputs, self.outputs)
        self.nodes = graph.ordered_nodes()
        self.operations = graph.ordered_operations()
        self._check_connected()

    def _check_connected(self) -> None:
        known = {id(x) for x in self.inputs}
        for node in self.nodes:
            missing = [x for x in node.input_tensors if id(x) not in known]
            if missing:
                raise ValueError(
                    f"[{self.name}] the graph is disconnected: {missing[0]!r}, which "
                    f"'{node.operation.name}' takes, is not computed from the inputs. Add the "
                    "Input() that it comes from to the model's inputs."
                )
            known.update(id(x) for x in node.outputs)
        for x in self.outputs:
            if id(x) not in known:
                raise ValueError(f"[{self.name}] the output {x!r} is not computed from the inputs.")

    def call(self, inputs: Any) -> Any:
        """The outputs for the given inputs, a structure like `inputs_struct`."""
        return self.run(tree.flatten(inputs))

    def run(
        self,
        flat_inputs: list[Any],
        operation_fn: Callable[[Operation], Callable[..., Any]] | None = None,
    ) -> Any:
        """The outputs for a flat list of inputs.

        Args:
            flat_inputs: values in the order of `self.inputs`.
            operation_fn: what to call in place of each operation; the operation itself by default.
        """
        values = {id(x): value for x, value in zip(self.inputs, flat_inputs, strict=True)}
        for node in self.nodes:
            args, kwargs = node.fill(values)
            operation = node.operation if operation_fn is None else operation_fn(node.operation)
            results = operation(*args, **kwargs)
            outputs = node.outputs
            if len(outputs) == 1 and not tree.is_nested(results):
                values[id(outputs[0])] = results
            else:
                for x, value in zip(outputs, tree.flatten(results), strict=True):
                    values[id(x)] = value
        if isinstance(self.outputs_struct, KerasTensor):
            return values[id(self.outputs_struct)]
        return tree.map_structure(lambda x: values[id(x)], self.outputs_struct)

    def compute_output_spec(self, inputs: Any) -> Any:
        """KerasTensors like the outputs, for inputs of the given shapes."""
        return infer_spec(self.call, inputs)


class _Graph:
    """The nodes between inputs and outputs, with their distance (depth) from the outputs."""

    def __init__(self, inputs: list[KerasTensor], outputs: list[KerasTensor]) -> None:
        self._ends = {id(x) for x in inputs}
        self._visited: list[Node] = []  # parents before children
        self._done: set[int] = set()
        self._open: set[int] = set()
        self._order: dict[int, int] = {}  # id of an operation -> when it was met
        self._operations: dict[int, Any] = {}
        for x in outputs:
            self._visit(x)
        self._depths: dict[int, int] = {}
        self._operation_depths: dict[int, int] = {}
        self._measure()
        self._inputs = inputs

    def _visit(self, start: KerasTensor) -> None:
        """Depth-first from `start` to the inputs, with a stack of its own: graphs may be deep."""
        stack: list[tuple[Node, int]] = []

        def enter(x: KerasTensor) -> None:
            history = getattr(x, "_keras_history", None)
            if id(x) in self._ends or history is None or history.operation is None:
                return
            node = history.operation._inbound_nodes[history.node_index]
            if id(node) in self._done or id(node) in self._open:
                return
            self._open.add(id(node))
            key = id(node.operation)
            self._order.setdefault(key, len(self._order))
            self._operations[key] = node.operation
            stack.append((node, 0))

        enter(start)
        while stack:
            node, position = stack.pop()
            if position < len(node.input_tensors):
                stack.append((node, position + 1))
                enter(node.input_tensors[position])
            else:
                self._open.discard(id(node))
                self._done.add(id(node))
                self._visited.append(node)

    def _measure(self) -> None:
        in_graph = {id(node) for node in self._visited}
        for node in reversed(self._visited):
            key = id(node.operation)
            depth = max(self._depths.get(id(node), 0), self._operation_depths.get(key, 0))
            self._depths[id(node)] = self._operation_depths[key] = depth
            for parent in node.parents:
                if id(parent) in in_graph:
                    self._depths[id(parent)] = max(self._depths.get(id(parent), 0), depth + 1)

    def ordered_nodes(self) -> list[Node]:
        """Nodes in an order in which they can run."""
        return list(self._visited)

    def ordered_operations(self) -> list[Any]:
        """Operations from the inputs to the outputs; input layers among them."""
        depths = dict(self._operation_depths)
        order = dict(self._order)
        operations = dict(self._operations)
        for x in self._inputs:
            operation = getattr(x, "_keras_history", (None,))[0]
            if operation is None:
                continue
            key = id(operation)
            node = operation._inbound_nodes[x._keras_history.node_index]
            if node.is_input:  # what made an inner tensor that serves as input stays outside
                operations[key] = operation
                order.setdefault(key, len(order))
                depths[key] = max(self._input_depth(x), depths.get(key, 0))
        return sorted(operations.values(), key=lambda op: (-depths[id(op)], order[id(op)]))

    def _input_depth(self, x: KerasTensor) -> int:
        depth = 0
        for node in self._visited:
            if any(y is x for y in node.input_tensors):
                depth = max(depth, self._depths[id(node)] + 1)
        return depth
