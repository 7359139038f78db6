"""Compiled steps write into the memory of variables; nothing that was taken from one may change."""

import copy

import numpy as np
import pytest

import kbackend as k
from kbackend import ops


def variable():
    return k.Variable(np.arange(6, dtype="float32").reshape(2, 3))


def stepping(var):
    """A compiled function that adds 1 to a variable, in place."""
    step = k.jit(lambda: [var.assign(var + 1), None][1])
    step()
    step()
    return step


TAKEN = {
    "read": lambda v: v.read(),
    "value": lambda v: v.value,
    "tensor of it": ops.convert_to_tensor,
    "reshaped": lambda v: ops.reshape(v, (3, 2)),
    "transposed": ops.transpose,
    "sliced": lambda v: v[:, 1:],
    "row": lambda v: v[0],
    "broadcast": lambda v: ops.broadcast_to(v, (2, 2, 3)),
    "real": lambda v: ops.real(v),
    "array": np.asarray,
    "array of its tensor": lambda v: np.asarray(v.value),
    "view of an array": lambda v: np.asarray(v)[1:, ::2].T,
    "numpy()": lambda v: v.numpy(),
    "dlpack": lambda v: np.from_dlpack(v.value),
    "copy": lambda v: copy.copy(v.value),
    "deepcopy of the tensor": lambda v: copy.deepcopy(v.value),
    "deepcopy of the variable": copy.deepcopy,
    "another variable": lambda v: k.Variable(v),
    "a variable of its tensor": lambda v: k.Variable(v.value),
    "assigned to another": lambda v: (other := variable(), other.assign(v))[0],
    "assigned to itself": lambda v: v.assign(v.value),
    "stop_gradient": lambda v: ops.stop_gradient(v.value),
    "cast to its dtype": lambda v: ops.cast(v, "float32"),
    "memory view": lambda v: memoryview(np.asarray(v)),
    "tape": lambda v: k.grad(lambda x: ops.sum(x * v))(v.value),
}  # fmt: skip


# NumPy takes nothing from a device.
HOST = pytest.mark.engine("numpy")
NAMES = [pytest.param(name, marks=HOST) if name == "dlpack" else name for name in TAKEN]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_taken_stays(name):
    var = variable()
    step = stepping(var)
    taken = TAKEN[name](var)
    before = np.array(taken)
    for n in range(3):
        step()
        np.testing.assert_array_equal(np.array(taken), before)
        np.testing.assert_array_equal(var.numpy(), np.arange(6).reshape(2, 3) + 3 + n)


def test_taken_within_a_scope():
    var = variable()
    step = stepping(var)
    with k.StatelessScope():
        taken = var.value
    before = taken.tolist()
    step()
    assert taken.tolist() == before


def test_steps_without_readers_write_in_place():
    """The point of it all: one array serves for ever, if nobody looks."""
    var = variable()
    step = stepping(var)
    array = var._tensor.array
    for _ in range(3):
        step()
        assert var._tensor.array is array
    var.numpy()
    step()
    assert var._tensor.array is not array


def test_tensors_that_are_assigned_stay():
    var = variable()
    step = stepping(var)
    mine = ops.ones((2, 3)) * 5
    array = np.full((2, 3), 7.0, "float32")
    for given in (mine, array):
        before = np.array(given)
        var.assign(given)
        step()
        step()
        np.testing.assert_array_equal(np.array(given), before)
        np.testing.assert_array_equal(var.numpy(), before + 2)
    view = ops.reshape(mine, (3, 2))
    var.assign(ops.reshape(view, (2, 3)))
    step()
    np.testing.assert_array_equal(view, np.full((3, 2), 5))


def test_arrays_that_are_changed_after_assigning():
    var = variable()
    array = np.zeros((2, 3), "float32")
    step = stepping(var)
    var.assign(array)
    array += 9
    step()
    np.testing.assert_array_equal(var.numpy(), np.ones((2, 3)))


def test_two_variables_with_one_tensor():
    mine = ops.ones((2, 3))
    one, two = k.Variable(mine), k.Variable(mine)
    step = k.jit(lambda: [one.assign_add(ops.ones((2, 3))), two.assign_sub(ops.ones((2, 3))), 0][2])
    for n in range(1, 4):
        step()
        np.testing.assert_array_equal(one.numpy(), np.full((2, 3), 1 + n))
        np.testing.assert_array_equal(two.numpy(), np.full((2, 3), 1 - n))
        np.testing.assert_array_equal(mine, np.ones((2, 3)))


def test_arguments_that_share_memory_with_a_variable():
    var = variable()
    step = k.jit(lambda x: [var.assign(var * 2 + x), x * 1][1])
    wanted = var.numpy()
    for _ in range(3):
        value = var.value
        given = value.numpy()
        result = step(value)
        wanted = wanted * 2 + given
        np.testing.assert_array_equal(var.numpy(), wanted)
        np.testing.assert_array_equal(value, given)
        np.testing.assert_array_equal(result, given)


def test_results_that_were_assigned():
    """What a step returns and also assigns belongs to the caller, not to the next step."""
    var = variable()
    step = k.jit(lambda: var.assign(var + 1))
    results = [step() for _ in range(4)]
    for n, result in enumerate(results):
        np.testing.assert_array_equal(result, np.arange(6).reshape(2, 3) + n + 1)


def trained(seed=0):
    k.utils.set_random_seed(seed)
    model = k.Sequential(
        [k.Input((3,)), k.layers.Dense(4), k.layers.BatchNormalization(), k.layers.Dense(1)]
    )
    model.compile(k.optimizers.Adam(0.05), "mse")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((8, 3)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    return model, x, y


MODEL_TAKEN = {
    "get_weights": lambda m: m.get_weights(),
    "weights": lambda m: [w.value for w in m.weights],
    "arrays": lambda m: [np.asarray(w) for w in m.weights],
    "optimizer": lambda m: [v.value for v in m.optimizer.variables],
    "deepcopy": lambda m: copy.deepcopy(m).get_weights(),
    "deepcopied variables": lambda m: copy.deepcopy(m).weights,
    "metrics": lambda m: [v.value for v in m.metrics_variables],
    "clone": lambda m: (c := k.models.clone_model(m), c.set_weights(m.get_weights()))[0].weights,
}


@pytest.mark.parametrize("name", MODEL_TAKEN)
def test_what_was_taken_from_a_model_stays(name):
    model, x, y = trained()
    taken = MODEL_TAKEN[name](model)
    before = [np.array(one) for one in taken]
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    model.train_on_batch(x, y)
    for now, then in zip(taken, before, strict=True):
        np.testing.assert_array_equal(np.array(now), then)


def test_weights_that_are_set_stay():
    model, x, y = trained()
    mine = [ops.convert_to_tensor(np.ones_like(w)) for w in model.get_weights()]
    for weight, tensor in zip(model.weights, mine, strict=True):
        weight.assign(tensor)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    for tensor in mine:
        np.testing.assert_array_equal(tensor, np.ones(tensor.shape))


def test_data_stays():
    model, x, y = trained()
    tensors = [ops.convert_to_tensor(x), ops.convert_to_tensor(y)]
    before = [np.array(a) for a in (x, y, *tensors)]
    model.fit(x, y, batch_size=4, verbose=0)
    model.train_on_batch(*tensors)
    model.fit(*tensors, batch_size=8, verbose=0, shuffle=False)
    for now, then in zip((x, y, *tensors), before, strict=True):
        np.testing.assert_array_equal(np.array(now), then)


def test_predictions_stay():
    model, x, _ = trained()
    first = model.predict(x[:4], verbose=0)
    on_batch = model.predict_on_batch(x[:4])
    before = first.copy()
    model.predict(x[4:], verbose=0)
    model.predict_on_batch(x[4:])
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(on_batch, before)
    # They belong to the caller.
    first += 1
    on_batch += 1
    np.testing.assert_array_equal(model.predict(x[:4], verbose=0), before)


def test_predictions_that_are_the_inputs():
    model = k.Sequential([k.Input((3,)), k.layers.Activation("linear")])
    x = np.ones((2, 3), "float32")
    for found in (model.predict(x, verbose=0), model.predict_on_batch(x)):
        found += 1
        assert (x == 1).all()


def test_two_models_share_weights():
    k.utils.set_random_seed(1)
    shared = k.layers.Dense(3, name="shared")
    x = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
    y = x[:, :1]

    def make(eagerly):
        first = k.Sequential([k.Input((3,)), shared, k.layers.Dense(1, kernel_initializer="ones")])
        second = k.Sequential([k.Input((3,)), shared, k.layers.Dense(1, kernel_initializer="ones")])
        for model in (first, second):
            model.compile(k.optimizers.SGD(0.1, momentum=0.9), "mse", run_eagerly=eagerly)
        return first, second

    shared.build((None, 3))
    start = shared.get_weights()
    histories = []
    for eagerly in (False, True):
        shared.set_weights(start)
        models = make(eagerly)
        losses = [model.train_on_batch(x, y) for _ in range(4) for model in models]
        histories.append((losses, shared.get_weights()))
    np.testing.assert_allclose(histories[0][0], histories[1][0], rtol=1e-5)
    for found, wanted in zip(histories[0][1], histories[1][1], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
