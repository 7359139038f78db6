"""The training steps of the benchmark models: all of their kernels, for real devices.

Nothing is run: the steps are planned, and their texts compiled.
"""

from collections import Counter

import pytest

from benchmarks.models import all_models
from tests.engines.cupy.planned import launches, planned
from tests.engines.cupy.traffic import of_program
from tests.gpu_simulator import nvrtc

MODELS = all_models()
# Launches of a whole training step, with dropout and Adam. What a loop does counts once for each of
# its steps.
LAUNCHES = {"small": 4, "mlp": 13, "cnn": 18, "lstm": 9, "resnet": 43, "transformer": 42}


@pytest.mark.parametrize("name", MODELS)
def test_whole_steps_are_prepared(name):
    program = planned(name).program
    assert Counter(step.name for step in program.steps if step.prepared is None) == {}
    assert launches(program) <= LAUNCHES[name]


# Running all kernels of a large model on the CPU takes minutes.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("small", "mlp") else pytest.mark.slow)
        for name in MODELS
    ],
)
def test_bytes_that_are_moved(name):
    moved = of_program(planned(name).program)
    assert 0.9 * moved.least <= moved.by_launch <= 1.25 * moved.least


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
    for kernel, text in planned(name).texts.items():
        used = nvrtc.compile(text, architecture)[1][kernel]
        # See test_kernels.py, test_recurrent.py and test_attention.py: products of matrices take
        # more, and so does what keeps weights in registers.
        many = kernel.startswith(("attention", "conv", "dot", "products", "recurrent"))
        assert used.spilled == 0, kernel
        assert used.registers <= (168 if many else 64), kernel
        assert used.shared <= (49152 if kernel.startswith("attention") else 20480), kernel
