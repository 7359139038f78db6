"""Schedules against Keras."""

from typing import Any

import numpy as np
import pytest

from kbackend import optimizers
from kbackend.core.convert import to_tensor
from kbackend.optimizers import schedules
from kbackend.state.variable import Variable
from tests.optimizers.support import Traced, case_id

keras = pytest.importorskip("keras")

# Keras reads its own variables in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DECAY = {"initial_learning_rate": 0.1, "decay_steps": 7}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {**DECAY, "decay_rate": 0.3}),
    ("ExponentialDecay", {**DECAY, "decay_rate": 0.3, "staircase": True}),
    ("InverseTimeDecay", {**DECAY, "decay_rate": 0.3}),
    ("InverseTimeDecay", {**DECAY, "decay_rate": 0.3, "staircase": True}),
    ("PolynomialDecay", DECAY),
    ("PolynomialDecay", {**DECAY, "power": 2.5, "end_learning_rate": 0.02}),
    ("PolynomialDecay", {**DECAY, "power": 2.5, "cycle": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 5], "values": [1.0, 0.5, 0.2]}),
    ("PiecewiseConstantDecay", {"boundaries": [2.5], "values": [1.0, 0.5]}),
    ("CosineDecay", DECAY),
    ("CosineDecay", {**DECAY, "alpha": 0.1}),
    ("CosineDecay", {**DECAY, "warmup_target": 0.3, "warmup_steps": 4}),
    ("CosineDecay", {**DECAY, "warmup_target": 0.3}),
    ("CosineDecay", {**DECAY, "warmup_steps": 4}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 4}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 4, "t_mul": 1.0, "m_mul": 0.8},
    ),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 3, "t_mul": 1.5, "alpha": 0.1},
    ),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_values_and_config(name: str, options: dict[str, Any]) -> None:
    mine = getattr(schedules, name)(**options)
    other = getattr(keras.optimizers.schedules, name)(**options)
    for step in (0, 1, 2, 3, 4, 6, 7, 8, 12, 13, 20):
        rate = mine(to_tensor(step))
        assert (rate.shape, rate.dtype) == ((), "float32")
        # A few roundings of float32 in cos and pow, on rates up to 1.
        np.testing.assert_allclose(float(rate), float(other(step)), rtol=1e-6, atol=1e-7)
        assert float(mine(step)) == float(rate)
        assert float(mine(Variable(step)).item()) == float(rate)
        assert float(mine(Traced(to_tensor(step))).tensor) == float(rate)
    assert mine.get_config() == other.get_config()
    assert schedules.serialize(mine) == keras.optimizers.schedules.serialize(other)
    again = schedules.deserialize(schedules.serialize(mine))
    assert type(again) is type(mine) and again.get_config() == mine.get_config()
    optimizer = optimizers.SGD(mine, name="opt")
    assert optimizers.serialize(optimizer) == keras.optimizers.serialize(
        keras.optimizers.SGD(other, name="opt")
    )
    assert optimizers.deserialize(optimizers.serialize(optimizer)).get_config() == (
        optimizer.get_config()
    )


def test_optimizer_follows_its_schedule() -> None:
    schedule = schedules.PiecewiseConstantDecay([0, 2], [1.0, 0.5, 0.25])
    optimizer = optimizers.SGD(schedule)
    w = Variable([0.0])
    rates = []
    for _ in range(4):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([[1.0]], [w])
    assert rates == [1.0, 0.5, 0.5, 0.25]
    assert w.tolist() == [-2.25]
    assert len(optimizer.variables) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "'decay_steps' must be positive"),
        (lambda: schedules.InverseTimeDecay(0.1, -1, 0.5), "'decay_steps' must be positive"),
        (lambda: schedules.PolynomialDecay(0.1, 0), "'decay_steps' must be positive"),
        (lambda: schedules.CosineDecay(0.1, 0), "'decay_steps' must be positive"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), "'first_decay_steps' must be positive"),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), "one more value than boundaries"),
        (lambda: schedules.PiecewiseConstantDecay([], [1.0]), "there must be boundaries"),
    ],
)
def test_wrong_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_base_class_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="must define __call__"):
        schedules.LearningRateSchedule()(1)
    with pytest.raises(NotImplementedError, match="must define get_config"):
        schedules.LearningRateSchedule().get_config()
