"""`Bidirectional`: a recurrent layer in both directions of time."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.base import serialization
from kbackend.layers.layer import Layer
from kbackend.layers.recurrent.rnn import RNN

_MERGE_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Layer):
    """Runs a recurrent layer forwards and another one backwards, and merges their outputs.

    Args:
        layer: an `RNN`, `LSTM`, `GRU`, ..., or another layer with their attributes.
        merge_mode: "concat", "sum", "mul", "ave", or `None` for both outputs in a list.
        weights: initial weights, forward ones first.
        backward_layer: layer for the other direction; by default like `layer`.

    Call arguments:
        sequences: tensor `(batch, time, features)`.
        initial_state: list of the forward and the backward layer's states.
        mask: bool tensor `(batch, time)`.
        training: whether to drop.

    Raises:
        ValueError: a layer is no recurrent one, the two do not fit together, or the mode is none.

    Example:
        >>> import numpy as np
        >>> import kbackend as keras
        >>> Bidirectional(keras.layers.GRU(4))(np.ones((2, 5, 3))).shape
        (2, 8)

    Reference:
        M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
        Signal Processing 45(11), 1997.
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        for name, one in (("layer", layer), ("backward_layer", backward_layer)):
            if one is not None and not isinstance(one, Layer):
                raise ValueError(f"[Bidirectional] '{name}' must be a Layer. Received: {one!r}.")
        if merge_mode not in _MERGE_MODES:
            raise ValueError(
                f"[Bidirectional] 'merge_mode' must be one of {_MERGE_MODES}. Received: "
                f"merge_mode={merge_mode!r}."
            )
        for needed in ("go_backwards", "return_sequences", "return_state", "stateful"):
            if not hasattr(layer, needed):
                raise ValueError(
                    "[Bidirectional] 'layer' must be a recurrent layer, with 'go_backwards', "
                    "'return_sequences', 'return_state' and 'stateful'. Received: "
                    f"layer={layer!r}."
                )
        super().__init__(**kwargs)
        # Two layers of its own: that of the caller stays as it is.
        config = serialization.serialize(layer)
        config["config"]["name"] = "forward_" + layer.name.removeprefix("forward_")
        self.forward_layer = serialization.deserialize(config)
        if backward_layer is None:
            config = serialization.serialize(layer)
            inner = config["config"]
            inner["go_backwards"] = not layer.go_backwards
            inner["name"] = "backward_" + layer.name.removeprefix("forward_")
            self.backward_layer = serialization.deserialize(config)
        else:
            self.backward_layer = backward_layer
        self._check_pair()
        if layer.return_sequences:
            # Turned around, masked steps come first: what stands there must not depend on that.
            self.forward_layer.zero_output_for_mask = True
            self.backward_layer.zero_output_for_mask = True
        self._initial_weights = weights
        self.merge_mode = merge_mode
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec

    def _check_pair(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "[Bidirectional] the layers must run in opposite directions. Received: "
                f"go_backwards={forward.go_backwards} for both."
            )
        for name in ("stateful", "return_sequences", "return_state"):
            a, b = getattr(forward, name), getattr(backward, name)
            if a != b:
                raise ValueError(
                    f"[Bidirectional] the layers must have equal '{name}'. Received: {a} for the "
                    f"forward layer and {b} for the backward layer."
                )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds both layers."""
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)
                layer.built = True
        if self._initial_weights:
            self.set_weights(self._initial_weights)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None
    ) -> Any:
        """The merged output, then the states if they are to be returned."""
        kwargs = {}
        if self.forward_layer._call_signature.has_training:
            kwargs["training"] = training
        if self.forward_layer._call_signature.has_mask:
            kwargs["mask"] = mask
        first, second = {}, {}
        if initial_state is not None:
            half = len(initial_state) // 2
            if half * 2 != len(initial_state):
                raise ValueError(
                    "[Bidirectional] 'initial_state' must hold as many states for the backward "
                    f"layer as for the forward layer. Received {len(initial_state)} states."
                )
            first["initial_state"] = list(initial_state[:half])
            second["initial_state"] = list(initial_state[half:])
        y = self.forward_layer(sequences, **first, **kwargs)
        z = self.backward_layer(sequences, **second, **kwargs)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = tuple(y[1:]) + tuple(z[1:])
            y, z = y[0], z[0]
        if self.return_sequences:
            z = ops.flip(z, axis=1)
        if self.merge_mode is None:
            merged: Any = (y, z)
        elif self.merge_mode == "concat":
            merged = ops.concatenate([y, z], axis=-1)
        elif self.merge_mode == "mul":
            merged = ops.multiply(y, z)
        else:
            merged = ops.add(y, z)
            if self.merge_mode == "ave":
                merged = ops.divide(merged, 2)
        merged = (
            tuple(ops.cast(x, self.compute_dtype) for x in merged)
            if isinstance(merged, tuple)
            else ops.cast(merged, self.compute_dtype)
        )
        if not self.return_state:
            return merged
        return (*merged, *states) if self.merge_mode is None else (merged, *states)

    @property
    def states(self) -> Any:
        """The states of both layers, if they are stateful and built."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        if forward is None or backward is None:
            return None
        return tuple([*forward, *backward])

    def reset_state(self) -> None:
        """Sets the states of both layers to zero.

        Raises:
            AttributeError: they are not stateful.
        """
        if not self.stateful:
            raise AttributeError(f"[{self.name}] is not stateful: it has no state to reset.")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        """The same as `reset_state`."""
        self.reset_state()

    def compute_mask(self, _: Any, mask: Any) -> Any:
        """The mask, for all time steps; none for last outputs and states."""
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        own = mask if self.return_sequences else None
        masks = (own, own) if self.merge_mode is None else own
        if not self.return_state or mask is None:
            return masks
        if not isinstance(self.forward_layer, RNN):
            return masks
        count = len(self.forward_layer.compute_mask(None, mask)) - 1
        first = masks if isinstance(masks, tuple) else (masks,)
        return [*first, *[None] * (2 * count)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialization.serialize(self.forward_layer),
            "backward_layer": serialization.serialize(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A layer from `get_config`'s answer."""
        config = dict(config)
        layer = serialization.deserialize(config.pop("layer"), custom_objects)
        backward = config.pop("backward_layer", None)
        if backward is not None:
            backward = serialization.deserialize(backward, custom_objects)
        return cls(layer, backward_layer=backward, **config)
