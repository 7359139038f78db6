"""Functions with gradients of their own: `custom_gradient`, `stop_gradient`, `remat`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

from kbackend.autodiff.replay import FirstRun, Rerun
from kbackend.autodiff.tape import GradientTape
from kbackend.base import tree
from kbackend.core.bind import Recorder, Symbolic, active_tapes, not_recording, recording
from kbackend.core.convert import to_tensor
from kbackend.core.stateless import reading_through
from kbackend.core.tensor import Tensor


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

    def stop(leaf: Any) -> Any:
        found = to_tensor(leaf)
        return found.detached() if isinstance(found, Symbolic) else found.alias()

    return tree.map_structure(stop, x)


class _Custom:
    """What a tape records for a function with a gradient of its own.

    Attributes:
        overrides: whether that is another gradient than the one of what the function applies.
    """

    differentiable = True

    def __init__(
        self,
        pull: Callable[[Sequence[bool], Sequence[Any]], Sequence[Any]],
        overrides: bool = False,
    ) -> None:
        self._pull = pull
        self.overrides = overrides

    def backward(
        self,
        needs: Sequence[bool],
        g: Any,
        result: Any,
        args: Sequence[Any],
        params: dict[str, Any],
    ) -> Sequence[Any]:
        return self._pull(needs, g if isinstance(g, tuple) else (g,))


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
        results = [to_tensor(leaf).alias() for leaf in tree.flatten(result)]

        def pull(needs: Sequence[bool], gs: Sequence[Any]) -> Sequence[Any]:
            grads = grad_fn(*gs)
            flat = tree.flatten(grads)
            if len(flat) != len(tensors):
                raise ValueError(
                    f"[custom_gradient] the gradient of {fn.__name__} must return "
                    f"{len(tensors)} gradient(s), one per tensor argument. Received: {len(flat)}."
                )
            return [_fitting(g, x, fn) for g, x in zip(flat, tensors, strict=True)]

        _record(_Custom(pull, overrides=True), tensors, results)
        return tree.pack_as(result, results)

    return wrapped


def _fitting(g: Any, x: Any, fn: Callable[..., Any]) -> Any:
    """The gradient `g` of the argument `x` as a tensor, checked."""
    if g is None:
        return None
    g = to_tensor(g)
    if None not in (*g.shape, *x.shape) and tuple(g.shape) != tuple(x.shape):
        raise ValueError(
            f"[custom_gradient] the gradient of {fn.__name__} must have the shape of its argument, "
            f"{tuple(x.shape)}. Received: {tuple(g.shape)}."
        )
    return g


def separate(value: Any) -> Any:
    """The same values as an object of its own; gradients flow back to `value`."""
    made = value.alias()
    _record(_Custom(lambda needs, gs: gs), (value,), (made,))
    return made


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
        first = FirstRun(active_tapes())
        with recording(()):
            # What else the function sees of the world (dtypes to cast to, the training phase).
            surroundings = copy_context()
        with recording((first,)), reading_through(first):
            result = fn(*args, **kwargs)
        leaves = tree.flatten(result)
        for leaf in (*tree.flatten((args, kwargs)), *leaves):
            if _is_tensor(leaf):
                first.capture(leaf)
        inputs = list(first.captured.values())
        taken = [i for i, leaf in enumerate(leaves) if leaf is not None]
        for i in taken:
            leaves[i] = to_tensor(leaves[i]).alias()

        def again(
            tapes: tuple[Recorder, ...], wanted: Sequence[Any], gs: Sequence[Any]
        ) -> list[Any]:
            # In a trace, what is computed again must stay apart from what was computed first.
            behind: dict[int, Any] = {}

            def enter(leaf: Any) -> Any:
                if not isinstance(leaf, Symbolic):
                    return leaf
                if id(leaf) not in behind:
                    made = behind[id(leaf)] = leaf.barrier()
                    _record(_Custom(lambda needs, gs: gs), (leaf,), (made,))
                return behind[id(leaf)]

            with recording(tapes):
                again_args, again_kwargs = tree.map_structure(enter, (args, kwargs))
                read = {key: (v, enter(value)) for key, (v, value) in first.read.items()}
                wanted = [behind.get(id(x), x) for x in wanted]
            with recording(tapes), reading_through(Rerun(read)):
                with GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(wanted)
                    outcome = tree.flatten(fn(*again_args, **again_kwargs))
                return tape.gradient([outcome[i] for i in taken], wanted, list(gs))  # type: ignore[no-any-return]

        def pull(needs: Sequence[bool], gs: Sequence[Any]) -> Sequence[Any]:
            wanted = [x for need, x in zip(needs, inputs, strict=True) if need]
            found = iter(surroundings.copy().run(again, active_tapes(), wanted, gs))
            return [next(found) if need else None for need in needs]

        _record(_Custom(pull), inputs, [leaves[i] for i in taken])
        return tree.pack_as(result, leaves)

    return wrapped
