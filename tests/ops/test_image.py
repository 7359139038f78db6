"""Image ops against real Keras."""

import numpy as np
import pytest

from kbackend.ops import image
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")


def _images(rng, *shape):
    return rng.uniform(size=shape).astype("float32")


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("how", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("size", [(4, 9), (13, 3)])
def test_resize(rng, how, antialias, size):
    x = _images(rng, 2, 8, 7, 3)
    for data_format in ("channels_last", "channels_first"):
        given = np.moveaxis(x, -1, 1) if data_format == "channels_first" else x
        how_ = {"interpolation": how, "antialias": antialias, "data_format": data_format}
        np.testing.assert_allclose(
            image.resize(given, size, **how_), keras.ops.image.resize(given, size, **how_),
            rtol=1e-3, atol=1e-4,
        )  # fmt: skip
    assert image.resize(KerasTensor((None, 8, 7, 3)), size, how).shape == (None, *size, 3)
    assert image.resize(KerasTensor((None, None, None, 3)), size, how).shape == (None, *size, 3)


@pytest.mark.parametrize("size", [(4, 9), (9, 4), (5, 5)])
def test_resize_keeping_the_aspect_ratio(rng, size):
    x = _images(rng, 2, 6, 5, 3)
    for how in ({"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": -1.0}):
        np.testing.assert_allclose(
            image.resize(x, size, **how), keras.ops.image.resize(x, size, **how),
            rtol=1e-4, atol=1e-5,
        )  # fmt: skip


def test_resize_of_integers(rng):
    x = rng.integers(0, 256, size=(1, 5, 5, 3)).astype("uint8")
    for how in ("nearest", "bilinear", "bicubic"):
        found = image.resize(x, (7, 9), interpolation=how)
        assert found.dtype == "uint8"
        wanted = np.asarray(keras.ops.image.resize(x, (7, 9), interpolation=how))
        assert np.abs(np.asarray(found).astype(int) - wanted.astype(int)).max() <= 1


def test_resize_gradient(agrees, rng):
    agrees(
        lambda x: image.resize(x, (4, 9), "bicubic"),
        lambda x: keras.ops.image.resize(x, (4, 9), "bicubic"),
        _images(rng, 2, 6, 5, 3),
    )


def test_scale_and_translate(rng):
    x = _images(rng, 2, 6, 5, 3)
    for method in ("linear", "cubic", "lanczos3"):
        args = ((2, 8, 4, 3), np.array([1.7, 0.6], "f"), np.array([0.5, -0.3], "f"), (1, 2), method)
        np.testing.assert_allclose(
            image.scale_and_translate(x, *args),
            keras.ops.image.scale_and_translate(x, *args),
            rtol=1e-3, atol=1e-4,
        )  # fmt: skip


def test_pad_and_crop(rng):
    x = _images(rng, 2, 6, 5, 3)
    for args in ((1, 2, 3, 4), (1, None, None, 2, 10, 9)):
        np.testing.assert_array_equal(
            image.pad_images(x, *args), keras.ops.image.pad_images(x, *args)
        )
    for args in ((1, 2, 3, 1), (1, None, None, 2, 3, 2)):
        np.testing.assert_array_equal(
            image.crop_images(x, *args), keras.ops.image.crop_images(x, *args)
        )
    with pytest.raises(ValueError, match=r"\[pad_images\] exactly two of.*top_padding=1"):
        image.pad_images(x, top_padding=1)
    with pytest.raises(ValueError, match=r"\[crop_images\] cropping must leave"):
        image.crop_images(x, 4, 1, 4, 1)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_patches(agrees, rng, padding):
    for size, strides, rate in ((2, None, 1), ((3, 2), 1, 1), (3, 1, 2)):
        how = {"strides": strides, "dilation_rate": rate, "padding": padding}
        agrees(
            lambda x, size=size, how=how: image.extract_patches(x, size, **how),
            lambda x, size=size, how=how: keras.ops.image.extract_patches(x, size, **how),
            _images(rng, 2, 8, 7, 3),
        )
    v = _images(rng, 1, 4, 5, 4, 2)
    np.testing.assert_allclose(
        image.extract_patches_3d(v, 2, padding=padding),
        keras.ops.image.extract_patches_3d(v, 2, padding=padding),
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", ["rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb"])
def test_colors(agrees, rng, name):
    x = _images(rng, 2, 4, 5, 3)
    x[0, 0, 0] = 0.5  # gray
    x[0, 0, 1] = 0.0  # black
    agrees(getattr(image, name), getattr(keras.ops.image, name), x, grads=False)
    first = np.moveaxis(x[1], -1, 0)
    np.testing.assert_allclose(
        getattr(image, name)(first, data_format="channels_first"),
        getattr(keras.ops.image, name)(first, data_format="channels_first"),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_hsv_and_back(rng):
    x = _images(rng, 4, 5, 3)
    np.testing.assert_allclose(image.hsv_to_rgb(image.rgb_to_hsv(x)), x, atol=1e-5)


def test_filters(rng):
    x = _images(rng, 2, 14, 13, 3)
    np.testing.assert_allclose(
        image.sobel_edges(x), keras.ops.image.sobel_edges(x), rtol=1e-3, atol=1e-4
    )
    y = np.clip(x + 0.1 * _images(rng, 2, 14, 13, 3), 0, 1)
    np.testing.assert_allclose(image.ssim(x, y), keras.ops.image.ssim(x, y), rtol=1e-3, atol=1e-4)


def test_gaussian_blur(rng):
    # Keras on JAX mixes channels here, so that the definition is the reference.
    x = _images(rng, 2, 9, 8, 3)
    size, sigma = (5, 3), (2.0, 0.7)
    wanted = x.astype("float64")
    for axis, (k, s) in enumerate(zip(size, sigma, strict=True), start=1):
        bell = np.exp(-0.5 * ((np.arange(k) - k // 2) / s) ** 2)
        bell /= bell.sum()
        wanted = np.apply_along_axis(np.convolve, axis, wanted, bell, mode="same")
    np.testing.assert_allclose(image.gaussian_blur(x, size, sigma), wanted, rtol=1e-5)
    with pytest.raises(ValueError, match=r"\[gaussian_blur\] 'sigma'"):
        image.gaussian_blur(x, size, (0.0, 1.0))


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "mirror", "reflect"])
def test_map_coordinates(rng, mode, order):
    x = _images(rng, 4, 5)
    at = rng.uniform(-7, 11, size=(2, 30)).astype("float32")
    how = {"order": order, "fill_mode": mode, "fill_value": 9.0}
    np.testing.assert_allclose(
        image.map_coordinates(x, at, **how), keras.ops.image.map_coordinates(x, at, **how),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"\[map_coordinates\] 'order'"):
        image.map_coordinates(x, at, 2)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect"])
def test_affine(rng, interpolation, mode):
    x = _images(rng, 2, 6, 5, 3)
    # Away from the middle between two pixels, where rounding errors decide.
    turned = [0.9137, 0.2371, 1.3163, -0.1319, 1.0723, 0.4129, 0, 0]
    transform = np.array([turned, [1, 0, -2, 0, 1, 1, 0, 0]], "f")
    how = {"interpolation": interpolation, "fill_mode": mode, "fill_value": 2.0}
    np.testing.assert_allclose(
        image.affine_transform(x, transform, **how),
        keras.ops.image.affine_transform(x, transform, **how),
        rtol=1e-3, atol=1e-4,
    )  # fmt: skip
    one = image.affine_transform(x, transform[0], **how)
    np.testing.assert_allclose(one[:1], image.affine_transform(x[:1], transform[:1], **how))
    spec = image.affine_transform(KerasTensor((None, 6, 5, 3)), transform[0])
    assert spec.shape == (None, 6, 5, 3)


def test_perspective(rng):
    x = _images(rng, 2, 6, 5, 3)
    start = np.array([[0.0, 0], [0, 4], [5, 0], [5, 4]], "f")
    end = np.array([[0.0, 1], [1, 4], [5, 0], [4, 4]], "f")
    np.testing.assert_allclose(
        image.perspective_transform(x, start[None].repeat(2, 0), end[None].repeat(2, 0)),
        keras.ops.image.perspective_transform(x, start[None].repeat(2, 0), end[None].repeat(2, 0)),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip


def test_elastic(rng):
    x = _images(rng, 2, 10, 9, 3)
    a, b, c = (np.asarray(image.elastic_transform(x, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert a.shape == x.shape and (a != c).any()
    np.testing.assert_allclose(image.elastic_transform(x, alpha=0.0), x, rtol=1e-6)
