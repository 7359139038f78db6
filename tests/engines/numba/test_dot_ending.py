"""Compiled `dot` that ends with an elementwise region."""

import numpy as np
import pytest

from kbackend.compiler.lower import lower
from kbackend.compiler.pipeline import optimize
from kbackend.core import lang
from kbackend.ops.nn.activation import gelu_c
from kbackend_numba.engine import NumbaEngine
from kbackend_numba.native import Native
from kbackend_numpy.engine import NumpyEngine
from tests.compiler.support import traced

pytestmark = pytest.mark.engine("numpy")

PLAIN = ((1,), (0,)), ((), ())
SUMMED = ((0,), (0,)), ((), ())
HEADS = ((2,), (0,)), ((), ())
SCORES = ((3,), (3,)), ((0, 2), (0, 2))


def end_relu(y, bias):
    return lang.maximum(lang.add(y, bias), 0.0)


def end_tanh(y, bias):
    return lang.tanh(lang.add(bias, y))


def end_gelu(y, bias):
    return gelu_c(lang.add(y, bias), approximate=False)


ENDS = {
    "bias, relu": (end_relu, PLAIN, (33, 20), (20, 47), (47,)),
    "bias, tanh": (end_tanh, PLAIN, (64, 17), (17, 10), (1, 10)),
    "bias, gelu": (end_gelu, PLAIN, (30, 40), (40, 32), (32,)),
    "residual": (end_relu, PLAIN, (33, 20), (20, 47), (33, 47)),
    "number": (end_tanh, PLAIN, (5, 600), (600, 33), (1, 1)),
    "bias of heads": (end_relu, HEADS, (3, 11, 8), (8, 4, 6), (4, 6)),
    "bias of each head": (end_relu, HEADS, (3, 11, 8), (8, 4, 6), (6,)),
    "scores": (end_tanh, SCORES, (2, 9, 3, 8), (2, 11, 3, 8), (2, 3, 9, 11)),
    "long sums": (end_relu, SUMMED, (4096, 20), (4096, 33), (33,)),
    "long sums, residual": (end_tanh, SUMMED, (4096, 20), (4096, 33), (20, 33)),
    "sums in several goes": (end_relu, PLAIN, (1000, 600), (600, 330), (330,)),
    "sums in several goes, residual": (end_tanh, PLAIN, (600, 600), (600, 320), (600, 320)),
    "no sums": (end_tanh, PLAIN, (3, 0), (0, 5), (5,)),
    "nothing": (end_tanh, PLAIN, (0, 3), (3, 5), (5,)),
}


def compiled(engine, graph):
    """The program of a graph, and the function that it is."""
    program = lower(optimize(graph, engine), engine)
    return program, lambda args: engine.compile(program)(list(args))[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ENDS)
def test_ends(name, dtype, rng):
    end, (contract, batch), x, y, other = ENDS[name]
    graph = traced(
        lambda a, b, c: end(lang.dot(a, b, contract, batch), c), x, y, other, dtype=dtype
    )
    args = [rng.standard_normal(shape).astype(dtype) for shape in (x, y, other)]
    program, run = compiled(NumbaEngine(), graph)
    # Only this bias is not a whole row as the kernel sees it.
    steps = ["dot", "region"] if name == "bias of each head" else ["epilogue"]
    assert [step.name for step in program.steps] == steps
    assert all(isinstance(step.prepared, Native) for step in program.steps)
    wanted = compiled(NumpyEngine(), graph)[1](args)[0]
    # Sums in another order, and two roundings of the activation.
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    scale = max(1.0, x[contract[0][0]] ** 0.5)
    np.testing.assert_allclose(run(args)[0], wanted, rtol=tolerance, atol=tolerance * scale)
