"""Activations against real Keras: names, signatures, values, gradients, configs."""

import inspect

import numpy as np
import pytest

from kbackend import activations
from kbackend.autodiff import GradientTape
from kbackend.base.registry import custom_object_scope, register_keras_serializable
from kbackend.core.convert import to_tensor
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

NAMES = sorted(set(activations.__all__) - {"get", "serialize", "deserialize"})
EXTRA = {"threshold": (0.5, 2.0)}
# away from the kinks, where conventions differ
POINTS = np.array([-7.3, -2.2, -0.7, -0.31, -0.01, 0.0, 0.02, 0.33, 0.7, 2.1, 5.9, 8.4], "float32")


def _projection(x):
    """Rows projected onto the simplex, by bisection of the threshold."""
    low, high = x.min(1, keepdims=True) - 1.0, x.max(1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        above = np.maximum(x - middle, 0).sum(1, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.maximum(x - low, 0)


def test_the_names_are_those_of_keras():
    public = {n for n in dir(keras.activations) if not n.startswith("_")}
    assert public == set(activations.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_that_of_keras(name):
    def form(fn):
        return [(p.name, p.default) for p in inspect.signature(fn).parameters.values()]

    assert form(getattr(activations, name)) == form(getattr(keras.activations, name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_and_dtypes(name, dtype):
    x = POINTS.reshape(3, 4)
    args = EXTRA.get(name, ())
    theirs = getattr(keras.activations, name)(keras.ops.cast(x, dtype), *args)
    if name == "sparsemax":
        theirs = _projection(x)  # Keras's rows do not sum to 1 where logits are negative
    ours = getattr(activations, name)(to_tensor(x, dtype), *args)
    assert ours.dtype == dtype
    # one rounding of a 16-bit float more or less in between
    tolerance = {"float32": 2e-6, "bfloat16": 4e-2}[dtype]
    np.testing.assert_allclose(
        np.asarray(ours).astype("float32"), np.asarray(theirs).astype("float32"),
        rtol=tolerance, atol=tolerance,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    x = np.delete(POINTS, 5).reshape(1, -1)
    if name == "glu":
        x = x[:, :10]
    args = EXTRA.get(name, ())
    weights = np.linspace(0.5, 1.5, getattr(activations, name)(x, *args).shape[1], dtype="float32")
    tensor = to_tensor(x)
    with GradientTape() as tape:
        tape.watch(tensor)
        loss = getattr(activations, name)(tensor, *args) * weights
    ours = tape.gradient(loss, tensor)
    theirs = jax.grad(lambda v: (getattr(keras.activations, name)(v, *args) * weights).sum())(x)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"negative_slope": 0.1},
        {"max_value": 2.0},
        {"threshold": 1.0},
        {"negative_slope": 0.2, "max_value": 3.0, "threshold": 0.5},
    ],
)
def test_relu_with_options(options):
    theirs = keras.activations.relu(POINTS, **options)
    np.testing.assert_allclose(activations.relu(POINTS, **options), theirs, rtol=1e-6)


def test_relu_keeps_nan():
    assert np.isnan(activations.relu(np.array([np.nan]), max_value=6.0).numpy()).all()


@pytest.mark.parametrize("name", NAMES)
def test_symbolic_input_keeps_the_batch_unknown(name):
    x = KerasTensor((None, 4))
    made = getattr(activations, name)(x, *EXTRA.get(name, ()))
    concrete = getattr(activations, name)(np.zeros((2, 4), "float32"), *EXTRA.get(name, ()))
    assert made.shape == (None, *concrete.shape[1:])
    assert made.dtype == "float32"


@pytest.mark.parametrize("name", NAMES)
def test_get_serialize_deserialize(name):
    fn = activations.get(name)
    assert fn is getattr(activations, name)
    stored = activations.serialize(fn)
    assert stored == keras.activations.serialize(keras.activations.get(name))
    assert activations.deserialize(stored) is fn
    form = {"module": "builtins", "class_name": "function", "config": name}
    assert activations.get({**form, "registered_name": "function"}) is fn


def test_none_is_linear_and_functions_stay():
    assert activations.get(None) is activations.linear
    assert activations.get(np.sin) is np.sin


def test_functions_of_the_user():
    @register_keras_serializable("acts")
    def doubled(x):
        return 2 * x

    stored = activations.serialize(doubled)
    assert stored["config"] == "acts>doubled"
    assert activations.get(stored) is doubled

    def tripled(x):
        return 3 * x

    stored = activations.serialize(tripled)
    assert activations.deserialize(stored, {"tripled": tripled}) is tripled
    with custom_object_scope({"tripled": tripled}):
        assert activations.get("tripled") is tripled
    with pytest.raises(TypeError, match="no function called 'tripled'"):
        activations.deserialize(stored)


@pytest.mark.parametrize("wrong", ["nope", 3, "get"])
def test_unknown_identifiers(wrong):
    with pytest.raises(ValueError, match="no activation"):
        activations.get(wrong)
