"""LossScaleOptimizer and MultiOptimizer."""

from typing import Any

import numpy as np
import pytest

from kbackend import optimizers
from kbackend.core.convert import to_tensor
from kbackend.optimizers import (
    SGD,
    Adam,
    LossScaleOptimizer,
    MultiOptimizer,
    OptimizerMap,
    RMSprop,
)
from kbackend.state.scopes import name_scope
from kbackend.state.variable import Variable
from tests.optimizers.support import Traced

keras = pytest.importorskip("keras")
# Keras reads its own variables in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

G = np.ones(3, "float32")


def _scaled(module: Any, inner: str = "SGD") -> Any:
    return module.LossScaleOptimizer(
        getattr(module, inner)(0.1, name="inner"),
        initial_scale=8.0,
        dynamic_growth_steps=2,
        name="outer",
    )


@pytest.mark.parametrize("inner", ["SGD", "Adam"])
@pytest.mark.parametrize("how", ["eager", "stateless", "traced"])
def test_scale_as_in_keras(inner: str, how: str) -> None:
    mine, other = _scaled(optimizers, inner), _scaled(keras.optimizers, inner)
    w, v = Variable(G, name="w"), keras.Variable(G, name="w")
    mine.build([w])
    other.build([v])
    assert [x.path for x in mine.variables] == [x.path for x in other.variables]
    wrap: Any = Traced if how == "traced" else lambda x: x
    read: Any = (lambda x: x.tensor) if how == "traced" else lambda x: x
    values, state = [w.value], [x.value for x in mine.variables]
    theirs, other_state = [v.value], [x.value for x in other.variables]
    for scale in (8.0, 8.0, 8.0, np.inf, np.nan, 8.0, 8.0, 8.0):
        if how == "eager":
            mine.apply([G * scale], [w])
            values, state = [w.value], [x.value for x in mine.variables]
        else:
            values, state = mine.stateless_apply(
                [wrap(s) for s in state], [wrap(to_tensor(G * scale))], [wrap(x) for x in values]
            )
            values, state = [read(x) for x in values], [read(s) for s in state]
        theirs, other_state = other.stateless_apply(other_state, [G * scale], theirs)
        np.testing.assert_allclose(values[0].numpy(), np.asarray(theirs[0]), rtol=1e-6)
        for a, b in zip(state, other_state, strict=True):
            np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=1e-6)


def test_scaled_loss_and_settings_of_the_inner_optimizer() -> None:
    optimizer = _scaled(optimizers)
    assert float(optimizer.scale_loss(2.0)) == 16.0
    half = optimizer.scale_loss(to_tensor(60000.0, "float16"))
    assert half.dtype == "float32" and np.isfinite(float(half))
    optimizer.build([Variable(G)])
    assert float(optimizer.scale_loss(2.0)) == 16.0
    optimizer.learning_rate = 0.5
    assert float(optimizer.inner_optimizer.learning_rate) == 0.5
    assert optimizer.learning_rate is optimizer.inner_optimizer.learning_rate
    assert optimizer.iterations is optimizer.inner_optimizer.iterations


def test_scale_leaves_overwritten_variables_alone() -> None:
    w, amax = Variable(G, name="w"), Variable(G, name="amax", trainable=False)
    amax.overwrite_with_gradient = True
    optimizer = _scaled(optimizers)
    optimizer.apply([G * 8.0, G * 5.0], [w, amax])
    np.testing.assert_allclose(w.numpy(), G * 0.9, rtol=1e-6)
    assert amax.tolist() == [5.0] * 3


def test_config_of_loss_scale() -> None:
    mine, other = _scaled(optimizers), _scaled(keras.optimizers)
    assert optimizers.serialize(mine) == keras.optimizers.serialize(other)
    again = optimizers.deserialize(keras.optimizers.serialize(other))
    assert again.get_config() == mine.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LossScaleOptimizer("sgd"), "'inner_optimizer' must be an Optimizer"),
        (lambda: LossScaleOptimizer(SGD(), clipnorm=1.0), "'clipnorm' must be set on the inner"),
        (lambda: LossScaleOptimizer(SGD(), initial_scale=0.0), "must be positive"),
        (lambda: LossScaleOptimizer(SGD(), dynamic_growth_steps=0), "must be positive"),
    ],
)
def test_wrong_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def _multi(module: Any) -> Any:
    chosen = module.OptimizerMap(
        module.SGD(0.1, name="rest"),
        {
            "encoder/.*": module.Adam(0.1, name="encoder"),
            "head": module.RMSprop(0.1, use_ema=True, name="head"),
        },
    )
    return module.MultiOptimizer(chosen, name="multi")


def _variables(scope: Any, cls: Any) -> Any:
    with scope("encoder"):
        kernel = cls(G, name="kernel")
    return [kernel, cls(G, name="head"), cls(np.ones(2, "float32"), name="other")]


@pytest.mark.parametrize("how", ["eager", "traced"])
def test_several_optimizers_as_in_keras(how: str, rng: np.random.Generator) -> None:
    mine, other = _multi(optimizers), _multi(keras.optimizers)
    ours, theirs = _variables(name_scope, Variable), _variables(keras.name_scope, keras.Variable)
    mine.build(ours)
    other.build(theirs)
    assert [v.path for v in mine.variables] == [v.path for v in other.variables]
    for _ in range(3):
        grads = [np.asarray(rng.normal(size=v.shape), "float32") for v in ours]
        if how == "eager":
            mine.apply(grads, ours)
        else:
            values, state = mine.stateless_apply(
                [Traced(v.value) for v in mine.variables],
                [Traced(to_tensor(g)) for g in grads],
                [Traced(v.value) for v in ours],
            )
            for v, x in zip([*ours, *mine.variables], [*values, *state], strict=True):
                v.assign(x.tensor)
        other.apply(grads, theirs)
    for a, b in zip([*ours, *mine.variables], [*theirs, *other.variables], strict=True):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=1e-6, err_msg=a.path)
    assert optimizers.serialize(mine) == keras.optimizers.serialize(other)
    again = optimizers.deserialize(keras.optimizers.serialize(other))
    assert again.get_config() == mine.get_config()
    mine.finalize_variable_values(ours)
    np.testing.assert_array_equal(ours[1].numpy(), mine.optimizers[1]._averages[0].numpy())


def test_optimizers_chosen_by_a_function() -> None:
    slow = SGD(0.125)
    optimizer = MultiOptimizer(lambda v: SGD(0.5) if v.name == "head" else slow)
    assert optimizer.optimizers == []
    variables = _variables(name_scope, Variable)
    optimizer.apply([G, G, np.ones(2, "float32")], variables)
    assert [v.tolist()[0] for v in variables] == [0.875, 0.5, 0.875]
    assert len(optimizer.optimizers) == 2 and optimizer.optimizers[0] is slow
    assert int(optimizer.iterations) == 1
    with pytest.raises(AttributeError, match="no one learning rate"):
        optimizer.learning_rate  # noqa: B018
    with pytest.raises(AttributeError, match="no one learning rate"):
        optimizer.learning_rate = 0.5


def test_loss_scale_of_several_optimizers() -> None:
    w = Variable(G, name="w")
    optimizer = MultiOptimizer(OptimizerMap(SGD(0.5, loss_scale_factor=2.0)), loss_scale_factor=4.0)
    assert optimizer.scale_loss(1.0) == 4.0
    optimizer.apply([G * 4.0], [w])
    assert w.tolist() == [0.5] * 3


def test_map_of_optimizers() -> None:
    rest = SGD()
    chosen = OptimizerMap(rest, {"a/.*": Adam()})
    chosen["b"] = RMSprop()
    assert (len(chosen), list(chosen), "a/.*" in chosen, "a/x" in chosen) == (
        2, ["a/.*", "b"], True, False,
    )  # fmt: skip
    assert isinstance(chosen["a/x"], Adam) and chosen["c"] is rest
    with pytest.raises(ValueError, match="is there already"):
        chosen["b"] = SGD()
    del chosen["b"]
    assert chosen["b"] is rest
    chosen[".*/x"] = SGD()
    with pytest.raises(ValueError, match="several expressions match"):
        chosen["a/x"]
    with pytest.raises(ValueError, match="must be an Optimizer"):
        chosen["d"] = 3
    with pytest.raises(ValueError, match="key must be a string"):
        chosen[3] = SGD()  # type: ignore[index]
    with pytest.raises(TypeError, match="'default_optimizer' must be an Optimizer"):
        OptimizerMap("sgd")
    with pytest.raises(TypeError, match="'optimizer_map' must be an OptimizerMap"):
        MultiOptimizer(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must return an Optimizer"):
        MultiOptimizer(lambda v: None).build([Variable(G)])
