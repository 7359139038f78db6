"""Losses, metrics and targets brought into the order of a model's outputs."""

from __future__ import annotations

from typing import Any

from kbackend.base import tree


def output_names_of(model: Any, y_pred: Any) -> list[str]:
    """A name for each output: key, name of the layer that makes it, or `output_1`, ..."""
    if isinstance(y_pred, dict):
        return [".".join(map(str, path)) for path, _ in tree.flatten_with_path(y_pred)]
    count = len(tree.flatten(y_pred))
    outputs = getattr(model, "outputs", None)
    if outputs is not None and len(outputs) == count:
        names = [x._keras_history.operation.name for x in outputs]
        if len(set(names)) == count:
            return names
    return [f"output_{i + 1}" for i in range(count)]


def per_output(value: Any, names: list[str], what: str, is_leaf: Any) -> list[Any]:
    """One entry per output.

    Args:
        value: one for all, a list, or a dict by output name.
        names: the outputs' names.
        what: what it is, for messages.
        is_leaf: whether a list or dict is itself an entry (a list of metrics, say).

    Raises:
        ValueError: the number or a key is wrong.
    """
    if value is None:
        return [None] * len(names)
    if isinstance(value, dict) and not is_leaf(value):
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise ValueError(
                f"[compile] '{what}' names outputs that the model does not have: {unknown}. Its "
                f"outputs: {names}."
            )
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)) and not is_leaf(value):
        if len(value) != len(names):
            raise ValueError(
                f"[compile] '{what}' has {len(value)} entries for {len(names)} outputs: {names}."
            )
        return list(value)
    return [value] * len(names)


def align(value: Any, names: list[str], what: str) -> list[Any]:
    """Targets (or weights) as a list in the order of the outputs; `None` where there is none.

    Raises:
        ValueError: their number or a key is wrong.
    """
    if value is None:
        return [None] * len(names)
    if isinstance(value, dict):
        flat = {".".join(map(str, path)): leaf for path, leaf in tree.flatten_with_path(value)}
        unknown = sorted(set(flat) - set(names))
        if unknown and len(flat) == len(names) and not set(flat) & set(names):
            return list(flat.values())
        if unknown:
            raise ValueError(
                f"[fit] '{what}' has keys that are no outputs of the model: {unknown}. Its "
                f"outputs: {names}."
            )
        return [flat.get(name) for name in names]
    leaves = tree.flatten(value)
    if len(leaves) != len(names):
        raise ValueError(
            f"[fit] '{what}' has {len(leaves)} entries. The model has {len(names)} output(s): "
            f"{names}."
        )
    return leaves
