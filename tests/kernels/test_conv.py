"""The convolution family against explicit loops in float64, and its gradients as transposes."""

from __future__ import annotations

from itertools import product

import ml_dtypes
import numpy as np
import pytest

from kbackend.base.shapes import window_output
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.engine.array_module import conv as module
from kbackend.prim import conv as rules

KERNELS = {name: kernel.fn for name, kernel in module.kernels(np).items()}
# Blocks of one image, and of one row of it: the paths that large inputs take.
TINY = {name: kernel.fn for name, kernel in module.kernels(np, block_bytes=600).items()}

# (x shape, w shape, strides, padding, dilation, groups)
CASES = {
    "1d": ((2, 9, 3), (4, 3, 5), (1,), ((0, 0),), (1,), 1),
    "1d-causal-dilated": ((2, 9, 3), (3, 3, 5), (1,), ((4, 0),), (2,), 1),
    "1d-stride-grouped": ((2, 9, 4), (3, 2, 6), (2,), ((1, 2),), (1,), 2),
    "2d-valid": ((3, 6, 5, 4), (3, 2, 4, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "2d-same": ((3, 6, 5, 8), (3, 3, 8, 8), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "2d-same-few-channels": ((3, 6, 5, 2), (3, 3, 2, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "2d-one-channel": ((3, 7, 6, 1), (3, 3, 1, 9), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "2d-wide": ((2, 6, 5, 16), (3, 3, 16, 4), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "2d-stride": ((2, 7, 8, 9), (3, 3, 9, 4), (2, 3), ((0, 1), (1, 1)), (1, 1), 1),
    "2d-stride-over-window": ((2, 9, 9, 3), (2, 1, 3, 4), (3, 2), ((0, 0), (0, 1)), (1, 1), 1),
    "2d-dilated": ((2, 8, 9, 3), (3, 2, 3, 4), (1, 1), ((2, 2), (0, 1)), (2, 3), 1),
    "2d-dilated-stride": ((2, 8, 9, 9), (3, 2, 9, 4), (2, 1), ((2, 2), (1, 1)), (2, 3), 1),
    "2d-over-padded": ((2, 4, 5, 3), (3, 3, 3, 8), (1, 1), ((4, 3), (0, 5)), (1, 1), 1),
    "2d-over-padded-stride": ((2, 4, 5, 9), (2, 2, 9, 2), (3, 2), ((4, 3), (0, 5)), (1, 1), 1),
    "2d-pointwise": ((2, 4, 5, 3), (1, 1, 3, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "2d-pointwise-stride": ((2, 4, 5, 3), (1, 1, 3, 4), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    "2d-pointwise-padded": ((2, 4, 5, 3), (1, 1, 3, 4), (1, 1), ((1, 0), (0, 2)), (1, 1), 1),
    "2d-grouped": ((2, 5, 6, 6), (3, 2, 2, 9), (1, 1), ((1, 1), (0, 0)), (1, 1), 3),
    "2d-grouped-stride": ((2, 5, 6, 6), (3, 2, 3, 4), (2, 1), ((1, 1), (0, 0)), (1, 2), 2),
    "2d-depthwise": ((3, 5, 6, 4), (3, 3, 1, 4), (1, 1), ((1, 1), (1, 1)), (1, 1), 4),
    "2d-depthwise-stride": ((3, 5, 6, 4), (3, 3, 1, 4), (2, 2), ((0, 1), (0, 1)), (1, 1), 4),
    "2d-depthwise-multiplier": ((3, 5, 6, 4), (3, 2, 1, 8), (2, 1), ((2, 1), (0, 1)), (1, 2), 4),
    "2d-one-channel-groups": ((2, 5, 4, 2), (3, 2, 1, 20), (1, 1), ((1, 1), (0, 0)), (1, 1), 2),
    "2d-window-too-large": ((2, 3, 4, 2), (4, 2, 2, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "2d-empty-batch": ((0, 5, 4, 2), (3, 2, 2, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "2d-no-channels": ((2, 5, 4, 0), (3, 2, 0, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "3d": ((2, 4, 5, 3, 2), (2, 3, 2, 2, 3), (1, 1, 1), ((0, 1), (1, 1), (0, 0)), (1, 1, 1), 1),
    "3d-stride": ((2, 4, 5, 4, 9), (2, 3, 2, 9, 3), (2, 1, 2), ((0, 1),) * 3, (1, 2, 1), 1),
    "3d-depthwise": ((2, 4, 5, 3, 2), (2, 3, 2, 1, 2), (1, 2, 1), ((1, 1),) * 3, (2, 1, 1), 2),
}  # fmt: skip


def reference(x, w, strides, padding, dilation, groups):
    """One explicit sum per output position."""
    rank = len(strides)
    x, w = x.astype(np.float64), w.astype(np.float64)
    *window, inner, filters = w.shape
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    sizes = [
        max((x.shape[1 + i] - ((window[i] - 1) * dilation[i] + 1)) // strides[i] + 1, 0)
        for i in range(rank)
    ]
    out = np.zeros((len(x), *sizes, filters))
    per_group = filters // groups
    for place in product(*map(range, sizes)):
        for tap in product(*map(range, window)):
            at = tuple(
                p * s + t * d for p, s, t, d in zip(place, strides, tap, dilation, strict=True)
            )
            pixel = x[(slice(None), *at)]
            for group in range(groups):
                into = slice(group * per_group, (group + 1) * per_group)
                channels = pixel[:, group * inner : (group + 1) * inner]
                out[(slice(None), *place, into)] += channels @ w[tap][:, into]
    return out


def draw(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 4, shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def arguments(case, dtype=np.float64):
    x_shape, w_shape, *how = CASES[case]
    params = dict(zip(("strides", "padding", "dilation", "groups"), how, strict=True))
    return draw(x_shape, dtype), draw(w_shape, dtype, 1), params


@pytest.mark.parametrize("kernels", [KERNELS, TINY], ids=["whole", "blocks"])
@pytest.mark.parametrize("case", CASES)
def test_family_in_float64(case, kernels):
    x, w, params = arguments(case)
    expected = reference(x, w, **params)
    out = kernels["conv"](x, w, **params)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, atol=1e-12)
    # <conv(x, w), g> is linear in x and in w, which defines both gradients.
    g = draw(out.shape, seed=2)
    dx = kernels["conv_input_grad"](g, w, space=x.shape[1:-1], **params)
    dw = kernels["conv_filter_grad"](x, g, window=w.shape[:-2], **params)
    assert dx.shape == x.shape
    assert dw.shape == w.shape
    for seed in (3, 4):
        u, v = draw(x.shape, seed=seed), draw(w.shape, seed=seed)
        left = np.sum(reference(u, w, **params) * g)
        np.testing.assert_allclose(np.sum(u * dx), left, atol=1e-10)
        left = np.sum(reference(x, v, **params) * g)
        np.testing.assert_allclose(np.sum(v * dw), left, atol=1e-10)


@pytest.mark.parametrize("seed", range(60))
def test_random_settings(seed):
    rng = np.random.default_rng(100 + seed)
    rank = int(rng.integers(1, 4))

    def ints(low, high):
        return tuple(int(v) for v in rng.integers(low, high, rank))

    groups = int(rng.choice([1, 1, 2, 3]))
    inner, filters = int(rng.integers(1, 6)), int(rng.integers(1, 4)) * groups
    x = draw((int(rng.integers(1, 4)), *ints(1, 8), inner * groups), seed=seed)
    w = draw((*ints(1, 4), inner, filters), seed=seed + 1)
    params = {
        "strides": ints(1, 4), "padding": tuple(zip(ints(0, 4), ints(0, 4), strict=True)),
        "dilation": ints(1, 3), "groups": groups,
    }  # fmt: skip
    expected = reference(x, w, **params)
    kernels = (KERNELS, TINY)[seed % 2]
    np.testing.assert_allclose(kernels["conv"](x, w, **params), expected, atol=1e-12)
    g = draw(expected.shape, seed=seed + 2)
    dx = kernels["conv_input_grad"](g, w, space=x.shape[1:-1], **params)
    dw = kernels["conv_filter_grad"](x, g, window=w.shape[:-2], **params)
    np.testing.assert_allclose(np.sum(x * dx), np.sum(expected * g), atol=1e-10)
    np.testing.assert_allclose(np.sum(w * dw), np.sum(expected * g), atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_float32_and_strided_inputs(case):
    x, w, params = arguments(case, np.float32)
    expected = reference(x, w, **params)
    wide = np.zeros(tuple(2 * d for d in x.shape), np.float32)
    every_other = tuple(slice(None, None, 2) for _ in x.shape)
    wide[every_other] = x
    w = np.ascontiguousarray(w.T).T
    before = wide.copy()
    out = KERNELS["conv"](wide[every_other], w, **params)
    assert out.dtype == np.float32
    # Sums of at most 144 products of numbers near 1, in float32.
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(wide, before)


@pytest.mark.parametrize("name", ["conv", "conv_input_grad", "conv_filter_grad"])
@pytest.mark.parametrize("case", ["2d-valid", "2d-grouped", "2d-depthwise"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
def test_low_precision_rounds_once(case, dtype, name):
    x, w, params = arguments(case, dtype)
    g = reference(x, w, **params).astype(dtype)
    args = {
        "conv": (x, w), "conv_input_grad": (g, w), "conv_filter_grad": (x, g),
    }[name]  # fmt: skip
    if name != "conv":
        params["space" if name == "conv_input_grad" else "window"] = (
            x.shape[1:-1] if name == "conv_input_grad" else w.shape[:-2]
        )
    out = KERNELS[name](*args, **params)
    wide = KERNELS[name](*(a.astype(np.float32) for a in args), **params)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.astype(np.float32), wide.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("case", ["2d-valid", "2d-grouped", "2d-depthwise", "2d-pointwise"])
def test_integers(case):
    x, w, params = arguments(case, np.int32)
    out = KERNELS["conv"](x, w, **params)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, reference(x, w, **params))


def test_nan_reaches_only_the_windows_that_see_it():
    x, w, params = arguments("2d-valid", np.float32)
    x[0, 5, 4, 0] = np.nan
    out = KERNELS["conv"](x, w, **params)
    assert np.isnan(out[0, -1, -1]).all()
    assert np.isfinite(out[0, :-1]).all()
    assert np.isfinite(out[1:]).all()


# ----- rules -----


@pytest.mark.parametrize("case", CASES)
def test_shape_rules(case):
    x, w, params = arguments(case)
    out = KERNELS["conv"](x, w, **params)
    a, b, c = (Aval(v.shape, "float64") for v in (x, w, out))
    assert lang.conv_p.infer([a, b], params) == c
    space = {**params, "space": x.shape[1:-1]}
    assert lang.conv_input_grad_p.infer([c, b], space) == a
    window = {**params, "window": w.shape[:-2]}
    assert lang.conv_filter_grad_p.infer([a, c], window) == b


def test_shape_rule_carries_unknown_dimensions():
    params = {"strides": (2, 1), "padding": ((1, 1), (0, 0)), "dilation": (1, 1), "groups": 1}
    w = Aval((3, 3, 4, 8), "float32")
    assert lang.conv_p.infer([Aval((None, None, 7, 4), "float32"), w], params).shape == (
        None, None, 5, 8,
    )  # fmt: skip
    assert rules.positions((None, 5), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)) == (
        None,
        window_output(5, 2, 1, (0, 0)),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": (3, 3, 5, 8)}, r"\[conv\] The filters must have 4 / 1 input channels"),
        ({"w": (3, 4, 8)}, "same number of dimensions"),
        ({"groups": 3}, "channels must be a multiple of 'groups'"),
        ({"groups": 0}, "'groups' must be a positive integer"),
        ({"strides": (1,)}, "'strides' must hold 2 positive integers"),
        ({"dilation": (0, 1)}, "'dilation' must hold 2 positive integers"),
        ({"padding": ((1, -1), (0, 0))}, "'padding' must hold 2 pairs"),
    ],
)
def test_shape_rule_explains_faults(change, message):
    params = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    w = Aval(change.pop("w", (3, 3, 4, 8)), "float32")
    with pytest.raises(ValueError, match=message):
        lang.conv_p.infer([Aval((2, 6, 6, 4), "float32"), w], {**params, **change})


@pytest.mark.parametrize("case", ["2d-valid", "2d-stride", "2d-grouped-stride", "1d", "3d"])
def test_gradient_rules_stay_in_the_family(case, monkeypatch):
    for name, fn in KERNELS.items():
        monkeypatch.setattr(lang, name, fn)
    x, w, params = arguments(case)
    g = draw(KERNELS["conv"](x, w, **params).shape, seed=2)
    calls = {
        "conv": (x, w, params),
        "conv_input_grad": (g, w, {**params, "space": x.shape[1:-1]}),
        "conv_filter_grad": (x, g, {**params, "window": w.shape[:-2]}),
    }
    for name, (a, b, how) in calls.items():
        result = KERNELS[name](a, b, **how)
        h = draw(result.shape, seed=5)
        primitive = {
            "conv": lang.conv_p, "conv_input_grad": lang.conv_input_grad_p,
            "conv_filter_grad": lang.conv_filter_grad_p,
        }[name]  # fmt: skip
        da, db = primitive.backward((True, True), h, result, (a, b), how)
        assert da.shape == a.shape
        assert db.shape == b.shape
        # Linear in each argument: the gradient is the transpose.
        u, v = draw(a.shape, seed=6), draw(b.shape, seed=7)
        np.testing.assert_allclose(
            np.sum(u * da), np.sum(KERNELS[name](u, b, **how) * h), atol=1e-10
        )
        np.testing.assert_allclose(
            np.sum(v * db), np.sum(KERNELS[name](a, v, **how) * h), atol=1e-10
        )
