"""Functions with gradients of their own: `custom_gradient`, `stop_gradient`, `remat`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from kbackend.autodiff.tape import GradientTape
from kbackend.base import tree
from kbackend.base.dtypes import INEXACT_SET
from kbackend.core.bind import (
    Symbolic,
    active_tapes,
    not_recording,
    pop_recorder,
    push_recorder,
)
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import Tensor


def _alias(value: Any) -> Any:
    """The same values as an object that no tape knows."""
    if value.__class__ is Tensor:
        return Tensor(value.array, value.engine)
    return value.alias()


def _is_tensor(value: Any) -> bool:
    return value.__class__ is Tensor or isinstance(value, Symbolic)


def stop_gradient(x: Any) -> Any:
    """`x` as a constant: no gradient flows back through the result.

    Args:
        x: tensor, variable or nested structure of them.

    Returns:
        The same values.

    Example:
        >>> import kbackend as keras
        >>> keras.grad(lambda x: x * keras.stop_gradient(x))(3.0).item()
        3.0
    """
    return tree.map_structure(lambda leaf: _alias(to_tensor(leaf)), x)


class _Custom:
    """What a tape records for a function with a gradient of its own."""

    differentiable = True

    def __init__(self, pull: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        self._pull = pull

    def backward(
        self,
        needs: Sequence[bool],
        g: Any,
        result: Any,
        args: Sequence[Any],
        params: dict[str, Any],
    ) -> Sequence[Any]:
        return self._pull(g if isinstance(g, tuple) else (g,))


def _record(op: _Custom, args: Sequence[Any], results: Sequence[Any]) -> None:
    for tape in active_tapes():
        tape.record(op, tuple(args), tuple(results), {})


def custom_gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a function that returns its result and its own gradient function.

    Args:
        fn: `(*args) -> (result, grad_fn)`. `grad_fn` takes one cotangent per result, positionally
            or as `upstream=`, and returns one cotangent per tensor argument.

    Returns:
        A function that returns the result alone.

    Raises:
        ValueError: `grad_fn` returns a wrong number of gradients.

    Example:
        >>> import kbackend as keras
        >>> @keras.custom_gradient
        ... def twice(x):
        ...     return 2.0 * x, lambda upstream: 100.0 * upstream
        >>> keras.grad(twice)(1.0).item()
        100.0
    """

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        call = tree.map_structure(
            lambda leaf: leaf if isinstance(leaf, str) or leaf is None else to_tensor(leaf), args
        )
        tensors = [leaf for leaf in tree.flatten(call) if _is_tensor(leaf)]
        with not_recording():
            result, grad_fn = fn(*call, **kwargs)
        results = [_alias(to_tensor(leaf)) for leaf in tree.flatten(result)]

        def pull(gs: Sequence[Any]) -> Sequence[Any]:
            grads = grad_fn(*gs)
            flat = list(grads) if isinstance(grads, (list, tuple)) else [grads]
            if len(flat) != len(tensors):
                raise ValueError(
                    f"[custom_gradient] the gradient of {fn.__name__} must return "
                    f"{len(tensors)} gradient(s), one per tensor argument. Received: {len(flat)}."
                )
            return [None if g is None else to_tensor(g) for g in flat]

        _record(_Custom(pull), tensors, results)
        return tree.pack_as(result, results)

    return wrapped


class _Accessed:
    """Collects the trainable variables that are read while it watches."""

    def __init__(self) -> None:
        self.read: dict[int, tuple[Any, Any]] = {}

    def accessed(self, variable: Any, value: Any) -> None:
        if variable.trainable:
            self.read.setdefault(id(variable), (variable, value))

    def record(self, op: Any, args: Any, results: Any, params: Any) -> None:
        """Ops are of no interest here."""


def remat(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, computing its intermediate values again for the gradient instead of keeping them.

    Args:
        fn: a function of tensors (and of variables that it reads).

    Returns:
        A function with the same results and gradients, that needs less memory and more time.

    Example:
        >>> import kbackend as keras
        >>> keras.grad(keras.remat(lambda x: keras.ops.sin(x) ** 2))(0.0).item()
        0.0

    Reference:
        T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174.
    """

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not active_tapes():
            return fn(*args, **kwargs)
        tensors = [leaf for leaf in tree.flatten((args, kwargs)) if _is_tensor(leaf)]
        collector = _Accessed()
        outer = active_tapes()
        with not_recording():
            token = push_recorder(collector)
            try:
                result = fn(*args, **kwargs)
            finally:
                pop_recorder(token)
        # The tapes around did not see the variables being read; they enter as arguments.
        variables = [variable for variable, _ in collector.read.values()]
        values = [value for _, value in collector.read.values()]
        for tape in outer:
            for variable, value in collector.read.values():
                tape.accessed(variable, value)
        results = [_alias(to_tensor(leaf)) for leaf in tree.flatten(result)]

        def pull(gs: Sequence[Any]) -> Sequence[Any]:
            with GradientTape() as tape:
                tape.watch([t for t in tensors if _differentiable(t)])
                again = fn(*args, **kwargs)
            return tape.gradient(tree.flatten(again), [*tensors, *variables], list(gs))  # type: ignore[no-any-return]

        _record(_Custom(pull), [*tensors, *values], results)
        return tree.pack_as(result, results)

    return wrapped


def _differentiable(value: Any) -> bool:
    return bool(value.dtype in INEXACT_SET)
