"""Finds the objects with state inside of an object, and the paths under which files keep them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from typing import Any

from kbackend.base.naming import to_snake_case
from kbackend.layers.layer import Layer
from kbackend.layers.state_holder import StateHolder
from kbackend.losses.loss import Loss
from kbackend.metrics.metric import Metric
from kbackend.optimizers.optimizer import Optimizer
from kbackend.state.seed import SeedGenerator

_CONTAINERS = (list, tuple, dict, set)
_KINDS = (StateHolder, Optimizer, Metric, Loss, SeedGenerator)
# Attributes of a model that hold what `layers` lists already, or what is not saved.
_OF_MODELS = frozenset(
    ("operations", "_stack", "_function", "_compile_arguments", "_compile_loss",
     "_compile_metrics", "_loss_tracker", "_init_arguments", "loss")
)  # fmt: skip


@functools.cache
def _bookkeeping(kind: type) -> frozenset[str]:
    """Attributes that every object of a kind has, among which there is no state of its own."""
    if kind is Optimizer:
        return frozenset(dir(Optimizer(0.1)))
    return frozenset(dir(Layer() if kind is Layer else kind))


def _skipped(obj: Any) -> frozenset[str]:
    kinds = (Layer, Optimizer, Metric, Loss, SeedGenerator)
    skipped = _bookkeeping(next(kind for kind in kinds if isinstance(obj, kind)))
    return skipped | _OF_MODELS if hasattr(obj, "_compile_arguments") else skipped


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    """Attributes of an object with their names, private ones last."""
    if getattr(obj, "_layers_first", False):
        # The layers of a graph or a stack come first, whatever attributes there are besides.
        yield "layers", obj.layers
    skipped = _skipped(obj)
    for name in sorted(dir(obj), key=lambda name: "~" + name if name[0] == "_" else name):
        if name in skipped or name.startswith("__"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                child = getattr(obj, name)
        except Exception:  # noqa: BLE001, S112 - a property may refuse for any reason
            continue
        yield name, child


def objects_with_state(root: Any) -> dict[str, Any]:
    """Path -> object, for `root` (path "") and all objects with state within.

    The paths are those of Keras: attribute names, and within containers the class names.

    Example:
        >>> import kbackend as keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> list(objects_with_state(model))
        ['', 'layers/dense']
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    _visit(root, "", found, seen)
    return found


def _visit(obj: Any, path: str, found: dict[str, Any], seen: set[int]) -> None:
    if id(obj) in seen:
        return
    seen.add(id(obj))
    found[path] = obj
    prefix = f"{path}/" if path else ""
    for name, child in _children(obj):
        if isinstance(child, _KINDS):
            _visit(child, prefix + name, found, seen)
        elif isinstance(child, _CONTAINERS) and child:
            _visit_container(child, prefix + name, found, seen)


def _visit_container(items: Any, path: str, found: dict[str, Any], seen: set[int]) -> None:
    used: dict[str, int] = {}
    for item in list(items.values()) if isinstance(items, dict) else list(items):
        if isinstance(item, _KINDS):
            # A class that Keras calls otherwise inside says so.
            name = to_snake_case(getattr(item, "_saved_as", type(item).__name__))
        elif isinstance(item, _CONTAINERS):
            name = "container"
        else:
            continue
        count = used.get(name, -1) + 1
        used[name] = count
        inner = f"{path}/{name}_{count}" if count else f"{path}/{name}"
        if isinstance(item, _KINDS):
            _visit(item, inner, found, seen)
        else:
            _visit_container(item, inner, found, seen)
