"""Newswires of 46 topics as lists of word numbers.

Reference:
    Lewis, 1997. Reuters-21578, distribution 1.0.
"""

from __future__ import annotations

import numpy as np

from kbackend.datasets import word_lists
from kbackend.datasets.sources import check_fraction, fetch, read_npz, shuffled

_LABELS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves "
    "ship cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin "
    "strategic-metal livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem "
    "dlr gas silver wpi hog lead"
)


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads 11,228 newswires.

    Args:
        path: name of the file in the cache.
        num_words: only the so many most frequent words are kept.
        skip_top: the so many most frequent words are left out.
        maxlen: longer newswires are left out.
        test_split: fraction of the newswires for testing.
        seed: of the shuffling before the split.
        start_char: put before each newswire; `None` puts nothing.
        oov_char: put in place of words left out; `None` puts nothing.
        index_from: added to the number of each word.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: arrays of lists, and topics from 0 to 45.

    Raises:
        ValueError: `test_split` is out of range, or no newswire is shorter than `maxlen`.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=5000)  # doctest: +SKIP
        >>> len(x_train), len(x_test)  # doctest: +SKIP
        (8982, 2246)
    """
    check_fraction("reuters", "test_split", test_split)
    arrays = read_npz(fetch("reuters.npz", path))
    raw, labels = shuffled(seed, arrays["x"], arrays["y"])
    texts = word_lists.mark_start(raw, start_char, index_from)
    texts, labels = word_lists.drop_long(maxlen, texts, labels)
    word_lists.check_kept("reuters", maxlen, texts)
    words = word_lists.as_objects(word_lists.limit_words(texts, num_words, skip_top, oov_char))
    at = int(len(words) * (1 - test_split))
    return (words[:at], labels[:at]), (words[at:], labels[at:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
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
    return word_lists.word_index("reuters_word_index.json", path)


def get_label_names() -> tuple[str, ...]:
    """The topics, in the order of their numbers.

    Returns:
        A tuple of 46 names.

    Example:
        >>> get_label_names()[3]
        'earn'
    """
    return tuple(_LABELS.split())
