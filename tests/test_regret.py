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
        {"leader": "one", "seed": seed, "regret": [scale * time**0.5 for time in regret.TIMES]}
        for seed, scale in enumerate((1.0, 2.0, 5.0))
    ]
    np.testing.assert_allclose(regret.slopes(rows, "one", "regret"), 0.5, atol=1e-12)
    mean, half = regret.interval(np.array([0.1, 0.3]))
    assert (mean, half) == pytest.approx((0.2, 12.706 * 0.1), abs=1e-3)


def test_what_the_page_says() -> None:
    """Four regrets that nearly stop; and an error that falls as the root where information alone is looked for, and there alone."""
    grown = {
        (leader, what): regret.interval(regret.slopes(ROWS, leader, what)) for leader in regret.LEADERS for what in ("regret", "error")
    }
    *earn, informed = regret.LEADERS
    assert all(mean < 0.045 and mean + half < 0.15 for mean, half in (grown[leader, "regret"] for leader in earn))
    assert all(mean - half > -0.55 and mean > -0.31 for mean, half in (grown[leader, "error"] for leader in earn))
    mean, half = grown[informed, "error"]
    assert (mean, half) == pytest.approx((-0.71, 0.53), abs=5e-3)
    mean, half = grown[informed, "regret"]
    assert abs(mean - 1) < half < 0.15
    early = [row["regret"][0] / row["regret"][-1] for row in ROWS if row["leader"] in earn]
    assert np.median(early) > 0.98
