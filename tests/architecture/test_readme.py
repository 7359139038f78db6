"""README's two commands, which `.ci/run` reads from it."""

import re

from tests.architecture.sources import ROOT


def test_first_bash_block_holds_the_demo_and_the_tests() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    demo, tests = block.group(1).splitlines()
    assert demo == "pip install -e . && python -m kbackend demo"
    assert tests == "pip install -e '.[dev]' && python -m pytest -n auto"


def test_linked_files_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("http") or (ROOT / target).exists(), f"{name}: {target}"
