"""Traced functions run in all ways: planned on NumPy, and step by step without a plan."""

import numpy as np

from kbackend.base import tree
from kbackend.compiler.pipeline import compile_graph
from kbackend.core.tensor import Tensor
from kbackend.engine.interface import Engine
from kbackend.engine.loader import get_engine
from kbackend.ir.trace import trace
from kbackend.ir.verify import verify
from kbackend_numpy.engine import NumpyEngine


class Plain(NumpyEngine):
    """NumPy as a table of kernels and nothing else: programs are run by the interpreter."""

    views = frozenset()
    compile = Engine.compile

    def prepare(self, name, inputs, outputs, params):
        """Nothing is prepared."""
        return


def program_of(traced, engine):
    """The program of a traced function, and how many of its results are handed out."""
    verify(traced.graph)
    variables = {id(v): i for i, v in enumerate(traced.read)}
    first = len(traced.graph.inputs) - len(traced.read)
    results = len(traced.graph.outputs) - len(traced.assigned)
    updates = [
        (first + variables[id(v)], results + i)
        for i, v in enumerate(traced.assigned)
        if id(v) in variables
    ]
    return compile_graph(traced.graph, engine, updates), updates


def run_program(traced, args, engine, times=1):
    """All outputs of the graph as arrays: results and new values of variables.

    Args:
        traced: the function.
        args: its arguments.
        engine: who runs it.
        times: how often, each time from the same values of variables.
    """
    program, updates = program_of(traced, engine)
    runner = engine.compile(program)
    given = [leaf.array for leaf in tree.flatten(args) if isinstance(leaf, Tensor)]
    for _ in range(times):
        if hasattr(runner, "_arena"):
            # No program may depend on what is in its memory.
            runner._arena[...] = 0xFF
        variables = [variable.stored().array.copy() for variable in traced.read]
        outputs, updated = runner([*given, *variables])
    taken = dict(zip([output for _, output in updates], updated, strict=True))
    rest = iter(outputs)
    return [
        np.array(taken[i] if i in taken else next(rest)) for i in range(len(traced.graph.outputs))
    ]


def run_eagerly(traced, fn, args):
    """The same as `run_program`, computed op by op; variables get their old values back."""
    before = [(variable, variable.numpy()) for variable in {*traced.read, *traced.assigned}]
    leaves = tree.flatten(fn(*args))
    results = [np.asarray(leaf) for leaf in leaves if hasattr(leaf, "dtype")]
    values = [variable.numpy() for variable in traced.assigned]
    for variable, value in before:
        variable.assign(value)
    return results + values


def every_way(fn, args):
    """The results of a function: eager, and (name, results) of each compiled way."""
    traced = trace(fn, args)
    ways = {
        "numpy": run_program(traced, args, get_engine("numpy"), times=2),
        "plain": run_program(traced, args, Plain()),
    }
    return run_eagerly(traced, fn, args), ways
