"""Engines that others write: loading by entry point, and the conformance suite."""

import importlib.util
import pathlib
import sys

import pytest

from kbackend.engine import loader
from kbackend.engine.loader import register_engine, unregister_engine
from kbackend.testing import conformance_cases, run_conformance

_EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "counting_engine.py"


def _load_example():
    spec = importlib.util.spec_from_file_location("counting_engine", _EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["counting_engine"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example():
    return _load_example()


@pytest.fixture
def counting(example):
    register_engine("counting", example.CountingEngine)
    yield
    unregister_engine("counting")


@pytest.mark.parametrize("case", conformance_cases("counting"), ids=str)
def test_example_engine(case, counting):
    case()


def test_example_is_short():
    assert len(_EXAMPLE.read_text().splitlines()) < 150


def test_suite_finds_a_wrong_kernel():
    module = _load_example()

    class Wrong(module.CountingEngine):
        name = "wrong"

        def __init__(self):
            super().__init__()
            right = self.kernels["tanh"]
            self.kernels["tanh"] = lambda x: right(x) * 1.001
            del self.table["erf"]

    register_engine("wrong", Wrong)
    try:
        failures = run_conformance("wrong")
    finally:
        unregister_engine("wrong")
    assert "tanh-float64-value" in failures
    assert "erf" in failures["table-complete"]
    assert "add-float32-value" not in failures


def test_engine_is_found_by_its_entry_point(tmp_path, monkeypatch):
    info = tmp_path / "counting_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[kbackend.engines]\nbyentry = counting_engine:CountingEngine\n"
    )
    (tmp_path / "counting_engine.py").write_text(_EXAMPLE.read_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(loader, "_entry_points", None)
    monkeypatch.delitem(sys.modules, "counting_engine", raising=False)
    with loader.use_backend("byentry") as engine:
        assert type(engine).__name__ == "CountingEngine"
