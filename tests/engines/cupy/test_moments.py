"""Mean and variance in a single pass: on the CPU against float64, and for real devices."""

import numpy as np
import pytest

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.moments import moments
from tests.engines.cupy.kernels import compiled, needs_text
from tests.engines.cupy.whole import planned, run
from tests.gpu_simulator import cuda_on_cpu, nvrtc

pytestmark = needs_text


def found(x, axes):
    """Mean and variance, the same in each order of threads."""
    results = []
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            results.append(run("moments", [x], axes=axes))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    return results[0]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 9, 9, 33), (0, 1, 2)),
        ((7000, 5), (0,)),
        ((3, 500, 4), (1,)),
        ((6, 2000), (1,)),
        ((20000,), (0,)),
        ((1, 6), (0,)),
    ],
)
def test_against_float64(rng, shape, axes):
    # Means far from 0 are where sums of squares would lose all digits.
    x = (rng.standard_normal(shape) * rng.uniform(0.1, 3, shape[-1]) + 100).astype("float32")
    mean, variance = found(x, axes)
    exact = x.astype("float64")
    # Rounding of the mean, relative to which the elements are as small as 1e-3.
    eps = np.finfo("float32").eps
    np.testing.assert_allclose(mean, exact.mean(axes, keepdims=True), rtol=40 * eps)
    np.testing.assert_allclose(variance, exact.var(axes, keepdims=True), rtol=400 * eps,
                               atol=400 * eps)  # fmt: skip


def test_elements_that_lie_apart(rng):
    x = rng.standard_normal((12, 7, 10)).astype("float32")[::2, :, ::-1]
    mean, variance = found(x, (0, 2))
    np.testing.assert_allclose(mean, x.mean((0, 2), keepdims=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, x.var((0, 2), keepdims=True), rtol=1e-5)


def test_nan_and_infinity(rng):
    x = rng.standard_normal((600, 3)).astype("float32")
    x[5, 0], x[7, 1] = np.nan, np.inf
    mean, variance = found(x, (0,))
    assert np.isnan(mean[0, 0]) and np.isposinf(mean[0, 1]) and np.isfinite(mean[0, 2])
    assert np.isnan(variance[0, :2]).all() and np.isfinite(variance[0, 2])


def test_nothing_and_other_dtypes_are_declined():
    for shape, dtype in (((0, 3), "float32"), ((4, 3), "float16"), ((4, 3), "float64")):
        out = Spec((1, 3), dtype)
        assert moments((Spec(shape, dtype),), (out, out), axes=(0,)) is None


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_budgets(architecture):
    for shape in ((65536, 64), (65536,)):
        plan, _ = planned("moments", [np.zeros(shape, "float32")], axes=(0,))
        (launch,) = plan.launches
        used = compiled(launch.text, architecture)[launch.name]
        assert used.spilled == 0 and used.registers <= 64 and used.shared <= 8192
