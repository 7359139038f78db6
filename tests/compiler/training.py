"""Trainings that are run twice: with compiled steps, and eagerly."""

import numpy as np

import kbackend as k
from kbackend.base import naming

N, D, C = 20, 6, 3


def data(seed=0, n=N):
    """Inputs, classes and sample weights."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, D)).astype("float32")
    return x, rng.integers(0, C, n), rng.uniform(0.1, 2.0, n).astype("float32")


def classifier(*middle):
    """A small classifier with some layers in its middle."""
    return k.Sequential(
        [
            k.Input((D,)),
            k.layers.Dense(8, activation="tanh"),
            *middle,
            k.layers.Dense(C, activation="softmax"),
        ]
    )


def executables(model):
    """Step -> how many programs there are for it."""
    return {name: len(step.executables()) for name, step in model._steps._steps.items()}


def state(model):
    """All that training changes."""
    optimizer = [] if model.optimizer is None else model.optimizer.variables
    return [np.asarray(v) for v in (*model.variables, *optimizer)]


def assert_close(found, wanted, rtol, atol):
    """Asserts that two structures hold the same values."""
    k.tree.map_structure(
        lambda f, w: np.testing.assert_allclose(
            np.asarray(f).astype("float64"), np.asarray(w).astype("float64"), rtol=rtol, atol=atol
        ),
        found,
        wanted,
    )


def check(make, run, rtol=2e-5, atol=2e-6, **options):
    """Asserts that a training gives the same compiled as eagerly, and returns the compiled model.

    The tolerance is that of a few float32 sums taken in another order.

    Args:
        make: makes a model.
        run: compiles it with the options it is given, trains it, and returns numbers.
    """
    outcomes = []
    for choice in ({"run_eagerly": True}, {}):
        k.utils.set_random_seed(7)
        naming.reset_uids()
        model = make()
        result = run(model, {**options, **choice})
        assert bool(sum(executables(model).values())) is not bool(choice)
        outcomes.append((result, state(model)))
    (wanted, wanted_state), (found, found_state) = outcomes
    assert_close(found, wanted, rtol, atol)
    assert_close(found_state, wanted_state, rtol, atol)
    return model
