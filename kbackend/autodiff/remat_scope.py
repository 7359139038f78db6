"""`RematScope`: which layers compute their intermediate values again for the gradient."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

_MODES = ("full", "activations", "larger_than", "list_of_layers", None)
_scope: ContextVar[RematScope | None] = ContextVar("kbackend_remat", default=None)
current_remat_scope = _scope.get


class RematScope:
    """Layers made inside save memory: their intermediate values are not kept for the gradient.

    Args:
        mode: "full" (all layers), "activations" (layers with an activation), "larger_than" (layers
            whose output has more than `output_size_threshold` elements), "list_of_layers" (those
            named in `layer_names`), or `None` for none.
        output_size_threshold: elements, for "larger_than".
        layer_names: names, for "list_of_layers".

    Raises:
        ValueError: the mode is unknown.

    Example:
        >>> import kbackend as keras
        >>> with RematScope("full"):
        ...     layer = keras.layers.Dense(8)

    Reference:
        T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174.
    """

    def __init__(
        self, mode: str | None = "full", output_size_threshold: int = 1024, layer_names: Any = None
    ) -> None:
        if mode not in _MODES:
            raise ValueError(
                f"[RematScope] 'mode' must be one of {_MODES}. Received: mode={mode!r}."
            )
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self) -> RematScope:
        self._token = _scope.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _scope.reset(self._token)

    def covers(self, name: str, is_activation: bool, output_size: int | None) -> bool:
        """Whether a layer is one of those that the scope is about.

        Args:
            name: the layer's name.
            is_activation: whether it applies an activation.
            output_size: elements of its output in the last call, `None` before the first.
        """
        if self.mode == "larger_than":
            return output_size is not None and output_size > self.output_size_threshold
        if self.mode == "activations":
            return is_activation
        return self.mode == "full" or (self.mode == "list_of_layers" and name in self.layer_names)
