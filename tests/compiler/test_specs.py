"""Every primitive, eager and compiled: the same bits, but where a kernel sums in another order."""

import numpy as np
import pytest

from kbackend.core.bind import bind
from kbackend.core.primitive import PRIMITIVES
from kbackend.core.tensor import tensor
from kbackend.testing.specs import SPECS

from .running import every_way
from .support import assert_close, assert_same_bits

pytestmark = pytest.mark.engine("numpy")

# Prepared, they sum by BLAS, or over other pieces at a time, than their eager kernels.
OTHER_ORDER = {"reduce_sum", "conv", "conv_input_grad", "conv_filter_grad"}
CASES = [(name, dtype) for name, spec in SPECS.items() for dtype in spec.dtypes]


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=lambda x: str(x))
def test_primitive(name, dtype):
    spec = SPECS[name]
    for sample in spec.samples(spec.rng()):
        cast = spec.cast(sample, dtype)
        args = tuple(tensor(np.asarray(arg)) for arg in cast.args)
        if not args:
            continue
        eager, ways = every_way(
            lambda *xs, params=cast.params: bind(PRIMITIVES[name], *xs, **params), args
        )
        assert_same_bits(ways["plain"], eager)
        if name in OTHER_ORDER:
            assert_close(ways["numpy"], eager, spec.tolerance)
        else:
            assert_same_bits(ways["numpy"], eager)
