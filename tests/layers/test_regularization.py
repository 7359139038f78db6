"""Layers that add noise or penalties. The noise is tested by its statistics."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer

NOISY = [
    ("Dropout", {"rate": 0.3, "seed": 1}, (50, 40, 10)),
    ("Dropout", {"rate": 0.3, "noise_shape": (None, 1, None), "seed": 2}, (50, 40, 10)),
    ("SpatialDropout1D", {"rate": 0.3, "seed": 3}, (50, 5, 40)),
    ("SpatialDropout2D", {"rate": 0.3, "seed": 4}, (50, 2, 2, 40)),
    ("SpatialDropout2D", {"rate": 0.3, "data_format": "channels_first"}, (50, 40, 2, 2)),
    ("SpatialDropout3D", {"rate": 0.3, "seed": 5}, (50, 2, 2, 2, 40)),
    ("GaussianNoise", {"stddev": 0.5, "seed": 6}, (50, 40, 10)),
    ("GaussianDropout", {"rate": 0.3, "seed": 7}, (50, 40, 10)),
    ("AlphaDropout", {"rate": 0.3, "seed": 8}, (50, 40, 10)),
    ("AlphaDropout", {"rate": 0.3, "noise_shape": (None, 1, None)}, (50, 40, 10)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), NOISY)
def test_without_training(name, kwargs, shape):
    shape = (2, 3, *shape[2:])
    mask = np.array([[True, False, True]] * 2)
    check_layer(name, kwargs, shape, mask=mask, symbolic=False)
    check_layer(name, kwargs, shape)


@pytest.mark.parametrize(("name", "kwargs", "shape"), NOISY)
def test_shapes_while_training(name, kwargs, shape):
    layer = getattr(layers, name)(**kwargs)
    out = layer(kbackend.KerasTensor((None, *shape[1:])), training=True)
    assert (out.shape, out.dtype) == ((None, *shape[1:]), "float32")
    half = getattr(layers, name)(**kwargs, dtype="float16")
    assert half(np.ones(shape, "float32"), training=True).dtype == "float16"


@pytest.mark.parametrize(("name", "kwargs", "shape"), NOISY[:6])
def test_dropped_elements(name, kwargs, shape):
    layer = getattr(layers, name)(**kwargs)
    out = layer(np.ones(shape, "float32"), training=True).numpy()
    np.testing.assert_allclose(np.unique(out), [0.0, 1 / 0.7], rtol=1e-6)
    # 2,000 independent draws at least: four standard deviations are 0.041.
    assert abs(np.mean(out == 0) - 0.3) < 0.041
    # What the mask is spread over is dropped together.
    spread = {
        "Dropout": (1,) if kwargs.get("noise_shape") else (),
        "SpatialDropout1D": (1,),
        "SpatialDropout2D": (2, 3) if "data_format" in kwargs else (1, 2),
        "SpatialDropout3D": (1, 2, 3),
    }[name]
    if spread:
        assert np.all(out.min(axis=spread) == out.max(axis=spread))


def test_gaussian_noise():
    out = layers.GaussianNoise(0.5, seed=1)(np.full((200, 200), 3.0), training=True).numpy()
    # 40,000 draws: four standard errors are 0.01 and 0.0071.
    assert abs(out.mean() - 3.0) < 0.01 and abs(out.std() - 0.5) < 0.0071


def test_gaussian_dropout():
    out = layers.GaussianDropout(0.2, seed=1)(np.full((200, 200), 2.0), training=True).numpy()
    # The deviation is 2 * sqrt(0.2 / 0.8) = 1.
    assert abs(out.mean() - 2.0) < 0.02 and abs(out.std() - 1.0) < 0.0142


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=(300, 300)).astype("float32")
    out = layers.AlphaDropout(0.3, seed=1)(x, training=True).numpy()
    assert abs(out.mean()) < 0.02 and abs(out.std() - 1.0) < 0.02
    values, counts = np.unique(out, return_counts=True)
    # The dropped elements share one value, which is Keras's for this rate.
    np.testing.assert_allclose(values[counts.argmax()], -1.0595481, rtol=1e-6)
    assert abs(counts.max() / x.size - 0.3) < 0.0062


@pytest.mark.parametrize(("name", "kwargs", "shape"), NOISY)
def test_reproducible(name, kwargs, shape):
    x = np.ones(shape, "float32")
    kwargs = {**kwargs, "seed": 9}
    first, second = (getattr(layers, name)(**kwargs) for _ in range(2))
    np.testing.assert_array_equal(first(x, training=True), second(x, training=True))
    assert (first(x, training=True).numpy() != second(x, training=False).numpy()).any()


def test_gradient_passes_where_elements_do():
    layer = layers.Dropout(0.5, seed=1)
    x = kbackend.ops.ones((4, 5))
    with kbackend.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), y.numpy())


def test_no_rate_no_generator():
    for layer in (layers.Dropout(0), layers.AlphaDropout(0.0), layers.GaussianNoise(0.0)):
        assert layer.variables == []
        assert layer(np.ones((2, 2)), training=True).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_training_is_inherited():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dropout(0.5, seed=1)

        def call(self, x):
            return self.inner(x)

    x = np.ones((10, 10))
    assert (Block()(x, training=True).numpy() == 0).any()
    assert (Block()(x).numpy() == 1).all()


def test_activity_regularization():
    check_layer("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (2, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dropout(1.5), r"\[Dropout\] 'rate' must be .* between 0 and 1.*rate=1.5"),
        (lambda: layers.Dropout(0.5, noise_shape=(0, 1)), "'noise_shape' must be a tuple"),
        (lambda: layers.AlphaDropout(0.5, noise_shape=3), r"\[AlphaDropout\] 'noise_shape'"),
        (lambda: layers.GaussianNoise(-1), "'stddev' must be a number between 0 and 1"),
        (lambda: layers.GaussianDropout(1.0), "'rate' must be below 1"),
        (lambda: layers.AlphaDropout(1.0), "'rate' must be below 1"),
        (lambda: layers.SpatialDropout1D(0.5)(np.ones((2, 3))), "expected ndim=3, found ndim=2"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
