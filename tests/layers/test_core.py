"""Dense and the other core layers against real Keras."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from kbackend.base import serialization
from kbackend.layers.core.einsum_dense import weight_shapes
from tests.layers.harness import check_config, check_layer, keras

IDS = np.array([[0, 3, 1], [2, 0, 0]])


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"units": 3}, (4, 5)),
        ({"units": 3, "activation": "relu", "use_bias": False}, (4, 5)),
        ({"units": 2, "activation": "tanh"}, (2, 3, 4)),
        ({"units": 2, "kernel_regularizer": "l2", "bias_regularizer": "l1"}, (2, 3, 2, 4)),
        ({"units": 3, "activity_regularizer": "l2"}, (4, 5)),
        ({"units": 3, "kernel_constraint": "non_neg", "bias_constraint": "unit_norm"}, (4, 5)),
        ({"units": 3, "lora_rank": 2}, (4, 5)),
    ],
)
def test_dense(kwargs, shape):
    check_layer("Dense", kwargs, shape)


def test_dense_of_integers():
    check_layer("Dense", {"units": 2}, np.arange(6).reshape(2, 3))


def test_dense_keeps_the_mask():
    mask = np.array([[True, False, True], [False, True, True]])
    check_layer("Dense", {"units": 2}, (2, 3, 4), mask=mask, symbolic=False)


def test_dense_in_mixed_precision():
    # bfloat16 has 8 bits; the two libraries may round sums differently.
    check_layer("Dense", {"units": 2, "dtype": "mixed_bfloat16"}, (3, 4), rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("kwargs", [{}, {"mask_zero": True}, {"embeddings_regularizer": "l2"}])
def test_embedding(kwargs):
    check_layer("Embedding", {"input_dim": 4, "output_dim": 3, **kwargs}, IDS)


def test_embedding_with_low_rank():
    check_layer("Embedding", {"input_dim": 4, "output_dim": 3, "lora_rank": 2}, IDS)


def test_embedding_of_floats_and_given_weights():
    check_layer("Embedding", {"input_dim": 4, "output_dim": 3}, IDS + 0.5, gradients=False)
    weights = np.arange(6.0).reshape(3, 2)
    for given in (weights, [weights]):
        layer = layers.Embedding(3, 2, weights=given)
        assert layer(np.array([[2, 0]])).tolist() == [[[4.0, 5.0], [0.0, 1.0]]]


def test_embedding_says_what_a_sequential_model_receives():
    model = kbackend.Sequential([layers.Embedding(10, 4, input_length=3), layers.Flatten()])
    assert model.output_shape == (None, 12)


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes", "shape"),
    [
        ("abc,cd->abd", (None, 4), "d", (2, 3, 5)),
        ("...x,xy->...y", 4, "y", (2, 3, 5)),
        ("ab,bcd->acd", (3, 4), "cd", (2, 5)),
        ("abc,cd->abd", (3, 4), "bd", (2, 3, 5)),
        ("ab...,bc->ac...", 3, "c", (2, 4, 2)),
        ("...x,xyz->...yz", (2, 3), "y", (2, 6, 5)),
        ("abcd,cde->abe", (None, 3), None, (2, 3, 2, 4)),
    ],
)
def test_einsum_dense(equation, output_shape, bias_axes, shape):
    kwargs = {"equation": equation, "output_shape": output_shape, "bias_axes": bias_axes}
    check_layer("EinsumDense", {**kwargs, "activation": "tanh"}, shape)


def test_einsum_dense_with_low_rank():
    kwargs = {"equation": "abc,cde->abde", "output_shape": (None, 3, 2), "lora_rank": 2}
    check_layer("EinsumDense", kwargs, (2, 2, 4))


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"tie_weights": False, "logit_soft_cap": 2.0, "embeddings_regularizer": "l2"},
        {"reverse_dtype": "float32"},
    ],
)
def test_reversible_embedding(kwargs):
    kwargs = {"input_dim": 4, "output_dim": 3, **kwargs}
    check_layer("ReversibleEmbedding", kwargs, IDS)
    check_layer("ReversibleEmbedding", kwargs, (2, 3, 3), call={"reverse": True})


def test_masking():
    x = np.array([[[0, 0], [1, 0], [2, 2]], [[2, 2], [0, 3], [0, 0]]], dtype="float32")
    check_layer("Masking", {}, x)
    check_layer("Masking", {"mask_value": 2.0}, x)


def test_masking_of_a_vector():
    x = np.array([[[1, 2], [1, 1]]], dtype="float32")
    layer = layers.Masking(mask_value=np.array([1.0, 2.0], dtype="float32"))
    assert layer(x)._keras_mask.tolist() == [[False, True]]
    stored = serialization.serialize(layer)
    assert serialization.deserialize(stored)(x)._keras_mask.tolist() == [[False, True]]


def test_identity():
    check_layer("Identity", {}, (2, 3), mask=np.array([True, False]), symbolic=False)
    check_layer("Identity", {}, [(2, 3), (4,)])


# ----- Lambda -----


def double(x, mask=None, training=None, factor=2):
    return x * factor * (10 if training else 1) + (0 if mask is None else 1)


def test_lambda():
    kwargs = {"function": double, "arguments": {"factor": 3}}
    check_layer("Lambda", kwargs, (2, 3), compare_config=False)
    check_layer("Lambda", kwargs, (2, 3), training=True, compare_config=False)
    kwargs["mask"] = lambda x, mask: mask
    mask = np.array([True, False])
    check_layer("Lambda", kwargs, (2, 3), mask=mask, compare_config=False, symbolic=False)


def test_lambda_with_a_given_shape():
    layer = layers.Lambda(lambda x: x, output_shape=(4,))
    assert layer(kbackend.Input((3, 2), batch_size=5)).shape == (5, 4)
    assert layers.Lambda(double, output_shape=lambda s: s).compute_output_shape((2, 3)) == (2, 3)
    assert layers.Lambda(lambda x: x[:, 0]).compute_output_shape((None, 3)) == (None,)


def test_config_of_lambda_is_keras_s():
    fn = lambda x, b=2: x * b  # noqa: E731 - a lambda is what is tested
    for kwargs in ({"function": fn}, {"function": double, "output_shape": (3,)}):
        ours, theirs = layers.Lambda(**kwargs), keras.layers.Lambda(**kwargs)
        config, wanted = ours.get_config(), theirs.get_config()
        assert {k: v for k, v in config.items() if k != "name"} == {
            k: v for k, v in wanted.items() if k != "name"
        }


def test_lambdas_are_code():
    scale, table = 7, [1, 2.0]
    layer = layers.Lambda(lambda x, b=2: x * scale + table[1] + b)
    theirs = keras.layers.Lambda(lambda x, b=2: x * scale + table[1] + b)
    for config in (layer.get_config(), theirs.get_config()):
        with pytest.raises(ValueError, match="holds a Python lambda"):
            layers.Lambda.from_config(config)
        again = layers.Lambda.from_config(config, safe_mode=False)
        assert again(np.ones((1, 1))).tolist() == [[11.0]]
    again = keras.layers.Lambda.from_config(layer.get_config(), safe_mode=False)
    assert np.asarray(again(np.ones((1, 1)))).tolist() == [[11.0]]


def test_named_functions_are_found_again():
    config = layers.Lambda(double).get_config()
    with pytest.raises(TypeError, match="no function called 'double'"):
        layers.Lambda.from_config(config)
    again = layers.Lambda.from_config(config, custom_objects={"double": double})
    assert again.function is double


# ----- Input -----


def test_input():
    x = kbackend.Input((3, None), batch_size=2, dtype="int32", name="tokens")
    assert (x.shape, x.dtype, x.name) == ((2, 3, None), "int32", "tokens")
    layer = x._keras_history.operation
    assert layer.output is x and layer.built and layer.dtype == "int32"
    theirs = keras.layers.InputLayer(shape=(3, None), batch_size=2, dtype="int32", name="tokens")
    check_config(layer, theirs)
    assert kbackend.Input(tensor=x) is x
    assert layers.InputLayer(batch_input_shape=(None, 2)).batch_shape == (None, 2)
    assert layers.InputLayer(input_shape=(2,), optional=True).get_config()["optional"]


# ----- adapters of low rank -----


def test_scale_of_the_adapter():
    ours, theirs = layers.Dense(3), keras.layers.Dense(3)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    for layer in (ours, theirs):
        layer.build((None, 4))
        layer.enable_lora(2, b_initializer="ones", lora_alpha=3)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x).numpy(), np.asarray(theirs(x)), rtol=1e-5, atol=1e-6)
    check_config(ours, theirs)
    # Given to the constructor, it is kept as well.
    layer = layers.Dense(3, lora_rank=2, lora_alpha=3)
    layer.build((None, 4))
    assert layer.get_config()["lora_alpha"] == 3


def test_low_rank_is_stored_as_one_weight():
    layer = layers.Dense(3)
    layer.build((None, 4))
    layer.enable_lora(2, b_initializer="ones")
    assert [w.name for w in layer.trainable_weights] == ["bias", "lora_kernel_a", "lora_kernel_b"]
    store = {}
    layer.save_own_variables(store)
    assert list(store) == ["0", "1"]
    plain = layers.Dense(3)
    plain.build((None, 4))
    plain.load_own_variables(store)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    np.testing.assert_allclose(layer(x).numpy(), plain(x).numpy(), rtol=1e-6)
    layer.load_own_variables(store)
    np.testing.assert_array_equal(layer.lora_kernel_b.numpy(), 0)
    np.testing.assert_allclose(layer(x).numpy(), plain(x).numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="expects 2 variables. The file has 1"):
        layer.load_own_variables({"0": np.zeros((4, 3))})
    with pytest.raises(ValueError, match="already"):
        layer.enable_lora(2)


# ----- errors -----


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Dense(-3), ValueError, r"\[Dense\] 'units' must be .* Received: units=-3"),
        (lambda: layers.Dense(2.0), ValueError, "'units' must be a positive integer"),
        (lambda: layers.Dense(2)(np.ones(2)), ValueError, "expected min_ndim=2, found ndim=1"),
        (lambda: layers.Dense(2)(kbackend.Input((None,))), ValueError, "axis -1 must be known"),
        (lambda: layers.Dense(2, unit=3), ValueError, "unknown keyword arguments: unit"),
        (lambda: layers.Dense(2, quantization_config=3), ValueError, "not supported"),
        (lambda: layers.Dense(2).kernel, AttributeError, "before it is built"),
        (lambda: layers.Dense(2).enable_lora(2), ValueError, "must be built before"),
        (lambda: layers.Dense(2, kernel_constraint="non_neg", lora_rank=1)(np.ones((1, 2))),
         ValueError, "can't meet the constraint"),
        (lambda: layers.Embedding(0, 2), ValueError, "'input_dim' must be a positive integer"),
        (lambda: layers.Embedding(2, 2, weights=np.ones((2, 3))), ValueError, "shape \\(2, 2\\)"),
        (lambda: layers.Lambda(3), TypeError, "'function' must be a function"),
        (lambda: kbackend.Input(), ValueError, "one of 'shape', 'batch_shape'"),
        (lambda: kbackend.Input((2,), batch_shape=(1, 2)), ValueError, "can't be given together"),
        (lambda: kbackend.Input(batch_shape=(1, 2), batch_size=1), ValueError, "which holds it"),
        (lambda: kbackend.Input(tensor=3), ValueError, "must be a KerasTensor"),
        (lambda: kbackend.Input((3,), tensor=kbackend.Input((2,))), ValueError, "has the shape"),
        (lambda: kbackend.Input(tensor=kbackend.Input((2,)), dtype="int32"), ValueError, "dtype"),
        (lambda: kbackend.Input((2,), sparse=True), ValueError, "only dense tensors"),
        (lambda: layers.InputLayer((2,))(), ValueError, "can't be called"),
    ],
)  # fmt: skip
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ab,bc", None, (2, 2), (3,)), "must look like"),
        (("...a...,ab->...b", None, (2, 2), (3,)), "must look like"),
        (("ab,bc->ac", "z", (2, 2), (3,)), "letters of the output 'ac'"),
        (("ab,bc->ac", None, (2, 2), (3, 4)), "must have the 1 dimension"),
        (("ab,bc->ac", None, (2, 3, 2), (3,)), "don't have 3 dimensions"),
        (("abc,cd->abd", None, (2, 5, 2), (4, 3)), "is 5 in the inputs and 4"),
        (("ab,bc->ac", None, (2, None), (3,)), "kernel's dimension 'b'"),
        (("abc,cd->abd", "b", (2, None, 2), (None, 3)), "bias's dimension 'b'"),
    ],
)
def test_errors_of_einsum_dense(args, message):
    with pytest.raises(ValueError, match=message):
        weight_shapes(*args)


# ----- mixed precision -----


@pytest.mark.parametrize(
    ("name", "kwargs", "inputs"),
    [
        ("Embedding", {"input_dim": 4, "output_dim": 3}, IDS),
        ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "c"}, (2, 4)),
        ("ReversibleEmbedding", {"input_dim": 4, "output_dim": 3}, IDS),
        ("PReLU", {}, (2, 3)),
        ("Softmax", {"axis": (1, 2)}, (2, 3, 4)),
        ("Average", {}, [(2, 3), (2, 3)]),
        ("Dot", {"axes": 1}, [(2, 3), (2, 3)]),
        ("UpSampling2D", {}, (1, 2, 2, 1)),
        ("Masking", {}, (2, 3, 4)),
    ],
)
def test_half_precision(name, kwargs, inputs):
    # float16 has 11 bits; sums of a few terms are rounded differently.
    check_layer(
        name, {**kwargs, "dtype": "mixed_float16"}, inputs, rtol=2e-3, atol=1e-3, step=False
    )
