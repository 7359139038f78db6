"""Finds engines, loads them once, and knows which one is current.

An engine is found by name: registered at run time, built in, or announced by an installed package
through the entry point group `kbackend.engines`. This is the only file above the engines in which
their names appear, and there only as data.
"""

import functools
import importlib
import inspect
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from kbackend.base import config
from kbackend.base.errors import (
    ConfigError,
    EngineError,
    EngineNotFoundError,
    EngineUnavailableError,
)
from kbackend.base.garbage import uncollected
from kbackend.engine.interface import Engine, Probe

ENTRY_POINT_GROUP = "kbackend.engines"

_F = TypeVar("_F", bound=Callable[..., Any])


class _Spec(NamedTuple):
    """Where an engine comes from: `target` is `module:attribute`, or the factory itself."""

    target: str | Callable[[], Engine]
    install: str
    origin: str


# The same targets are entry points in pyproject.toml; this table serves a source tree that was not
# installed, and spares the usual engines the slow scan of installed packages.
_BUILT_IN = {
    "numpy": _Spec("kbackend_numpy.engine:NumpyEngine", "kbackend", "built in"),
    "numba": _Spec("kbackend_numba.engine:NumbaEngine", "kbackend[numba]", "built in"),
    "cupy": _Spec("kbackend_cupy.engine:CupyEngine", "kbackend[cupy13x]", "built in"),
}
_DEFAULT = "numpy"

_lock = threading.RLock()
_registered: dict[str, _Spec] = {}
_entry_points: dict[str, _Spec] | None = None
_engines: dict[str, Engine] = {}

# The engine of the process, and the one that `use_backend` chose in this thread or task.
_default: Engine | None = None
_default_source = config.DEFAULT
_current: ContextVar[Engine] = ContextVar("kbackend_engine")
_entered: ContextVar[tuple[Token[Engine], ...]] = ContextVar("kbackend_entered", default=())
_get_current = _current.get


def _scan_entry_points() -> dict[str, _Spec]:
    global _entry_points
    with _lock:
        if _entry_points is None:
            # Slow to import, and needed only for names that are not built in.
            metadata = importlib.import_module("importlib.metadata")
            _entry_points = {}
            for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
                owner = point.dist.name if point.dist is not None else point.value
                spec = _Spec(point.value, owner, f"entry point of {owner}")
                _entry_points.setdefault(point.name.lower(), spec)
        return _entry_points


def _find(name: str) -> _Spec | None:
    return _registered.get(name) or _BUILT_IN.get(name) or _scan_entry_points().get(name)


def _known() -> dict[str, _Spec]:
    return {**_scan_entry_points(), **_BUILT_IN, **_registered}


def _unknown(name: str) -> EngineNotFoundError:
    names = ", ".join(f"'{known}'" for known in sorted(_known()))
    return EngineNotFoundError(
        f"No engine is called {name!r}. Known engines: {names}. Use one of them (some need an "
        f"extra, as in `pip install 'kbackend[numba]'`), or install the package that brings "
        f"{name!r}."
    )


def _standardize_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(
            f"'backend' must be the name of an engine, a string. Received: backend={name!r}."
        )
    return name.strip().lower()


def _load_target(name: str, spec: _Spec) -> Callable[[], Engine]:
    if not isinstance(spec.target, str):
        return spec.target
    module_name, _, attribute = spec.target.partition(":")
    try:
        with uncollected():
            target = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
    except ModuleNotFoundError as error:
        if name in _BUILT_IN and error.name == module_name.partition(".")[0]:
            raise EngineUnavailableError(
                f"The engine '{name}' is not part of this installation: there is no package "
                f"'{error.name}'. Upgrade with: pip install --upgrade '{spec.install}', or choose "
                "another engine."
            ) from error
        raise EngineUnavailableError(
            f"The engine '{name}' needs the package '{error.name}', which is not installed. "
            f"Install it with: pip install '{spec.install}'"
        ) from error
    except Exception as error:
        # Whatever goes wrong while somebody's engine is imported is told in one way.
        raise EngineUnavailableError(
            f"The engine '{name}' ({spec.target}) can't be imported: "
            f"{type(error).__name__}: {error}. Reinstall it with: "
            f"pip install --force-reinstall '{spec.install}'"
        ) from error
    if not callable(target):
        raise EngineError(
            f"The engine '{name}': {spec.target} must be a subclass of Engine or a function that "
            f"returns an engine. Received: {target!r}."
        )
    return target


def _probe(target: Callable[[], Engine]) -> Probe:
    if isinstance(target, type) and issubclass(target, Engine):
        return target.probe() or Probe(usable=True)
    return Probe(usable=True)


def _build(name: str, spec: _Spec) -> Engine:
    target = _load_target(name, spec)
    try:
        probe = _probe(target)
        engine = target() if probe.usable else None
    except EngineError:
        raise
    except Exception as error:
        raise EngineUnavailableError(
            f"The engine '{name}' failed to start: {type(error).__name__}: {error}"
        ) from error
    if not probe.usable:
        mend = f" {probe.mend}" if probe.mend else ""
        raise EngineUnavailableError(f"The engine '{name}' can't run here: {probe.reason}{mend}")
    if not isinstance(engine, Engine):
        raise EngineError(
            f"The engine '{name}': {target!r} must give an instance of Engine. Received: "
            f"{engine!r}."
        )
    return engine


def get_engine(name: str) -> Engine:
    """The engine of that name, loaded at the first call and the same object ever after.

    Args:
        name: name of an engine, as listed by `installed_backends`.

    Returns:
        The `Engine`.

    Raises:
        EngineNotFoundError: if no engine has that name.
        EngineUnavailableError: if it can't run here; the message says what is missing.

    >>> get_engine("numpy").name
    'numpy'
    """
    engine = _engines.get(name) if isinstance(name, str) else None
    if engine is not None:
        return engine
    name = _standardize_name(name)
    with _lock:
        engine = _engines.get(name)
        if engine is None:
            spec = _find(name)
            if spec is None:
                raise _unknown(name)
            engine = _engines[name] = _build(name, spec)
        return engine


def configured_backend() -> config.Setting:
    """The name of the process-wide engine and the source that chose it, without loading it.

    Returns:
        `Setting("backend", name, source)`.

    Raises:
        EngineNotFoundError: if a source that is ours alone names an unknown engine.

    >>> configured_backend().name
    'backend'
    """
    with _lock:
        if _default is not None:
            return config.Setting("backend", _default.name, _default_source)
        for candidate in config.engine_candidates():
            if _find(candidate.engine) is not None:
                return config.Setting("backend", candidate.engine, candidate.source)
            if candidate.binding:
                error = _unknown(candidate.engine)
                raise EngineNotFoundError(f"[{candidate.source}] {error}")
        return config.Setting("backend", _DEFAULT, config.DEFAULT)


def _resolve_default() -> Engine:
    global _default, _default_source
    with _lock:
        if _default is None:
            _, name, source = configured_backend()
            try:
                engine = get_engine(name)
            except EngineError as error:
                raise type(error)(f"[{source}] {error}") from error.__cause__
            _default, _default_source = engine, source
        return _default


def current_engine() -> Engine:
    """The engine that new tensors are made on here.

    Returns:
        The one of the innermost `use_backend` of this thread or task, else that of the process.

    >>> isinstance(current_engine(), Engine)
    True
    """
    # Called once per eager operation: keep it free of anything else.
    engine = _get_current(_default)
    return _resolve_default() if engine is None else engine


def backend() -> str:
    """The name of the current engine.

    Returns:
        For example `"numpy"`.

    >>> isinstance(backend(), str)
    True
    """
    return current_engine().name


def set_backend(backend: str) -> None:
    """Choose the engine of the whole process, at any time.

    The engine is found and loaded first, so that a failure changes nothing. Inside a `use_backend`
    block the block's engine still holds.

    Args:
        backend: name of an engine, as listed by `installed_backends`.

    Raises:
        EngineNotFoundError: if no engine has that name.
        EngineUnavailableError: if it can't run here; the message says what is missing.

    >>> set_backend("numpy")
    """
    global _default, _default_source
    engine = get_engine(backend)
    with _lock:
        _default, _default_source = engine, config.RUNTIME


class use_backend:
    """Choose the engine of a block or a function, for this thread or task only.

    Threads that the block starts begin with the engine of the process.

    Args:
        backend: name of an engine, as listed by `installed_backends`.

    Raises:
        EngineNotFoundError: on entry, if no engine has that name.
        EngineUnavailableError: on entry, if it can't run here.

    >>> with use_backend("numpy") as engine:
    ...     engine.name
    'numpy'
    >>> @use_backend("numpy")
    ... def name_of_engine():
    ...     return current_engine().name
    >>> name_of_engine()
    'numpy'
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __enter__(self) -> Engine:
        engine = get_engine(self.backend)
        # Tokens are kept per context, not on self: one object may serve many threads and tasks.
        _entered.set((*_entered.get(), _current.set(engine)))
        return engine

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        *outer, token = _entered.get()
        _entered.set(tuple(outer))
        _current.reset(token)

    def __call__(self, function: _F) -> _F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"[use_backend] can't decorate the generator function {function.__qualname__}, "
                f"whose body runs in its caller's turns. Put `with use_backend(...)` around the "
                f"computation inside it."
            )
        wrapper: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return wrapper  # type: ignore[no-any-return]


def installed_backends() -> dict[str, Probe]:
    """Every known engine with whether it can run here, and why not.

    All of them are imported for the purpose.

    Returns:
        Name of the engine -> `Probe(usable, reason, mend)`.

    >>> installed_backends()["numpy"].usable
    True
    """
    found = {}
    for name, spec in sorted(_known().items()):
        try:
            found[name] = _probe(_load_target(name, spec))
        except Exception as error:
            found[name] = Probe(usable=False, reason=str(error))
    return found


def register_engine(name: str, factory: Callable[[], Engine]) -> None:
    """Make an engine known by name in this process.

    Installed packages announce theirs by an entry point in the group `kbackend.engines` instead.

    Args:
        name: the name, in lower case; it may not be taken.
        factory: a subclass of `Engine`, or a function without arguments that returns an engine.

    Raises:
        ConfigError: (a `ValueError`) if the name is taken or is no identifier.
        TypeError: if `factory` is not callable.

    >>> register_engine("mine", type(get_engine("numpy")))
    >>> "mine" in installed_backends()
    True
    >>> unregister_engine("mine")
    """
    name = _standardize_name(name)
    if not name.isidentifier():
        raise ConfigError(f"[register_engine] 'name' must be an identifier. Received: {name!r}.")
    if not callable(factory):
        raise TypeError(
            f"[register_engine] 'factory' must be a subclass of Engine or a function that returns "
            f"an engine. Received: factory={factory!r}."
        )
    with _lock:
        if _find(name) is not None:
            raise ConfigError(
                f"[register_engine] the name {name!r} is taken. Choose another name, or call "
                f"unregister_engine({name!r}) first if you registered it."
            )
        _registered[name] = _Spec(factory, name, "registered at run time")


def unregister_engine(name: str) -> None:
    """Forget an engine that `register_engine` made known.

    Args:
        name: the name that was registered.

    Raises:
        EngineNotFoundError: if no engine was registered under that name.

    >>> register_engine("mine", type(get_engine("numpy")))
    >>> unregister_engine("mine")
    """
    global _default
    name = _standardize_name(name)
    with _lock:
        if name not in _registered:
            raise EngineNotFoundError(
                f"[unregister_engine] no engine was registered as {name!r} at run time. "
                f"Registered: {registered_engines()}."
            )
        del _registered[name]
        engine = _engines.pop(name, None)
        if engine is not None and engine is _default:
            _default = None


def made_engines() -> list[Engine]:
    """The engines that are loaded, in no order.

    >>> get_engine("numpy") in made_engines()
    True
    """
    return list(_engines.values())


def registered_engines() -> list[str]:
    """The names that `register_engine` made known and nobody took back.

    Returns:
        A sorted list.

    >>> registered_engines()
    []
    """
    return sorted(_registered)


def reset() -> None:
    """Forget the engine of the process, so that the settings choose it anew at the next use.

    Loaded engines stay loaded.

    >>> reset()
    """
    global _default, _entry_points, _default_source
    with _lock:
        _default = None
        _default_source = config.DEFAULT
        _entry_points = None
