"""`Lambda`: a function as a layer."""

from __future__ import annotations

import base64
import inspect
import marshal
from collections.abc import Callable, Mapping
from typing import Any

from kbackend.base import serialization, tree
from kbackend.base.shapes import standardize_shape
from kbackend.layers.layer import Layer
from kbackend.ops.keras_tensor import KerasTensor


class Lambda(Layer):
    """A function of tensors as a layer. It can't have weights: write a Layer for that.

    Args:
        function: called as `function(inputs)`, and with `mask` and `training` if it takes them.
        output_shape: shape of one sample of the output, or a function from the input's batch shape
            to the output's. Inferred by default.
        mask: mask of the output, or a function `(inputs, mask)` that returns it.
        arguments: dict of further keyword arguments of the function.

    Raises:
        TypeError: `function` can't be called.

    Example:
        >>> import numpy as np
        >>> Lambda(lambda x: x * 2)(np.array([1.0, 2.0])).tolist()
        [2.0, 4.0]
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(
                f"[Lambda] 'function' must be a function. Received: function={function!r} of type "
                f"{type(function).__name__}."
            )
        if output_shape is not None and not callable(output_shape):
            output_shape = tuple(standardize_shape(output_shape))
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None
        self._output_shape = output_shape
        accepted = _parameter_names(function)
        self._takes_mask = "mask" in accepted
        self._takes_training = "training" in accepted

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        """The function's result."""
        kwargs = dict(self.arguments)
        if self._takes_mask:
            kwargs["mask"] = mask
        if self._takes_training:
            kwargs["training"] = training
        return self.function(inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output for the given input shape."""
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        first = input_shape
        while isinstance(first, (list, tuple, dict)) and not _is_shape(first):
            first = next(iter(first.values() if isinstance(first, dict) else first))
        return (first[0], *self._output_shape)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors with the shapes and dtypes of the outputs."""
        if self._output_shape is None:
            return super().compute_output_spec(*args, **kwargs)
        shapes = tree.map_structure(lambda x: tuple(x.shape), args[0])
        return KerasTensor(self.compute_output_shape(shapes), self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask given to the constructor, or what its function returns."""
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments. Python lambdas are stored as bytecode."""
        config = {**super().get_config(), "function": _dump(self.function)}
        for key, value in (("output_shape", self._output_shape), ("mask", self.mask)):
            if value is not None:
                config[key] = _dump(value)
        config["arguments"] = serialization.serialize(self.arguments)
        return config

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: Mapping[str, Any] | None = None,
        safe_mode: bool | None = None,
    ) -> Lambda:
        """A layer from `get_config`'s answer.

        Args:
            config: the answer.
            custom_objects: name -> function of the user's.
            safe_mode: whether bytecode is refused; it is by default, unless
                `config.enable_unsafe_deserialization` was called.

        Raises:
            ValueError: there is bytecode in the config, and the safe mode is on.
            TypeError: a function is not known.
        """
        config = dict(config)
        for key in ("function", "output_shape", "mask"):
            if isinstance(config.get(key), Mapping):
                config[key] = _load(config[key], custom_objects, safe_mode)
        if "arguments" in config:
            config["arguments"] = serialization.deserialize(config["arguments"], custom_objects)
        return cls(**config)


def _is_shape(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and all(d is None or isinstance(d, int) for d in x)


def _parameter_names(fn: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(fn).parameters)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return ()


def _dump(value: Any) -> Any:
    """A function by name, a lambda as the bytecode that Keras writes, other values serialized."""
    if getattr(value, "__name__", None) != "<lambda>":
        return serialization.serialize(value)
    closure = tuple(cell.cell_contents for cell in value.__closure__ or ()) or None
    return {
        "class_name": "__lambda__",
        "config": {
            "code": base64.encodebytes(marshal.dumps(value.__code__)).decode("ascii"),
            "defaults": serialization.serialize(value.__defaults__),
            "closure": serialization.serialize(closure),
        },
    }


def _load(config: Any, custom_objects: Any, safe_mode: bool | None) -> Any:
    """What `_dump` wrote."""
    inner = config.get("config")
    if config.get("class_name") == "__lambda__" and isinstance(inner, Mapping) and "code" in inner:
        value = (inner["code"], inner.get("defaults"), inner.get("closure"))
        config = {"class_name": "__lambda__", "config": {"value": value}}
    return serialization.deserialize(config, custom_objects, safe_mode=safe_mode)
