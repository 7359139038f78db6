"""Training on the simulated GPU: the NumPy engine's curves, and what each step costs."""

import gc
import logging

import numpy as np
import pytest

import kbackend as keras
from kbackend.compiler import executable
from kbackend.compiler.compiled import jit
from kbackend.engine import loader
from kbackend_cupy import launches
from kbackend_cupy.capture import Recorder
from kbackend_cupy.replay import Replay
from tests.engines.cupy.simulated import models


def use(engine):
    """Chooses an engine."""
    keras.set_backend(engine)


@pytest.fixture
def programs(monkeypatch):
    """All programs that are compiled."""
    found = []
    make = executable.Executable.__init__

    def noted(self, *args, **kwargs):
        make(self, *args, **kwargs)
        found.append(self.program)

    monkeypatch.setattr(executable.Executable, "__init__", noted)
    return found


@pytest.mark.parametrize("name", models.MODELS)
def test_curves_are_those_of_numpy(gpu, name):
    x, y = models.data(name)
    found = {}
    for engine in ("cupy", "numpy"):
        use(engine)
        model = models.compiled(name)
        history = models.fit(model, x, y, epochs=3).history
        found[engine] = history, model.predict(x, batch_size=models.BATCH, verbose=0)
    # Sums in other orders, three epochs long.
    for key, values in found["numpy"][0].items():
        np.testing.assert_allclose(found["cupy"][0][key], values, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(found["cupy"][1], found["numpy"][1], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", models.MODELS)
def test_whole_steps_are_graphs(gpu, programs, name):
    models.fit(models.compiled(name), *models.data(name))
    (program,) = [one for one in programs if "train_step" in one.name]
    assert [step.name for step in program.steps if step.prepared is None] == []
    assert program.arena > 0


def counted(gpu, step, steps=4):
    """What each call of a step costs, from the third one on."""
    found = []
    for _ in range(steps + 2):
        with gpu.counted() as one:
            step()
        found.append(one[0])
    return found[2:]


def train_step(name):
    """A model's training step on a batch that is on the device, as a function."""
    x, y = models.data(name)
    model = models.compiled(name)
    x, y = (keras.ops.convert_to_tensor(a[: models.BATCH]) for a in (x, y))
    step = jit(model.train_step)
    return lambda: step((x, y))


@pytest.mark.parametrize("name", models.MODELS)
def test_budget_of_a_step(gpu, name):
    for counts in counted(gpu, train_step(name)):
        assert counts.graphs == 1
        # Copies of the results to memory of their own; everything else is in the graph.
        assert counts.launches <= 6
        assert counts.allocations == 0
        assert counts.to_device == counts.to_host == 0
        assert counts.syncs == 0


def test_an_epoch_waits_for_its_results_alone(gpu):
    x, y = models.data("mlp")
    model = models.compiled("mlp")
    models.fit(model, x, y, epochs=2)
    with gpu.counted() as found:
        models.fit(model, x, y)
    (counts,) = found
    assert counts.allocations == 0
    # Metrics that begin anew are written where the graph knows them.
    assert counts.graphs == models.STEPS
    # The batch, in both its parts.
    assert counts.to_device == 2 * models.STEPS
    # The loss and the metric, once each.
    assert counts.to_host == 2


def test_a_weight_that_has_moved_is_not_copied_for_ever(gpu):
    weight = keras.Variable(np.eye(3, dtype="float32"))
    scaled = jit(lambda x: x @ weight)
    # A batch in other memory each time.
    batches = [keras.ops.full((2, 3), float(i)) for i in range(12)]
    for batch in batches[:4]:
        scaled(batch)
    weight.assign(2 * np.eye(3, dtype="float32"))
    for batch in batches[4:11]:
        scaled(batch)
    with gpu.counted() as found:
        result = scaled(batches[11])
    (counts,) = found
    assert counts.graphs == 1
    # The batch to its place, and the result out of its own.
    assert counts.launches + counts.on_device <= 2
    np.testing.assert_array_equal(np.array(result), np.full((2, 3), 22.0, "float32"))


def test_a_carry_that_is_an_output_as_well_is_copied_once(gpu):
    weight = keras.ops.convert_to_tensor(np.eye(3, dtype="float32") / 2)

    def step(carry, x):
        carry = keras.ops.tanh(carry @ weight + x)
        return carry, carry

    loop = jit(lambda xs: keras.ops.scan(step, keras.ops.zeros((2, 3)), xs))
    xs = keras.ops.convert_to_tensor(np.linspace(0, 1, 60, dtype="float32").reshape(10, 2, 3))
    with gpu.counted() as found:
        last, every = loop(xs)
    assert found[0].on_device == 1
    np.testing.assert_array_equal(np.array(last), np.array(every)[-1])


def test_graphs_that_are_garbage_are_not_destroyed_in_a_capture(gpu, monkeypatch):
    ones = keras.ops.ones((2, 3))
    kept = jit(lambda x: keras.ops.tanh(x) @ keras.ops.ones((3, 4)))
    kept(ones)
    run = Replay.run

    def run_with_searches(self):
        gc.set_threshold(1)
        run(self)

    thresholds = gc.get_threshold()
    gc.set_threshold(1 << 30)
    try:
        # It has a graph, and is a part of a cycle.
        dropped = [jit(lambda x: x * 2.0)]
        dropped.append(dropped)
        for _ in range(3):
            dropped[0](ones)
        del dropped
        monkeypatch.setattr(Replay, "run", run_with_searches)
        with gpu.counted() as found:
            kept(ones)
    finally:
        gc.set_threshold(*thresholds)
    assert found[0].graphs == 1


def test_what_can_not_be_recorded_runs_call_by_call(gpu, cp, monkeypatch, caplog):
    def broken(self, run, arrays):
        raise cp.cuda.runtime.CUDARuntimeError(901)

    monkeypatch.setattr(Recorder, "_record", broken)
    doubled = jit(lambda x: x * 2.0)
    ones = keras.ops.ones((2, 3))
    with caplog.at_level("INFO", "kbackend.cupy"):
        for _ in range(4):
            np.testing.assert_array_equal(np.array(doubled(ones)), 2.0)
    (record,) = caplog.records
    assert "call by call" in record.message and "recording them failed" in record.message


def test_streams_may_be_late(gpu):
    """No step reads what is not there yet."""
    x, y = models.data("mlp")
    expected = models.fit(models.compiled("mlp"), x, y, epochs=3).history
    with gpu.lazy():
        found = models.fit(models.compiled("mlp"), x, y, epochs=3).history
    assert found == expected


def test_variables_that_are_assigned_between_steps(gpu):
    x, y = models.data("mlp")
    results = {}
    for engine in ("cupy", "numpy"):
        use(engine)
        model = models.compiled("mlp")
        for _ in range(2):
            models.fit(model, x, y)
            kernel = model.layers[0].kernel
            held = kernel.value
            before = np.array(held)
            models.fit(model, x, y)
            # A tensor never changes under its holder.
            np.testing.assert_array_equal(np.array(held), before)
            kernel.assign(held * 0.5)
        results[engine] = model.predict(x, verbose=0)
    np.testing.assert_allclose(results["cupy"], results["numpy"], rtol=1e-3, atol=1e-4)


def test_batches_of_another_size(gpu):
    x, y = models.data("cnn")
    model = models.compiled("cnn")
    models.fit(model, x[:-3], y[:-3], epochs=2)
    use("numpy")
    reference = models.compiled("cnn")
    models.fit(reference, x[:-3], y[:-3], epochs=2)
    weights = zip(model.get_weights(), reference.get_weights(), strict=True)
    for found, expected in weights:
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_what_cannot_be_recorded_is_said_once(gpu, caplog):
    step = jit(lambda x: keras.ops.cumsum(x * 2) + 1)
    x = keras.ops.convert_to_tensor(np.arange(5, dtype="float32"))
    with caplog.at_level(logging.INFO, "kbackend.cupy"):
        for _ in range(4):
            found = step(x)
    np.testing.assert_allclose(np.array(found), np.cumsum(np.arange(5) * 2.0) + 1)
    assert [r for r in caplog.messages if "not as a CUDA graph" in r] == caplog.messages
    assert len(caplog.messages) == 1


# ----- planted faults -----


def test_a_host_copy_in_a_step_is_seen(gpu, monkeypatch):
    engine = loader.get_engine("cupy")
    step = train_step("mlp")

    def peeking():
        result = step()
        engine.to_numpy(next(iter(result.values())).array)

    with pytest.raises(AssertionError):
        for counts in counted(gpu, peeking):
            assert counts.to_host == 0


def test_a_host_copy_inside_of_a_recorded_step_is_refused(gpu, monkeypatch):
    make = launches.caller

    def peeking(launch, modules):
        launch = make(launch, modules)

        def both(*arrays):
            launch(*arrays)
            arrays[0].get()

        return both

    monkeypatch.setattr(launches, "caller", peeking)
    step = jit(lambda x: keras.ops.tanh(x) * 2)
    x = keras.ops.convert_to_tensor(np.ones(37, "float32"))
    with pytest.raises(RuntimeError, match="capturing, so D2H transfers are disallowed"):
        for _ in range(3):
            step(x)


def test_results_that_are_read_too_early_are_seen(gpu, cp, monkeypatch):
    engine = loader.get_engine("cupy")

    def hasty(array):
        memory = cp.cuda.alloc_pinned_memory(max(1, array.nbytes))
        host = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
        host[...] = 0
        array.data.copy_to_host_async(host.ctypes.data, array.nbytes)
        return host.copy()

    x, y = models.data("mlp")
    expected = models.fit(models.compiled("mlp"), x, y).history
    monkeypatch.setattr(engine, "to_numpy", hasty)
    with gpu.lazy():
        assert models.fit(models.compiled("mlp"), x, y).history != expected


def test_a_forgotten_synchronisation_is_seen(gpu, cp):
    x = keras.ops.convert_to_tensor(np.ones(4, "float32"))
    memory = cp.cuda.alloc_pinned_memory(16)
    host = np.frombuffer(memory, "float32", 4)
    host[:] = 0
    with gpu.lazy():
        y = x + 1
        y.array.data.copy_to_host_async(host.ctypes.data, 16)
        assert (host == 0).all()
        loader.get_engine("cupy").synchronize()
        assert (host == 2).all()
