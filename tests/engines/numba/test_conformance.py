"""The suite that every engine passes."""

import pytest

from kbackend.testing import conformance_cases


@pytest.mark.parametrize("case", conformance_cases("numba"), ids=str)
def test_conformance(case):
    case()
