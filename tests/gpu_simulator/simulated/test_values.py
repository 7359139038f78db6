"""What CuPy's own wheel computes on the simulated GPU is what NumPy computes."""

import numpy as np
import pytest

RNG = np.random.default_rng(0)
A = RNG.standard_normal((5, 7)).astype("float32")
B = RNG.standard_normal((7, 3)).astype("float32")

CALLS = {
    "ufunc": lambda xp, a, b: xp.tanh(a) * 2 + xp.abs(a),
    "power": lambda xp, a, b: a**2,
    "remainder": lambda xp, a, b: xp.arange(-5, 5) % 3,
    "comparison": lambda xp, a, b: xp.where(a > 0, a, 0),
    "float16": lambda xp, a, b: xp.tanh(a.astype("float16")) * 2,
    "sum": lambda xp, a, b: a.sum(0),
    "var": lambda xp, a, b: a.var(1),
    "argmax": lambda xp, a, b: a.argmax(1),
    "cumsum": lambda xp, a, b: xp.cumsum(a, 1),
    "product": lambda xp, a, b: a @ b,
    "transposed product": lambda xp, a, b: b.T @ a.T,
    "batched product": lambda xp, a, b: xp.stack([a, a]) @ xp.stack([b, b]),
    "einsum": lambda xp, a, b: xp.einsum("ij,jk->ki", a, b),
    "take": lambda xp, a, b: xp.take(a, xp.asarray([0, 2, 2]), axis=0),
    "fancy": lambda xp, a, b: a[xp.asarray([1, 1]), xp.asarray([2, 3])],
    "mask": lambda xp, a, b: a[a > 0],
    "concatenate": lambda xp, a, b: xp.concatenate([a, b.T], 0),
    "strided": lambda xp, a, b: a[::2, 1:6:2] * 2,
    "pad": lambda xp, a, b: xp.pad(a, 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_numpy(cp, name):
    found = CALLS[name](cp, cp.asarray(A), cp.asarray(B))
    expected = CALLS[name](np, A, B)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    # The device sums in another order, and g++ fuses products with sums.
    tolerance = 2e-3 if expected.dtype == "float16" else 2e-5
    np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=tolerance, atol=tolerance)


def test_elementwise_and_reduction_kernels(cp):
    product = cp.ElementwiseKernel("T x, T y", "T z", "z = x * y + tanh(x)", "product")
    length = cp.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "length")
    x = cp.asarray(A)
    np.testing.assert_allclose(cp.asnumpy(product(x, x)), A * A + np.tanh(A), rtol=1e-5)
    np.testing.assert_allclose(cp.asnumpy(length(x, axis=1)), np.sqrt((A * A).sum(1)), rtol=1e-5)


def test_templates(cp):
    text = "template<class T> __global__ void twice(T* x) { x[threadIdx.x] *= 2; }"
    module = cp.RawModule(code=text, name_expressions=["twice<float>"], options=("--std=c++17",))
    x = cp.arange(4, dtype="float32")
    module.get_function("twice<float>")((1,), (4,), (x,))
    np.testing.assert_array_equal(cp.asnumpy(x), [0, 2, 4, 6])


def test_what_nobody_wrote_is_nan(cp):
    # From the driver: what a pool hands out holds what was there before.
    fresh = cp.cuda.MemoryPointer(cp.cuda.Memory(512), 0)
    assert np.isnan(cp.asnumpy(cp.ndarray((3,), "float32", memptr=fresh))).all()
