"""Functions with loops and branches: traced, compiled, and compared with themselves run eagerly."""

import functools

import numpy as np

from kbackend import ops
from kbackend.base import tree
from kbackend.compiler.pipeline import compile_graph
from kbackend.engine.interpreter import Interpreter
from kbackend.engine.loader import current_engine
from kbackend.ir.graph import subgraphs
from kbackend.ir.trace import Output, trace
from kbackend.ir.verify import verify


@functools.cache
def table_of(engine):
    """An engine as one that is a table alone: the interpreter runs its programs."""

    class Table(type(engine)):
        views = frozenset()
        fusible = frozenset()

        def prepare(self, name, inputs, outputs, params):
            return None

        def compile(self, program):
            return Interpreter(self, program)

    return Table()


def tensors(*values):
    """Arguments as tensors."""
    return [ops.convert_to_tensor(value) for value in values]


def data(*shape, seed=0):
    """Random numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def check(fn, *args, rtol=1e-5, atol=1e-6):
    """`fn` gives the same eagerly, by the engine's programs and by the interpreter's.

    What it assigns to variables is compared, too. The tolerances are for sums over steps, which a
    loop adds up one step at a time, and eager gradients one use at a time.

    Returns:
        What was traced.
    """
    args = tensors(*args)
    traced = trace(fn, args)
    verify(traced.graph)
    own = current_engine()
    arrays = [x.array for x in args] + [own.copy(v.stored().array) for v in traced.read]
    runs = []
    for engine in (own, table_of(own)):
        run = engine.compile(compile_graph(traced.graph, engine))
        run(arrays)
        # Once more: memory is used again.
        runs.append([np.array(engine.to_numpy(x)) for x in run(arrays)[0]])
    expected = fn(*args)
    after = [np.array(v) for v in traced.assigned]
    for outputs in runs:
        found = tree.map_structure(
            lambda leaf, outputs=outputs: outputs[leaf] if isinstance(leaf, Output) else leaf,
            traced.structure,
        )
        tree.map_structure(lambda a, b: _same(a, b, rtol, atol), found, expected)
        values = outputs[len(outputs) - len(after) :] if after else []
        for a, b in zip(values, after, strict=True):
            _same(a, b, rtol, atol)
    return traced


def _same(found, expected, rtol, atol):
    if expected is None:
        assert found is None
        return
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=rtol, atol=atol)
    if hasattr(expected, "dtype"):
        assert str(found.dtype) == expected.dtype


def size(graph):
    """Number of equations, those inside of others included."""
    return sum(1 + sum(size(inner) for _, inner in subgraphs(eqn)) for eqn in graph.eqns)


def count(graph, name):
    """Number of equations of one name at the top of the graph."""
    return sum(eqn.op.name == name for eqn in graph.eqns)
