"""Specs of contraction, convolution and windows, against loops that spell out the definition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from kbackend.testing.opspec import FLOAT32_64, FLOATS, OpSpec, Sample

Rng = np.random.Generator


def _wide(x: Any) -> Any:
    return np.asarray(x, dtype="float64")


# ----- dot -----


def _dot(x: Any, y: Any, contract: Any, batch: Any) -> Any:
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind not in "iub":
        x, y = _wide(x), _wide(y)
    letters = iter("abcdefghijklmnop")
    names_x = [next(letters) for _ in range(x.ndim)]
    names_y = [next(letters) for _ in range(y.ndim)]
    for i, j in zip((*contract[0], *batch[0]), (*contract[1], *batch[1]), strict=True):
        names_y[j] = names_x[i]
    out = [names_x[i] for i in batch[0]]
    out += [n for i, n in enumerate(names_x) if i not in (*contract[0], *batch[0])]
    out += [n for j, n in enumerate(names_y) if j not in (*contract[1], *batch[1])]
    return np.einsum(f"{''.join(names_x)},{''.join(names_y)}->{''.join(out)}", x, y)


def _dot_samples(rng: Rng) -> Sequence[Sample]:
    def sample(a: Any, b: Any, contract: Any, batch: Any = ((), ())) -> Sample:
        return Sample(
            (rng.uniform(-1, 1, a), rng.uniform(-1, 1, b)), {"contract": contract, "batch": batch}
        )

    return [
        sample((3, 4), (4, 2), ((1,), (0,))),
        sample((3, 4), (2, 4), ((1,), (1,))),
        sample((2, 3, 4), (4, 5), ((2,), (0,))),
        sample((2, 3, 4), (2, 4, 5), ((2,), (1,)), ((0,), (0,))),
        sample((2, 3, 4), (5, 3, 4), ((1, 2), (1, 2))),
        sample((3,), (3,), ((0,), (0,))),
        sample((0, 4), (4, 2), ((1,), (0,))),
        sample((3, 0), (0, 2), ((1,), (0,))),
    ]


# ----- convolution -----


def _positions(x_space: Any, window: Any, strides: Any, padding: Any, dilation: Any) -> Any:
    """For each place of the output and each tap of the window, the place in the input or None."""
    out = tuple(
        max((n + low + high - (k - 1) * d - 1) // s + 1, 0)
        for n, k, s, (low, high), d in zip(x_space, window, strides, padding, dilation, strict=True)
    )
    for place in itertools.product(*map(range, out)):
        for tap in itertools.product(*map(range, window)):
            source = tuple(
                p * s - low + t * d
                for p, s, (low, _), t, d in zip(place, strides, padding, tap, dilation, strict=True)
            )
            inside = all(0 <= i < n for i, n in zip(source, x_space, strict=True))
            yield place, tap, source if inside else None


def _out_space(x_space: Any, window: Any, strides: Any, padding: Any, dilation: Any) -> Any:
    return tuple(
        max((n + low + high - (k - 1) * d - 1) // s + 1, 0)
        for n, k, s, (low, high), d in zip(x_space, window, strides, padding, dilation, strict=True)
    )


def _blocks(groups: int, channels: int, filters: int) -> Any:
    c, f = channels // groups, filters // groups
    return [(slice(i * c, i * c + c), slice(i * f, i * f + f)) for i in range(groups)]


def _conv(x: Any, w: Any, strides: Any, padding: Any, dilation: Any, groups: int) -> Any:
    x, w = _wide(x), _wide(w)
    space, window, filters = x.shape[1:-1], w.shape[:-2], w.shape[-1]
    out = np.zeros((x.shape[0], *_out_space(space, window, strides, padding, dilation), filters))
    for place, tap, source in _positions(space, window, strides, padding, dilation):
        if source is not None:
            for cs, fs in _blocks(groups, x.shape[-1], filters):
                out[(slice(None), *place, fs)] += (
                    x[(slice(None), *source, cs)] @ w[(*tap, slice(None), fs)]
                )
    return out


def _conv_input_grad(
    g: Any, w: Any, space: Any, strides: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    g, w = _wide(g), _wide(w)
    window, filters = w.shape[:-2], w.shape[-1]
    channels = w.shape[-2] * groups
    out = np.zeros((g.shape[0], *space, channels))
    for place, tap, source in _positions(space, window, strides, padding, dilation):
        if source is not None:
            for cs, fs in _blocks(groups, channels, filters):
                out[(slice(None), *source, cs)] += (
                    g[(slice(None), *place, fs)] @ w[(*tap, slice(None), fs)].T
                )
    return out


def _conv_filter_grad(
    x: Any, g: Any, window: Any, strides: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    x, g = _wide(x), _wide(g)
    space, filters, channels = x.shape[1:-1], g.shape[-1], x.shape[-1]
    out = np.zeros((*window, channels // groups, filters))
    for place, tap, source in _positions(space, window, strides, padding, dilation):
        if source is not None:
            for cs, fs in _blocks(groups, channels, filters):
                out[(*tap, slice(None), fs)] += (
                    x[(slice(None), *source, cs)].T @ g[(slice(None), *place, fs)]
                )
    return out


# (input space, channels, window, filters, strides, padding, dilation, groups)
_CONVS = (
    ((5,), 2, (3,), 4, (1,), ((1, 1),), (1,), 1),
    ((7,), 2, (3,), 2, (2,), ((2, 0),), (2,), 2),
    ((5, 4), 2, (3, 3), 3, (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((5, 6), 4, (3, 2), 4, (2, 1), ((1, 1), (0, 1)), (1, 1), 2),
    ((6, 6), 2, (1, 1), 3, (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((4, 4), 3, (2, 2), 6, (1, 1), ((1, 0), (1, 0)), (1, 1), 3),
    ((3, 4, 3), 2, (2, 2, 2), 2, (1, 2, 1), ((0, 0), (1, 1), (0, 0)), (1, 1, 1), 1),
)


def _conv_params(strides: Any, padding: Any, dilation: Any, groups: int) -> dict[str, Any]:
    return {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}


def _conv_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample(
            (rng.uniform(-1, 1, (2, *n, c)), rng.uniform(-1, 1, (*k, c // gr, f))),
            _conv_params(s, p, d, gr),
        )
        for n, c, k, f, s, p, d, gr in _CONVS
    ]


def _conv_input_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample(
            (
                rng.uniform(-1, 1, (2, *_out_space(n, k, s, p, d), f)),
                rng.uniform(-1, 1, (*k, c // gr, f)),
            ),
            {"space": n, **_conv_params(s, p, d, gr)},
        )
        for n, c, k, f, s, p, d, gr in _CONVS
    ]


def _conv_filter_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample(
            (
                rng.uniform(-1, 1, (2, *n, c)),
                rng.uniform(-1, 1, (2, *_out_space(n, k, s, p, d), f)),
            ),
            {"window": k, **_conv_params(s, p, d, gr)},
        )
        for n, c, k, f, s, p, d, gr in _CONVS
    ]


# ----- windows -----

# (input space, window, strides, padding)
_WINDOWS = (
    ((6,), (2,), (2,), ((0, 0),)),
    ((5,), (3,), (1,), ((1, 1),)),
    ((4, 6), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((5, 5), (3, 2), (2, 1), ((1, 1), (0, 1))),
    ((3, 4, 3), (2, 2, 2), (1, 2, 1), ((0, 0), (0, 0), (0, 0))),
)


def _window_params(window: Any, strides: Any, padding: Any) -> dict[str, Any]:
    return {"window": window, "strides": strides, "padding": padding}


def _elements(x: Any, window: Any, strides: Any, padding: Any) -> Any:
    """Place of the output -> places of the input that its window holds, in row-major order."""
    ones = (1,) * len(window)
    found: dict[Any, list[Any]] = {}
    for place, _, source in _positions(x.shape[1:-1], window, strides, padding, ones):
        found.setdefault(place, [])
        if source is not None:
            found[place].append(source)
    return found, _out_space(x.shape[1:-1], window, strides, padding, ones)


def _window_max(x: Any, window: Any, strides: Any, padding: Any) -> Any:
    return _window_pick(x, x, window, strides, padding)


def _window_pick(x: Any, t: Any, window: Any, strides: Any, padding: Any) -> Any:
    x, t = _wide(x), _wide(t)
    found, space = _elements(x, window, strides, padding)
    out = np.zeros((x.shape[0], *space, x.shape[-1]))
    for place, sources in found.items():
        values = np.stack([x[(slice(None), *s)] for s in sources])
        picks = np.stack([t[(slice(None), *s)] for s in sources])
        best = np.argmax(values, axis=0)
        out[(slice(None), *place)] = np.take_along_axis(picks, best[None], 0)[0]
    return out


def _window_unpick(x: Any, g: Any, window: Any, strides: Any, padding: Any) -> Any:
    x, g = _wide(x), _wide(g)
    found, _ = _elements(x, window, strides, padding)
    out = np.zeros(x.shape)
    for place, sources in found.items():
        best = np.argmax(np.stack([x[(slice(None), *s)] for s in sources]), axis=0)
        for i, source in enumerate(sources):
            out[(slice(None), *source)] += np.where(best == i, g[(slice(None), *place)], 0)
    return out


def _window_sum(x: Any, window: Any, strides: Any, padding: Any) -> Any:
    x = _wide(x)
    found, space = _elements(x, window, strides, padding)
    out = np.zeros((x.shape[0], *space, x.shape[-1]))
    for place, sources in found.items():
        for source in sources:
            out[(slice(None), *place)] += x[(slice(None), *source)]
    return out


def _window_spread(g: Any, space: Any, window: Any, strides: Any, padding: Any) -> Any:
    g = _wide(g)
    out = np.zeros((g.shape[0], *space, g.shape[-1]))
    found, _ = _elements(out, window, strides, padding)
    for place, sources in found.items():
        for source in sources:
            out[(slice(None), *source)] += g[(slice(None), *place)]
    return out


def _distinct(rng: Rng, shape: Any) -> Any:
    """Values that differ by enough for finite differences not to change which is the greatest."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 8.0


def _window_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample((_distinct(rng, (2, *n, 3)),), _window_params(k, s, p)) for n, k, s, p in _WINDOWS
    ]


def _pick_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample(
            (_distinct(rng, (2, *n, 3)), rng.standard_normal((2, *n, 3))), _window_params(k, s, p)
        )
        for n, k, s, p in _WINDOWS
    ]


def _out_shape(n: Any, k: Any, s: Any, p: Any) -> Any:
    return (2, *_out_space(n, k, s, p, (1,) * len(k)), 3)


def _unpick_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample(
            (_distinct(rng, (2, *n, 3)), rng.standard_normal(_out_shape(n, k, s, p))),
            _window_params(k, s, p),
        )
        for n, k, s, p in _WINDOWS
    ]


def _spread_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample(
            (rng.standard_normal(_out_shape(n, k, s, p)),), {"space": n, **_window_params(k, s, p)}
        )
        for n, k, s, p in _WINDOWS
    ]


# Sums of up to some tens of products of numbers below 1.
_SUMS = 8.0

SPECS = [
    OpSpec("dot", _dot, _dot_samples, (*FLOATS, "int32", "int64"), 2, tolerance=_SUMS),
    OpSpec("conv", _conv, _conv_samples, FLOATS, 2, tolerance=_SUMS),
    OpSpec(
        "conv_input_grad", _conv_input_grad, _conv_input_samples, FLOAT32_64, 2, tolerance=_SUMS
    ),
    OpSpec(
        "conv_filter_grad", _conv_filter_grad, _conv_filter_samples, FLOAT32_64, 2, tolerance=_SUMS
    ),
    OpSpec("window_max", _window_max, _window_samples, FLOAT32_64, 2),
    OpSpec("window_pick", _window_pick, _pick_samples, FLOAT32_64, 2),
    OpSpec("window_unpick", _window_unpick, _unpick_samples, FLOAT32_64, 2, tolerance=_SUMS),
    OpSpec("window_sum", _window_sum, _window_samples, FLOAT32_64, 2, tolerance=_SUMS),
    OpSpec("window_spread", _window_spread, _spread_samples, FLOAT32_64, 2, tolerance=_SUMS),
]
