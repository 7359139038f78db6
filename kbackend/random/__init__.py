"""Random numbers: pure functions of a seed, or of a generator that moves on with every call."""

from kbackend.random.continuous import normal, truncated_normal, uniform
from kbackend.random.discrete import categorical, randint, shuffle
from kbackend.random.noise import dropout
from kbackend.random.rejection import beta, binomial, gamma
from kbackend.state.seed import SeedGenerator

__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint",
    "shuffle", "truncated_normal", "uniform",
]  # fmt: skip
