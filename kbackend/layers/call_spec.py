"""What a layer's `call` and `build` take: read from their signatures once per class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from kbackend.base import tree
from kbackend.core.bind import Symbolic
from kbackend.core.tensor import Tensor
from kbackend.ops.keras_tensor import KerasTensor


class CallSignature(NamedTuple):
    """The parameters of a `call` method that matter at every call.

    Attributes:
        names: positional parameters, without `self`.
        has_training: whether it takes `training`.
        training_default: default of `training`.
        has_mask: whether it takes `mask`.
        mask_names: parameter `x` -> parameter `x_mask`, for those that have one.
        any_keyword: whether it takes `**kwargs`.
    """

    names: tuple[str, ...]
    has_training: bool
    training_default: bool | None
    has_mask: bool
    mask_names: dict[str, str]
    any_keyword: bool


def read_call(fn: Callable[..., Any]) -> CallSignature:
    """The signature of an unbound `call`."""
    parameters = list(inspect.signature(fn).parameters.values())[1:]
    by_name = {p.name: p for p in parameters}
    positional = tuple(
        p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)
    )
    training = by_name.get("training")
    default = training.default if training is not None else None
    return CallSignature(
        names=positional,
        has_training=training is not None,
        training_default=default if isinstance(default, bool) else None,
        has_mask="mask" in by_name,
        mask_names={name: f"{name}_mask" for name in positional if f"{name}_mask" in by_name},
        any_keyword=any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


class BuildSignature(NamedTuple):
    """The parameters of a `build` method: one shape, or `<argument>_shape` by name."""

    names: tuple[str, ...]
    variadic: bool


def read_build(fn: Callable[..., Any]) -> BuildSignature:
    """The signature of an unbound `build`."""
    parameters = list(inspect.signature(fn).parameters.values())[1:]
    return BuildSignature(
        tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD),
        any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters),
    )


def is_tensor(x: Any) -> bool:
    """Whether `x` is a Tensor or a symbolic value."""
    return x.__class__ is Tensor or isinstance(x, Symbolic)


def shape_of(structure: Any) -> Any:
    """Structure of the shapes of a structure of tensors."""
    return tree.map_structure(lambda x: tuple(x.shape) if is_tensor(x) else None, structure)


def bind_arguments(
    signature: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by parameter name, in the order in which they were given."""
    names = signature.names
    bound = dict(zip(names, args, strict=False))
    if len(args) > len(names):
        bound.update({f"arg{i}": arg for i, arg in enumerate(args[len(names) :], len(names))})
    bound.update(kwargs)
    return bound


def tensor_arguments(bound: dict[str, Any]) -> dict[str, Any]:
    """The arguments that hold tensors, and nothing but tensors."""
    found = {}
    for name, value in bound.items():
        leaves = tree.flatten(value)
        if leaves and all(is_tensor(leaf) for leaf in leaves):
            found[name] = value
    return found


def symbols_of(shapes: Any, dtype: str) -> Any:
    """KerasTensors for a shape, or for a structure of shapes."""
    if isinstance(shapes, KerasTensor):
        return shapes
    if isinstance(shapes, dict):
        return {key: symbols_of(value, dtype) for key, value in shapes.items()}
    if isinstance(shapes, (list, tuple)) and any(
        isinstance(s, (list, tuple, dict)) for s in shapes
    ):
        made = [symbols_of(s, dtype) for s in shapes]
        return made if isinstance(shapes, list) else tuple(made)
    return None if shapes is None else KerasTensor(tuple(shapes), dtype)


def keyword_names(cls: type) -> frozenset[str] | None:
    """Names of the keywords that the constructor of `cls` takes; `None` for any."""
    constructor: Any = cls.__dict__.get("__init__") or cls.__init__  # type: ignore[misc]
    parameters = inspect.signature(constructor).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters)
