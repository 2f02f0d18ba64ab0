"""Leader PPO: the library is fed what it would have collected, and nothing leaks out of it."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from solvers.leader_ppo import LeaderPPO, _fill_rollout_buffer, private_generators
from solvers.leader_ppo import log_policy as log_policy_of
from stackelberg_envs.leader.repeated_game import RepeatedGame

pytest.importorskip("stable_baselines3", reason="the extra 'rl' is not installed")
SMALL: dict[str, Any] = {"episodes": 3, "hidden": [16], "n_epochs": 2}


class Ending(type(se.game("random_markov_game-v0"))):  # type: ignore[misc]
    """Episodes end with probability .1 at each step, and are cut after 12."""

    def induced(self, x: Any, context: int) -> Any:
        mdp = super().induced(x, context)
        return replace(mdp, transition=0.9 * mdp.transition)


@pytest.mark.parametrize("hidden", [(), (64, 64)])
def test_advantages_are_those_of_the_definition(hidden: tuple[int, ...]) -> None:
    """GAE by hand, episode by episode: a cut episode goes on in the critic's eyes, an ended one does not."""
    game = Ending(max_cycles=12)
    rounds = RepeatedGame(game, seed=0)
    solver = LeaderPPO(hidden=hidden, gae_lambda=0.8)
    with private_generators(np.random.default_rng(0)):
        model = solver._model(rounds.oracle(se.Access.OUTCOME))
    seen = rounds.play(log_policy_of(model.policy).numpy().ravel(), episodes=20)
    buffer = _fill_rollout_buffer(model, seen, 5)
    with torch.no_grad():
        V = np.append(model.policy.predict_values(torch.eye(5)).numpy(), 0.0)
    wanted, cut = [], 0
    for i in range(20):
        length = int(seen.alive[i].sum())
        s, r = seen.states[i, 0, : length + 1], seen.leader_rewards[i]
        errors = [r[t] + 0.9 * V[s[t + 1]] - V[s[t]] for t in range(length)]
        wanted += [sum((0.9 * 0.8) ** (k - t) * errors[k] for k in range(t, length)) for t in range(length)]
        cut += int(s[-1] < 5)
    assert 0 < cut < 20
    np.testing.assert_allclose(buffer.advantages[:, 0], wanted, atol=1e-5)
    np.testing.assert_allclose(buffer.returns[:, 0], buffer.advantages[:, 0] + V[seen.states[:, 0, :-1][seen.alive[:, 0]]], atol=1e-6)
    log_policy = log_policy_of(model.policy).numpy()
    actions = seen.leader_actions[:, 0][seen.alive[:, 0]]
    np.testing.assert_allclose(buffer.log_probs[:, 0], log_policy[seen.states[:, 0, :-1][seen.alive[:, 0]], actions], atol=1e-6)


@pytest.mark.parametrize("hidden", [[], [16], [64, 64]])
def test_it_begins_at_the_start_and_plays_its_net(hidden: list[int]) -> None:
    """The first commitment played is the start (as a policy), and the commitment it reports is the next one played."""
    game, played = se.game("random_markov_game-v0"), []
    oracle = RepeatedGame(game).oracle(se.Access.OUTCOME)
    play = oracle.play
    vars(oracle)["play"] = lambda x, **how: played.append(x) or play(x, **how)
    solver, rng = solvers.build("leader_ppo", hidden=hidden, learning_rate=0.01), np.random.default_rng(0)
    start = 2 * rng.normal(size=15)
    states = [solver.init(oracle, start)]
    for _ in range(3):
        states.append(solver.step(oracle, states[-1], rng))
    np.testing.assert_allclose(game.log_leader_policy(played[0]), game.log_leader_policy(start), atol=1e-4)
    for state, x in zip(states[1:], played[1:], strict=False):
        np.testing.assert_array_equal(state.x, x)
    assert np.abs(played[2] - played[0]).max() > 0.01


def test_global_generators_are_left_alone_and_do_not_matter() -> None:
    """Bit for bit: the same run whatever state torch's and NumPy's global generators are in, and those are as they were."""

    def go(budget: int = 6, **more: Any) -> solvers.Solution:
        return solvers.solve(se.game("random_markov_game-v0"), "leader_ppo", budget=budget, **SMALL, **{"seed": 7, **more})

    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    first = go()
    after = np.random.get_state()  # noqa: NPY002
    assert before[0][0] == after[0]
    assert all(np.array_equal(a, b) for a, b in zip(before[0][1:], after[1:], strict=True))
    assert torch.equal(before[1], torch.get_rng_state())
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    np.testing.assert_array_equal(first.x, go().x)
    assert not np.array_equal(first.x, go(seed=8).x)
    resumed = go(resume=pickle.loads(pickle.dumps(go(3).checkpoint)))
    np.testing.assert_array_equal(first.x, resumed.x)
    assert {**first.history[-1], "seconds": 0} == {**resumed.history[-1], "seconds": 0}


def test_generators_come_back_after_an_error() -> None:
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[union-attr] # noqa: NPY002

    def interrupted() -> None:
        with private_generators(np.random.default_rng(0)):
            np.random.random(700)  # noqa: NPY002 - more than the state holds, so that it moves on
            torch.rand(3)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        interrupted()
    assert np.random.get_state()[1].tolist() == before[0]  # type: ignore[union-attr] # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


def test_the_ledger() -> None:
    """One commitment an iteration, and every step that was watched: 3 episodes of 50."""
    cost = solvers.solve(se.game("random_markov_game-v0"), "leader_ppo", budget=5, **SMALL).cost
    assert (cost.commitments, cost.outcome_steps, cost.gradient_steps) == (5, 5 * 3 * 50, 5)
    assert cost.queries == cost.model_calls == 0


def test_without_a_follower_it_is_a_reinforcement_learner() -> None:
    """A follower with one action: the leader's problem is a Markov decision process, and its optimum is known."""
    game = se.game("random_markov_game-v0", follower_actions=1, seed=3)
    best = se.cooperative_value(game)
    assert best is not None
    solution = solvers.solve(game, "leader_ppo", budget=40, hidden=[], learning_rate=0.03, reports=1)
    start = solution.history[0]["leader_return"]
    assert solution.leader_return > start + 0.9 * (best - start)


def test_declining_and_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(solvers.Declined, match="leader_ppo learns a policy for the game, and this leader does not act in it"):
        solvers.solve(se.game("four_rooms-v0"), "leader_ppo")
    game = se.game("random_markov_game-v0")
    policy = game.log_leader_policy
    game.log_leader_policy = lambda x: policy(2 * x)
    with pytest.raises(solvers.Declined, match="a leader policy that is the softmax of the commitment"):
        solvers.solve(game, "leader_ppo")
    with pytest.raises(ValueError, match="batch_size from 2"):
        solvers.build("leader_ppo", batch_size=1)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ImportError, match=r"pip install 'stackelberg-envs\[rl\]'"):
        solvers.solve(se.game("random_markov_game-v0"), "leader_ppo")
