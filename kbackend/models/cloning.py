"""`clone_model`: a model with the same layers and new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base import tree
from kbackend.layers.core.input_layer import InputLayer
from kbackend.models.functional import Model
from kbackend.models.inputs import input_tensor_of
from kbackend.models.sequential import Sequential
from kbackend.ops.define import OpCall
from kbackend.ops.keras_tensor import KerasTensor

_Clone = Callable[[Any], Any]


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: _Clone | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Any:
    """A new model with the configuration of another, and weights of its own.

    Args:
        model: the model.
        input_tensors: KerasTensor(s) to make the new model's graph from; new inputs by default.
        clone_function: makes the new layer from a layer; by its configuration, by default. For
            functional models and `Sequential` only; input layers are not shown to it.
        call_function: called as `call_function(layer, *args, **kwargs)` in place of each new layer
            or op of a functional model.
        recursive: whether `clone_function` is applied within nested models, and not to them.

    Returns:
        The new model, which is not compiled.

    Raises:
        ValueError: the arguments do not fit this kind of model.

    Example:
        >>> import kbackend as keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> clone_model(model).count_params()
        3
    """
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "[clone_model] 'call_function' works with functional models. Received: a "
                f"Sequential, '{model.name}'."
            )
        return _clone_stack(model, input_tensors, _cloner(clone_function, recursive))
    if isinstance(model, Model) and model._function is not None:
        if type(model).__init__ is Model.__init__:
            return _clone_graph(
                model, input_tensors, _cloner(clone_function, recursive), call_function
            )
    if not isinstance(model, Model):
        raise ValueError(f"[clone_model] takes a model. Received: {model!r}.")
    for name, value in (
        ("input_tensors", input_tensors),
        ("clone_function", clone_function),
        ("call_function", call_function),
    ):
        if value is not None:
            raise ValueError(
                f"[clone_model] '{name}' works with functional models and Sequential. "
                f"'{model.name}' is a subclass, {type(model).__name__}, which is made anew from "
                "its config."
            )
    return type(model).from_config(model.get_config())


def _cloner(clone_function: _Clone | None, recursive: bool) -> _Clone:
    def clone(layer: Any) -> Any:
        if isinstance(layer, OpCall):
            return OpCall(layer.op, name=layer.name, **layer.static)
        if recursive and isinstance(layer, Model):
            return clone_model(layer, clone_function=clone_function, recursive=True)
        if clone_function is None:
            return type(layer).from_config(layer.get_config())
        return clone_function(layer)

    return clone


def _inputs_like(wanted: list[KerasTensor], given: Any) -> list[KerasTensor]:
    """A KerasTensor of an input layer for each of a graph's inputs."""
    if given is None:
        return [
            InputLayer.from_config(x._keras_history.operation.get_config()).output
            if isinstance(x._keras_history.operation, InputLayer)
            else input_tensor_of(x.shape, x.dtype, x.name)
            for x in wanted
        ]
    tensors = tree.flatten(given)
    if len(tensors) != len(wanted) or not all(isinstance(x, KerasTensor) for x in tensors):
        raise ValueError(
            f"[clone_model] 'input_tensors' must be {len(wanted)} KerasTensor(s), as Input() makes "
            f"them. Received: {given!r}."
        )
    made = []
    for x in tensors:
        history = getattr(x, "_keras_history", None)
        from_input = history is not None and isinstance(history.operation, InputLayer)
        made.append(x if from_input else input_tensor_of(x.shape, x.dtype))
    return made


def _clone_graph(
    model: Any, input_tensors: Any, clone: _Clone, call_function: Callable[..., Any] | None
) -> Any:
    function = model._function
    flat = _inputs_like(function.inputs, input_tensors)
    clones: dict[int, Any] = {}

    def cloned(operation: Any) -> Callable[..., Any]:
        if id(operation) not in clones:
            clones[id(operation)] = clone(operation)
        copy = clones[id(operation)]
        if call_function is None:
            return copy  # type: ignore[no-any-return]
        return lambda *args, **kwargs: call_function(copy, *args, **kwargs)

    outputs = function.run(flat, cloned)
    inputs = tree.pack_as(function.inputs_struct, flat)
    return type(model)(inputs, outputs, name=model.name)


def _clone_stack(model: Any, input_tensors: Any, clone: _Clone) -> Any:
    layers = [clone(layer) for layer in model.layers]
    made = Sequential if type(model) is Sequential else type(model)
    copy = made(name=model.name)
    inputs = [layer.output for layer in model._stack[:1] if isinstance(layer, InputLayer)]
    if input_tensors is not None or inputs:
        copy.add(_inputs_like(inputs or model.inputs or [None], input_tensors)[0], rebuild=False)
    for layer in layers:
        copy.add(layer, rebuild=False)
    copy._rebuild()
    if copy._function is None and model._function is not None:
        copy.build(model.input_shape)
    copy._trainable = model._trainable
    return copy
