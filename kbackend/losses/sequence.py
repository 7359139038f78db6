"""Connectionist temporal classification: sequences whose alignment with the labels is unknown."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.losses.wrapper import NamedLoss
from kbackend.ops.nn.ctc import ctc_loss
from kbackend.ops.numpy.common import floating


def ctc(y_true: Any, y_pred: Any) -> Any:
    """Negative logarithm of the probability of a label sequence, over all its alignments.

    Args:
        y_true: integer labels, `(batch, labels)`; 0 stands for the blank and pads short ones.
        y_pred: logits, `(batch, steps, classes)`.

    Returns:
        The losses, `(batch,)`.

    Raises:
        ValueError: the shapes are others.

    Example:
        >>> import numpy as np
        >>> ctc([[1]], np.zeros((1, 1, 2))).tolist()
        [0.693]

    Reference:
        A. Graves et al., "Connectionist temporal classification: labelling unsegmented sequence
        data with recurrent neural networks", 2006.
    """
    labels, logits = lang.cast(to_tensor(y_true), "int32"), floating(y_pred)
    for name, x, shape in (
        ("y_true", labels, "(batch, labels)"),
        ("y_pred", logits, "(batch, steps, classes)"),
    ):
        if len(x.shape) != shape.count(",") + 1:
            raise ValueError(
                f"[ctc] '{name}' must have the shape {shape}. Received: {name}.shape="
                f"{tuple(x.shape)}."
            )
    label_lengths = lang.reduce_sum(lang.cast(lang.ne(labels, 0), "int32"), (1,))
    steps = lang.full((labels.shape[0],), logits.shape[1], "int32")
    return ctc_loss(labels, logits, label_lengths, steps, mask_index=0)


class CTC(NamedLoss):
    """Connectionist temporal classification: the likelihood of labels over all alignments.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> import numpy as np
        >>> CTC()([[1]], np.zeros((1, 1, 2))).item()
        0.693

    Reference:
        A. Graves et al., "Connectionist temporal classification: labelling unsegmented sequence
        data with recurrent neural networks", 2006.
    """

    _casts_targets = False

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "ctc",
        dtype: Any = None,
    ) -> None:
        super().__init__(ctc, reduction, name, dtype)
