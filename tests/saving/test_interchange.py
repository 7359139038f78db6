"""Files of real Keras load here, and ours load there: same predictions, same training after."""

import json
import zipfile

import numpy as np
import pytest

import kbackend
from kbackend.base import tree
from tests.saving import zoo

keras = pytest.importorskip("keras")

# Real Keras copies its variables in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BOTH = [(keras, kbackend), (kbackend, keras)]
DIRECTIONS = ["from keras", "to keras"]

# float32 matrix products in another order of summation.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def compare(a, b):
    first, second = tree.flatten(a), tree.flatten(b)
    assert len(first) == len(second)
    for x, y in zip(first, second, strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), **CLOSE)


@pytest.mark.parametrize(("here", "there"), BOTH, ids=DIRECTIONS)
@pytest.mark.parametrize("build", zoo.MODELS)
def test_predictions_are_the_same(build, here, there, tmp_path):
    model = build(here)
    data = zoo.inputs_for(model)
    model.save(tmp_path / "model.keras")
    loaded = there.saving.load_model(tmp_path / "model.keras")
    compare(model(data), loaded(data))


@pytest.mark.parametrize("build", zoo.MODELS)
def test_configs_are_the_same(build):
    """What is written is what Keras writes, but for dtype policies that appear more than once."""
    ours, theirs = (json.loads(build(k).to_json()) for k in (kbackend, keras))

    def clean(config):
        if isinstance(config, dict):
            dropped = ("shared_object_id", "name", "keras_history", "compile_config")
            return {k: clean(v) for k, v in config.items() if k not in dropped}
        return [clean(item) for item in config] if isinstance(config, list) else config

    def forms(config):
        """Class names and configs, deep."""
        if isinstance(config, dict):
            if "class_name" in config and "registered_name" in config:
                yield config["module"], config["class_name"], config["registered_name"]
            for key in sorted(config):
                yield from forms(config[key])
        elif isinstance(config, list):
            for item in config:
                yield from forms(item)

    # Keras divides by TrueDivide, and calls nested models with mask=None.
    renamed = {"TrueDivide": "Divide"}
    wanted = [(m, renamed.get(c, c), renamed.get(r, r)) for m, c, r in forms(clean(theirs))]
    assert list(forms(clean(ours))) == wanted
    assert set(ours) == set(theirs)


@pytest.mark.parametrize("build", zoo.MODELS)
def test_weights_files_have_the_same_groups(build, tmp_path):
    h5py = pytest.importorskip("h5py")
    groups = []
    for i, k in enumerate((keras, kbackend)):
        path = tmp_path / f"{i}.weights.h5"
        build(k).save_weights(path)
        with h5py.File(path) as file:
            found = {}
            file.visititems(
                lambda name, x, found=found: found.update({name: getattr(x, "shape", None)})
            )
        groups.append(found)
    theirs, ours = groups
    # Seeds are kept here, and ignored there.
    extra = {name for name in set(ours) - set(theirs) if "seed_generator" not in name}
    assert not extra
    assert {name: ours.get(name, "missing") for name in theirs} == theirs


OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("Adam", {"learning_rate": 0.1, "amsgrad": True}),
    ("AdamW", {"weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Ftrl", {}),
    ("Lion", {}),
    ("Adafactor", {}),
    ("Lamb", {}),
    ("SGD", {"use_ema": True, "gradient_accumulation_steps": 2}),
    ("SGD", {"learning_rate": "schedule"}),
    ("LossScaleOptimizer", {}),
]


def make_optimizer(k, name, settings):
    settings = dict(settings)
    if settings.get("learning_rate") == "schedule":
        settings["learning_rate"] = k.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    if name == "LossScaleOptimizer":
        return k.optimizers.LossScaleOptimizer(k.optimizers.Adam(0.1), initial_scale=8.0)
    return getattr(k.optimizers, name)(**settings)


@pytest.mark.parametrize(("here", "there"), BOTH, ids=DIRECTIONS)
@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS, ids=lambda x: str(x))
def test_training_goes_on(name, settings, here, there, tmp_path, rng):
    x = rng.standard_normal((4, 3)).astype("float32")
    y = rng.standard_normal((4, 2)).astype("float32")
    model = here.Sequential([here.Input((3,)), here.layers.Dense(2)])
    model.compile(make_optimizer(here, name, settings), "mse", run_eagerly=True)
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = there.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer).__name__ == name
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    before = model.get_weights()[0]
    for one in (model, loaded):
        one.train_on_batch(x, y)
        one.train_on_batch(x, y)
    assert not np.array_equal(before, model.get_weights()[0])
    compare(model.get_weights(), loaded.get_weights())


def compiled(k):
    x = k.Input((3,), name="x")
    model = k.Model(x, {"a": k.layers.Dense(2)(x), "b": k.layers.Dense(1)(x)})
    model.compile(
        "adam",
        loss={"a": k.losses.Huber(), "b": "mse"},
        loss_weights={"a": 2.0, "b": 0.5},
        metrics={"a": ["mae", k.metrics.RootMeanSquaredError()]},
        run_eagerly=True,
    )
    return model


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.parametrize(("here", "there"), BOTH, ids=DIRECTIONS)
def test_losses_and_metrics_of_several_outputs(here, there, tmp_path, rng):
    x = rng.standard_normal((4, 3)).astype("float32")
    y = {"a": np.ones((4, 2), "float32"), "b": np.zeros((4, 1), "float32")}
    model = compiled(here)
    model.save(tmp_path / "model.keras")
    loaded = there.saving.load_model(tmp_path / "model.keras")
    first = model.test_on_batch(x, y, return_dict=True)
    second = loaded.test_on_batch(x, y, return_dict=True)
    assert set(first) == set(second)
    compare([first[key] for key in sorted(first)], [second[key] for key in sorted(second)])


def test_versions_and_members(tmp_path):
    zoo.sequential(kbackend).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["keras_version"].startswith("3.")
    assert set(metadata) == {"keras_version", "date_saved", "kbackend_version"}


def test_bfloat16_weights(tmp_path):
    for here, there in BOTH:
        model = here.Sequential([here.Input((2,)), here.layers.Dense(3, dtype="bfloat16")])
        model.save(tmp_path / "model.keras")
        loaded = there.saving.load_model(tmp_path / "model.keras")
        first, second = model.get_weights()[0], loaded.get_weights()[0]
        assert str(first.dtype) == str(second.dtype) == "bfloat16"
        np.testing.assert_array_equal(first.astype("float32"), second.astype("float32"))
