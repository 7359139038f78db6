"""Tests of who chooses the engine, which `--engine` therefore doesn't."""

import pytest


@pytest.fixture(autouse=True)
def no_engine_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests set the variable where they are about it."""
    monkeypatch.delenv("KBACKEND", raising=False)
