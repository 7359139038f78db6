"""What the code makes of models, as it is written down in files and in the documentation."""

import importlib.util

import pytest

from kbackend.compiler.pipeline import optimize, passes, stages
from kbackend.engine.loader import get_engine
from kbackend.ir.verify import verify
from tests.architecture.sources import ROOT

from .golden import FOLDER, MODELS, text_of

pytestmark = pytest.mark.engine("numpy")


def example():
    """The module that writes the documentation's example."""
    path = ROOT / "docs" / "worked_example.py"
    spec = importlib.util.spec_from_file_location("docs_worked_example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MODELS)
def test_golden_texts(name):
    wanted = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert text_of(MODELS[name]) == wanted, "if that is meant: python -m tests.compiler.golden"


def test_the_worked_example_is_current():
    module = example()
    text = module.PAGE.read_text(encoding="utf-8")
    assert text == module.current_text(text), "run: python docs/worked_example.py"


def test_the_page_tells_of_each_pass():
    text = example().PAGE.read_text(encoding="utf-8")
    for one in passes(get_engine("numpy")):
        assert f"**{one.name}**" in text


def test_stages_are_those_of_the_pipeline():
    graph, engine = example().training_step(), get_engine("numpy")
    found = stages(graph, engine)
    assert [name for name, _ in found] == ["trace", *[one.name for one in passes(engine)]]
    assert found[0][1] is graph
    for _, stage in found:
        verify(stage)
    assert str(found[-1][1]) == str(optimize(graph, engine))


def test_each_equation_tells_where_it_comes_from():
    for name, graph in stages(example().training_step(), get_engine("numpy")):
        for eqn in graph.eqns:
            # Fillings that stand for constants come from nowhere in particular.
            assert any(eqn.source) or eqn.op.name == "full", (name, str(eqn.op))
