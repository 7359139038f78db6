"""A small made-up run."""

from benchmarks.records import Record, Results

MACHINE = {
    "cpu": "Abacus",
    "cores": 2,
    "usable_cores": 2,
    "memory_bytes": 8_000_000_000,
    "system": "Linux",
    "python": "3.11",
    "numpy": "2.4",
    "environment": {"OMP_NUM_THREADS": "2"},
    "busy_cores": 1.5,
    "load_average": [0.1, 0.1, 0.1],
    "date": "2030-01-01T00:00:00+00:00",
}
SETTINGS = {"threads": "as each peer chooses", "repeats": 3, "quick": False}


def peer(name: str, ours: bool) -> dict:
    return {
        "name": name,
        "title": name.title(),
        "ours": ours,
        "status": "ok",
        "versions": {"python": "3.11"},
        "threads": "2",
    }


def run() -> Results:
    """Two peers and a missing one, something in every group."""
    work = {"flops": 2e6, "bytes": 1e6}
    records = [
        Record("macro", "mlp", "fit", "kbackend-numpy", "s", (2e-3, 2.2e-3, 2.1e-3), work),
        Record("macro", "mlp", "fit", "keras-jax", "s", (1e-3, 1.1e-3, 1e-3), work),
        Record("macro", "mlp", "predict", "kbackend-numpy", "s", (5e-4,), work),
        Record("cliffs", "gru", "fit", "kbackend-numpy", "s", (3e-3,), work),
        Record("cliffs", "gru", "fit", "keras-jax", "s", (1e-3,), work),
        Record("layers", "Dense", "step", "keras-jax", "s", (1e-4,)),
        Record("micro", "add", "dispatch", "kbackend-numpy", "s", (2e-6,)),
        Record("micro", "add", "dispatch", "kbackend-numpy:numpy", "s", (5e-7,)),
        Record("micro", "exp 1,000", "primitives", "kbackend-numpy", "s", (2e-6,), work),
        Record("micro", "exp 1,000", "primitives", "kbackend-numpy:numpy", "s", (1e-6,), work),
        Record("startup", "import", "start", "keras-jax", "s", (0.5,)),
        Record("memory", "mlp", "peak", "kbackend-numpy", "bytes", (64_000_000,)),
    ]
    missing = {
        "name": "torch",
        "title": "PyTorch",
        "ours": False,
        "status": "missing",
        "reason": "not installed: torch",
        "install": "pip install torch",
    }
    return Results(
        machine=dict(MACHINE),
        settings=dict(SETTINGS),
        peers=[peer("kbackend-numpy", True), peer("keras-jax", False), missing],
        ceilings={"gemm": 3e11, "memory": 3e10, "cache": 9e10},
        records=records,
        checks=[
            {
                "case": "mlp",
                "peer": "keras-jax",
                "losses": [2.3, 2.2],
                "difference": 1e-6,
                "agrees": True,
            }
        ],
        failures=[{"group": "macro", "case": "mlp", "peer": "keras-jax", "error": "out of ink"}],
    )
