"""A functional model's graph as plain data, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kbackend.base import tree
from kbackend.base.serialization import deserialize, serialize
from kbackend.layers.layer import Layer
from kbackend.models.op_forms import call_op, is_op_form, op_form
from kbackend.ops.define import OpCall
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.ops.node import Node

# Where a tensor comes from: name of the operation, which of its calls, which output.
_Place = tuple[str, int, int]


def is_graph(model: Any) -> bool:
    """Whether a model has a graph, and is no stack of layers."""
    return getattr(model, "_function", None) is not None and not hasattr(model, "_stack")


def _first_call(operation: Any) -> int:
    """Number of an operation's first call where a config names the inputs and outputs.

    To Keras, the graph of an inner functional model is a call of it, the one before all others.
    """
    return int(is_graph(operation))


# ----- writing -----


def graph_config(model: Any) -> dict[str, Any]:
    """Operations, calls, inputs and outputs of a functional model, as Keras writes them.

    Args:
        model: model with a graph.

    Raises:
        ValueError: two operations have the same name.
    """
    function = model._function
    calls = _calls_by_operation(function)
    _check_names(model)
    places: dict[int, _Place] = {}
    for operation in function.operations:
        for i, node in enumerate(calls[id(operation)]):
            for j, x in enumerate(node.outputs):
                places[id(x)] = (operation.name, i, j)
    layers = []
    for operation in function.operations:
        nodes = calls[id(operation)]
        if isinstance(operation, OpCall):
            form, args, kwargs = op_form(nodes[0])
            arguments = [(args, kwargs)]
        else:
            form = serialize(operation)
            arguments = [(node.args, node.kwargs) for node in nodes if not node.is_input]
        form["name"] = operation.name
        form["inbound_nodes"] = [
            {"args": _written(args, places), "kwargs": _written(kwargs, places)}
            for args, kwargs in arguments
        ]
        layers.append(form)

    def end(x: KerasTensor) -> list[Any]:
        name, i, j = places[id(x)]
        return [name, i + _first_call(x._keras_history.operation), j]

    def ends(structure: Any) -> Any:
        return tree.map_structure(end, structure)

    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": ends(function.inputs_struct),
        "output_layers": ends(function.outputs_struct),
    }


def _calls_by_operation(function: Any) -> dict[int, list[Node]]:
    """id of an operation -> its calls within the graph, in the order in which they were made."""
    used: dict[int, list[Node]] = {id(operation): [] for operation in function.operations}
    for node in function.nodes:
        used[id(node.operation)].append(node)
    for x in function.inputs:
        history = x._keras_history
        if id(history.operation) in used:
            node = history.operation._inbound_nodes[history.node_index]
            if node.is_input and not any(node is known for known in used[id(history.operation)]):
                used[id(history.operation)].append(node)
    for nodes in used.values():
        nodes.sort(key=lambda node: node.index)
    return used


def _check_names(model: Any) -> None:
    names = [operation.name for operation in model._function.operations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"[{model.name}] the names of layers must differ to be saved. More than once: "
            f"{', '.join(twice)}. Pass name= to the layers."
        )


def _written(structure: Any, places: Mapping[int, _Place]) -> Any:
    """Arguments of a call as plain data."""
    if isinstance(structure, KerasTensor):
        config = {
            "shape": list(structure.shape),
            "dtype": structure.dtype,
            "keras_history": list(places[id(structure)]),
        }
        return {"class_name": "__keras_tensor__", "config": config}
    if isinstance(structure, Mapping):
        return {key: _written(value, places) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [_written(item, places) for item in structure]
    return serialize(structure)


# ----- reading -----


def is_graph_config(config: Mapping[str, Any]) -> bool:
    """Whether a model's config describes a graph."""
    return {"layers", "input_layers", "output_layers"} <= set(config)


def read_graph(
    config: Mapping[str, Any], make: Callable[[dict[str, Any]], Any] | None = None
) -> tuple[Any, Any]:
    """The inputs and outputs of the graph that a config describes.

    Args:
        config: what `graph_config` returned.
        make: makes a layer from its form; `deserialize` by default.

    Returns:
        The structures of KerasTensors that a model is made from.

    Raises:
        ValueError: the config is malformed.
    """
    label = config.get("name", "model")
    reader = _GraphReader(str(label), make or deserialize)
    try:
        for form in config["layers"]:
            reader.add(form)
        reader.connect()
        return reader.ends(config["input_layers"]), reader.ends(config["output_layers"])
    except (KeyError, IndexError, AttributeError) as error:
        raise ValueError(
            f"[{label}] the config of the graph is malformed: {type(error).__name__}: {error}"
        ) from error


class _GraphReader:
    """Makes the operations, then calls each as soon as what it takes has been computed."""

    def __init__(self, label: str, make: Callable[[dict[str, Any]], Any]) -> None:
        self._label = label
        self._make = make
        # (name, call) -> the outputs of that call
        self._outputs: dict[tuple[str, int], list[Any]] = {}
        self._waiting: list[tuple[str, int, Callable[..., Any], Any]] = []
        self._first_calls: dict[str, int] = {}

    def add(self, form: dict[str, Any]) -> None:
        name = form.get("name") or form["config"]["name"]
        calls = form["inbound_nodes"]
        form = {key: value for key, value in form.items() if key not in ("name", "inbound_nodes")}
        if any(known[0] == name for known in self._waiting) or (name, 0) in self._outputs:
            raise ValueError(f"[{self._label}] there are two layers called {name!r}.")
        if is_op_form(form):
            config = deserialize(dict(form["config"]))

            def operate(*args: Any, **kwargs: Any) -> Any:
                return call_op(form, config, list(args), kwargs)

            call: Callable[..., Any] = operate
        else:
            call = layer = self._make(form)
            if not isinstance(layer, Layer):
                raise ValueError(
                    f"[{self._label}] {name!r} is no layer, but {type(layer).__name__}."
                )
            self._first_calls[name] = _first_call(layer)
            if not calls:
                self._outputs[name, 0] = tree.flatten(layer._inbound_nodes[0].outputs)
        for i, node in enumerate(calls):
            self._waiting.append((name, i, call, _arguments(node)))

    def connect(self) -> None:
        while self._waiting:
            later = []
            for name, i, call, (args, kwargs) in self._waiting:
                if not self._known(args) or not self._known(kwargs):
                    later.append((name, i, call, (args, kwargs)))
                    continue
                result = call(*self._read(args), **self._read(kwargs))
                self._outputs[name, i] = tree.flatten(result)
            if len(later) == len(self._waiting):
                names = ", ".join(sorted({name for name, *_ in later}))
                raise ValueError(
                    f"[{self._label}] these layers take tensors that none computes: {names}."
                )
            self._waiting = later

    def _known(self, structure: Any) -> bool:
        place = _place_of(structure)
        if place is not None:
            return place[:2] in self._outputs
        if isinstance(structure, Mapping):
            return all(self._known(value) for value in structure.values())
        return not isinstance(structure, (list, tuple)) or all(map(self._known, structure))

    def _read(self, structure: Any) -> Any:
        place = _place_of(structure)
        if place is not None:
            return self._outputs[place[:2]][place[2]]
        if isinstance(structure, Mapping):
            if "class_name" in structure and "config" in structure:
                return deserialize(structure)
            return {key: self._read(value) for key, value in structure.items()}
        if isinstance(structure, (list, tuple)):
            return [self._read(item) for item in structure]
        return structure

    def ends(self, structure: Any) -> Any:
        """The KerasTensors at the places that a structure names."""
        if isinstance(structure, Mapping):
            return {key: self.ends(value) for key, value in structure.items()}
        if _is_place(structure):
            name, i, j = structure
            return self._outputs[name, i - self._first_calls.get(name, 0)][j]
        return [self.ends(item) for item in structure]


def _is_place(structure: Any) -> bool:
    return (
        isinstance(structure, (list, tuple))
        and len(structure) == 3
        and isinstance(structure[0], str)
        and all(isinstance(i, int) for i in structure[1:])
    )


def _place_of(structure: Any) -> _Place | None:
    """The place of a tensor that is described; `None` for anything else."""
    if not isinstance(structure, Mapping) or structure.get("class_name") != "__keras_tensor__":
        return None
    name, i, j = structure["config"]["keras_history"]
    return name, i, j


def _arguments(node: Any) -> tuple[Any, Any]:
    """Positional and keyword arguments of a call."""
    if isinstance(node, Mapping):
        return node["args"], node["kwargs"]
    raise ValueError(
        "The graph is described as versions of Keras before 3 did. Load the file with Keras 3 and "
        "save it again."
    )
