"""Losses against real Keras on JAX: values, weights, masks, gradients, configs, names."""

import inspect
import warnings

import numpy as np
import pytest

from kbackend import losses
from kbackend.autodiff import grad
from kbackend.core.convert import to_tensor
from kbackend.core.masks import set_keras_mask

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

REGRESSION = (
    "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError", "Huber", "LogCosh", "CosineSimilarity", "Poisson",
    "KLDivergence", "Hinge", "SquaredHinge", "CategoricalHinge", "Dice", "Tversky",
    "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
)  # fmt: skip
OPTIONS = [
    *((name, {}) for name in REGRESSION),
    ("Huber", {"delta": 0.3}),
    ("CosineSimilarity", {"axis": 1}),
    ("BinaryCrossentropy", {"from_logits": True}),
    ("BinaryCrossentropy", {"label_smoothing": 0.2, "axis": 1}),
    ("BinaryFocalCrossentropy", {"from_logits": True, "gamma": 1.5}),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.4}),
    ("BinaryFocalCrossentropy", {"label_smoothing": 0.2}),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}),
    ("CategoricalCrossentropy", {"axis": 1}),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "alpha": 0.4}),
    ("CategoricalFocalCrossentropy", {"alpha": [0.1, 0.2, 0.3, 0.4], "label_smoothing": 0.1}),
    ("Tversky", {"alpha": 0.3, "beta": 0.6, "axis": (1, 2)}),
    ("Dice", {"axis": (1,)}),
]
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)
# float32 with sums of up to 60 terms and logarithms
TOL = {"rtol": 2e-5, "atol": 2e-6}


def masked(y, mask):
    theirs = keras.ops.convert_to_tensor(y)
    theirs._keras_mask = keras.ops.convert_to_tensor(mask)
    ours = to_tensor(y)
    set_keras_mask(ours, to_tensor(mask))
    return ours, theirs


def batch(rng, shape=(5, 3, 4)):
    y_true = (rng.uniform(size=shape) > 0.5).astype("float32")
    y_pred = rng.uniform(0.05, 0.95, size=shape).astype("float32")
    return y_true, y_pred


def check(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, **TOL)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_values_and_gradients_agree(name, options, rng):
    y_true, y_pred = batch(rng)
    ours, theirs = getattr(losses, name)(**options), getattr(keras.losses, name)(**options)
    check(ours(y_true, y_pred), theirs(y_true, y_pred))
    got = grad(lambda p: ours(y_true, p))(y_pred)
    wanted = jax.grad(lambda p: theirs(y_true, p))(y_pred)
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_weights_and_masks_agree(reduction, rng):
    y_true, y_pred = batch(rng)
    weights = (None, rng.uniform(size=(5, 1)), rng.uniform(size=(5, 3)), np.zeros((5, 3)))
    masks = (None, rng.uniform(size=(5, 3)) > 0.4, np.zeros((5, 3), "bool"))
    ours = losses.MeanSquaredError(reduction=reduction)
    theirs = keras.losses.MeanSquaredError(reduction=reduction)
    for weight in weights:
        for mask in masks:
            a = b = y_pred
            if mask is not None:
                a, b = masked(y_pred, mask)
            check(ours(y_true, a, sample_weight=weight), theirs(y_true, b, sample_weight=weight))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignore_class", [None, -1, 2])
def test_sparse_cross_entropy_agrees(reduction, ignore_class, rng):
    labels = rng.integers(0, 3, size=(4, 5))
    labels[0, :2] = -1 if ignore_class == -1 else 2
    scores = rng.normal(size=(4, 5, 3)).astype("float32")
    mask = rng.uniform(size=(4, 5)) > 0.3
    for from_logits in (True, False):
        y_pred = scores if from_logits else np.asarray(jax.nn.softmax(scores))
        options = {
            "from_logits": from_logits, "ignore_class": ignore_class, "reduction": reduction,
        }  # fmt: skip
        ours = losses.SparseCategoricalCrossentropy(**options)
        theirs = keras.losses.SparseCategoricalCrossentropy(**options)
        ours_masked, theirs_masked = masked(y_pred, mask)
        for weight in (None, rng.uniform(size=(4, 5))):
            expected = theirs(labels, y_pred, weight)
            for y_true in (labels, labels[..., None], labels.astype("float32")):
                check(ours(y_true, y_pred, weight), expected)
            check(ours(labels, ours_masked, weight), theirs(labels, theirs_masked, weight))
        if reduction in (None, "none"):
            continue
        got = grad(lambda p, f=ours: f(labels, p))(y_pred)
        wanted = jax.grad(lambda p, f=theirs: f(labels, p))(y_pred)
        np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=2e-4, atol=1e-5)


def test_sparse_cross_entropy_along_another_dimension(rng):
    labels = rng.integers(0, 3, size=(2, 4))
    scores = rng.normal(size=(2, 3, 4)).astype("float32")
    last = losses.sparse_categorical_crossentropy(labels, scores.transpose(0, 2, 1), True)
    check(losses.sparse_categorical_crossentropy(labels, scores, True, axis=1), last)


@pytest.mark.parametrize("name", ["MeanSquaredError", "Hinge", "Poisson", "LogCosh", "Dice"])
@pytest.mark.parametrize(
    "shapes",
    [((4,), (4, 1)), ((4, 1), (4,)), ((4, 3), (4, 3, 1)), ((4, 3, 1), (4, 3)), ((4,), (4,))],
)
def test_a_last_dimension_of_size_one_may_be_missing(name, shapes, rng):
    y_true = (rng.uniform(size=shapes[0]) > 0.5).astype("float32")
    y_pred = rng.uniform(0.1, 0.9, size=shapes[1]).astype("float32")
    ours, theirs = (getattr(m, name)(reduction=None) for m in (losses, keras.losses))
    check(ours(y_true, y_pred), theirs(y_true, y_pred))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy", "LogCosh"])
def test_low_precision(name, dtype, rng):
    y_true, y_pred = batch(rng, (6, 4))
    ours, theirs = (getattr(m, name)(dtype=dtype) for m in (losses, keras.losses))
    a, b = ours(y_true, y_pred), theirs(y_true, y_pred)
    assert a.dtype == dtype
    # A few roundings to 8 or 11 bits of mantissa
    rtol = 1e-2 if dtype == "float16" else 4e-2
    np.testing.assert_allclose(float(a), float(b), rtol=rtol)
    # 16-bit predictions are computed in the loss's float32.
    assert getattr(losses, name)()(y_true, to_tensor(y_pred, dtype)).dtype == "float32"


def test_a_mean_in_float16_does_not_overflow():
    y_pred = np.full((1000, 100), 30.0, "float16")
    loss = losses.MeanSquaredError(dtype="float16")(np.zeros_like(y_pred), y_pred)
    assert float(loss) == 900.0


@pytest.mark.parametrize(
    "options",
    [{}, {"remove_diagonal": False, "gamma": 40, "margin": 0.3}],
)
def test_circle_agrees(options, rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    labels = np.array([0, 1, 1, 0, 2, 1])
    ours, theirs = losses.Circle(**options), keras.losses.Circle(**options)
    # exp of numbers around 100
    np.testing.assert_allclose(float(ours(labels, x)), float(theirs(labels, x)), rtol=1e-4)
    np.testing.assert_allclose(
        np.asarray(grad(lambda e: ours(labels, e))(x)),
        np.asarray(jax.grad(lambda e: theirs(labels, e))(x)),
        rtol=1e-3,
        atol=1e-4,
    )
    references = {"ref_labels": np.array([0, 1, 2]), "ref_embeddings": x[[3, 1, 0]]}
    np.testing.assert_allclose(
        np.asarray(losses.circle(labels, x, **references, **options)),
        np.asarray(keras.losses.circle(labels, x, **references, **options)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_generalized_cross_entropy_agrees(rng):
    p = np.asarray(jax.nn.softmax(rng.normal(size=(5, 3)))).astype("float32")
    labels = np.array([0, 2, 1, 1, 0])
    for q in (0.2, 0.7):
        ours = losses.CategoricalGeneralizedCrossEntropy(q=q)
        theirs = keras.losses.CategoricalGeneralizedCrossEntropy(q=q)
        check(ours(labels, p), theirs(labels, p))
        check(
            grad(lambda x, f=ours: f(labels, x))(p), jax.grad(lambda x, f=theirs: f(labels, x))(p)
        )
    with pytest.raises(ValueError, match="'q' must be between 0 and 1"):
        losses.CategoricalGeneralizedCrossEntropy(q=1.0)


def test_ctc_agrees(rng):
    logits = rng.normal(size=(2, 6, 5)).astype("float32")
    labels = np.array([[1, 2, 3], [2, 2, 0]])
    theirs = keras.losses.ctc(labels, logits)
    check(losses.ctc(labels, logits), theirs)
    np.testing.assert_allclose(float(losses.CTC()(labels, logits)), np.mean(theirs), rtol=2e-5)
    with pytest.raises(ValueError, match="'y_true' must have the shape"):
        losses.ctc(labels[0], logits)


# ----- names and configs -----


def public_classes():
    return [
        name for name in dir(keras.losses)
        if inspect.isclass(getattr(keras.losses, name)) and name != "Loss"
    ]  # fmt: skip


def test_every_name_is_there():
    assert set(dir(losses)) >= {n for n in dir(keras.losses) if not n.startswith("_")}
    assert set(losses.__all__) == {n for n in dir(keras.losses) if not n.startswith("_")}


@pytest.mark.parametrize("name", public_classes())
def test_configs_and_signatures_agree(name):
    ours, theirs = getattr(losses, name), getattr(keras.losses, name)
    assert str(inspect.signature(ours.__init__)).count("=") == str(
        inspect.signature(theirs.__init__)
    ).count("=")
    for a, b in zip(
        inspect.signature(ours).parameters.values(),
        inspect.signature(theirs).parameters.values(),
        strict=True,
    ):
        assert (a.name, a.default) == (b.name, b.default)
    assert ours().get_config() == theirs().get_config()
    assert losses.serialize(ours(name="mine", reduction="sum")) == keras.losses.serialize(
        theirs(name="mine", reduction="sum")
    )
    again = losses.deserialize(keras.losses.serialize(theirs(name="mine")))
    assert type(again) is ours and again.name == "mine"


@pytest.mark.parametrize(
    "loss",
    [
        losses.Huber(delta=2.0),
        losses.CosineSimilarity(axis=1),
        losses.SparseCategoricalCrossentropy(axis=1, ignore_class=3),
        losses.Tversky(alpha=0.1, axis=(1, 2), dtype="float64"),
    ],
)
def test_settings_survive_the_config(loss):
    again = losses.deserialize(losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert again._fn_kwargs == loss._fn_kwargs and again.dtype == loss.dtype


@pytest.mark.parametrize(
    "name",
    "mse MSE mae MAE mape MAPE msle MSLE bce BCE kld KLD huber log_cosh hinge dice circle ctc "
    "tversky poisson categorical_hinge sparse_categorical_crossentropy cosine_similarity "
    "binary_focal_crossentropy kl_divergence mean_squared_error".split(),
)
def test_names_give_the_function_that_keras_gives(name):
    assert losses.get(name).__name__ == keras.losses.get(name).__name__
    assert losses.serialize(losses.get(name)) == keras.losses.serialize(keras.losses.get(name))


def test_get():
    assert losses.get(None) is None
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert isinstance(losses.get({"class_name": "Huber", "config": {}}), losses.Huber)
    loss = losses.Huber()
    assert losses.get(loss) is loss
    for wrong in ("nope", "accuracy", 3):
        with pytest.raises(ValueError, match="no loss"):
            losses.get(wrong)


def test_one_class_is_warned_of(rng):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses.categorical_crossentropy(np.ones((2, 1)), np.ones((2, 1)))
    assert [w.category for w in caught] == [SyntaxWarning]
