"""The lists of conflict games: full, honest about what they leave out, and still true."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stackelberg_envs as se
from baselines.bench import instances
from baselines.bench.cli import app

LISTS = {name: instances.candidates(name) for name in instances.LISTS}


def test_lists_are_full_disjoint_and_without_solved_instances() -> None:
    assert not list(instances.list_errors(LISTS))
    assert [len(instances.seeds(name)) for name in ("tuning", "reporting", "held-out")] == [5, 10, 10]
    everything = [seed for name in LISTS for seed in instances.seeds(name)]
    assert len(set(everything)) == 25
    for name, found in LISTS.items():
        for one in found:
            assert 0 < one.uniform < one.naive <= one.best + 0.01, "a naive leader gains something, and an exact one no less"
            assert (one.seed in instances.seeds(name)) == (one.naive / one.best <= 0.95)


@pytest.mark.parametrize("name", LISTS)
def test_certificates_score_what_they_say(name: str) -> None:
    """And they are stationary: no small step along the coordinates gains more than 1e-3 on a listed instance."""
    for one in LISTS[name]:
        game, x = se.game(instances.GAME, seed=one.seed), np.array(one.commitment)
        assert se.evaluate(game, x).leader_return == pytest.approx(one.best, abs=1e-8)
        assert se.evaluate(game, np.zeros(game.dimension)).leader_return == pytest.approx(one.uniform, abs=1e-8)
        if one.has_gap:
            steps = np.concatenate([np.eye(game.dimension), -np.eye(game.dimension)])
            assert se.evaluate(game, x + 0.01 * steps).leader_return.max() < one.best + 1e-3


@pytest.mark.parametrize("listed", [True, False])
def test_measuring_again_finds_the_same(listed: bool) -> None:
    recorded = next(one for one in LISTS["held-out"] if one.has_gap is listed)
    assert not list(instances.complaints(recorded))
    if listed:
        wrong = dataclasses.replace(recorded, naive=recorded.naive - 0.01, best=recorded.best - 0.01)
        said = " ".join(instances.complaints(wrong))
        assert "naive is recorded as" in said
        assert "the search finds" in said


def test_every_seed_remains_a_game() -> None:
    """Nothing but the lists leaves an instance out."""
    left_out = [one.seed for found in LISTS.values() for one in found if not one.has_gap]
    assert left_out
    assert all(se.game(instances.GAME, seed=seed).dimension == 15 for seed in left_out)


def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It fills lists from the first seed on and writes what it reads; --check says what is no longer so, and fails."""

    def fake(seed: int) -> instances.Instance:
        return instances.Instance(seed, 1.0, 1.9 + 0.1 * (seed % 2), 2.0, (0.0,) * 15)  # odd seeds are solved

    monkeypatch.setattr(instances, "measure", fake)
    monkeypatch.setattr(instances, "LISTS", {"tuning": (1000, 2), "reporting": (1, 1)})
    run: Callable[..., object] = CliRunner().invoke
    made = run(app, ["instances", "--output", str(tmp_path / "made.json")])
    assert "tuning: 1000, 1002 (of 3 measured)" in made.output  # type: ignore[attr-defined]
    lists = instances.read_instances(tmp_path / "made.json")
    assert [one.seed for one in lists["reporting"]] == [1, 2]
    assert not list(instances.list_errors(lists))
    monkeypatch.setattr(instances, "COMMITTED", tmp_path / "made.json")
    checked = run(app, ["instances", "--check"])
    assert checked.exit_code == 1  # type: ignore[attr-defined]
    assert "seed 1000: the stored commitment is recorded as 2.000000000" in checked.output  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="did you mean 'tuning'"):
        instances.candidates("tunning")
