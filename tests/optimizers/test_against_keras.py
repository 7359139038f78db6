"""Every optimizer against Keras on JAX: values, state, names, configs; and traced against eager."""

from typing import Any

import numpy as np
import pytest

from kbackend import optimizers
from kbackend.state.scopes import name_scope
from kbackend.state.variable import Variable
from tests.optimizers.support import (
    CASES,
    OPTIONS,
    Traced,
    arrays,
    case_id,
    make,
    variables,
)

keras = pytest.importorskip("keras")

# Keras reads its own variables in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ALL = [*CASES, *[("SGD", options) for options in OPTIONS], *[("Adam", o) for o in OPTIONS[-5:]]]
# Ten steps of a rule with some ten float32 roundings each, on values around 1. XLA fuses products
# and sums, and its pow and sqrt differ from NumPy's in the last place.
TOLERANCE = {"rtol": 1e-6, "atol": 2e-6}
# The iteration amplifies what the products of matrices round differently.
MUON = {"rtol": 1e-5, "atol": 1e-5}
# Sums of squares to a small power, divided by the learning rate: up to a hundred.
FTRL = {"rtol": 5e-6, "atol": 2e-5}


def _run(name: str, options: dict[str, Any], rng: np.random.Generator) -> Any:
    start = arrays(rng)
    ours, theirs = variables(start), variables(start, keras)
    mine, other = make(name, options), make(name, options, keras)
    for _ in range(10):
        grads = arrays(rng)
        mine.apply([g.copy() for g in grads], ours)
        other.apply(grads, theirs)
    return ours, theirs, mine, other


@pytest.mark.parametrize(("name", "options"), ALL, ids=case_id)
def test_ten_steps(name: str, options: dict[str, Any], rng: np.random.Generator) -> None:
    ours, theirs, mine, other = _run(name, options, rng)
    tolerance = {"Muon": MUON, "Ftrl": FTRL}.get(name, TOLERANCE)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), err_msg=a.path, **tolerance)
    assert len(mine.variables) == len(other.variables)
    for a, b in zip(mine.variables, other.variables, strict=True):
        assert (a.shape, a.dtype) == (tuple(b.shape), b.dtype)
        np.testing.assert_allclose(a.numpy(), np.asarray(b), err_msg=a.path, **tolerance)
    mine.finalize_variable_values(ours)
    other.finalize_variable_values(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), err_msg=a.path, **tolerance)


@pytest.mark.parametrize(("name", "options"), ALL, ids=case_id)
def test_paths_and_config(name: str, options: dict[str, Any]) -> None:
    start = arrays(np.random.default_rng(0))
    mine, other = make(name, options), make(name, options, keras)
    mine.build(variables(start))
    other.build(variables(start, keras))
    if name not in ("Adafactor", "Nadam"):  # Keras's names of these hide what they are
        assert [v.path for v in mine.variables] == [v.path for v in other.variables]
    assert [v.trainable for v in mine.variables] == [False] * len(mine.variables)
    config = mine.get_config()
    assert config == other.get_config()
    assert list(config) == list(other.get_config())
    assert optimizers.serialize(mine) == keras.optimizers.serialize(other)
    again = optimizers.deserialize(keras.optimizers.serialize(other))
    assert type(again) is type(mine)
    assert again.get_config() == config


@pytest.mark.parametrize(("name", "options"), ALL, ids=case_id)
def test_stateless_and_traced_steps_equal_eager_ones(
    name: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    start = arrays(rng)
    eager, traced = variables(start), variables(start)
    mine, other = make(name, options), make(name, options)
    mine.build(eager)
    other.build(traced)
    state = [v.value for v in other.variables]
    values = [v.value for v in traced]
    for _ in range(4):
        grads = [Variable(g).value for g in arrays(rng)]
        mine.apply(grads, eager)
        values, state = other.stateless_apply(
            [Traced(s) for s in state], [Traced(g) for g in grads], [Traced(v) for v in values]
        )
        values, state = [v.tensor for v in values], [s.tensor for s in state]
    # The kernel that eager steps take and the composition round differently.
    for a, b in zip([*eager, *mine.variables], [*values, *state], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-6, atol=1e-6, err_msg=a.path)
    # Nothing was assigned.
    for variable, value in zip(traced, start, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert int(other.variables[0]) == 0


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(name: str, dtype: str, rng: np.random.Generator) -> None:
    start = arrays(rng)
    ours = [Variable(x, dtype=dtype, name=f"v{i}") for i, x in enumerate(start)]
    theirs = [keras.Variable(x, dtype=dtype, name=f"v{i}") for i, x in enumerate(start)]
    options = {"epsilon": 1e-3} if name in ("Adam", "RMSprop") else {}
    mine, other = make(name, options), make(name, options, keras)
    for _ in range(3):
        grads = arrays(rng)
        mine.apply(grads, ours)
        other.apply([keras.ops.cast(g, dtype) for g in grads], theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        # A few units in the last place: XLA keeps float32 between operations.
        np.testing.assert_allclose(
            a.numpy().astype("float32"),
            np.asarray(keras.ops.cast(b, "float32")),
            rtol=0.03 if dtype == "bfloat16" else 0.005,
            atol=0.03 if dtype == "bfloat16" else 0.005,
        )


@pytest.mark.parametrize("accumulate", [None, 2])
def test_variables_overwritten_with_their_gradient(accumulate: int | None) -> None:
    def run(cls: Any, module: Any) -> Any:
        plain = cls(np.ones(3, "float32"), name="plain")
        scale = cls(np.ones(3, "float32"), name="scale", trainable=False)
        scale.overwrite_with_gradient = True
        optimizer = module.Adam(
            0.1, gradient_accumulation_steps=accumulate, use_ema=True, name="opt"
        )
        optimizer.build([plain, scale])
        seen = []
        for i in range(5):
            grads = [np.full(3, 2.0, "float32"), np.full(3, 5.0 - i, "float32")]
            optimizer.apply(grads, [plain, scale])
            seen.append((np.asarray(plain), np.asarray(scale)))
        return np.array(seen), [v.path for v in optimizer.variables]

    (values, paths), (expected, names) = (
        run(Variable, optimizers),
        run(keras.Variable, keras.optimizers),
    )
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert paths == names


def test_keras_state_is_loaded(rng: np.random.Generator) -> None:
    start = arrays(rng)
    ours, theirs = variables(start), variables(start, keras)
    mine, other = make("Adam", {}), make("Adam", {}, keras)
    mine.build(ours)
    for _ in range(3):
        other.apply(arrays(rng), theirs)
    store: dict[str, Any] = {}
    other.save_own_variables(store)
    mine.load_own_variables(store)
    for a, b in zip(ours, theirs, strict=True):
        a.assign(np.asarray(b))
    grads = arrays(rng)
    mine.apply(grads, ours)
    other.apply(grads, theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), **TOLERANCE)
    saved: dict[str, Any] = {}
    mine.save_own_variables(saved)
    assert list(saved) == list(store)


@pytest.mark.parametrize(("path", "adam"), [
    ("token_embedding", True), ("Embedding_1", True), ("dense", False), ("head", True),
])  # fmt: skip
def test_muon_chooses_as_keras(path: str, adam: bool) -> None:
    value = np.ones((3, 2), "float32")
    mine = optimizers.Muon(exclude_layers=["he.d"])
    other = keras.optimizers.Muon(exclude_layers=["he.d"])
    with name_scope(path):
        mine.build([Variable(value, name="w")])
    with keras.name_scope(path):
        other.build([keras.Variable(value, name="w")])
    assert len(mine.variables) == len(other.variables) == (4 if adam else 3)
