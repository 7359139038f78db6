"""Kernels of the cross entropies, by the same means as those of the activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.base.dtypes import FLOAT_SET
from kbackend.engine.interface import Kernel
from kbackend_numpy.kernels.activation import (
    each,
    log_softmax_into,
    over_classes,
    shift_into,
    sigmoid_into,
    softmax_into,
    softplus_into,
    total,
    wide,
)

Array = Any
Ints = tuple[int, ...]


def _clip(x: Array, epsilon: float, out: Array) -> Array:
    np.maximum(x, epsilon, out=out)
    return np.minimum(out, 1 - epsilon, out=out)


# ----- dense targets -----


def _softmax_entropy(out: Array, axes: Ints, target: Array, logits: Array) -> None:
    work = np.empty_like(logits)
    log_softmax_into(work, axes, logits)
    work *= target
    np.negative(total(work, axes), out=out)


@wide
def softmax_cross_entropy(target: Array, logits: Array, *, axes: Ints) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""
    return over_classes(_softmax_entropy, (target, logits), axes, reduced=True)


def _softmax_entropy_grad(out: Array, axes: Ints, g: Array, target: Array, logits: Array) -> None:
    softmax_into(out, axes, logits)
    out *= total(target, axes)
    out -= target
    out *= g


@wide
def softmax_cross_entropy_grad(g: Array, target: Array, logits: Array, *, axes: Ints) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""
    return over_classes(_softmax_entropy_grad, (g, target, logits), axes)


@wide
def probability_cross_entropy(target: Array, output: Array, *, axes: Ints, epsilon: float) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""

    def rule(out: Array, axes: Ints, target: Array, output: Array) -> None:
        q = output / total(output, axes)
        _clip(q, epsilon, q)
        np.log(q, out=q)
        q *= target
        np.negative(total(q, axes), out=out)

    return over_classes(rule, (target, output), axes, reduced=True)


@wide
def probability_cross_entropy_grad(
    g: Array, target: Array, output: Array, *, axes: Ints, epsilon: float
) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""

    def rule(out: Array, axes: Ints, g: Array, target: Array, output: Array) -> None:
        sums = total(output, axes)
        q = output / sums
        clipped = _clip(q, epsilon, np.empty_like(q))
        np.multiply(g, target, out=out)
        out /= clipped
        np.negative(out, out=out)
        # NaN differs from itself: there, too, the body's gradient is zero.
        np.copyto(out, 0, where=clipped != q)
        q *= out
        out -= total(q, axes)
        out /= sums

    return over_classes(rule, (g, target, output), axes)


# ----- integer targets -----


def _sparse(
    rule: Callable[..., Any], labels: Array, output: Array, g: Array | None = None
) -> Array:
    """`rule(out, axes, places, valid, [g,] output)` over blocks of rows.

    `places` are those of the labels' entries in a block made flat, and of the first class for
    labels that name none. They and all others but `output` have size 1 along the classes.
    """

    def run(out: Array, axes: Ints, labels: Array, *arrays: Array) -> None:
        rows, classes = arrays[-1].shape if axes == (1,) else arrays[-1].shape[::-1]
        valid = (labels >= 0) & (labels < classes)
        places = np.where(valid, labels, 0).astype(np.intp)
        numbers = np.arange(rows).reshape(labels.shape)
        if axes == (1,):
            places += numbers * classes
        else:
            places *= rows
            places += numbers
        rule(out, axes, places, valid, *arrays)

    columns = [a[:, None] for a in (labels, g) if a is not None]
    out = over_classes(run, (*columns, output), (1,), reduced=g is None)
    return out.reshape(-1) if g is None else out


def _chosen(x: Array, places: Array) -> Array:
    """The labels' entries."""
    # Blocks are contiguous, so nothing is copied.
    return x.reshape(-1).take(places)


def _add(x: Array, places: Array, values: Array) -> None:
    """Adds to the labels' entries, in place."""
    # Each row has one place, so that none occurs twice.
    x.reshape(-1)[places] += values


def _sparse_softmax_entropy(
    out: Array, axes: Ints, places: Array, valid: Array, logits: Array
) -> None:
    work = np.empty(logits.shape, logits.dtype)
    shift_into(work, axes, logits)
    chosen = _chosen(work, places)
    np.exp(work, out=work)
    chosen -= np.log(total(work, axes))
    np.negative(chosen, out=out)
    np.copyto(out, 0, where=~valid)


@wide
def sparse_softmax_cross_entropy(labels: Array, logits: Array) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""
    return _sparse(_sparse_softmax_entropy, labels, logits)


def _sparse_softmax_entropy_grad(
    out: Array, axes: Ints, places: Array, valid: Array, g: Array, logits: Array
) -> None:
    g = np.where(valid, g, 0)
    softmax_into(out, axes, logits)
    out *= g
    _add(out, places, -g)


@wide
def sparse_softmax_cross_entropy_grad(g: Array, labels: Array, logits: Array) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""
    return _sparse(_sparse_softmax_entropy_grad, labels, logits, g)


@wide
def sparse_probability_cross_entropy(labels: Array, output: Array, *, epsilon: float) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""

    def rule(out: Array, axes: Ints, places: Array, valid: Array, output: Array) -> None:
        np.divide(_chosen(output, places), total(output, axes), out=out)
        _clip(out, epsilon, out)
        np.log(out, out=out)
        np.negative(out, out=out)
        np.copyto(out, 0, where=~valid)

    return _sparse(rule, labels, output)


@wide
def sparse_probability_cross_entropy_grad(
    g: Array, labels: Array, output: Array, *, epsilon: float
) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""

    def rule(out: Array, axes: Ints, places: Array, valid: Array, g: Array, output: Array) -> None:
        sums = total(output, axes)
        q = _chosen(output, places)
        q /= sums
        clipped = _clip(q, epsilon, np.empty_like(q))
        slope = g / clipped
        np.negative(slope, out=slope)
        np.copyto(slope, 0, where=~((clipped == q) & valid))
        slope /= sums
        q *= slope
        np.copyto(out, np.negative(q, out=q))
        _add(out, places, slope)

    return _sparse(rule, labels, output, g)


# ----- two classes -----


def _sigmoid_entropy(out: Array, scratch: Array, target: Array, logits: Array) -> None:
    softplus_into(out, scratch, logits)
    out -= np.multiply(target, logits, out=scratch)


@wide
def sigmoid_cross_entropy(target: Array, logits: Array) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""
    return each(_sigmoid_entropy, target, logits)


def _sigmoid_entropy_grad(
    out: Array, scratch: Array, g: Array, target: Array, logits: Array
) -> None:
    sigmoid_into(out, logits)
    out -= target
    out *= g


@wide
def sigmoid_cross_entropy_grad(g: Array, target: Array, logits: Array) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""
    return each(_sigmoid_entropy_grad, g, target, logits)


@wide
def binary_probability_cross_entropy(target: Array, output: Array, *, epsilon: float) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""

    def rule(out: Array, scratch: Array, target: Array, output: Array) -> None:
        q = _clip(output, epsilon, np.empty(output.shape, output.dtype))
        np.log(q, out=out)
        out *= target
        np.subtract(1, q, out=q)
        np.log(q, out=q)
        np.subtract(1, target, out=scratch)
        scratch *= q
        out += scratch
        np.negative(out, out=out)

    return each(rule, target, output)


@wide
def binary_probability_cross_entropy_grad(
    g: Array, target: Array, output: Array, *, epsilon: float
) -> Array:
    """See `kbackend.ops.nn.crossentropy`."""

    def rule(out: Array, scratch: Array, g: Array, target: Array, output: Array) -> None:
        q = _clip(output, epsilon, scratch)
        np.subtract(q, target, out=out)
        out *= g
        clipped = q != output
        out /= q * (1 - q)
        np.copyto(out, 0, where=clipped)

    return each(rule, g, target, output)


COMPOSITES: dict[str, Kernel] = {
    fn.__name__: Kernel(fn, FLOAT_SET)
    for fn in (
        softmax_cross_entropy, softmax_cross_entropy_grad, probability_cross_entropy,
        probability_cross_entropy_grad, sparse_softmax_cross_entropy_grad,
        sparse_probability_cross_entropy_grad, sigmoid_cross_entropy, sigmoid_cross_entropy_grad,
        binary_probability_cross_entropy, binary_probability_cross_entropy_grad,
    )
} | {
    # The first argument of these two is the labels.
    fn.__name__: Kernel(fn, frozenset({"int32", "int64"}))
    for fn in (sparse_softmax_cross_entropy, sparse_probability_cross_entropy)
}  # fmt: skip
