"""The models of the macro group: every file here that has a `MODEL` is one; `cliffs` has more.

To add one, write `models/mine.py` with `MODEL = Model(name="mine", …)`. Its `build` is given the
namespace to build with (`kbackend` or `keras`), so that the same lines run on every peer.
"""

from __future__ import annotations

from .. import discovery
from .base import Model
from .cliffs import cliff_models


def all_models() -> dict[str, Model]:
    """Name -> model of the macro group, in the order of `Model.rank`."""
    found = [module.MODEL for module in discovery.modules(__name__) if hasattr(module, "MODEL")]
    return {model.name: model for model in sorted(found, key=lambda m: (m.rank, m.name))}


def every_model() -> dict[str, Model]:
    """Name -> model, of the macro group and then of the cliffs."""
    return all_models() | cliff_models()
