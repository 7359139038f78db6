"""Initializers against real Keras: names, configs, fixed values, and moments of the random ones."""

import inspect
import math

import numpy as np
import pytest

import kbackend
from kbackend import initializers
from kbackend.base.registry import register_keras_serializable
from kbackend.core.convert import to_tensor
from kbackend.initializers.fourier import _WINDOWS
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.state.seed import SeedGenerator
from kbackend.state.variable import Variable

keras = pytest.importorskip("keras")

CLASSES = sorted(
    {v.__name__ for n in initializers.__all__ if isinstance(v := getattr(initializers, n), type)}
    - {"Initializer"}
)
RANDOM = sorted(set(CLASSES) - {"Constant", "Identity", "Ones", "STFT", "Zeros"})
SHAPE = {"STFT": (8, 1, 5)}


def values(initializer, shape, **kwargs):
    return np.asarray(initializer(shape, **kwargs))


def test_the_names_are_those_of_keras():
    public = {n for n in dir(keras.initializers) if not n.startswith("_")}
    assert public == set(initializers.__all__)
    for name in public - {"get", "serialize", "deserialize"}:
        theirs = getattr(keras.initializers, name)
        assert getattr(initializers, name).__name__ == theirs.__name__
        assert list(inspect.signature(getattr(initializers, name)).parameters) == list(
            inspect.signature(theirs).parameters
        ) or name in ("initializer",)


@pytest.mark.parametrize("name", CLASSES)
def test_configs_are_those_of_keras(name):
    ours, theirs = getattr(initializers, name)(), getattr(keras.initializers, name)()
    stored = initializers.serialize(ours)
    expected = keras.initializers.serialize(theirs)
    if name == "Identity":
        expected["config"]["gain"] = 1.0  # which Keras forgets
    assert stored == expected
    again = initializers.deserialize(stored)
    assert type(again) is type(ours) and again.get_config() == ours.get_config()
    keras.initializers.deserialize(stored)
    assert type(ours.clone()) is type(ours)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Constant", {"value": 2}),
        ("Constant", {"value": np.ones(2)}),
        ("RandomNormal", {"mean": 1.0, "stddev": 2.0, "seed": 5}),
        ("RandomUniform", {"minval": 1.0, "maxval": 2.0, "seed": 5}),
        ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"}),
        ("GlorotNormal", {"input_axes": (0,), "output_axes": (1, 2)}),
        ("Orthogonal", {"gain": 2.0, "seed": 1}),
        ("STFT", {"side": "imag", "window": None, "scaling": None, "periodic": True}),
    ],
)
def test_configs_with_arguments(name, arguments):
    stored = initializers.serialize(getattr(initializers, name)(**arguments))
    assert stored == keras.initializers.serialize(getattr(keras.initializers, name)(**arguments))
    assert initializers.serialize(initializers.deserialize(stored)) == stored


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_shape_and_dtype(name, dtype):
    shape = SHAPE.get(name, (4, 6))
    made = getattr(initializers, name)()(shape, dtype=dtype)
    assert made.shape == shape and made.dtype == dtype
    assert np.isfinite(np.asarray(made).astype("float32")).all()
    # arguments that Keras may pass along are accepted
    getattr(initializers, name)()(shape, dtype=dtype, layout=None)


@pytest.mark.parametrize("name", ["Zeros", "Ones", "Constant", "Identity"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (0, 2)])
def test_fixed_values(name, shape):
    np.testing.assert_array_equal(
        values(getattr(initializers, name)(), shape), getattr(keras.initializers, name)()(shape)
    )


def test_constants():
    assert values(initializers.Constant([1, 2]), (3, 2), dtype="int32").tolist() == [[1, 2]] * 3
    assert values(initializers.Identity(3.0), (2, 2)).tolist() == [[3, 0], [0, 3]]
    assert values(initializers.Zeros(), (2,), dtype="bool").tolist() == [False, False]
    kbackend.config.set_floatx("float64")
    assert initializers.Ones()((2,)).dtype == "float64"


# ----- randomness -----


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    cls = getattr(initializers, name)
    for seed in (None, 3):
        initializer = cls(seed=seed)
        np.testing.assert_array_equal(values(initializer, (3, 4)), values(initializer, (3, 4)))
    np.testing.assert_array_equal(values(cls(seed=3), (3, 4)), values(cls(seed=3), (3, 4)))
    assert (values(cls(), (3, 4)) != values(cls(), (3, 4))).any()
    moving = cls(seed=SeedGenerator(3))
    assert (values(moving, (3, 4)) != values(moving, (3, 4))).any()
    again = cls.from_config(moving.get_config())
    assert isinstance(again.seed, SeedGenerator)
    with pytest.raises(ValueError, match=f"\\[{name}\\] 'seed' must be"):
        cls(seed="a")


def test_the_global_seed():
    kbackend.utils.set_random_seed(5)
    first = values(initializers.GlorotUniform(), (3, 4))
    kbackend.utils.set_random_seed(5)
    np.testing.assert_array_equal(first, values(initializers.GlorotUniform(), (3, 4)))


FANS = {
    "GlorotUniform": lambda i, o: 2 / (i + o),
    "GlorotNormal": lambda i, o: 2 / (i + o),
    "HeUniform": lambda i, o: 2 / i,
    "HeNormal": lambda i, o: 2 / i,
    "LecunUniform": lambda i, o: 1 / i,
    "LecunNormal": lambda i, o: 1 / i,
    "VarianceScaling": lambda i, o: 1 / i,
}


@pytest.mark.parametrize("name", FANS)
@pytest.mark.parametrize("shape", [(100, 150), (3, 3, 30, 50)])
def test_variances(name, shape):
    x = values(getattr(initializers, name)(seed=1), shape, dtype="float64")
    window = math.prod(shape[:-2])
    expected = FANS[name](window * shape[-2], window * shape[-1])
    # the relative standard error of a variance is below sqrt(2 / size)
    assert abs(x.var() / expected - 1) < 5 * math.sqrt(2 / x.size)
    assert abs(x.mean()) < 5 * math.sqrt(expected / x.size)
    if "Uniform" in name:
        assert abs(x).max() <= math.sqrt(3 * expected)
    else:
        cut = 2 * math.sqrt(expected) / 0.87962566
        assert 0.95 * cut < abs(x).max() <= cut


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((), {}), ((7,), {}), ((40, 30, 50), {}), ((40, 30, 50), {"input_axes": (0,)})]
    + [
        ((40, 30, 50), {"input_axes": i, "output_axes": o})
        for i, o in (((0,), (1, 2)), ((0,), (2,)), ((0, 1), (2,)), ((-1,), (0,)))
    ],
)
def test_fans_are_those_of_keras(shape, axes, mode):
    # The value drawn first, relative to a scale of 1 connection, tells the number of connections.
    def deviation(module, **options):
        made = module.VarianceScaling(distribution="uniform", seed=1, mode=mode, **options)
        return np.asarray(made(shape)).ravel()[0]

    def relative(module):
        return deviation(module, **axes) / deviation(module, scale=100.0)

    assert relative(initializers) == pytest.approx(relative(keras.initializers), rel=1e-5)


def test_plain_distributions():
    x = values(initializers.RandomNormal(1.0, 0.5, seed=1), (100, 100))
    assert abs(x.mean() - 1) < 0.025 and abs(x.std() - 0.5) < 0.02
    x = values(initializers.TruncatedNormal(1.0, 0.5, seed=1), (100, 100))
    assert x.min() >= 0 and x.max() <= 2 and abs(x.std() - 0.44) < 0.02
    x = values(initializers.RandomUniform(2, 4, seed=1), (100, 100))
    assert x.min() >= 2 and x.max() < 4 and abs(x.mean() - 3) < 0.03


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 3, 4), (1, 6)])
def test_orthogonal(shape):
    q = values(initializers.Orthogonal(gain=2.0, seed=1), shape).reshape(-1, shape[-1])
    product = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 4 * np.eye(min(q.shape)), atol=1e-5)


def test_orthogonal_is_uniform():
    # The sign of a rotation's first entry is free only if r's signs are accounted for.
    generator = SeedGenerator(1)
    made = initializers.Orthogonal(seed=generator)
    signs = [values(made, (2, 2))[0, 0] > 0 for _ in range(100)]
    assert 30 < sum(signs) < 70


@pytest.mark.parametrize("window", [*_WINDOWS, None])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(("side", "scaling"), [("real", "density"), ("imag", "spectrum")])
def test_stft(window, periodic, side, scaling):
    arguments = {"side": side, "window": window, "scaling": scaling, "periodic": periodic}
    ours = values(initializers.STFT(**arguments), (9, 1, 5))
    theirs = np.asarray(keras.initializers.STFT(**arguments)((9, 1, 5)))
    # Keras computes in float32
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


# ----- get -----


@pytest.mark.parametrize(
    "name", ["zeros", "Zeros", "zero", "one", "uniform", "normal", "glorot_uniform", "he_normal",
             "identity", "stft", "orthogonal", "OrthogonalInitializer", "RandomNormal"]
)  # fmt: skip
def test_names(name):
    assert type(initializers.get(name)).__name__ == type(keras.initializers.get(name)).__name__


def test_get():
    assert initializers.get(None) is None
    instance = initializers.Ones()
    assert initializers.get(instance) is instance
    assert type(initializers.get(initializers.Ones)) is initializers.Ones
    assert type(initializers.get({"class_name": "Ones", "config": {}})) is initializers.Ones
    assert initializers.get(np.zeros) is np.zeros
    for given in (np.ones(2), to_tensor([1.0, 1.0]), Variable([1.0, 1.0])):
        fn = initializers.get(given)
        assert fn((2,), dtype="float16").dtype == "float16"
        with pytest.raises(ValueError, match="Received: shape="):
            fn((3,))
    for wrong in ("nope", 1, KerasTensor((2,))):
        with pytest.raises(ValueError):
            initializers.get(wrong)


def test_custom_initializer_in_a_variable():
    @register_keras_serializable("inits")
    class Threes(initializers.Initializer):
        def __call__(self, shape, dtype=None, **kwargs):
            return np.full(shape, 3.0, dtype)

    stored = initializers.serialize(Threes())
    assert stored["registered_name"] == "inits>Threes"
    made = initializers.get(stored)
    assert Variable(made, (2,)).numpy().tolist() == [3.0, 3.0]
    with pytest.raises(NotImplementedError, match="must implement"):
        initializers.Initializer()((2,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.VarianceScaling(scale=0), "'scale' must be positive"),
        (lambda: initializers.VarianceScaling(mode="x"), "'mode' must be one of"),
        (lambda: initializers.VarianceScaling(distribution="x"), "'distribution' must be one of"),
        (lambda: initializers.Identity()((2, 3, 4)), "two dimensions"),
        (lambda: initializers.Orthogonal()((3,)), "two dimensions or more"),
        (lambda: initializers.RandomNormal()((2,), dtype="int32"), "'dtype' must be one of"),
        (lambda: initializers.STFT(side="x"), "'side' must be"),
        (lambda: initializers.STFT(scaling="x"), "'scaling' must be"),
        (lambda: initializers.STFT(window="x")((4, 1, 3)), "no window 'x'"),
        (lambda: initializers.STFT(window=np.ones(3))((4, 1, 3)), "length 4"),
        (lambda: initializers.STFT()((4, 3)), "frame length"),
        (
            lambda: initializers.GlorotUniform(input_axes=5, output_axes=0)((2, 3)),
            "out of bounds",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
