"""The models are the same on kbackend, Keras and PyTorch, and so is the check of losses."""

import dataclasses
import math

import numpy as np
import pytest

import kbackend
from benchmarks.groups.layer_cases import CASES
from benchmarks.groups.macro import LOSS_TOLERANCE, compare_losses, steps_of
from benchmarks.models import all_models, every_model
from benchmarks.models.base import initial_weights
from benchmarks.models.cliffs import cliff_models
from benchmarks.peers.keras_api import KerasSession
from benchmarks.work import work_of

MODELS = every_model()
CLIFFS = cliff_models()


def specs_of(net: object) -> list[tuple[str, tuple[int, ...]]]:
    return [(weight.name, tuple(weight.shape)) for weight in net.weights]  # type: ignore[attr-defined]


def test_the_six_models_are_there() -> None:
    assert list(all_models()) == ["small", "mlp", "cnn", "lstm", "resnet", "transformer"]


def test_cliffs_are_models_of_their_own() -> None:
    assert {"gru", "text", "mobile", "unet", "vit", "mlp-1", "mlp-4096"} <= set(CLIFFS)
    assert not set(CLIFFS) & set(all_models())
    assert len({model.rank for model in CLIFFS.values()}) == len(CLIFFS)


@pytest.mark.parametrize("name", MODELS)
def test_same_weights_as_in_keras(name: str) -> None:
    keras = pytest.importorskip("keras")
    model = MODELS[name]
    ours, theirs = model.build(kbackend, True), model.build(keras, True)
    assert ours.count_params() == theirs.count_params()
    assert specs_of(ours) == specs_of(theirs)
    shape = model.input_shape if model.loss == "mse" else (*model.label_shape, model.classes)
    assert ours.output_shape == theirs.output_shape == (None, *shape)
    assert work_of(ours, 2) == work_of(theirs, 2)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.build_torch])
def test_twin_gives_the_same_values(name: str) -> None:
    torch = pytest.importorskip("torch")
    model = MODELS[name]
    assert model.build_torch is not None
    net, slots = model.build_torch(torch, False)
    ours = model.build(kbackend, False)
    assert [(slot.name, slot.shape) for slot in slots] == specs_of(ours)
    values = initial_weights(specs_of(ours), 1)
    ours.set_weights(values)
    for slot, value in zip(slots, values, strict=True):
        slot.assign(value)
    x = model.data(1, 0)[0][:2]
    images = torch.from_numpy(x)
    if x.ndim == 4:
        images = images.permute(0, 3, 1, 2)
    net.eval()
    with torch.no_grad():
        result = net(images)
        theirs = result if model.loss == "mse" else torch.softmax(result, 1)
        theirs = torch.movedim(theirs, 1, -1).numpy()
    # Float32 sums in another order, through up to 51 layers.
    np.testing.assert_allclose(np.asarray(ours(x)), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CLIFFS)
def test_cliffs_train(name: str) -> None:
    model = dataclasses.replace(CLIFFS[name], batch=2)
    session = KerasSession(kbackend, model, dropout=True)
    session.set_initial_weights(0)
    x, y = model.data(1, 0)
    before = session.net.get_weights()
    losses = [session.fit(x, y, shuffle=False) for _ in range(3)]
    assert np.isfinite(losses).all() and losses[2] < losses[0]
    assert all((a != b).any() for a, b in zip(before, session.net.get_weights(), strict=True))
    assert session.predict(x).shape == (2, *session.net.output_shape[1:])


def test_texts_end_with_zeros() -> None:
    x, y = MODELS["text"].data(2, 0)
    assert x.dtype == y.dtype == np.int32 and x.shape == (64, 80)
    lengths = (x > 0).sum(1)
    assert lengths.min() >= 1 and len(set(lengths)) > 2
    assert all((row[:length] > 0).all() for row, length in zip(x, lengths, strict=True))


def test_targets_are_what_the_loss_takes() -> None:
    x, y = MODELS["autoencoder"].data(1, 0)
    np.testing.assert_array_equal(x, y)
    x, y = MODELS["unet"].data(1, 0)
    assert y.shape == x.shape[:-1] and set(np.unique(y)) == set(range(4))


def test_initial_weights_depend_on_the_seed_alone() -> None:
    specs = [("kernel", (3, 4)), ("bias", (4,)), ("gamma", (4,))]
    first, again, other = (initial_weights(specs, seed) for seed in (0, 0, 1))
    for a, b, c in zip(first, again, other, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert (first[2] >= 1).all()


def test_work_of_a_dense_layer() -> None:
    net = kbackend.Sequential([kbackend.Input((3,)), kbackend.layers.Dense(5)])
    work = work_of(net, 2)
    assert work["predict"] == {"flops": 2 * 2 * 15, "bytes": 4 * 2 * 8 + 4 * 20}
    assert work["fit"] == {"flops": 3 * 60, "bytes": 3 * 64 + 10 * 80}


def test_work_of_a_transposed_convolution() -> None:
    layer = kbackend.layers.Conv2DTranspose(5, 2, strides=2)
    net = kbackend.Sequential([kbackend.Input((4, 4, 3)), layer])
    # Each of 16 positions has its share in four positions of five channels.
    assert work_of(net, 1)["predict"]["flops"] == 2 * 16 * 4 * 5 * 3


def test_work_of_both_directions() -> None:
    layer = kbackend.layers.Bidirectional(kbackend.layers.LSTM(5))
    net = kbackend.Sequential([kbackend.Input((7, 3)), layer])
    assert work_of(net, 1)["predict"]["flops"] == 2 * 7 * 2 * (3 + 5) * 20


def test_losses_are_compared_with_the_median() -> None:
    checks = compare_losses(
        "mlp",
        {
            "a": [2.0, 1.0],
            "b": [2.0, 1.0 + LOSS_TOLERANCE / 2],
            "c": [2.0, 1.5],
        },
    )
    assert [(check["peer"], check["agrees"]) for check in checks] == [
        ("a", True),
        ("b", True),
        ("c", False),
    ]
    assert math.isclose(checks[2]["difference"], 0.5, rel_tol=1e-2)
    assert compare_losses("mlp", {}) == []


def test_losses_that_are_not_finite_never_agree() -> None:
    checks = compare_losses("mlp", {"a": [math.nan], "b": [1.0], "c": [1.0]})
    assert not any(check["agrees"] for check in checks)
    assert checks[0]["losses"] == ["nan"]


def test_quick_epochs_are_short() -> None:
    for model in MODELS.values():
        assert 1 < steps_of(model, quick=True) < steps_of(model, quick=False) == model.steps


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layers_take_their_data(case: object) -> None:
    layer = case.make(kbackend)  # type: ignore[attr-defined]
    x = case.data()[:2]  # type: ignore[attr-defined]
    y = layer(x, x) if case.twice else layer(x)  # type: ignore[attr-defined]
    assert np.isfinite(np.asarray(y)).all()
