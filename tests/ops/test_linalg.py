"""Linear algebra against real Keras and NumPy."""

import math

import numpy as np
import pytest

from kbackend.ops import linalg
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")


def _normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def _positive(rng, *shape):
    x = _normal(rng, *shape)
    return x @ x.swapaxes(-1, -2) + 2 * np.eye(shape[-1], dtype="float32")


@pytest.mark.parametrize("upper", [True, False])
def test_cholesky(agrees, rng, upper):
    # The gradients differ from JAX's by how an unsymmetric change counts, so they go through x x'.
    x = _normal(rng, 2, 3, 3)

    def of(ops):
        def run(x):
            m = x @ keras_t(x) + 2 * np.eye(3, dtype="float32")
            return ops.cholesky(m, upper=upper)

        return run

    def keras_t(x):
        return x.swapaxes(-1, -2) if hasattr(x, "swapaxes") else linalg._t(x)

    agrees(of(linalg), of(keras.ops), x, batch=False)
    m = _positive(rng, 2, 3, 3)
    found = linalg.cholesky_inverse(linalg.cholesky(m, upper=upper), upper=upper)
    np.testing.assert_allclose(found, np.linalg.inv(m), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["inv", "det"])
def test_of_one_matrix(agrees, rng, name):
    agrees(getattr(linalg, name), getattr(keras.ops, name), _positive(rng, 3, 4, 4), atol=1e-3)


def test_sign_of_determinants(rng):
    x = rng.normal(size=(50, 4, 4))
    np.testing.assert_allclose(linalg.det(x), np.linalg.det(x), rtol=1e-6, atol=1e-9)
    assert linalg.det(np.zeros((2, 2))).item() == 0


def test_solve(agrees, rng):
    a = _positive(rng, 3, 4, 4)
    b = _normal(rng, 3, 4, 2)
    agrees(linalg.solve, keras.ops.solve, a, b, batch=False, atol=1e-4)
    for lower in (True, False):
        agrees(
            lambda a, b, lower=lower: linalg.solve_triangular(a, b, lower=lower),
            lambda a, b, lower=lower: keras.ops.solve_triangular(a, b, lower=lower),
            a, b, batch=False, atol=1e-3,
        )  # fmt: skip
    # A stack of vectors, which Keras on JAX does not take.
    first = np.asarray(linalg.solve(a, b))[..., 0]
    np.testing.assert_allclose(linalg.solve(a, b[..., 0]), first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_qr(rng, mode, shape):
    x = _normal(rng, *shape)
    q, r = (np.asarray(f) for f in linalg.qr(x, mode=mode))
    wanted = keras.ops.qr(x, mode=mode)
    assert (q.shape, r.shape) == (wanted[0].shape, wanted[1].shape)
    np.testing.assert_allclose(q @ r, x, atol=1e-5)
    np.testing.assert_allclose(
        q.swapaxes(-1, -2) @ q, np.eye(q.shape[-1]) + 0 * q[..., :1, :1], atol=1e-5
    )
    assert [s.shape for s in linalg.qr(KerasTensor(shape), mode=mode)] == [q.shape, r.shape]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_svd(rng, full, shape):
    x = _normal(rng, *shape)
    u, s, vh = (np.asarray(f) for f in linalg.svd(x, full_matrices=full))
    assert [u.shape, s.shape, vh.shape] == [
        tuple(f.shape) for f in keras.ops.svd(x, full_matrices=full)
    ]
    k = s.shape[-1]
    np.testing.assert_allclose((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, atol=1e-5)
    np.testing.assert_allclose(linalg.svd(x, compute_uv=False), s, rtol=1e-5)


def test_eigenvalues(rng):
    x = _positive(rng, 2, 4, 4)
    values, vectors = (np.asarray(f) for f in linalg.eigh(x))
    np.testing.assert_allclose(x @ vectors, vectors * values[..., None, :], rtol=1e-3, atol=1e-4)
    values, vectors = (np.asarray(f) for f in linalg.eig(x))
    np.testing.assert_allclose(x @ vectors, vectors * values[..., None, :], rtol=1e-3, atol=1e-4)


def test_lu_factor(rng):
    x = _normal(rng, 3, 5, 5)
    packed, pivots = linalg.lu_factor(x)
    wanted = keras.ops.lu_factor(x)
    np.testing.assert_allclose(packed, wanted[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(pivots, wanted[1])


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 4)])
def test_pinv_and_rank(agrees, rng, shape):
    x = _normal(rng, *shape)
    np.testing.assert_allclose(linalg.pinv(x), np.linalg.pinv(x), rtol=1e-3, atol=1e-4)
    low = x.copy()
    low[..., 1, :] = 2 * low[..., 0, :]
    np.testing.assert_array_equal(linalg.matrix_rank(low), np.linalg.matrix_rank(low))
    np.testing.assert_array_equal(
        linalg.matrix_rank(x, tol=100.0), np.linalg.matrix_rank(x, tol=100.0)
    )


@pytest.mark.parametrize("b", [(6,), (6, 2)])
def test_lstsq(rng, b):
    a, b = _normal(rng, 6, 3), _normal(rng, *b)
    np.testing.assert_allclose(
        linalg.lstsq(a, b), np.linalg.lstsq(a, b, rcond=None)[0], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    ("order", "axis"),
    [(None, None), (None, 1), (1, -1), (2, 0), (3, 1), (0, 1), (math.inf, 1), (-math.inf, 1),
     ("fro", (0, 1)), ("nuc", (1, 2)), (1, (0, 2)), (-1, (2, 0)), (2, (1, 2)), (-2, (1, 2)),
     (math.inf, (1, 2)), (None, (0, 1))],
)  # fmt: skip
@pytest.mark.parametrize("keepdims", [True, False])
def test_norm(rng, order, axis, keepdims):
    x = _normal(rng, 3, 4, 5)
    how = {"ord": order, "axis": axis, "keepdims": keepdims}
    found = linalg.norm(x, **how)
    wanted = np.sqrt((x * x).sum(keepdims=keepdims)) if axis is None else np.linalg.norm(x, **how)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found.shape == wanted.shape
    assert linalg.norm(KerasTensor((3, 4, 5)), **how).shape == wanted.shape


def test_errors():
    with pytest.raises(ValueError, match=r"\[inv\] the matrices must be square.*\(2, 3\)"):
        linalg.inv(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"\[det\] takes matrices"):
        linalg.det(np.zeros(3))
    with pytest.raises(ValueError, match=r"\[qr\] 'mode'"):
        linalg.qr(np.zeros((2, 2)), mode="full")
    with pytest.raises(ValueError, match=r"\[norm\].*order 3"):
        linalg.norm(np.zeros((2, 2)), ord=3)
    with pytest.raises(ValueError, match=r"\[solve\] 'b'"):
        linalg.solve(np.zeros((2, 2)), np.zeros(3))
