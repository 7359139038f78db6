"""The models of the cliffs group: kinds of networks that the six of the macro group don't have.

Every file here has `MODELS`, each of which is one. Their epochs are short.
"""

from __future__ import annotations

from ... import discovery
from ..base import Model


def cliff_models() -> dict[str, Model]:
    """Name -> model, in the order of `Model.rank`."""
    found = [model for module in discovery.modules(__name__) for model in module.MODELS]
    return {model.name: model for model in sorted(found, key=lambda m: (m.rank, m.name))}
