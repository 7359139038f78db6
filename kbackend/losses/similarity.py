"""Circle loss: embeddings of one class together, those of different classes apart."""

from __future__ import annotations

from typing import Any

from kbackend.autodiff import stop_gradient
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.masks import set_keras_mask
from kbackend.core.operators import matmul
from kbackend.losses.alignment import squeeze_last
from kbackend.losses.wrapper import NamedLoss
from kbackend.ops.nn.activation import softplus_c
from kbackend.ops.numpy.common import floating


def _labels(y_true: Any) -> Any:
    labels = lang.cast(to_tensor(y_true), "int32")
    if len(labels.shape) == 2 and labels.shape[-1] == 1:
        return squeeze_last(labels)
    return labels


def _log_sum_exp(x: Any, kept: Any) -> Any:
    """log(sum(exp(x))) over what is kept of each row; very negative where that is nothing."""
    lowest = -1e30 if x.dtype != "float16" else -6e4
    x = lang.select(kept, x, lowest)
    top = stop_gradient(lang.reduce_max(x, (1,), True))
    sums = lang.reduce_sum(lang.select(kept, lang.exp(lang.sub(x, top)), 0.0), (1,), True)
    return lang.add(lang.log(lang.maximum(sums, 1e-7)), top)


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """Circle loss of embeddings: similarities are weighted by how far they are from their optimum.

    Args:
        y_true: integer labels, `(batch,)` or `(batch, 1)`.
        y_pred: embeddings of length 1, `(batch, size)`.
        ref_labels: labels of the embeddings to compare with; `y_true` by default.
        ref_embeddings: embeddings to compare with, `(references, size)`; `y_pred` by default.
        remove_diagonal: whether the embedding of the same row is left out of its own class.
        gamma: scale of the similarities.
        margin: how far similarities may stay from their optimum.

    Returns:
        The losses, `(batch,)`; 0 for a row whose class, or whose other classes, are not there.

    Example:
        >>> import numpy as np
        >>> circle([0, 0, 1], np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
        [0.0, 0.0, 0.0]

    Reference:
        Y. Sun et al., "Circle loss: a unified perspective of pair similarity optimization", 2020.
    """
    y_pred, labels = floating(y_pred), _labels(y_true)
    others = labels if ref_labels is None else _labels(ref_labels)
    references = y_pred if ref_embeddings is None else to_tensor(ref_embeddings, y_pred.dtype)
    similarity = lang.minimum(matmul(y_pred, lang.transpose(references, (1, 0))), 1.0)
    rows, columns = (-1, 1), (1, -1)
    same = lang.eq(lang.reshape(labels, rows), lang.reshape(others, columns))
    different = lang.bitwise_xor(same, True)
    if remove_diagonal:
        shape = tuple(same.shape)
        same = lang.bitwise_and(
            same, lang.ne(lang.iota(shape, 0, "int32"), lang.iota(shape, 1, "int32"))
        )
    near = lang.maximum(lang.sub(1.0 + margin, similarity), 0.0)
    far = lang.maximum(lang.add(similarity, margin), 0.0)
    attract = lang.mul(lang.mul(near, lang.sub(1.0 - margin, similarity)), float(gamma))
    repel = lang.mul(lang.mul(far, lang.sub(similarity, margin)), float(gamma))
    losses = softplus_c(lang.add(_log_sum_exp(attract, same), _log_sum_exp(repel, different)))
    both = lang.bitwise_and(
        lang.reduce_max(same, (1,), True), lang.reduce_max(different, (1,), True)
    )
    losses = squeeze_last(lang.select(both, losses, 0.0))
    # Rows without a pair don't count in a Loss's mean.
    set_keras_mask(losses, squeeze_last(both))
    return losses


class Circle(NamedLoss):
    """Circle loss of embeddings: one class together, different classes apart.

    Args:
        gamma: scale of the similarities.
        margin: how far similarities may stay from their optimum.
        remove_diagonal: whether an embedding is left out of its own class.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> Circle()([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).item()
        0.0

    Reference:
        Y. Sun et al., "Circle loss: a unified perspective of pair similarity optimization", 2020.
    """

    _shown = ("gamma", "margin", "remove_diagonal")
    _casts_targets = False

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle,
            reduction,
            name,
            dtype,
            remove_diagonal=remove_diagonal,
            gamma=gamma,
            margin=margin,
        )
        self.gamma = gamma
        self.margin = margin
        self.remove_diagonal = remove_diagonal
