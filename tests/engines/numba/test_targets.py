"""Kernels of rows, windows and movement compile for other processors, too."""

import llvmlite.binding as llvm
import numpy as np
import pytest

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.target import describe
from tests.engines.numba import harness

TARGETS = [
    ("x86_64-unknown-linux-gnu", "+sse2"),
    ("x86_64-unknown-linux-gnu", "+avx2,+fma"),
    ("x86_64-unknown-linux-gnu", "+avx512f,+avx512vl,+avx512dq,+avx512bw,+fma"),
    ("aarch64-unknown-linux-gnu", "+neon"),
]
IMAGE = np.ones((2, 6, 6, 20), "float32")
HALF = np.ones((2, 3, 3, 20), "float32")
ROWS = np.ones((6, 37), "float32")
WINDOWS = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
NORMAL = {"epsilon": 1e-3, "scaled": False, "centred": False}
LABELS = np.ones(6, "int32")

PROBLEMS = {
    "window_max": ((IMAGE,), WINDOWS),
    "window_unpick": ((IMAGE, HALF), WINDOWS),
    "window_spread": ((HALF,), {**WINDOWS, "space": (6, 6)}),
    "standardize": ((IMAGE,), {"axes": (0, 1, 2), **NORMAL}),
    "rms_normalization": ((ROWS,), {"axes": (1,), "epsilon": 1e-3}),
    "softmax": ((ROWS,), {"axes": (1,)}),
    "sparse_softmax_cross_entropy": ((LABELS, ROWS), {}),
    "argmax": ((ROWS,), {"axis": 1}),
    "adam_update": (
        (ROWS, ROWS, ROWS, ROWS, np.ones((), "float32"), np.ones((), "int32")),
        {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7},
    ),
    "random_bits": ((np.ones(2, "uint32"),), {"shape": (70,), "width": 32}),
    "gather": ((ROWS, LABELS), {"axes": (0,)}),
    "scatter": ((ROWS, ROWS, LABELS), {"axes": (0,), "mode": "add"}),
    "concatenate": ((ROWS, ROWS), {"axis": 1}),
    "pad": ((ROWS, np.array(0, "float32")), {"widths": ((0, 0, 0), (1, 1, 0))}),
    "reshape": ((np.ones((40, 30), "float32").T,), {"shape": (1200,)}),
}


@pytest.mark.parametrize(("triple", "features"), TARGETS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_compiles(name, triple, features):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    inputs, params = PROBLEMS[name]
    ready = harness.prepared(name, inputs, harness.reference(name, inputs, params), params)
    target = describe(triple, "", features)
    for call in ready.calls:
        assert object_code(lambda call=call: module(call.function, target), target)


def module(function, target):
    """A kernel's function written for a target."""
    code = Code("kernel", target)
    function._write(code)
    return code.finish()
