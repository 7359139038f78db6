"""Peers, their processes, and whole runs with tiny settings."""

import json
from pathlib import Path

import pytest

from benchmarks import bench as bench_module
from benchmarks import cli, options, peers, processes, records
from benchmarks.bench import Bench
from benchmarks.groups import GROUPS, convolution_cases, micro_calls, product_cases
from benchmarks.groups.layer_cases import CASES
from benchmarks.groups.primitive_cases import PRIMITIVES
from benchmarks.machine import gpus
from benchmarks.models import all_models
from benchmarks.options import Options
from benchmarks.peers.keras_api import KerasPeer
from benchmarks.processes import CallError, Process

pytestmark = pytest.mark.engine("numpy")

KNOWN = {peer.name: peer for peer in peers.all_peers()}
OURS = KNOWN["kbackend-numpy"]


def test_all_peers_are_known() -> None:
    names = ["keras-jax", "keras-tensorflow", "keras-torch", "torch"]
    names += ["torch-cuda"] if gpus() else []
    assert [peer.name for peer in KNOWN.values() if not peer.ours] == names
    assert {"kbackend-numpy", "kbackend-numba", "kbackend-cupy"} <= set(KNOWN)
    assert all("install" in peer.install.lower() for peer in KNOWN.values())


@pytest.mark.parametrize(
    ("word", "chosen"),
    [
        ("torch", ["torch"]),
        ("jax", ["keras-jax"]),
        ("keras", ["keras-jax", "keras-tensorflow", "keras-torch"]),
        ("kbackend-numpy", ["kbackend-numpy"]),
    ],
)
def test_peers_are_selected_by_name_or_part(word: str, chosen: list[str]) -> None:
    assert [peer.name for peer in peers.select(word, list(KNOWN.values()))] == chosen


def test_unknown_names_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--peers", "mxnet"]) == 1
    assert "mxnet" in capsys.readouterr().err
    assert cli.main(["--models", "alexnet"]) == 1
    assert "small, mlp" in capsys.readouterr().err
    assert cli.main(["--write", "/no/such/page.md"]) == 1
    assert "page.md" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["--only", "macro,mini"])
    assert "mini" in capsys.readouterr().err


def test_missing_peers_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = KerasPeer("abacus", "an abacus", "abacus", "no_such_module")
    elsewhere = KerasPeer("slide", "a slide rule", "slide", "sliderule")
    known_before = KerasPeer("finger", "fingers", "finger", "fingers")
    known_before.missing = "there are only ten"
    monkeypatch.setattr(
        bench_module.peer_package, "all_peers", lambda: [absent, elsewhere, known_before]
    )
    bench = Bench(Options(pythons=[("slide", "/no/such/python")]))
    bench.open()
    bench.close()
    assert [(p["status"], p["reason"], p["install"]) for p in bench.results.peers] == [
        ("missing", "not installed: no_such_module", "pip install keras abacus"),
        ("missing", "there is no interpreter /no/such/python", "pip install keras slide"),
        ("missing", "there are only ten", "pip install keras finger"),
    ]
    assert bench.peers == {}


def test_harmful_variables_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1")
    environment = processes.environment_of(OURS, threads=3, variables={"EXTRA": "1"})
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(environment)
    assert environment["OMP_NUM_THREADS"] == environment["BENCHMARK_THREADS"] == "3"
    assert environment["KBACKEND"] == "numpy" and environment["EXTRA"] == "1"
    assert "BENCHMARK_THREADS" not in processes.environment_of(OURS)


def test_interpreters_are_read_from_options_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parser = cli.argparse.ArgumentParser()
    options.add_run_arguments(parser, list(GROUPS))
    monkeypatch.setenv(options.PYTHON_VARIABLE, "jax=/a,/b")
    parsed = options.from_arguments(parser.parse_args(["--python", "torch=/c", "--quick"]))
    assert parsed.pythons == [("jax", "/a"), ("", "/b"), ("torch", "/c")]
    assert parsed.repeats == 2
    with pytest.raises(SystemExit):
        parser.parse_args(["--repeats", "0"])


def test_a_process_answers_and_survives_errors() -> None:
    with Process(OURS) as process:
        greeting = process.call("peers.greeting:greet")
        assert greeting["absent"] == [] and "numpy" in greeting["versions"]
        with pytest.raises(CallError, match="KeyError: 'alexnet'"):
            process.call("groups.macro_calls:losses", model="alexnet", steps=1)
        losses = process.call("groups.macro_calls:losses", model="small", steps=2)
        assert len(losses) == 2
        process.send("no.such:function")
        with pytest.raises(CallError, match="ModuleNotFoundError"):
            process.receive()
    assert not process.alive
    with pytest.raises(CallError, match="ended"):
        process.call("peers.greeting:greet")


def test_a_process_that_cannot_start_says_so() -> None:
    class Nowhere(KerasPeer):
        def to_arguments(self) -> list[str]:
            return ["peers.no_such_file", "Nowhere", "{}"]

    with Process(Nowhere("n", "n", "n", "n")) as process:
        with pytest.raises(CallError, match="no_such_file"):
            process.call("peers.greeting:greet")


def test_a_peer_travels_as_its_attributes() -> None:
    module, kind, attributes = OURS.to_arguments()
    assert (module, kind) == ("peers.kbackend_engines", "EnginePeer")
    assert json.loads(attributes)["engine"] == "numpy"


def test_training_memory_is_planned() -> None:
    model = all_models()["small"]
    session = OURS.session(model, dropout=True)
    assert OURS.planned_bytes(session) is None
    session.fit(*model.data(1, 0))
    planned = OURS.planned_bytes(session)
    assert planned is not None
    assert 0 < planned["planned"] <= planned["planned, nothing shared"]


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_do_what_numpy_does(name: str) -> None:
    np = micro_calls.np
    work = PRIMITIVES[name](5_000, np.random.default_rng(0))
    ours = np.asarray(work.ours(*map(micro_calls.ops.convert_to_tensor, work.arguments)))
    assert work.flops > 0 and work.bytes > 0
    if work.numpy is not None:
        # The same float32 operations, at most summed in another order.
        np.testing.assert_allclose(ours, work.numpy(*work.arguments), rtol=1e-5)


def test_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every group on kbackend alone; what is measured, not how fast it is."""
    few = tuple(case for case in CASES if case.name == "Dense")
    monkeypatch.setattr("benchmarks.groups.layers.CASES", few)
    first = convolution_cases.CASES[:1]
    monkeypatch.setattr("benchmarks.groups.convolutions.CASES", first)
    products = (product_cases.CASES[2], product_cases.CASES[-3])
    monkeypatch.setattr("benchmarks.groups.products.CASES", products)
    # Plots have a test of their own.
    monkeypatch.setattr(cli.plots, "save", lambda results, folder: {})
    out = tmp_path / "out"
    arguments = ["--quick", "--repeats", "1", "--peers", "kbackend-numpy", "--models", "small,deep"]
    groups = ["macro", "cliffs", "layers", "convolutions", "products", "startup", "memory"]
    assert cli.main([*arguments, "--only", ",".join(groups), "--out", str(out)]) == 0
    results = records.load(out / "results.json")
    assert results.failures == []
    assert {record.group for record in results.records} == set(groups)
    for group, model in (("macro", "small"), ("cliffs", "deep")):
        found = {(r.case, r.phase) for r in results.select(group)}
        assert found == {(model, "fit"), (model, "predict")}
    assert {record.case for record in results.select("memory")} == {"small", "deep"}
    assert all(value > 0 for record in results.records for value in record.samples)
    assert [check["agrees"] for check in results.checks] == [True, True]
    assert results.peers[0]["threads"]
    assert "small" in (out / "index.html").read_text("utf-8")


def test_a_peer_that_fails_is_noted_and_the_rest_goes_on() -> None:
    bench = Bench(Options(peers=["kbackend-numpy"], repeats=2))
    bench.open()
    try:
        bench.interleave("macro", "mlp", "fit", ["kbackend-numpy"], "groups.macro_calls:fit")
        answers = bench.call_each("macro", "mlp", ["kbackend-numpy"], "peers.greeting:threads")
    finally:
        bench.close()
    assert answers["kbackend-numpy"]
    assert bench.results.records == []
    # Nothing was loaded; the second repetition isn't tried.
    assert [failure["peer"] for failure in bench.results.failures] == ["kbackend-numpy"]
    assert "KeyError" in bench.results.failures[0]["error"]
