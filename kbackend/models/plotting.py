"""`plot_model` and `model_to_dot`: a model as a picture, or in the language of Graphviz."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from kbackend.models.diagram import Box, Diagram, diagram_of
from kbackend.models.picture import draw

_DIRECTIONS = ("TB", "LR", "BT", "RL")


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    layer_range: Any = None,
) -> Any:
    """A model as a graph of `pydot`.

    Args:
        model: model that is built.
        show_shapes: whether to show the shapes of inputs and outputs.
        show_dtype: whether to show the dtypes of outputs.
        show_layer_names: whether to show the names of layers, or their types alone.
        rankdir: direction: "TB" (top to bottom), "LR", "BT" or "RL".
        expand_nested: whether to show the layers inside of nested models.
        dpi: resolution.
        subgraph: whether to return a cluster, to be put into another graph.
        show_layer_activations: whether to show activations.
        show_trainable: whether to show what is trained.
        splines: how Graphviz draws the arrows: "ortho", "curved", "polyline", "spline", "line".
        layer_range: names (or regular expressions) of the first and the last layer to show.

    Returns:
        A `pydot.Dot`, or a `pydot.Cluster`.

    Raises:
        ImportError: pydot is not installed.
        ValueError: the model is not built, or an argument has a wrong value.
    """
    pydot = _pydot()
    if pydot is None:
        raise ImportError("[model_to_dot] needs pydot: pip install pydot")
    _check(rankdir, dpi)
    diagram = diagram_of(
        model, show_shapes, show_dtype, show_layer_names, expand_nested, show_layer_activations,
        show_trainable, layer_range,
    )  # fmt: skip
    if subgraph:
        graph = pydot.Cluster(graph_name=_quoted(diagram.name), label=_quoted(diagram.name))
    else:
        graph = pydot.Dot(graph_type="digraph")
        graph.set("rankdir", rankdir)
        graph.set("dpi", dpi)
        graph.set("splines", splines)
        graph.set_node_defaults(shape="record", fontname="Helvetica", fontsize="11")
    _fill(pydot, graph, diagram, rankdir)
    _, arrows = diagram.flattened()
    for a, b in arrows:
        graph.add_edge(pydot.Edge(_quoted(a), _quoted(b)))
    return graph


def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    layer_range: Any = None,
) -> Any:
    """Draws a model into a file: with Graphviz where it is installed, with matplotlib otherwise.

    Args:
        model: model that is built.
        to_file: path; its ending says the format (png, svg, pdf, jpg; dot for Graphviz's text).
        show_shapes: whether to show the shapes of inputs and outputs.
        show_dtype: whether to show the dtypes of outputs.
        show_layer_names: whether to show the names of layers, or their types alone.
        rankdir: direction: "TB" (top to bottom), "LR", "BT" or "RL".
        expand_nested: whether to show the layers inside of nested models, in a frame.
        dpi: resolution.
        show_layer_activations: whether to show activations.
        show_trainable: whether to show what is trained.
        splines: how Graphviz draws the arrows.
        layer_range: names (or regular expressions) of the first and the last layer to show.

    Returns:
        The picture, in a notebook; `None` elsewhere.

    Raises:
        ImportError: neither pydot with Graphviz nor matplotlib is installed.
        ValueError: the model is not built, or an argument has a wrong value.
    """
    _check(rankdir, dpi)
    path = Path(os.fsdecode(to_file))
    kind = path.suffix[1:].lower()
    if not kind:
        path, kind = path.with_suffix(".png"), "png"
    options: dict[str, Any] = {
        "show_shapes": show_shapes, "show_dtype": show_dtype,
        "show_layer_names": show_layer_names, "expand_nested": expand_nested,
        "show_layer_activations": show_layer_activations, "show_trainable": show_trainable,
        "layer_range": layer_range,
    }  # fmt: skip
    if kind == "dot" or (_pydot() is not None and shutil.which("dot")):
        graph = model_to_dot(model, rankdir=rankdir, dpi=dpi, splines=splines, **options)
        graph.write(str(path), format="raw" if kind == "dot" else kind)
    else:
        draw(diagram_of(model, **options), path, rankdir, dpi)
    return _shown(path, kind)


def _check(rankdir: str, dpi: int) -> None:
    if rankdir not in _DIRECTIONS:
        raise ValueError(
            f"[plot_model] 'rankdir' must be one of {', '.join(_DIRECTIONS)}. Received: "
            f"rankdir={rankdir!r}."
        )
    if isinstance(dpi, bool) or not isinstance(dpi, (int, float)) or not 0 < dpi <= 2400:
        raise ValueError(
            f"[plot_model] 'dpi' must be a number between 1 and 2400. Received: dpi={dpi!r}."
        )


def _pydot() -> Any:
    try:
        import pydot  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return pydot


def _shown(path: Path, kind: str) -> Any:
    """The picture for a notebook; `None` where there is none."""
    display = sys.modules.get("IPython.display")
    if display is None or kind not in ("png", "jpg", "jpeg", "gif"):
        return None
    return display.Image(filename=str(path))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """Text for a record's label, in which some characters are syntax."""
    return "".join(f"\\{c}" if c in '{}|<>"\\' else c for c in text)


def _fill(pydot: Any, graph: Any, diagram: Diagram, rankdir: str) -> None:
    for box in diagram.boxes:
        if box.inner is None:
            graph.add_node(_node(pydot, box, rankdir))
            continue
        cluster = pydot.Cluster(
            graph_name=_quoted(box.key), label=_quoted(box.title), style="dashed"
        )
        _fill(pydot, cluster, box.inner, rankdir)
        graph.add_subgraph(cluster)


def _node(pydot: Any, box: Box, rankdir: str) -> Any:
    lines = [_escaped(line) for line in (box.title, *box.lines)]
    if box.fields:
        cells = " | ".join(
            f"{_escaped(label)}: {_escaped(text)}" for label, text in box.fields.items()
        )
        lines.append(f"{{{cells}}}")
    label = " | ".join(lines)
    # Records are laid out along the graph's direction: braces turn them.
    label = f'"{{{label}}}"' if rankdir in ("TB", "BT") else f'"{label}"'
    return pydot.Node(_quoted(box.key), label=label)
