"""Kernels of the optimizers' rules: few temporaries, block by block, so that they stay in cache.

A rule is `rule(*arrays, *outputs, t, u, *scalars)` over blocks of one shape; `t` and `u` are
scratch. An output may be the very memory of the array that it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads

# Bytes: five blocks and two of scratch fit in a typical 1 MB level 2 cache.
_BLOCK = 1 << 17
# Threads take longer blocks, so that they seldom wait for the interpreter's lock.
_LONG_BLOCK = 1 << 18
# Bytes of a parameter from which on two threads are faster than one, in spite of the memory.
_LARGE = 1 << 22
# Nanoseconds for a byte of the parameter, roughly.
_COST = 0.5

# An average that small is nothing beside a parameter, nor its root beside an `epsilon` above
# `_LEAST`. Left alone, the averages of what has no gradient any more fade until they are subnormal
# and stay there, and each operation on theirs takes a processor a hundred times as long. So that
# looking for them costs nothing, it is done every so many steps.
_FAINT = {"float32": 2.0**-110, "float64": 2.0**-960}
_LEAST, _EVERY = 2.0**-40, 64

_Rule = Callable[..., None]
# `(kind, **parameters)` to the function that turns the 0-d arrays at the end of the arguments into
# the rule's scalars, as 0-d arrays.
_Scalars = Callable[..., Callable[..., tuple[Any, ...]]]


def _blocks(
    rule: _Rule, arrays: Sequence[Any], scratch: Sequence[Any], scalars: tuple[Any, ...],
    start: int, stop: int,
) -> None:  # fmt: skip
    """Runs the rule over the rows from `start` to `stop`."""
    step = len(scratch[0])
    for at in range(start, stop, step):
        end = min(at + step, stop)
        rule(*[a[at:end] for a in arrays], *[s[: end - at] for s in scratch], *scalars)


def _replaced(arrays: int) -> tuple[int, ...]:
    """Places of the arrays that come back changed: all but that of the gradient."""
    return (0, *range(2, arrays))


def _kernel(rules: Mapping[int, _Rule], scalars: _Scalars, rates: int = 1) -> Kernel:
    """The kernel of rules by the number of arrays; the last `rates` arguments are 0-d."""
    known_scalars: Callable[..., Any] = lru_cache(maxsize=64)(scalars)

    def fn(*inputs: Any, **params: Any) -> Any:
        arrays, p = inputs[:-rates], inputs[0]
        outputs = [np.empty(p.shape, p.dtype) for _ in _replaced(len(arrays))]
        size = min(p.size, _BLOCK // p.itemsize)
        scratch = [np.empty(size, p.dtype), np.empty(size, p.dtype)]
        with np.errstate(all="ignore"):
            values = known_scalars(p.dtype.type, **params)(*inputs[-rates:])
            if size:
                flat = [a.reshape(-1) for a in (*arrays, *outputs)]
                _blocks(rules[len(arrays)], flat, scratch, values, 0, p.size)
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def prepare(
        inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], **params: Any
    ) -> Prepared | None:
        p, lr = inputs[0], inputs[-rates]
        if p.dtype not in ("float32", "float64") or lr.dtype != p.dtype:
            return None
        values = known_scalars(np.dtype(p.dtype).type, **params)
        overwrites = tuple(
            (given, out)
            for out, given in enumerate(_replaced(len(inputs) - rates))
            if inputs[given].contiguous
        )
        rule = rules[len(inputs) - rates]
        bytes_ = p.size * np.dtype(p.dtype).itemsize
        made, known = len(outputs), len(outputs) + len(inputs)
        arrays = known - rates
        if bytes_ <= _BLOCK:

            def whole(*args: Any) -> None:
                scalars = values(*args[arrays:known])
                rule(*args[made:arrays], *args[:made], *args[known:], *scalars)

            return Prepared(whole, (Spec(p.shape, p.dtype),) * 2, overwrites)

        flat = all(spec.contiguous for spec in inputs)
        shape = (p.size,) if flat else p.shape
        workers = threads.count() if bytes_ >= _LARGE else 1
        row = bytes_ // shape[0]
        step = max(1, (_LONG_BLOCK if workers > 1 else _BLOCK) // row)
        parts = threads.ranges(shape[0], workers)

        def blocks(*args: Any) -> None:
            scalars, scratch = values(*args[arrays:known]), args[known:]
            rows = [*args[made:arrays], *args[:made]]
            if flat:
                rows = [a.reshape(-1) for a in rows]
            if workers == 1 or not threads.active():
                _blocks(rule, rows, scratch[:2], scalars, 0, shape[0])
                return

            def part(index: int, worker: int) -> None:
                own = scratch[2 * worker : 2 * worker + 2]
                _blocks(rule, rows, own, scalars, *parts[index])

            threads.split(part, len(parts))

        scratch = (Spec((step, *shape[1:]), p.dtype),) * (2 * workers)
        work = _COST * bytes_ if workers > 1 else 0.0
        return Prepared(blocks, scratch, overwrites, work)

    return Kernel(fn, prepare=prepare)


def _fixed(kind: Any, *numbers: float) -> tuple[Any, ...]:
    return tuple([np.array(n, kind) for n in numbers])


def _weight_decay(p: Any, p_out: Any, t: Any, u: Any, lr: Any, rate: Any) -> None:
    np.multiply(p, rate, out=t)
    t *= lr
    np.subtract(p, t, out=p_out)


def _decay_scalars(kind: Any, rate: float) -> Any:
    fixed = _fixed(kind, rate)
    return lambda lr: (lr, *fixed)


def _sgd(p: Any, g: Any, p_out: Any, t: Any, u: Any, lr: Any) -> None:
    np.multiply(g, lr, out=t)
    np.subtract(p, t, out=p_out)


def _sgd_scalars(kind: Any) -> Any:
    return lambda lr: (lr,)


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


def _momentum_scalars(kind: Any, momentum: float, nesterov: bool) -> Any:
    fixed = _fixed(kind, momentum)
    return lambda lr: (lr, *fixed, nesterov)


def _moments(
    g: Any, m: Any, v: Any, m_out: Any, v_out: Any, t: Any, share_1: Any, share_2: Any, fading: bool
) -> None:
    np.subtract(g, m, out=t)
    t *= share_1
    np.add(m, t, out=m_out)
    np.multiply(g, g, out=t)
    t -= v
    t *= share_2
    np.add(v, t, out=v_out)
    if fading:
        _fade(m_out, t)
        _fade(v_out, t)


def _fade(average: Any, t: Any) -> None:
    """Makes faint numbers 0; `t` is scratch."""
    np.abs(average, out=t)
    average[t < _FAINT[average.dtype.name]] = 0


def _adam_step(p: Any, m: Any, v: Any, p_out: Any, t: Any, u: Any, alpha: Any, eps: Any) -> None:
    np.sqrt(v, out=t)
    t += eps
    np.multiply(m, alpha, out=u)
    u /= t
    np.subtract(p, u, out=p_out)


def _adam(
    p: Any, g: Any, m: Any, v: Any, p_out: Any, m_out: Any, v_out: Any, t: Any, u: Any,
    alpha: Any, share_1: Any, share_2: Any, epsilon: Any, fading: bool,
) -> None:  # fmt: skip
    _moments(g, m, v, m_out, v_out, t, share_1, share_2, fading)
    _adam_step(p, m_out, v_out, p_out, t, u, alpha, epsilon)


def _amsgrad(
    p: Any, g: Any, m: Any, v: Any, v_max: Any,
    p_out: Any, m_out: Any, v_out: Any, max_out: Any, t: Any, u: Any,
    alpha: Any, share_1: Any, share_2: Any, epsilon: Any, fading: bool,
) -> None:  # fmt: skip
    _moments(g, m, v, m_out, v_out, t, share_1, share_2, fading)
    np.maximum(v_max, v_out, out=max_out)
    _adam_step(p, m_out, max_out, p_out, t, u, alpha, epsilon)


def _adam_scalars(kind: Any, beta_1: float, beta_2: float, epsilon: float) -> Any:
    fixed = _fixed(kind, 1.0 - beta_1, 1.0 - beta_2, epsilon)

    def scalars(lr: Any, iterations: Any) -> Any:
        # The learning rate with both corrections, in its own dtype.
        own = lr.dtype.type
        number = int(iterations) + 1
        step, one = own(number), own(1)
        widened = lr[()] * np.sqrt(one - own(beta_2) ** step)
        fading = number % _EVERY == 0 and epsilon > _LEAST
        return (np.asarray(widened / (one - own(beta_1) ** step)), *fixed, fading)

    return scalars


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


def _rms_scalars(kind: Any, rho: float, momentum: float, epsilon: float) -> Any:
    fixed = _fixed(kind, rho, 1.0 - rho, momentum, epsilon)
    return lambda lr: (lr, *fixed)


# The rules by the number of arrays: RMSprop's depend on whether there is momentum.
COMPOSITES: dict[str, Kernel] = {
    "weight_decay": _kernel({1: _weight_decay}, _decay_scalars),
    "sgd_update": _kernel({2: _sgd}, _sgd_scalars),
    "momentum_update": _kernel({3: _momentum}, _momentum_scalars),
    "adam_update": _kernel({4: _adam}, _adam_scalars, rates=2),
    "amsgrad_update": _kernel({5: _amsgrad}, _adam_scalars, rates=2),
    "rmsprop_update": _kernel({3: _rms, 4: _rms_momentum}, _rms_scalars),
    "rmsprop_centered_update": _kernel({4: _rms_centered, 5: _rms_centered_momentum}, _rms_scalars),
}
