"""`StackedRNNCells`: cells on top of each other, as one cell."""

from __future__ import annotations

from typing import Any

from kbackend.base import serialization
from kbackend.core import lang
from kbackend.layers.layer import Layer


class StackedRNNCells(Layer):
    """Cells of which each takes the output of the one before, at the same time step.

    Args:
        cells: list of cells.

    Raises:
        ValueError: a cell has no `call` or no `state_size`.

    Example:
        >>> import kbackend as keras
        >>> StackedRNNCells([keras.layers.LSTMCell(4), keras.layers.GRUCell(2)]).state_size
        [[4, 4], 2]
    """

    def __init__(self, cells: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for cell in cells:
            for needed in ("call", "state_size"):
                if not hasattr(cell, needed):
                    raise ValueError(
                        f"[StackedRNNCells] all cells must have '{needed}'. Received: {cell!r}."
                    )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The cells' state sizes."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """Size of the last cell's output."""
        last = self.cells[-1]
        size = getattr(last, "output_size", None)
        if size is not None:
            return size
        return last.state_size[0] if isinstance(last.state_size, (list, tuple)) else last.state_size

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """The cells' initial states."""
        initial = []
        for cell in self.cells:
            get = getattr(cell, "get_initial_state", None)
            if get is not None:
                initial.append(get(batch_size=batch_size))
            elif isinstance(cell.state_size, int):
                initial.append(lang.zeros((batch_size, cell.state_size), self.compute_dtype))
            else:
                initial.append(
                    [lang.zeros((batch_size, d), self.compute_dtype) for d in cell.state_size]
                )
        return initial

    def build(self, input_shape: Any) -> None:
        """Builds the cells."""
        shape = tuple(input_shape)
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(shape)
                cell.built = True
            size = getattr(cell, "output_size", None)
            if size is None:
                size = cell.state_size
            if isinstance(size, (list, tuple)):
                size = size[0]
            shape = (shape[0], size) if isinstance(size, int) else (shape[0], *size)

    def call(self, inputs: Any, states: Any, training: bool = False, **kwargs: Any) -> Any:
        """The last cell's output, and all states."""
        following = []
        for cell, own in zip(self.cells, states, strict=True):
            own = list(own) if isinstance(own, (list, tuple)) else [own]
            extra = dict(kwargs)
            if isinstance(cell, Layer) and cell._call_signature.has_training:
                extra["training"] = training
            inputs, new = cell(inputs, own, **extra)
            following.append(list(new) if isinstance(new, (list, tuple)) else [new])
        return inputs, following

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "cells": [serialization.serialize(cell) for cell in self.cells],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A layer from `get_config`'s answer."""
        config = dict(config)
        cells = [
            serialization.deserialize(cell, custom_objects=custom_objects)
            for cell in config.pop("cells")
        ]
        return cls(cells, **config)
