"""Small data sets to learn and test with: `digits` ships with the package, others are fetched."""

from kbackend.base.lazy import attach

_NAMES = (
    "boston_housing",
    "california_housing",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "imdb",
    "mnist",
    "reuters",
)

__getattr__, __dir__ = attach(__name__, {name: f"{__name__}.{name}" for name in _NAMES})
