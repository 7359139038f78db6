"""What tests of ops share: comparison with real Keras on JAX, gradients included."""

import numpy as np
import pytest

from kbackend.autodiff import GradientTape
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.keras_tensor import KerasTensor


def _total(out, weights):
    return sum(
        lang.reduce_sum(lang.mul(o, to_tensor(w)), tuple(range(len(o.shape))))
        for o, w in zip(out, weights, strict=True)
    )


def _leaves(out):
    return list(out) if isinstance(out, (tuple, list)) else [out]


@pytest.fixture
def agrees(rng):
    """A function that checks values, gradients and symbolic shapes of an op against Keras's."""
    jax = pytest.importorskip("jax")
    pytest.importorskip("keras")

    def check(ours, theirs, *args, rtol=2e-4, atol=2e-5, grads=True, second=False, batch=True):
        out = _leaves(ours(*args))
        expected = _leaves(theirs(*args))
        assert len(out) == len(expected)
        for o, e in zip(out, expected, strict=True):
            assert o.shape == tuple(e.shape)
            np.testing.assert_allclose(np.asarray(o), np.asarray(e), rtol=rtol, atol=atol)
        specs = [
            KerasTensor((None, *a.shape[1:]) if batch and i == 0 else a.shape, str(a.dtype))
            for i, a in enumerate(args)
        ]
        for spec, o in zip(_leaves(ours(*specs)), out, strict=True):
            assert spec.dtype == o.dtype
            assert len(spec.shape) == len(o.shape)
            assert all(m in (None, n) for m, n in zip(spec.shape, o.shape, strict=True))
        if not grads:
            return
        weights = [rng.normal(size=o.shape).astype("float32") for o in out]
        places = [i for i, a in enumerate(args) if np.issubdtype(a.dtype, np.floating)]

        def their_total(*args):
            found = _leaves(theirs(*args))
            return sum((o * w).sum() for o, w in zip(found, weights, strict=True))

        wanted = jax.grad(their_total, argnums=places)(*args)
        tensors = [to_tensor(a) for a in args]
        directions = [rng.normal(size=args[i].shape).astype("float32") for i in places]
        with GradientTape() as outer:
            outer.watch([tensors[i] for i in places])
            with GradientTape() as tape:
                tape.watch([tensors[i] for i in places])
                y = _total(_leaves(ours(*tensors)), weights)
            got = tape.gradient(y, [tensors[i] for i in places], unconnected_gradients="zero")
            along = _total(got, directions)
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=10 * rtol, atol=10 * atol)
        if not second:
            return

        def their_along(*args):
            found = jax.grad(their_total, argnums=places)(*args)
            return sum((g * d).sum() for g, d in zip(found, directions, strict=True))

        wanted = jax.grad(their_along, argnums=places)(*args)
        got = outer.gradient(along, [tensors[i] for i in places], unconnected_gradients="zero")
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=50 * rtol, atol=50 * atol)

    return check
