"""`TerminateOnNaN`: no more training once the loss is not a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.callbacks.callback import Callback
from kbackend.utils import console


class TerminateOnNaN(Callback):
    """Ends training when the loss is NaN or infinite.

    Args:
        raise_error: whether to raise an error.

    Raises:
        RuntimeError: in training, with `raise_error`.

    Example:
        >>> TerminateOnNaN().raise_error
        False
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks at the loss."""
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"[TerminateOnNaN] the loss of batch {batch} is {loss}: training ends."
            )
        console.write(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
