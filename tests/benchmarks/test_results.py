"""Records, comparison and the ways to show them."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import cli, records
from benchmarks.records import Record, Results
from benchmarks.report import compare, console, grids, markdown, page, quantities
from tests.benchmarks.support import run


def timed(*samples: float) -> Record:
    return Record("macro", "mlp", "fit", "keras-jax", "s", samples)


def test_statistics_of_a_record() -> None:
    record = timed(3.0, 2.0, 2.5)
    assert (record.least, record.median, record.noise) == (2.0, 2.5, 0.25)


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    run().save(path)
    assert records.load(path) == run()
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content) == {"schema", *(field.name for field in dataclasses.fields(Results))}
    assert content["schema"] == records.SCHEMA
    assert set(content["records"][0]) == {field.name for field in dataclasses.fields(Record)}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 0}', '{"schema": 1, "records": [1]}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"\[benchmarks\].*results\.json"):
        records.load(path)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        # Least 10 % apart, medians 6 % above the least in both runs.
        ((1.0, 1.06, 1.2), (1.1, 1.166, 1.3), compare.SAME),
        ((1.0, 1.01, 1.2), (1.1, 1.111, 1.3), "slower"),
        ((1.0, 1.01, 1.2), (0.9, 0.909, 1.3), "faster"),
        ((1.0,), (1.0,), compare.SAME),
    ],
)
def test_a_difference_inside_the_noise_is_called_so(
    before: tuple[float, ...], after: tuple[float, ...], verdict: str
) -> None:
    found = compare.difference(timed(*before), timed(*after))
    assert found.verdict == verdict
    assert found.ratio == min(after) / min(before)


def test_comparison_tells_what_is_not_comparable() -> None:
    first, second = run(), run()
    second.machine["cpu"] = "Slide rule"
    second.settings["quick"] = True
    second.ceilings["gemm"] /= 2
    second.records.pop()
    lines = compare.warnings(first, second)
    assert [line.split(":")[0] for line in lines] == [
        "other cpu",
        "other setting 'quick'",
        "the machine itself reached 0.50× in 'gemm'",
    ]
    both, alone = compare.differences(first, second)
    assert len(both) == len(first.records) - 1
    assert alone == ["only in the first: memory mlp peak kbackend-numpy"]


def test_ratios_are_to_the_best_of_the_others() -> None:
    fit = next(grid for grid in grids.grids(run()) if grid.title == "fit, per step")
    assert fit.columns == ["model", "Kbackend-Numpy", "Keras-Jax"]
    assert [cell.text for cell in fit.rows[0]] == [
        "mlp",
        "2.00 (2.10) ms 2.00×",
        "1.00 (1.00) ms 1.00×",
    ]
    assert [cell.best for cell in fit.rows[0]] == [False, False, True]


def test_what_failed_or_is_missing_is_seen() -> None:
    results = run()
    predict = next(grid for grid in grids.grids(results) if grid.title == "predict, per step")
    assert [cell.text for cell in predict.rows[0]][2] == "failed"
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in grids.peers_grid(results).rows}
    assert rows["torch"] == ["missing: not installed: torch", "pip install torch"]
    lines = grids.check_lines(results)
    assert lines[0].startswith("The losses of the first 2 steps agree")
    assert lines[1] == "FAILED: macro mlp on keras-jax: out of ink"
    results.checks[0]["agrees"] = False
    assert grids.check_lines(results)[0].startswith("WRONG: the losses of mlp on keras-jax")


def test_every_group_has_its_table_in_every_form() -> None:
    results = run()
    screen = Console(width=200, record=True, file=io.StringIO())
    console.show(results, screen)
    shown = screen.export_text()
    text = markdown.section(results, "python -m benchmarks")
    html = page.page(results, {"bars": "data:,"})
    for title in (
        "fit, per step",
        "cliffs, fit, per step",
        "layers",
        "calls, kbackend-numpy",
        "start-up",
        "memory",
    ):
        assert title in shown
        assert f"### {title[0].upper()}{title[1:]}" in text
        assert f"<h2>{title}</h2>" in html
    for part in (
        "Abacus",
        "pip install torch",
        "GEMM 300 GFLOP/s",
        "out of ink",
        "BUSY: others used 1.5",
    ):
        assert part in shown and part in text and part in html


def test_markdown_goes_between_the_markers(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        markdown.write(path, run(), "python -m benchmarks --only macro")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{markdown.BEGIN}\n")
    assert text.endswith(f"{markdown.END}\nafter\n")
    assert "old" not in text and text.count("python -m benchmarks --only macro") == 1
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="benchmarks: begin"):
        markdown.write(path, run(), "")


def test_the_page_of_the_documentation_has_the_markers() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text("utf-8")
    assert text.index(markdown.BEGIN) < text.index(markdown.END)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.5, "s", "1.50 s"),
        (0.0, "s", "0.000 ns"),
        (2.5e-5, "s", "25.0 µs"),
        (999.0, "bytes", "999 B"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantities.quantity(value, unit) == text


def test_show_writes_plots_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    run().save(tmp_path / "run.json")
    out = tmp_path / "out"
    assert cli.main(["show", str(tmp_path / "run.json"), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {
        "results.json",
        "index.html",
        "bars.png",
        "roofline.png",
    }
    assert (out / "index.html").read_text("utf-8").count("data:image/svg+xml;base64,") == 2


def test_compare_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "run.json"
    run().save(path)
    assert cli.main(["compare", str(path), str(path)]) == 0
    assert capsys.readouterr().out.count(compare.SAME) == len(run().records)
    assert cli.main(["compare", str(path), str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err
