"""What goes into a model: its constructor's arguments, and the data it is called with."""

from __future__ import annotations

import warnings
from typing import Any

from kbackend.base import tree
from kbackend.base.dtypes import FLOAT_SET
from kbackend.core import lang
from kbackend.core.masks import set_keras_mask
from kbackend.layers.core.input_layer import InputLayer
from kbackend.ops.function import Function
from kbackend.ops.keras_tensor import KerasTensor


def modern_spelling(kwargs: dict[str, Any]) -> dict[str, Any]:
    """`input=` and `output=` of earlier versions as `inputs=` and `outputs=`."""
    if "input" not in kwargs and "output" not in kwargs:
        return kwargs
    renamed = dict(kwargs)
    for old, new in (("input", "inputs"), ("output", "outputs")):
        if old in renamed:
            warnings.warn(
                f"Model({old}=) is the spelling of earlier versions. Use {new}=.",
                DeprecationWarning,
                stacklevel=4,
            )
            renamed[new] = renamed.pop(old)
    return renamed


def is_functional_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the constructor's arguments are inputs and outputs."""
    return (
        len(args) >= 2
        or (len(args) == 1 and "outputs" in kwargs)
        or {
            "inputs",
            "outputs",
        }
        <= set(kwargs)
    )


def match(function: Function, inputs: Any, mask: Any, name: str) -> list[Any]:
    """The data in the order of the graph's inputs, with rank and dtype adjusted to them.

    Raises:
        ValueError: an input is missing, there are too many, or a shape does not fit.
    """
    wanted = function.inputs
    if len(wanted) == 1 and not tree.is_nested(inputs):
        flat = [inputs]
    elif isinstance(inputs, dict) and not isinstance(function.inputs_struct, dict):
        missing = [x.name for x in wanted if x.name not in inputs]
        if missing:
            raise ValueError(
                f"[{name}] the inputs lack {missing}. Received the keys: {sorted(inputs)}."
            )
        flat = [inputs[x.name] for x in wanted]
    elif isinstance(function.inputs_struct, dict) and isinstance(inputs, dict):
        keys = set(function.inputs_struct)
        if not keys <= set(inputs):
            raise ValueError(
                f"[{name}] the inputs lack {sorted(keys - set(inputs))}. Received the keys: "
                f"{sorted(inputs)}."
            )
        flat = tree.flatten({key: inputs[key] for key in function.inputs_struct})
    else:
        flat = tree.flatten(inputs)
    if len(flat) != len(wanted):
        raise ValueError(
            f"[{name}] expects {len(wanted)} input(s): {', '.join(x.name for x in wanted)}. "
            f"Received {len(flat)}."
        )
    adjusted = [_adjust(value, x, name) for value, x in zip(flat, wanted, strict=True)]
    if mask is not None:
        for value, one in zip(adjusted, tree.flatten(mask), strict=False):
            if one is not None and value is not None:
                set_keras_mask(value, one)
    return adjusted


def _adjust(value: Any, wanted: KerasTensor, name: str) -> Any:
    """One input with the rank and dtype of the KerasTensor that it stands for."""
    if value is None:
        return value
    shape, target = tuple(value.shape), wanted.shape
    if len(shape) == len(target) + 1 and shape[-1] == 1:
        value = lang.reshape(value, shape[:-1])
    elif len(shape) == len(target) - 1 and target[-1] == 1:
        value = lang.reshape(value, (*shape, 1))
    shape = tuple(value.shape)
    if len(shape) != len(target) or any(
        want is not None and have is not None and want != have
        # A batch may have another size than the one that the graph was made for.
        for want, have in zip(target[1:], shape[1:], strict=True)
    ):
        raise ValueError(
            f"[{name}] the input '{wanted.name}' has the shape {target}. Received data of shape "
            f"{shape}."
        )
    if value.dtype != wanted.dtype and wanted.dtype in FLOAT_SET and value.dtype not in FLOAT_SET:
        value = lang.cast(value, wanted.dtype)
    return value


def input_tensor_of(shape: Any, dtype: str, name: str | None = None) -> Any:
    """A new model input for a batch shape (or a structure of batch shapes)."""
    if isinstance(shape, dict):
        return {key: input_tensor_of(one, dtype, key) for key, one in shape.items()}
    if isinstance(shape, (list, tuple)) and any(isinstance(s, (list, tuple, dict)) for s in shape):
        return [input_tensor_of(one, dtype) for one in shape]
    return InputLayer(batch_shape=tuple(shape), dtype=dtype, name=name).output
