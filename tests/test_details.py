"""What the commands tell of a game, a solver, and a run that went down, against docstrings and a run."""

from __future__ import annotations

import inspect

import pytest
from typer.testing import CliRunner

import solvers
import stackelberg_envs as se
from baselines.bench import cli, details, printing
from baselines.bench.descent import descent_note
from solvers.ascent import Ascent
from solvers.estimators.implicit import Implicit, exact_gradient
from stackelberg_envs.registry import REGISTRY


def test_every_argument_of_every_game_and_solver_has_a_meaning() -> None:
    for id in se.games():
        cls = REGISTRY.load(id)
        assert set(inspect.signature(cls).parameters) <= set(details.argument_meanings(cls)), id
    for name in solvers.names():
        told = {key for cls in (*inspect.getmro(solvers.solver_class(name)), Ascent) for key in details.argument_meanings(cls)}
        assert set(solvers.registry.hyperparameters(name)) <= told, name


def test_list_names_arguments_and_prints_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """And B of followers who interact counts joint actions, as docs/reference/conventions.md says."""
    monkeypatch.setattr(printing.console, "width", 150)
    said = CliRunner().invoke(cli.app, ["list", "escape_room-v0", "four_rooms-v0", "hpgd"]).output
    assert "(S, A, B) = (37, 1, 9), B joint actions of B_i = (3, 3)" in said
    assert "Followers: each stands at the lever" in said
    assert not any(mark in said for mark in ("**", "``", "* "))
    for line in ("preset = 'default'", "beta = None", "slip = None", "walkers = 1", "max_cycles = 200", "batches = 'same'", "lr = 0.5"):
        assert line in said
    assert "the leader's price of penalties, in reward per unit of budget" in said
    assert "learning rate" in said


def test_a_run_that_fell_is_told_with_what_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing.console, "width", 150)
    call = ["solve", "four_rooms-v0", "zeroth_order", "--budget", "5", "--game", "max_cycles=20"]
    rising = [{"leader_return": value, "commitments": i} for i, value in enumerate((1.0, 3.0, 2.0))]
    assert descent_note(rising, {}) is None
    falling = [{"leader_return": value, "commitments": i} for i, value in enumerate((2.0, 3.0, 1.5))]
    settings = {"batches": "same", "episodes": 300, "lr": 0.5}
    said = descent_note(falling, settings)
    assert said is not None
    assert said.startswith("F fell, from 2 at the start to 1.5 (at best 3, after 1 commitment). To try: --set batches=independent")
    assert "--set episodes=1200 (it was 300), --set lr=0.1 (it was 0.5)" in said
    noisy = [{**row, "standard_error": 0.2} for row in falling]
    assert descent_note(noisy, settings) is None, "by less than two standard errors of each"
    monkeypatch.setattr(Implicit, "estimate", _descend)
    printed = CliRunner().invoke(cli.app, [*call[:2], "implicit", *call[3:]]).output
    assert "F fell" in printed
    assert "--set lr=0.1" in printed


def _descend(self: object, oracle: se.Oracle, x: object, memory: object, rng: object) -> solvers.Estimate:
    return solvers.Estimate(-exact_gradient(oracle, x, None, reaction=True).gradient)  # type: ignore[arg-type]
