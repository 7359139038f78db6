"""The table of specs, by family. Adding a primitive takes one row here."""

from kbackend.testing.opspec import OpSpec
from kbackend.testing.specs import arrays, contractions, elementwise, special

SPECS: dict[str, OpSpec] = {
    spec.primitive: spec
    for family in (elementwise, arrays, contractions, special)
    for spec in family.SPECS
}

__all__ = ["SPECS"]
