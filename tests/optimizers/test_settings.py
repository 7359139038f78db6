"""What optimizers share: learning rate, gradients that are missing, state, names, errors."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from kbackend import optimizers
from kbackend.base.registry import register_keras_serializable
from kbackend.core.convert import to_tensor
from kbackend.optimizers import SGD, Adam, schedules
from kbackend.state.variable import Variable


def _one(value: float = 1.0, name: str = "w") -> Variable:
    return Variable(np.full(3, value, "float32"), name=name)


G = np.ones(3, "float32")


# ----- learning rate -----


def test_learning_rate_can_be_set() -> None:
    optimizer, w = SGD(0.5), _one()
    optimizer.learning_rate = 0.25
    optimizer.apply([G], [w])
    assert w.tolist() == [0.75] * 3
    optimizer.learning_rate.assign(0.5)
    optimizer.apply([G], [w])
    assert w.tolist() == [0.25] * 3
    assert SGD(1).get_config()["learning_rate"] == 1.0


def test_learning_rate_of_a_variable_and_of_a_function() -> None:
    rate, w = Variable(0.5), _one()
    optimizer = SGD(rate)
    optimizer.apply([G], [w])
    assert optimizer.learning_rate is rate and optimizer.variables[1] is rate
    rate.assign(0.25)
    optimizer.apply([G], [w])
    assert w.tolist() == [0.25] * 3
    optimizer = SGD(lambda: 0.125)
    optimizer.apply([G], [w])
    assert w.tolist() == [0.125] * 3


def test_schedule_takes_the_place_of_the_variable() -> None:
    optimizer = SGD(0.5)
    optimizer.learning_rate = schedules.ExponentialDecay(0.25, 1, 0.5)
    assert float(optimizer.learning_rate) == 0.25
    assert len(optimizer.variables) == 1
    for value in (0.1, Variable(0.1)):
        with pytest.raises(TypeError, match="can't be set"):
            optimizer.learning_rate = value
    assert len(optimizer.variables) == 1


def test_classic_names() -> None:
    with pytest.warns(DeprecationWarning, match="'lr' is the classic name"):
        optimizer = SGD(lr=0.5)
    with pytest.warns(DeprecationWarning, match="'lr' is the classic name"):
        assert float(optimizer.lr) == 0.5
    with pytest.warns(DeprecationWarning, match="'lr' is the classic name"):
        optimizer.lr = 0.25
    assert float(optimizer.learning_rate) == 0.25
    with pytest.warns(UserWarning, match="'decay' is ignored"):
        SGD(decay=0.1)


# ----- gradients -----


def test_missing_gradients_are_skipped_with_a_warning() -> None:
    a, b = _one(name="a"), _one(name="b")
    optimizer = SGD(0.5)
    with pytest.warns(UserWarning, match="no gradient in: 'a'"):
        optimizer.apply_gradients([(None, a), (G, b)])
    assert (a.tolist(), b.tolist()) == ([1.0] * 3, [0.5] * 3)
    assert int(optimizer.iterations) == 1


@pytest.mark.filterwarnings("ignore:.*no gradient in")
def test_gradients_that_do_not_fit() -> None:
    w = _one()
    with pytest.raises(ValueError, match="without variables needs an optimizer that is built"):
        SGD().apply([G])
    optimizer = SGD()
    optimizer.build([w])
    with pytest.raises(ValueError, match="2 gradients for 1 variables"):
        optimizer.apply([G, G])
    with pytest.raises(ValueError, match="none of the variables has a gradient"):
        optimizer.apply([None])
    with pytest.raises(ValueError, match="variable 'other' is unknown"):
        optimizer.apply([G], [_one(name="other")])
    with pytest.raises(ValueError, match=r"gradient of 'w' has the shape \(2,\)"):
        optimizer.apply([np.ones(2, "float32")])
    assert w.tolist() == [1.0] * 3
    assert int(optimizer.iterations) == 0
    optimizer.apply([])
    assert int(optimizer.iterations) == 0


def test_a_part_of_the_variables() -> None:
    a, b = _one(name="a"), _one(name="b")
    optimizer = SGD(0.5, momentum=0.5)
    optimizer.build([a, b])
    optimizer.apply([G], [b])
    assert (a.tolist(), b.tolist()) == ([1.0] * 3, [0.5] * 3)


def test_clipping_by_norm_of_a_zero_and_of_an_infinite_gradient() -> None:
    w = _one()
    SGD(0.5, clipnorm=1.0).apply([G * 0], [w])
    SGD(0.5, global_clipnorm=1.0).apply([G * 0], [w])
    assert w.tolist() == [1.0] * 3
    SGD(0.5, global_clipnorm=1.0).apply([G * np.inf], [w])
    assert np.isnan(w.numpy()).all()


def test_constraints_hold_after_each_step() -> None:
    w = _one()
    w.constraint = lambda value: value * 0.0 + 7.0
    SGD(0.5).apply([G], [w])
    assert w.tolist() == [7.0] * 3


@pytest.mark.parametrize("how", [{"var_names": ["^b"]}, {"var_list": True}])
def test_exclusion_from_weight_decay(how: dict[str, Any]) -> None:
    kernel, bias = _one(name="kernel"), _one(name="bias")
    optimizer = SGD(0.5, weight_decay=0.5)
    if "var_list" in how:
        how = {"var_list": [bias]}
    optimizer.exclude_from_weight_decay(**how)
    optimizer.apply([G * 0, G * 0], [kernel, bias])
    assert (kernel.tolist(), bias.tolist()) == ([0.75] * 3, [1.0] * 3)


# ----- state -----


def test_stateless_apply_checks_what_it_is_given() -> None:
    w = _one()
    optimizer = SGD()
    with pytest.raises(ValueError, match="needs an optimizer that is built"):
        optimizer.stateless_apply([], [G], [w.value])
    optimizer.build([w])
    with pytest.raises(ValueError, match="'optimizer_variables' must hold 2 tensors"):
        optimizer.stateless_apply([], [G], [w.value])
    with pytest.raises(ValueError, match="'trainable_variables' must hold 1 tensors"):
        optimizer.stateless_apply([v.value for v in optimizer.variables], [G], [])


def test_tensors_are_not_changed_by_a_step() -> None:
    w = _one()
    optimizer = Adam(0.5)
    optimizer.build([w])
    before = [v.value for v in (w, *optimizer.variables)]
    copies = [v.numpy() for v in before]
    optimizer.apply([to_tensor(G)])
    for tensor, values in zip(before, copies, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), values)


def test_loading_another_number_of_values_warns() -> None:
    optimizer = SGD(0.5)
    with pytest.warns(UserWarning, match="has 1 values, the optimizer 2 variables"):
        optimizer.load_own_variables({"0": np.zeros((), "int32")})
    with pytest.raises(ValueError, match="takes 2 arrays"):
        optimizer.set_weights([1])
    with pytest.raises(ValueError, match="can't be assigned"):
        optimizer.set_weights([3, np.ones(2)])
    assert int(optimizer.iterations) == 0
    optimizer.set_weights([3, 0.25])
    assert (int(optimizer.iterations), float(optimizer.learning_rate)) == (3, 0.25)


def test_copies_are_independent_and_work() -> None:
    w = _one()
    optimizer = Adam(0.5)
    optimizer.apply([G], [w])
    twin, v = copy.deepcopy((optimizer, w))
    twin.apply([G], [v])
    optimizer.apply([G], [w])
    np.testing.assert_array_equal(v.numpy(), w.numpy())
    twin.apply([G], [v])
    assert int(optimizer.iterations) == 2 and int(twin.iterations) == 3
    restored, u = pickle.loads(pickle.dumps((optimizer, w)))
    restored.apply([G], [u])
    np.testing.assert_array_equal(u.numpy(), v.numpy())


def test_averages_end_training() -> None:
    w = _one()
    optimizer = SGD(0.5, use_ema=True, ema_momentum=0.5)
    optimizer.apply([G], [w])
    optimizer.apply([G], [w])
    assert w.tolist() == [0.0] * 3
    optimizer.finalize_variable_values([w])
    assert w.tolist() == [0.25] * 3
    SGD().finalize_variable_values([w])  # without averages nothing happens
    assert w.tolist() == [0.25] * 3


def test_scaling_of_the_loss() -> None:
    assert SGD(loss_scale_factor=8.0).scale_loss(2.0) == 16.0
    assert SGD().scale_loss(2.0) == 2.0


def test_gradients_accumulate() -> None:
    w = _one()
    optimizer = SGD(0.5, gradient_accumulation_steps=2)
    seen = []
    for scale in (1.0, 3.0, 1.0):
        optimizer.apply([G * scale], [w])
        seen.append((w.tolist()[0], int(optimizer.iterations)))
    assert seen == [(1.0, 0), (0.0, 1), (0.0, 1)]


# ----- by name -----


def test_get() -> None:
    for name in ("adam", "Adam", "ADAM"):
        assert isinstance(optimizers.get(name), Adam)
    assert isinstance(optimizers.get("rmsprop"), optimizers.RMSprop)
    optimizer = SGD()
    assert optimizers.get(optimizer) is optimizer
    assert optimizers.get(None) is None
    assert isinstance(optimizers.get(SGD), SGD)
    assert optimizers.get({"class_name": "adam", "config": {"beta_1": 0.5}}).beta_1 == 0.5
    for wrong in ("adamm", 3):
        with pytest.raises(ValueError, match="There is no optimizer"):
            optimizers.get(wrong)


def test_classes_of_the_users() -> None:
    @register_keras_serializable("tests")
    class Half(SGD):
        def __init__(self, learning_rate: Any = 0.5, **kwargs: Any) -> None:
            super().__init__(learning_rate, **kwargs)

    config = optimizers.serialize(Half(0.25))
    assert config["registered_name"] == "tests>Half"
    again = optimizers.deserialize(config)
    assert type(again) is Half and float(again.learning_rate) == 0.25

    class Own(optimizers.Optimizer):
        def build(self, variables: Any) -> None:
            super().build(variables)
            self.sums = self.add_optimizer_variables(variables, "sum", initializer="ones")
            self.total = self.add_variable((), dtype="int32", name="total")

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            total = self.sums[self._get_variable_index(variable)]
            self.assign_add(total, gradient)
            self.assign_sub(variable, total * learning_rate)
            self.assign(self.total, 4)

    w = _one()
    own = Own(0.5)
    own.apply([G], [w])
    assert w.tolist() == [0.0] * 3
    assert [v.path for v in own.variables][2:] == ["own/w_sum", "own/total"]
    assert own.variables[-1].dtype == "int32" and int(own.variables[-1]) == 4
    with pytest.raises(NotImplementedError, match="must define update_step"):
        optimizers.Optimizer(0.5).apply([G], [w])
    with pytest.raises(ValueError, match="as many initializers as names"):
        own.add_optimizer_variables([w], ("a", "b"), initializer=("zeros",))


def test_legacy_names_say_where_to_go() -> None:
    with pytest.raises(ImportError, match="not there in Keras 3"):
        optimizers.legacy.Adam()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD("fast"), "'learning_rate' must be a number"),
        (lambda: SGD(True), "'learning_rate' must be a number"),
        (lambda: SGD(foo=1), "unknown arguments: foo"),
        (lambda: SGD(momentum=2.0), "'momentum' must be between 0 and 1"),
        (lambda: SGD(clipnorm=1.0, clipvalue=1.0), "only one of 'clipnorm'"),
        (lambda: SGD(clipnorm="1"), "'clipnorm' must be a number"),
        (lambda: SGD(use_ema=True, ema_momentum=2), "'ema_momentum' must be between"),
        (lambda: SGD(use_ema=True, ema_overwrite_frequency=0), "'ema_overwrite_frequency' must"),
        (lambda: SGD(gradient_accumulation_steps=1), "must be an integer of at least 2"),
        (lambda: optimizers.AdamW(weight_decay=None), "'weight_decay' must be a number"),
        (lambda: optimizers.Lion(beta_1=0.0), "'beta_1' must be above 0"),
        (lambda: optimizers.Lion(beta_1=2.0), "'beta_1' must be between"),
        (lambda: optimizers.ScheduleFreeAdamW(beta_1=0), "'beta_1' must be above 0"),
        (lambda: optimizers.ScheduleFreeAdamW(warmup_steps=-1), "must not be negative"),
        (lambda: optimizers.Ftrl(learning_rate_power=1.0), "must not be above 0"),
        (lambda: optimizers.Ftrl(l1_regularization_strength=-1.0), "must not be negative"),
        (lambda: optimizers.Muon(exclude_layers="head"), "must be a list"),
    ],
)
def test_wrong_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
