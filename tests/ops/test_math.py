"""Special functions, top-k, segments, transforms, rearrange."""

import math

import numpy as np
import pytest

from kbackend.core.convert import to_tensor
from kbackend.ops import math as kmath
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")


def _normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("name", ["erf", "erfc", "rsqrt", "erfinv"])
def test_special(agrees, rng, name):
    x = rng.uniform(0.05, 0.95, size=(4, 5)).astype("float32")
    x = x if name == "rsqrt" else x * 2 - 1
    agrees(getattr(kmath, name), getattr(keras.ops, name), x)


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-12)])
def test_erfc_keeps_its_digits(dtype, rtol):
    x = np.linspace(-3, 9, 200).astype(dtype)
    # In float32 the square in exp(-x^2) is rounded, which the greatest x multiply by 80.
    wanted = np.array([math.erfc(v) for v in x.astype("float64")])
    np.testing.assert_allclose(kmath.erfc(to_tensor(x)), wanted, rtol=rtol)


@pytest.mark.parametrize("axis", [None, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [True, False])
def test_logsumexp(agrees, rng, axis, keepdims):
    agrees(
        lambda x: kmath.logsumexp(x, axis=axis, keepdims=keepdims),
        lambda x: keras.ops.logsumexp(x, axis=axis, keepdims=keepdims),
        _normal(rng, 4, 3), second=True,
    )  # fmt: skip
    assert kmath.logsumexp([-np.inf, -np.inf]).item() == -np.inf
    assert kmath.logsumexp([np.inf, 0.0]).item() == np.inf


def test_top_k(rng):
    x = _normal(rng, 3, 8)
    values, places = kmath.top_k(x, 3)
    wanted = keras.ops.top_k(x, 3)
    np.testing.assert_array_equal(values, wanted[0])
    np.testing.assert_array_equal(places, wanted[1])
    labels = rng.integers(0, 8, size=3)
    for k in (1, 4, 8):
        np.testing.assert_array_equal(
            kmath.in_top_k(labels, x, k), keras.ops.in_top_k(labels, x, k)
        )
    spec = kmath.in_top_k(KerasTensor((None,), "int32"), KerasTensor((None, 8)), 2)
    assert spec.shape == (None,) and spec.dtype == "bool"


@pytest.mark.parametrize("name", ["segment_sum", "segment_prod", "segment_max", "segment_min"])
def test_segments(agrees, rng, name):
    ids = np.array([0, 2, 0, -1, 5, 2], "int32")
    agrees(
        lambda x: getattr(kmath, name)(x, ids, num_segments=4),
        lambda x: getattr(keras.ops, name)(x, ids, num_segments=4),
        _normal(rng, 6, 2), batch=False, grads=name != "segment_prod",  # JAX has none of this
    )  # fmt: skip
    assert getattr(kmath, name)([1, 2], [0, 1]).shape == (2,)
    with pytest.raises(ValueError, match=rf"\[{name}\] 'segment_ids'"):
        getattr(kmath, name)([1, 2], [[0, 1]])


@pytest.mark.parametrize("name", ["fft", "fft2", "ifft2"])
def test_fft(agrees, rng, name):
    agrees(
        lambda a, b: getattr(kmath, name)((a, b)), lambda a, b: getattr(keras.ops, name)((a, b)),
        _normal(rng, 2, 4, 5), _normal(rng, 2, 4, 5), batch=False,
    )  # fmt: skip


@pytest.mark.parametrize("length", [None, 5, 6, 8, 12])
def test_real_fft(agrees, rng, length):
    agrees(lambda x: kmath.rfft(x, length), lambda x: keras.ops.rfft(x, length), _normal(rng, 3, 8))
    agrees(
        lambda a, b: kmath.irfft((a, b), length), lambda a, b: keras.ops.irfft((a, b), length),
        _normal(rng, 3, 5), _normal(rng, 3, 5), batch=False,
    )  # fmt: skip


def test_extract_sequences(agrees, rng):
    agrees(
        lambda x: kmath.extract_sequences(x, 4, 3),
        lambda x: keras.ops.extract_sequences(x, 4, 3),
        _normal(rng, 2, 12),
    )


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("window", ["hann", "hamming", None])
def test_stft(agrees, rng, center, window):
    x = _normal(rng, 2, 40)
    how = {"window": window, "center": center}
    agrees(
        lambda x: kmath.stft(x, 8, 3, 12, **how), lambda x: keras.ops.stft(x, 8, 3, 12, **how), x,
        atol=1e-4,
    )  # fmt: skip
    ours = kmath.stft(x, 8, 3, 12, **how)
    theirs = keras.ops.stft(x, 8, 3, 12, **how)
    if window is None:
        # Keras on JAX forgets to divide by the number of overlapping frames here.
        np.testing.assert_allclose(
            kmath.istft(ours, 8, 3, 12, **how), x[:, :39], rtol=1e-4, atol=1e-5
        )
        return
    if window == "hann" and not center:
        return  # the ends are divided by almost nothing
    for length in (None, 30):
        np.testing.assert_allclose(
            kmath.istft(ours, 8, 3, 12, length=length, **how),
            keras.ops.istft(theirs, 8, 3, 12, length=length, **how),
            rtol=1e-3, atol=1e-3,
        )  # fmt: skip


def test_cdist(agrees, rng):
    agrees(kmath.cdist, keras.ops.cdist, _normal(rng, 4, 3), _normal(rng, 5, 3), batch=False)


def test_logdet(rng):
    x = _normal(rng, 3, 4, 4)
    x = x @ x.swapaxes(-1, -2) + np.eye(4, dtype="float32")
    np.testing.assert_allclose(kmath.logdet(x), keras.ops.logdet(x), rtol=1e-4)


@pytest.mark.parametrize(
    ("pattern", "how"),
    [("b h w -> b (h w)", {}), ("b (h w) c -> b h (w c)", {"h": 2}), ("a b c -> c a b", {}),
     ("... c -> c ...", {})],
)  # fmt: skip
def test_rearrange(pattern, how, rng):
    x = _normal(rng, 2, 4, 3)
    found = kmath.rearrange(x, pattern, **how)
    if "..." in pattern:
        np.testing.assert_array_equal(found, np.moveaxis(x, -1, 0))
    else:
        np.testing.assert_array_equal(found, keras.ops.rearrange(x, pattern, **how))
    spec = kmath.rearrange(KerasTensor((None, 4, 3)), pattern, **how)
    assert len(spec.shape) == len(found.shape)
    with pytest.raises(ValueError, match=r"\[rearrange\]"):
        kmath.rearrange(x, "a b -> b a")


def test_complex_views():
    x = np.array([[1.0, 2.0], [3.0, -1.0]], "float32")
    z = kmath.view_as_complex(x)
    assert z.tolist() == [1 + 2j, 3 - 1j]
    np.testing.assert_array_equal(kmath.view_as_real(z), x)
