"""The rules: shape, dtype and gradient of every primitive, by family."""

from kbackend.prim import (
    contract,
    conv,
    elementwise,
    indexing,
    linalg,
    movement,
    random,
    reduce,
    scan,
    sort,
    window,
)

__all__ = [
    "contract", "conv", "elementwise", "indexing", "linalg", "movement", "random", "reduce",
    "scan", "sort", "window",
]  # fmt: skip
