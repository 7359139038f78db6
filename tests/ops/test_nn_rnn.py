"""Recurrent sequences: kernels against bodies, gradients, gradients of gradients."""

import numpy as np
import pytest

from kbackend import GradientTape
from kbackend.core import lang
from kbackend.core.bind import not_recording
from kbackend.core.tensor import tensor
from kbackend.ops.nn import rnn

BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 6
# name -> (composite, its gradient, blocks, biases, states)
CASES = {
    "lstm": (rnn.lstm_sequence, rnn.lstm_sequence_grad, 4, 1, 2),
    "gru": (rnn.gru_sequence, rnn.gru_sequence_grad, 3, 2, 1),
    "simple": (rnn.simple_rnn_sequence, rnn.simple_rnn_sequence_grad, 1, 1, 1),
}
FORMS = [
    {"sequences": sequences, "backwards": backwards}
    for sequences in (False, True)
    for backwards in (False, True)
]


def arguments(name, dtype="float32", time=TIME):
    _, _, blocks, biases, states = CASES[name]
    rng = np.random.default_rng(0)
    width = blocks * UNITS
    shapes = [
        (BATCH, time, FEATURES), (FEATURES, width), (UNITS, width),
        (width,) if biases == 1 else (2, width), *[(BATCH, UNITS)] * states,
    ]  # fmt: skip
    return [tensor((rng.normal(size=s) * 0.5).astype(dtype)) for s in shapes]


def cotangents(results):
    rng = np.random.default_rng(1)
    return [tensor(rng.normal(size=r.shape).astype(r.dtype)) for r in results]


def close(found, wanted, tolerance):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", FORMS)
def test_kernels_and_bodies_agree(name, form):
    composite, gradient, *_, states = CASES[name]
    args = arguments(name)
    found = composite(*args, **form, keep=True)
    wanted = composite.body(*args, **form, keep=True)
    assert [(a.shape, a.dtype) for a in found] == [(a.shape, a.dtype) for a in wanted]
    # A few roundings of float32 on numbers about 1; the sums of the gradients take more of them.
    # What is kept for the gradient is in the engine's own order.
    close(found[: 1 + states], wanted[: 1 + states], 1e-6)
    close(composite(*args, **form, keep=False), wanted[: 1 + states], 1e-6)
    given = cotangents(found[: 1 + states])
    for wants in ((True,) * len(args), (False,) + (True,) * (len(args) - 1)):
        a = gradient(*given, *args, *found[1 + states :], **form, wants=wants)
        b = gradient.body(*given, *args, *wanted[1 + states :], **form, wants=wants)
        assert len(a) == sum(wants)
        close(a, b, 1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("form", FORMS[1:3])
def test_gradient_is_that_of_the_body(name, keep, form):
    composite, *_, states = CASES[name]
    args = arguments(name, "float64")
    given = cotangents(composite(*args, **form, keep=False))
    grads = []
    for run, kept in ((composite, keep), (composite.body, False)):
        with GradientTape() as tape:
            tape.watch(args)
            out = list(run(*args, **form, keep=kept))[: 1 + states]
        grads.append(tape.gradient(out, args, output_gradients=given))
    close(*grads, 1e-12)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", FORMS[1:3])
def test_second_derivatives(name, form):
    composite = CASES[name][0]
    args = arguments(name, "float64", time=3)
    found = []
    for run, keep in ((composite, True), (composite.body, False)):
        with GradientTape() as outer:
            outer.watch(args)
            with GradientTape() as inner:
                inner.watch(args)
                out = run(*args, **form, keep=keep)[0]
                total = lang.reduce_sum(lang.mul(out, out), tuple(range(out.ndim)))
            grads = inner.gradient(total, args)
            norm = sum(
                (lang.reduce_sum(lang.mul(g, g), tuple(range(g.ndim))) for g in grads[1:]),
                start=lang.zeros((), "float64"),
            )
        found.append(outer.gradient(norm, args))
    close(*found, 1e-10)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_is_computed_in_single(name, dtype):
    composite = CASES[name][0]
    form = {"sequences": True, "backwards": False, "keep": False}
    args = [lang.cast(a, dtype) for a in arguments(name)]
    with not_recording():
        low = composite(*args, **form)
        single = composite(*(lang.cast(a, "float32") for a in args), **form)
    assert all(x.dtype == dtype for x in low)
    # Rounded once: half a unit in the last place of numbers below 2.
    tolerance = 2**-10 if dtype == "float16" else 2**-7
    close([lang.cast(x, "float32") for x in low], single, tolerance)


def test_saturated_gates_stay_finite():
    args = arguments("lstm")
    args[0] = tensor(np.full((BATCH, TIME, FEATURES), 1e6, "float32"))
    out, h, c = rnn.lstm_sequence(*args, sequences=True, backwards=False, keep=False)
    assert all(np.isfinite(np.asarray(x)).all() for x in (out, h, c))


@pytest.mark.parametrize("backwards", [False, True])
def test_weight_gradients_are_added_up_by_runs(monkeypatch, backwards):
    args = arguments("lstm", time=7)
    form = {"sequences": True, "backwards": backwards}
    found = rnn.lstm_sequence(*args, **form, keep=True)
    given = cotangents(found[:3])
    whole = rnn.lstm_sequence_grad(*given, *args, *found[3:], **form, wants=(True,) * 6)
    recurrent = pytest.importorskip("kbackend_numpy.kernels.recurrent_frame")
    # Two steps at a time, and one that is left.
    monkeypatch.setattr(recurrent, "_RUN", 2 * BATCH)
    parts = rnn.lstm_sequence_grad(*given, *args, *found[3:], **form, wants=(True,) * 6)
    close(parts, whole, 1e-5)


# ----- masks -----


def masked(name):
    return getattr(rnn, f"masked_{CASES[name][0].name}")


def some_mask():
    """Examples that begin, stop or pause with masked steps, and one that has no others."""
    rows = [[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    return tensor(np.array(rows, bool))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", FORMS)
def test_a_mask_of_true_changes_nothing(name, form):
    args = arguments(name)
    everywhere = tensor(np.ones((BATCH, TIME), bool))
    found = masked(name).body(*args, everywhere, **form, keep=False)
    close(found, CASES[name][0].body(*args, **form, keep=False), 0.0)
    close(masked(name)(*args, everywhere, **form, keep=False), found, 1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backwards", [False, True])
def test_masked_steps_are_left_out(name, backwards):
    composite, *_, states = CASES[name]
    args, mask = arguments(name), some_mask()
    form = {"sequences": True, "backwards": backwards, "keep": False}
    out, *ends = masked(name)(*args, mask, **form)
    for i, row in enumerate(mask.numpy()):
        own = [
            args[0].numpy()[i : i + 1, row],
            *args[1:4],
            *[a.numpy()[i : i + 1] for a in args[4:]],
        ]
        last = own[4:]
        if row.any():
            _, *last = composite(*[tensor(a) for a in own], **form)
        for end, wanted in zip(ends, last, strict=True):
            close([end.numpy()[i : i + 1]], [wanted], 1e-6)
    # In the order of the steps; where one is left out, the output stays.
    live = mask.numpy()[:, ::-1] if backwards else mask.numpy()
    before = np.concatenate([args[4].numpy()[:, None], out.numpy()[:, :-1]], 1)
    np.testing.assert_array_equal(out.numpy()[~live], before[~live])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_masked_gradient_is_that_of_the_body(name, keep, form):
    args, mask = arguments(name, "float64"), some_mask()
    states = CASES[name][-1]
    given = cotangents(masked(name)(*args, mask, **form, keep=False))
    grads = []
    for run, kept in ((masked(name), keep), (masked(name).body, False)):
        with GradientTape() as tape:
            tape.watch(args)
            out = list(run(*args, mask, **form, keep=kept))[: 1 + states]
        grads.append(tape.gradient(out, args, output_gradients=given))
    close(*grads, 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_nan_in_a_masked_step_stays_there(name):
    args, mask = arguments(name), some_mask()
    values = args[0].numpy().copy()
    values[~mask.numpy()] = np.nan
    form = {"sequences": True, "backwards": False, "keep": False}
    found = masked(name)(tensor(values), *args[1:], mask, **form)
    assert all(np.isfinite(a.numpy()).all() for a in found)
