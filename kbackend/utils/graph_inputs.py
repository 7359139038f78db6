"""Where a symbolic tensor comes from."""

from __future__ import annotations

from typing import Any

from kbackend.base import tree


def get_source_inputs(tensor: Any) -> list[Any]:
    """The model inputs that a KerasTensor is computed from.

    Args:
        tensor: KerasTensor, or structure of KerasTensors.

    Returns:
        List of the KerasTensors that `Input` made, each once.

    Example:
        >>> import kbackend as keras
        >>> x = keras.Input((2,), name="x")
        >>> [source.name for source in get_source_inputs(x * 2.0 + 1.0)]
        ['x']
    """
    found: list[Any] = []
    seen: set[int] = set()
    stack = list(reversed(tree.flatten(tensor)))
    while stack:
        x = stack.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        history = getattr(x, "_keras_history", None)
        if history is None or history.operation is None:
            found.append(x)
            continue
        node = history.operation._inbound_nodes[history.node_index]
        if node.is_input:
            found.append(x)
        else:
            stack.extend(reversed(node.input_tensors))
    return found
