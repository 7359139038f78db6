"""Kernels of the activations: few passes over blocks that stay in cache.

The formulas are those of the composites' bodies, so that infinities and NaN come out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, pi, sqrt
from typing import Any

import numpy as np

from kbackend.engine.array_module import special
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy.kernels.blocks import Rule, elementwise, kernel
from kbackend_numpy.kernels.vectorised import BASE, POWER

Array = Any
Ints = tuple[int, ...]


def of_rule(rule: Rule) -> Kernel:
    """The kernel of an elementwise rule that has no parameters."""
    return kernel(lambda inputs: elementwise(rule, inputs))


# ----- rectifiers -----

# Bytes of a float -> the signed integer of its width.
_BITS = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}


def relu(x: Array) -> Array:
    """See `kbackend.ops.nn.rectifiers`. Of any numbers."""
    out = np.empty(x.shape, x.dtype)
    _relu(out, x)
    return out


def _relu(out: Array, x: Array) -> None:
    np.maximum(x, x.dtype.type(0), out=out)


def _prepare_relu(inputs: Sequence[Spec], outputs: Sequence[Spec]) -> Prepared:
    return elementwise(Rule(_relu, in_place=(0,), cost=0.4), inputs)


def masked(out: Array, x: Array, mask: Array, scratch: Array) -> None:
    """x where `mask` holds, else zero, also for infinities and NaN."""
    # As bits times 0 or 1, since a choice between two arrays is many times slower.
    bits = _BITS[x.itemsize]
    kept = scratch.view(bits)
    np.copyto(kept, mask)
    np.multiply(x.view(bits), kept, out=out.view(bits))


def _relu_grad(out: Array, g: Array, x: Array, scratch: Array, other: Array) -> None:
    mask = other.reshape(-1).view(np.bool_)[: x.size].reshape(x.shape)
    np.greater(x, 0, out=mask)
    masked(out, g, mask, scratch)


def _broadcast(*shapes: Ints, scale: float) -> Ints:
    return np.broadcast_shapes(*shapes)


def _masked_scale(inputs: Sequence[Spec], *, scale: float) -> Prepared:
    x, keep = inputs
    factor = np.asarray(scale, x.dtype)

    def run(out: Array, x: Array, keep: Array, scratch: Array, scaled: Array) -> None:
        np.multiply(x, factor, out=scaled)
        masked(out, scaled, keep, scratch)

    shape = np.broadcast_shapes(x.shape, keep.shape)
    rule = Rule(run, ("block", "block"), (0,) if x.shape == shape else (), 0.6)
    if x.shape == keep.shape:
        return elementwise(rule, inputs, x.dtype)
    stretched = Spec(shape, keep.dtype, (0,) * len(shape))
    inner = elementwise(rule, (stretched, stretched), x.dtype)

    def over_shape(out: Array, x: Array, keep: Array, *scratch: Array) -> None:
        inner.run(out, np.broadcast_to(x, shape), np.broadcast_to(keep, shape), *scratch)

    return Prepared(over_shape, inner.scratch, inner.overwrites, inner.work)


# ----- smooth activations -----


def sigmoid_into(out: Array, x: Array) -> None:
    """sigmoid(x) in place. exp(-x) may overflow, which gives the right answer 0."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def softplus_into(out: Array, x: Array, e: Array, positive: Array) -> None:
    """log(1 + exp(x)), with two arrays of scratch."""
    np.abs(x, out=e)
    np.negative(e, out=e)
    np.exp(e, out=e)
    np.log1p(e, out=e)
    np.maximum(x, 0, out=positive)
    np.add(e, positive, out=out)


def _softplus_grad(out: Array, g: Array, x: Array, s: Array) -> None:
    sigmoid_into(s, x)
    np.multiply(s, g, out=out)


def _silu(out: Array, x: Array, s: Array) -> None:
    sigmoid_into(s, x)
    np.multiply(s, x, out=out)


def _silu_grad(out: Array, g: Array, result: Array, x: Array, s: Array, slope: Array) -> None:
    sigmoid_into(s, x)
    np.subtract(1, s, out=slope)
    slope *= result
    slope += s
    np.multiply(slope, g, out=out)


# ----- gelu -----

# The normal distribution function is 1 / (1 + exp(-x F(x^2))), where the fraction
# F(u) = a (u + b + c / (u + d + e / (u + f))) is fitted for this module, to an error of 7e-8 before
# rounding. It needs fewer passes than a polynomial as good, and has no poles where u >= 0.
_CDF = (0.03475943992, 71.02529063, -243.5777836, -9.26789387, 621.2103832, 32.75403869)
# Constants as arrays: to make one of a number costs a call as much as a short loop.
_SCALE = np.array(-_CDF[0] / log(BASE), np.float32)
_B, _C, _D, _E, _F = [np.array(c, np.float32) for c in _CDF[1:]]
_ONE = np.array(1, np.float32)


def gelu_single(out: Array, x: Array, square: Array, p: Array) -> None:
    """x times the distribution function, in float32, with two arrays of scratch."""
    # Each call may have to wait for the interpreter's lock, so what is between them is kept short.
    add, multiply, divide = np.add, np.multiply, np.divide
    multiply(x, x, square)
    add(square, _F, p)
    divide(_E, p, p)
    add(p, square, p)
    add(p, _D, p)
    divide(_C, p, p)
    add(p, square, p)
    add(p, _B, p)
    multiply(p, _SCALE, p)
    multiply(p, x, p)
    POWER(p, p)
    add(p, _ONE, p)
    divide(x, p, out)


def gelu_double(out: Array, x: Array, cdf: Array) -> None:
    """The same in float64, with an array of scratch; allocates."""
    np.multiply(x, sqrt(0.5), out=cdf)
    cdf = special.erf_double(np, cdf.reshape(-1)).reshape(x.shape)
    cdf += 1
    cdf *= 0.5
    np.multiply(x, cdf, out=out)


# Beside this, no x is small enough to matter.
_TINY = 1e-37


def _gelu_exact_grad(
    out: Array, g: Array, result: Array, x: Array, cdf: Array, density: Array
) -> None:
    # The result is x times the distribution function, which is 1/2 at 0.
    np.abs(result, out=cdf)
    cdf += 0.5 * _TINY
    np.abs(x, out=density)
    density += _TINY
    cdf /= density
    np.multiply(x, x, out=density)
    density *= -0.5
    np.exp(density, out=density)
    density *= 1 / sqrt(2 * pi)
    density *= x
    density += cdf
    np.multiply(density, g, out=out)


_LINEAR, _CUBIC = sqrt(2 / pi), 0.044715 * sqrt(2 / pi)


def gelu_tanh(out: Array, x: Array, t: Array, half: Array) -> None:
    """Its approximation by tanh, with two arrays of scratch."""
    np.multiply(x, x, out=t)
    t *= _CUBIC
    t += _LINEAR
    t *= x
    np.tanh(t, out=t)
    t += 1
    np.multiply(x, 0.5, out=half)
    np.multiply(half, t, out=out)


def _gelu_tanh_grad(
    out: Array, g: Array, result: Array, x: Array, t: Array, inner: Array, slope: Array
) -> None:
    np.multiply(x, x, out=inner)
    np.multiply(inner, _CUBIC, out=t)
    t += _LINEAR
    t *= x
    np.tanh(t, out=t)
    inner *= 3 * _CUBIC
    inner += _LINEAR
    # The result is 0.5 x (1 + t), so that x (1 - t^2) / 2 is the result times (1 - t).
    np.subtract(1, t, out=slope)
    slope *= result
    slope *= inner
    t += 1
    t *= 0.5
    slope += t
    np.multiply(slope, g, out=out)


_GELU_TANH = Rule(gelu_tanh, ("block",) * 2, (0,), 1.6)
_GELU_TANH_GRAD = Rule(_gelu_tanh_grad, ("block",) * 3, (0, 1, 2), 2.8)
_GELU_SINGLE = Rule(gelu_single, ("block",) * 2, (0,), 2.4)
_GELU_DOUBLE = Rule(gelu_double, ("block",), (0,), 30.0)
_GELU_EXACT_GRAD = Rule(_gelu_exact_grad, ("block",) * 2, (0, 1, 2), 2.0)


def _plan_gelu(inputs: Sequence[Spec], *, approximate: bool) -> Prepared:
    exact = _GELU_SINGLE if inputs[0].dtype == "float32" else _GELU_DOUBLE
    return elementwise(_GELU_TANH if approximate else exact, inputs)


def _prepared_gelu(dtype: str, *, approximate: bool) -> bool:
    # erf in double precision allocates.
    return approximate or dtype == "float32"


def _plan_gelu_grad(inputs: Sequence[Spec], *, approximate: bool) -> Prepared:
    return elementwise(_GELU_TANH_GRAD if approximate else _GELU_EXACT_GRAD, inputs)


_GELU = kernel(_plan_gelu, prepared=_prepared_gelu)
_GELU_GRAD = kernel(_plan_gelu_grad)


def gelu_grad(g: Array, result: Array, x: Array, *, approximate: bool) -> Array:
    """See `kbackend.ops.nn.activation`."""
    if x.itemsize < 4 and not approximate:
        # A result in low precision tells little of the distribution function.
        wide = x.astype(np.float32)
        result = _GELU.fn(wide, approximate=False)
        return _GELU_GRAD.fn(g.astype(np.float32), result, wide, approximate=False).astype(x.dtype)
    return _GELU_GRAD.fn(g, result, x, approximate=approximate)


COMPOSITES: dict[str, Kernel] = {
    "relu": Kernel(relu, prepare=_prepare_relu),
    "relu_grad": of_rule(Rule(_relu_grad, ("block",) * 2, (0, 1), 0.6)),
    "masked_scale": kernel(_masked_scale, _broadcast, of=0),
    "softplus": of_rule(Rule(softplus_into, ("block",) * 2, (0,), 1.6)),
    "softplus_grad": of_rule(Rule(_softplus_grad, ("block",), (0, 1), 1.3)),
    "silu": of_rule(Rule(_silu, ("block",), (0,), 1.3)),
    "silu_grad": of_rule(Rule(_silu_grad, ("block",) * 2, (0, 1, 2), 1.8)),
    "gelu": _GELU,
    "gelu_grad": replace(_GELU_GRAD, fn=gelu_grad),
}
