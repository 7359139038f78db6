"""`model.summary()`: the layers of a model as a table."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kbackend.base import dtypes
from kbackend.layers.layer import Layer
from kbackend.models.graph_config import is_graph
from kbackend.models.op_classes import OP_CLASSES
from kbackend.utils import console

_WIDTH = 76
# Parts of the width that the columns take, by which columns there are: (connections, trainable).
_SHARES = {
    (False, False): (33, 24, 15),
    (False, True): (27, 22, 11, 11),
    (True, False): (21, 19, 12, 19),
    (True, True): (17, 15, 11, 16, 11),
}
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Prints the table; the arguments are those of `Model.summary`."""
    text = summary_text(model, line_length, positions, expand_nested, show_trainable, layer_range)
    if print_fn is not None:
        print_fn(text)
        return
    try:
        from rich.console import Console  # noqa: PLC0415 - optional
        from rich.text import Text  # noqa: PLC0415
    except ImportError:
        console.write(text)
        return
    if not console.is_dynamic():
        console.write(text)
        return
    screen = Console()
    shown = Text(text, no_wrap=True)
    shown.highlight_regex(r"\b\d[\d,.]*\b", "bold green")
    shown.highlight_regex(r"(?<=\()[A-Za-z_]\w+(?=\))", "cyan")
    shown.highlight_regex(r'^(Model: ".*"|.*params:)', "bold")
    screen.print(shown, soft_wrap=True)


def summary_text(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> str:
    """The table as text; the arguments are those of `Model.summary`.

    Raises:
        ValueError: there are not as many positions as columns, or `layer_range` names no layers.
    """
    graph = is_graph(model)
    connected = graph and not _is_chain(model)
    header = ["Layer (type)", "Output Shape", "Param #"]
    header += ["Connected to"] if connected else []
    header += ["Trainable"] if show_trainable else []
    widths = _widths(line_length, positions, (connected, show_trainable))
    rows: list[list[str]] = []
    for operation in select_range(shown_operations(model), layer_range):
        rows.extend(_rows(model, operation, connected, show_trainable, expand_nested, 0))
    centred = {len(header) - 1} if show_trainable else set()
    table = _table(header, rows, widths, right={2}, centred=centred)
    return "\n".join([f'Model: "{model.name}"', *table, *_totals(model)])


def _widths(
    line_length: int | None, positions: Sequence[float] | None, columns: tuple[bool, bool]
) -> list[int]:
    """Widths of the columns, the lines between them not counted."""
    shares = _SHARES[columns]
    if positions is not None:
        if len(positions) != len(shares):
            raise ValueError(
                f"[summary] 'positions' must have one entry for each of the {len(shares)} columns. "
                f"Received: positions={list(positions)}."
            )
        whole = line_length or (int(positions[-1]) if positions[-1] > 1 else _WIDTH)
        ends = [round(p * whole) if p <= 1 else int(p) for p in positions]
        return [max(end - start - 1, 4) for start, end in zip([1, *ends], ends, strict=False)]
    free = (line_length or _WIDTH) - len(shares) - 1
    widths = [max(share * free // sum(shares), 4) for share in shares]
    widths[0] += max(free - sum(widths), 0)
    return widths


# ----- what there is to show -----


def shown_operations(model: Any) -> list[Any]:
    """Layers and ops of a model, in the order in which they are shown."""
    return model.operations if is_graph(model) else list(model.layers)


def select_range(operations: list[Any], layer_range: Sequence[str] | None) -> list[Any]:
    """The operations from the first to the last that a pair of names or patterns matches.

    Raises:
        ValueError: one of the two matches nothing, or they are not a pair.
    """
    if not layer_range:
        return operations
    if len(layer_range) != 2:
        raise ValueError(
            f"'layer_range' must be the names of two layers. Received: {list(layer_range)}."
        )
    places = []
    for pattern in layer_range:
        found = [i for i, op in enumerate(operations) if re.match(pattern, op.name)]
        if not found:
            names = ", ".join(op.name for op in operations)
            raise ValueError(
                f"'layer_range' names no layer by {pattern!r}. The layers are: {names}."
            )
        places.append(found)
    first, last = min(places[0]), max(places[1])
    if first > last:
        first, last = min(places[1]), max(places[0])
    return operations[first : last + 1]


def _is_chain(model: Any) -> bool:
    """Whether each layer takes just the output of the one before."""
    operations = model.operations
    return all(
        len(nodes := calls_within(model, op)) == 1
        and len(nodes[0].input_tensors) == min(i, 1)
        and (i == 0 or nodes[0].input_tensors[0]._keras_history.operation is operations[i - 1])
        for i, op in enumerate(operations)
    )


def calls_within(model: Any, operation: Any) -> list[Any]:
    """The calls of an operation that belong to the model's graph."""
    function = model._function
    found = [node for node in function.nodes if node.operation is operation]
    inputs = {id(x) for x in function.inputs}
    if not found:
        found = [n for n in operation._inbound_nodes if any(id(x) in inputs for x in n.outputs)]
    return found


def type_name(operation: Any) -> str:
    """Name of the class; of an op, the one that Keras gives it."""
    op = getattr(operation, "op", None)
    if not isinstance(operation, Layer) and op in OP_CLASSES:
        return OP_CLASSES[op][1]
    return type(operation).__name__


def output_shapes(model: Any, operation: Any) -> Any:
    """Shape(s) of what an operation returns; `None` if that is not known."""
    if is_graph(model):
        outputs = [x for node in calls_within(model, operation) for x in node.outputs]
    else:
        outputs = [x for node in operation._inbound_nodes[-1:] for x in node.outputs]
    shapes = list(dict.fromkeys(x.shape for x in outputs))
    if shapes:
        return shapes[0] if len(shapes) == 1 else shapes
    built_with = getattr(operation, "_build_shapes", None)
    if built_with:
        try:
            return operation.compute_output_shape(*built_with.values())
        except Exception:  # noqa: BLE001 - a table must not fail over a layer of the user's
            return None
    return None


def format_shape(shape: Any) -> str:
    """A shape, or a structure of shapes, as text."""
    if shape is None:
        return "?"
    if isinstance(shape, dict):
        return ", ".join(f"{key}: {format_shape(value)}" for key, value in shape.items())
    if isinstance(shape, (list, tuple)) and any(isinstance(s, (list, tuple)) for s in shape):
        return "[" + ", ".join(format_shape(s) for s in shape) + "]"
    return str(tuple(shape))


# ----- rows -----


def _rows(
    model: Any, operation: Any, connected: bool, trainable: bool, expand: bool, depth: int
) -> Iterable[list[str]]:
    indent = "   " * depth + ("└ " if depth else "")
    row = [
        f"{indent}{operation.name} ({type_name(operation)})",
        format_shape(output_shapes(model, operation)),
        _count(operation),
    ]
    if connected:
        row.append(_connections(model, operation) if depth == 0 else "-")
    if trainable:
        weights = getattr(operation, "weights", [])
        row.append(("Y" if operation.trainable else "N") if weights else "-")
    yield row
    if expand and hasattr(operation, "_compile_arguments"):
        for inner in shown_operations(operation):
            yield from _rows(operation, inner, connected, trainable, expand, depth + 1)


def _count(operation: Any) -> str:
    if not isinstance(operation, Layer):
        return "0"
    weights = operation.weights
    makes_weights = not getattr(type(operation).build, "_inherited", False) or operation._layers
    if not operation.built and makes_weights:
        return f"{sum(w.size for w in weights):,} (unbuilt)"
    return f"{sum(w.size for w in weights):,}"


def _connections(model: Any, operation: Any) -> str:
    found = []
    for node in calls_within(model, operation):
        for x in node.input_tensors:
            history = x._keras_history
            if history.operation is not None:
                found.append(
                    f"{history.operation.name}[{history.node_index}][{history.tensor_index}]"
                )
    return ", ".join(found) or "-"


# ----- totals -----


def format_size(count: float) -> str:
    """A number of bytes.

    Example:
        >>> format_size(2048)
        '2.00 KB'
    """
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} {_UNITS[-1]}"


def _line(label: str, variables: Sequence[Any]) -> str:
    count = sum(v.size for v in variables)
    size = sum(v.size * dtypes.itemsize(v.dtype) for v in variables)
    return f" {label}: {count:,} ({format_size(size)})"


def _totals(model: Any) -> list[str]:
    trainable, others = model.trainable_weights, model.non_trainable_weights
    optimizer = getattr(model, "optimizer", None)
    own = list(optimizer.variables) if optimizer is not None and optimizer.built else []
    lines = [
        _line("Total params", [*trainable, *others, *own]),
        _line("Trainable params", trainable),
        _line("Non-trainable params", others),
    ]
    return [*lines, _line("Optimizer params", own)] if own else lines


# ----- the table -----


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    right: set[int],
    centred: set[int],
) -> list[str]:
    """Lines of a table in which long cells are wrapped."""

    def rule(left: str, fill: str, between: str, end: str) -> str:
        return left + between.join(fill * width for width in widths) + end

    def cells(row: Sequence[str], bar: str) -> list[str]:
        wrapped = [_wrap(cell, width - 2) for cell, width in zip(row, widths, strict=True)]
        lines = []
        for i in range(max(map(len, wrapped))):
            parts = []
            for column, (cell, width) in enumerate(zip(wrapped, widths, strict=True)):
                text = cell[i] if i < len(cell) else ""
                room = width - 2
                if column in right:
                    text = text.rjust(room)
                elif column in centred:
                    text = text.center(room)
                parts.append(f" {text.ljust(room)} ")
            lines.append(bar + bar.join(parts) + bar)
        return lines

    lines = [rule("┏", "━", "┳", "┓"), *cells(header, "┃"), rule("┡", "━", "╇", "┩")]
    for i, row in enumerate(rows):
        if i:
            lines.append(rule("├", "─", "┼", "┤"))
        lines.extend(cells(row, "│"))
    return [*lines, rule("└", "─", "┴", "┘")]


def _wrap(cell: str, width: int) -> list[str]:
    indent = cell[: len(cell) - len(cell.lstrip())]
    found = textwrap.wrap(
        cell, width, break_on_hyphens=False, drop_whitespace=True, subsequent_indent=indent
    )
    return found or [""]
