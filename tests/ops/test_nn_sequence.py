"""CTC, windows as columns, blocks as channels."""

import numpy as np
import pytest

from kbackend.ops import nn
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")


def test_ctc_loss(agrees, rng):
    target = np.array([[1, 2, 2, 0], [3, 0, 0, 0], [1, 2, 3, 4]], "int32")
    lengths, ends = np.array([3, 1, 4], "int32"), np.array([6, 3, 7], "int32")
    agrees(
        lambda x: nn.ctc_loss(target, x, lengths, ends),
        lambda x: keras.ops.ctc_loss(target, x, lengths, ends),
        rng.normal(size=(3, 7, 5)).astype("float32"), batch=False, second=True,
    )  # fmt: skip


def test_ctc_greedy(rng):
    x = rng.normal(size=(4, 9, 4)).astype("float32")
    lengths = np.array([9, 5, 1, 7])
    for merge in (True, False):
        how = {"merge_repeated": merge, "mask_index": 0}
        labels, scores = nn.ctc_decode(x, lengths, **how)
        wanted = keras.ops.ctc_decode(x, lengths, **how)
        np.testing.assert_array_equal(labels, wanted[0])
        np.testing.assert_allclose(scores, wanted[1], rtol=1e-5)


def test_ctc_beam_search_finds_the_best_labels(rng):
    x = rng.normal(size=(3, 5, 3)).astype("float32")
    lengths = np.array([5, 4, 3])
    labels, scores = nn.ctc_decode(x, lengths, strategy="beam_search", top_paths=3)
    assert labels.shape == (3, 3, 5) and scores.shape == (3, 3)
    # The score of labels is their log probability: minus the loss.
    labels, scores = np.asarray(labels), np.asarray(scores)
    for path in range(3):
        count = (labels[path] >= 0).sum(-1)
        loss = nn.ctc_loss(np.maximum(labels[path], 0), x, count, lengths)
        np.testing.assert_allclose(-np.asarray(loss), scores[:, path], rtol=1e-4)
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    wanted = keras.ops.ctc_decode(x, lengths, strategy="beam_search", top_paths=1)
    np.testing.assert_array_equal(labels[0], np.asarray(wanted[0])[0])


def test_ctc_symbolic_and_errors():
    labels, scores = nn.ctc_decode(KerasTensor((None, 9, 4)), KerasTensor((None,), "int32"))
    assert labels.shape == (1, None, 9) and scores.shape == (None, 1)
    with pytest.raises(ValueError, match=r"\[ctc_decode\] 'strategy'"):
        nn.ctc_decode(np.zeros((1, 2, 2)), [2], strategy="best")
    with pytest.raises(ValueError, match=r"\[ctc_loss\] 'target'"):
        nn.ctc_loss([1], np.zeros((1, 2, 2)), [1], [2])


@pytest.mark.parametrize(
    "how", [{}, {"stride": 2}, {"padding": 1, "dilation": 2}, {"stride": (2, 1), "padding": (1, 0)}]
)
def test_unfold_and_fold(agrees, rng, how):
    x = rng.normal(size=(2, 3, 6, 7)).astype("float32")
    agrees(lambda x: nn.unfold(x, (3, 2), **how), lambda x: keras.ops.unfold(x, (3, 2), **how), x)
    # Folding is the transpose of unfolding. (Keras on JAX cuts the end where strides leave a rest.)
    columns = rng.normal(size=nn.unfold(x, (3, 2), **how).shape).astype("float32")
    there = (np.asarray(nn.unfold(x, (3, 2), **how)) * columns).sum()
    back = (np.asarray(nn.fold(columns, (6, 7), (3, 2), **how)) * x).sum()
    np.testing.assert_allclose(there, back, rtol=1e-3, atol=1e-3)
    if not how:
        agrees(
            lambda c: nn.fold(c, (6, 7), (3, 2)), lambda c: keras.ops.fold(c, (6, 7), (3, 2)),
            columns,
        )  # fmt: skip


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_blocks(rng, data_format):
    x = rng.normal(size=(2, 8, 4, 8)).astype("float32")
    for name in ("depth_to_space", "space_to_depth"):
        np.testing.assert_array_equal(
            getattr(nn, name)(x, 2, data_format), getattr(keras.ops, name)(x, 2, data_format)
        )
    assert nn.depth_to_space(KerasTensor((None, 4, 4, 8)), 2).shape == (None, 8, 8, 2)
    with pytest.raises(ValueError, match=r"\[space_to_depth\]"):
        nn.space_to_depth(x, 3)
