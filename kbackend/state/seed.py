"""Seeds: where random functions get their bits from, one counter per generator."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np

from kbackend.base.naming import auto_name
from kbackend.core import lang
from kbackend.core.bind import Symbolic
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import Tensor, tensor
from kbackend.state.variable import Variable

_UINT32 = range(2**32)
_lock = threading.Lock()
# Seeds for generators made without one: drawn from the global seed if there is one.
_global_seed: int | None = None
_host = np.random.default_rng()
_global_generator: SeedGenerator | None = None


class SeedGenerator:
    """A seed and a counter: each use of it gives other random numbers, the same in every run.

    Args:
        seed: integer in [0, 2**32); drawn at random by default, from the global seed if
            `set_random_seed` was called.
        name: name.

    Raises:
        ValueError: the seed is not such an integer.

    Example:
        >>> generator = SeedGenerator(seed=7)
        >>> generator.next().tolist(), generator.next().tolist()
        ([7, 0], [7, 1])
    """

    def __init__(self, seed: Any = None, name: str | None = None, **kwargs: Any) -> None:
        if kwargs:
            raise ValueError(f"[SeedGenerator] unknown arguments: {', '.join(kwargs)}.")
        if seed is None:
            seed = make_default_seed()
        if (
            isinstance(seed, bool)
            or not isinstance(seed, (int, np.integer))
            or int(seed) not in _UINT32
        ):
            raise ValueError(
                "[SeedGenerator] 'seed' must be an integer between 0 and 2**32 - 1. Received: "
                f"seed={seed!r}."
            )
        self.name = name or auto_name(type(self).__name__)
        self._initial_seed = int(seed)
        self.seed = int(seed)
        self.state = Variable(
            np.array([seed, 0], dtype="uint32"), name="seed_generator_state", trainable=False
        )
        self._lock = threading.Lock()

    def next(self, ordered: bool = True) -> Any:
        """The state for one draw, `uint32[2]`; the counter moves on."""
        with self._lock:
            state = self.state.read()
            self.state.assign(lang.add(state, tensor(np.array([0, 1], dtype="uint32"))))
        return state

    def start_from(self, seed: int) -> None:
        """Begins anew with another seed, whatever scopes are open."""
        self._initial_seed = self.seed = seed
        self.state.store(tensor(np.array([seed, 0], dtype="uint32")))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """A generator from `get_config`'s answer."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def make_default_seed() -> int:
    """A seed for what was made without one."""
    with _lock:
        return int(_host.integers(0, 2**31))


def set_random_seed(seed: int) -> None:
    """Makes what follows reproducible: Python's `random`, NumPy's global generator, and ours.

    Args:
        seed: integer in [0, 2**32).

    Raises:
        ValueError: the seed is not such an integer.
    """
    global _global_seed, _host
    if (
        isinstance(seed, bool)
        or not isinstance(seed, (int, np.integer))
        or int(seed) not in _UINT32
    ):
        raise ValueError(
            f"'seed' must be an integer between 0 and 2**32 - 1. Received: seed={seed!r}."
        )
    random.seed(int(seed))
    np.random.seed(int(seed))
    with _lock:
        _global_seed = int(seed)
        _host = np.random.Generator(np.random.Philox(int(seed)))
    if _global_generator is not None:
        # The same object goes on: compiled programs know it.
        _global_generator.start_from(_seed_of_the_global_generator())


def get_random_seed() -> int | None:
    """The seed given to `set_random_seed`, or `None`."""
    return _global_seed


def global_seed_generator() -> SeedGenerator:
    """The generator that random functions without a seed draw from."""
    global _global_generator
    with _lock:
        found = _global_generator
    if found is None:
        seed = _seed_of_the_global_generator()
        found = SeedGenerator(seed, name="global_seed_generator")
        with _lock:
            _global_generator = found
    return found


def _seed_of_the_global_generator() -> int:
    """A seed of its own, so that it does not matter what was drawn before its first use."""
    if _global_seed is None:
        return make_default_seed()
    return int(np.random.Generator(np.random.Philox([_global_seed, 1])).integers(0, 2**31))


def draw_seed(seed: Any) -> Any:
    """The state `uint32[2]` that a random function called with `seed` uses.

    Args:
        seed: a SeedGenerator (its next state), an integer (the same bits every time), `None` (the
            global generator), or a state.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return tensor(np.array([int(seed) % 2**32, 0], dtype="uint32"))
    if isinstance(seed, (Tensor, Symbolic, Variable)):
        return to_tensor(seed, "uint32")
    raise ValueError(
        "'seed' must be None, an integer or a SeedGenerator. Received: "
        f"seed={seed!r} of type {type(seed).__name__}."
    )
