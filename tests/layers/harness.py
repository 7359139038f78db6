"""`check_layer`: a layer of ours against the same layer of real Keras on JAX."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

import kbackend
from kbackend.base import tree

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")


class Pair(NamedTuple):
    """What `check_layer` compared: our layer, Keras's, and their outputs as they are."""

    ours: Any
    theirs: Any
    output: Any
    expected: Any


class Options(NamedTuple):
    """How the two layers are called and compared."""

    extra: dict[str, Any]
    call: dict[str, Any]
    mask: Any
    rtol: float
    atol: float


def check_layer(
    name,
    kwargs=None,
    inputs=None,
    *,
    extra=None,
    training=None,
    call=None,
    mask=None,
    rtol=1e-5,
    atol=1e-6,
    weights=None,
    seed=0,
    gradients=True,
    step=True,
    symbolic=True,
    compare_config=True,
):
    """Builds the layer in both libraries with equal weights, and compares all that can be seen.

    Compared: names, shapes and trainability of the weights, outputs, masks, losses, gradients
    with respect to weights and floating inputs, the weights after a step of SGD and what the call
    assigned to other weights, shapes and dtypes inferred for symbolic inputs, configs (both ways).

    Args:
        name: name of the class in `layers`.
        kwargs: the constructor's arguments, or a function of the library (`kbackend`, `keras`)
            that returns them, for arguments that are layers or objects.
        inputs: first argument of the call: an array, a shape (a tuple of ints; random float32 are
            drawn), or a list or dict of these.
        extra: other tensor arguments of the call, by name, given like `inputs`.
        training: the call's `training`; left out by default.
        call: other keyword arguments of the call, which are not tensors.
        mask: bool array, or list of them, attached to the inputs.
        rtol: tolerance relative to the largest element; of float32's rounding by default.
        atol: tolerance added to it.
        weights: values for the weights in place of random ones, in Keras's order.
        seed: of the random inputs, weights and cotangents.
        gradients: whether there are gradients to compare.
        step: whether to take a step of SGD.
        symbolic: whether to infer shapes.
        compare_config: whether the configs must be equal.

    Returns:
        The two layers and their outputs.
    """
    rng = np.random.default_rng(seed)
    inputs = tree.map_structure_up_to(_shell(inputs), lambda x: _data(x, rng), inputs)
    extra = {k: _data(x, rng) for k, x in (extra or {}).items()}
    call = dict(call or {})
    if training is not None:
        call["training"] = training
    ours, theirs = (_make(library, name, kwargs) for library in (kbackend, keras))
    options = Options(extra, call, mask, rtol, atol)

    _call_ours(ours, inputs, options)
    _call_theirs(theirs, inputs, options)
    _copy_weights(ours, theirs, weights, rng)
    before = [w.copy() for w in ours.get_weights()]
    output = _call_ours(ours, inputs, options)
    after = ours.get_weights()
    expected = _call_theirs(theirs, inputs, options)
    _same(_leaves(output), _leaves(expected), options, "output")
    _same(_masks(output), _masks_of_keras(expected), options, "mask")
    _same(ours.losses, theirs.losses, options, "loss")
    _same(after, values_of(theirs.weights), options, "weight after the call")
    ours.set_weights(before)
    theirs.set_weights(before)
    if gradients:
        _check_gradients(ours, theirs, inputs, options, rng, step)
    if symbolic:
        _check_symbolic(name, kwargs, inputs, output, options)
    if compare_config:
        check_config(ours, theirs)
    return Pair(ours, theirs, output, expected)


def check_config(ours, theirs):
    """Equal configs, and layers made from either config have it again."""
    config, wanted = plain(ours.get_config()), plain(theirs.get_config())
    assert config == wanted
    cls = type(ours)
    assert plain(cls.from_config(ours.get_config()).get_config()) == wanted
    assert plain(cls.from_config(theirs.get_config()).get_config()) == wanted
    # What has been through a file is made of lists.
    through_json = json.loads(json.dumps(kbackend.base.serialization.serialize(ours)))
    again = kbackend.base.serialization.deserialize(through_json)
    assert plain(again.get_config()) == wanted


def plain(config):
    """A config without names; tuples as lists, floats rounded to float32."""
    if isinstance(config, dict):
        return {
            k: plain(v)
            for k, v in config.items()
            if k not in ("name", "build_config", "shared_object_id")
        }
    if isinstance(config, (list, tuple)):
        return [plain(item) for item in config]
    # Keras keeps some settings as float32.
    return float(np.float32(config)) if isinstance(config, float) else config


# ----- making and calling -----


def _is_shape(x):
    return isinstance(x, tuple) and all(isinstance(d, int) for d in x)


def _shell(inputs):
    """The structure of the inputs, in which shapes are leaves."""
    if isinstance(inputs, dict):
        return {k: _shell(v) for k, v in inputs.items()}
    if isinstance(inputs, (list, tuple)) and not _is_shape(inputs):
        return type(inputs)(_shell(x) for x in inputs)
    return 0


def _data(x, rng):
    return rng.normal(size=x).astype("float32") if _is_shape(x) else np.asarray(x)


def _make(library, name, kwargs):
    arguments = kwargs(library) if callable(kwargs) else dict(kwargs or {})
    return getattr(library.layers, name)(**arguments)


def _leaves(structure):
    return [x for x in tree.flatten(structure) if x is not None]


def _attach(structure, mask, setter):
    if mask is None:
        return
    masks = mask if isinstance(mask, list) else [mask]
    for x, m in zip(_leaves(structure), masks, strict=True):
        if m is not None:
            setter(x, m)


def _call_ours(layer, inputs, options, convert=True):
    if convert:
        inputs = tree.map_structure(kbackend.ops.convert_to_tensor, inputs)
    to_tensor = kbackend.ops.convert_to_tensor
    _attach(inputs, options.mask, lambda x, m: kbackend.core.masks.set_keras_mask(x, to_tensor(m)))
    extra = tree.map_structure(to_tensor, options.extra)
    return layer(inputs, **extra, **options.call)


def _masked(inputs, options):
    """Keras's inputs with the masks attached."""
    _attach(
        inputs,
        options.mask,
        lambda x, m: keras.src.backend.set_keras_mask(x, jax.numpy.asarray(m)),
    )
    return inputs


def _call_theirs(layer, inputs, options):
    made = _masked(tree.map_structure(jax.numpy.asarray, inputs), options)
    return layer(made, **options.extra, **options.call)


def _masks(output):
    return [getattr(x, "_keras_mask", None) for x in _leaves(output)]


def _masks_of_keras(output):
    return [keras.src.backend.get_keras_mask(x) for x in _leaves(output)]


def _copy_weights(ours, theirs, weights, rng):
    mine, wanted = ours.weights, theirs.weights
    assert [(w.name, tuple(w.shape), w.trainable) for w in mine] == [
        (w.name, tuple(w.shape), w.trainable) for w in wanted
    ]
    assert [w.path.split("/")[1:] for w in mine] == [w.path.split("/")[1:] for w in wanted]
    if weights is None:
        weights = [_random_weight(w, rng) for w in theirs.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)


def values_of(variables):
    """Values of Keras's variables. (Their own `numpy()` warns.)"""
    return [np.asarray(v.value) for v in variables]


def _random_weight(weight, rng):
    value = rng.uniform(-0.5, 0.5, size=weight.shape)
    # Variances, and the scales of normalizations, are positive where they are used.
    positive = any(part in weight.name for part in ("variance", "gamma", "scale"))
    return (np.abs(value) + 0.5 if positive else value).astype(
        np.asarray(weight.value).dtype if "int" in str(weight.dtype) else "float32"
    )


# ----- comparing -----


def _same(found, wanted, options, what, looser=1):
    assert len(found) == len(wanted), what
    for i, (x, y) in enumerate(zip(found, wanted, strict=True)):
        if x is None or y is None:
            assert x is None and y is None, f"{what} {i}: {x} {y}"
            continue
        x_dtype = x.dtype if isinstance(x.dtype, str) else x.dtype.name
        y_dtype = y.dtype if isinstance(y.dtype, str) else y.dtype.name
        assert x_dtype == y_dtype, f"{what} {i}"
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == y.shape, f"{what} {i}"
        if x.dtype == bool or np.issubdtype(x.dtype, np.integer):
            np.testing.assert_array_equal(x, y, err_msg=f"{what} {i}")
            continue
        x, y = x.astype("float64"), y.astype("float64")
        finite = np.abs(y[np.isfinite(y)])
        # Sums are rounded relative to their largest terms, so small elements are not held to it.
        scale = float(finite.max()) if finite.size else 0.0
        np.testing.assert_allclose(
            x, y, rtol=options.rtol * looser,
            atol=(options.atol + options.rtol * scale) * looser, err_msg=f"{what} {i}",
        )  # fmt: skip


def _is_float(x):
    return np.issubdtype(np.asarray(x).dtype, np.floating)


def _weight_losses(layer):
    found = [v for v in layer.trainable_variables if getattr(v, "regularizer", None) is not None]
    return [v.regularizer(v) for v in found]


def _check_gradients(ours, theirs, inputs, options, rng, step):
    floats = [i for i, x in enumerate(tree.flatten(inputs)) if _is_float(x)]
    keys = [k for k, x in options.extra.items() if _is_float(x)]
    state = [w.copy() for w in ours.get_weights()]
    shapes = [tuple(x.shape) for x in _leaves(_call_ours(ours, inputs, options))]
    ours.set_weights(state)
    cotangents = [rng.normal(size=shape).astype("float32") for shape in shapes]

    flat = [kbackend.ops.convert_to_tensor(x) for x in tree.flatten(inputs)]
    extra = {k: kbackend.ops.convert_to_tensor(x) for k, x in options.extra.items()}
    with kbackend.GradientTape() as tape:
        sources = [flat[i] for i in floats] + [extra[k] for k in keys]
        tape.watch(sources)
        out = _call_ours(
            ours, tree.pack_as(inputs, flat), options._replace(extra=extra), convert=False
        )
        total = sum(
            (kbackend.ops.sum(kbackend.ops.cast(o, "float32") * c)
             for o, c in zip(_leaves(out), cotangents, strict=True)),
            start=kbackend.ops.convert_to_tensor(0.0),
        )  # fmt: skip
        for loss in ours.losses:
            total = total + loss
    own = ours.trainable_variables
    found = tape.gradient(total, [*own, *sources], unconnected_gradients="zero")

    def their_total(values, arrays, named):
        leaves = list(tree.flatten(inputs))
        for i, x in zip(floats, arrays, strict=True):
            leaves[i] = x
        filled = _masked(tree.pack_as(inputs, leaves), options)
        # Keras's stateless_call() would leave out the layer's own activity loss.
        pairs = list(zip(theirs.trainable_variables, values, strict=True))
        with keras.StatelessScope(pairs, collect_losses=True) as scope:
            out = theirs(filled, **{**options.extra, **named}, **options.call)
            losses = [*scope.losses, *_weight_losses(theirs)]
        result = sum(
            (jax.numpy.sum(o.astype("float32") * c)
             for o, c in zip(_leaves(out), cotangents, strict=True)),
            start=jax.numpy.zeros(()),
        )  # fmt: skip
        return sum(losses, start=result)

    values = [v.value for v in theirs.trainable_variables]
    arrays = [jax.numpy.asarray(tree.flatten(inputs)[i]) for i in floats]
    named = {k: jax.numpy.asarray(options.extra[k]) for k in keys}
    by_value, by_input, by_name = jax.jit(jax.grad(their_total, argnums=(0, 1, 2)))(
        values, arrays, named
    )
    wanted = [*by_value, *by_input, *(by_name[k] for k in keys)]
    # Gradients add up many rounded terms.
    _same(found, wanted, options, "gradient", looser=10)
    if step and own:
        kbackend.optimizers.SGD(0.1).apply(found[: len(own)], own)
        keras.optimizers.SGD(0.1).apply(list(by_value), theirs.trainable_variables)
        _same(
            [v.numpy() for v in own],
            values_of(theirs.trainable_variables),
            options, "weight after a step", looser=10,
        )  # fmt: skip


def _check_symbolic(name, kwargs, inputs, output, options):
    def specs(library, batch):
        made = tree.map_structure(
            lambda x: library.KerasTensor((batch or x.shape[0], *x.shape[1:]), x.dtype.name),
            inputs,
        )
        extra = {
            k: library.KerasTensor((batch or x.shape[0], *x.shape[1:]), x.dtype.name)
            for k, x in options.extra.items()
        }
        return made, extra

    def unknown(library):
        made, extra = specs(library, None)
        swap = lambda x: library.KerasTensor((None, *x.shape[1:]), x.dtype)  # noqa: E731
        return tree.map_structure(swap, made), tree.map_structure(swap, extra)

    eager = [(tuple(x.shape), x.dtype) for x in _leaves(output)]
    inferred = {}
    for known, make in ((False, unknown), (True, lambda library: specs(library, None))):
        for library in (kbackend, keras):
            layer = _make(library, name, kwargs)
            made, extra = make(library)
            out = layer(made, **extra, **options.call)
            inferred[library, known] = [(tuple(x.shape), x.dtype) for x in _leaves(out)]
    assert inferred[kbackend, True] == eager
    for ours, theirs, full, sized in zip(
        inferred[kbackend, False], inferred[keras, False], eager, inferred[keras, True], strict=True
    ):
        # A dimension that Keras does not even infer from known sizes may be known here.
        wanted = tuple(
            size if dim is None and again is None else dim
            for dim, again, size in zip(theirs[0], sized[0], full[0], strict=True)
        )
        assert ours == (wanted, theirs[1])
