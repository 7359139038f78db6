"""Every primitive on the engine of the run, by the table of specs."""

import pytest

from kbackend.core.primitive import NO_GRADIENT, PRIMITIVES
from kbackend.engine.loader import configured_backend
from kbackend.testing import SPECS, conformance_cases


@pytest.mark.parametrize("case", conformance_cases(configured_backend().value), ids=str)
def test_primitive(case):
    case()


def test_every_primitive_has_a_spec():
    assert set(SPECS) == set(PRIMITIVES)


def test_every_primitive_has_both_rules():
    for primitive in PRIMITIVES.values():
        assert primitive.shape_rule is not None, primitive
        assert primitive.vjp_rule is not None, primitive


def test_specs_check_gradients_exactly_where_there_are_any():
    # cast's gradient is exact but not visible to differences across dtypes; real and imag, and
    # complex, are checked in test_complex.py.
    elsewhere = {"cast", "real", "imag", "complex"}
    for name, spec in SPECS.items():
        differentiable = PRIMITIVES[name].vjp_rule is not NO_GRADIENT
        if name not in elsewhere:
            assert (spec.grad_order > 0) == differentiable, name


def test_there_are_at_most_ninety_primitives():
    assert len(PRIMITIVES) <= 90
