"""Rules that change the rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbackend.compiler.passes.dce import dce
from kbackend.compiler.passes.reassociate import reassociate
from kbackend.core import lang
from kbackend.ir.eval import evaluate
from kbackend.ir.verify import verify

from .support import body, traced, values


@pytest.mark.parametrize(
    ("fn", "factor"),
    [
        (lambda x: lang.mul(lang.mul(x, 3), 5), 15.0),
        (lambda x: lang.mul(3, lang.mul(5, x)), 15.0),
        (lambda x: lang.mul(lang.div(x, 128), 128), 1.0),
        (lambda x: lang.div(lang.div(x, 4), 8), 1 / 32),
        (lambda x: lang.mul(lang.mul(lang.mul(x, 3), 3), 3), 27.0),
    ],
)
def test_factors_become_one(fn, factor):
    assert body(dce(reassociate(traced(fn, (3,))))) == [f"b = mul(a, {factor:g}{'' if factor % 1 else '.'})", "return b"]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: lang.add(lang.add(x, 1e8), -1e8),
        lambda x: lang.mul(lang.mul(x, 1e30), 1e30),  # overflows
        lambda x: lang.mul(lang.mul(x, 1e-30), 1e-30),
        lambda x: lang.mul(lang.mul(x, 0), 2),
        lambda x: lang.mul(lang.mul(x, float("inf")), 2),
        lambda x: lang.div(2, lang.mul(x, 2)),
    ],
)
def test_what_stays(fn):
    graph = traced(fn, (3,))
    assert reassociate(graph).eqns == graph.eqns


def test_other_dtypes_stay():
    for dtype in ("float16", "int32"):
        graph = traced(lambda x: lang.mul(lang.mul(x, 3), 5), (3,), dtype=dtype)
        assert reassociate(graph).eqns == graph.eqns


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([lang.mul, lang.div]),
            st.floats(2**-6, 100, width=32) | st.floats(-100, -(2**-6), width=32),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_chains_keep_their_values(chain):
    def fn(x):
        for op, value in chain:
            x = op(x, value)
        return x

    graph = traced(fn, (64,))
    found = verify(reassociate(graph))
    assert len(dce(found).eqns) == 1
    args = values(graph)
    (f,), (w,) = evaluate(found, args), evaluate(graph, args)
    # Two roundings of 2**-24 per factor, on either side.
    np.testing.assert_allclose(f, w, rtol=4 * len(chain) * 2**-24)
