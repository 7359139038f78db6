"""`clear_session`: forgets what the process has accumulated."""

from __future__ import annotations

import gc

from kbackend.base.naming import reset_uids
from kbackend.state.seed import get_random_seed, set_random_seed


def clear_session(free_memory: bool = True) -> None:
    """Starts the automatic names of layers afresh, and random numbers from the seed that was set.

    Args:
        free_memory: whether to collect garbage as well.

    Example:
        >>> import kbackend as keras
        >>> clear_session()
        >>> keras.layers.Dense(1).name
        'dense'
    """
    reset_uids()
    seed = get_random_seed()
    if seed is not None:
        set_random_seed(seed)
    if free_memory:
        gc.collect()
