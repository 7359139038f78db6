"""Kernels of the optimizers' rules: few temporaries, block by block, so that they stay in cache.

The arrays that come in belong to immutable tensors and are only read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel

# Elements: nine float32 blocks of this size fit in a typical 1 MB level 2 cache.
_BLOCK = 16384

_Rule = Callable[..., None]


def _run(rule: _Rule, inputs: tuple[Any, ...], outputs: int, *scalars: Any) -> tuple[Any, ...]:
    """Runs `rule(*inputs, *outputs, two scratch arrays, *scalars)` over all blocks."""
    shape, dtype, size = inputs[0].shape, inputs[0].dtype, inputs[0].size
    if size <= _BLOCK:
        made = [np.empty(shape, dtype) for _ in range(outputs)]
        with np.errstate(all="ignore"):
            rule(*inputs, *made, np.empty(shape, dtype), np.empty(shape, dtype), *scalars)
        return tuple(made)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in inputs]
    made = [np.empty(size, dtype) for _ in range(outputs)]
    scratch = [np.empty(_BLOCK, dtype), np.empty(_BLOCK, dtype)]
    arrays = [*flat, *made]
    with np.errstate(all="ignore"):
        for start in range(0, size, _BLOCK):
            blocks = [array[start : start + _BLOCK] for array in arrays]
            if start + _BLOCK > size:
                scratch = [block[: size - start] for block in scratch]
            rule(*blocks, *scratch, *scalars)
    return tuple([array.reshape(shape) for array in made])


def _weight_decay(p: Any, p_out: Any, t: Any, u: Any, lr: Any, rate: Any) -> None:
    np.multiply(p, rate, out=t)
    t *= lr
    np.subtract(p, t, out=p_out)


def weight_decay(p: Any, lr: Any, *, rate: float) -> Any:
    """See `kbackend.optimizers.updates`."""
    return _run(_weight_decay, (p,), 1, lr, p.dtype.type(rate))[0]


def _sgd(p: Any, g: Any, p_out: Any, t: Any, u: Any, lr: Any) -> None:
    np.multiply(g, lr, out=t)
    np.subtract(p, t, out=p_out)


def sgd_update(p: Any, g: Any, lr: Any) -> Any:
    """See `kbackend.optimizers.updates`."""
    return _run(_sgd, (p, g), 1, lr)[0]


def _momentum(
    p: Any, g: Any, m: Any, p_out: Any, m_out: Any, t: Any, u: Any,
    lr: Any, momentum: Any, nesterov: bool,
) -> None:  # fmt: skip
    np.multiply(g, lr, out=t)
    np.multiply(m, momentum, out=m_out)
    m_out -= t
    if nesterov:
        np.multiply(m_out, momentum, out=u)
        u -= t
        np.add(p, u, out=p_out)
    else:
        np.add(p, m_out, out=p_out)


def momentum_update(p: Any, g: Any, m: Any, lr: Any, *, momentum: float, nesterov: bool) -> Any:
    """See `kbackend.optimizers.updates`."""
    return _run(_momentum, (p, g, m), 2, lr, p.dtype.type(momentum), nesterov)


def _rate(lr: Any, iterations: Any, beta_1: float, beta_2: float) -> Any:
    """Adam's learning rate with both corrections, in the dtype of `lr`."""
    kind = lr.dtype.type
    step, one = kind(int(iterations) + 1), kind(1)
    widened = kind(lr) * np.sqrt(one - kind(beta_2) ** step)
    return kind(widened / (one - kind(beta_1) ** step))


def _moments(
    g: Any, m: Any, v: Any, m_out: Any, v_out: Any, t: Any, share_1: Any, share_2: Any
) -> None:
    np.subtract(g, m, out=t)
    t *= share_1
    np.add(m, t, out=m_out)
    np.multiply(g, g, out=t)
    t -= v
    t *= share_2
    np.add(v, t, out=v_out)


def _adam_step(p: Any, m: Any, v: Any, p_out: Any, t: Any, u: Any, alpha: Any, eps: Any) -> None:
    np.sqrt(v, out=t)
    t += eps
    np.multiply(m, alpha, out=u)
    u /= t
    np.subtract(p, u, out=p_out)


def _adam(
    p: Any, g: Any, m: Any, v: Any, p_out: Any, m_out: Any, v_out: Any, t: Any, u: Any,
    alpha: Any, share_1: Any, share_2: Any, epsilon: Any,
) -> None:  # fmt: skip
    _moments(g, m, v, m_out, v_out, t, share_1, share_2)
    _adam_step(p, m_out, v_out, p_out, t, u, alpha, epsilon)


def _amsgrad(
    p: Any, g: Any, m: Any, v: Any, v_max: Any,
    p_out: Any, m_out: Any, v_out: Any, max_out: Any, t: Any, u: Any,
    alpha: Any, share_1: Any, share_2: Any, epsilon: Any,
) -> None:  # fmt: skip
    _moments(g, m, v, m_out, v_out, t, share_1, share_2)
    np.maximum(v_max, v_out, out=max_out)
    _adam_step(p, m_out, max_out, p_out, t, u, alpha, epsilon)


def adam_update(
    p: Any, g: Any, m: Any, v: Any, lr: Any, iterations: Any,
    *, beta_1: float, beta_2: float, epsilon: float,
) -> Any:  # fmt: skip
    """See `kbackend.optimizers.updates`."""
    kind = p.dtype.type
    with np.errstate(all="ignore"):
        alpha = _rate(lr, iterations, beta_1, beta_2)
    shares = kind(1.0 - beta_1), kind(1.0 - beta_2)
    return _run(_adam, (p, g, m, v), 3, alpha, *shares, kind(epsilon))


def amsgrad_update(
    p: Any, g: Any, m: Any, v: Any, v_max: Any, lr: Any, iterations: Any,
    *, beta_1: float, beta_2: float, epsilon: float,
) -> Any:  # fmt: skip
    """See `kbackend.optimizers.updates`."""
    kind = p.dtype.type
    with np.errstate(all="ignore"):
        alpha = _rate(lr, iterations, beta_1, beta_2)
    shares = kind(1.0 - beta_1), kind(1.0 - beta_2)
    return _run(_amsgrad, (p, g, m, v, v_max), 4, alpha, *shares, kind(epsilon))


def _average(old: Any, value: Any, out: Any, u: Any, rho: Any, share: Any) -> None:
    """`rho * old + share * value` into `out`; `u` is scratch."""
    np.multiply(old, rho, out=out)
    np.multiply(value, share, out=u)
    out += u


def _rms_step(
    p: Any, g: Any, p_out: Any, t: Any, m: Any, m_out: Any, lr: Any, momentum: Any, u: Any
) -> None:
    """The step, given the mean square plus epsilon in `t`."""
    np.sqrt(t, out=t)
    np.multiply(g, lr, out=u)
    u /= t
    if m is None:
        np.subtract(p, u, out=p_out)
    else:
        np.multiply(m, momentum, out=m_out)
        m_out += u
        np.subtract(p, m_out, out=p_out)


def _rms(
    p: Any, g: Any, v: Any, p_out: Any, v_out: Any, t: Any, u: Any,
    lr: Any, rho: Any, share: Any, momentum: Any, eps: Any, m: Any = None, m_out: Any = None,
) -> None:  # fmt: skip
    np.multiply(g, g, out=t)
    _average(v, t, v_out, u, rho, share)
    np.add(v_out, eps, out=t)
    _rms_step(p, g, p_out, t, m, m_out, lr, momentum, u)


def _rms_momentum(
    p: Any, g: Any, v: Any, m: Any, p_out: Any, v_out: Any, m_out: Any, t: Any, u: Any,
    lr: Any, rho: Any, share: Any, momentum: Any, eps: Any,
) -> None:  # fmt: skip
    _rms(p, g, v, p_out, v_out, t, u, lr, rho, share, momentum, eps, m, m_out)


def _rms_centered(
    p: Any, g: Any, v: Any, a: Any, p_out: Any, v_out: Any, a_out: Any, t: Any, u: Any,
    lr: Any, rho: Any, share: Any, momentum: Any, eps: Any, m: Any = None, m_out: Any = None,
) -> None:  # fmt: skip
    np.multiply(g, g, out=t)
    _average(v, t, v_out, u, rho, share)
    _average(a, g, a_out, u, rho, share)
    np.multiply(a_out, a_out, out=t)
    np.subtract(v_out, t, out=t)
    t += eps
    _rms_step(p, g, p_out, t, m, m_out, lr, momentum, u)


def _rms_centered_momentum(
    p: Any, g: Any, v: Any, a: Any, m: Any,
    p_out: Any, v_out: Any, a_out: Any, m_out: Any, t: Any, u: Any,
    lr: Any, rho: Any, share: Any, momentum: Any, eps: Any,
) -> None:  # fmt: skip
    _rms_centered(p, g, v, a, p_out, v_out, a_out, t, u, lr, rho, share, momentum, eps, m, m_out)


def _rmsprop(rule: _Rule, arrays: tuple[Any, ...], rho: float, momentum: float, eps: float) -> Any:
    *inputs, lr = arrays
    kind = lr.dtype.type
    scalars = lr, kind(rho), kind(1.0 - rho), kind(momentum), kind(eps)
    # Everything but the gradient comes back changed.
    return _run(rule, tuple(inputs), len(inputs) - 1, *scalars)


def rmsprop_update(*arrays: Any, rho: float, momentum: float, epsilon: float) -> Any:
    """See `kbackend.optimizers.updates`."""
    rule = _rms if len(arrays) == 4 else _rms_momentum
    return _rmsprop(rule, arrays, rho, momentum, epsilon)


def rmsprop_centered_update(*arrays: Any, rho: float, momentum: float, epsilon: float) -> Any:
    """See `kbackend.optimizers.updates`."""
    rule = _rms_centered if len(arrays) == 5 else _rms_centered_momentum
    return _rmsprop(rule, arrays, rho, momentum, epsilon)


COMPOSITES: dict[str, Kernel] = {
    fn.__name__: Kernel(fn)
    for fn in (
        weight_decay, sgd_update, momentum_update, adam_update, amsgrad_update, rmsprop_update,
        rmsprop_centered_update,
    )
}  # fmt: skip
