"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Pads, or cuts, sequences to one length.

    Args:
        sequences: list of sequences; their entries are numbers, or arrays of one shape.
        maxlen: the length; by default that of the longest sequence.
        dtype: dtype of the result; `object` for strings.
        padding: `"pre"` or `"post"`: where `value` is put.
        truncating: `"pre"` or `"post"`: where long sequences are cut.
        value: what to pad with.

    Returns:
        Array of shape `(len(sequences), maxlen, ...)`.

    Raises:
        ValueError: an argument is wrong, or the entries differ in shape.

    Example:
        >>> pad_sequences([[1], [2, 3], [4, 5, 6]])
        array([[0, 0, 1],
               [0, 2, 3],
               [4, 5, 6]], dtype=int32)
        >>> pad_sequences([[1], [2, 3, 4]], maxlen=2, padding="post", truncating="post")
        array([[1, 0],
               [2, 3]], dtype=int32)
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(
                f"[pad_sequences] '{name}' must be 'pre' or 'post'. Received: {name}={side!r}."
            )
    lengths = _lengths(sequences)
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind not in "OU":
        raise ValueError(
            f"[pad_sequences] the value {value!r} does not fit dtype {kind.name}. "
            "Give `dtype=object` for strings."
        )
    if maxlen is None:
        maxlen = max(lengths, default=0)
    shape = next((np.shape(s)[1:] for s in sequences if len(s)), ())
    padded = np.full((len(lengths), maxlen, *shape), value, dtype=kind)
    for row, sequence in enumerate(sequences):
        if maxlen == 0 or not lengths[row]:
            continue
        kept = sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen]
        entries = np.asarray(kept, dtype=kind)
        if entries.shape[1:] != shape:
            raise ValueError(
                f"[pad_sequences] all entries must have the same shape. Received: {shape} first, "
                f"but {entries.shape[1:]} in sequence {row}."
            )
        place = slice(None, len(kept)) if padding == "post" else slice(maxlen - len(kept), None)
        padded[row, place] = entries
    return padded


def _lengths(sequences: Any) -> list[int]:
    if not hasattr(sequences, "__len__"):
        raise ValueError(
            "[pad_sequences] 'sequences' must be a list of sequences. "
            f"Received: {sequences!r} of type {type(sequences).__name__}."
        )
    for sequence in sequences:
        if not hasattr(sequence, "__len__"):
            raise ValueError(
                "[pad_sequences] each entry of 'sequences' must be a sequence itself. "
                f"Received: {sequence!r} of type {type(sequence).__name__}."
            )
    return [len(sequence) for sequence in sequences]
