"""The suite that every engine passes: the table of specs, run on its kernels.

Each case is a plain function, so that any test runner can take them:

    @pytest.mark.parametrize("case", conformance_cases("mine"), ids=str)
    def test_engine(case):
        case()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from kbackend.autodiff import GradientTape
from kbackend.base import tree
from kbackend.base.dtypes import INEXACT_SET, name_of
from kbackend.compiler.compiled import jit
from kbackend.core.bind import bind
from kbackend.core.primitive import PRIMITIVES
from kbackend.core.tensor import Tensor, tensor
from kbackend.engine.loader import get_engine, use_backend
from kbackend.testing.gradients import check_grads
from kbackend.testing.opspec import TOLERANCE, OpSpec, Sample
from kbackend.testing.specs import SPECS


class Case(NamedTuple):
    """One check of one engine. Call it; it raises where the engine falls short.

    Attributes:
        name: what is checked, such as "add-float32-value".
        check: the check.
    """

    name: str
    check: Callable[[], None]

    def __call__(self) -> None:
        self.check()

    def __str__(self) -> str:
        return self.name


def conformance_cases(engine: str) -> list[Case]:
    """All checks for the engine of that name.

    Args:
        engine: name of an engine.

    Returns:
        One case for the completeness of its table, and for each primitive cases for values and
        dtypes (eager and compiled), special values, memory layout, purity, and gradients to the
        order of its spec.
    """
    cases = [Case("table-complete", lambda: _check_complete(engine))]
    for spec in SPECS.values():
        cases.extend(_cases_of(spec, engine))
    return cases


def run_conformance(engine: str) -> dict[str, str]:
    """Runs all checks; returns those that failed, with their errors.

    Args:
        engine: name of an engine.

    Example:
        >>> run_conformance("numpy")  # doctest: +SKIP
        {}
    """
    failures = {}
    for case in conformance_cases(engine):
        try:
            case()
        except Exception as error:  # whatever went wrong is the finding
            failures[case.name] = f"{type(error).__name__}: {error}"
    return failures


def _check_complete(engine: str) -> None:
    table = get_engine(engine).table
    missing = sorted(set(PRIMITIVES) - set(table))
    superfluous = sorted(set(table) - set(PRIMITIVES))
    if missing or superfluous:
        raise AssertionError(
            f"The engine '{engine}' lacks kernels for {missing} and has some for unknown "
            f"primitives: {superfluous}."
        )


def _cases_of(spec: OpSpec, engine: str) -> Iterator[Case]:
    for dtype in spec.dtypes:
        yield _case(spec, engine, f"{dtype}-value", partial(_check_values, spec, dtype))
        yield _case(spec, engine, f"{dtype}-compiled", partial(_check_compiled, spec, dtype))
    if spec.special:
        yield _case(spec, engine, "special", lambda: _check_special(spec))
    yield _case(spec, engine, "layout", lambda: _check_layout(spec))
    yield _case(spec, engine, "purity", lambda: _check_purity(spec))
    if spec.grad_order:
        yield _case(spec, engine, f"gradient-{spec.grad_order}", lambda: _check_gradient(spec))


def _case(spec: OpSpec, engine: str, what: str, check: Callable[[], None]) -> Case:
    def run() -> None:
        with use_backend(engine):
            check()

    return Case(f"{spec.primitive}-{what}", run)


def _tensors(sample: Sample) -> list[Tensor]:
    return [tensor(np.asarray(arg)) for arg in sample.args]


def _bound(spec: OpSpec, params: Mapping[str, Any], *args: Any) -> Any:
    return bind(PRIMITIVES[spec.primitive], *args, **params)


def _apply(spec: OpSpec, sample: Sample) -> Any:
    return _bound(spec, sample.params, *_tensors(sample))


def _hosts(results: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(r) for r in (results if isinstance(results, tuple) else (results,))]


def _wide(x: Any) -> Any:
    array = np.asarray(x)
    return array.astype("float64") if "float" in str(array.dtype) else array


def _agree(spec: OpSpec, found: Any, expected: Any) -> None:
    """Raises unless two lists of host results are close, by the dtype of the found ones."""
    if spec.compare is not None:
        spec.compare(found, expected)
        return
    for f, e in zip(found, expected, strict=True):
        dtype = name_of(f.dtype)
        if dtype not in INEXACT_SET:
            np.testing.assert_array_equal(f, e)
            continue
        tolerance = TOLERANCE[dtype] * spec.tolerance
        wide = _wide(e) if e.dtype.kind != "c" else e
        # Absolute errors are measured against the greatest value: sums cancel.
        finite = np.abs(wide[np.isfinite(wide)])
        scale = max(1.0, float(finite.max())) if finite.size else 1.0
        np.testing.assert_allclose(
            f if f.dtype.kind == "c" else _wide(f), wide, rtol=tolerance, atol=tolerance * scale
        )


def _check_values(spec: OpSpec, dtype: str) -> None:
    """Values against the reference; shapes and dtypes against the primitive's own rule."""
    primitive = PRIMITIVES[spec.primitive]
    for original in spec.samples(spec.rng()):
        sample = spec.cast(original, dtype)
        results = _apply(spec, sample)
        inferred = primitive.infer(
            [tensor(np.asarray(arg)).aval for arg in sample.args], sample.params
        )
        results_flat = results if isinstance(results, tuple) else (results,)
        avals = inferred if primitive.multiple_results else (inferred,)
        for result, aval in zip(results_flat, avals, strict=True):
            if result.shape != tuple(aval.shape) or result.dtype != aval.dtype:
                raise AssertionError(
                    f"{spec.primitive} returned {result.dtype}{result.shape}; its shape rule says "
                    f"{aval.dtype}{aval.shape}. Parameters: {sample.params}."
                )
        expected = spec.reference(*sample.args, **sample.params)
        flat = expected if isinstance(expected, tuple) else (expected,)
        _agree(spec, _hosts(results), [np.asarray(e) for e in flat])


def _check_compiled(spec: OpSpec, dtype: str) -> None:
    """The same values from a compiled program, which may have other kernels."""
    for original in spec.samples(spec.rng()):
        sample = spec.cast(original, dtype)
        results = jit(partial(_bound, spec, sample.params))(*_tensors(sample))
        _agree(spec, _hosts(results), _hosts(_apply(spec, sample)))


def _check_special(spec: OpSpec) -> None:
    """Infinities, NaN and zeros give what the reference gives."""
    for args in spec.special:
        with np.errstate(all="ignore"):
            expected = spec.reference(*args)
        _agree(spec, _hosts(_apply(spec, Sample(tuple(args)))), [np.asarray(expected)])


def _strided(x: Any) -> Any:
    """The same values behind unusual strides: reversed, every second element of a wider array."""
    array = np.asarray(x)
    if not array.ndim:
        return array
    wide = np.empty((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    view = wide[..., ::2][..., ::-1]
    view[...] = array
    return view


def _check_layout(spec: OpSpec) -> None:
    """Kernels take arrays of any strides."""
    engine = tensor(0.0).engine
    for sample in spec.samples(spec.rng()):
        cast = spec.cast(sample, spec.dtypes[-1])
        plain = _apply(spec, cast)
        # asarray may keep the strides; slicing on the engine makes them in any case.
        args = [Tensor(engine.asarray(_strided(arg), copy=False), engine) for arg in cast.args]
        turned = bind(PRIMITIVES[spec.primitive], *args, **cast.params)
        _agree(spec, _hosts(turned), _hosts(plain))


def _check_purity(spec: OpSpec) -> None:
    """Arguments stay as they were; the result under a tape is that without one."""
    for sample in spec.samples(spec.rng()):
        cast = spec.cast(sample, spec.dtypes[-1])
        args = [tensor(np.asarray(arg)) for arg in cast.args]
        before = [np.array(arg) for arg in args]
        plain = bind(PRIMITIVES[spec.primitive], *args, **cast.params)
        with GradientTape() as tape:
            tape.watch([arg for arg in args if arg.dtype in INEXACT_SET])
            taped = bind(PRIMITIVES[spec.primitive], *args, **cast.params)
        for arg, host in zip(args, before, strict=True):
            np.testing.assert_array_equal(np.asarray(arg), host)
        for a, b in zip(_hosts(plain), _hosts(taped), strict=True):
            np.testing.assert_array_equal(a, b)


def _check_gradient(spec: OpSpec) -> None:
    """Derivatives against finite differences in float64."""
    primitive = PRIMITIVES[spec.primitive]
    for original in spec.samples(spec.rng()):
        sample = spec.cast(original, "float64")
        whole = any(np.asarray(arg).dtype.kind in "iu" for arg in original.args[:1])
        if whole or any(np.asarray(arg).size == 0 for arg in sample.args):
            continue  # steps of functions such as mod lie at whole numbers
        free = [i for i in range(len(sample.args)) if i not in spec.fixed]

        def fn(*xs: Any, sample: Sample = sample, free: Any = free) -> Any:
            args: list[Any] = [
                tensor(np.asarray(arg)) if i not in free else None
                for i, arg in enumerate(sample.args)
            ]
            for i, x in zip(free, xs, strict=True):
                args[i] = x

            def apply(*tensors: Any) -> Any:
                return bind(primitive, *tensors, **sample.params)

            out = apply(*args) if spec.differentiate is None else spec.differentiate(apply, *args)
            return [y for y in tree.flatten(out) if y.dtype in INEXACT_SET]

        if sample.params.get("dtype", "float64") not in ("float64",):
            continue  # a cast to another dtype rounds: differences say nothing
        check_grads(fn, [sample.args[i] for i in free], order=spec.grad_order)
