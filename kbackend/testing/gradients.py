"""Gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kbackend.autodiff import jvp, vjp
from kbackend.base import tree
from kbackend.core.tensor import tensor

# Central differences in float64: truncation grows as eps^2, rounding as 1e-16 / eps, so that
# 1e-5 balances them near 1e-10; the tolerances leave room for large derivatives.
_EPS = 1e-5
_RTOL = 2e-5
_ATOL = 1e-7


def check_grads(
    fn: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    rtol: float = _RTOL,
    atol: float = _ATOL,
    eps: float = _EPS,
    seed: int = 0,
) -> None:
    """Raises unless the derivatives of `fn` agree with finite differences, in both modes.

    Derivatives are compared along random directions, so that the cost does not grow with the
    number of elements. Order 2 checks the derivatives of the gradient in the same way.

    Args:
        fn: function of tensors that returns a floating tensor or a structure of them.
        args: float64 arrays to evaluate at; a point of a kink will fail.
        order: 1 or 2.
        rtol: relative tolerance.
        atol: absolute tolerance.
        eps: step of the differences.
        seed: seed of the directions.

    Raises:
        AssertionError: a derivative is wrong; the message names the argument's direction.

    Example:
        >>> import kbackend as keras
        >>> check_grads(keras.ops.tanh, [np.linspace(-1.0, 1.0, 5)], order=2)
    """
    rng = np.random.default_rng(seed)
    points = [np.asarray(arg, dtype="float64") for arg in args]
    directions = [rng.standard_normal(point.shape) for point in points]
    for i, direction in enumerate(directions):
        # A zero direction in the others tells the arguments apart.
        only = [direction if j == i else np.zeros_like(d) for j, d in enumerate(directions)]
        _check(fn, points, only, f"order 1, argument {i}", rtol, atol, eps, rng)
    if order > 1:
        cotangents = [rng.standard_normal(y.shape) for y in _flat(fn, points)]

        def gradient(*xs: Any) -> Any:
            _, pullback = vjp(lambda *zs: tree.flatten(fn(*zs)), *xs)
            return pullback([tensor(c) for c in cotangents])

        _check(gradient, points, directions, "order 2", rtol, atol, eps, rng)


def _flat(fn: Callable[..., Any], points: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
    return [np.array(y) for y in tree.flatten(fn(*[tensor(p) for p in points]))]


def _check(
    fn: Callable[..., Any], points: Any, directions: Any, what: str, rtol: float, atol: float,
    eps: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    ahead = _flat(fn, [p + eps * d for p, d in zip(points, directions, strict=True)])
    behind = _flat(fn, [p - eps * d for p, d in zip(points, directions, strict=True)])
    numeric = [(a - b) / (2 * eps) for a, b in zip(ahead, behind, strict=True)]
    _, pushed = jvp(
        lambda *xs: tree.flatten(fn(*xs)),
        [tensor(p) for p in points],
        [tensor(d) for d in directions],
    )
    for found, expected in zip(pushed, numeric, strict=True):
        np.testing.assert_allclose(
            np.asarray(found), expected, rtol=rtol, atol=atol, err_msg=f"jvp, {what}"
        )
    cotangents = [rng.standard_normal(n.shape) for n in numeric]
    _, pullback = vjp(lambda *xs: tree.flatten(fn(*xs)), *[tensor(p) for p in points])
    pulled = pullback([tensor(c) for c in cotangents])
    left = sum(float(np.vdot(np.asarray(g), d)) for g, d in zip(pulled, directions, strict=True))
    right = sum(float(np.vdot(c, n)) for c, n in zip(cotangents, numeric, strict=True))
    np.testing.assert_allclose(left, right, rtol=rtol, atol=atol, err_msg=f"vjp, {what}")
