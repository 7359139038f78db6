"""What engines on the host tell of memory; devices: tests/engines/cupy/simulated/test_memory.py."""

import os
import sys

import pytest

import kbackend as keras
from kbackend.base import config
from kbackend.base.errors import EngineError
from kbackend.engine import memory
from kbackend.engine.interface import Engine
from kbackend.engine.loader import get_engine, made_engines


@pytest.fixture(autouse=True)
def on_the_host():
    with keras.use_backend("numpy"):
        yield
    keras.config.set_memory_limit(None)
    config.reset()


def test_a_host_tells_of_itself():
    found = keras.memory_info()
    assert found == keras.memory_info("cpu")._replace(
        free=found.free, used=found.used, reserved=found.reserved
    )
    assert found.limit is None and found.reserved == found.used
    if sys.platform == "linux":
        assert 0 < found.used < found.total and 0 < found.free < found.total


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell")
def test_what_a_process_holds_is_counted():
    before = keras.memory_info().used
    held = bytearray(64 << 20)
    assert keras.memory_info().used - before >= len(held) // 2


def test_a_system_that_tells_nothing(monkeypatch):
    def refused(*args, **kwargs):
        raise OSError

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr(os, "sysconf", refused)
    assert memory.host_memory() == (None, None, None, None, None)


def test_other_devices():
    with pytest.raises(EngineError, match="gpu"):
        keras.memory_info("gpu:3")


def test_engines_are_told_of_the_limit(monkeypatch):
    engine, told = get_engine("numpy"), []
    assert engine in made_engines()
    monkeypatch.setattr(type(engine), "limit_memory", lambda self: told.append(self.name))
    keras.config.set_memory_limit("50%")
    assert "numpy" in told and keras.config.memory_limit() == 0.5
    told.clear()
    with pytest.raises(ValueError, match="set_memory_limit"):
        keras.config.set_memory_limit("2")
    assert told == [] and keras.config.memory_limit() == 0.5


def test_the_current_engine_frees(monkeypatch):
    freed = []
    monkeypatch.setattr(Engine, "free_memory", lambda self: freed.append(self.name))
    keras.free_memory()
    assert freed == ["numpy"]
