"""Random functions: forming rules, distributions, reproducibility, gradients, symbolic shapes.

Samples have fixed seeds, so a test either always passes or always fails. Bounds on moments are five
standard errors.
"""

import inspect
import math

import numpy as np
import pytest

import kbackend
from kbackend import random
from kbackend.autodiff import GradientTape
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.random import SeedGenerator

keras = pytest.importorskip("keras")

N = 20_000
FUNCTIONS = sorted(set(random.__all__) - {"SeedGenerator"})
# name -> arguments that make a small sample
CALLS = {
    "beta": ((3, 2), 2.0, 3.0),
    "binomial": ((3, 2), 50, 0.5),
    "categorical": (np.zeros((3, 50)), 2),
    "dropout": (np.ones((30, 2), "float32"), 0.5),
    "gamma": ((3, 2), 2.0),
    "normal": ((3, 2),),
    "randint": ((3, 2), 0, 10**6),
    "shuffle": (np.arange(60).reshape(30, 2),),
    "truncated_normal": ((3, 2),),
    "uniform": ((3, 2),),
}


def draw(name, **kwargs):
    return np.asarray(getattr(random, name)(*CALLS[name], **kwargs))


def check_moments(sample, mean, variance):
    sample = np.asarray(sample, "float64")
    assert abs(sample.mean() - mean) < 5 * math.sqrt(variance / sample.size)
    # the standard error of a variance, from the sample's fourth moment
    fourth = ((sample - sample.mean()) ** 4).mean()
    error = math.sqrt((fourth - variance**2) / sample.size)
    assert abs(sample.var() - variance) < 5 * error + 1e-12


# ----- surface -----


def test_the_names_and_signatures_are_those_of_keras():
    public = {n for n in dir(keras.random) if not n.startswith("_")}
    assert public == set(random.__all__)
    for name in FUNCTIONS:
        ours, theirs = (inspect.signature(getattr(m, name)) for m in (random, keras.random))
        expected = [(p.name, p.default) for p in theirs.parameters.values()]
        assert [(p.name, p.default) for p in ours.parameters.values()] == expected


# ----- reproducibility -----


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_integer_seed_gives_the_same_numbers(name):
    np.testing.assert_array_equal(draw(name, seed=3), draw(name, seed=3))
    assert (draw(name, seed=3) != draw(name, seed=4)).any()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_generator_moves_on(name):
    first, second = SeedGenerator(5), SeedGenerator(5)
    a, b = draw(name, seed=first), draw(name, seed=first)
    assert (a != b).any()
    np.testing.assert_array_equal(a, draw(name, seed=second))
    np.testing.assert_array_equal(b, draw(name, seed=second))
    assert first.state.numpy().tolist() == [5, 2]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_global_seed(name):
    kbackend.utils.set_random_seed(11)
    a, b = draw(name), draw(name)
    assert (a != b).any()
    kbackend.utils.set_random_seed(11)
    np.testing.assert_array_equal(a, draw(name))
    np.testing.assert_array_equal(b, draw(name))
    assert kbackend.utils.get_random_seed() == 11


@pytest.mark.parametrize("seed", ["a", 1.5, True, np.array([1, 2])])
def test_wrong_seeds(seed):
    with pytest.raises(ValueError, match="'seed' must be"):
        random.uniform((2,), seed=seed)


# ----- forming rules -----


def test_uniform_is_the_leading_bits():
    state = to_tensor(np.array([9, 0], "uint32"))
    bits = lang.random_bits(state, (100,)).numpy()
    expected = (bits >> 8).astype("float32") * np.float32(2**-24)
    np.testing.assert_array_equal(random.uniform((100,), seed=9), expected)
    bits = lang.random_bits(state, (100,), 64).numpy()
    expected = (bits >> 11).astype("float64") * 2**-53
    np.testing.assert_array_equal(random.uniform((100,), dtype="float64", seed=9), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform_never_reaches_its_upper_bound(dtype):
    for low, high in ((0.0, 1.0), (1.0, 1.0 + 2**-6), (-3.0, 5.0)):
        x = random.uniform((N,), low, high, dtype=dtype, seed=1)
        assert x.dtype == dtype
        values = np.asarray(x).astype("float64")
        assert values.min() >= low and values.max() < high


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", ["normal", "truncated_normal", "gamma", "beta", "binomial"])
def test_float_dtypes(name, dtype):
    x = getattr(random, name)(*CALLS[name], dtype=dtype, seed=1)
    assert x.dtype == dtype
    assert np.isfinite(np.asarray(x).astype("float64")).all()
    with pytest.raises(ValueError, match="'dtype' must be one of"):
        getattr(random, name)(*CALLS[name], dtype="int32")


def test_the_default_dtype_is_floatx():
    kbackend.config.set_floatx("float16")
    assert random.normal((2,)).dtype == "float16"


# ----- distributions -----


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_moments_of_uniform_and_normal(dtype):
    options = {"dtype": dtype, "seed": 2}
    slack = 4e-3 if dtype == "bfloat16" else 0.0  # bfloat16 uniforms are truncated to 1/256
    check_moments(np.asarray(random.uniform((N,), **options)) + slack / 2, 0.5, 1 / 12)
    check_moments(random.uniform((N,), -1, 5, seed=2), 2.0, 3.0)
    check_moments(random.normal((N,), **options), 0.0, 1.0)
    check_moments(random.normal((N,), 3.0, 0.5, seed=2), 3.0, 0.25)


def normal_cdf(x):
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


def test_normal_follows_its_distribution_function():
    x = np.sort(np.asarray(random.normal((N,), seed=3), "float64"))
    distance = np.abs(normal_cdf(x) - (np.arange(N) + 0.5) / N).max()
    assert distance < 1.63 / math.sqrt(N)  # Kolmogorov-Smirnov at 1 %


def test_truncated_normal_follows_its_distribution_function():
    x = np.sort(np.asarray(random.truncated_normal((N,), seed=3), "float64"))
    assert x[0] >= -2 and x[-1] <= 2
    low, high = normal_cdf([-2.0, 2.0])
    distance = np.abs((normal_cdf(x) - low) / (high - low) - (np.arange(N) + 0.5) / N).max()
    assert distance < 1.63 / math.sqrt(N)


def test_parameters_broadcast():
    mean, stddev = np.array([0.0, 100.0]), np.array([[1.0], [1e-3]])
    x = random.normal((2, 2), mean, stddev, seed=1).numpy()
    assert abs(x[1, 1] - 100) < 0.1 and x.shape == (2, 2)
    x = random.uniform((3, 2), np.array([0.0, 10.0]), np.array([1.0, 11.0]), seed=1).numpy()
    assert ((x[:, 1] >= 10) & (x[:, 1] < 11) & (x[:, 0] < 1)).all()
    with pytest.raises(ValueError, match="can't be broadcast"):
        random.normal((2,), np.zeros(3))
    with pytest.raises(ValueError, match="can't be broadcast"):
        random.normal((2,), np.zeros((4, 2)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_randint_dtypes_and_range(dtype):
    x = random.randint((N,), 3, 8, dtype=dtype, seed=1)
    assert x.dtype == dtype
    counts = np.bincount(np.asarray(x).astype("int64"), minlength=8)
    assert counts[:3].sum() == 0 and len(counts) == 8
    assert ((counts[3:] - N / 5) ** 2 / (N / 5)).sum() < 18.5  # chi-squared, 4 degrees, 0.1 %


def test_randint_of_wide_ranges():
    x = random.randint((N,), -(2**62), 2**62, dtype="int64", seed=1).numpy()
    assert x.min() < -(2**61) and x.max() > 2**61
    check_moments(x / 2.0**62, 0.0, 1 / 3)
    x = random.randint((4, 2), np.array([0, 100]), np.array([5, 105]), seed=1).numpy()
    assert (x[:, 0] < 5).all() and (x[:, 1] >= 100).all()


def test_randint_errors():
    with pytest.raises(ValueError, match="'dtype' must be an integer"):
        random.randint((2,), 0, 3, dtype="float32")
    with pytest.raises(ValueError, match="must be greater than 'minval'"):
        random.randint((2,), 3, 3)


def test_categorical():
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    x = random.categorical(logits, N, seed=1)
    assert x.dtype == "int32" and x.shape == (2, N)
    for row, expected in zip(x.numpy(), p, strict=True):
        frequency = np.bincount(row, minlength=3) / N
        assert np.all(np.abs(frequency - expected) <= 5 * np.sqrt(expected * (1 - expected) / N))
    assert random.categorical(logits, 2, dtype="int64", seed=1).dtype == "int64"
    with pytest.raises(ValueError, match=r"\(batch, classes\)"):
        random.categorical(np.zeros(3), 2)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_shuffle(axis):
    x = np.arange(60).reshape(3, 4, 5)
    shuffled = np.asarray(random.shuffle(x, axis=axis, seed=7))
    assert shuffled.shape == x.shape
    # whole slices move: what one slice along the axis holds stays together
    moved = np.moveaxis(shuffled, axis, 0)
    kept = np.moveaxis(x, axis, 0)
    order = [int(np.flatnonzero((kept == s).all((1, 2)))[0]) for s in moved]
    assert sorted(order) == list(range(x.shape[axis]))


def test_shuffle_reaches_every_order():
    generator = SeedGenerator(1)
    seen = {tuple(random.shuffle(np.arange(3), seed=generator).tolist()) for _ in range(100)}
    assert len(seen) == 6


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 2.5, 40.0])
def test_gamma(alpha):
    x = random.gamma((N,), alpha, dtype="float64", seed=4).numpy()
    assert (x >= 0).all()
    check_moments(x, alpha, alpha)
    # The third moment tells a gamma from a normal of the same mean and variance.
    skewness = ((x - x.mean()) ** 3).mean() / x.std() ** 3
    assert abs(skewness - 2 / math.sqrt(alpha)) < 0.25 * (2 / math.sqrt(alpha)) + 0.05


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.01), (0.5, 2.0), (3.0, 3.0), (50.0, 1.0)])
def test_beta(a, b):
    x = random.beta((N,), a, b, seed=4).numpy()
    assert (x >= 0).all() and (x <= 1).all()
    check_moments(x, a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1)))


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.3), (7, 0.9), (20, 0.4), (40, 0.25), (100, 0.5), (1000, 0.98), (10**6, 0.3)]
)
def test_binomial(n, p):
    x = random.binomial((N,), n, p, dtype="float64", seed=4).numpy()
    assert (x == np.round(x)).all() and x.min() >= 0 and x.max() <= n
    check_moments(x, n * p, n * p * (1 - p))
    if n <= 100:
        mass = np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])
        counts = np.bincount(x.astype(int), minlength=n + 1)
        used = mass * N > 5
        statistic = ((counts - mass * N)[used] ** 2 / (mass * N)[used]).sum()
        freedom = used.sum()
        assert statistic < freedom + 4 * math.sqrt(2 * freedom) + 8


def test_parameters_out_of_range_give_nan():
    assert np.isnan(random.gamma((2,), [-1.0, 0.0]).numpy()).all()
    assert np.isnan(random.beta((2,), 1.0, [-1.0, 0.0]).numpy()).all()
    assert np.isnan(random.binomial((3,), [5, -1, 5], [1.5, 0.5, -0.1]).numpy()).all()
    edges = random.binomial((4,), [0, 5, 5, 500], [0.5, 0.0, 1.0, 1.0], seed=1)
    assert edges.tolist() == [0.0, 0.0, 5.0, 500.0]


def test_rejection_mixes_parameters_in_one_call():
    n, p = np.array([5.0, 1000.0]), np.array([0.5, 0.5])
    x = random.binomial((N // 10, 2), n, p, seed=4).numpy()
    check_moments(x[:, 0], 2.5, 1.25)
    check_moments(x[:, 1], 500, 250)


# ----- dropout -----


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout(rate):
    x = random.dropout(np.full(N, 2.0, "float32"), rate, seed=1).numpy()
    kept = x != 0
    np.testing.assert_allclose(x[kept], 2 / (1 - rate), rtol=1e-6)
    check_moments(kept, 1 - rate, rate * (1 - rate))


def test_dropout_at_the_ends():
    x = np.array([1.0, np.nan, np.inf], "float32")
    np.testing.assert_array_equal(random.dropout(x, 0.0), x)
    np.testing.assert_array_equal(random.dropout(x, 1), np.zeros(3))
    # what is dropped is zero, whatever it was
    assert random.dropout(np.full(100, np.nan, "float32"), 0.5, seed=1).numpy().tolist().count(0)


_FLOAT8 = pytest.param("float8_e4m3fn", marks=pytest.mark.engine("numpy"))  # CuPy has none


@pytest.mark.parametrize("dtype", [_FLOAT8, "float16", "bfloat16", "float64"])
def test_dropout_dtypes(dtype):
    x = random.dropout(to_tensor(np.full(200, -1.5, "float32"), dtype), 0.5, seed=1)
    assert x.dtype == dtype
    assert set(np.asarray(x).astype("float32").tolist()) == {-3.0, 0.0}


def test_dropout_noise_shape():
    x = random.dropout(np.ones((40, 5), "float32"), 0.5, noise_shape=(None, 1), seed=1).numpy()
    assert (x == x[:, :1]).all() and set(np.unique(x)) == {0.0, 2.0}


def test_dropout_errors():
    for rate in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"'rate' must be in \[0, 1\]"):
            random.dropout(np.ones(3), rate)
    with pytest.raises(ValueError, match="must hold floats"):
        random.dropout(np.ones(3, int), 0.5)
    with pytest.raises(ValueError, match="as many dimensions"):
        random.dropout(np.ones((3, 2)), 0.5, noise_shape=(3,))
    with pytest.raises(ValueError, match="can't be broadcast"):
        random.dropout(np.ones((3, 2)), 0.5, noise_shape=(2, 2))


# ----- gradients -----


def gradient(fn, *args):
    tensors = [to_tensor(a) for a in args]
    with GradientTape() as tape:
        for tensor in tensors:
            tape.watch(tensor)
        y = fn(*tensors)
    return [None if g is None else np.asarray(g) for g in tape.gradient(y, tensors)]


def test_gradient_of_normal():
    z = random.normal((4,), seed=1).numpy()
    mean, stddev = gradient(lambda m, s: random.normal((4,), m, s, seed=1), np.ones(4), 2.0)
    np.testing.assert_allclose(mean, np.ones(4))
    np.testing.assert_allclose(stddev, z.sum(), rtol=1e-5)


def test_gradient_of_uniform():
    u = random.uniform((4,), seed=1).numpy()
    low, high = gradient(lambda a, b: random.uniform((4,), a, b, seed=1), 0.0, 2.0)
    np.testing.assert_allclose([low, high], [(1 - u).sum(), u.sum()], rtol=1e-5)


def test_gradient_of_dropout_passes_where_the_values_did():
    x = np.linspace(1, 2, 50, dtype="float32")
    y = random.dropout(x, 0.4, seed=1).numpy()
    (g,) = gradient(lambda v: random.dropout(v, 0.4, seed=1), x)
    np.testing.assert_allclose(g, y / x, rtol=1e-6)


def test_gradient_of_shuffle_follows_the_order():
    weights = np.arange(5.0, dtype="float32")
    (g,) = gradient(lambda v: random.shuffle(v, seed=2) * weights, np.zeros(5, "float32"))
    order = random.shuffle(np.arange(5), seed=2).numpy()
    np.testing.assert_array_equal(g[order], weights)


def test_no_gradient_flows_to_gamma():
    assert gradient(lambda a: random.gamma((3,), a, seed=1), 2.0) == [None]


# ----- symbolic -----


def test_symbolic_shapes_and_generators_that_stay():
    generator = SeedGenerator(1)
    x = KerasTensor((None, 4))
    assert random.dropout(x, 0.5, seed=generator).shape == (None, 4)
    assert random.dropout(x, 0.5, noise_shape=(None, 1), seed=generator).shape == (None, 4)
    assert random.shuffle(x, seed=generator).shape == (None, 4)
    assert random.shuffle(x, axis=1, seed=generator).shape == (None, 4)
    drawn = random.categorical(x, 3, seed=generator)
    assert (drawn.shape, drawn.dtype) == ((None, 3), "int32")
    mean = KerasTensor((4,))
    assert random.normal((2, 4), mean, seed=generator).shape == (2, 4)
    assert random.gamma((2, 4), mean, seed=generator).shape == (2, 4)
    assert random.binomial((2, 4), mean, 0.5, seed=generator).shape == (2, 4)
    assert random.randint((2, 4), 0, KerasTensor((4,), "int32")).shape == (2, 4)
    # Building a model draws nothing.
    assert generator.state.numpy().tolist() == [1, 0]


def test_zero_size():
    for name in ("uniform", "normal", "truncated_normal"):
        assert getattr(random, name)((0, 3)).shape == (0, 3)
    assert random.gamma((0,), 1.0).shape == (0,)
    assert random.binomial((0,), 100, 0.5).shape == (0,)
    assert random.dropout(np.ones((0, 2)), 0.5).shape == (0, 2)
    assert random.shuffle(np.ones((0, 2))).shape == (0, 2)
