"""Linear algebra: products of the factors, failures, shape rules, gradients to second order."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kbackend.core import lang
from kbackend.core.aval import Aval

STACKS = [(3, 3), (5, 3), (3, 5), (1, 1), (2, 4, 4), (2, 3, 5, 2), (2, 0, 0), (0, 3, 3), (70, 66)]


def draw(shape, dtype="float64"):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def symmetric(d):
    return (d + np.swapaxes(d, -1, -2)) / 2


def definite(shape):
    x = draw(shape)
    return x @ np.swapaxes(x, -1, -2) + 2 * np.eye(shape[-1])


def tolerance(dtype, size):
    """Backward stable: rounding of the dtype, growing with the size, and room for constants."""
    return 20 * max(size, 1) * float(np.finfo(dtype).eps)


def close(found, expected, dtype):
    size = max(expected.shape, default=1)
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance(dtype, size) * scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", STACKS, ids=str)
class TestFactors:
    def test_lu(self, numpy_engine, shape, dtype):
        x = draw(shape, dtype)
        packed, order = numpy_engine["lu"](x)
        rows, columns = shape[-2:]
        size = min(rows, columns)
        lower = np.tril(packed[..., :size], -1) + np.eye(rows, size, dtype=dtype)
        upper = np.triu(packed[..., :size, :])
        assert (packed.dtype, order.dtype, order.shape) == (x.dtype, np.int32, shape[:-1])
        assert (np.abs(lower) <= 1).all(), "partial pivoting bounds the multipliers"
        close(lower @ upper, np.take_along_axis(x, order[..., None].astype(int), -2), dtype)

    def test_qr(self, numpy_engine, shape, dtype):
        x = draw(shape, dtype)
        for full in (False, True):
            q, r = numpy_engine["qr"](x, full_matrices=full)
            assert q.dtype == r.dtype == dtype
            close(q @ r, x, dtype)
            assert q.shape[-1] == (shape[-2] if full else min(shape[-2:]))
            np.testing.assert_array_equal(np.tril(r, -1), 0)

    def test_svd(self, numpy_engine, shape, dtype):
        x = draw(shape, dtype)
        u, s, vh = numpy_engine["svd"](x, full_matrices=False)
        assert u.dtype == s.dtype == vh.dtype == dtype
        close(u * s[..., None, :] @ vh, x, dtype)
        assert (np.diff(s, axis=-1) <= 0).all()

    def test_shapes_are_inferred(self, numpy_engine, shape, dtype):
        x = draw(shape, dtype)
        cases = [(lang.qr_p, {"full_matrices": f}) for f in (False, True)]
        cases += [(lang.svd_p, {"full_matrices": f}) for f in (False, True)] + [(lang.lu_p, {})]
        if shape[-1] == shape[-2]:
            cases += [(lang.eigh_p, {}), (lang.eig_p, {})]
        for primitive, params in cases:
            outs = numpy_engine[primitive.name](x, **params)
            avals = primitive.infer([Aval(shape, dtype)], params)
            assert [(o.shape, o.dtype.name) for o in outs] == [(a.shape, a.dtype) for a in avals]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (0, 0), (80, 80)], ids=str)
def test_square_factors(numpy_engine, shape, dtype):
    x = definite(shape).astype(dtype)
    lower = numpy_engine["cholesky"](x)
    close(lower @ np.swapaxes(lower, -1, -2), x, dtype)
    w, v = numpy_engine["eigh"](x)
    close(v * w[..., None, :] @ np.swapaxes(v, -1, -2), x, dtype)
    # Only the lower triangle is read.
    close(numpy_engine["eigh"](np.tril(x))[0], w, dtype)
    y = draw(shape, dtype)
    w, v = numpy_engine["eig"](y)
    assert w.dtype == v.dtype == ("complex64" if dtype == "float32" else "complex128")
    close(y @ v, v * w[..., None, :], dtype)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 5), (1, 1), (150, 150)], ids=str)
def test_triangular_solve(numpy_engine, shape, lower, transpose_a):
    a = draw(shape) + shape[-1] * np.eye(shape[-1])
    b = draw((*shape[:-1], 4))
    x = numpy_engine["triangular_solve"](a, b, lower=lower, transpose_a=transpose_a)
    triangle = np.tril(a) if lower else np.triu(a)
    triangle = np.swapaxes(triangle, -1, -2) if transpose_a else triangle
    np.testing.assert_allclose(triangle @ x, b, rtol=1e-12, atol=1e-12)


def test_triangular_solve_is_substitution(numpy_engine):
    """Exact to rounding per element even where the scales of the rows differ by 1e16."""
    a = np.tril(draw((30, 30))) + np.diag(10.0 ** np.linspace(-8, 8, 30))
    b = draw((30, 2))
    x = numpy_engine["triangular_solve"](a, b, lower=True, transpose_a=False)
    expected = np.zeros_like(b)
    for i in range(30):
        expected[i] = (b[i] - a[i, :i] @ expected[:i]) / a[i, i]
    np.testing.assert_allclose(x, expected, rtol=1e-11)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fft(numpy_engine, dtype, inverse):
    re, im = draw((2, 3, 7), dtype)
    outs = numpy_engine["fft"](re, im, inverse=inverse)
    expected = (np.fft.ifft if inverse else np.fft.fft)(re.astype(float) + 1j * im)
    close(outs[0], expected.real, dtype)
    close(outs[1], expected.imag, dtype)
    assert outs[0].dtype == outs[1].dtype == dtype


def test_low_precision_rounds_once(numpy_engine):
    x = definite((4, 4)).astype(ml_dtypes.bfloat16)
    out = numpy_engine["cholesky"](x)
    expected = np.linalg.cholesky(x.astype(np.float32)).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(out, expected)
    assert [o.dtype for o in numpy_engine["lu"](x)] == [ml_dtypes.bfloat16, np.int32]


def test_failures_say_why(numpy_engine):
    with pytest.raises(np.linalg.LinAlgError, match=r"\[cholesky\] .* not positive definite"):
        numpy_engine["cholesky"](-np.eye(3))
    with pytest.raises(ValueError, match=r"\[triangular_solve\] .* singular"):
        numpy_engine["triangular_solve"](
            np.zeros((2, 2)), np.ones((2, 1)), lower=True, transpose_a=False
        )
    with pytest.raises(np.linalg.LinAlgError, match=r"\[svd\] .* NaN"):
        numpy_engine["svd"](np.full((2, 2), np.nan), full_matrices=False)


def test_lu_of_a_singular_matrix(numpy_engine):
    packed, order = numpy_engine["lu"](np.array([[0.0, 1.0], [0.0, 2.0]]))
    assert np.isfinite(packed).all()
    assert packed[0, 0] == 0
    assert sorted(order.tolist()) == [0, 1]


@pytest.mark.parametrize("name", ["lu", "qr", "svd", "cholesky", "eigh"])
def test_inputs_are_unchanged(numpy_engine, name):
    x = definite((4, 4))
    x.flags.writeable = False
    params = {"full_matrices": False} if name in ("qr", "svd") else {}
    numpy_engine[name](x, **params)
    numpy_engine[name](x.T[::-1, ::-1], **params)


def test_shape_rules():
    def infer(primitive, *shapes, dtype="float32", **params):
        return primitive.infer([Aval(s, dtype) for s in shapes], params)

    solve = {"lower": True, "transpose_a": False}
    assert infer(lang.cholesky_p, (None, 3, None)).shape == (None, 3, 3)
    assert infer(lang.triangular_solve_p, (None, 3, 3), (2, 3, 4), **solve).shape == (2, 3, 4)
    assert infer(lang.svd_p, (None, 5, 3), full_matrices=False)[0].shape == (None, 5, 3)
    assert infer(lang.eig_p, (3, 3), dtype="complex128")[0].dtype == "complex128"
    with pytest.raises(ValueError, match=r"\[cholesky\] The matrices must be square"):
        infer(lang.cholesky_p, (3, 4))
    with pytest.raises(ValueError, match="at least two dimensions"):
        infer(lang.qr_p, (3,), full_matrices=False)
    with pytest.raises(TypeError, match="floating"):
        infer(lang.lu_p, (3, 3), dtype="int32")
    for b in ((4, 2), (2, 3, 2)):
        with pytest.raises(ValueError, match="as many rows"):
            infer(lang.triangular_solve_p, (3, 3), b, **solve)
    with pytest.raises(ValueError, match="one shape"):
        infer(lang.fft_p, (3,), (4,), inverse=False)


# ----- gradients -----


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (2, 3, 3)], ids=str)
def test_cholesky_gradients(check_grads, shape):
    check_grads(lang.cholesky, definite(shape), project=symmetric)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("lower", [False, True])
def test_triangular_solve_gradients(check_grads, lower, transpose_a):
    a = draw((2, 3, 3)) + 3 * np.eye(3)
    check_grads(
        lambda a, b: lang.triangular_solve(a, b, lower=lower, transpose_a=transpose_a),
        a,
        draw((2, 3, 2)),
    )


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (2, 4, 3), (2, 2, 4)], ids=str)
class TestRectangular:
    def test_qr_gradients(self, check_grads, shape):
        check_grads(lang.qr, draw(shape), rtol=1e-5)

    def test_lu_gradients(self, check_grads, shape):
        # Diagonal dominance keeps the pivots where they are under small steps.
        x = draw(shape) + 4 * np.eye(*shape[-2:])[:, ::-1]
        check_grads(lang.lu, x)

    def test_svd_gradients(self, check_grads, shape):
        check_grads(lang.svd, draw(shape), rtol=1e-5)

    def test_singular_values_alone(self, check_grads, shape):
        check_grads(lang.svd, draw(shape), outputs=(1,), rtol=1e-5)


def test_full_matrices_have_no_gradient(check_grads):
    for fn in (lang.qr, lang.svd):
        with pytest.raises(ValueError, match="full_matrices=False"):
            check_grads(lambda x, fn=fn: fn(x, full_matrices=True), draw((4, 3)))
        check_grads(lambda x, fn=fn: fn(x, full_matrices=True), draw((3, 3)), order=1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (2, 3, 3)], ids=str)
def test_eigh_gradients(check_grads, shape):
    check_grads(lang.eigh, definite(shape), project=symmetric, rtol=1e-5)


def test_equal_values_give_finite_gradients(check_grads):
    """The sum of the values is smooth where two of them meet."""

    def total(x):
        return lang.reduce_sum(lang.eigh(x)[0], (0,))

    check_grads(total, np.eye(3), order=1, project=symmetric)
    check_grads(lambda x: lang.reduce_sum(lang.svd(x)[1], (0,)), np.eye(3), order=1)


@pytest.mark.parametrize("inverse", [False, True])
def test_fft_gradients(check_grads, inverse):
    def fn(re, im):
        return lang.fft(lang.mul(re, re), lang.mul(im, re), inverse=inverse)

    check_grads(fn, draw((2, 5)), draw((2, 5)))


def test_eig_is_declared_without_gradient():
    assert not lang.eig_p.differentiable
