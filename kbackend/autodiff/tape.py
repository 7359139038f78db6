"""`GradientTape`: remembers what is applied, to differentiate it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from kbackend.autodiff.backward import Node, accumulate
from kbackend.base import tree
from kbackend.base.dtypes import INEXACT_SET
from kbackend.core import lang
from kbackend.core.bind import Differentiable, not_recording, pop_recorder, push_recorder
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.tensor import Tensor
from kbackend.engine.loader import current_engine, use_backend

_UNCONNECTED = ("none", "zero")


class GradientTape:
    """Records the ops applied inside a `with` block, for automatic differentiation.

    Trainable variables that are read inside are watched by themselves; other tensors need
    `watch`. Tapes nest: what an inner tape computes in `gradient` is seen by the outer one, which
    gives derivatives of derivatives.

    Args:
        persistent: whether `gradient` may be called several times. Otherwise what the tape
            holds is freed by the first call.
        watch_accessed_variables: whether trainable variables are watched when they are read.

    Example:
        >>> import kbackend as keras
        >>> x = keras.ops.convert_to_tensor([1.0, 2.0])
        >>> with keras.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = keras.ops.sum(x * x)
        >>> tape.gradient(y, x).tolist()
        [2.0, 4.0]
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent = persistent
        self._watch_variables = watch_accessed_variables
        self._nodes: list[Node] = []
        # id -> value that depends on something watched. Holding the value keeps the id its own.
        self._live: dict[int, Any] = {}
        # id of a variable -> (variable, the tensors that were read from it)
        self._variables: dict[int, tuple[Any, list[Any]]] = {}
        self._token: Any = None
        self._used = False

    def __enter__(self) -> GradientTape:
        if self._token is not None:
            raise ValueError("[GradientTape] is recording already. Make a new one to nest tapes.")
        self._token = push_recorder(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        pop_recorder(self._token)
        self._token = None

    # ----- what bind and variables call -----

    def record(
        self, op: Differentiable, args: Any, results: tuple[Any, ...], params: dict[str, Any]
    ) -> None:
        """Remembers an applied op if one of its arguments is watched or depends on one that is."""
        live = self._live
        for arg in args:
            if id(arg) in live:
                break
        else:
            return
        if not op.differentiable:
            return
        self._nodes.append(Node(op, args, results, params))
        for result in results:
            if result.dtype in INEXACT_SET:
                live[id(result)] = result

    def accessed(self, variable: Any, value: Any) -> None:
        """Called when a variable is read."""
        if (self._watch_variables and variable.trainable) or id(variable) in self._variables:
            self._watch_variable(variable, value)

    def follows(self, value: Any) -> bool:
        """Whether `value` is watched, or depends on something that is."""
        return id(value) in self._live

    def _watch_variable(self, variable: Any, value: Any) -> None:
        known = self._variables.setdefault(id(variable), (variable, []))[1]
        if id(value) not in self._live:
            self._live[id(value)] = value
        if not any(value is seen for seen in known):
            known.append(value)

    # ----- what users call -----

    def watch(self, tensor: Any) -> None:
        """Makes the tape follow tensors (or a nested structure of them, or variables).

        Raises:
            ValueError: a leaf is not a floating or complex tensor.
        """
        for leaf in tree.flatten(tensor):
            if isinstance(leaf, Readable):
                # Known first: where the tape is recording, the read itself tells it the value.
                self._variables.setdefault(id(leaf), (leaf, []))
                self._watch_variable(leaf, leaf.read())
                continue
            if not hasattr(leaf, "aval"):
                raise ValueError(
                    f"[GradientTape] watch() takes tensors. Received: {type(leaf).__name__}. "
                    "Convert it with ops.convert_to_tensor first."
                )
            if leaf.dtype not in INEXACT_SET:
                raise ValueError(
                    f"[GradientTape] can only watch floating tensors. Received dtype: {leaf.dtype}."
                )
            self._live[id(leaf)] = leaf

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Hides what is applied inside from this tape."""
        with not_recording(self):
            yield

    def reset(self) -> None:
        """Forgets everything recorded and watched."""
        self._nodes, self._live, self._variables = [], {}, {}
        self._used = False

    def watched_variables(self) -> tuple[Any, ...]:
        """The variables that were read (or watched), in order."""
        return tuple(variable for variable, _ in self._variables.values())

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = "none",
    ) -> Any:
        """Gradient of the sum of `target` with respect to `sources`.

        Args:
            target: tensor, or nested structure of tensors, computed under the tape.
            sources: tensor or variable, or nested structure of them.
            output_gradients: cotangents of the targets, of the same structure and shapes; ones by
                default.
            unconnected_gradients: `"none"` or `"zero"`, the answer for a source on which no
                target depends.

        Returns:
            A structure like `sources`.

        Raises:
            RuntimeError: a non-persistent tape was used before.
        """
        self._check_use(unconnected_gradients)
        targets = [as_target(leaf) for leaf in tree.flatten(target)]
        flat = tree.flatten(sources)
        seeds = None if output_gradients is None else tree.flatten(output_gradients)
        _check_sources(flat)
        _check_seeds(targets, seeds)
        nodes = self._taken()
        with not_recording(self), _engine_of(targets):
            grads = self._backward(nodes, targets, seeds, flat)
            if unconnected_gradients == "zero":
                grads = [
                    lang.zeros(tuple(s.shape), s.dtype) if g is None else g
                    for g, s in zip(grads, flat, strict=True)
                ]
        return tree.pack_as(sources, grads)

    def _taken(self) -> list[Node]:
        """The nodes, to be used up; the tape lets go of them unless it is persistent."""
        if self.persistent:
            return list(self._nodes)
        nodes, self._nodes, self._live = self._nodes, [], {}
        self._used = True
        return nodes

    def _check_use(self, unconnected_gradients: str) -> None:
        if unconnected_gradients not in _UNCONNECTED:
            raise ValueError(
                "[GradientTape] 'unconnected_gradients' must be 'none' or 'zero'. Received: "
                f"{unconnected_gradients!r}."
            )
        if self._used:
            raise RuntimeError(
                "[GradientTape] gradient() can be called once on a tape that is not persistent. "
                "Make it with GradientTape(persistent=True) to call it again."
            )

    def _tensors_of(self, source: Any) -> list[Any]:
        """The tensors through which a source entered the recorded computation."""
        if isinstance(source, Readable):
            known = self._variables.get(id(source))
            return known[1] if known is not None else []
        return [source]

    def _backward(
        self, nodes: list[Node], targets: list[Any], seeds: list[Any] | None, sources: list[Any]
    ) -> list[Any]:
        cotangents: dict[int, Any] = {}
        for i, target in enumerate(targets):
            if target.dtype not in INEXACT_SET:
                continue
            if seeds is None or seeds[i] is None:
                seed = lang.full(target.shape, 1, target.dtype)
            else:
                seed = lang.cast(to_tensor(seeds[i]), target.dtype)
            before = cotangents.get(id(target))
            cotangents[id(target)] = seed if before is None else lang.add(before, seed)
        entries = [self._tensors_of(source) for source in sources]
        wanted = {id(entry) for group in entries for entry in group}
        accumulate(nodes, cotangents, wanted)
        grads = []
        for source, group in zip(sources, entries, strict=True):
            total = None
            for entry in group:
                g = cotangents.get(id(entry))
                if g is None:
                    continue
                if g.dtype != source.dtype:
                    g = lang.cast(g, source.dtype)
                total = g if total is None else lang.add(total, g)
            grads.append(total)
        return grads

    def jacobian(self, target: Any, sources: Any, unconnected_gradients: str = "none") -> Any:
        """Jacobian of one target tensor: `target.shape + source.shape` for each source.

        One backward pass per element of the target.
        """
        self._check_use(unconnected_gradients)
        target = as_target(target)
        flat = tree.flatten(sources)
        _check_sources(flat)
        nodes = self._taken()
        rows: list[list[Any]] = []
        with not_recording(self), _engine_of([target]):
            for i in range(target.size):
                seed = _unit(target, i)
                rows.append(self._backward(list(nodes), [target], [seed], flat))
            out = [
                _stack_rows([row[j] for row in rows], target, source, unconnected_gradients)
                for j, source in enumerate(flat)
            ]
        return tree.pack_as(sources, out)

    def batch_jacobian(self, target: Any, source: Any) -> Any:
        """Jacobian per example: `(batch, *target.shape[1:], *source.shape[1:])`.

        Assumes that example i of the target depends on example i of the source only.
        """
        target = as_target(target)
        if target.ndim < 2 or target.shape[0] != source.shape[0]:
            raise ValueError(
                "[GradientTape] batch_jacobian() needs a target and a source with the same batch "
                f"size. Received: target.shape={target.shape}, source.shape={tuple(source.shape)}."
            )
        self._check_use("none")
        _check_sources([source])
        nodes = self._taken()
        batch, inner = target.shape[0], target.size // max(target.shape[0], 1)
        with not_recording(self), _engine_of([target]):
            rows = []
            for i in range(inner):
                seed = lang.broadcast_to(
                    lang.reshape(_one_hot(inner, i, target.dtype), (1, *target.shape[1:])),
                    target.shape,
                )
                (row,) = self._backward(list(nodes), [target], [seed], [source])
                if row is None:
                    return None
                rows.append(lang.reshape(row, (batch, 1, *source.shape[1:])))
            stacked = lang.concatenate(rows, 1)
            return lang.reshape(stacked, (batch, *target.shape[1:], *source.shape[1:]))


def _engine_of(targets: list[Any]) -> AbstractContextManager[Any]:
    """The engine of the targets, whichever is current now: gradients are computed there."""
    engine = next((t.engine for t in targets if t.__class__ is Tensor), None)
    if engine is None or engine is current_engine():
        return nullcontext()
    return use_backend(engine.name)


def _check_sources(sources: list[Any]) -> None:
    for source in sources:
        if not isinstance(source, Readable) and not hasattr(source, "aval"):
            raise ValueError(
                "[GradientTape] 'sources' must be tensors or variables. Received: "
                f"{source!r} of type {type(source).__name__}."
            )


def _check_seeds(targets: list[Any], seeds: list[Any] | None) -> None:
    if seeds is None:
        return
    if len(seeds) != len(targets):
        raise ValueError(
            "[GradientTape] 'output_gradients' must be structured like 'target'. Received: "
            f"{len(seeds)} for {len(targets)} target(s)."
        )
    for target, seed in zip(targets, seeds, strict=True):
        wanted = tuple(target.shape)
        found = wanted if seed is None else np.shape(seed)
        if len(found) != len(wanted) or any(
            f != w and f is not None and w is not None for f, w in zip(found, wanted, strict=True)
        ):
            raise ValueError(
                "[GradientTape] an output gradient must have the shape of its target. Received: "
                f"{found} for a target of shape {wanted}."
            )


def as_target(value: Any) -> Any:
    """The tensor to differentiate; a Tensor stays itself, whatever the current engine."""
    return value if value.__class__ is Tensor else to_tensor(value)


def _one_hot(n: int, i: int, dtype: str) -> Any:
    return lang.cast(lang.eq(lang.iota((n,), 0, "int32"), i), dtype)


def _unit(target: Any, i: int) -> Any:
    return lang.reshape(_one_hot(target.size, i, target.dtype), target.shape)


def _stack_rows(rows: list[Any], target: Any, source: Any, unconnected: str) -> Any:
    shape = (*target.shape, *source.shape)
    if all(row is None for row in rows):
        return lang.zeros(shape, source.dtype) if unconnected == "zero" else None
    filled = [
        lang.reshape(lang.zeros(tuple(source.shape), source.dtype) if r is None else r, (1, -1))
        for r in rows
    ]
    return lang.reshape(lang.concatenate(filled, 0), shape)
