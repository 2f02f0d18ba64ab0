"""The study of a GPU: its page is what its record says, and what it measures is what it says."""

import json
from pathlib import Path

import numpy as np

from baselines.studies import gpu

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"


def test_the_page_is_what_was_recorded() -> None:
    record, page = json.loads((FOLDER / "recorded" / "gpu.json").read_text()), (FOLDER / "gpu.md").read_text()
    assert all(table in page for table in gpu.tables(record).split("\n\n"))
    sweeps = [row for row in record["rows"] if "fused" in row]
    assert all(11.5 < row["over_compiled"] < 17 and row["apart"] < 2e-6 for row in sweeps), "12 to 17 times, it says"
    assert max(row["apart"] for row in record["rows"] if "gpu" in row) < 2e-13


def test_without_a_gpu_the_cpu_is_measured() -> None:
    row = gpu.measure_iteration("Four Rooms, HPGD", 100, "cpu")
    assert row["cpu"] > 0
    assert "gpu" not in row


def test_iterations_are_hypergradients() -> None:
    """That of a batch is each commitment's own."""
    build = gpu.ITERATIONS["Four Rooms, Newton"][1]
    four, one = (build(size, "cpu").run()[0].numpy() for size in (4, 1))  # type: ignore[index]
    np.testing.assert_allclose(four[0], one[0], atol=1e-12)
