"""`gamma`, `beta` and `binomial`, by rejection.

All elements make their attempts together, each round from a state of its own, so that the result is
a pure function of the seed. Later rounds are skipped once every element has been accepted.
"""

from __future__ import annotations

import math
from typing import Any

from kbackend.autodiff import stop_gradient
from kbackend.base.shapes import Shape, standardize_shape
from kbackend.core import lang
from kbackend.core.tensor import Tensor
from kbackend.ops.define import op
from kbackend.random.arguments import float_dtype, parameter
from kbackend.random.forms import children, open_unit, standard_normal, state_of, wide

# An attempt at a gamma fails with a probability below 0.05, at a binomial below 0.4.
_GAMMA_ROUNDS = 10
_BINOMIAL_ROUNDS = 32
# Below this mean a binomial is found by walking along its distribution function.
_SMALL_MEAN = 10.0
# The probability of more than this many successes at a mean of 10 is below 1e-20.
_WALK = 64
_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


def _nowhere(mask: Any) -> bool:
    """Whether a mask is known to hold nowhere."""
    if mask.__class__ is not Tensor:
        return False
    return mask.size == 0 or not lang.reduce_max(mask, tuple(range(mask.ndim)))


def _parameter(value: Any, dtype: str, shape: Shape) -> Any:
    """A parameter as a constant of the full shape."""
    return lang.broadcast_to(stop_gradient(parameter(value, dtype, shape)), shape)


def _log_gamma_sample(state: Any, shape: Shape, alpha: Any) -> tuple[Any, Any]:
    """A gamma sample as a product: its first factor, and the logarithm of its second one.

    For alpha below 1 the first is a sample for alpha + 1 and the second a power of a uniform
    number, which may be too small to be represented.
    """
    dtype = alpha.dtype
    *rounds, last = children(state, _GAMMA_ROUNDS + 1)
    small = lang.lt(alpha, 1.0)
    raised = lang.select(small, lang.add(alpha, 1.0), alpha)
    d = lang.sub(raised, 1.0 / 3.0)
    c = lang.div(1.0 / 3.0, lang.sqrt(d))
    # What an element that is never accepted would get: the mode.
    v = lang.full(shape, 1.0, dtype)
    open_ = lang.full(shape, True, "bool")
    for round_ in rounds:
        first, second = children(round_, 2)
        x = standard_normal(first, shape, dtype)
        u = open_unit(second, shape, dtype)
        root = lang.add(lang.mul(c, x), 1.0)
        cube = lang.mul(lang.mul(root, root), root)
        positive = lang.lt(0.0, cube)
        tried = lang.select(positive, cube, 1.0)
        # log u < x**2 / 2 + d - d v + d log v
        bound = lang.add(
            lang.mul(lang.mul(x, x), 0.5),
            lang.mul(d, lang.add(lang.sub(1.0, tried), lang.log(tried))),
        )
        fits = lang.bitwise_and(positive, lang.lt(lang.log(u), bound))
        v = lang.select(lang.bitwise_and(fits, open_), tried, v)
        open_ = lang.bitwise_and(open_, lang.bitwise_xor(fits, True))
        if _nowhere(open_):
            break
    boost = lang.div(lang.log(open_unit(last, shape, dtype)), alpha)
    return lang.mul(d, v), lang.select(small, boost, 0.0)


@op(static=("shape",))
def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Gamma distributed random numbers with the scale 1.

    Args:
        shape: shape of the result.
        alpha: positive shape parameter, a number or a tensor that broadcasts to `shape`; the result
            is NaN where it is not positive. No gradient flows to it.
        dtype: float dtype, `floatx` by default.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        The tensor.

    Raises:
        ValueError: the dtype is not a float, or `alpha` does not fit the shape.

    Example:
        >>> from kbackend import random
        >>> float(random.gamma((1000,), 3.0, seed=1).numpy().mean().round())
        3.0

    Reference:
        G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables", TOMS 2000.
    """
    dtype, shape = float_dtype("gamma", dtype), standardize_shape(shape)
    alpha = _parameter(alpha, wide(dtype), shape)
    factor, log_rest = _log_gamma_sample(state_of(seed), shape, alpha)
    sample = lang.mul(factor, lang.exp(log_rest))
    return lang.cast(lang.select(lang.lt(0.0, alpha), sample, float("nan")), dtype)


@op(static=("shape",))
def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Beta distributed random numbers.

    Args:
        shape: shape of the result.
        alpha: first positive parameter, a number or a tensor that broadcasts to `shape`.
        beta: second one, likewise. The result is NaN where one is not positive; no gradient flows
            to them.
        dtype: float dtype, `floatx` by default.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        The tensor, with values in [0, 1].

    Raises:
        ValueError: the dtype is not a float, or a parameter does not fit the shape.

    Example:
        >>> from kbackend import random
        >>> float(random.beta((1000,), 2.0, 2.0, seed=1).numpy().mean().round(1))
        0.5
    """
    dtype, shape = float_dtype("beta", dtype), standardize_shape(shape)
    a, b = (_parameter(value, wide(dtype), shape) for value in (alpha, beta))
    first, second = children(state_of(seed), 2)
    x, log_x = _log_gamma_sample(first, shape, a)
    y, log_y = _log_gamma_sample(second, shape, b)
    # x / (x + y) from logarithms, since both may be too small for a quotient.
    difference = lang.sub(lang.add(lang.log(x), log_x), lang.add(lang.log(y), log_y))
    valid = lang.bitwise_and(lang.lt(0.0, a), lang.lt(0.0, b))
    return lang.cast(lang.select(valid, lang.sigmoid(difference), float("nan")), dtype)


def _walk(state: Any, shape: Shape, n: Any, p: Any) -> Any:
    """Binomial by inversion, for n p <= 10 and p <= 1/2: walks until the sum passes u."""
    u = open_unit(state, shape, "float64")
    odds = lang.div(p, lang.sub(1.0, p))
    probability = lang.exp(lang.mul(n, lang.log1p(lang.neg(p))))
    total, found = probability, lang.full(shape, 0.0, "float64")
    for k in range(_WALK):
        beyond = lang.lt(total, u)
        found = lang.add(found, lang.cast(beyond, "float64"))
        if _nowhere(beyond):
            break
        step = lang.div(lang.mul(lang.sub(n, float(k)), odds), float(k + 1))
        probability = lang.mul(probability, lang.maximum(step, 0.0))
        total = lang.add(total, probability)
    return lang.minimum(found, n)


def _transformed_rejection(state: Any, shape: Shape, n: Any, p: Any) -> Any:
    """Binomial for n p >= 10 and p <= 1/2, by Hörmann's algorithm BTRS."""
    odds = lang.div(p, lang.sub(1.0, p))
    deviation = lang.sqrt(lang.mul(lang.mul(n, p), lang.sub(1.0, p)))
    b = lang.add(lang.mul(deviation, 2.53), 1.15)
    a = lang.add(lang.add(lang.mul(b, 0.0248), lang.mul(p, 0.01)), -0.0873)
    c = lang.add(lang.mul(n, p), 0.5)
    v_r = lang.sub(0.92, lang.div(4.2, b))
    alpha = lang.mul(lang.add(lang.div(5.1, b), 2.83), deviation)
    mode = lang.floor(lang.mul(lang.add(n, 1.0), p))
    at_mode = _log_mass(mode, n, odds)
    found, open_ = mode, lang.full(shape, True, "bool")
    for round_ in children(state, _BINOMIAL_ROUNDS):
        first, second = children(round_, 2)
        u = lang.sub(open_unit(first, shape, "float64"), 0.5)
        v = open_unit(second, shape, "float64")
        us = lang.sub(0.5, lang.abs_(u))
        k = lang.floor(lang.add(lang.mul(lang.add(lang.div(lang.mul(a, 2.0), us), b), u), c))
        inside = lang.bitwise_and(lang.le(0.0, k), lang.le(k, n))
        easy = lang.bitwise_and(lang.le(0.07, us), lang.le(v, v_r))
        tried = lang.maximum(lang.minimum(k, n), 0.0)
        weight = lang.div(lang.mul(v, alpha), lang.add(lang.div(a, lang.mul(us, us)), b))
        hard = lang.le(lang.log(weight), lang.sub(_log_mass(tried, n, odds), at_mode))
        fits = lang.bitwise_and(inside, lang.bitwise_or(easy, hard))
        found = lang.select(lang.bitwise_and(fits, open_), tried, found)
        open_ = lang.bitwise_and(open_, lang.bitwise_xor(fits, True))
        if _nowhere(open_):
            break
    return found


def _log_mass(k: Any, n: Any, odds: Any) -> Any:
    """Logarithm of the probability of k successes, up to a term that depends on n and p only."""
    rest = lang.sub(n, k)
    return lang.sub(lang.mul(k, lang.log(odds)), lang.add(_log_factorial(k), _log_factorial(rest)))


def _log_factorial(k: Any) -> Any:
    """Logarithm of k!, for whole float64 k >= 0."""
    # Stirling's series serves from 9 on: k! = (k + 8)! / ((k + 1) ... (k + 8)).
    product = lang.add(k, 1.0)
    for i in range(2, 9):
        product = lang.mul(product, lang.add(k, float(i)))
    y = lang.add(k, 9.0)
    z = lang.div(1.0, y)
    z2 = lang.mul(z, z)
    series = lang.sub(1.0 / 360.0, lang.mul(z2, 1.0 / 1260.0))
    series = lang.mul(z, lang.sub(1.0 / 12.0, lang.mul(z2, series)))
    large = lang.sub(lang.mul(lang.sub(y, 0.5), lang.log(y)), lang.sub(y, _HALF_LOG_TAU))
    return lang.sub(lang.add(large, series), lang.log(product))


@op(static=("shape",))
def binomial(
    shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None
) -> Any:
    """Binomially distributed random numbers: successes among `counts` attempts.

    Args:
        shape: shape of the result.
        counts: number of attempts, a number or a tensor that broadcasts to `shape`.
        probabilities: probability of success in [0, 1], likewise. The result is NaN where a
            parameter is out of range; no gradient flows to them.
        dtype: float dtype, `floatx` by default.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        The tensor of whole numbers.

    Raises:
        ValueError: the dtype is not a float, or a parameter does not fit the shape.

    Example:
        >>> from kbackend import random
        >>> random.binomial((2,), 5, [0.0, 1.0], seed=1).tolist()
        [0.0, 5.0]

    Reference:
        W. Hörmann, "The generation of binomial random variates", 1993.
    """
    dtype, shape = float_dtype("binomial", dtype), standardize_shape(shape)
    n, p = (_parameter(value, "float64", shape) for value in (counts, probabilities))
    n = lang.floor(n)
    valid = lang.bitwise_and(lang.le(0.0, n), lang.bitwise_and(lang.le(0.0, p), lang.le(p, 1.0)))
    # Failures are counted where success is the likelier outcome.
    turned = lang.lt(0.5, p)
    q = lang.select(turned, lang.sub(1.0, p), p)
    few = lang.lt(lang.mul(n, q), _SMALL_MEAN)
    first, second = children(state_of(seed), 2)
    found = _walk(first, shape, n, lang.select(few, q, 0.0))
    if not _nowhere(lang.bitwise_xor(few, True)):
        # Each method gets parameters it can handle where the other one's result is taken.
        n_many, q_many = lang.select(few, 40.0, n), lang.select(few, 0.5, q)
        many = _transformed_rejection(second, shape, n_many, q_many)
        found = lang.select(few, found, many)
    found = lang.select(turned, lang.sub(n, found), found)
    return lang.cast(lang.select(valid, found, float("nan")), dtype)
