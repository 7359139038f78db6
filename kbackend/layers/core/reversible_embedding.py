"""`ReversibleEmbedding`."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.base.dtypes import standardize_dtype
from kbackend.layers.core.embedding import Embedding
from kbackend.ops.keras_tensor import KerasTensor


class ReversibleEmbedding(Embedding):
    """An embedding that also leads back: from vectors to a score for each integer.

    Args:
        input_dim: number of vectors.
        output_dim: size of each vector.
        tie_weights: whether the way back uses the same weights, transposed.
        embeddings_initializer: initializer of the vectors, `(input_dim, output_dim)`.
        embeddings_regularizer: regularizer of the vectors.
        embeddings_constraint: constraint of the vectors.
        mask_zero: whether 0 stands for a missing step, which later layers skip.
        reverse_dtype: dtype of the computation of the way back; the compute dtype by default.
        logit_soft_cap: the scores are squashed to `cap * tanh(score / cap)`; not by default.

    Example:
        >>> import numpy as np
        >>> layer = ReversibleEmbedding(10, 4)
        >>> layer(layer(np.array([[1, 2, 3]])), reverse=True).shape
        (1, 3, 10)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.__dict__["tie_weights"] = tie_weights  # `build` may be called by the constructor
        super().__init__(
            input_dim, output_dim, embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint, mask_zero=mask_zero, **kwargs,
        )  # fmt: skip
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap
        self._reverse_dtype = None if reverse_dtype is None else standardize_dtype(reverse_dtype)

    def build(self, input_shape: Any = None) -> None:
        """Makes the vectors, and those of the way back."""
        if self.built:
            return
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings", shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )  # fmt: skip

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """The vectors of the integers; with `reverse`, the scores of all integers for vectors."""
        if not reverse:
            return super().call(inputs)
        dtype = self._reverse_dtype or self.compute_dtype
        if self.tie_weights:
            kernel = ops.transpose(self.embeddings)
        else:
            kernel = self.reverse_embeddings.read()
        logits = ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype))
        cap = self.logit_soft_cap
        if cap is None:
            return logits
        return ops.multiply(ops.tanh(ops.divide(logits, cap)), cap)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Where the integers are not 0, if that means a missing step; vectors keep their mask."""
        if inputs.dtype in ("float32", "float16", "bfloat16", "float64"):
            return previous_mask
        return super().compute_mask(inputs, previous_mask)

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        """Shape of the output for the given input shape."""
        if reverse:
            return (*tuple(input_shape)[:-1], self.input_dim)
        return (*tuple(input_shape), self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> Any:
        """KerasTensor with the shape and dtype of the output."""
        dtype = (self._reverse_dtype or self.compute_dtype) if reverse else self.compute_dtype
        return KerasTensor(self.compute_output_shape(inputs.shape, reverse), dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }
