"""What is measured of a run beside its score, against theorems and independent sums; and the files that carry it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import solvers
import stackelberg_envs as se
from baselines.bench.cli import app
from baselines.bench.telemetry_curves import QUANTITIES, measured, telemetry_curves
from solvers.telemetry import telemetry_row
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame

MEASURED = {"exact_norm", "exact_direct_norm", "exact_response_norm", "gradient_error", "cosine"}
ONLINE = {"online_return", "best_response_return", "follower_kl", "bellman_residual"}


def test_the_exact_gradient_is_exact_and_the_naive_one_is_its_direct_part() -> None:
    """On toy3 the naive gradient has the wrong sign; its norm is that of the direct part of the exact one."""
    game = se.game("toy3-v0")
    exact, naive = (
        solvers.solve(game, name, budget=3, start=np.zeros(6), telemetry=True, reports=3).history for name in ("implicit", "naive")
    )
    assert not MEASURED & set(exact[0])
    for row in exact[1:]:
        assert row["cosine"] == pytest.approx(1, abs=1e-12)
        assert row["gradient_error"] == pytest.approx(0, abs=1e-9)
        assert row["exact_norm"] == pytest.approx(row["gradient_norm"], rel=1e-9)
    for row in naive[1:]:
        assert row["cosine"] < 0
        assert row["exact_direct_norm"] == pytest.approx(row["gradient_norm"], rel=1e-9)
        assert row["gradient_error"] == pytest.approx(row["exact_response_norm"] / row["exact_norm"], rel=1e-9)


def test_it_changes_nothing_and_is_not_charged() -> None:
    game, follower = se.game("four_rooms-v0"), se.SoftQLearning(0.05, 200)
    settings = {"budget": 4, "seed": 3, "follower": follower, "episodes": 5}
    plain, measured = (solvers.solve(game, "hpgd", telemetry=wanted, **settings) for wanted in (False, True))
    np.testing.assert_array_equal(plain.x, measured.x)
    assert not (MEASURED | ONLINE) & set(plain.history[-1])
    assert set(measured.history[-1]) >= ONLINE
    for before, now in zip(plain.history, measured.history, strict=True):
        assert {**before, "seconds": 0} == {**{name: now[name] for name in before}, "seconds": 0}
    with pytest.raises(ValueError, match="score, belief or telemetry differ"):
        solvers.solve(game, "hpgd", resume=measured.checkpoint, **{**settings, "budget": 8})
    half = solvers.solve(game, "hpgd", telemetry=True, **{**settings, "budget": 2})
    resumed = solvers.solve(game, "hpgd", telemetry=True, resume=half.checkpoint, **settings)
    assert {**resumed.history[-1], "seconds": 0} == {**measured.history[-1], "seconds": 0}


@pytest.mark.parametrize("follower", [se.SoftQLearning(0.1, 300), se.SoftQLearning(0.1, 300, samples="uniform")])
@pytest.mark.parametrize("sees", ["action", "policy"])
def test_what_a_learner_loses_is_its_divergence(follower: se.SoftQLearning, sees: str) -> None:
    """Mei et al. 2020, lemma 26: V*(rho) - V^mu(rho) = tau / (1 - gamma) E_mu[KL(mu | mu*)]; returns are the referee's."""
    game, x = se.game("random_markov_game-v0", follower_sees=sees), np.random.default_rng(0).normal(size=15)
    rounds = RepeatedGame(game, follower, seed=4)
    rounds.oracle(Access.OUTCOME).play(x)
    row = telemetry_row(rounds, solvers.State(x))
    answered = se.evaluate(game, x, follower=follower.judge, responses=(rounds.last_responses[1][0],))
    best = se.evaluate(game, x, follower=follower.judge)
    (world,) = game.problems(x)
    lost = float(best.follower_values[0, 0] - answered.follower_values[0, 0])
    assert lost > 0.01
    assert row["follower_kl"] == pytest.approx(lost * (1 - world.follower_discount) / follower.temperature, rel=1e-9)
    assert row["online_return"] == pytest.approx(float(answered.leader_return), rel=1e-12)
    assert row["best_response_return"] == pytest.approx(float(best.leader_return), rel=1e-12)


def test_the_bellman_residual_bounds_the_values_error() -> None:
    """max |V - V*| <= residual / (1 - gamma), for the backup contracts; and a converged learner has none, and no divergence."""
    game, x = se.game("random_markov_game-v0"), np.zeros(15)
    for steps in (10, 1000):
        rounds = RepeatedGame(game, se.SoftQLearning(0.1, steps), seed=1)
        rounds.oracle(Access.OUTCOME).play(x)
        row = telemetry_row(rounds, solvers.State(x))
        (answer,) = rounds.last_responses[1][0].answers
        (exact,) = se.Soft(0.1).respond(game, x).answers
        assert float(np.abs(answer.values - exact.values).max()) <= row["bellman_residual"] / (1 - 0.9) + 1e-9
        assert row["bellman_residual"] > 1e-3
    rounds = RepeatedGame(game, se.NaturalPolicyGradient(0.1, iterations=400))
    rounds.oracle(Access.OUTCOME).play(x)
    row = telemetry_row(rounds, solvers.State(x))
    assert row["bellman_residual"] < 1e-8
    assert row["follower_kl"] == pytest.approx(0, abs=1e-8)


CONFIG = """
name = "measured"
seeds = 2
telemetry = true
[[games]]
id = "random_markov_game-v0"
follower = { kind = "SoftQLearning", temperature = 0.05, steps = 50 }
[[games.solvers]]
name = "zeroth_order"
budget = 8
"""


def test_files_carry_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration asks for it; CSV and TensorBoard have the numbers of the results, digit by digit."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs the extra 'tensorboard'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "measured.toml").write_text(CONFIG)
    runner = CliRunner()
    assert runner.invoke(app, ["bench", "measured.toml", "--jobs", "1"]).exit_code == 0
    assert runner.invoke(app, ["results", "measured.toml", "--history", "--output", "history.csv"]).exit_code == 0
    assert {*ONLINE, "cosine"} <= set((tmp_path / "history.csv").read_text().splitlines()[0].split(","))
    for force in ([], ["--force"]):  # a second time replaces, and does not add
        made = runner.invoke(app, ["results", "measured.toml", "--to", "tensorboard", *force])
        assert made.exit_code == 0, made.output
    lines = [json.loads(line) for line in (tmp_path / "results" / "measured.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        (place,) = (tmp_path / "tensorboard").rglob(f"*{line['id']}")
        assert len(list(place.iterdir())) == 1
        events = accumulator.EventAccumulator(str(place)).Reload()
        tensors = events.Tensors("cosine")
        curve = {point.step: point.tensor_proto.double_val[0] for point in tensors}
        assert curve == {row["commitments"]: row["cosine"] for row in line["history"] if "cosine" in row}


def test_the_report_draws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A panel for each quantity that some solver has in all of its runs, and no figure where nothing was measured."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "measured.toml").write_text(CONFIG.replace("budget = 8", 'budget = 8\n[[games.solvers]]\nname = "bchg"\nbudget = 8'))
    runner = CliRunner()
    assert runner.invoke(app, ["bench", "measured.toml", "--jobs", "1"]).exit_code == 0
    assert runner.invoke(app, ["report", "measured.toml"]).exit_code == 0
    page = tmp_path / "report.html"
    assert "What was measured on the way" in page.read_text()
    groups: dict[str, list[dict]] = {}
    for line in (tmp_path / "results" / "measured.jsonl").read_text().splitlines():
        result = json.loads(line)
        groups.setdefault(result["job"]["label"], []).append(result)
    there = measured(groups)
    assert set(there) == set(QUANTITIES)
    assert there["direct_norm"] == ["bchg"], "differences of returns know no parts"
    assert set(there["online_return"]) == {"bchg", "zeroth_order"}
    figure = telemetry_curves(groups)
    assert figure is not None
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == list(QUANTITIES.values())
    line = shown[0].get_lines()[list(there["online_return"]).index("bchg")]
    last = [run["history"][-1]["online_return"] for run in groups["bchg"]]
    assert np.asarray(line.get_ydata())[-1] == pytest.approx(np.mean(last))
    plain = {label: [{**run, "history": [{"commitments": 0}] * 3} for run in runs] for label, runs in groups.items()}
    assert telemetry_curves(plain) is None


def test_worlds_without_tables_have_the_leaders_returns() -> None:
    """Of a network's answer by the referee's episodes; where the judge is exact, of its answer too."""
    pytest.importorskip("stable_baselines3", reason="the extra 'rl' is not installed")
    from solvers.dqn import DQN
    from solvers.learners import SAC

    quick = SAC(20, learning_starts=10, hidden=(8,), batch_size=16)
    economy = se.game("tax_economy-v0", grid=21, hours=3, spendings=2)
    for game, follower, wanted in (
        (se.game("guided_cartpole-v0"), quick, {"online_return"}),
        (economy, DQN(0.3, 20, replay=100, batch=50), {"online_return", "best_response_return"}),
    ):
        rounds, x = RepeatedGame(game, follower, seed=4), np.zeros(game.dimension)
        rounds.oracle(Access.OUTCOME).play(x)
        row = telemetry_row(rounds, solvers.State(x))
        assert set(row) == wanted
        ((context, response),) = rounds.last_responses[1].items()
        scored = se.evaluate(game, x, responses=(response,) * len(game.contexts))
        assert row["online_return"] == float(scored.per_context[context])
