"""`Attention`: dot product attention, in the style of Luong."""

from __future__ import annotations

from typing import Any

from kbackend import ops, random
from kbackend.core.convert import to_tensor
from kbackend.layers.arguments import probability
from kbackend.layers.layer import Layer
from kbackend.state.seed import SeedGenerator


class Attention(Layer):
    """Values averaged by how well their keys match a query.

    Args:
        use_scale: whether the scores are multiplied by a trained scalar.
        score_mode: "dot" for the product of query and key, "concat" for the sum of tanh of their
            sum (the query and the key of a pair are both scaled, with `use_scale`).
        dropout: part of the scores to drop while training.
        seed: seed of the dropout.

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
        >>> Attention()([np.ones((1, 2, 4)), np.ones((1, 3, 4))]).shape
        (1, 2, 4)

    Reference:
        M.-T. Luong, H. Pham, C. D. Manning, "Effective approaches to attention-based neural machine
        translation", EMNLP 2015.
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"[{type(self).__name__}] 'score_mode' must be 'dot' or 'concat'. Received: "
                f"score_mode={score_mode!r}."
            )
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = probability(type(self).__name__, "dropout", dropout)
        self.seed = seed
        if self.dropout > 0:
            self.seed_generator = SeedGenerator(seed)
        self.scale: Any = None
        self.concat_score_weight: Any = None
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Makes the scales."""
        self._check_inputs(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )

    def _check_inputs(self, inputs: Any, mask: Any = None) -> None:
        name = type(self).__name__
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(
                f"[{name}] must be called on a list [query, value] or [query, value, key]. "
                f"Received: inputs={inputs!r}."
            )
        if mask is not None and (
            not isinstance(mask, (list, tuple)) or not 2 <= len(mask) <= len(inputs)
        ):
            raise ValueError(
                f"[{name}] 'mask' must be a list [query_mask, value_mask], one mask for each "
                f"input at most. Received: mask={mask!r}."
            )

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        """Scores `(batch, queries, keys)`."""
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
            return scores if self.scale is None else scores * self.scale.read()
        total = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
        if self.scale is not None:
            total = total * self.scale.read()
        return self.concat_score_weight.read() * ops.sum(ops.tanh(total), axis=-1)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The averages `(batch, queries, value size)`, and maybe the weights."""
        self._check_inputs(inputs, mask)
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask = None if mask is None else mask[0]
        value_mask = None if mask is None else mask[1]
        scores = self._calculate_scores(query, key)
        seen = self._seen(scores, value_mask, use_causal_mask)
        if seen is not None:
            # Far below all scores, also where half precision ends.
            penalty = 65504.0 if scores.dtype == "float16" else 1e9
            scores = scores - penalty * ops.cast(ops.logical_not(seen), scores.dtype)
        weights = ops.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, seed=self.seed_generator)
        result = ops.matmul(weights, value)
        if query_mask is not None:
            shown = ops.expand_dims(ops.cast(to_tensor(query_mask), result.dtype), -1)
            result = result * shown
        return (result, weights) if return_attention_scores else result

    def _seen(self, scores: Any, value_mask: Any, causal: bool) -> Any:
        """Which keys each query may look at, or `None` for all."""
        seen = None
        if value_mask is not None:
            seen = ops.expand_dims(ops.cast(to_tensor(value_mask), "bool"), -2)
        if causal:
            ones = ops.ones_like(scores[:1], dtype="int32")
            before = ops.greater_equal(ops.cumsum(ones, axis=-2), ops.cumsum(ones, axis=-1))
            seen = before if seen is None else ops.logical_and(seen, before)
        return seen

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The query's mask."""
        if mask is None or not isinstance(mask, (list, tuple)) or mask[0] is None:
            return None
        return to_tensor(mask[0])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
        }
