"""The rivals' settings are the best of what was recorded, and a record is measured again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.bench import configuration, instances
from baselines.studies import rival_tuning

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"
ROWS = [json.loads(line) for line in (FOLDER / "recorded" / "rival-tuning.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_page_is_what_was_recorded() -> None:
    assert [{key: row[key] for key in ("solver", "setting")} for row in ROWS] == [about for about, _, _ in rival_tuning.wanted()]
    assert rival_tuning.markdown(ROWS) == (FOLDER / "rival-tuning.md").read_text(encoding="utf-8")


def test_as_many_settings_as_ours_had() -> None:
    """26 that differ from each other, from generator 0, and on games that are not held out."""
    for solver in rival_tuning.WEIGHTS:
        drawn = rival_tuning.settings(solver)[2:]
        assert len(drawn) == 36 - 10
        assert len({tuple(sorted(one.items())) for one in drawn}) == len(drawn)
    assert not set(instances.seeds("tuning")) & set(instances.seeds("held-out"))


@pytest.mark.parametrize("name", ["rivals-outcomes", "misspecification"])
@pytest.mark.parametrize("solver", list(rival_tuning.WEIGHTS))
def test_the_best_setting_is_what_is_reported(name: str, solver: str) -> None:
    """But for the temperature that a wrong leader assumes."""
    best = rival_tuning.best(ROWS, solver)
    jobs = [job for job in configuration.load(name).jobs if job.label.endswith("36 settings") and job.solver == solver]
    assert len(jobs) >= 20
    for job in jobs:
        assert {key: value for key, value in job.hyperparameters.items() if key != "temperature"} == best


def test_a_record_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first game and seed of the best setting of active inverse learning."""
    (first, *_) = (known for known in instances.candidates("tuning") if known.has_gap)
    monkeypatch.setattr(instances, "candidates", lambda name: (first,))
    monkeypatch.setattr(rival_tuning, "SEEDS", rival_tuning.SEEDS[:1])
    best = rival_tuning.best(ROWS, "active_inverse")
    row = next(row for row in ROWS if rival_tuning.settings(row["solver"])[row["setting"]] == best)
    found = rival_tuning.run("active_inverse", row["setting"])
    assert found["held_from"] == row["held_from"][:1]
    assert found["ends"] == pytest.approx(row["ends"][:1], abs=1e-4)


def test_the_order_of_settings() -> None:
    """Runs that hold come first, then the median, then the mean with 31 for never; runs that were left out did not hold."""
    held = [
        [4, 4, 4, 4, 4, 30, 30, 30, 30, 30],
        [4, 4, 4, 4, 4, 4, 30, 30, 30, 30],
        [6, 6, 6, 6, 6, 6, 6, 6, 6, 6],
        [2, 2, 2, 2, 2, 2, 2, 2, 2, None],
        [2, 2, 2, None, None],
    ]
    ranks = [rival_tuning.rank({"held_from": own}) for own in held]
    assert sorted(range(5), key=lambda i: ranks[i]) == [1, 2, 0, 3, 4]
    assert ranks[4][0] == 7
    assert ranks[3] == (1, 2.0, pytest.approx(4.9))
