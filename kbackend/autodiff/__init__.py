"""Differentiation: tapes, derivatives of functions, custom gradients."""

from kbackend import prim as prim  # attaches the rules to the primitives
from kbackend.autodiff.api import grad, hessian, jacobian, jvp, value_and_grad, vjp
from kbackend.autodiff.custom import custom_gradient, remat, stop_gradient
from kbackend.autodiff.remat_scope import RematScope
from kbackend.autodiff.tape import GradientTape

__all__ = [
    "GradientTape", "RematScope", "custom_gradient", "grad", "hessian", "jacobian", "jvp", "remat",
    "stop_gradient", "value_and_grad", "vjp",
]  # fmt: skip
