"""Elementwise ends of products."""

import numpy as np
import pytest

from kbackend.compiler.lower import lower
from kbackend.compiler.passes.epilogue import epilogue
from kbackend.compiler.pipeline import compile_graph, optimize
from kbackend.core import lang
from kbackend.engine.interpreter import region_function
from kbackend.engine.program import Prepared
from kbackend.ops.nn.normalizing import standardize_c
from kbackend_numpy.engine import NumpyEngine

from .support import assert_equivalent, traced, values

pytestmark = pytest.mark.engine("numpy")


class Finishing(NumpyEngine):
    """An engine whose products end with regions, unless they have three columns."""

    epilogues = frozenset(("dot",))

    def prepare(self, name, inputs, outputs, params):
        if name != "epilogue":
            return super().prepare(name, inputs, outputs, params)
        if outputs[0].shape[-1] == 3:
            return None
        product, place = self.kernels[params["op"]], params["place"]
        finish = region_function(self, params["region"])

        def run(out, x, y, *others):
            operands = list(others)
            operands.insert(place, product(x, y, **params["params"]))
            found = finish(*operands)
            np.copyto(out, found[0] if isinstance(found, tuple) else found)

        return Prepared(run)


def able(eqn):
    return eqn.op.name == "dot"


def everything(eqn):
    return eqn.op.name not in ("dot", "reduce_sum")


def applied(graph):
    found = epilogue(graph, able, everything)
    if found is not graph:
        assert_equivalent(graph, found)
    return [eqn.op.name for eqn in found.eqns]


def product(x, w):
    return lang.dot(x, w, ((1,), (0,)))


def test_bias_and_activation():
    def fn(x, w, b):
        return lang.tanh(lang.add(b, product(x, w)))

    assert applied(traced(fn, (2, 3), (3, 4), (4,))) == ["epilogue"]


def test_a_result_that_is_taken_twice_is_where_it_ends():
    def fn(x, w, b):
        y = lang.add(product(x, w), b)
        return lang.exp(y), lang.neg(y)

    assert applied(traced(fn, (2, 3), (3, 4), (4,))) == ["epilogue", "exp", "neg"]


def test_twice_by_one_equation():
    def fn(x, w):
        y = product(x, w)
        return lang.mul(y, y)

    assert applied(traced(fn, (2, 3), (3, 4))) == ["epilogue"]


def test_a_product_that_is_handed_out_stays():
    def fn(x, w):
        y = product(x, w)
        return y, lang.exp(y)

    assert applied(traced(fn, (2, 3), (3, 4))) == ["dot", "exp"]


def test_what_is_made_between_comes_before():
    def fn(x, w, v):
        y = product(x, w)
        other = lang.exp(product(v, w))
        return lang.add(y, other)

    # The addition is the end of the first product; the second ends before it.
    assert applied(traced(fn, (2, 3), (3, 4), (2, 3))) == ["epilogue", "epilogue"]


@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 4), (1, 1), (1,), ()])
def test_operands_at_hand(shape):
    graph = traced(lambda x, w, b: lang.mul(product(x, w), b), (2, 3), (3, 4), shape)
    assert applied(graph)[-1] == "epilogue"


@pytest.mark.parametrize("shape", [(2, 1)])
def test_operands_that_no_row_has_at_hand(shape):
    graph = traced(lambda x, w, b: lang.mul(product(x, w), b), (2, 3), (3, 4), shape)
    assert applied(graph) == ["dot", "mul"]


def test_a_wider_result_and_reductions_stay_apart():
    def fn(x, w, b):
        y = product(x, w)
        return lang.add(y, b), lang.reduce_sum(product(w, x), (1,), False)

    assert applied(traced(fn, (4, 4), (4, 4), (3, 4, 4))) == ["dot", "add", "dot", "reduce_sum"]


@pytest.mark.parametrize("columns", [4, 3])
def test_programs(columns):
    """With a kernel for the two, and where the engine declines."""

    def fn(x, w, b, c):
        y = lang.tanh(lang.add(b, product(x, w)))
        return lang.reduce_sum(lang.mul(y, c), (0,), False)

    engine = Finishing()
    graph = traced(fn, (2, 3), (3, columns), (columns,), (2, columns))
    found = optimize(graph, engine)
    assert "epilogue" in [eqn.op.name for eqn in found.eqns]
    program = compile_graph(graph, engine)
    assert ("epilogue" in [step.name for step in program.steps]) == (columns != 3)
    args = [np.asarray(x.array, np.float32) for x in values(graph)]
    got = engine.compile(program)(args)[0]
    plain = NumpyEngine()
    wanted = plain.compile(lower(optimize(graph, plain), plain))(args)[0]
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-6)  # another order of the sum


def test_other_engines_never_see_it():
    graph = traced(lambda x, w, b: lang.add(product(x, w), b), (2, 3), (3, 4), (4,))
    assert [eqn.op.name for eqn in optimize(graph, NumpyEngine()).eqns] == ["dot", "add"]


# ----- several results -----


def statistics(x, scale):
    """What `standardize` gives of a matrix's columns."""
    return standardize_c(
        x, lang.reshape(scale, (1, 4)), axes=(0,), epsilon=0.1, scaled=True, centred=False
    )


def joined(fn, *shapes):
    """Names of the equations, where `standardize` may end with regions."""
    graph = traced(fn, *shapes)
    found = epilogue(graph, lambda eqn: eqn.op.name == "standardize", everything)
    assert_equivalent(graph, found)
    return [eqn.op.name for eqn in found.eqns]


def test_other_results_are_handed_through():
    def fn(x, scale):
        y, mean, variance = statistics(x, scale)
        return lang.exp(y), mean, lang.neg(variance)

    assert joined(fn, (3, 4), (4,)) == ["reshape", "epilogue", "neg"]


def test_what_takes_other_results_comes_behind():
    def fn(x, scale, w):
        y, mean, _ = statistics(x, scale)
        moved = lang.exp(lang.neg(mean))
        return moved, lang.tanh(lang.add(y, lang.mul(w, w)))

    names = ["reshape", "mul", "epilogue", "neg", "exp"]
    assert joined(fn, (3, 4), (4,), (3, 4)) == names


def test_an_end_that_needs_other_results_stays_apart():
    def fn(x, scale):
        y, mean, variance = statistics(x, scale)
        return lang.mul(y, lang.exp(mean)), variance

    assert joined(fn, (3, 4), (4,)) == ["reshape", "standardize", "exp", "mul"]


def test_one_behind_the_other():
    def fn(x, scale):
        y, mean, _ = statistics(x, scale)
        z, second, _ = statistics(lang.add(lang.exp(x), mean), scale)
        return lang.add(lang.neg(y), x), lang.add(lang.neg(z), x), second

    found = joined(fn, (3, 4), (4,))
    assert found.count("epilogue") == 2 and "neg" not in found
