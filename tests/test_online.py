"""The online track: its table is what the record says, and its ledgers count every step once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import solvers
import stackelberg_envs as se
from baselines.bench import configuration, report, results_file
from baselines.studies import online
from solvers.dqn import DQN
from solvers.learners import SAC
from stackelberg_envs.arguments import ArgumentError
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.outcomes import Outcome

FOLDER = Path(__file__).parent.parent / "docs" / "reproductions"
RECORD = FOLDER / "recorded" / "online.jsonl"


@pytest.mark.parametrize("name", ["online", "online-starts", "online-rates", "online-networks"])
def test_the_table_is_what_the_record_says(name: str) -> None:
    """And every game has runs of each follower at least; the lines above the tables say how many seeds there are."""
    config, record = configuration.load(name), FOLDER / "recorded" / f"{name}.jsonl"
    recorded = set(results_file.read(record))
    jobs = {job.id for job in config.jobs}
    assert recorded <= jobs
    pairs = [{(job.world.id, repr(type(job.world.answerer()))) for job in config.jobs if job.id in ids} for ids in (recorded, jobs)]
    assert pairs[0] == pairs[1]
    table = online.markdown(report.collect_parts(config, record))
    assert table == (FOLDER / f"{name}-table.md").read_text(), (
        f"run  python -m baselines.studies.online {name} --results docs/reproductions/recorded --output docs/reproductions"
    )


def kept(found: dict[tuple[str, str], online.Methods], game: str, learner: str, label: str) -> float:
    """Share of the gain at the most updates that there is at U = 1."""
    share = online.share_of_gain(found[game, learner][label])
    assert share is not None
    return share


def test_what_the_page_says_of_starts_and_rates() -> None:
    exact, sampled = online.LEARNERS["NaturalPolicyGradient"][0], online.LEARNERS["SoftQLearning"][0]
    starts, rates = (
        online.settings(report.collect_parts(configuration.load(name), FOLDER / "recorded" / f"{name}.jsonl"))
        for name in ("online-starts", "online-rates")
    )

    def end(game: str, learner: str, remark: str, name: str = "leader_return") -> float:
        return float(np.mean([run["history"][-1][name] for run in starts[game, learner][f"BC-HG, values read{remark}"][1]]))

    remarks = (", pre-trained", "", ", cold start")
    assert [round(end("Garnet 11", sampled, remark), 1) for remark in (", cold start", "")] == [5.0, 5.5]
    assert round(end("toy3", exact, ", cold start", "online_return"), 1) == 12.6
    assert round(end("toy3", exact, ", cold start"), 1) == 22.4
    assert [round(end("toy3", sampled, remark, "online_return"), 1) for remark in remarks] == [22.4, 12.4, 5.5]
    assert [round(end("Four Rooms", sampled, remark, "online_return"), 1) for remark in remarks] == [1.0, 0.2, 0.5]
    assert [round(end("Four Rooms", sampled, remark), 1) for remark in remarks] == [1.3, 1.8, 2.1]
    assert round(end("Four Rooms", exact, "", "online_return"), 1) == 2.2
    for game in ("toy3", "Garnet 11", "Four Rooms"):
        assert kept(rates, game, exact, "BC-HG, values read, lr 0.1") > 0.98
    assert round(kept(rates, "Four Rooms", exact, "BC-HG, values read, lr 0.3"), 1) == 0.8


def test_what_the_page_says_of_networks() -> None:
    """Runs that ended below their start against PPO, what is left of the gain, and the ends against SAC and DQN."""
    record = FOLDER / "recorded" / "online-networks.jsonl"
    found = online.settings(report.collect_parts(configuration.load("online-networks"), record))
    ppo, sac, dqn = (next(learner for _, learner in found if learner.startswith(name)) for name in ("PPO", "SAC", "DQN"))
    reads, infers, compares = "BC-HG, values read", "BC-HG, from outcomes", "two points, sampled returns"

    def histories(game: str, learner: str, label: str, count: int) -> list[list[dict[str, float]]]:
        return [run["history"] for run in found[game, learner][label][count]]

    def end(game: str, learner: str, label: str, count: int, at: int = -1) -> float:
        return float(np.mean([rows[at]["leader_return"] for rows in histories(game, learner, label, count)]))

    def failures(game: str, label: str, count: int) -> int:
        return sum(rows[-1]["leader_return"] < rows[0]["leader_return"] for rows in histories(game, ppo, label, count))

    assert {len(runs) for (_, learner), methods in found.items() if learner == ppo for by in methods.values() for runs in by.values()} == {
        14
    }
    assert [round(end("toy3", ppo, reads, count), 1) for count in (1, 5, 20)] == [22.4] * 3
    assert round(100 * kept(found, "Garnet 11", ppo, reads)) == 81
    assert [failures(game, infers, count) for count in (1, 20) for game in ("toy3", "Garnet 11")] == [9, 4, 1, 0]
    assert [failures("toy3", compares, count) for count in (1, 5)] == [8, 0]
    assert (round(end("toy3", ppo, infers, 1), 1), round(end("toy3", ppo, infers, 1, 0), 1)) == (13.0, 15.0)
    for game in ("LQ gain", "building", "guided cart-pole"):
        assert online.share_of_gain(found[game, sac][compares]) is None
    assert round(end("guided cart-pole", sac, compares, 1, 0)) == 85
    assert [round(end("guided cart-pole", sac, compares, count)) for count in (1, 5, 20)] == [25, 45, 68]
    assert all(-261 < end("building", sac, compares, count) < -250 for count in (1, 5, 20))
    for count in (1, 5, 20):
        assert np.mean([rows[-1]["online_return"] for rows in histories("building", sac, compares, count)]) < -1e5
    assert [round(end("tax economy", dqn, compares, count, at), 1) for count, at in ((1, 0), (1, -1), (5, -1), (20, -1))] == [
        29.6,
        35.5,
        32.1,
        34.5,
    ]


def test_what_the_page_says() -> None:
    """Exact updates cost a leader who reads values at most 2 % at U = 1, from outcomes more; a walker who samples is not there yet."""
    found = online.settings(report.collect_parts(configuration.load("online"), RECORD))

    def mean(setting: tuple[str, str], count: int, label: str, name: str = "leader_return") -> float:
        ends = [run["history"][-1][name] for run in found[setting][label][count]]
        return sum(ends) / len(ends)

    exact, sampled = online.LEARNERS["NaturalPolicyGradient"][0], online.LEARNERS["SoftQLearning"][0]
    for game in ("toy3", "Garnet 11", "Garnet 12", "Four Rooms"):
        assert kept(found, game, exact, "BC-HG, values read") > 0.975
    assert kept(found, "Four Rooms", exact, "HPGD") > 0.975
    starts = [run["history"][0]["leader_return"] for run in found["toy3", exact]["two points, sampled returns"][1]]
    assert mean(("toy3", exact), 1, "two points, sampled returns") < min(starts)
    assert 0.98 < sum(starts) / len(starts) / 15 < 1.02
    for method in ("AHO", "two points, sampled returns"):
        for learner in (exact, sampled):
            against, counted = online.negative_share([run for runs in found["Four Rooms", learner][method].values() for run in runs])
            assert 0.35 < against / counted < 0.65
    assert mean(("Garnet 11", exact), 1, "BC-HG, from outcomes") < 0.9 * mean(("Garnet 11", exact), 20, "BC-HG, from outcomes")
    assert (
        mean(("Four Rooms", sampled), 1, "BC-HG, values read", "online_return")
        < 0.5
        < 1.4
        < mean(("Four Rooms", sampled), 1, "BC-HG, values read")
    )


@pytest.mark.parametrize("start", ["carry", "reset"])
def test_every_step_is_in_one_ledger(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was watched and what was learned from, each counted by hand; episodes that the leader watches teach the follower nothing."""
    watched, play = [], RepeatedGame.play

    def counting(rounds: RepeatedGame, *args: object, **options: object) -> Outcome:
        outcome = play(rounds, *args, **options)  # type: ignore[arg-type]
        watched.append(outcome.steps)
        return outcome

    monkeypatch.setattr(RepeatedGame, "play", counting)
    game, follower = se.game("random_markov_game-v0"), se.SoftQLearning(0.05, 70, start=start)
    solution = solvers.solve(game, "bchg", follower=follower, budget=6, seed=0, episodes=3, telemetry=True)
    cost = solution.cost
    assert cost.commitments == cost.gradient_steps == 6
    assert cost.outcome_steps == sum(watched) <= 6 * 3 * game.max_cycles
    assert cost.training_steps == 6 * 70
    _, responses = solution.checkpoint.rounds.last_responses
    (learner,) = responses[0].state
    assert learner.steps == (6 * 70 if start == "carry" else 70)
    spent = online.ledger([{"cost": vars(cost)}])
    assert spent == {
        **{"outcome_steps": sum(watched) / 6, "training_steps": 70.0, "queries": cost.queries / 6},
        **{"actor_updates": 0.0, "critic_updates": 70.0},
    }


@pytest.mark.parametrize("kind", ["SAC", "DQN"])
def test_updates_of_networks_are_those_of_their_optimisers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where the library and the network take their steps; environment steps are the follower's own, and none is the leader's."""
    stable_baselines3 = pytest.importorskip("stable_baselines3", reason="the extra 'rl' is not installed")
    steps = []
    if kind == "SAC":
        train = stable_baselines3.SAC.train

        def counting(model: Any, gradient_steps: int, batch_size: int) -> None:
            steps.append(gradient_steps)
            train(model, gradient_steps, batch_size)

        monkeypatch.setattr(stable_baselines3.SAC, "train", counting)
        game, follower = se.game("guided_cartpole-v0"), SAC(20, learning_starts=10, hidden=(8,), batch_size=16)
    else:
        learn = DQN._learn
        monkeypatch.setattr(DQN, "_learn", lambda *args: (steps.append(1), learn(*args)))
        game = se.game("tax_economy-v0", grid=21, hours=3, spendings=2)
        follower = DQN(0.3, 15, replay=100, batch=50, start="carry")
    rounds = RepeatedGame(game, follower, seed=1)
    for x in (np.zeros(game.dimension), np.ones(game.dimension)):
        rounds.play(x, one_context=True)
    assert rounds.cost.critic_updates == sum(steps) > 0
    assert rounds.cost.actor_updates == (sum(steps) if kind == "SAC" else 0)
    assert rounds.cost.training_steps == 2 * (20 if kind == "SAC" else 15 * 10)


@pytest.mark.parametrize(
    ("follower", "own"),
    [
        (se.SoftQLearning(0.05, 70), {"training_steps": 70, "critic_updates": 70}),
        (se.NaturalPolicyGradient(0.05, 3), {"actor_updates": 3, "follower_evaluations": 3}),
    ],
)
def test_pre_training_is_an_entry_of_its_own(follower: Any, own: dict[str, int]) -> None:
    """The ledger of a pre-trained follower is that of the follower without, and the steps before the first answer; in each context once."""
    game, ledgers = se.game("random_markov_game-v0"), []
    for who in (follower, se.Pretrained(follower, 500)):
        solution = solvers.solve(game, "bchg", follower=who, budget=4, seed=0, episodes=2)
        ledgers.append({name: amount for name, amount in solution.cost.as_dict().items() if name not in ("seconds", "outcome_steps")})
    plain, pretrained = ledgers
    assert pretrained == {**plain, "pretraining_steps": 500}
    assert {name: plain[name] for name in own} == {name: 4 * amount for name, amount in own.items()}


def test_a_pre_trained_follower_is_nearer_to_its_best_response() -> None:
    """As near as one that made its steps in the open, bit for bit; a follower who begins anew, or does not learn, is refused."""
    game, x, follower = se.game("random_markov_game-v0"), np.full(15, 0.1), se.SoftQLearning(0.1, 100)
    first = se.Pretrained(follower, 20_000).respond(game, x, rng=np.random.default_rng(3))
    rng = np.random.default_rng(3)
    open_ = follower.respond(game, x, rng=rng, state=follower.respond(game, x, budget=20_000, rng=rng).state)
    np.testing.assert_array_equal(first.policy, open_.policy)
    assert first.certificate < 0.5 * follower.respond(game, x, rng=np.random.default_rng(3)).certificate
    with pytest.raises(ArgumentError, match="would forget what it was pre-trained to"):
        se.Pretrained(se.SoftQLearning(0.1, 100, start="reset"), 10)
    with pytest.raises(ArgumentError, match="is for followers who learn"):
        se.Pretrained(se.Soft(0.1), 10)


def test_a_record_of_a_measured_run_is_thin_and_stays_as_it_is() -> None:
    """First and last report, others at least 8 % of the budget apart, each with its seconds; trimming again changes nothing."""
    rows = [{"iteration": i, "commitments": i, "leader_return": float(i), "instruments": {"paid": [0.5] * 100}} for i in range(101)]
    result = {"job": {"budget": 100, "telemetry": True}, "x": [0.1], "history": rows, "timing": {"history": [0.1 * i for i in range(101)]}}
    thin = results_file.trim_history(result)
    assert [row["commitments"] for row in thin["history"]] == [*range(0, 97, 8), 100]
    assert thin["timing"]["history"] == pytest.approx([0.1 * i for i in (*range(0, 97, 8), 100)])
    assert ["instruments" in row for row in thin["history"]] == [False] * 13 + [True]
    assert results_file.trim_history(thin) == thin
    assert len(results_file.trim_history({**result, "job": {"budget": 100}})["history"]) == 101
