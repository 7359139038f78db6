"""`GroupQueryAttention`: heads of queries that share keys and values."""

from __future__ import annotations

from math import sqrt
from typing import Any

from kbackend import constraints, initializers, ops, regularizers
from kbackend.base.naming import auto_name
from kbackend.layers.activations.softmax import Softmax
from kbackend.layers.arguments import known_dim, positive_int
from kbackend.layers.attention.heads import PARTS, Heads, as_mask, positions, rows_and_columns
from kbackend.layers.core.einsum_dense import EinsumDense
from kbackend.layers.regularization.dropout import Dropout


class GroupQueryAttention(Heads):
    """Attention with several heads, of which groups share a head of keys and values.

    Args:
        head_dim: size of a head.
        num_query_heads: number of heads.
        num_key_value_heads: number of heads of keys and values; divides `num_query_heads`.
        dropout: part of the attention weights to drop while training.
        use_bias: whether the projections have biases.
        sliding_window: `None`, or the distance from which on keys are out of sight.
        flash_attention: `True` rules out dropout and attention scores; an engine's fused kernel
            runs wherever it can.
        kernel_initializer: initializer of the projections' kernels.
        bias_initializer: initializer of the projections' biases.
        kernel_regularizer: regularizer of the projections' kernels.
        bias_regularizer: regularizer of the projections' biases.
        activity_regularizer: regularizer of the output, and of the projections' outputs.
        kernel_constraint: constraint of the projections' kernels.
        bias_constraint: constraint of the projections' biases.
        use_gate: whether the result is gated by a sigmoid of the query.
        seed: seed of the dropout.

    Call arguments:
        query: tensor `(batch, queries, features)`.
        value: tensor `(batch, keys, features)`.
        key: tensor like `value`, which it is by default.
        query_mask: bool tensor `(batch, queries)`.
        value_mask: bool tensor `(batch, keys)`.
        key_mask: bool tensor `(batch, keys)`.
        attention_mask: bool tensor `(batch, queries, keys)`.
        return_attention_scores: whether to return the weights `(batch, heads, queries, keys)` too.
        training: whether to drop.
        use_causal_mask: whether a query sees keys up to its own position only.

    Raises:
        ValueError: an argument has a wrong value, or the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> layer = GroupQueryAttention(8, num_query_heads=4, num_key_value_heads=2)
        >>> layer(np.ones((1, 3, 6)), np.ones((1, 5, 6))).shape
        (1, 3, 6)

    Reference:
        J. Ainslie et al., "GQA: training generalized multi-query transformer models from multi-head
        checkpoints", EMNLP 2023.
    """

    # Keras's name for the class inside, which default names and weight files go by.
    _saved_as = "GroupedQueryAttention"

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("name") is None:
            kwargs["name"] = auto_name(self._saved_as)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        name = "GroupQueryAttention"
        self.head_dim = positive_int(name, "head_dim", head_dim)
        self.num_query_heads = positive_int(name, "num_query_heads", num_query_heads)
        self.num_key_value_heads = positive_int(name, "num_key_value_heads", num_key_value_heads)
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                f"[{name}] 'num_query_heads' must be a multiple of 'num_key_value_heads'. "
                f"Received: {num_query_heads} and {num_key_value_heads}."
            )
        self.num_repeats = num_query_heads // num_key_value_heads
        self.dropout, self.sliding_window = self._configure(
            dropout, sliding_window, flash_attention, seed
        )
        self.use_bias = use_bias
        self.use_gate = use_gate
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self._inverse_sqrt_head_dim = 1.0 / sqrt(float(head_dim))

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Makes the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        for name, shape in (("query", query_shape), ("value", value_shape), ("key", key_shape)):
            if len(shape) != 3:
                raise ValueError(
                    f"[GroupQueryAttention] the {name} must have 3 dimensions. Received: "
                    f"{name}_shape={tuple(shape)}."
                )
        many, few = (self.num_query_heads, self.head_dim), (self.num_key_value_heads, self.head_dim)
        self.feature_dim = known_dim("GroupQueryAttention", query_shape, -1)
        self._query_dense = self._projection("query", "bqm,muh->bquh", query_shape, many, "uh")
        self._key_dense = self._projection("key", "bkm,mvh->bkvh", key_shape, few, "vh")
        if self.use_gate:
            self._gate_dense = self._projection(
                "gate", "bqm,muh->bquh", query_shape, many, "uh", "sigmoid"
            )
        self._value_dense = self._projection("value", "bkm,mvh->bkvh", value_shape, few, "vh")
        self._softmax = Softmax(axis=-1, dtype=self.dtype_policy)
        self._dropout_layer = Dropout(self.dropout, dtype=self.dtype_policy, seed=self.seed)
        self._dot_product_equation = "bquh,bkuh->buqk"
        self._combine_equation = "buqk,bkuh->bquh"
        self._output_dense = self._projection(
            "attention_output",
            "bquh,uhm->bqm",
            (*query_shape[:-1], *many),
            (self.feature_dim,),
            "m",
        )

    def _projection(
        self,
        name: str,
        equation: str,
        shape: Any,
        sizes: Any,
        bias_axes: str,
        activation: Any = None,
    ) -> Any:
        dense = EinsumDense(
            equation, output_shape=(None, *sizes), activation=activation,
            bias_axes=bias_axes if self.use_bias else None, name=name,
            activity_regularizer=self.activity_regularizer,
            **self._dense_arguments(lambda part: getattr(self, part)),
        )  # fmt: skip
        # What it makes of masked steps is left out later.
        dense.supports_masking = True
        dense.build(tuple(shape))
        return dense

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """The output, and maybe the weights of attention."""
        key = value if key is None else key
        seen = rows_and_columns(
            [
                as_mask(query_mask, -1),
                as_mask(value_mask, 1),
                as_mask(key_mask, 1),
                positions(query, value, use_causal_mask, self.sliding_window),
                as_mask(attention_mask),
            ]
        )
        q, k, v = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        result, weights = self._attend(q, k, v, seen, training, return_attention_scores)
        if self.use_gate:
            result = ops.multiply(result, self._gate_dense(query))
        output = self._output_dense(result)
        return (output, weights) if return_attention_scores else output

    def _attend(
        self, q: Any, k: Any, v: Any, mask: Any, training: Any, want_weights: bool
    ) -> tuple[Any, Any]:
        if self._flash_attention and want_weights:
            raise self._no_scores()
        if mask is not None and len(mask.shape) == 3:
            mask = ops.expand_dims(mask, 1)
        if not self.dropout > 0 and not want_weights:
            result = ops.dot_product_attention(
                q, k, v, mask=mask, scale=self._inverse_sqrt_head_dim,
                flash_attention=self._flash_attention,
            )  # fmt: skip
            return result, None
        k = ops.repeat(k, self.num_repeats, axis=2)
        v = ops.repeat(v, self.num_repeats, axis=2)
        q = ops.multiply(q, self._inverse_sqrt_head_dim)
        weights = self._softmax(ops.einsum(self._dot_product_equation, q, k), mask=mask)
        dropped = self._dropout_layer(weights, training=training) if self.dropout > 0 else weights
        return ops.einsum(self._combine_equation, dropped, v), weights

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config: dict[str, Any] = {
            **super().get_config(),
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "sliding_window": self.sliding_window,
            "dropout": self.dropout,
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "seed": self.seed,
        }
        for part, module in PARTS:
            config[part] = module.serialize(getattr(self, part))
        return config
