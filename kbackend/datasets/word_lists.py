"""Texts as lists of word numbers: what IMDB and Reuters have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kbackend.datasets.sources import fetch


def mark_start(
    texts: Iterable[Sequence[int]], start_char: int | None, index_from: int | None
) -> list[list[int]]:
    """The texts with word numbers raised by `index_from`, and `start_char` before each."""
    start = [] if start_char is None else [start_char]
    shift = index_from or 0
    return [start + [int(word) + shift for word in text] for text in texts]


def drop_long(
    maxlen: int | None, texts: list[list[int]], labels: np.ndarray
) -> tuple[list[list[int]], np.ndarray]:
    """The texts shorter than `maxlen`, with their labels."""
    if not maxlen:
        return texts, labels
    kept = [i for i, text in enumerate(texts) if len(text) < maxlen]
    return [texts[i] for i in kept], labels[kept]


def limit_words(
    texts: list[list[int]], num_words: int | None, skip_top: int, oov_char: int | None
) -> list[list[int]]:
    """The texts with rare words, and the `skip_top` most frequent ones, replaced or left out."""
    if not num_words:
        # The highest number itself stays outside of the limit; so Keras has it.
        num_words = max((max(text) for text in texts if text), default=0)
    if oov_char is None:
        return [[word for word in text if skip_top <= word < num_words] for text in texts]
    return [[word if skip_top <= word < num_words else oov_char for word in text] for text in texts]


def as_objects(texts: list[list[int]]) -> np.ndarray:
    """The texts as an array of lists, also where all are equally long."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def check_kept(dataset: str, maxlen: Any, *parts: Sequence[Any]) -> None:
    """Raises `ValueError` if a part has no text left."""
    if not all(len(part) for part in parts):
        raise ValueError(
            f"[{dataset}] no text is shorter than 'maxlen'. Raise it. Received: maxlen={maxlen}."
        )


def word_index(name: str, path: str) -> dict[str, int]:
    """The number of each word."""
    with open(fetch(name, path), encoding="utf-8") as file:
        return json.load(file)
