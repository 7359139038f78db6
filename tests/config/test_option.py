"""The option `--engine` of the test run, and tests that choose their engine."""

import subprocess
import sys

from tests.architecture.sources import ROOT

ONE = "tests/compiler/test_jit_immutable.py::test_what_was_taken_stays"


def test_marked_tests_run_on_their_engine_all_others_on_that_of_the_option() -> None:
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "--engine", "unheard_of"]
    chosen = [f"{ONE}[dlpack]", f"{ONE}[array]"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert f"FAILED {ONE}[array]" in done.stdout and "unheard_of" in done.stdout
