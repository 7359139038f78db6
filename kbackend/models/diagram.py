"""What a picture of a model shows: boxes, the arrows between them, and frames around models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kbackend import activations
from kbackend.layers.layer import Layer
from kbackend.models.graph_config import is_graph
from kbackend.models.summary import (
    calls_within,
    format_shape,
    output_shapes,
    select_range,
    shown_operations,
    type_name,
)


@dataclass
class Box:
    """One layer or op.

    Attributes:
        key: unique name.
        title: first line.
        lines: further lines.
        fields: label -> text of cells side by side below them.
        trainable: whether its weights are trained; `None` where that is not shown.
        inner: the diagram of a nested model that is drawn in its place.
    """

    key: str
    title: str
    lines: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    trainable: bool | None = None
    inner: Diagram | None = None


@dataclass
class Diagram:
    """Boxes and arrows (pairs of keys) of a model."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[tuple[str, str]] = field(default_factory=list)

    def ends(self) -> tuple[list[str], list[str]]:
        """Keys of the boxes at which arrows from outside end, and at which they begin."""
        to, origin = {b for _, b in self.arrows}, {a for a, _ in self.arrows}
        first: list[str] = []
        last: list[str] = []
        for box in self.boxes:
            starts, stops = box.inner.ends() if box.inner else ([box.key], [box.key])
            first.extend(starts if box.key not in to else [])
            last.extend(stops if box.key not in origin else [])
        return first, last

    def flattened(self) -> tuple[list[Box], list[tuple[str, str]]]:
        """All boxes, with nested models' own in place of them, and the arrows between them."""
        boxes: list[Box] = []
        arrows: list[tuple[str, str]] = []
        starts: dict[str, list[str]] = {}
        stops: dict[str, list[str]] = {}
        for box in self.boxes:
            if box.inner is None:
                boxes.append(box)
                starts[box.key] = stops[box.key] = [box.key]
            else:
                inner_boxes, inner_arrows = box.inner.flattened()
                boxes.extend(inner_boxes)
                arrows.extend(inner_arrows)
                starts[box.key], stops[box.key] = box.inner.ends()
        for a, b in self.arrows:
            arrows.extend((x, y) for x in stops[a] for y in starts[b])
        return boxes, arrows


def diagram_of(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    expand_nested: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
    prefix: str = "",
) -> Diagram:
    """The diagram of a model; the arguments are those of `plot_model`.

    Raises:
        ValueError: the model has no layers, or is not built.
    """
    if not hasattr(model, "layers"):
        raise ValueError(f"[plot_model] takes a model. Received: {model!r}.")
    if not model.built:
        raise ValueError(
            f"[plot_model] '{model.name}' has not been built, so that its shapes are not known. "
            "Call it on data, or build(input_shape), first."
        )
    diagram = Diagram(model.name)
    operations = select_range(shown_operations(model), layer_range)
    keys = {id(op): f"{prefix}{op.name}" for op in operations}
    for op in operations:
        key = keys[id(op)]
        label = type_name(op)
        box = Box(key, f"{op.name} ({label})" if show_layer_names else label)
        if show_layer_activations and getattr(op, "activation", None) is not None:
            box.lines.append(f"Activation: {_activation_name(op.activation)}")
        if show_shapes:
            box.fields["Input shape"] = format_shape(_input_shapes(model, op))
            box.fields["Output shape"] = format_shape(output_shapes(model, op))
        if show_dtype:
            box.fields["Output dtype"] = _dtype(op)
        if show_trainable and isinstance(op, Layer):
            box.trainable = bool(op.trainable)
            box.fields["Trainable"] = str(box.trainable)
        if expand_nested and hasattr(op, "_compile_arguments") and op.layers:
            box.inner = diagram_of(
                op, show_shapes, show_dtype, show_layer_names, True, show_layer_activations,
                show_trainable, prefix=f"{key}/",
            )  # fmt: skip
        diagram.boxes.append(box)
    if is_graph(model):
        for op in operations:
            for node in calls_within(model, op):
                for x in node.input_tensors:
                    origin = keys.get(id(x._keras_history.operation))
                    arrow = (origin, keys[id(op)])
                    if origin is not None and arrow not in diagram.arrows:
                        diagram.arrows.append(arrow)  # type: ignore[arg-type]
    elif hasattr(model, "_stack"):
        names = [keys[id(op)] for op in operations]
        diagram.arrows.extend(zip(names, names[1:], strict=False))
    return diagram


def _activation_name(activation: Any) -> str:
    found = activations.serialize(activation)
    return found if isinstance(found, str) else type(activation).__name__


def _dtype(op: Any) -> str:
    found = [x.dtype for node in op._inbound_nodes[:1] for x in node.outputs]
    return found[0] if found else getattr(op, "compute_dtype", "?")


def _input_shapes(model: Any, op: Any) -> Any:
    nodes = calls_within(model, op) if is_graph(model) else op._inbound_nodes[-1:]
    shapes = list(dict.fromkeys(x.shape for node in nodes for x in node.input_tensors))
    if not shapes:
        if nodes:
            return output_shapes(model, op)  # an input layer
        built_with = getattr(op, "_build_shapes", None)
        shapes = list(built_with.values()) if built_with else []
    if not shapes:
        return None
    return shapes[0] if len(shapes) == 1 else shapes
