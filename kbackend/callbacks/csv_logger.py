"""`CSVLogger`: the logs of the epochs as a table in a file."""

from __future__ import annotations

import csv
import os
from typing import Any

import numpy as np

from kbackend.callbacks.callback import Callback


class CSVLogger(Callback):
    """Writes a line per epoch: its number and its metrics, "NA" for those it does not have.

    Args:
        filename: path of the file.
        separator: what stands between two values.
        append: whether to go on in a file that exists.

    Example:
        >>> CSVLogger("training.csv").separator
        ','
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self.keys: list[str] | None = None
        self._file: Any = None
        self._table: Any = None
        self._has_header = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Opens the file."""
        self.keys = None
        self._has_header = (
            self.append and os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        )
        self._file = open(  # noqa: SIM115 - open until training ends
            self.filename, "a" if self.append else "w", newline="", encoding="utf-8"
        )
        self._table = csv.writer(self._file, delimiter=self.separator)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes a line."""
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in logs):
                # Validation may come in later epochs; the header must have its columns by then.
                self.keys += [f"val_{key}" for key in self.keys]
            if not self._has_header:
                self._table.writerow(["epoch", *self.keys])
        self._table.writerow([epoch, *(_text(logs.get(key, "NA")) for key in self.keys)])
        self._file.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the file."""
        self._file.close()
        self._file = self._table = None


def _text(value: Any) -> Any:
    """A number or text as it is; an array as a list in quotation marks."""
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0):
        return f'"[{", ".join(map(str, value))}]"'
    return value
