"""Film reviews, praising or damning, as lists of word numbers.

Reference:
    Maas et al., 2011. Learning word vectors for sentiment analysis.
    https://ai.stanford.edu/~amaas/data/sentiment/
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from kbackend.datasets import word_lists
from kbackend.datasets.sources import fetch, read_npz, shuffled_by


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
    **kwargs: Any,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads 25,000 reviews to train with and 25,000 to test with.

    Words are numbered by frequency; 3 is the rank of the most frequent word plus `index_from`.

    Args:
        path: name of the file in the cache.
        num_words: only the so many most frequent words are kept.
        skip_top: the so many most frequent words are left out.
        maxlen: longer reviews are left out.
        seed: of the shuffling.
        start_char: put before each review; `None` puts nothing.
        oov_char: put in place of words left out; `None` puts nothing.
        index_from: added to the number of each word.
        **kwargs: `nb_words`, an older name of `num_words`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: arrays of lists, and labels 1 (praise) and 0.

    Raises:
        ValueError: no review is shorter than `maxlen`.
        TypeError: an argument is unknown.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=5000)  # doctest: +SKIP
        >>> len(x_train), max(max(text) for text in x_train)  # doctest: +SKIP
        (25000, 4999)
    """
    if "nb_words" in kwargs:
        warnings.warn(
            "[imdb] 'nb_words' is now called 'num_words'.", DeprecationWarning, stacklevel=2
        )
        num_words = kwargs.pop("nb_words")
    if kwargs:
        raise TypeError(f"[imdb] unknown arguments. Received: {', '.join(sorted(kwargs))}.")
    arrays = read_npz(fetch("imdb.npz", path))
    rng = np.random.RandomState(seed)
    parts: list[tuple[list[list[int]], np.ndarray]] = []
    for name in ("train", "test"):
        raw, labels = shuffled_by(rng, arrays[f"x_{name}"], arrays[f"y_{name}"])
        marked = word_lists.mark_start(raw, start_char, index_from)
        parts.append(word_lists.drop_long(maxlen, marked, labels))
    (x_train, y_train), (x_test, y_test) = parts
    word_lists.check_kept("imdb", maxlen, x_train, x_test)
    # Both parts at once, for the limit follows from the largest number in either.
    texts = word_lists.limit_words(x_train + x_test, num_words, skip_top, oov_char)
    at = len(x_train)
    return (word_lists.as_objects(texts[:at]), y_train), (word_lists.as_objects(texts[at:]), y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The rank of each word by frequency, from 1.

    In the texts, `index_from` is added to it.

    Args:
        path: name of the file in the cache.

    Returns:
        A dict from word to rank.

    Example:
        >>> get_word_index()["the"]  # doctest: +SKIP
        1
    """
    return word_lists.word_index("imdb_word_index.json", path)
