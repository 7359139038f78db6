"""Creation, sets, bits, windows, vectorize; edge cases and errors of the NumPy namespace."""

import numpy as np
import pytest

from kbackend import config, ops
from kbackend.core.convert import to_tensor
from kbackend.ops import numpy as knp

NAN = float("nan")


# ----- creation -----


def test_constants():
    assert ops.zeros((2, 3)).dtype == "float32"
    assert ops.ones(4, dtype="int8").tolist() == [1] * 4
    assert ops.full((2,), 3).dtype == "float32"
    assert ops.full((2,), np.int64(3)).dtype == "int64"
    assert ops.empty((0, 2)).shape == (0, 2)
    assert ops.zeros(to_tensor([2, 3])).shape == (2, 3)
    np.testing.assert_array_equal(ops.eye(3, 4, k=-1), np.eye(3, 4, k=-1))
    np.testing.assert_array_equal(ops.tri(3, 4, k=1), np.tri(3, 4, k=1))
    np.testing.assert_array_equal(ops.identity(3, dtype="int32"), np.eye(3))


def test_floatx_decides():
    config.set_floatx("float64")
    assert ops.zeros(2).dtype == ops.eye(2).dtype == ops.hanning(4).dtype == "float64"
    assert ops.exp(1).dtype == "float64"


@pytest.mark.parametrize(
    ("args", "dtype"),
    [
        ((5,), "int32"),
        ((2, 9, 3), "int32"),
        ((9, 2, -2), "int32"),
        ((1.5,), "float32"),
        ((0, 1, 0.25), "float32"),
        ((-3,), "int32"),
        ((np.int64(4),), "int64"),
        ((2**40, 2**40 + 2), "int64"),
    ],
)
def test_arange(args, dtype):
    got = ops.arange(*args)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, np.arange(*args))


def test_linspace_ends_exactly():
    got = ops.linspace(0.1, 0.7, 7)
    assert got.tolist()[-1] == np.float32(0.7)
    values, step = ops.linspace(0, 1, 5, retstep=True)
    assert step.item() == 0.25
    assert ops.linspace(0.0, 1.0, 0).shape == (0,)
    with pytest.raises(ValueError, match="num=-1"):
        ops.linspace(0.0, 1.0, -1)


# ----- sets and counts -----


def test_unique():
    x = np.array([[3, 1, 3], [2, 1, 1]], "int32")
    values, index, inverse, counts = ops.unique(
        x, return_index=True, return_inverse=True, return_counts=True
    )
    assert values.tolist() == [1, 2, 3]
    assert index.tolist() == [1, 3, 0]
    assert counts.tolist() == [3, 1, 2]
    np.testing.assert_array_equal(np.asarray(values)[np.asarray(inverse)], x)
    assert index.dtype == inverse.dtype == counts.dtype == "int32"
    assert ops.unique(x, size=5, fill_value=-1).tolist() == [1, 2, 3, -1, -1]
    assert ops.unique(x, size=2).tolist() == [1, 2]
    rows = np.array([[1, 2], [1, 2], [0, 5]])
    assert ops.unique(rows, axis=0).tolist() == [[0, 5], [1, 2]]


def test_bincount():
    x = np.array([1, 3, 1, 0])
    assert ops.bincount(x).tolist() == [1, 2, 0, 1]
    assert ops.bincount(x, minlength=6).tolist() == [1, 2, 0, 1, 0, 0]
    weighted = ops.bincount(x, weights=np.array([0.5, 1.0, 2.0, 4.0], "float32"))
    assert weighted.tolist() == [4.0, 2.5, 0.0, 1.0]
    assert ops.bincount(np.array([[0, 1], [2, 2]])).tolist() == [[1, 1, 0], [0, 0, 2]]
    assert ops.bincount(np.zeros(0, "int32"), minlength=2).tolist() == [0, 0]
    with pytest.raises(ValueError, match="sparse=True"):
        ops.bincount(x, sparse=True)
    with pytest.raises(ValueError, match="non-negative"):
        ops.bincount(np.array([-1]))
    with pytest.raises(TypeError, match="integers"):
        ops.bincount(np.array([1.0]))


def test_histogram_edges():
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, NAN], "float32")
    counts, edges = ops.histogram(x, bins=2, range=(0, 1))
    assert counts.tolist() == [1, 2]
    counts, edges = ops.histogram(x[:3], bins=[-1.0, 0.0, 0.5])
    assert counts.tolist() == [1, 2]
    counts, edges = ops.histogram(np.full(3, 2.0, "float32"), bins=2)
    assert counts.tolist() == [0, 3]
    assert edges.tolist() == [1.5, 2.0, 2.5]
    with pytest.raises(ValueError, match="bins=0"):
        ops.histogram(x, bins=0)


def test_isin_many_and_few(rng):
    x, y = rng.integers(0, 50, (4, 5)), rng.integers(0, 50, 40)
    np.testing.assert_array_equal(ops.isin(x, y), np.isin(x, y))
    np.testing.assert_array_equal(ops.isin(x, y[:3], invert=True), np.isin(x, y[:3], invert=True))
    assert not np.asarray(ops.isin(x, np.zeros(0, "int64"))).any()
    assert ops.isin([NAN, 1.0], [NAN, 1.0]).tolist() == [False, True]


def test_nonzero_and_where():
    x = np.array([[0, 5], [7, 0]])
    for found in (ops.nonzero(x), ops.where(x)):
        assert [f.tolist() for f in found] == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="neither"):
        ops.where(x, 1)


# ----- bits -----


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64", "int16", "int64", "bool"])
def test_invert(dtype):
    x = np.array([0, 1, 1, 0]).astype(dtype)
    np.testing.assert_array_equal(ops.bitwise_invert(x), np.invert(x))


def test_gcd_of_wide_numbers():
    a, b = 2**61 - 2, 6 * (2**31 - 1)
    assert ops.gcd(np.array([a]), np.array([b])).tolist() == [np.gcd(a, b)]
    # Neighbouring Fibonacci numbers take Euclid's algorithm the longest.
    assert ops.gcd(np.array([1836311903], "int32"), np.array([1134903170], "int32")).tolist() == [1]


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float16", "int32", "float64", "uint64"])
@pytest.mark.parametrize("source", ["float32", "int8", "float64", "uint16"])
def test_view(source, dtype, rng):
    x = rng.integers(-100, 100, (3, 8)).astype(source)
    got = ops.view(x, dtype)
    assert got.dtype == dtype
    assert np.asarray(got).tobytes() == x.view(dtype).tobytes()
    assert got.shape == x.view(dtype).shape


def test_view_needs_whole_elements():
    with pytest.raises(ValueError, match="whole number"):
        ops.view(np.zeros(3, "int8"), "int32")


def test_nextafter_of_narrow_floats():
    x = to_tensor([1.0, 0.0, -1.0], "float16")
    got = np.asarray(ops.nextafter(x, to_tensor([2.0, -1.0, NAN], "float16")))
    want = np.nextafter(np.float16([1, 0, -1]), np.float16([2, -1, NAN]))
    np.testing.assert_array_equal(got, want)


# ----- windows -----


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hanning"])
@pytest.mark.parametrize("size", [0, 1, 7])
def test_windows(name, size):
    # Rounded once to float32.
    np.testing.assert_allclose(
        getattr(ops, name)(size), getattr(np, name)(size), rtol=1e-6, atol=1e-7
    )


def test_kaiser():
    np.testing.assert_allclose(ops.kaiser(to_tensor(9), 5.0), np.kaiser(9, 5.0), rtol=1e-6)


def test_i0_in_double_precision():
    x = np.concatenate([np.linspace(-29.9, 29.9, 40), np.linspace(30.1, 700.0, 20)])
    # np.i0 promises 15 digits or so.
    np.testing.assert_allclose(ops.i0(x), np.i0(x), rtol=5e-14)


# ----- vectorize -----


def test_vectorize_elements():
    clipped = ops.vectorize(lambda a, b: a - b if a.item() > b.item() else b)
    x = np.array([[1, 5], [7, 2]])
    assert clipped(x, [3, 4]).tolist() == [[3, 1], [4, 4]]


def test_vectorize_with_signature(rng):
    product = ops.vectorize(lambda m, v: ops.matmul(m, v), signature="(m,n),(n)->(m)")
    a, b = rng.normal(size=(5, 2, 3)), rng.normal(size=3)
    np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-12)
    several = ops.vectorize(lambda x: (ops.sum(x), x * 2), signature="(n)->(),(n)")
    total, double = several(a)
    np.testing.assert_allclose(total, a.sum(-1), rtol=1e-12)
    np.testing.assert_allclose(double, a * 2, rtol=1e-12)


def test_vectorize_excluded():
    power = ops.vectorize(lambda x, n, offset: x**n + offset, excluded={1, "offset"})
    assert power([1, 2], 3, offset=1).tolist() == [2, 9]


def test_vectorize_errors():
    with pytest.raises(ValueError, match="looks like"):
        ops.vectorize(abs, signature="n->n")
    with pytest.raises(ValueError, match="do not fit"):
        ops.vectorize(abs, signature="(m,n)->()")(np.zeros(3))


# ----- edges and errors -----


def test_zero_size():
    x = np.zeros((0, 3), "float32")
    assert ops.sum(x).item() == 0
    assert ops.prod(x).item() == 1
    assert ops.sum(x, axis=0).tolist() == [0, 0, 0]
    assert ops.any(x).item() is False
    assert ops.all(x).item() is True
    assert ops.max(x, axis=1).shape == (0,)
    assert ops.sort(x, 0).shape == ops.cumsum(x, 0).shape == (0, 3)
    assert ops.concatenate([x, x]).shape == (0, 3)
    assert ops.matmul(x, np.ones((3, 2), "float32")).shape == (0, 2)
    with pytest.raises(ValueError, match="no value over zero elements"):
        ops.max(x)


ERRORS = [
    (lambda: ops.sum(np.zeros((2, 3)), axis=2), "axis=2 is out of bounds"),
    (lambda: ops.sum(np.zeros((2, 3)), axis=(0, -2)), "named twice"),
    (lambda: ops.reshape(np.zeros(6), (4, -1)), "sizes differ"),
    (lambda: ops.reshape(np.zeros(6), (2.5, 2)), "made of integers"),
    (lambda: ops.squeeze(np.zeros((2, 3)), 0), "dimensions of size 1 only"),
    (lambda: ops.split(np.zeros(5), 2), "array_split"),
    (lambda: ops.split(np.zeros(5), 0), "at least one section"),
    (lambda: ops.concatenate([]), "at least one tensor"),
    (lambda: ops.stack([np.zeros(2), np.zeros((2, 2))]), "one shape"),
    (lambda: ops.moveaxis(np.zeros((2, 3)), (0, 0), (0, 1)), "different"),
    (lambda: ops.pad(np.zeros((2, 3)), ((1, 1), (1, 1), (1, 1))), "one pair"),
    (lambda: ops.pad(np.zeros(3), 1, mode="odd"), "mode='odd'"),
    (lambda: ops.pad(np.zeros(3), 1, mode="reflect", constant_values=1), "mode='constant' only"),
    (lambda: ops.matmul(np.zeros((2, 3)), np.zeros((4, 2))), "must be equal"),
    (lambda: ops.matmul(np.zeros(()), np.zeros(2)), "at least one dimension"),
    (lambda: ops.cross(np.zeros(4), np.zeros(3)), "2 or 3 elements"),
    (lambda: ops.quantile(np.zeros(3), 0.5, method="odd"), "method='odd'"),
    (lambda: ops.argpartition(np.zeros(3), 3), "kth=3"),
    (lambda: ops.diag(np.zeros((1, 1, 1))), "a vector or a matrix"),
    (lambda: ops.take_along_axis(np.zeros((2, 2)), [0], axis=0), "rank of x"),
    (lambda: ops.correlate(np.zeros(3), np.zeros((2, 2))), "vectors"),
    (lambda: ops.meshgrid([1], indexing="no"), "indexing='no'"),
    (lambda: ops.roll(np.zeros(3), (1, 2), (0, 0, 0)), "one shift per axis"),
    (lambda: ops.repeat(np.zeros(3), [1, 2]), "one count per element"),
    (lambda: ops.average(np.zeros((2, 3)), weights=[1.0, 2.0]), "along one axis"),
    (lambda: ops.select([], []), "at least one"),
    (lambda: ops.tensordot(np.zeros(3), np.zeros(3), 2), "can't sum over 2 axes"),
    (lambda: ops.add(np.zeros(3), np.zeros(4)), "can't be broadcast"),
    (lambda: ops.add(None, 1), "None can't be converted"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[m for _, m in ERRORS])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_namespaces_share_functions():
    for name in knp.__all__:
        assert getattr(ops, name) is getattr(knp, name)
        assert getattr(knp, name).__doc__


# ----- complex numbers -----


@pytest.mark.parametrize(
    "name",
    """exp log sqrt sin cos tan tanh sinh cosh arcsin arccos arctan arcsinh arccosh arctanh abs
    conj real imag angle square reciprocal negative sum prod mean isfinite isnan isinf isreal
    cumsum round""".split(),
)
def test_complex_arguments(name, rng):
    x = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    np.testing.assert_allclose(getattr(ops, name)(x), getattr(np, name)(x), rtol=1e-12, atol=1e-13)
