"""Composites of the normalisations. Each has one joint gradient, which is a composite as well."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.ops.nn.arguments import count_of, mean_of

Ints = tuple[int, ...]


def _summed(p: Any, x: Any) -> Ints:
    """The axes over which a parameter's gradient is summed: those along which it is broadcast."""
    return tuple(i for i, d in enumerate(p.shape) if d == 1 and x.shape[i] != 1)


# ----- by given statistics -----


@composite("moments")
def moments_c(x: Any, *, axes: Ints) -> Any:
    """Mean and variance over `axes`, which stay with size 1."""
    mean = mean_of(x, axes)
    centred = lang.sub(x, mean)
    return mean, mean_of(lang.mul(centred, centred), axes)


@moments_c.def_vjp
def _moments_vjp(needs: Any, g: Any, result: Any, x: Any, *, axes: Ints) -> Any:
    n = count_of(x, axes)
    # The mean's own part in the variance's gradient sums to zero.
    centred = lang.sub(x, result[0])
    return (lang.add(lang.mul(centred, lang.div(lang.mul(g[1], 2.0), n)), lang.div(g[0], n)),)


@composite("batch_normalization")
def batch_normalization_c(
    x: Any, mean: Any, variance: Any, *affine: Any, epsilon: float, scaled: bool, centred: bool
) -> Any:
    """(x - mean) / sqrt(variance + epsilon), times a scale, plus an offset.

    All but x broadcast along the same dimensions; `affine` is the scale, the offset, or both.
    """
    factor = lang.rsqrt(lang.add(variance, epsilon))
    if scaled:
        factor = lang.mul(factor, affine[0])
    shift = lang.neg(lang.mul(mean, factor))
    if centred:
        shift = lang.add(shift, affine[-1])
    return lang.add(lang.mul(x, factor), shift)


@batch_normalization_c.def_vjp
def _batch_normalization_vjp(
    needs: Any, g: Any, result: Any, x: Any, mean: Any, variance: Any, *affine: Any,
    epsilon: float, scaled: bool, centred: bool,
) -> Any:  # fmt: skip
    axes = _summed(mean, x)
    inverse = lang.rsqrt(lang.add(variance, epsilon))
    factor = lang.mul(inverse, affine[0]) if scaled else inverse
    out: list[Any] = [lang.mul(g, factor) if needs[0] else None]
    if not any(needs[1:]):
        return out + [None] * (len(needs) - 1)
    total = lang.reduce_sum(g, axes, True)
    out.append(lang.neg(lang.mul(total, factor)) if needs[1] else None)
    if not needs[2] and not (scaled and needs[3]):
        weighted = None
    else:
        weighted = lang.reduce_sum(lang.mul(g, lang.sub(x, mean)), axes, True)
    if needs[2]:
        cubed = lang.mul(lang.mul(inverse, inverse), lang.mul(factor, -0.5))
        out.append(lang.mul(weighted, cubed))
    else:
        out.append(None)
    if scaled:
        out.append(lang.mul(weighted, inverse) if needs[3] else None)
    if centred:
        out.append(total if needs[-1] else None)
    return out


# ----- by the input's own statistics: batch, layer, group and instance normalisation -----


@composite("standardize")
def standardize_c(
    x: Any, *affine: Any, axes: Ints, epsilon: float, scaled: bool, centred: bool
) -> Any:
    """x with mean 0 and variance 1 over `axes`, then scaled and shifted; the mean; the variance.

    `affine` is the scale, the offset, or both. They have as many dimensions as x, and may vary
    along any of them.
    """
    mean, variance = _statistics(x, axes)
    factor = lang.rsqrt(lang.add(variance, epsilon))
    if scaled:
        factor = lang.mul(factor, affine[0])
    y = lang.mul(lang.sub(x, mean), factor)
    return (lang.add(y, affine[-1]) if centred else y), mean, variance


def _statistics(x: Any, axes: Ints) -> Any:
    """Mean and variance over `axes`."""
    # Those of rows go well with all else that is done to a row; others are best taken whole, where
    # an engine can.
    by_rows = sorted(axis % x.ndim for axis in axes) == list(range(x.ndim - len(axes), x.ndim))
    found = moments_c.body if by_rows else moments_c
    return found(x, axes=axes)


@standardize_c.def_vjp
def _standardize_vjp(
    needs: Any, g: Any, result: Any, x: Any, *affine: Any,
    axes: Ints, epsilon: float, scaled: bool, centred: bool,
) -> Any:  # fmt: skip
    scale_over = _summed(affine[0], x) if scaled and needs[1] else None
    offset_over = _summed(affine[-1], x) if centred and needs[-1] else None
    found = iter(
        standardize_grad_c(
            g[0],
            *g[1:],
            x,
            *result[1:],
            *affine[: int(scaled)],
            axes=axes,
            epsilon=epsilon,
            needs_x=bool(needs[0]),
            scale_over=scale_over,
            offset_over=offset_over,
        )
    )
    wanted = [bool(needs[0])]
    wanted += [scale_over is not None] * scaled + [offset_over is not None] * centred
    return [next(found) if want else None for want in wanted]


@composite("standardize_grad")
def standardize_grad_c(
    g: Any, g_mean: Any, g_variance: Any, x: Any, mean: Any, variance: Any, *scale: Any,
    axes: Ints, epsilon: float, needs_x: bool, scale_over: Ints | None, offset_over: Ints | None,
) -> Any:  # fmt: skip
    """Gradient of `standardize` in x, the scale and the offset: those asked for, as a tuple.

    The scale's and the offset's are summed over `scale_over` and `offset_over`.
    """
    inverse = lang.rsqrt(lang.add(variance, epsilon))
    centred = lang.sub(x, mean)
    weighted = lang.mul(g, centred)
    out = []
    if needs_x:
        d, weighted_d, factor = g, weighted, inverse
        if scale and all(scale[0].shape[axis] == 1 for axis in axes):
            # It is the same for all that share their statistics, and multiplies their sums.
            factor = lang.mul(inverse, scale[0])
        elif scale:
            d, weighted_d = lang.mul(g, scale[0]), lang.mul(weighted, scale[0])
        n = count_of(x, axes)
        along = lang.mul(lang.mul(mean_of(weighted_d, axes), factor), lang.mul(inverse, inverse))
        slope = lang.sub(lang.div(lang.mul(g_variance, 2.0), n), along)
        level = lang.sub(lang.div(g_mean, n), lang.mul(factor, mean_of(d, axes)))
        out.append(lang.add(lang.add(lang.mul(d, factor), lang.mul(centred, slope)), level))
    if scale_over is not None:
        if set(axes) <= set(scale_over):
            total = lang.mul(lang.reduce_sum(weighted, axes, True), inverse)
            rest = tuple(axis for axis in scale_over if axis not in axes)
            out.append(lang.reduce_sum(total, rest, True) if rest else total)
        else:
            out.append(lang.reduce_sum(lang.mul(weighted, inverse), scale_over, True))
    if offset_over is not None:
        out.append(lang.reduce_sum(g, offset_over, True))
    return tuple(out)


# ----- by the root mean square -----


@composite("rms_normalization")
def rms_normalization_c(x: Any, *scale: Any, axes: Ints, epsilon: float) -> Any:
    """x divided by its root mean square over `axes`, times `scale`; and 1 / root mean square."""
    inverse = lang.rsqrt(lang.add(mean_of(lang.mul(x, x), axes), epsilon))
    y = lang.mul(x, inverse)
    return (lang.mul(y, scale[0]) if scale else y), inverse


@rms_normalization_c.def_vjp
def _rms_normalization_vjp(
    needs: Any, g: Any, result: Any, x: Any, *scale: Any, axes: Ints, epsilon: float
) -> Any:
    over = _summed(scale[0], x) if scale and needs[1] else None
    found = iter(
        rms_normalization_grad_c(
            *g, x, result[1], *scale, axes=axes, needs_x=bool(needs[0]), scale_over=over
        )
    )
    wanted = [bool(needs[0]), over is not None][: len(needs)]
    return [next(found) if want else None for want in wanted]


@composite("rms_normalization_grad")
def rms_normalization_grad_c(
    g: Any, g_inverse: Any, x: Any, inverse: Any, *scale: Any,
    axes: Ints, needs_x: bool, scale_over: Ints | None,
) -> Any:  # fmt: skip
    """Gradient of `rms_normalization` in x and the scale: those asked for, as a tuple."""
    out = []
    weighted = lang.mul(g, x)
    if needs_x:
        d, weighted_d = (
            (lang.mul(g, scale[0]), lang.mul(weighted, scale[0])) if scale else (g, weighted)
        )
        along = lang.add(mean_of(weighted_d, axes), lang.div(g_inverse, count_of(x, axes)))
        cubed = lang.mul(lang.mul(inverse, inverse), inverse)
        out.append(lang.sub(lang.mul(d, inverse), lang.mul(x, lang.mul(along, cubed))))
    if scale_over is not None:
        out.append(lang.reduce_sum(lang.mul(weighted, inverse), scale_over, True))
    return tuple(out)
