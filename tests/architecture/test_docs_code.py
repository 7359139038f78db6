"""The documentation's code: every Python block of the README and of the guide runs."""

import doctest
import importlib.util
import re
import types
from pathlib import Path

import pytest

from kbackend import _api
from tests.architecture.sources import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((DOCS / "guide").glob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks_of(page: Path) -> list[tuple[int, str]]:
    """Line number and text of the Python blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start()) + 2, match.group(1)) for match in _BLOCK.finditer(text)
    ]


def run_session(text: str, names: dict, page: Path, line: int) -> None:
    """Runs a block of `>>>` lines and compares what it answers."""
    test = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), line - 1)
    # The block shares its names with those before and after it.
    test.globs = names
    runner = doctest.DocTestRunner(optionflags=_FLAGS, verbose=False)
    report: list[str] = []
    runner.run(test, out=report.append, clear_globs=False)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=lambda p: p.name)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A module that can be found, as `__main__` is: classes are registered and saved by its name.
    names = types.ModuleType("docs_page").__dict__
    for line, text in blocks_of(page):
        if text.startswith(">>>"):
            run_session(text, names, page, line)
        else:
            # The line numbers of the page, for errors.
            exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)  # noqa: S102


def test_vocabulary_is_current() -> None:
    spec = importlib.util.spec_from_file_location("docs_vocabulary", DOCS / "vocabulary.py")
    assert spec is not None and spec.loader is not None
    vocabulary = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(vocabulary)
    text = vocabulary.PAGE.read_text(encoding="utf-8")
    assert text == vocabulary.current_text(text), "run: python docs/vocabulary.py"


@pytest.mark.parametrize("page", [*PAGES, *sorted((DOCS / "design").glob("*.md"))], ids=str)
def test_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:kbackend\w*|tests|docs|examples)/[\w./-]*)`", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_namespaces_called_absent_are_absent() -> None:
    """The list of what is not there yet must shrink with the work that brings it."""
    text = (DOCS / "guide" / "from_keras.md").read_text(encoding="utf-8")
    absent = text.split("## Not there yet", 1)[1].split("\n## ", 1)[0]
    called = set(re.findall(r"`keras\.(\w+)`", absent))
    assert called, "the section names the namespaces of Keras that are missing"
    there = {
        name
        for name in called
        if (spec := importlib.util.find_spec(_api.NAMESPACES[name])) is not None
        and spec.origin is not None
    }
    assert not there
