"""Normalisation layers against real Keras."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer

MASK = np.array([[True, True, False, True], [True, False, False, False]])
WEIGHTS = {"gamma_regularizer": "l2", "beta_regularizer": "l1", "gamma_constraint": "non_neg"}


@pytest.mark.parametrize("training", [None, False, True])
@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({}, (8, 3)),
        ({"epsilon": 0.1, "momentum": 0.5, "scale": False}, (4, 3, 2, 5)),
        ({"axis": 1, "center": False}, (4, 3, 5)),
        ({"axis": 2, "center": False, "scale": False}, (4, 3, 5)),
        ({**WEIGHTS, "moving_mean_initializer": "ones", "trainable": False}, (4, 3)),
        (
            {
                "renorm": True,
                "renorm_clipping": {"rmax": 1.5, "rmin": 0.5, "dmax": 0.3},
                "renorm_momentum": 0.9,
            },
            (8, 3),
        ),
        ({"renorm": True, "scale": False, "center": False}, (8, 3)),
    ],
)
def test_batch_normalization(kwargs, shape, training):
    if kwargs.get("renorm"):
        # The averages that it divides by must be positive.
        weights = [np.array(v, "float32") for v in ([0.5, 1, 2], [0, 1, 2], [0, 0.5, -1])]
        weights = weights[: 2 * kwargs.get("scale", True)] + [
            np.array(v, "float32")
            for v in ([0, 0.5, -1], [1, 2, 0.5], [1, 1.4, 0.7], [0.1, 0, 0.1], [0.5, 1, 2])
        ]
    else:
        weights = None
    check_layer("BatchNormalization", kwargs, shape, training=training, weights=weights, rtol=2e-5)


@pytest.mark.parametrize("training", [False, True])
def test_batch_normalization_mask(training):
    # Rounding: Keras subtracts the mean from weighted inputs in another order.
    check_layer("BatchNormalization", {}, (2, 4, 3), training=training, mask=MASK, rtol=2e-5)


def test_batch_normalization_frozen():
    layer = layers.BatchNormalization()
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    layer.build(x.shape)
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_allclose(layer(x, training=True), x / np.sqrt(1.001), rtol=1e-6)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_batch_normalization_follows_the_mean():
    layer = layers.BatchNormalization(momentum=0.9)
    x = np.array([[1.0], [3.0]], "float32")
    for _ in range(100):
        layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean, [2 * (1 - 0.9**100)], rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, [1.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({}, (4, 6)),
        ({"axis": [1, 2], "epsilon": 0.01}, (2, 3, 4)),
        ({"axis": 1, "scale": False}, (2, 3, 4)),
        ({"axis": (2, 1), "center": False}, (2, 3, 4)),
        ({"scale": False, "center": False}, (2, 3, 4)),
        (WEIGHTS, (2, 3, 4)),
    ],
)
def test_layer_normalization(kwargs, shape):
    check_layer("LayerNormalization", kwargs, shape, rtol=2e-5)


@pytest.mark.filterwarnings("ignore:.*rms_scaling")
def test_layer_normalization_with_rms_scaling():
    check_layer("LayerNormalization", {"rms_scaling": True}, (2, 3, 4))


@pytest.mark.parametrize("name", ["LayerNormalization", "UnitNormalization", "BatchNormalization"])
def test_masks_pass(name):
    out = check_layer(name, {}, (2, 4, 3), mask=MASK).output
    np.testing.assert_array_equal(out._keras_mask, MASK)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"groups": 2}, (2, 3, 4)),
        ({"groups": -1}, (2, 3, 2, 4)),
        ({"groups": 1, "scale": False}, (2, 3, 4)),
        ({"groups": 2, "axis": 1, "center": False}, (2, 4, 3, 2)),
        ({"groups": 2, "axis": 1, **WEIGHTS}, (2, 4)),
        ({"groups": 3, "axis": 2, "scale": False, "center": False}, (2, 3, 6, 4)),
    ],
)
def test_group_normalization(kwargs, shape):
    check_layer("GroupNormalization", kwargs, shape, rtol=2e-5)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [({}, (4, 6)), ({"axis": (1, 2), "epsilon": 0.01}, (2, 3, 4)), ({"axis": [1, 2]}, (2, 3, 4))],
)
def test_rms_normalization(kwargs, shape):
    check_layer("RMSNormalization", kwargs, shape)


@pytest.mark.parametrize("kwargs", [{}, {"axis": [1, 2]}, {"axis": 1}])
def test_unit_normalization(kwargs):
    check_layer("UnitNormalization", kwargs, (2, 3, 4))


@pytest.mark.parametrize(
    "name",
    [
        "BatchNormalization",
        "GroupNormalization",
        "LayerNormalization",
        "RMSNormalization",
    ],
)
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision(name, dtype):
    kwargs = {"groups": 2} if name == "GroupNormalization" else {}
    low, full = (getattr(layers, name)(dtype=d, **kwargs) for d in (dtype, "float32"))
    # Large enough to overflow half precision, if squares were computed in it.
    x = (np.random.default_rng(0).normal(size=(8, 4)) * 1000).astype("float16").astype("float32")
    y = low(x, training=True)
    assert y.dtype == dtype.removeprefix("mixed_")
    assert {w.dtype for w in low.weights} == {"float32"}
    np.testing.assert_allclose(
        np.asarray(y, "float32"), full(x, training=True), rtol=2**-7, atol=2**-7
    )


@pytest.mark.parametrize(
    ("name", "kwargs", "error", "message"),
    [
        ("BatchNormalization", {"axis": [1]}, TypeError, r"\[BatchNormalization\] 'axis'"),
        ("BatchNormalization", {"renorm_clipping": {"max": 1}}, ValueError, "rmax, rmin, dmax"),
        (
            "BatchNormalization",
            {"renorm_clipping": {"rmin": 2, "rmax": 1}},
            ValueError,
            "'rmin' must not be above",
        ),
        ("LayerNormalization", {"axis": "last"}, TypeError, "'axis'"),
        ("RMSNormalization", {"axis": 1.0}, TypeError, "'axis'"),
        ("UnitNormalization", {"axis": None}, TypeError, "'axis'"),
        ("GroupNormalization", {"groups": 0}, ValueError, "'groups' must be a positive integer"),
    ],
)
def test_bad_arguments(name, kwargs, error, message):
    with pytest.raises(error, match=message):
        getattr(layers, name)(**kwargs)


def test_bad_inputs():
    x = np.ones((2, 4, 3), "float32")
    with pytest.raises(ValueError, match="multiple of 'groups'.*groups=2, 3 channels"):
        layers.GroupNormalization(2)(x)
    with pytest.raises(ValueError, match=r"'mask' must have one dimension less"):
        layers.BatchNormalization()(x, training=True, mask=np.ones((2, 4, 3), bool))
    with pytest.raises(ValueError, match="must be known"):
        layers.LayerNormalization()(kbackend.KerasTensor((2, None)))


def spectral(**kwargs):
    layer = dict(kwargs)
    name = layer.pop("name")
    return lambda library: {
        "layer": getattr(library.layers, name)(name="inner", **layer),
        "power_iterations": 2,
    }


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        (spectral(name="Dense", units=3), (2, 4)),
        (spectral(name="Conv1D", filters=4, kernel_size=2), (2, 5, 3)),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_spectral_normalization(kwargs, shape, training):
    # In training, Keras on JAX forgets the kernel that it assigns, and differentiates through the
    # division; here the kernel stays divided, and the gradient is that of the divided one.
    check_layer("SpectralNormalization", kwargs, shape, training=training, gradients=not training)


def test_spectral_normalization_reaches_one():
    layer = layers.SpectralNormalization(layers.Dense(3), power_iterations=20)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    with kbackend.GradientTape() as tape:
        loss = kbackend.ops.sum(layer(x, training=True))
    np.testing.assert_allclose(np.linalg.svd(layer.kernel)[1][0], 1, rtol=1e-4)
    (g,) = tape.gradient(loss, [layer.kernel])
    np.testing.assert_allclose(g, np.outer(x.sum(0), np.ones(3)), rtol=1e-5)


def test_spectral_normalization_of_zeros():
    layer = layers.SpectralNormalization(layers.Dense(3, kernel_initializer="zeros"))
    layer.build((2, 4))
    before = layer.vector_u.numpy()
    np.testing.assert_array_equal(layer(np.ones((2, 4), "float32"), training=True), 0)
    np.testing.assert_array_equal(layer.kernel, 0)
    np.testing.assert_array_equal(layer.vector_u, before)


def test_spectral_normalization_errors():
    with pytest.raises(ValueError, match="'power_iterations' must be a positive integer"):
        layers.SpectralNormalization(layers.Dense(2), power_iterations=0)
    with pytest.raises(ValueError, match="'kernel' or 'embeddings'"):
        layers.SpectralNormalization(layers.Flatten())(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="'layer' must be a Layer"):
        layers.SpectralNormalization(5)
