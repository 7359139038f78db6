"""`Embedding`: vectors for integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend import constraints, initializers, ops, regularizers
from kbackend.layers.arguments import positive_int
from kbackend.layers.core.low_rank import LowRank

_INDEX_DTYPES = frozenset(("int32", "int64"))


class Embedding(LowRank):
    """A vector for each of the integers below `input_dim`.

    Args:
        input_dim: number of vectors.
        output_dim: size of each vector.
        embeddings_initializer: initializer of the vectors, `(input_dim, output_dim)`.
        embeddings_regularizer: regularizer of the vectors.
        embeddings_constraint: constraint of the vectors.
        mask_zero: whether 0 stands for a missing step, which later layers skip.
        weights: initial value of the vectors, in place of the initializer.
        lora_rank: rank of an adapter beside the vectors, which are frozen then; none by default.
        lora_alpha: the adapter is scaled by `lora_alpha / lora_rank`; `lora_rank` by default.
        quantization_config: accepted for compatibility, must be `None`.

    Raises:
        ValueError: a size is not a positive integer, or `weights` has another shape.

    Example:
        >>> import numpy as np
        >>> Embedding(10, 4)(np.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    _adapted = "embeddings"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        length = kwargs.pop("input_length", None)
        super().__init__(**kwargs)
        if length is not None and self._given_shape is None:
            # How Keras 2 said what a model that starts with this layer receives.
            steps = length if isinstance(length, (list, tuple)) else (length,)
            self._given_shape = (None, *steps)
        kind = type(self).__name__
        self.input_dim = positive_int(kind, "input_dim", input_dim)
        self.output_dim = positive_int(kind, "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        # Indices that come as floats must not lose digits to a smaller dtype.
        self.autocast = False
        self._configure_lora(lora_rank, lora_alpha, quantization_config)
        if weights is not None:
            value = weights[0] if isinstance(weights, (list, tuple)) else weights
            if np.shape(value) != (self.input_dim, self.output_dim):
                raise ValueError(
                    f"[{kind}] 'weights' must have the shape {(self.input_dim, self.output_dim)}. "
                    f"Received an array of shape {np.shape(value)}."
                )
            self.build()
            self._embeddings.assign(value)

    def build(self, input_shape: Any = None) -> None:
        """Makes the vectors."""
        if self.built:
            return
        self._embeddings = self.add_weight(
            name="embeddings", shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer, regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )  # fmt: skip
        self._build_lora()

    @property
    def embeddings(self) -> Any:
        """The vectors: a variable, or the sum of the frozen one and its adapter."""
        return self._adapted_weight()

    def call(self, inputs: Any) -> Any:
        """The vectors of the integers."""
        if inputs.dtype not in _INDEX_DTYPES:
            inputs = ops.cast(inputs, "int32")
        dtype = self.compute_dtype
        if not self.lora_enabled:
            found = ops.take(self._embeddings.read(), inputs, axis=0)
        else:
            # Only the rows that are asked for are multiplied.
            a, b = (factor.read() for factor in self._factors)
            rows = ops.take(self._embeddings.read(), inputs, axis=0)
            added = ops.matmul(ops.take(a, inputs, axis=0), b)
            found = ops.add(rows, ops.multiply(added, self.lora_alpha / self.lora_rank))
        return found if found.dtype == dtype else ops.cast(found, dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Where the integers are not 0, if that means a missing step."""
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
        }
