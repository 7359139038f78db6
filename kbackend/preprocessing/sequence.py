"""Sequences: the same function as in `kbackend.utils`."""

from kbackend.utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
