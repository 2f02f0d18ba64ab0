"""What leaders from outcomes lose and learn is what was recorded, and a run gives it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from baselines.studies import regret

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"
ROWS = [json.loads(line) for line in (FOLDER / "recorded" / "regret.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_page_is_what_was_recorded() -> None:
    assert [(row["leader"], row["seed"]) for row in ROWS] == [(leader, seed) for leader in regret.LEADERS for seed in regret.SEEDS]
    assert regret.markdown(ROWS) == (FOLDER / "regret.md").read_text()


@pytest.mark.parametrize("leader", list(regret.LEADERS)[1:4])
def test_a_record_is_measured_again(leader: str) -> None:
    """The first of its times, to 1e-5."""
    wanted = next(row for row in ROWS if row["leader"] == leader)
    found = regret.run(leader, wanted["seed"], regret.TIMES[0])
    for quantity in ("regret", "error"):
        assert found[quantity][0] == pytest.approx(wanted[quantity][0], abs=1e-5)


def test_slopes_of_powers() -> None:
    rows = [
        {"leader": "one", "seed": seed, "regret": [scale * time**0.5 for time in regret.TIMES]} for seed, scale in enumerate((1.0, 2.0, 5.0))
    ]
    np.testing.assert_allclose(regret.slopes(rows, "one", "regret"), 0.5, atol=1e-12)
    mean, half = regret.interval(np.array([0.1, 0.3]))
    assert (mean, half) == pytest.approx((0.2, 12.706 * 0.1), abs=1e-3)
