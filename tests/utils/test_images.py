"""Images, files and arrays, against Keras, and resizing without anti-aliasing."""

import io
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from kbackend.base import config
from kbackend.utils import array_to_img, img_to_array, load_img, save_img
from kbackend.utils.resample import resample, smart_resize

keras = pytest.importorskip("keras")


def picture(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), "uint8")


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(picture(7, 5, 3)).save(path)
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_array_to_img_matches_keras(channels, scale, data_format):
    x = picture(6, 4, channels).astype("float32")
    if data_format == "channels_first":
        x = x.transpose(2, 0, 1)
    ours = array_to_img(x, data_format, scale)
    theirs = keras.utils.array_to_img(x, data_format, scale)
    assert ours.mode == theirs.mode
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_wide_gray_values_keep_their_bits():
    x = np.array([[[0.0], [70000.0]]])
    ours = array_to_img(x, scale=False)
    assert np.asarray(ours).tolist() == [[0, 70000]]


def test_constant_image():
    assert np.asarray(array_to_img(np.full((2, 2, 3), 5.0))).max() == 0


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first", None])
def test_img_to_array_matches_keras(mode, data_format):
    img = Image.fromarray(picture(6, 4, 3)).convert(mode)
    ours = img_to_array(img, data_format)
    theirs = keras.utils.img_to_array(img, data_format)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_configured_format_and_dtype():
    config.set_image_data_format("channels_first")
    try:
        assert img_to_array(np.zeros((6, 4, 3))).shape == (3, 6, 4)
    finally:
        config.set_image_data_format("channels_last")
    assert img_to_array(np.zeros((6, 4)), dtype="uint8").dtype == "uint8"


@pytest.mark.parametrize("mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("keep", [True, False])
def test_load_img_matches_keras(png, mode, keep):
    options = {
        "color_mode": mode,
        "target_size": (4, 6),
        "interpolation": "bilinear",
        "keep_aspect_ratio": keep,
    }
    ours, theirs = load_img(png, **options), keras.utils.load_img(png, **options)
    assert ours.mode == theirs.mode
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_load_img_from_memory_and_16_bits(tmp_path):
    deep = np.array([[0, 60000], [1, 2]], "uint16")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    loaded = load_img(str(tmp_path / "deep.png"), color_mode="grayscale")
    np.testing.assert_array_equal(np.asarray(loaded), deep)
    memory = io.BytesIO((tmp_path / "deep.png").read_bytes())
    memory.read()
    assert load_img(memory).size == (2, 2)


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_save_and_load_again(tmp_path, name):
    x = picture(5, 4, 3)
    save_img(tmp_path / name, x, scale=False)
    np.testing.assert_array_equal(img_to_array(load_img(tmp_path / name)), x)


def test_jpeg_drops_alpha_and_says_so(tmp_path):
    with pytest.warns(UserWarning, match="transparency"):
        save_img(str(tmp_path / "a.jpg"), picture(5, 4, 4))
    assert load_img(tmp_path / "a.jpg").size == (4, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_img(io.BytesIO(), picture(5, 4, 3), file_format="jpg")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: array_to_img(np.ones((2, 2))), r"three axes.*\(2, 2\)"),
        (lambda: array_to_img(np.ones((2, 2, 2))), r"2 channels"),
        (lambda: array_to_img(np.ones((2, 2, 3)), "last"), r"'last'"),
        (lambda: img_to_array(np.ones(3)), r"two or three axes"),
        (lambda: load_img("x.png", color_mode="cmyk"), r"color_mode='cmyk'"),
        (lambda: load_img("x.png", interpolation="magic"), r"interpolation='magic'"),
        (lambda: smart_resize(np.ones((2, 2, 2)), (0, 1)), r"size=\(0, 1\)"),
        (lambda: smart_resize(np.ones((2, 2)), (1, 1)), r"shape=\(2, 2\)"),
        (lambda: smart_resize(np.ones((2, 2, 2)), (1, 1), data_format="x"), r"data_format='x'"),
        (lambda: resample(np.ones((2, 2, 2)), (1, 1), "area"), r"interpolation='area'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_load_img_of_something_else():
    with pytest.raises(TypeError, match="io.BytesIO.*5"):
        load_img(5)
    with pytest.raises(FileNotFoundError):
        load_img("/nonexistent.png")


def test_missing_pillow_names_the_mend(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"Pillow.*pip install 'kbackend\[data\]'"):
        load_img("x.png")


@pytest.mark.parametrize("size", [(5, 9), (14, 10), (7, 3), (20, 30)])
@pytest.mark.parametrize(
    "interpolation", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
)
def test_resample_matches_keras(size, interpolation):
    x = np.random.default_rng(1).normal(size=(2, 10, 8, 3)).astype("float32")
    theirs = keras.ops.image.resize(x, size, interpolation=interpolation, antialias=False)
    # Two float32 sums of at most 10 terms each, of weights around 1: some 20 roundings of 6e-8.
    np.testing.assert_allclose(resample(x, size, interpolation), theirs, rtol=1e-5, atol=5e-6)


def test_resample_keeps_uint8_only_for_nearest():
    x = picture(4, 4, 3)
    assert resample(x, (2, 2), "nearest").dtype == "uint8"
    assert resample(x, (2, 2), "bilinear").dtype == "float32"


@pytest.mark.parametrize("shape", [(20, 11, 3), (2, 9, 30, 3)])
def test_smart_resize_matches_keras(shape):
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    theirs = keras.preprocessing.image.smart_resize(x, (6, 8))
    np.testing.assert_allclose(smart_resize(x, (6, 8)), theirs, rtol=1e-5, atol=1e-6)


def test_smart_resize_channels_first_and_integers():
    x = picture(12, 10, 3)
    last = smart_resize(x, (6, 4))
    assert last.dtype == "uint8"
    first = smart_resize(x.transpose(2, 0, 1), (6, 4), data_format="channels_first")
    np.testing.assert_array_equal(first, last.transpose(2, 0, 1))
    overshoot = smart_resize(np.array([[[0], [255], [255], [0]]], "uint8"), (1, 9), "bicubic")
    assert overshoot.max() == 255
