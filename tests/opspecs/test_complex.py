"""Gradients of the complex primitives: through a real function of complex intermediates."""

import numpy as np

from kbackend.core import lang
from kbackend.testing import check_grads


def test_complex_real_imag_gradients_match_differences():
    rng = np.random.default_rng(0)

    def fn(x, y):
        z = lang.complex_(x, y)
        w = lang.mul(lang.exp(z), lang.div(z, lang.add(lang.mul(z, z), 5.0)))
        return lang.add(lang.real(w), lang.mul(lang.imag(w), 2.0))

    check_grads(fn, [rng.standard_normal((2, 3)), rng.standard_normal((2, 3))], order=2)


def test_abs_of_complex_has_the_phase_as_gradient():
    rng = np.random.default_rng(1)
    check_grads(
        lambda x, y: lang.abs_(lang.complex_(x, y)),
        [rng.uniform(0.5, 2, (4,)), rng.uniform(0.5, 2, (4,))],
        order=2,
    )
