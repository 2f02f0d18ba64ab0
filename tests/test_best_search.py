"""The search for better commitments than the stored ones: what it finds again, where it goes on, and what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stackelberg_envs as se
from baselines.bench import best, best_ledger, results_file
from baselines.bench.best import Best
from baselines.bench.best_search import BestSearch
from baselines.bench.execution import attempt
from baselines.bench.jobs import World
from tests.command_line import command

TOY = World("toy3-v0", {"R": 1.0})
OTHER = World("toy3-v0", {"R": 2.0})
SATURATED = np.array([60.0, 0.0, 60.0, 0.0, 60.0, 0.0])


def record_of(world: World, x: np.ndarray) -> Best:
    return Best(world, float(se.evaluate(world.game(), x, follower=world.answerer()).leader_return), tuple(x.tolist()), "a test")


def common(world: World) -> Best:
    """What the committed record has."""
    return best.read_best(best.COMMITTED)[world.key]


def without_times(path: Path) -> dict[str, Any]:
    return {id: {name: value for name, value in line.items() if name != "timing"} for id, line in results_file.read(path).items()}


def test_a_worse_record_is_found_again() -> None:
    """Also from a commitment whose softmax is 0 and 1 up to rounding, where no component has a gradient."""
    known, worse = common(TOY), record_of(TOY, SATURATED)
    assert worse.leader_return < known.leader_return - 1
    found = BestSearch(TOY, 40, 0, worse).execute()
    assert found["before"] == worse.leader_return
    assert found["after"] == pytest.approx(known.leader_return, abs=0.01)
    assert found["after"] == pytest.approx(record_of(TOY, np.array(found["x"])).leader_return, abs=1e-9)


def test_followers_without_gradients_are_searched_by_returns() -> None:
    """Against a hard follower no gradient is to be had, and the linear programme of security games is one of the starts."""
    world = World("security-v0", {"preset": "two_targets"}, {"kind": "Hard", "ties": "strong"})
    found = BestSearch(world, 10).execute()
    assert not {one["by"] for one in found["tried"]} & {"combinatorial", "multistart"}
    assert found["after"] == pytest.approx(common(world).leader_return, abs=1e-6)


def test_starts_come_from_the_nearest_worlds() -> None:
    """Of the same game and shape; those that share most settings first."""
    worlds = [
        World("toy3-v0", {"R": 3.0}, {"kind": "Soft", "temperature": 0.3}),
        World("toy3-v0", {"R": 1.0}, {"kind": "Soft", "temperature": 0.3}),
        World("random_markov_game-v0", {"seed": 1}),
    ]
    known = {world.key: record_of(world, np.zeros(world.game().dimension)) for world in (TOY, *worlds)}
    assert [entry.world for entry in best_ledger.related_to(TOY, known)] == [worlds[1], worlds[0]]


def test_a_search_that_is_asked_to_stop_leaves_nothing_behind() -> None:
    assert attempt(BestSearch(TOY, 50), stop=lambda: True) == {"id": BestSearch(TOY, 50).id, "stopped": ""}


def test_the_command_resumes_and_does_not_depend_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration of two related worlds: one is searched, then both; in one go by two processes; and then the record is improved."""
    record = tmp_path / "common.jsonl"
    worse = {world.key: record_of(world, SATURATED) for world in (TOY, OTHER)}
    best.keep(record, worse)
    monkeypatch.setattr(best, "COMMITTED", record)
    games = "".join(
        f'[[games]]\nid = "toy3-v0"\ntitle = "R {world.arguments["R"]:g}"\narguments = {{ R = {world.arguments["R"]} }}\n'
        for world in (TOY, OTHER)
    )
    config = tmp_path / "two.toml"
    config.write_text(f'{games}[[solvers]]\nname = "multistart"\n')
    asked = ("best", config, "--search", "--budget", 20)

    status, said = command(*asked, "--results", tmp_path / "a", "--jobs", 1, "--games", "R 1")
    assert status == 0
    assert "Better commitments in 1 of 1 world" in said
    (first,) = (tmp_path / "a" / best_ledger.LEDGER).read_text().splitlines()
    status, said = command(*asked, "--results", tmp_path / "a", "--jobs", 1)
    assert "1 of 2 runs is already in" in said
    lines = (tmp_path / "a" / best_ledger.LEDGER).read_text().splitlines()
    assert (len(lines), lines[0]) == (2, first), "nothing is done twice"
    status, said = command(*asked, "--results", tmp_path / "b", "--jobs", 2, "--adopt")
    assert status == 0, said
    assert without_times(tmp_path / "a" / best_ledger.LEDGER) == without_times(tmp_path / "b" / best_ledger.LEDGER)

    stored = best.read_best(tmp_path / "a" / "best_known.jsonl")
    assert best.read_best(record) == stored
    for key, entry in stored.items():
        assert entry.leader_return > worse[key].leader_return + 1
        assert entry.rescore() == pytest.approx(entry.leader_return, abs=1e-9)
        assert entry.found_by.startswith("search from ")


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best.keep(tmp_path / "common.jsonl", {TOY.key: record_of(TOY, SATURATED)})
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "common.jsonl")
    status, said = command("best")
    assert (status, "name a configuration, or give --search" in said) == (2, True)
    status, said = command("best", "--search", "--games", "toy9-v0", "--results", tmp_path)
    assert (status, "no stored best commitment is of toy9-v0" in said) == (2, True)
    status, said = command("best", "default", "--adopt")
    assert (status, "are for --search" in said) == (2, True)
