"""Kernels compile for other processors, and run with what older ones have."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from kbackend.base.errors import ConfigError
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.target import at_level, describe, host
from tests.engines.numba import harness
from tests.engines.numba.test_updates_of_tables import OPTIMIZERS, run
from tests.engines.numba.test_updates_together import AROUND

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
    compiles(ready, describe(triple, "", features))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("triple", "features"), TARGETS)
def test_updates_compile(triple, features, dtype):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    settings = AROUND | {"global_clipnorm": 0.5, "dtype": dtype}
    _, program = run(OPTIMIZERS["adam"], 1, **settings)
    assert {"scattered", "region", "adam_rate"} <= {step.name for step in program.steps}
    for step in program.steps:
        compiles(step.prepared, describe(triple, "", features))


def compiles(ready, target):
    """All functions of a kernel are machine code of the target."""
    for call in ready.calls:
        assert object_code(lambda call=call: module(call.function, target), target)


def module(function, target):
    """A kernel's function written for a target."""
    code = Code("kernel", target)
    function._write(code)
    return code.finish()


SERVER = describe("x86_64-unknown-linux-gnu", "sapphirerapids", "+avx2,+fma,+f16c,+sse4.2,+avx512f")


def test_a_level_below_the_processor():
    target = at_level(SERVER, "x86-64-v3")
    assert (target.cpu, target.features) == ("x86-64-v3", "+avx2,+fma,+f16c")
    assert (target.width, target.registers) == (32, 16)
    assert at_level(SERVER, "x86-64-v2").width == 16


def test_levels_that_can_not_be():
    with pytest.raises(
        ConfigError, match=r"KBACKEND_CPU_LEVEL\] must be one of .*'haswell'.*unset"
    ):
        at_level(SERVER, "haswell")
    with pytest.raises(
        ConfigError, match=r"\(sapphirerapids\) doesn't have: avx512vl.*lower level"
    ):
        at_level(SERVER, "x86-64-v4")


@pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="levels are those of x86-64")
@pytest.mark.parametrize(
    ("level", "models"), [("x86-64-v2", "dense"), ("x86-64-v3", "convnet or lstm or attention")]
)
def test_trainings_at_a_level(level, models):
    try:
        at_level(host(), level)
    except ConfigError:
        pytest.skip(f"the processor doesn't reach {level}")
    tests = Path(__file__).with_name("test_training.py")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "-k", models],
        env={**os.environ, "KBACKEND_CPU_LEVEL": level}, cwd=Path(__file__).parents[3],
        check=True, timeout=600, stdout=subprocess.DEVNULL,
    )  # fmt: skip
