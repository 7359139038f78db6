"""The training steps of the benchmark models: all of their kernels, for real devices.

Nothing is run: the steps are planned, and their texts compiled.
"""

import functools
from collections import Counter

import numpy as np
import pytest

import kbackend as keras
from benchmarks.models import all_models
from kbackend_cupy.engine import CupyEngine
from kbackend_cupy.modules import Modules
from kbackend_cupy.scan import PreparedScan
from tests.gpu_simulator import nvrtc
from tests.gpu_simulator.activate import activate

MODELS = all_models()
# Launches of a whole training step, with dropout and Adam. What a loop does counts once for each of
# its steps.
LAUNCHES = {"small": 20, "mlp": 31, "cnn": 39, "lstm": 680, "resnet": 190, "transformer": 160}


class Planned(BaseException):
    """Carries a program out of the step that would have run it."""


@functools.cache
def planned(name):
    """(program, texts of its kernels) of a model's training step."""
    activate()
    import cupy

    texts = {}
    compile_, function, qr = CupyEngine.compile, Modules.function, cupy.linalg.qr

    def compiling(self, program):
        if "train_step" in program.name:
            raise Planned(program)
        return compile_(self, program)

    def noting(self, text, kernel):
        # Nobody will call it.
        texts[kernel] = text

    def on_host(x, mode="reduced"):
        # The simulator has no cuSOLVER; initial weights need it.
        return tuple(map(cupy.asarray, np.linalg.qr(cupy.asnumpy(x), mode=mode)))

    keras.set_backend("cupy")
    CupyEngine.compile, Modules.function, cupy.linalg.qr = compiling, noting, on_host
    try:
        model = MODELS[name]
        x, y = model.data(1, 0)
        net = model.build(keras, True)
        net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        texts.clear()
        net.fit(x, y, batch_size=len(x), epochs=1, verbose=0)
    except Planned as found:
        return found.args[0], dict(texts)
    finally:
        CupyEngine.compile, Modules.function, cupy.linalg.qr = compile_, function, qr
    raise AssertionError("There was no training step.")


def launches(program):
    """How many calls a program makes on the device."""
    found = 0
    for step in program.steps:
        if isinstance(step.prepared, PreparedScan):
            found += step.params["length"] * launches(step.params["body"])
        else:
            found += len(step.prepared.calls)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_whole_steps_are_prepared(name):
    program, _ = planned(name)
    assert Counter(step.name for step in program.steps if step.prepared is None) == {}
    assert launches(program) <= LAUNCHES[name]


# The compiler takes 0.1 to 0.3 s for each of about 200 kernels.
@pytest.mark.parametrize(
    "architecture",
    [
        "sm_90",
        *[
            pytest.param(one, marks=pytest.mark.slow)
            for one in nvrtc.ARCHITECTURES
            if one != "sm_90"
        ],
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_kernels_keep_to_their_budgets(name, architecture):
    _, texts = planned(name)
    for kernel, text in texts.items():
        used = nvrtc.compile(text, architecture)[1][kernel]
        # See test_kernels.py: products of matrices take more.
        products = kernel.startswith(("conv", "dot"))
        assert used.spilled == 0, kernel
        assert used.registers <= (128 if products else 64), kernel
        assert used.shared <= 16384, kernel
