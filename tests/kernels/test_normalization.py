"""NumPy's kernels of the normalisations against the composites' own bodies in float64."""

import numpy as np
import pytest

from kbackend.base.dtypes import numpy_dtype
from kbackend.core.tensor import Tensor
from kbackend.engine.loader import current_engine
from kbackend.ops.nn.normalizing import (
    batch_normalization_c,
    rms_normalization_c,
    rms_normalization_grad_c,
    standardize_c,
    standardize_grad_c,
)

pytestmark = pytest.mark.usefixtures("numpy_engine")


# shape, axes, shape of the parameters, order of memory
LAYOUTS = [
    ((64, 48), (1,), (1, 48), None),
    ((3, 5, 7), (2,), (1, 1, 7), None),
    ((3, 5, 7), (1, 2), (1, 5, 7), None),
    ((3, 5, 7), (1, 2), (1, 1, 1), None),
    ((400, 300), (1,), (1, 300), None),
    ((8, 5), (0,), (1, 5), None),
    ((16, 6, 6, 3), (0, 1, 2), (1, 1, 1, 3), None),
    ((16, 16, 16, 40), (0, 1, 2), (1, 1, 1, 40), None),
    ((7, 11, 3), (0, 1), (1, 1, 3), None),
    # channels first, as they are, and as transposes of channels last
    ((4, 6, 5, 3), (0, 2, 3), (1, 6, 1, 1), None),
    ((4, 6, 5, 3), (0, 2, 3), (1, 6, 1, 1), (0, 2, 3, 1)),
    ((4, 6, 5), (0,), (1, 6, 5), (0, 2, 1)),
    # groups, instances
    ((4, 5, 2, 3), (1, 3), (1, 1, 2, 3), None),
    ((4, 2, 3, 5), (2, 3), (1, 2, 3, 1), None),
    ((4, 5, 5, 3), (1, 2), (1, 1, 1, 3), None),
    # sizes of one, and none
    ((1, 1, 4), (0, 1), (1, 1, 4), None),
    ((4, 1), (1,), (1, 1), None),
    ((1, 1), (0, 1), (1, 1), None),
    ((0, 3), (1,), (1, 3), None),
]


def draw(rng, shape, order=None, dtype="float32", mean=0.0):
    if order is not None:
        moved = rng.normal(size=[shape[i] for i in order]).transpose(np.argsort(order))
    else:
        moved = rng.normal(size=shape)
    # astype keeps the order of memory.
    return (moved + mean).astype(dtype)


def run(composite, arrays, dtype=None, body=False, **params):
    """Results as arrays; by the body in float64 if asked for."""
    if body:
        arrays = [np.asarray(a, "float64") for a in arrays]
    tensors = [Tensor(a, current_engine()) for a in arrays]
    out = (composite.body if body else composite)(*tensors, **params)
    return [np.asarray(o) for o in (out if isinstance(out, tuple) else (out,))]


def compare(found, wanted, dtype="float32", tol=2e-5):
    assert len(found) == len(wanted)
    for x, y in zip(found, wanted, strict=True):
        assert x.dtype == dtype
        assert x.shape == y.shape
        scale = np.abs(y).max() if y.size else 0
        # Sums are rounded relative to their largest terms.
        np.testing.assert_allclose(x, y, rtol=tol, atol=tol * (1 + scale))


@pytest.mark.parametrize(("shape", "axes", "row", "order"), LAYOUTS)
@pytest.mark.parametrize(("scaled", "centred"), [(True, True), (False, True), (False, False)])
def test_standardize(shape, axes, row, order, scaled, centred):
    rng = np.random.default_rng(0)
    x = draw(rng, shape, order, mean=2.0)
    affine = [draw(rng, row, order) for _ in range(scaled + centred)]
    params = {"axes": axes, "epsilon": 1e-3, "scaled": scaled, "centred": centred}
    with np.errstate(all="ignore"):
        y, mean, variance = run(standardize_c, [x, *affine], body=True, **params)
        compare(run(standardize_c, [x, *affine], **params), [y, mean, variance])

    over = tuple(i for i, d in enumerate(row) if d == 1 and shape[i] != 1)
    g = [draw(rng, shape, order), draw(rng, mean.shape), draw(rng, mean.shape)]
    arrays = [*g, x, mean.astype("float32"), variance.astype("float32"), *affine[: int(scaled)]]
    for needs_x in (True, False):
        params = {
            "axes": axes, "epsilon": 1e-3, "needs_x": needs_x,
            "scale_over": over if scaled else None, "offset_over": over if centred else None,
        }  # fmt: skip
        with np.errstate(all="ignore"):
            wanted = run(standardize_grad_c, arrays, body=True, **params)
            compare(run(standardize_grad_c, arrays, **params), wanted, tol=5e-5)


@pytest.mark.parametrize("shape", [(4096, 4), (1000, 100), (64, 4096)])
def test_moments_far_from_zero(shape):
    x = draw(np.random.default_rng(0), shape, mean=1000.0)
    axes = (0,) if shape[1] < 1000 else (1,)
    params = {"axes": axes, "epsilon": 0.0, "scaled": False, "centred": False}
    y, mean, variance = run(standardize_c, [x], **params)
    exact = x.astype("float64")
    # Elements near 1000 are apart by 6e-5; what is left is a few roundings of that size.
    np.testing.assert_allclose(mean, exact.mean(axes, keepdims=True), atol=6e-4)
    np.testing.assert_allclose(variance, exact.var(axes, keepdims=True), rtol=1e-5)
    expected = (exact - exact.mean(axes, keepdims=True)) / exact.std(axes, keepdims=True)
    np.testing.assert_allclose(y, expected, atol=6e-4)


@pytest.mark.parametrize(("shape", "axes", "row", "order"), LAYOUTS)
@pytest.mark.parametrize("scaled", [True, False])
def test_rms_normalization(shape, axes, row, order, scaled):
    rng = np.random.default_rng(0)
    x = draw(rng, shape, order)
    scale = [draw(rng, row, order)] * scaled
    params = {"axes": axes, "epsilon": 1e-3}
    with np.errstate(all="ignore"):
        y, inverse = run(rms_normalization_c, [x, *scale], body=True, **params)
        compare(run(rms_normalization_c, [x, *scale], **params), [y, inverse])
    over = tuple(i for i, d in enumerate(row) if d == 1 and shape[i] != 1) if scaled else None
    g = [draw(rng, shape, order), draw(rng, inverse.shape)]
    arrays = [*g, x, inverse.astype("float32"), *scale]
    for needs_x in (True, False):
        params = {"axes": axes, "needs_x": needs_x, "scale_over": over}
        with np.errstate(all="ignore"):
            wanted = run(rms_normalization_grad_c, arrays, body=True, **params)
            compare(run(rms_normalization_grad_c, arrays, **params), wanted, tol=5e-5)


@pytest.mark.parametrize(("shape", "axes", "row", "order"), LAYOUTS)
@pytest.mark.parametrize(("scaled", "centred"), [(True, True), (False, True), (False, False)])
def test_batch_normalization(shape, axes, row, order, scaled, centred):
    rng = np.random.default_rng(0)
    x = draw(rng, shape, order)
    mean, variance = draw(rng, row), np.abs(draw(rng, row))
    affine = [draw(rng, row) for _ in range(scaled + centred)]
    params = {"epsilon": 1e-3, "scaled": scaled, "centred": centred}
    wanted = run(batch_normalization_c, [x, mean, variance, *affine], body=True, **params)
    compare(run(batch_normalization_c, [x, mean, variance, *affine], **params), wanted, tol=5e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_rounded_once(dtype):
    rng = np.random.default_rng(0)
    wide = numpy_dtype(dtype)
    x, mean, variance = (
        np.abs(draw(rng, shape)).astype(wide) for shape in ((4, 8, 3), (1, 1, 3), (1, 1, 3))
    )
    params = {"epsilon": 1e-3, "scaled": False, "centred": False}
    (y,) = run(batch_normalization_c, [x, mean, variance], **params)
    (exact,) = run(batch_normalization_c, [x, mean, variance], body=True, **params)
    np.testing.assert_array_equal(y, exact.astype("float32").astype(wide))


def test_inputs_are_not_written():
    rng = np.random.default_rng(0)
    arrays = [draw(rng, s) for s in ((6, 4), (6, 1), (6, 1), (6, 4), (6, 1), (6, 1), (1, 4))]
    for array in arrays:
        array.flags.writeable = False
    run(
        standardize_grad_c, arrays, axes=(1,), epsilon=1.0, needs_x=True, scale_over=(0,),
        offset_over=(0,),
    )  # fmt: skip
    run(standardize_c, [arrays[0], arrays[-1]], axes=(1,), epsilon=1.0, scaled=True, centred=False)
