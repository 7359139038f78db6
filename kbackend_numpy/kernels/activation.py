"""Kernels of the activations: few passes, in place, block by block, so that they stay in cache.

The arrays that come in belong to immutable tensors and are only read. The formulas are those of the
composites' bodies, so that infinities and NaN come out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from math import pi, prod, sqrt
from typing import Any

import numpy as np

from kbackend.base.dtypes import FLOAT_SET
from kbackend.engine.array_module import special
from kbackend.engine.interface import Kernel

Array = Any
Ints = tuple[int, ...]

# Bytes of one block: three or four of them fit in a level 2 cache of 1 MB or more.
_BLOCK = 1 << 18
# Up to this many classes, they come first within a block: inner loops are over samples then.
_FEW = 32


# ----- how kernels run -----


def wide(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel` without warnings, and on low precision in float32 with one rounding at the end.

    The last argument's dtype is that of the computation; arguments of others stay as they are.
    """

    @wraps(kernel)
    def run(*arrays: Array, **params: Any) -> Any:
        dtype = arrays[-1].dtype
        with np.errstate(all="ignore"):
            if dtype.char in "fd":
                return kernel(*arrays, **params)
            arrays = tuple([a.astype(np.float32) if a.dtype == dtype else a for a in arrays])
            return kernel(*arrays, **params).astype(dtype)

    return run


def each(rule: Callable[..., Any], *arrays: Array) -> Array:
    """`rule(out, scratch, *arrays)` over blocks of arrays of one shape."""
    x = arrays[0]
    out = np.empty(x.shape, x.dtype)
    if x.nbytes <= _BLOCK:
        rule(out, np.empty(x.shape, x.dtype), *arrays)
        return out
    flat = [np.ascontiguousarray(a).reshape(-1) for a in arrays]
    into, step = out.reshape(-1), _BLOCK // x.itemsize
    scratch = np.empty(step, x.dtype)
    for start in range(0, x.size, step):
        part = into[start : start + step]
        rule(part, scratch[: part.size], *[a[start : start + step] for a in flat])
    return out


def over_classes(
    rule: Callable[..., Any], arrays: Sequence[Array], axes: Ints, reduced: bool = False
) -> Array:
    """`rule(out, axes, *arrays)` over blocks of samples, with the classes along `axes`.

    Arrays have one number of dimensions; what does not depend on the class has size 1 along `axes`.
    The rule may overwrite `out` only, which has size 1 along `axes` where `reduced` says so.
    """
    x = arrays[-1]
    shape, outer = x.shape, x.ndim - len(axes)
    if outer == 1 and axes == (1,):
        rows, classes = shape
        kept: Ints = (rows, 1)
    else:
        rows, classes = prod(shape[:outer]), prod(shape[outer:])
        kept = tuple([1 if i in axes else d for i, d in enumerate(shape)])
    out = np.empty(kept if reduced else shape, x.dtype)
    if axes != tuple(range(outer, x.ndim)) or not axes or x.size == 0:
        rule(out, axes, *arrays)
        return out
    into = out
    if x.ndim != 2 or outer != 1:
        arrays = [a.reshape(rows, prod(a.shape[outer:])) for a in arrays]
        into = out.reshape(rows, -1)
    if x.nbytes <= _BLOCK:
        _block(rule, into, arrays, classes)
        return out
    step = max(1, _BLOCK // (classes * x.itemsize))
    for start in range(0, rows, step):
        at = slice(start, start + step)
        _block(rule, into[at], [a[at] for a in arrays], classes)
    return out


def _block(rule: Callable[..., Any], into: Array, arrays: Sequence[Array], classes: int) -> None:
    if classes > _FEW:
        rule(into, (1,), *arrays)
        return
    turned = np.empty(into.shape[::-1], into.dtype)
    rule(turned, (0,), *[a.T.copy() for a in arrays])
    into[...] = turned.T


def total(x: Array, axes: Ints) -> Array:
    """Sum over `axes`, which stay with size 1."""
    if axes == (1,) and x.ndim == 2:
        # BLAS is faster than NumPy's own sum over short rows.
        return (x @ np.ones(x.shape[1], x.dtype))[:, None]
    return np.add.reduce(x, axes, keepdims=True)


# ----- rectifiers -----


def relu(x: Array) -> Array:
    """See `kbackend.ops.nn.rectifiers`."""
    return np.maximum(x, x.dtype.type(0), out=np.empty(x.shape, x.dtype))


# Bytes of a float -> the signed integer of its width.
_BITS = {n: np.dtype(f"i{n}") for n in (1, 2, 4, 8)}


def _masked_bits(out: Array, scratch: Array, x: Array, mask: Array) -> None:
    """x where `mask` holds, else zero, also for infinities and NaN."""
    # As bits, since a choice between two arrays is several times slower.
    bits = _BITS[x.itemsize]
    ones = np.negative(mask.view(np.int8), out=scratch.view(bits), dtype=bits)
    np.bitwise_and(x.view(bits), ones, out=out.view(bits))


def _relu_grad(out: Array, scratch: Array, g: Array, x: Array) -> None:
    _masked_bits(out, scratch, g, np.greater(x, x.dtype.type(0)))


def relu_grad(g: Array, x: Array) -> Array:
    """See `kbackend.ops.nn.rectifiers`."""
    return each(_relu_grad, g, x)


def masked_scale(x: Array, keep: Array, scale: float) -> Array:
    """See `kbackend.random.noise`."""
    factor = x.dtype.type(scale)
    with np.errstate(all="ignore"):
        if keep.shape == x.shape:

            def rule(out: Array, scratch: Array, x: Array, keep: Array) -> None:
                np.multiply(x, factor, out=out)
                _masked_bits(out, scratch, out, keep)

            return each(rule, x, keep)
        shape = np.broadcast_shapes(x.shape, keep.shape)
        out = np.multiply(x, factor, out=np.empty(shape, x.dtype))
    _masked_bits(out, np.empty(keep.shape, x.dtype), out, keep)
    return out


# ----- smooth activations -----


def sigmoid_into(out: Array, x: Array) -> None:
    """sigmoid(x) in place. exp(-x) may overflow, which gives the right answer 0."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def softplus_into(out: Array, scratch: Array, x: Array) -> None:
    """log(1 + exp(x)) in place."""
    np.abs(x, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    out += np.maximum(x, 0, out=scratch)


@wide
def softplus(x: Array) -> Array:
    """See `kbackend.ops.nn.activation`."""
    return each(softplus_into, x)


def _softplus_grad(out: Array, scratch: Array, g: Array, x: Array) -> None:
    sigmoid_into(out, x)
    out *= g


@wide
def softplus_grad(g: Array, x: Array) -> Array:
    """See `kbackend.ops.nn.activation`."""
    return each(_softplus_grad, g, x)


def _silu(out: Array, scratch: Array, x: Array) -> None:
    sigmoid_into(out, x)
    out *= x


@wide
def silu(x: Array) -> Array:
    """See `kbackend.ops.nn.activation`."""
    return each(_silu, x)


def _silu_grad(out: Array, s: Array, g: Array, result: Array, x: Array) -> None:
    sigmoid_into(s, x)
    np.subtract(1, s, out=out)
    out *= result
    out += s
    out *= g


@wide
def silu_grad(g: Array, result: Array, x: Array) -> Array:
    """See `kbackend.ops.nn.activation`."""
    return each(_silu_grad, g, result, x)


_LINEAR, _CUBIC = sqrt(2 / pi), 0.044715 * sqrt(2 / pi)


def _cdf(scratch: Array, x: Array) -> Array:
    """The normal distribution function."""
    np.multiply(x, sqrt(0.5), out=scratch)
    if x.dtype == np.float64:
        out = special.erf_double(np, scratch.reshape(-1)).reshape(x.shape)
    else:
        out = special.erf_single(np, scratch)
    out += 1
    out *= 0.5
    return out


def _gelu_exact(out: Array, scratch: Array, x: Array) -> None:
    np.multiply(x, _cdf(scratch, x), out=out)


def _gelu_exact_grad(out: Array, scratch: Array, g: Array, x: Array) -> None:
    cdf = _cdf(scratch, x)
    np.multiply(x, x, out=out)
    out *= -0.5
    np.exp(out, out=out)
    out *= 1 / sqrt(2 * pi)
    out *= x
    out += cdf
    out *= g


def _gelu_tanh(out: Array, t: Array, x: Array) -> None:
    np.multiply(x, x, out=t)
    t *= _CUBIC
    t += _LINEAR
    t *= x
    np.tanh(t, out=t)
    t += 1
    np.multiply(x, 0.5, out=out)
    out *= t


def _gelu_tanh_grad(out: Array, t: Array, g: Array, result: Array, x: Array) -> None:
    np.multiply(x, x, out=out)
    np.multiply(out, _CUBIC, out=t)
    t += _LINEAR
    t *= x
    np.tanh(t, out=t)
    out *= 3 * _CUBIC
    out += _LINEAR
    # The result is 0.5 x (1 + t), so that x (1 - t^2) / 2 is the result times (1 - t).
    slope = 1 - t
    slope *= result
    out *= slope
    t += 1
    t *= 0.5
    out += t
    out *= g


@wide
def gelu(x: Array, *, approximate: bool) -> Array:
    """See `kbackend.ops.nn.activation`."""
    return each(_gelu_tanh if approximate else _gelu_exact, x)


@wide
def gelu_grad(g: Array, result: Array, x: Array, *, approximate: bool) -> Array:
    """See `kbackend.ops.nn.activation`."""
    return each(_gelu_tanh_grad, g, result, x) if approximate else each(_gelu_exact_grad, g, x)


# ----- softmax -----


def shift_into(out: Array, axes: Ints, x: Array) -> None:
    """x less its maximum, in place."""
    np.subtract(x, np.maximum.reduce(x, axes, keepdims=True), out=out)


def softmax_into(out: Array, axes: Ints, x: Array) -> None:
    """softmax(x) in place."""
    shift_into(out, axes, x)
    np.exp(out, out=out)
    out /= total(out, axes)


def log_softmax_into(out: Array, axes: Ints, x: Array) -> None:
    """log(softmax(x)) in place."""
    shift_into(out, axes, x)
    out -= np.log(total(np.exp(out), axes))


@wide
def softmax(x: Array, *, axes: Ints) -> Array:
    """See `kbackend.ops.nn.normalized_exp`."""
    return over_classes(softmax_into, (x,), axes)


def _softmax_grad(out: Array, axes: Ints, g: Array, result: Array) -> None:
    np.multiply(g, result, out=out)
    along = total(out, axes)
    np.subtract(g, along, out=out)
    out *= result


@wide
def softmax_grad(g: Array, result: Array, *, axes: Ints) -> Array:
    """See `kbackend.ops.nn.normalized_exp`."""
    return over_classes(_softmax_grad, (g, result), axes)


@wide
def log_softmax(x: Array, *, axes: Ints) -> Array:
    """See `kbackend.ops.nn.normalized_exp`."""
    return over_classes(log_softmax_into, (x,), axes)


def _log_softmax_grad(out: Array, axes: Ints, g: Array, result: Array) -> None:
    np.exp(result, out=out)
    out *= total(g, axes)
    np.subtract(g, out, out=out)


@wide
def log_softmax_grad(g: Array, result: Array, *, axes: Ints) -> Array:
    """See `kbackend.ops.nn.normalized_exp`."""
    return over_classes(_log_softmax_grad, (g, result), axes)


COMPOSITES: dict[str, Kernel] = {
    fn.__name__: Kernel(fn, FLOAT_SET)
    for fn in (
        relu_grad, masked_scale, softplus, softplus_grad, silu, silu_grad, gelu, gelu_grad,
        softmax, softmax_grad, log_softmax, log_softmax_grad,
    )
} | {"relu": Kernel(relu)}  # fmt: skip
