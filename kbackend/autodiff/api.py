"""Derivatives of functions: `grad`, `value_and_grad`, `vjp`, `jvp`, `jacobian`, `hessian`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.autodiff.custom import separate
from kbackend.autodiff.tape import GradientTape, as_target
from kbackend.base import tree
from kbackend.core import lang
from kbackend.core.convert import Readable, to_tensor

Fn = Callable[..., Any]


def _as_sources(structure: Any) -> Any:
    """Leaves as tensors; variables stay themselves.

    A tensor that was met before becomes an object of its own: the gradient with respect to each
    place is asked for.
    """
    met: set[int] = set()

    def source(leaf: Any) -> Any:
        if isinstance(leaf, Readable):
            return leaf
        found = to_tensor(leaf)
        if id(found) in met:
            found = separate(found)
        met.add(id(found))
        return found

    return tree.map_structure(source, structure)


def _called_with(args: Sequence[Any], positions: Sequence[int]) -> list[Any]:
    """The arguments of a call, those at `positions` as sources."""
    call = list(args)
    chosen = _as_sources([call[position] for position in positions])
    for position, source in zip(positions, chosen, strict=True):
        call[position] = source
    return call


def _selected(argnums: int | Sequence[int], count: int) -> tuple[int, ...]:
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for position in chosen:
        if not -count <= position < count:
            raise ValueError(
                f"'argnums' must name positional arguments. Received: argnums={argnums} for "
                f"{count} of them."
            )
    return tuple(position % count for position in chosen)


def value_and_grad(fn: Fn, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Fn:
    """A function that returns the value of `fn` and its gradient.

    Args:
        fn: returns a scalar tensor, or `(scalar, aux)` with `has_aux`.
        argnums: position(s) of the arguments to differentiate with respect to; each may be a
            nested structure of floating tensors or variables.
        has_aux: whether `fn` returns something beside the scalar.

    Returns:
        A function `(*args, **kwargs) -> (value, gradient)`, or `((value, aux), gradient)`. The
        gradient has the structure of the argument, in a tuple where `argnums` is a sequence.

    Raises:
        ValueError: `fn` does not return a scalar.

    Example:
        >>> value_and_grad(lambda x: x * x)(3.0)[1].item()
        6.0
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = _selected(argnums, len(args))
        call = _called_with(args, positions)
        with GradientTape() as tape:
            for position in positions:
                tape.watch(call[position])
            out = fn(*call, **kwargs)
        value = as_target(out[0] if has_aux else out)
        if tuple(value.shape) != ():
            raise ValueError(
                "[value_and_grad] the function must return a scalar. Received a tensor of shape "
                f"{tuple(value.shape)}. Reduce it with ops.sum or ops.mean."
            )
        grads = tape.gradient(
            value, [call[position] for position in positions], unconnected_gradients="zero"
        )
        return out, grads[0] if isinstance(argnums, int) else tuple(grads)

    return wrapped


def grad(fn: Fn, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Fn:
    """A function that returns the gradient of the scalar function `fn`.

    Args:
        fn: returns a scalar tensor, or `(scalar, aux)` with `has_aux`.
        argnums: position(s) of the arguments to differentiate with respect to.
        has_aux: whether `fn` returns something beside the scalar; it is returned as well.

    Returns:
        A function `(*args, **kwargs) -> gradient`, or `(gradient, aux)`.

    Example:
        >>> grad(grad(lambda x: x**3))(2.0).item()
        12.0
    """
    both = value_and_grad(fn, argnums, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(fn: Fn, *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fn` and the function that pulls cotangents back through it.

    Args:
        fn: returns a tensor or a nested structure of tensors.
        *primals: where to evaluate; nested structures of floating tensors.
        has_aux: whether `fn` returns `(output, aux)`.

    Returns:
        `(output, pullback)`, or `(output, pullback, aux)`. `pullback(cotangents)` takes a
        structure like `output` and returns a tuple with one structure per primal.

    Example:
        >>> y, pullback = vjp(lambda a, b: a * b, 2.0, 5.0)
        >>> [g.item() for g in pullback(1.0)]
        [5.0, 2.0]
    """
    sources = _as_sources(tuple(primals))
    with GradientTape(persistent=True) as tape:
        tape.watch(sources)
        result = fn(*sources)
    output, aux = result if has_aux else (result, None)

    def pullback(cotangents: Any) -> Any:
        seeds = tree.map_structure(to_tensor, cotangents)
        return tape.gradient(output, sources, seeds, unconnected_gradients="zero")

    return (output, pullback, aux) if has_aux else (output, pullback)


def jvp(fn: Fn, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of `fn` and its derivative along `tangents`.

    The pullback is linear in its cotangent, so that the pullback of the pullback pushes forward.

    Args:
        fn: returns a tensor or a nested structure of tensors.
        primals: sequence of arguments.
        tangents: sequence of directions, shaped like `primals`.
        has_aux: whether `fn` returns `(output, aux)`.

    Returns:
        `(output, output tangent)`, or `(output, output tangent, aux)`.

    Example:
        >>> y, dy = jvp(lambda x: x * x * x, (2.0,), (1.0,))
        >>> y.item(), dy.item()
        (8.0, 12.0)

    Reference:
        J. Townsend, "A new trick for calculating Jacobian vector products", 2017.
    """
    if len(primals) != len(tangents):
        raise ValueError(
            f"[jvp] needs one tangent per primal. Received: {len(primals)} primals and "
            f"{len(tangents)} tangents."
        )
    sources = _as_sources(tuple(primals))
    directions = tree.map_structure(lambda t, p: to_tensor(t, p.dtype), tuple(tangents), sources)
    result = vjp(fn, *sources, has_aux=has_aux)
    output, pullback = result[0], result[1]
    dummies = tree.map_structure(lambda y: lang.zeros(tuple(y.shape), y.dtype), output)
    with GradientTape() as tape:
        tape.watch(dummies)
        pulled = pullback(dummies)
    pushed = tape.gradient(pulled, dummies, directions, unconnected_gradients="zero")
    return (output, pushed, result[2]) if has_aux else (output, pushed)


def jacobian(fn: Fn, argnums: int | Sequence[int] = 0) -> Fn:
    """A function that returns the Jacobian of `fn`: `output.shape + argument.shape`.

    Args:
        fn: returns one tensor.
        argnums: position(s) of the arguments to differentiate with respect to.

    Example:
        >>> import kbackend as keras
        >>> jacobian(lambda x: x * x)(keras.ops.convert_to_tensor([1.0, 2.0])).tolist()
        [[2.0, 0.0], [0.0, 4.0]]
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = _selected(argnums, len(args))
        call = _called_with(args, positions)
        with GradientTape() as tape:
            for position in positions:
                tape.watch(call[position])
            out = fn(*call, **kwargs)
        found = tape.jacobian(
            out, [call[position] for position in positions], unconnected_gradients="zero"
        )
        return found[0] if isinstance(argnums, int) else tuple(found)

    return wrapped


def hessian(fn: Fn, argnums: int = 0) -> Fn:
    """A function that returns the matrix of second derivatives of the scalar function `fn`.

    Args:
        fn: returns a scalar tensor.
        argnums: position of the argument (one tensor) to differentiate with respect to.

    Example:
        >>> import kbackend as keras
        >>> hessian(lambda x: keras.ops.sum(x**3))(keras.ops.convert_to_tensor([1.0, 2.0])).tolist()
        [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacobian(grad(fn, argnums), argnums)
