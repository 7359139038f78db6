"""`AdditiveAttention`: attention in the style of Bahdanau."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.layers.arguments import known_dim
from kbackend.layers.attention.attention import Attention


class AdditiveAttention(Attention):
    """Values averaged by `sum(scale * tanh(query + key))`.

    Args:
        use_scale: whether there is a trained scale for each feature.
        dropout: part of the scores to drop while training.

    Call arguments:
        inputs: list of query `(batch, queries, size)`, value `(batch, keys, value size)` and key
            `(batch, keys, size)`; the value is the key by default.
        mask: list of the query's mask `(batch, queries)` and the value's `(batch, keys)`.
        training: whether to drop.
        return_attention_scores: whether to return the weights of the average too.
        use_causal_mask: whether a query sees values up to its own position only.

    Raises:
        ValueError: an argument has a wrong value, or the inputs are no list of 2 or 3 tensors.

    Example:
        >>> import numpy as np
        >>> AdditiveAttention()([np.ones((1, 2, 4)), np.ones((1, 3, 4))]).shape
        (1, 2, 4)

    Reference:
        D. Bahdanau, K. Cho, Y. Bengio, "Neural machine translation by jointly learning to align
        and translate", ICLR 2015.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Makes the scale."""
        self._check_inputs(input_shape)
        if self.use_scale:
            size = known_dim("AdditiveAttention", input_shape[0], -1)
            self.scale = self.add_weight(name="scale", shape=(size,), initializer="glorot_uniform")

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        total = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))
        if self.scale is not None:
            total = total * self.scale.read()
        return ops.sum(total, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["score_mode"]
        return config
