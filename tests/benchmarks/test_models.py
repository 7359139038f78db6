"""The models are the same on kbackend, Keras and PyTorch, and so is the check of losses."""

import math

import numpy as np
import pytest

import kbackend
from benchmarks.groups.layer_cases import CASES
from benchmarks.groups.macro import LOSS_TOLERANCE, compare_losses, steps_of
from benchmarks.models import all_models
from benchmarks.models.base import initial_weights
from benchmarks.work import work_of

MODELS = all_models()


def specs_of(net: object) -> list[tuple[str, tuple[int, ...]]]:
    return [(weight.name, tuple(weight.shape)) for weight in net.weights]  # type: ignore[attr-defined]


def test_the_six_models_are_there() -> None:
    assert list(MODELS) == ["small", "mlp", "cnn", "lstm", "resnet", "transformer"]


@pytest.mark.parametrize("name", MODELS)
def test_same_weights_as_in_keras(name: str) -> None:
    keras = pytest.importorskip("keras")
    model = MODELS[name]
    ours, theirs = model.build(kbackend, True), model.build(keras, True)
    assert ours.count_params() == theirs.count_params()
    assert specs_of(ours) == specs_of(theirs)
    assert ours.output_shape == theirs.output_shape == (None, model.classes)
    assert work_of(ours, 2) == work_of(theirs, 2)


@pytest.mark.parametrize("name", MODELS)
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
        theirs = torch.softmax(net(images), -1).numpy()
    # Float32 sums in another order, through up to nine layers.
    np.testing.assert_allclose(np.asarray(ours(x)), theirs, rtol=1e-4, atol=1e-6)


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
