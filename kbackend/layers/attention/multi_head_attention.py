"""`MultiHeadAttention`."""

from __future__ import annotations

import string
from math import prod, sqrt
from typing import Any

from kbackend import constraints, initializers, ops, regularizers
from kbackend.layers.activations.softmax import Softmax
from kbackend.layers.arguments import positive_int
from kbackend.layers.attention.heads import PARTS, Heads, as_mask, positions, rows_and_columns
from kbackend.layers.core.einsum_dense import EinsumDense
from kbackend.layers.regularization.dropout import Dropout

_LETTERS = string.ascii_lowercase


class MultiHeadAttention(Heads):
    """Attention with several heads: projections of the inputs attend to each other.

    Args:
        num_heads: number of heads.
        key_dim: size of a head's queries and keys.
        value_dim: size of a head's values; `key_dim` by default.
        dropout: part of the attention weights to drop while training.
        use_bias: whether the projections have biases.
        output_shape: shape of the output beyond batch and time; that of the query by default.
        attention_axes: axes over which to attend; all but the batch and the features by default.
        sliding_window: `None`, or the distance from which on keys are out of sight.
        flash_attention: `True` rules out dropout and attention scores; an engine's fused kernel
            runs wherever it can.
        kernel_initializer: initializer of the projections' kernels.
        bias_initializer: initializer of the projections' biases.
        kernel_regularizer: regularizer of the projections' kernels.
        bias_regularizer: regularizer of the projections' biases.
        activity_regularizer: regularizer of the projections' outputs.
        kernel_constraint: constraint of the projections' kernels.
        bias_constraint: constraint of the projections' biases.
        use_gate: whether the result is gated by a sigmoid of the query.
        seed: seed of the dropout.

    Call arguments:
        query: tensor `(batch, queries, ..., features)`.
        value: tensor `(batch, keys, ..., features)`.
        key: tensor like `value`, which it is by default.
        query_mask: bool tensor `(batch, queries)`: the mask of the output.
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
        >>> MultiHeadAttention(2, 4)(np.ones((1, 3, 8)), np.ones((1, 5, 8))).shape
        (1, 3, 8)

    Reference:
        A. Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
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
        super().__init__(**kwargs)
        # Of the projections, the last of which makes the output.
        self._activity_regularizer = regularizers.get(activity_regularizer)
        self._num_heads = positive_int("MultiHeadAttention", "num_heads", num_heads)
        self._key_dim = positive_int("MultiHeadAttention", "key_dim", key_dim)
        self._value_dim = (
            positive_int("MultiHeadAttention", "value_dim", value_dim) if value_dim else key_dim
        )
        self._dropout, self._sliding_window = self._configure(
            dropout, sliding_window, flash_attention, seed
        )
        self._use_bias = use_bias
        self._use_gate = use_gate
        if isinstance(output_shape, int):
            output_shape = (output_shape,)
        self._output_shape = _sizes(output_shape)
        self._kernel_initializer = initializers.get(kernel_initializer)
        self._bias_initializer = initializers.get(bias_initializer)
        self._kernel_regularizer = regularizers.get(kernel_regularizer)
        self._bias_regularizer = regularizers.get(bias_regularizer)
        self._kernel_constraint = constraints.get(kernel_constraint)
        self._bias_constraint = constraints.get(bias_constraint)
        if isinstance(attention_axes, int):
            attention_axes = (attention_axes,)
        # All but the batch and the last dimension by default, known when the layer is built.
        self._attention_axes: Any = None if attention_axes is None else tuple(attention_axes)

    # ----- what it is made of -----

    @property
    def num_heads(self) -> int:
        """Number of heads."""
        return self._num_heads

    @property
    def key_dim(self) -> int:
        """Size of a head's queries and keys."""
        return self._key_dim

    @property
    def value_dim(self) -> int:
        """Size of a head's values."""
        return self._value_dim

    @property
    def dropout(self) -> float:
        """Part of the weights that is dropped."""
        return self._dropout

    @property
    def use_bias(self) -> bool:
        """Whether the projections have biases."""
        return self._use_bias

    @property
    def attention_axes(self) -> Any:
        """Axes over which it attends."""
        return self._attention_axes

    @property
    def query_dense(self) -> Any:
        """Projection of the query."""
        return self._query_dense

    @property
    def key_dense(self) -> Any:
        """Projection of the key."""
        return self._key_dense

    @property
    def value_dense(self) -> Any:
        """Projection of the value."""
        return self._value_dense

    @property
    def output_dense(self) -> Any:
        """Projection of the result."""
        return self._output_dense

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Makes the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape)[1:-1] != tuple(key_shape)[1:-1]:
            raise ValueError(
                "[MultiHeadAttention] value and key must have equal dimensions but for the last. "
                f"Received: value_shape={tuple(value_shape)}, key_shape={tuple(key_shape)}."
            )
        heads = self._num_heads
        self._query_dense = self._projection("query", query_shape, (heads, self._key_dim))
        self._key_dense = self._projection("key", key_shape, (heads, self._key_dim))
        if self._use_gate:
            gate = self._projection("gate", query_shape, (heads, self._value_dim), "sigmoid")
            self._gate_dense = gate
        self._value_dense = self._projection("value", value_shape, (heads, self._value_dim))
        rank = len(query_shape)
        if self._attention_axes is None:
            self._attention_axes = tuple(range(1, rank - 1))
        else:
            self._attention_axes = tuple(a % rank for a in self._attention_axes)
        self._build_attention(rank + 1)
        free = rank - 1
        out = self._output_shape or (query_shape[-1],)
        # Heads and their sizes are summed over.
        head, size = _LETTERS[free], _LETTERS[free + 1]
        letters = _LETTERS[free + 2 : free + 2 + len(out)]
        equation = (
            f"{_LETTERS[:free]}{head}{size},{head}{size}{letters}->{_LETTERS[:free]}{letters}"
        )
        self._output_dense = EinsumDense(
            equation, output_shape=(*(None,) * (free - 1), *out),
            bias_axes=letters if self._use_bias else None, name="attention_output",
            activity_regularizer=self._activity_regularizer,
            **self._dense_arguments(lambda part: getattr(self, f"_{part}")),
        )  # fmt: skip
        self._output_dense.build((*query_shape[:-1], heads, self._value_dim))

    def _projection(
        self, name: str, shape: Any, sizes: tuple[int, int], activation: Any = None
    ) -> Any:
        """A dense layer from the last dimension to heads and their sizes."""
        free = len(shape) - 1
        # Keras's letters, which are part of the config.
        inputs = _LETTERS[: free + 1]
        made = _LETTERS[free + 1 : free + 3]
        dense = EinsumDense(
            f"{inputs},{inputs[-1]}{made}->{inputs[:-1]}{made}",
            output_shape=(*(None,) * (free - 1), *sizes), activation=activation,
            bias_axes=made if self._use_bias else None, name=name,
            activity_regularizer=self._activity_regularizer,
            **self._dense_arguments(lambda part: getattr(self, f"_{part}")),
        )  # fmt: skip
        # What it makes of masked steps is left out later.
        dense.supports_masking = True
        dense.build(tuple(shape))
        return dense

    def _build_attention(self, rank: int) -> None:
        """Plans the products of projections with `rank` dimensions: `(batch, ..., heads, size)`."""
        axes = self._attention_axes
        batch = tuple(i for i in range(rank) if i not in axes and i != rank - 1)
        names = list(_LETTERS[:rank])
        target = "".join(names)
        others = iter(_LETTERS[rank:])
        source = list(names)
        for axis in axes:
            source[axis] = next(others)
        scores = [names[i] for i in (*batch, *axes)] + [source[i] for i in axes]
        product = "".join(scores)
        source_names = "".join(source)
        self._dot_product_equation = f"{source_names},{target}->{product}"
        self._combine_equation = f"{product},{source_names}->{target}"
        self._inverse_sqrt_key_dim = 1.0 / sqrt(float(self._key_dim))
        last = tuple(range(len(scores) - len(axes), len(scores)))
        self._softmax = Softmax(axis=last, dtype=self.dtype_policy)
        self._dropout_layer = Dropout(self._dropout, dtype=self.dtype_policy, seed=self.seed)

    # ----- calling -----

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
                as_mask(value_mask, 1),
                as_mask(key_mask, 1),
                positions(query, value, use_causal_mask, self._sliding_window),
                as_mask(attention_mask),
            ]
        )
        q, k, v = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        result, weights = self._attend(q, k, v, seen, training, return_attention_scores)
        if self._use_gate:
            result = ops.multiply(result, self._gate_dense(query))
        output = self._output_dense(result)
        return (output, weights) if return_attention_scores else output

    def _attend(
        self, q: Any, k: Any, v: Any, mask: Any, training: Any, want_weights: bool
    ) -> tuple[Any, Any]:
        if self._flash_attention and want_weights:
            raise self._no_scores()
        if mask is not None:
            # The axes between the batch and those attended to: the heads, and others.
            missing = len(q.shape) - 1 - len(self._attention_axes) - 1
            for _ in range(missing):
                if len(mask.shape) < len(q.shape) - 1 + len(self._attention_axes):
                    mask = ops.expand_dims(mask, 1)
        if not (self._dropout > 0 or want_weights or len(q.shape) != 4):
            result = ops.dot_product_attention(
                q, k, v, mask=mask, scale=self._inverse_sqrt_key_dim,
                flash_attention=self._flash_attention,
            )  # fmt: skip
            return result, None
        q = ops.multiply(q, self._inverse_sqrt_key_dim)
        weights = self._softmax(ops.einsum(self._dot_product_equation, k, q), mask=mask)
        dropped = self._dropout_layer(weights, training=training) if self._dropout > 0 else weights
        return ops.einsum(self._combine_equation, dropped, v), weights

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config: dict[str, Any] = {
            **super().get_config(),
            "num_heads": self._num_heads,
            "key_dim": self._key_dim,
            "value_dim": self._value_dim,
            "dropout": self._dropout,
            "use_bias": self._use_bias,
            "use_gate": self._use_gate,
            "output_shape": self._output_shape,
            "attention_axes": self._attention_axes,
            "sliding_window": self._sliding_window,
            "activity_regularizer": regularizers.serialize(self._activity_regularizer),
            "seed": self.seed,
        }
        for part, module in PARTS:
            config[part] = module.serialize(getattr(self, f"_{part}"))
        return config


def _sizes(shape: Any) -> tuple[int, ...] | None:
    if shape is None:
        return None
    try:
        sizes = tuple(int(d) for d in shape)
    except (TypeError, ValueError):
        sizes = ()
    if not sizes or prod(sizes) <= 0:
        raise ValueError(
            "[MultiHeadAttention] 'output_shape' must be a positive integer or a tuple of them. "
            f"Received: output_shape={shape!r}."
        )
    return sizes
