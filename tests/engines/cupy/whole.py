"""Composites that are done in a few launches of their own: their texts run on the CPU."""

from __future__ import annotations

import numpy as np

from kbackend.core.composite import COMPOSITES
from kbackend.core.tensor import tensor
from kbackend_cupy.codegen import attention, moments, recurrent
from tests.engines.cupy.kernels import execute, spec

WHOLE = {**attention.COMPOSITES, **moments.COMPOSITES, **recurrent.COMPOSITES}


def planned(name, inputs, **params):
    """The launches of a composite, and the specs of its results."""
    whole, specs = WHOLE[name], tuple(map(spec, inputs))
    assert whole.takes(specs)
    outputs = whole.outputs(specs, **params)
    plan = whole.plan(specs, outputs, **params)
    assert plan is not None
    return plan, outputs


def run(name, inputs, change=None, **params):
    """The results of a composite's kernels."""
    plan, outputs = planned(name, inputs, **params)
    before = [a.copy() for a in inputs]
    made = execute(plan, outputs, inputs, change=change)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    return made


def body(name, inputs, **params):
    """The results of a composite's body on the NumPy engine."""
    with np.errstate(all="ignore"):
        made = COMPOSITES[name].body(*map(tensor, inputs), **params)
    return [np.asarray(one.numpy()) for one in (made if isinstance(made, tuple) else (made,))]
