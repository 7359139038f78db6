"""The classic backend: values by their definitions, variables, functions, and what is gone."""

import numpy as np
import pytest

import kbackend
import kbackend.backend as K
from kbackend import ops

keras = pytest.importorskip("keras")
kops = keras.ops

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 4)).astype("float32")
POSITIVE = np.abs(X) + 0.1
P = rng.uniform(0.05, 0.95, (3, 4)).astype("float32")
T = (rng.uniform(size=(3, 4)) > 0.5).astype("float32")
SOFT = (P / P.sum(-1, keepdims=True)).astype("float32")
HOT = np.eye(4, dtype="float32")[[1, 3, 0]]
IMAGE = rng.standard_normal((2, 5, 6, 3)).astype("float32")
FIRST = np.moveaxis(IMAGE, -1, 1).copy()
VOLUME = rng.standard_normal((2, 4, 5, 6, 2)).astype("float32")
SEQUENCE = rng.standard_normal((2, 7, 3)).astype("float32")
FLAGS = X > 0
W1 = rng.standard_normal((3, 3, 2)).astype("float32")
W2 = rng.standard_normal((3, 2, 3, 4)).astype("float32")
W3 = rng.standard_normal((2, 2, 2, 2, 3)).astype("float32")
LAST = {"data_format": "channels_last"}


def focal(target, output, gamma, weight):
    right = np.where(target > 0, output, 1 - output)
    return weight * -np.log(right) * (1 - right) ** gamma


def causal(x, w):
    padded = np.pad(x, ((0, 0), (2 * (len(w) - 1), 0), (0, 0)))
    return sum(padded[:, 2 * k : 2 * k + x.shape[1]] @ w[k] for k in range(len(w)))


def grow(x, *factors, first=1):
    for axis, factor in enumerate(factors, first):
        x = x.repeat(factor, axis)
    return x


# (function, arguments, keywords, what comes out)
CASES = [
    ("mean", (FLAGS,), {"axis": 0}, FLAGS.mean(0)),
    ("mean", (X,), {"axis": (0, 1), "keepdims": True}, X.mean(keepdims=True)),
    ("std", (FLAGS,), {}, FLAGS.std()),
    ("var", (X,), {"axis": 1}, X.var(1)),
    ("max", (X,), {"axis": 1, "keepdims": True}, X.max(1, keepdims=True)),
    ("min", (X,), {}, X.min()),
    ("sum", (X,), {"axis": -1}, X.sum(-1)),
    ("any", (FLAGS,), {"axis": 0}, FLAGS.any(0)),
    ("all", (X - X[:, :1],), {"axis": 1}, np.zeros(3, bool)),
    ("argmax", (X,), {}, X.argmax(-1)),
    ("argmin", (X, 0), {}, X.argmin(0)),
    ("cumsum", (X,), {}, X.cumsum(0)),
    ("cumprod", (X, 1), {}, X.cumprod(1)),
    ("pow", (POSITIVE, 2.5), {}, POSITIVE**2.5),
    ("clip", (X, -0.5, None), {}, X.clip(-0.5, None)),
    ("clip", (X, None, 0.5), {}, X.clip(None, 0.5)),
    ("l2_normalize", (X,), {"axis": 1}, X / np.linalg.norm(X, axis=1, keepdims=True)),
    ("dot", (SEQUENCE, X[:3]), {}, SEQUENCE @ X[:3]),
    ("batch_dot", (SEQUENCE, SEQUENCE[:, :3]), {}, SEQUENCE @ SEQUENCE[:, :3]),
    ("batch_dot", (X, X), {}, (X * X).sum(1, keepdims=True)),
    ("batch_dot", (X, X), {"axes": 1}, (X * X).sum(1, keepdims=True)),
    ("batch_dot", (SEQUENCE, SEQUENCE), {"axes": (1, 1)}, SEQUENCE.swapaxes(1, 2) @ SEQUENCE),
    ("batch_dot", (SEQUENCE, SEQUENCE[:, 0]), {"axes": [2, 1]},
     np.einsum("btf,bf->bt", SEQUENCE, SEQUENCE[:, 0])),
    ("batch_dot", (IMAGE, SEQUENCE), {"axes": (3, 2)},
     np.einsum("bhwc,btc->bhwt", IMAGE, SEQUENCE)),
    ("relu", (X,), {"alpha": 0.1, "max_value": 0.8, "threshold": 0.2},
     np.where(X >= 0.2, np.minimum(X, 0.8), 0.1 * (X - 0.2))),
    ("hard_sigmoid", (X * 3,), {}, np.clip(0.6 * X + 0.5, 0, 1)),
    ("binary_crossentropy", (T, P), {}, -(T * np.log(P) + (1 - T) * np.log(1 - P))),
    ("binary_crossentropy", (T, X), {"from_logits": True},
     np.maximum(X, 0) - X * T + np.log1p(np.exp(-np.abs(X)))),
    ("categorical_crossentropy", (HOT, SOFT), {}, -np.log(SOFT[range(3), [1, 3, 0]])),
    ("sparse_categorical_crossentropy", (np.array([1, 3, 0]), SOFT), {},
     -np.log(SOFT[range(3), [1, 3, 0]])),
    ("sparse_categorical_crossentropy", (np.array([1, -1, 0]), SOFT), {"ignore_class": -1},
     [-np.log(SOFT[0, 1]), 0, -np.log(SOFT[2, 0])]),
    ("binary_focal_crossentropy", (T, P), {}, focal(T, P, 2.0, 1.0)),
    ("binary_focal_crossentropy", (T, P), {"apply_class_balancing": True, "gamma": 1.0},
     focal(T, P, 1.0, np.where(T > 0, 0.25, 0.75))),
    ("categorical_focal_crossentropy", (HOT, SOFT), {},
     (HOT * 0.25 * (1 - SOFT) ** 2 * -np.log(SOFT)).sum(-1)),
    ("concatenate", ([X, X],), {}, np.concatenate([X, X], -1)),
    ("flatten", (X,), {}, X.reshape(-1)),
    ("batch_flatten", (IMAGE,), {}, IMAGE.reshape(2, -1)),
    ("permute_dimensions", (SEQUENCE, (2, 0, 1)), {}, SEQUENCE.transpose(2, 0, 1)),
    ("transpose", (X,), {}, X.T),
    ("expand_dims", (X,), {}, X[..., None]),
    ("squeeze", (X[:, :1], 1), {}, X[:, 0]),
    ("repeat", (X, 3), {}, np.stack([X] * 3, 1)),
    ("repeat_elements", (X, 2, 1), {}, X.repeat(2, 1)),
    ("reverse", (X, 1), {}, X[:, ::-1]),
    ("gather", (X, np.array([[2, 0], [1, 1]])), {}, X[[[2, 0], [1, 1]]]),
    ("one_hot", (np.array([1, 3, 0]), 4), {}, HOT),
    ("arange", (5,), {}, np.arange(5)),
    ("arange", (2, 9, 3), {"dtype": "float32"}, [2, 5, 8]),
    ("temporal_padding", (SEQUENCE, (2, 1)), {}, np.pad(SEQUENCE, ((0, 0), (2, 1), (0, 0)))),
    ("spatial_2d_padding", (IMAGE, ((1, 2), (0, 3)), "channels_last"), {},
     np.pad(IMAGE, ((0, 0), (1, 2), (0, 3), (0, 0)))),
    ("spatial_2d_padding", (FIRST, ((1, 2), (0, 3)), "channels_first"), {},
     np.pad(FIRST, ((0, 0), (0, 0), (1, 2), (0, 3)))),
    ("spatial_3d_padding", (VOLUME,), LAST, np.pad(VOLUME, ((0, 0), *[(1, 1)] * 3, (0, 0)))),
    ("resize_images", (IMAGE, 2, 3, "channels_last"), {}, grow(IMAGE, 2, 3)),
    ("resize_images", (FIRST, 2, 3, "channels_first"), {}, grow(FIRST, 2, 3, first=2)),
    ("resize_images", (IMAGE, 2, 3, "channels_last", "bilinear"), {},
     kops.image.resize(IMAGE, (10, 18), "bilinear", data_format="channels_last")),
    ("resize_volumes", (VOLUME, 2, 1, 3, "channels_last"), {}, grow(VOLUME, 2, 1, 3)),
    ("bias_add", (IMAGE, X[0, :3], "channels_last"), {}, IMAGE + X[0, :3]),
    ("bias_add", (FIRST, X[0, :3], "channels_first"), {}, FIRST + X[0, :3, None, None]),
    ("bias_add", (FIRST, IMAGE[0], "channels_first"), {}, FIRST + FIRST[0]),
    ("batch_normalization", (X, X[0], POSITIVE[1], X[2], X[1]), {},
     (X - X[0]) / np.sqrt(POSITIVE[1] + 1e-3) * X[1] + X[2]),
    ("in_top_k", (SOFT, SOFT.argsort()[:, 2], 2), {}, [True] * 3),
    ("in_top_k", (SOFT, SOFT.argsort()[:, 1], 2), {}, [False] * 3),
    ("eye", ((2, 3),), {}, np.eye(2, 3)),
    ("eye", (3,), {}, np.eye(3)),
    ("zeros", ((2, 3),), {}, np.zeros((2, 3))),
    ("ones", ((2, 3),), {"dtype": "float64"}, np.ones((2, 3))),
    ("ones_like", (X,), {}, np.ones_like(X)),
    ("constant", (2.5,), {"shape": (2, 2)}, np.full((2, 2), 2.5)),
    ("switch", (FLAGS[:, 0], X, -X), {}, np.where(FLAGS[:, :1], X, -X)),
    ("switch", (False, X, lambda: -X), {}, -X),
    ("map_fn", (lambda row: row * 2, X), {"dtype": "float64"}, 2 * X),
    ("foldl", (lambda a, x: a / x, np.array([8.0, 4.0, 2.0])), {}, 1.0),
    ("foldr", (lambda a, x: a / x, np.array([8.0, 4.0, 2.0])), {"initializer": 64.0}, 1.0),
    ("conv1d", (SEQUENCE, W1), {"padding": "causal", "dilation_rate": 2, **LAST},
     causal(SEQUENCE, W1)),
    ("conv1d", (SEQUENCE, W1), {"padding": "same", **LAST},
     kops.conv(SEQUENCE, W1, padding="same", data_format="channels_last")),
    ("conv2d", (IMAGE, W2), {"strides": (2, 1), **LAST},
     kops.conv(IMAGE, W2, (2, 1), data_format="channels_last")),
    ("conv3d", (VOLUME, W3), LAST, kops.conv(VOLUME, W3, data_format="channels_last")),
    ("depthwise_conv2d", (IMAGE, W2), LAST,
     kops.depthwise_conv(IMAGE, W2, data_format="channels_last")),
    ("separable_conv2d", (IMAGE, W2, W2[:1, :1, :1].repeat(12, 2)), LAST,
     kops.separable_conv(IMAGE, W2, W2[:1, :1, :1].repeat(12, 2), data_format="channels_last")),
    ("pool2d", (IMAGE, (2, 2)), LAST, kops.max_pool(IMAGE, 2, 1, data_format="channels_last")),
    ("pool3d", (VOLUME, (2, 2, 2)), {"pool_mode": "avg", **LAST},
     kops.average_pool(VOLUME, 2, 1, data_format="channels_last")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs", "expected"), CASES, ids=[c[0] for c in CASES])
def test_values(name, args, kwargs, expected):
    found = np.asarray(getattr(K, name)(*args, **kwargs))
    # Single precision, sums of at most a few dozen terms.
    np.testing.assert_allclose(found, np.asarray(expected), rtol=3e-5, atol=2e-6)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [(5, 6), (6, 7)])
def test_transposed_convolution_reaches_its_output_shape(padding, size):
    kernel = rng.standard_normal((3, 3, 2, 4)).astype("float32")
    image = rng.standard_normal((1, *size, 2)).astype("float32")
    x = K.conv2d(image, kernel, (2, 2), padding, "channels_last")
    out = K.conv2d_transpose(x, kernel, image.shape, (2, 2), padding, "channels_last")
    assert out.shape == image.shape
    if padding == "valid":
        # It is the transpose: <conv(image), g> = <image, transpose(g)>.
        np.testing.assert_allclose(np.sum(np.asarray(x) ** 2), np.sum(image * out), rtol=1e-4)


def test_transposed_convolution_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"no input of the shape \(1, 9, 9, 2\)"):
        K.conv2d_transpose(
            np.ones((1, 2, 2, 4), "float32"), np.ones((3, 3, 2, 4), "float32"), (1, 9, 9, 2),
            (2, 2), "valid", "channels_last",
        )  # fmt: skip


def test_ctc():
    # One step, one label: its probability.
    cost = K.ctc_batch_cost([[1]], [[[0.2, 0.5, 0.3]]], [[1]], [[1]])
    np.testing.assert_allclose(cost, [[-np.log(0.5)]], rtol=1e-5)
    steps = np.array([[[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05]]], "float32")
    (path,), _ = K.ctc_decode(steps, [3])
    assert [label for label in np.asarray(path)[0].tolist() if label >= 0] == [1, 0]


def test_variables():
    v = K.variable([1.0, 2.0], name="v")
    K.set_value(v, [3.0, 4.0])
    K.update_add(v, 1.0)
    K.update_sub(v, [0.0, 1.0])
    np.testing.assert_array_equal(K.get_value(v), [4.0, 4.0])
    K.moving_average_update(v, [0.0, 8.0], 0.75)
    np.testing.assert_array_equal(K.eval(v), [3.0, 5.0])
    K.batch_set_value([(v, [0.0, 1.0]), (K.update(v, v), [7.0, 7.0])][:1])
    (value,) = K.batch_get_value([v])
    np.testing.assert_array_equal(value, [0.0, 1.0])
    assert K.count_params(v) == 2 and K.int_shape(v) == (2,) and K.ndim(v) == 1
    assert K.dtype(v) == "float32" and K.int_shape(3) is None
    assert K.variable([1, 2], dtype="int32").dtype == "int32"


def test_random_values():
    assert K.random_normal((2, 3), seed=1).shape == (2, 3)
    share = np.asarray(K.random_bernoulli((2000,), p=0.25, seed=2))
    assert set(share.tolist()) == {0.0, 1.0}
    assert abs(share.mean() - 0.25) < 0.05  # five standard deviations
    low = np.asarray(K.random_uniform((100,), 2.0, 3.0, seed=3))
    assert low.min() >= 2 and low.max() < 3
    assert np.abs(np.asarray(K.truncated_normal((500,), seed=4))).max() <= 2
    assert K.random_normal_variable((3,), 0.0, 1.0, seed=5).trainable
    np.testing.assert_array_equal(
        K.random_uniform_variable((3,), 0.0, 1.0, seed=5), K.random_uniform((3,), seed=5)
    )
    dropped = np.asarray(K.dropout(np.ones((1000,), "float32"), 0.5, seed=6))
    assert set(dropped.tolist()) == {0.0, 2.0}


def test_function_reads_inner_layers():
    inner = kbackend.layers.Dense(3, activation="relu")
    x = kbackend.Input((4,))
    hidden = inner(x)
    model = kbackend.Model(x, kbackend.layers.Dense(2)(hidden))
    first, second = K.function([x], [hidden, model.output])([X])
    np.testing.assert_allclose(first, inner(X), rtol=1e-6)
    np.testing.assert_allclose(second, model(X), rtol=1e-6)
    assert isinstance(first, np.ndarray)
    np.testing.assert_allclose(K.function(x, hidden)(X), inner(X), rtol=1e-6)
    with pytest.raises(ValueError, match="'updates' can't be part"):
        K.function([x], [hidden], updates=[1])


def test_gradients_flow_through():
    y = ops.convert_to_tensor(X)
    found = kbackend.grad(lambda x: K.sum(K.square(K.l2_normalize(x, axis=1)) * y))(y)
    assert np.isfinite(np.asarray(found)).all() and np.abs(np.asarray(found)).max() > 0


def test_symbolic():
    x = kbackend.Input((5, 6, 3))
    assert K.batch_flatten(x).shape == (None, 90)
    assert K.mean(x, axis=-1).shape == (None, 5, 6)
    assert K.is_keras_tensor(x) and K.int_shape(x) == (None, 5, 6, 3)


@pytest.mark.parametrize("name", sorted(K.GONE))
def test_what_is_gone_says_why(name):
    with pytest.raises(AttributeError, match=rf"'{name}' does not exist here: \w+"):
        getattr(K, name)


def test_learning_phase_is_refused_with_the_mend():
    with pytest.raises(AttributeError, match="pass `training=True`"):
        K.set_learning_phase(1)


def test_names_of_keras_are_there():
    missing = [name for name in dir(keras.backend) if name[0] != "_" and not hasattr(K, name)]
    assert not missing
    assert set(K.__all__) <= set(dir(K))
    legacy = pytest.importorskip("keras.src.legacy.backend")
    classic = {
        name
        for name, value in vars(legacy).items()
        if callable(value) and getattr(value, "__module__", "") == legacy.__name__
    }
    assert {n for n in classic if n[0] != "_"} - set(K.__all__) - set(K.GONE) == set()


def test_settings():
    assert K.backend() == kbackend.config.backend() and K.floatx() == "float32"
    assert K.is_float_dtype("bfloat16") and not K.is_float_dtype("int8")
    assert K.is_int_dtype("uint8") and not K.is_int_dtype("bool")
    assert K.result_type("int32", "float16") == "float16"
    first = K.get_uid("dense")
    assert K.get_uid("dense") == first + 1
    K.clear_session()
    assert K.cast_to_floatx([1, 2]).dtype == "float32"
