"""Prepared kernels of the normalisations."""

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.kernels.normalization import COMPOSITES
from tests.engines.numpy_prepared.harness import allocated, check, spec

# shape, axes, shape of the parameters: by rows, by columns, in one and in several blocks
LAYOUTS = [
    ((64, 48), (1,), (1, 48)),
    ((3, 5, 7), (1, 2), (1, 5, 7)),
    ((2048, 128), (1,), (1, 128)),
    ((5000, 70), (1,), (1, 70)),
    ((8, 5), (0,), (1, 5)),
    ((16, 6, 6, 3), (0, 1, 2), (1, 1, 1, 3)),
    ((16, 16, 16, 40), (0, 1, 2), (1, 1, 1, 40)),
    ((1, 1, 4), (0, 1), (1, 1, 4)),
]
AFFINE = [(True, True), (True, False), (False, True), (False, False)]


def _draw(rng, shape, dtype="float32"):
    return (rng.normal(size=shape) + 0.5).astype(dtype)


def _standardize(rng, shape, axes, row, scaled, centred, dtype="float32"):
    """Arguments and parameters of the kernel and of its gradient."""
    x, affine = _draw(rng, shape, dtype), [_draw(rng, row, dtype) for _ in range(scaled + centred)]
    params = {"axes": axes, "epsilon": 1e-3, "scaled": scaled, "centred": centred}
    y, mean, variance = COMPOSITES["standardize"].fn(x, *affine, **params)
    over = tuple(i for i, d in enumerate(row) if d == 1 and shape[i] != 1)
    g = [_draw(rng, a.shape, dtype) for a in (y, mean, variance)]
    grad_params = {
        "axes": axes, "epsilon": 1e-3, "needs_x": True,
        "scale_over": over if scaled else None, "offset_over": over if centred else None,
    }  # fmt: skip
    return [x, *affine], params, [*g, x, mean, variance, *affine[: int(scaled)]], grad_params


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("scaled", "centred"), AFFINE)
@pytest.mark.parametrize(("shape", "axes", "row"), LAYOUTS)
def test_standardize(shape, axes, row, scaled, centred, dtype, rng):
    forward, params, backward, grad_params = _standardize(
        rng, shape, axes, row, scaled, centred, dtype
    )
    check(COMPOSITES["standardize"], forward, params)
    check(COMPOSITES["standardize_grad"], backward, grad_params)
    if scaled or centred:
        check(COMPOSITES["standardize_grad"], backward, {**grad_params, "needs_x": False})


@pytest.mark.parametrize(("shape", "axes", "row"), LAYOUTS)
def test_batch_normalization(shape, axes, row, rng):
    mean, variance = _draw(rng, row), np.abs(_draw(rng, row))
    for scaled, centred in AFFINE:
        affine = [_draw(rng, row) for _ in range(scaled + centred)]
        params = {"epsilon": 1e-3, "scaled": scaled, "centred": centred}
        check(
            COMPOSITES["batch_normalization"], [_draw(rng, shape), mean, variance, *affine], params
        )


def test_batch_normalization_channels_first(rng):
    small = [np.abs(_draw(rng, (1, 6, 1, 1))) for _ in range(4)]
    params = {"epsilon": 1e-3, "scaled": True, "centred": True}
    check(COMPOSITES["batch_normalization"], [_draw(rng, (4, 6, 5, 3)), *small], params)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("shape", "axes", "row"), LAYOUTS[:4])
def test_rms(shape, axes, row, scaled, rng):
    x, scale = _draw(rng, shape), [_draw(rng, row)] * scaled
    params = {"axes": axes, "epsilon": 1e-3}
    check(COMPOSITES["rms_normalization"], [x, *scale], params)
    y, inverse = COMPOSITES["rms_normalization"].fn(x, *scale, **params)
    arrays = [_draw(rng, y.shape), _draw(rng, inverse.shape), x, inverse, *scale]
    over = tuple(i for i, d in enumerate(row) if d == 1 and shape[i] != 1) if scaled else None
    for needs_x in (True, False) if scaled else (True,):
        params = {"axes": axes, "needs_x": needs_x, "scale_over": over}
        check(COMPOSITES["rms_normalization_grad"], arrays, params)


@pytest.mark.parametrize(
    ("shape", "axes", "row"),
    [((8192, 100), (1,), (1, 100)), ((64, 32, 32, 16), (0, 1, 2), (1, 1, 1, 16))],
)
def test_on_threads(shape, axes, row, rng):
    forward, params, backward, grad_params = _standardize(rng, shape, axes, row, True, True)
    with threads.owned():
        for _ in range(2):
            check(COMPOSITES["standardize"], forward, params)
            check(COMPOSITES["standardize_grad"], backward, grad_params)


@pytest.mark.parametrize(("shape", "axes", "row"), [LAYOUTS[0], LAYOUTS[6]])
def test_strided_inputs(shape, axes, row, rng):
    forward, params, backward, grad_params = _standardize(rng, shape, axes, row, True, True)
    for place in (0, 3):
        backward[place] = np.ascontiguousarray(backward[place].T).T
    forward[0] = np.repeat(forward[0], 2, axis=0)[::2]
    # The plain kernel takes the elements in the order of memory: sums add in another order.
    check(COMPOSITES["standardize"], forward, params, rtol=1e-4, atol=1e-4)
    check(COMPOSITES["standardize_grad"], backward, grad_params, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("shape", "axes", "row"), [LAYOUTS[0], LAYOUTS[5]])
def test_nan_and_infinity(shape, axes, row, rng):
    forward, params, backward, grad_params = _standardize(rng, shape, axes, row, True, True)
    forward[0].reshape(-1)[0], forward[0].reshape(-1)[-1] = np.nan, np.inf
    backward[0].reshape(-1)[0], backward[0].reshape(-1)[-1] = np.nan, np.inf
    check(COMPOSITES["standardize"], forward, params)
    check(COMPOSITES["standardize_grad"], backward, grad_params)


@pytest.mark.parametrize(
    ("shape", "axes", "row"),
    [((4096, 64), (1,), (1, 64)), ((32, 32, 32, 32), (0, 1, 2), (1, 1, 1, 32))],
)
def test_little_is_allocated(shape, axes, row, rng):
    forward, params, backward, grad_params = _standardize(rng, shape, axes, row, True, True)
    with threads.owned():
        # Vectors of a joined row, 8192 bytes each, and NumPy's buffers; x has a million bytes.
        assert allocated(COMPOSITES["standardize"], forward, params) < 1 << 17
        assert allocated(COMPOSITES["standardize_grad"], backward, grad_params) < 1 << 17


def test_other_layouts_are_left_to_the_plain_kernel():
    x, row = spec(np.zeros((4, 6, 5), np.float32)), spec(np.zeros((1, 6, 1), np.float32))
    prepare = COMPOSITES["standardize"].prepare
    outputs = (x, row, row)
    assert prepare((x,), outputs, axes=(0, 2), epsilon=1e-3, scaled=False, centred=False) is None


@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
def test_rows_that_are_not_finite_stay_by_themselves(epsilon, rng):
    x, scale, offset = (_draw(rng, shape) for shape in ((64, 48), (1, 48), (1, 48)))
    x[3, 5], x[4, 6], x[5, 7] = np.nan, np.inf, -np.inf
    x[6] = 2.0
    params = {"axes": (1,), "epsilon": epsilon, "scaled": True, "centred": True}
    y, mean, variance = COMPOSITES["standardize"].fn(x, scale, offset, **params)
    with np.errstate(all="ignore"):
        exact = x.astype("float64")
        exact = exact - exact.mean(1, keepdims=True)
        exact /= np.sqrt((exact * exact).mean(1, keepdims=True) + epsilon)
    np.testing.assert_allclose(y, exact * scale + offset, rtol=1e-4, atol=1e-5)
    check(COMPOSITES["standardize"], [x, scale, offset], params)
