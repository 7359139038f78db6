"""The ops of a functional model as Keras's files describe them, and back."""

from __future__ import annotations

import inspect
from typing import Any

from kbackend import ops
from kbackend.base import tree
from kbackend.base.serialization import serialize
from kbackend.models.op_classes import OP_CLASSES
from kbackend.ops.define import OPS, OpCall
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.ops.node import Node

_PREFIX = "keras.src.ops."
# "module.Class" -> op; of two names for one class the longer is the op's own
_BY_CLASS = {
    f"{module}.{cls}": name
    for name, (module, cls, _) in sorted(OP_CLASSES.items(), key=lambda item: len(item[0]))
}
_BY_CLASS |= {"numpy.Abs": "absolute", "numpy.Conj": "conjugate"}


def op_form(node: Node) -> tuple[dict[str, Any], tuple[Any, ...], dict[str, Any]]:
    """One call of an op.

    Args:
        node: the call.

    Returns:
        The form of the operation, and the positional and keyword arguments of the call, with
        KerasTensors in them.
    """
    operation = node.operation
    signature = inspect.signature(OPS[operation.op])
    bound = signature.bind(*node.args, **node.kwargs, **operation.static)
    known = OP_CLASSES.get(operation.op)
    if known is not None:
        module, cls, settings = known
        config = {"name": operation.name}
        given = dict(bound.arguments)
        for name in settings:
            parameter = signature.parameters.get(name)
            if name in given:
                config[name] = given.pop(name)
            elif parameter is not None and parameter.default is not parameter.empty:
                config[name] = parameter.default
        if not any(isinstance(leaf, KerasTensor) for leaf in tree.iter_leaves(config)):
            args, kwargs = _call_arguments(signature, settings, given)
            form = {
                "module": _PREFIX + module,
                "class_name": cls,
                "config": serialize(config),
                "registered_name": cls,
            }
            return form, args, kwargs
    # Keras has no class for it, or not one that takes a tensor there.
    form = {
        "module": "keras.ops",
        "class_name": "OpCall",
        "config": serialize({"name": operation.name, "op": operation.op, **operation.static}),
        "registered_name": "OpCall",
    }
    return form, node.args, node.kwargs


def _call_arguments(
    signature: inspect.Signature, settings: tuple[str, ...], given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    skipped = False
    for name, parameter in signature.parameters.items():
        if name in settings:
            continue
        if name not in given:
            skipped = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(given[name])
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs.update(given[name])
        elif skipped or parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = given[name]
        else:
            args.append(given[name])
    return tuple(args), kwargs


def is_op_form(form: dict[str, Any]) -> bool:
    """Whether a form describes an op, as opposed to a layer."""
    module, cls = form.get("module"), form.get("class_name")
    return isinstance(module, str) and (
        module.startswith(_PREFIX) or (module == "keras.ops" and cls == "OpCall")
    )


def call_op(
    form: dict[str, Any], config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> Any:
    """Calls the op of a form on KerasTensors.

    Args:
        form: the form.
        config: its config, deserialized.
        args: positional arguments of the call.
        kwargs: keyword arguments of the call.

    Raises:
        ValueError: there is no such op, or it does not take these arguments.
    """
    config = dict(config)
    label = config.pop("name", None)
    if form["class_name"] == "OpCall":
        name, settings = config.pop("op", None), None
    else:
        name = _BY_CLASS.get(f"{form['module'].removeprefix(_PREFIX)}.{form['class_name']}")
        settings = OP_CLASSES[name][2] if name is not None else None
    if name not in OPS:
        raise ValueError(
            f"The model uses the operation '{form['class_name']}' of {form['module']}, which "
            "kbackend does not have. Remove it from the model, or write a layer that computes it."
        )
    fn = _public_op(name)
    signature = inspect.signature(OPS[name])
    args = list(args)
    if name == "get_item" and len(args) > 1 and isinstance(args[1], list):
        args[1] = tuple(args[1])  # JSON has no tuples
    try:
        if settings is not None:
            args, kwargs = _in_order(signature, settings, config, args, kwargs)
            config = {}
        result = fn(*args, **kwargs, **config)
    except TypeError as error:
        raise ValueError(
            f"The operation '{label or name}' of the model can't be called: {error}"
        ) from error
    _rename(result, label)
    return result


def _public_op(name: str) -> Any:
    """The public function of an op, wherever in `ops` it stands."""
    for home in (ops, ops.nn, ops.numpy, ops.image, ops.linalg):
        found = getattr(home, name, None)
        if found is not None:
            return found
    raise ValueError(f"There is no op called {name!r}.")


def _in_order(
    signature: inspect.Signature,
    settings: tuple[str, ...],
    config: dict[str, Any],
    args: list[Any],
    kwargs: dict[str, Any],
) -> tuple[list[Any], dict[str, Any]]:
    """The settings and the call's arguments as arguments of the function, which mixes them."""
    named = {**kwargs, **{k: v for k, v in config.items() if k in signature.parameters}}
    rest = list(args)
    ordered: list[Any] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            # What stands before the operands must go by position as well.
            ordered.extend(rest)
            rest = []
        elif name in settings:
            if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
                ordered.append(named.pop(name))
        elif rest and name not in named:
            named[name] = rest.pop(0)
    if rest:
        raise TypeError(f"{len(rest)} arguments too many")
    return ordered, named


def _rename(result: Any, name: str | None) -> None:
    for leaf in tree.iter_leaves(result):
        history = getattr(leaf, "_keras_history", None)
        if name and history is not None and isinstance(history.operation, OpCall):
            history.operation.name = name
