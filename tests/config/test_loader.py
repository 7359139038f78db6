"""Finding, loading and choosing engines."""

import asyncio
import importlib.metadata
import json
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from kbackend.base import config
from kbackend.base.errors import (
    ConfigError,
    EngineError,
    EngineNotFoundError,
    EngineUnavailableError,
)
from kbackend.engine import loader
from kbackend.engine.interface import Engine
from tests.config.toy import OtherEngine, ToyEngine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    config.reset()
    loader.reset()
    return tmp_path


@pytest.fixture
def toys(home: Path) -> Iterator[None]:
    loader.register_engine("toy", ToyEngine)
    loader.register_engine("other", OtherEngine)
    yield


class FakePoint:
    """An entry point as importlib.metadata gives them."""

    def __init__(self, name: str, value: str, owner: str = "toy-package") -> None:
        self.name = name
        self.value = value
        self.dist = types.SimpleNamespace(name=owner)


@pytest.fixture
def announced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        FakePoint("announced", "tests.config.toy:ToyEngine"),
        FakePoint("unusable", "tests.config.toy:UnusableEngine"),
        FakePoint("broken", "tests.config.toy:BrokenEngine"),
        FakePoint("absent", "a_package_that_is_absent.engine:Engine"),
        FakePoint("no_attribute", "tests.config.toy:Missing"),
        FakePoint("no_engine", "builtins:dict"),
        FakePoint("no_callable", "sys:path"),
    ]

    def entry_points(group: str) -> list[FakePoint]:
        assert group == "kbackend.engines"
        return points

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    loader.reset()


def settings(home: Path, **content: str) -> Path:
    path = home / "keras.json"
    path.write_text(json.dumps(content, indent=1))
    config.reset()
    loader.reset()
    return path


def test_engine_is_loaded_once(toys: None) -> None:
    engine = loader.get_engine("toy")
    assert isinstance(engine, ToyEngine)
    assert loader.get_engine("toy") is engine
    assert loader.get_engine(" Toy ") is engine


def test_many_threads_load_one_engine(home: Path) -> None:
    made: list[Engine] = []
    barrier = threading.Barrier(8)

    def factory() -> Engine:
        engine = ToyEngine()
        made.append(engine)
        return engine

    loader.register_engine("toy", factory)
    seen: list[Engine] = []

    def load() -> None:
        barrier.wait()
        seen.append(loader.get_engine("toy"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert all(engine is made[0] for engine in seen) and len(seen) == 8


def test_unknown_engine_lists_the_known_ones_and_the_mend(toys: None) -> None:
    with pytest.raises(EngineNotFoundError) as caught:
        loader.get_engine("nubma")
    message = str(caught.value)
    assert "No engine is called 'nubma'" in message
    assert "'numba'" in message and "'numpy'" in message and "'toy'" in message
    assert "pip install 'kbackend[numba]'" in message


@pytest.mark.parametrize("name", [None, 3, "", "  ", ["numpy"]])
def test_name_must_be_a_string(name: object) -> None:
    with pytest.raises(ConfigError, match="'backend' must be the name of an engine"):
        loader.get_engine(name)  # type: ignore[arg-type]


def test_entry_point_is_found(announced: None) -> None:
    assert isinstance(loader.get_engine("announced"), ToyEngine)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("unusable", EngineUnavailableError, r"can't run here: No device was found\. Plug one in"),
        ("broken", EngineUnavailableError, r"failed to start: OSError: libtoy\.so"),
        ("absent", EngineUnavailableError, r"'a_package_that_is_absent'.*pip install 'toy-package"),
        ("no_attribute", EngineUnavailableError, r"can't be imported: AttributeError.*'Missing'"),
        ("no_engine", EngineError, r"must give an instance of Engine\. Received: \{\}"),
        ("no_callable", EngineError, r"must be a subclass of Engine or a function"),
    ],
)
def test_what_goes_wrong_names_the_engine_and_the_mend(
    announced: None, name: str, kind: type[Exception], message: str
) -> None:
    before = loader.get_engine("announced")
    loader.set_backend("announced")
    with pytest.raises(kind, match=message) as caught:
        loader.set_backend(name)
    assert f"'{name}'" in str(caught.value)
    assert loader.current_engine() is before


def test_missing_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A built-in engine whose package can't be imported, as without its extra.
    monkeypatch.setitem(sys.modules, "kbackend_numba.engine", None)
    monkeypatch.setattr(loader, "_engines", {})
    with pytest.raises(EngineUnavailableError, match=r"pip install 'kbackend\[numba\]'"):
        loader.get_engine("numba")


def test_installed_backends_probe_every_engine(announced: None) -> None:
    found = loader.installed_backends()
    assert {"numpy", "numba", "cupy", "announced", "unusable", "absent"} <= set(found)
    assert found["announced"].usable
    assert not found["unusable"].usable and found["unusable"].mend == "Plug one in."
    assert not found["absent"].usable and "not installed" in found["absent"].reason


def test_register_refuses_taken_names_and_non_factories(toys: None) -> None:
    with pytest.raises(ConfigError, match="the name 'toy' is taken"):
        loader.register_engine("toy", OtherEngine)
    with pytest.raises(ConfigError, match="the name 'numpy' is taken"):
        loader.register_engine("numpy", OtherEngine)
    with pytest.raises(ConfigError, match="must be an identifier"):
        loader.register_engine("my engine", OtherEngine)
    with pytest.raises(TypeError, match="'factory' must be a subclass of Engine"):
        loader.register_engine("mine", ToyEngine())  # type: ignore[arg-type]


def test_unregister_forgets_the_engine(toys: None) -> None:
    loader.set_backend("toy")
    loader.unregister_engine("toy")
    assert loader.configured_backend().source == "default"
    with pytest.raises(EngineNotFoundError):
        loader.get_engine("toy")
    with pytest.raises(EngineNotFoundError, match=r"no engine was registered as 'toy'"):
        loader.unregister_engine("toy")


def test_default_engine(home: Path) -> None:
    assert loader.configured_backend() == ("backend", "numpy", "default")


def test_precedence(toys: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader.register_engine("third", ToyEngine)
    loader.register_engine("fourth", ToyEngine)
    path = settings(home, backend="toy")
    assert loader.configured_backend() == ("backend", "toy", f"{path}, line 2 (key 'backend')")
    settings(home, backend="toy", kbackend="other")
    assert loader.configured_backend().value == "other"
    monkeypatch.setenv("KERAS_BACKEND", "third")
    assert loader.configured_backend().source == "environment variable KERAS_BACKEND"
    monkeypatch.setenv("KBACKEND", "fourth")
    assert loader.configured_backend()[1:] == ("fourth", "environment variable KBACKEND")
    loader.set_backend("toy")
    assert loader.configured_backend() == ("backend", "toy", "set at run time")
    with loader.use_backend("other"):
        assert loader.backend() == "other"
    assert loader.backend() == "toy"


@pytest.mark.parametrize("name", ["tensorflow", "jax", "torch", "openvino"])
def test_engines_of_keras_are_no_error(
    toys: None, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = settings(home, backend=name, floatx="float64")
    before = path.read_bytes()
    monkeypatch.setenv("KERAS_BACKEND", name)
    assert loader.configured_backend() == ("backend", "numpy", "default")
    assert config.floatx() == "float64"
    assert path.read_bytes() == before


def test_unknown_engine_in_our_own_settings_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings(home, kbackend="nubma")
    with pytest.raises(EngineNotFoundError) as caught:
        loader.current_engine()
    assert f"[{path}, line 2 (key 'kbackend')] No engine is called 'nubma'" in str(caught.value)
    monkeypatch.setenv("KBACKEND", "cupyy")
    with pytest.raises(EngineNotFoundError, match=r"\[environment variable KBACKEND\].*'cupyy'"):
        loader.current_engine()


def test_unusable_engine_names_who_chose_it(
    announced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBACKEND", "unusable")
    with pytest.raises(EngineUnavailableError, match=r"^\[environment variable KBACKEND\] The eng"):
        loader.current_engine()


def test_kbackend_variable_needs_no_readable_file(
    toys: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "keras.json").write_text("{")
    config.reset()
    monkeypatch.setenv("KBACKEND", "toy")
    assert loader.backend() == "toy"


def test_use_backend_nests_and_survives_errors(toys: None) -> None:
    loader.set_backend("toy")
    with pytest.raises(KeyError), loader.use_backend("other") as engine:
        assert loader.current_engine() is engine
        with loader.use_backend("toy"):
            assert loader.backend() == "toy"
        assert loader.backend() == "other"
        raise KeyError("on purpose")
    assert loader.backend() == "toy"


def test_use_backend_that_fails_leaves_nothing_behind(toys: None) -> None:
    loader.set_backend("toy")
    with pytest.raises(EngineNotFoundError), loader.use_backend("nothing"):
        pytest.fail("the block must not run")
    assert loader.backend() == "toy"


def test_one_use_backend_object_serves_many_blocks(toys: None) -> None:
    loader.set_backend("toy")
    block = loader.use_backend("other")
    with block, block:
        assert loader.backend() == "other"
    assert loader.backend() == "toy"


def test_use_backend_holds_in_its_own_thread_only(toys: None) -> None:
    loader.set_backend("toy")
    inside, checked = threading.Event(), threading.Event()
    seen: dict[str, str] = {}

    def work() -> None:
        seen["new thread"] = loader.backend()
        with loader.use_backend("other"):
            seen["thread's block"] = loader.backend()
            inside.set()
            assert checked.wait(10)
        seen["after the block"] = loader.backend()

    thread = threading.Thread(target=work)
    with loader.use_backend("toy"):
        thread.start()
        assert inside.wait(10)
        seen["main thread"] = loader.backend()
        checked.set()
        thread.join()
    assert seen == {
        "new thread": "toy",
        "thread's block": "other",
        "main thread": "toy",
        "after the block": "toy",
    }


def test_tasks_that_interleave_keep_their_engines(toys: None) -> None:
    block = loader.use_backend("other")

    async def task(context: loader.use_backend, turns: int) -> list[str]:
        seen = []
        with context:
            for _ in range(turns):
                await asyncio.sleep(0)
                seen.append(loader.backend())
        seen.append(loader.backend())
        return seen

    async def run() -> list[list[str]]:
        return await asyncio.gather(
            task(block, 3), task(loader.use_backend("toy"), 2), task(block, 4)
        )

    loader.set_backend("toy")
    first, second, third = asyncio.run(run())
    assert first == ["other"] * 3 + ["toy"]
    assert second == ["toy"] * 3
    assert third == ["other"] * 4 + ["toy"]


def test_use_backend_decorates_functions_and_coroutines(toys: None) -> None:
    loader.set_backend("toy")

    @loader.use_backend("other")
    def name(suffix: str) -> str:
        """The docstring."""
        return loader.backend() + suffix

    @loader.use_backend("other")
    async def name_later() -> str:
        await asyncio.sleep(0)
        return loader.backend()

    assert name("!") == "other!" and name.__doc__ == "The docstring."
    assert asyncio.run(name_later()) == "other"
    assert loader.backend() == "toy"
    with pytest.raises(TypeError, match="can't decorate the generator function"):

        @loader.use_backend("other")
        def names() -> Iterator[str]:
            yield loader.backend()


def test_set_backend_inside_a_block_shows_after_it(toys: None) -> None:
    loader.set_backend("toy")
    with loader.use_backend("toy"):
        loader.set_backend("other")
        assert loader.backend() == "toy"
    assert loader.backend() == "other"


def test_a_built_in_engine_that_this_installation_lacks_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = loader._Spec("kbackend_later.engine:Later", "kbackend[later]", "built in")
    monkeypatch.setitem(loader._BUILT_IN, "later", later)
    with pytest.raises(EngineUnavailableError, match="not part of this installation.*--upgrade"):
        loader.get_engine("later")
