"""The window family against explicit loops, its edge cases, and its rules."""

from __future__ import annotations

from itertools import product

import ml_dtypes
import numpy as np
import pytest

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.engine.array_module import window as module
from kbackend.prim import window as rules

KERNELS = {name: kernel.fn for name, kernel in module.kernels(np).items()}
TINY = {name: kernel.fn for name, kernel in module.kernels(np, block_bytes=1).items()}

# (x shape, window, strides, padding)
CASES = {
    "1d": ((2, 9, 3), (2,), (2,), ((0, 0),)),
    "1d-overlap": ((2, 9, 3), (4,), (1,), ((2, 1),)),
    "2d-halves": ((3, 6, 8, 4), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "2d-odd": ((3, 7, 5, 4), (2, 2), (2, 2), ((0, 1), (0, 1))),
    "2d-overlap": ((3, 7, 6, 2), (3, 3), (2, 2), ((1, 1), (0, 1))),
    "2d-dense": ((2, 5, 6, 1), (3, 2), (1, 1), ((1, 1), (1, 0))),
    "2d-apart": ((2, 8, 9, 3), (2, 1), (3, 2), ((1, 0), (0, 2))),
    "2d-global": ((2, 5, 4, 3), (5, 4), (5, 4), ((0, 0), (0, 0))),
    "2d-single": ((2, 5, 4, 3), (1, 1), (1, 1), ((0, 0), (0, 0))),
    "2d-too-large": ((2, 3, 4, 3), (4, 2), (1, 1), ((0, 0), (0, 0))),
    "2d-empty": ((0, 3, 4, 3), (2, 2), (1, 1), ((0, 0), (0, 0))),
    "3d": ((2, 4, 5, 3, 2), (2, 3, 2), (2, 1, 1), ((0, 0), (1, 1), (0, 1))),
}
DTYPES = [
    np.float64, np.float32, np.int32, np.uint8, np.bool_, np.float16, ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
]  # fmt: skip
LEAST = {"int32": -(2.0**31), "uint8": 0, "bool": 0, "float8_e4m3fn": -448}


def windows(x, window, strides, padding):
    """Each window: its position and the places of its elements in x, row-major."""
    space = x.shape[1:-1]
    sizes = [
        max((n + sum(p) - k) // s + 1, 0)
        for n, k, s, p in zip(space, window, strides, padding, strict=True)
    ]
    for image, *place, channel in product(range(len(x)), *map(range, sizes), range(x.shape[-1])):
        places = []
        for tap in product(*map(range, window)):
            at = [p * s + t - q[0] for p, s, t, q in zip(place, strides, tap, padding, strict=True)]
            if all(0 <= a < n for a, n in zip(at, space, strict=True)):
                places.append((image, *at, channel))
        yield (image, *place, channel), places


def out_shape(x, window, strides, padding):
    return lang.window_sum_p.infer(
        [Aval(x.shape, "float32")], {"window": window, "strides": strides, "padding": padding}
    ).shape


def winner(x, places):
    """The place of the first maximum; a NaN is greater than anything."""
    best = None
    for place in places:
        if np.isnan(x[place]):
            return place
        if best is None or x[place] > x[best]:
            best = place
    return best


def references(x, t, g, *how):
    """Results of the five kernels, and of the transposed ones in float64."""
    wide = x.astype(np.float64)
    shape = out_shape(x, *how)
    greatest, total, picked = np.full(shape, -np.inf), np.zeros(shape), np.zeros(shape)
    unpicked, spread = np.zeros(x.shape), np.zeros(x.shape)
    for at, places in windows(x, *how):
        for place in places:
            total[at] += wide[place]
            spread[place] += g[at]
        first = winner(wide, places)
        if first is not None:
            greatest[at], picked[at] = wide[first], t[first]
            unpicked[first] += g[at]
    return greatest, total, picked, unpicked, spread


def draw(shape, dtype=np.float64, seed=0):
    """Small integers: many ties, exact in every dtype."""
    rng = np.random.default_rng(seed)
    low = 0 if np.dtype(dtype).kind in "ub" else -3
    return rng.integers(low, 2 if np.dtype(dtype).kind == "b" else 4, shape).astype(dtype)


def params(case):
    _, window, strides, padding = CASES[case]
    return {"window": window, "strides": strides, "padding": padding}


@pytest.mark.parametrize("kernels", [KERNELS, TINY], ids=["whole", "blocks"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("case", CASES)
def test_values(case, dtype, kernels):
    x_shape, *how = CASES[case]
    x = draw(x_shape, dtype)
    t, g = draw(x_shape, np.float32, 1), draw(out_shape(x, *how), np.float32, 2)
    greatest, total, picked, unpicked, spread = references(x, t, g, *how)
    named = params(case)
    out = kernels["window_max"](x, **named)
    assert out.dtype == x.dtype
    # A window without elements has the least value there is.
    greatest[np.isneginf(greatest)] = LEAST.get(np.dtype(dtype).name, -np.inf)
    np.testing.assert_array_equal(out.astype(np.float64), greatest)
    np.testing.assert_array_equal(kernels["window_pick"](x, t, **named), picked)
    np.testing.assert_array_equal(kernels["window_unpick"](x, g, **named), unpicked)
    np.testing.assert_array_equal(kernels["window_spread"](g, space=x.shape[1:-1], **named), spread)
    out = kernels["window_sum"](x, **named)
    assert out.dtype == x.dtype
    # Rounded once to the dtype; an or for bool.
    np.testing.assert_array_equal(out.astype(np.float64), total.astype(dtype).astype(np.float64))


@pytest.mark.parametrize("case", ["1d-overlap", "2d-overlap", "2d-odd", "3d"])
def test_nan_is_the_maximum(case):
    x_shape, *how = CASES[case]
    rng = np.random.default_rng(0)
    x = draw(x_shape, np.float32)
    x[rng.random(x_shape) < 0.2] = np.nan
    x[rng.random(x_shape) < 0.2] = -np.inf
    t, g = draw(x_shape, np.float32, 1), draw(out_shape(x, *how), np.float32, 2)
    greatest, _, picked, unpicked, _ = references(x, t, g, *how)
    named = params(case)
    np.testing.assert_array_equal(KERNELS["window_max"](x, **named), greatest)
    np.testing.assert_array_equal(KERNELS["window_pick"](x, t, **named), picked)
    np.testing.assert_array_equal(KERNELS["window_unpick"](x, g, **named), unpicked)


@pytest.mark.parametrize(("dtype", "least"), [(np.float32, -np.inf), (np.int32, -(2**31))])
@pytest.mark.parametrize("case", ["1d-overlap", "2d-overlap", "2d-dense"])
def test_padding_never_wins(case, dtype, least):
    x_shape, *how = CASES[case]
    x = np.full(x_shape, least, dtype)
    g = np.ones(out_shape(x, *how), np.float32)
    named = params(case)
    assert (KERNELS["window_max"](x, **named) == x.flat[0]).all()
    np.testing.assert_array_equal(
        KERNELS["window_pick"](x, np.ones(x_shape, np.float32), **named), g
    )
    assert KERNELS["window_unpick"](x, g, **named).sum() == g.size


def test_only_the_winner_sees_an_infinite_cotangent():
    x = np.array([1.0, 3.0, 2.0, 0.0], np.float32).reshape(1, 4, 1)
    g = np.full((1, 3, 1), np.inf, np.float32)
    named = {"window": (2,), "strides": (1,), "padding": ((0, 0),)}
    out = KERNELS["window_unpick"](x, g, **named)
    np.testing.assert_array_equal(out.ravel(), [0, np.inf, np.inf, 0])


def test_inputs_are_left_alone_and_results_are_new():
    for case in ("2d-halves", "2d-single"):
        x = draw(CASES[case][0], np.float32)
        before = x.copy()
        g = draw(out_shape(x, *CASES[case][1:]), np.float32, 1)
        KERNELS["window_sum"](x[::-1], **params(case))
        KERNELS["window_max"](x.T.copy().T, **params(case))
        KERNELS["window_unpick"](x, g, **params(case))
        KERNELS["window_spread"](g, space=x.shape[1:-1], **params(case))
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("case", CASES)
def test_shape_rules(case):
    x = draw(CASES[case][0], np.float32)
    named = params(case)
    a = Aval(x.shape, "float32")
    out = KERNELS["window_max"](x, **named)
    b = Aval(out.shape, "float32")
    assert lang.window_max_p.infer([a], named) == b
    assert lang.window_sum_p.infer([a], named) == b
    assert lang.window_pick_p.infer([a, a], named) == b
    assert lang.window_unpick_p.infer([a, b], named) == a
    assert lang.window_spread_p.infer([b], {**named, "space": x.shape[1:-1]}) == a


def test_shape_rules_unknown_dimensions_and_faults():
    named = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
    x = Aval((None, None, 6, 3), "float32")
    assert lang.window_max_p.infer([x], named).shape == (None, None, 3, 3)
    with pytest.raises(ValueError, match=r"\[window_max\] 'window' must hold 2 positive"):
        lang.window_max_p.infer([x], {**named, "window": (2,)})
    with pytest.raises(ValueError, match="shape of the second argument"):
        lang.window_pick_p.infer([x, Aval((2, 6, 5, 3), "float32")], named)
    with pytest.raises(ValueError, match="shape of the cotangent"):
        lang.window_unpick_p.infer([x, Aval((2, 3, 4, 3), "float32")], named)
    with pytest.raises(TypeError, match="a dtype with an order"):
        lang.window_max_p.infer([Aval((2, 4, 4, 1), "complex64")], named)
    with pytest.raises(ValueError, match="spatial dimensions of the cotangent"):
        lang.window_spread_p.infer([Aval((2, 3, 3, 1), "float32")], {**named, "space": (8, 6)})


@pytest.mark.parametrize("case", ["1d-overlap", "2d-overlap", "2d-halves", "3d"])
def test_gradient_rules(case, monkeypatch):
    for name, fn in KERNELS.items():
        monkeypatch.setattr(lang, name, fn)
    x_shape, *how = CASES[case]
    named = params(case)
    rng = np.random.default_rng(5)
    # Distinct values, further apart than the step below.
    x = rng.permutation(np.prod(x_shape)).reshape(x_shape).astype(np.float64)
    t, h = rng.normal(size=x_shape), rng.normal(size=x_shape)
    g = rng.normal(size=out_shape(x, *how))

    def check(name, g, *args, place, linear_in, **extra):
        primitive = getattr(lang, f"{name}_p")
        result = KERNELS[name](*args, **named, **extra)
        needs = tuple(i == place for i in range(len(args)))
        cotangent = primitive.backward(needs, g, result, args, {**named, **extra})[place]
        moved = list(args)
        moved[place] = linear_in
        change = KERNELS[name](*moved, **named, **extra)
        np.testing.assert_allclose(np.sum(cotangent * linear_in), np.sum(change * g), atol=1e-9)

    check("window_pick", g, x, t, place=1, linear_in=h)
    check("window_unpick", h, x, g, place=1, linear_in=g[::-1].copy())
    check("window_sum", g, x, place=0, linear_in=h)
    check("window_spread", h, g, place=0, linear_in=g[::-1].copy(), space=x.shape[1:-1])
    slope = rules._max_vjp(g, None, x, **named)
    step = 0.01 * h
    change = KERNELS["window_max"](x + step, **named) - KERNELS["window_max"](x, **named)
    np.testing.assert_allclose(np.sum(slope * step), np.sum(change * g), atol=1e-9)
    assert lang.window_pick_p.backward((True, False), g, g, (x, t), named) == [None, None]
