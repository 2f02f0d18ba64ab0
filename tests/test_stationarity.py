"""The best commitment nearby: against the exact optimum, against random ones, and as the page says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stackelberg_envs as se
from baselines.studies import stationarity
from baselines.studies.stationarity import best_nearby
from stackelberg_envs.games.subsidy import Subsidy

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"
ROWS = [json.loads(line) for line in (FOLDER / "recorded" / "stationarity.jsonl").read_text(encoding="utf-8").splitlines()]
STRONG = se.Hard(ties="strong")


@pytest.mark.parametrize("seed", range(3))
def test_with_all_payments_nearby_it_is_the_optimum(seed: int) -> None:
    """That of two decision processes (`stackelberg_envs.planning.subsidies`), which shares no code with the linear programmes."""
    game = Subsidy(states=3, seed=seed, price=1.3)
    assert best_nearby(game, np.zeros(game.dimension), 60.0) == pytest.approx(game.plan.value, abs=1e-9)


def test_nothing_in_the_box_is_better() -> None:
    """Of 300 random commitments nearby, and the best grows with the box; a box of no size is the commitment itself."""
    game, rng = Subsidy(states=3, seed=5), np.random.default_rng(0)
    for x in rng.normal(size=(3, game.dimension)):
        value = float(se.evaluate(game, x, follower=STRONG).leader_return)
        best = [best_nearby(game, x, delta) for delta in (0.0, 0.3, 1.0)]
        assert best[0] == pytest.approx(value, abs=1e-9)
        assert best[0] < best[1] < best[2] < game.plan.value + 1e-9
        near = x + rng.uniform(-0.3, 0.3, size=(300, game.dimension))
        assert max(float(se.evaluate(game, y, follower=STRONG).leader_return) for y in near) <= best[1] + 1e-9


def test_the_page_is_what_was_recorded() -> None:
    wanted = [about for about, _, _ in stationarity.wanted()]
    assert [{key: row[key] for key in wanted[0]} for row in ROWS] == wanted
    assert stationarity.markdown(ROWS) == (FOLDER / "stationarity.md").read_text(encoding="utf-8")


def test_a_record_is_measured_again() -> None:
    wanted = next(row for row in ROWS if row["leader"] == "exact gradient, believes 0.05")
    found = stationarity.run(wanted["leader"], wanted["seed"], wanted["budget"])
    assert found["leader_return"] == pytest.approx(wanted["leader_return"], abs=1e-4)
    assert found["gains"] == pytest.approx(wanted["gains"], abs=1e-4)


def test_what_the_page_says() -> None:
    """Everyone leaves something to gain, SLAC the most; and on the first game its leader runs away."""

    def rows(leader: str, budget: int = 2000) -> list[dict[str, Any]]:
        return [row for row in ROWS if (row["leader"], row["budget"]) == (leader, budget)]

    within = {leader: np.mean([row["gains"] for row in rows(leader)], axis=0) for leader in stationarity.LEADERS}
    assert all(0.05 < gains[1] < 0.15 for gains in within.values())
    assert max(within, key=lambda leader: within[leader][1]) == "SLAC, exact"
    assert [round(row["leader_return"], 1 if i == 0 else 2) for i, row in enumerate(rows("SLAC, exact"))] == [-21.8, 2.83, 3.51]
    assert [round(row["gains"][2], 2) for row in rows("SLAC, exact")][1:] == [0.26, 0.59]
    assert round(within["PBRL, believes 0.01"][2], 2) == 0.26
