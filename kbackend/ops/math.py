"""Special functions, top-k, segments, distances, and the transforms of `kbackend.ops.fourier`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kbackend.base import shapes
from kbackend.base.dtypes import FLOAT_SET, INT_SET
from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.core.tensor import Tensor
from kbackend.ops.define import op
from kbackend.ops.fourier import (
    extract_sequences,
    fft,
    fft2,
    ifft2,
    irfft,
    istft,
    rfft,
    stft,
    view_as_complex,
    view_as_real,
)
from kbackend.ops.linalg import slogdet_of
from kbackend.ops.nn.arguments import axes_of, floating
from kbackend.ops.patterns import rearrange

__all__ = [
    "cdist", "erf", "erfc", "erfinv", "extract_sequences", "fft", "fft2", "ifft2", "in_top_k",
    "irfft", "istft", "logdet", "logsumexp", "rearrange", "rfft", "rsqrt", "segment_max",
    "segment_min", "segment_prod", "segment_sum", "stft", "top_k", "view_as_complex",
    "view_as_real",
]  # fmt: skip

# ----- special functions -----


@op()
def erf(x: Any) -> Any:
    """Error function.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> erf([0.0, 1.0]).tolist()
        [0.0, 0.843]
    """
    return lang.erf(floating(x))


# Chebyshev fit of log(erfc(x) exp(x^2) / t) in t = 1 / (1 + x / 2), good to 1.2e-7 of the value.
_ERFC = (
    0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418,
    0.37409196, 1.00002368, -1.26551223,
)  # fmt: skip
_FRACTION_DEPTH = 60


@composite("erfc")
def erfc_c(x: Any) -> Any:
    """1 - erf(x), without loss of digits where it is small."""
    size = lang.abs_(x)
    if x.dtype == "float64":
        # A continued fraction where 1 - erf(x) has lost digits; it converges fast from 2 on.
        large = lang.maximum(size, 2.0)
        fraction: Any = large
        for k in range(_FRACTION_DEPTH, 0, -1):
            fraction = lang.add(lang.div(k / 2, fraction), large)
        square = lang.mul(large, large)
        tail = lang.div(lang.exp(lang.neg(square)), lang.mul(fraction, math.sqrt(math.pi)))
        upper = lang.select(lang.lt(size, 2.0), lang.sub(1.0, lang.erf(size)), tail)
    else:
        t = lang.div(1.0, lang.add(lang.mul(size, 0.5), 1.0))
        power = lang.mul(t, _ERFC[0])
        for c in _ERFC[1:-1]:
            power = lang.mul(t, lang.add(power, c))
        power = lang.sub(lang.add(power, _ERFC[-1]), lang.mul(size, size))
        tail = lang.mul(t, lang.exp(power))
        upper = lang.select(lang.lt(size, 0.5), lang.sub(1.0, lang.erf(size)), tail)
    return lang.select(lang.lt(x, 0.0), lang.sub(2.0, upper), upper)


@erfc_c.def_vjp
def _erfc_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    density = lang.mul(lang.exp(lang.neg(lang.mul(x, x))), -2 / math.sqrt(math.pi))
    return (lang.mul(g, density),)


@op()
def erfc(x: Any) -> Any:
    """Complementary error function: `1 - erf(x)`, exact where it is small.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> erfc([0.0, 1.0]).tolist()
        [1.0, 0.157]

    Reference:
        W. Press et al., "Numerical recipes in C", 2nd edition, 1992, section 6.2.
    """
    x = floating(x)
    if x.dtype in ("float32", "float64"):
        return erfc_c(x)
    return lang.cast(erfc_c(lang.cast(x, "float32")), x.dtype)


@op()
def erfinv(x: Any) -> Any:
    """Inverse of the error function, for values between -1 and 1.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> erfinv([0.0, 0.5]).tolist()
        [0.0, 0.477]
    """
    return lang.erfinv(floating(x))


@op()
def rsqrt(x: Any) -> Any:
    """`1 / sqrt(x)`.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> rsqrt([1.0, 4.0]).tolist()
        [1.0, 0.5]
    """
    return lang.rsqrt(floating(x))


@composite("logsumexp")
def logsumexp_c(x: Any, *, axes: tuple[int, ...]) -> Any:
    """log(sum(exp(x))) over `axes`, which stay with size 1."""
    top = lang.reduce_max(x, axes, True)
    top = lang.select(lang.isfinite(top), top, 0.0)
    return lang.add(lang.log(lang.reduce_sum(lang.exp(lang.sub(x, top)), axes, True)), top)


@logsumexp_c.def_vjp
def _logsumexp_vjp(needs: Any, g: Any, result: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    base = lang.select(lang.isfinite(result), result, 0.0)
    return (lang.mul(g, lang.exp(lang.sub(x, base))),)


@op()
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))` without overflow.

    Args:
        x: numeric tensor.
        axis: integer or tuple of them; `None` means all.
        keepdims: whether the reduced dimensions stay with size 1.

    Returns:
        A floating tensor.

    Example:
        >>> logsumexp([1000.0, 1000.0]).item()
        1000.693
    """
    x = floating(x)
    axes = axes_of(axis, x)
    out = logsumexp_c(x, axes=axes)
    return out if keepdims else lang.reshape(out, shapes.reduced(tuple(out.shape), axes, False))


# ----- the greatest elements -----


@op(static=("k",))
def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Any, Any]:
    """The `k` greatest elements along the last axis, in descending order, and their positions.

    Args:
        x: numeric tensor.
        k: integer.
        sorted: accepted for compatibility; the result is always sorted.

    Returns:
        The values, and their int32 positions.

    Raises:
        ValueError: there are fewer than `k` elements.

    Example:
        >>> values, positions = top_k([1, 5, 3], 2)
        >>> values.tolist(), positions.tolist()
        ([5, 3], [1, 2])
    """
    values, positions = lang.top_k(to_tensor(x), k=int(k))
    return values, positions


@op(static=("k",), tensors=("predictions",))
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether each target is among the `k` most probable classes.

    Args:
        targets: integer tensor `(...)` of classes.
        predictions: numeric tensor `(..., classes)`.
        k: integer.

    Returns:
        A bool tensor of the shape of `targets`. Equal predictions at the edge all count.

    Raises:
        ValueError: there are fewer than `k` classes.

    Example:
        >>> in_top_k([2, 1], [[0.1, 0.2, 0.7], [0.5, 0.1, 0.4]], 1).tolist()
        [True, False]
    """
    targets, predictions = to_tensor(targets), to_tensor(predictions)
    outer, classes = tuple(predictions.shape[:-1]), predictions.shape[-1]
    rows = lang.reshape(predictions, (shapes.size_of(outer), classes))
    labels = lang.reshape(lang.cast(targets, "int32"), (shapes.size_of(outer),))
    valid = lang.bitwise_and(lang.le(0, labels), lang.lt(labels, classes))
    places = (lang.iota(tuple(labels.shape), 0, "int32"), lang.select(valid, labels, 0))
    chosen = lang.gather(rows, places, (0, 1))
    values, _ = lang.top_k(rows, k=int(k))
    least = lang.reshape(
        lang.slice_(values, (0, int(k) - 1), (values.shape[0], int(k))), tuple(chosen.shape)
    )
    inside = lang.bitwise_and(lang.le(least, chosen), valid)
    return lang.reshape(inside, tuple(targets.shape))


# ----- segments -----


def _segments(
    data: Any, segment_ids: Any, num_segments: int | None, mode: str, start: Any, name: str
) -> Any:
    """Rows of `data` of one id combined, beginning from `start`."""
    data, ids = to_tensor(data), lang.cast(to_tensor(segment_ids), "int32")
    if len(ids.shape) != 1 or not data.shape:
        raise ValueError(
            f"[{name}] 'segment_ids' must be a vector with one id per row of 'data'. Received: "
            f"segment_ids.shape={tuple(ids.shape)}, data.shape={tuple(data.shape)}."
        )
    if num_segments is None:
        if ids.__class__ is not Tensor:
            raise ValueError(f"[{name}] needs 'num_segments' for symbolic tensors. Received: None.")
        num_segments = int(np.asarray(ids).max(initial=-1)) + 1
    rest = tuple(data.shape[1:])
    # Ids that name no segment go to one more row at the end, which is cut off.
    valid = lang.bitwise_and(lang.le(0, ids), lang.lt(ids, num_segments))
    places = lang.select(valid, ids, num_segments)
    base = lang.full((num_segments + 1, *rest), start(data.dtype), data.dtype)
    out = lang.scatter(base, data, (places,), (0,), mode)
    return lang.slice_(out, (0,) * len(out.shape), (num_segments, *rest))


def _least(dtype: str) -> Any:
    if dtype in FLOAT_SET:
        return -math.inf
    return int(np.iinfo(dtype).min) if dtype in INT_SET else False


def _greatest(dtype: str) -> Any:
    if dtype in FLOAT_SET:
        return math.inf
    return int(np.iinfo(dtype).max) if dtype in INT_SET else True


@op(tensors=("segment_ids",))
def segment_sum(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """Sums of the rows of `data` with the same id.

    Args:
        data: numeric tensor `(n, ...)`.
        segment_ids: integer vector `(n,)`. Rows with ids out of range are left out.
        num_segments: number of segments, by default one more than the greatest id.
        sorted: accepted for compatibility.

    Returns:
        A tensor `(num_segments, ...)` of the dtype of `data`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> segment_sum([1, 2, 3], [0, 0, 2]).tolist()
        [3, 0, 3]
    """
    return _segments(data, segment_ids, num_segments, "add", lambda dtype: 0, "segment_sum")


@op(tensors=("segment_ids",))
def segment_prod(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """Products of the rows of `data` with the same id; 1 for an empty segment.

    Args:
        data: numeric tensor `(n, ...)`.
        segment_ids: integer vector `(n,)`. Rows with ids out of range are left out.
        num_segments: number of segments, by default one more than the greatest id.
        sorted: accepted for compatibility.

    Returns:
        A tensor `(num_segments, ...)` of the dtype of `data`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> segment_prod([2, 3, 4], [0, 0, 2]).tolist()
        [6, 1, 4]
    """
    return _segments(data, segment_ids, num_segments, "mul", lambda dtype: 1, "segment_prod")


@op(tensors=("segment_ids",))
def segment_max(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """Greatest rows of `data` with the same id; the least value of the dtype for an empty segment.

    Args:
        data: numeric tensor `(n, ...)`.
        segment_ids: integer vector `(n,)`. Rows with ids out of range are left out.
        num_segments: number of segments, by default one more than the greatest id.
        sorted: accepted for compatibility.

    Returns:
        A tensor `(num_segments, ...)` of the dtype of `data`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> segment_max([1.0, 2.0, 3.0], [0, 0, 2]).tolist()
        [2.0, -inf, 3.0]
    """
    return _segments(data, segment_ids, num_segments, "max", _least, "segment_max")


@op(tensors=("segment_ids",))
def segment_min(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """Least rows of `data` with the same id; the greatest value of the dtype for an empty segment.

    Args:
        data: numeric tensor `(n, ...)`.
        segment_ids: integer vector `(n,)`. Rows with ids out of range are left out.
        num_segments: number of segments, by default one more than the greatest id.
        sorted: accepted for compatibility.

    Returns:
        A tensor `(num_segments, ...)` of the dtype of `data`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> segment_min([1.0, 2.0, 3.0], [0, 0, 2]).tolist()
        [1.0, inf, 3.0]
    """
    return _segments(data, segment_ids, num_segments, "min", _greatest, "segment_min")


# ----- distances and determinants -----


@op(tensors=("y",))
def cdist(x: Any, y: Any) -> Any:
    """Euclidean distances of all pairs of rows of `x` and `y`.

    Args:
        x: numeric tensor `(..., m, size)`.
        y: numeric tensor `(..., n, size)`.

    Returns:
        A floating tensor `(..., m, n)`.

    Raises:
        ValueError: the sizes differ.

    Example:
        >>> cdist([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]]).tolist()
        [[5.0, 1.0]]
    """
    x, y = promote(x, y, force_float=True)
    if len(x.shape) < 2 or len(y.shape) < 2:
        raise ValueError(
            "[cdist] takes tensors with at least two dimensions. Received: "
            f"x.shape={tuple(x.shape)}, y.shape={tuple(y.shape)}."
        )
    a = lang.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))
    b = lang.reshape(y, (*y.shape[:-2], 1, *y.shape[-2:]))
    d = lang.sub(a, b)
    square = lang.reduce_sum(lang.mul(d, d), (len(d.shape) - 1,))
    # The root of 0 has no slope; two equal rows get the gradient 0.
    zero = lang.eq(square, 0.0)
    return lang.select(zero, 0.0, lang.sqrt(lang.select(zero, 1.0, square)))


@op()
def logdet(x: Any) -> Any:
    """Logarithm of the absolute value of the determinant.

    Args:
        x: numeric tensor `(..., n, n)`.

    Returns:
        A floating tensor `(...)`.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> logdet([[2.0, 0.0], [0.0, 2.0]]).item()
        1.386
    """
    return slogdet_of(floating(x))[1]
