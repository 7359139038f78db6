"""`RNN`: runs a cell over the time steps of a sequence."""

from __future__ import annotations

from typing import Any

from kbackend.base import serialization, tree
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.layers.layer import Layer
from kbackend.layers.recurrent.scan import scan
from kbackend.layers.recurrent.stacked_cells import StackedRNNCells
from kbackend.state.variable import Variable


class RNN(Layer):
    """Runs a cell, or a stack of cells, over a sequence.

    A cell is a layer with `call(inputs, states) -> (output, states)`, a `state_size` (an integer or
    a list of them), and, if it likes, an `output_size` and a `get_initial_state(batch_size)`.

    Args:
        cell: the cell, or a list of cells to stack.
        return_sequences: whether to return the outputs of all time steps, or the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to run from the last time step to the first. The outputs are in the
            order in which they were made.
        stateful: whether the last states of a batch are the initial ones of the next.
        unroll: whether a compiled step has every time step by itself in place of a loop; it also
            tells how a mask acts.
        zero_output_for_mask: whether the outputs of masked time steps are zero.

    Call arguments:
        sequences: tensor `(batch, time, features)`.
        initial_state: list of tensors; zeros by default.
        mask: bool tensor `(batch, time)`; false time steps are skipped.
        training: whether to drop.

    Raises:
        ValueError: the cell has no `call` or no `state_size`.

    Example:
        >>> import numpy as np
        >>> import kbackend as keras
        >>> layer = RNN([keras.layers.LSTMCell(4), keras.layers.GRUCell(2)], return_sequences=True)
        >>> layer(np.ones((1, 5, 3))).shape
        (1, 5, 2)
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        for needed in ("call", "state_size"):
            if not hasattr(cell, needed):
                raise ValueError(f"[RNN] 'cell' must have '{needed}'. Received: cell={cell!r}.")
        super().__init__(**kwargs)
        self.zero_output_for_mask = zero_output_for_mask
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.supports_masking = True
        self.state_size = cell.state_size
        self.single_state = not isinstance(cell.state_size, (list, tuple))
        self._hold(None)

    # ----- states -----

    def _hold(self, states: Any) -> None:
        # Neither weights nor saved: the tracker must not see them.
        object.__setattr__(self, "states", states)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell, and makes the states of a stateful layer."""
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
            self.cell.built = True
        if self.stateful:
            if self.states is not None:
                self.reset_state()
                return
            if sequences_shape[0] is None:
                raise ValueError(
                    "[RNN] a stateful layer needs to know the batch size. Received: "
                    f"sequences_shape={tuple(sequences_shape)}. Give the model's Input a "
                    "batch_size, or set stateful=False."
                )
            initial = self.get_initial_state(sequences_shape[0])
            self._hold(
                tree.map_structure(
                    lambda x: Variable(x, trainable=False, name="rnn_state"), initial
                )
            )

    def get_initial_state(self, batch_size: Any) -> Any:
        """The states to begin with: a list."""
        get = getattr(self.cell, "get_initial_state", None)
        if get is not None:
            states = get(batch_size=batch_size)
        else:
            dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
            sizes = [self.state_size] if self.single_state else self.state_size
            states = [lang.zeros((batch_size, size), dtype) for size in sizes]
        return list(states) if isinstance(states, (list, tuple)) else [states]

    def reset_state(self) -> None:
        """Sets the states of a stateful layer to zero."""
        if self.states is not None:
            for state in tree.flatten(self.states):
                state.assign(lang.zeros(tuple(state.shape), state.dtype))

    def reset_states(self) -> None:
        """The same as `reset_state`."""
        self.reset_state()

    # ----- calling -----

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """The output, and the states if they are to be returned."""
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        if mask is not None:
            mask = lang.cast(to_tensor(mask), "bool")
            if len(mask.shape) > 2:
                mask = lang.reshape(mask, tuple(mask.shape[:2]))
        states = self._begin(sequences, initial_state)
        self._forget_masks()
        output, states = self.inner_loop(sequences, states, mask, training)
        self._forget_masks()
        if self.stateful:
            for old, new in zip(tree.flatten(self.states), tree.flatten(states), strict=True):
                old.assign(new)
        output = lang.cast(output, self.compute_dtype)
        return (output, *states) if self.return_state else output

    def _begin(self, sequences: Any, initial_state: Any) -> Any:
        """The initial states as a list."""
        if initial_state is None:
            if self.stateful:
                return tree.map_structure(lambda v: v.read(), self.states)
            return self.get_initial_state(sequences.shape[0])
        given = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        count = 1 if self.single_state else len(self.state_size)
        if len(given) != count:
            raise ValueError(
                f"[{self.name}] 'initial_state' must hold {count} state(s). Received {len(given)}."
            )
        return given

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool) -> Any:
        """Runs the cell over time: `(output, states)`."""
        cell = self.cell
        takes_training = isinstance(cell, Layer) and cell._call_signature.has_training
        extra = {"training": training} if takes_training else {}

        def step(inputs: Any, states: Any) -> Any:
            output, following = cell(inputs, states, **extra)
            if not isinstance(following, (list, tuple)):
                following = [following]
            return output, list(following)

        return scan(
            step, sequences, initial_state, mask,
            return_sequences=self.return_sequences, go_backwards=self.go_backwards,
            zero_output_for_mask=self.zero_output_for_mask, unroll=self.unroll,
        )  # fmt: skip

    def _forget_masks(self) -> None:
        """Each sequence has its own dropout masks."""
        for cell in getattr(self.cell, "cells", (self.cell,)):
            forget = getattr(cell, "_forget_masks", None)
            if forget is not None:
                forget()

    def compute_mask(self, _: Any, mask: Any) -> Any:
        """The mask, for all time steps; none for the last output and the states."""
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        output_mask = mask if self.return_sequences else None
        if not self.return_state:
            return output_mask
        return [output_mask, *[None] * len(tree.flatten(self.state_size))]

    # ----- configuration -----

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **self._base_config(),
            "cell": serialization.serialize(self.cell),
        }

    def _base_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A layer from `get_config`'s answer."""
        if "cell" not in config:
            return cls(**config)
        config = dict(config)
        cell = serialization.deserialize(config.pop("cell"), custom_objects=custom_objects)
        return cls(cell, **config)
