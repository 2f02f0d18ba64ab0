"""Best responses in environments of others, against published values and independent programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kuhn_poker import DEALS, KuhnPoker, best_value, value
from pettingzoo.test import api_test

import stackelberg_envs as se
from baselines.best_response import QLearning, SingleAgentEnv, StableBaselines, exact_response, exploitability, random_policy


def even(card: int, history: str) -> float:
    return 0.5


def always(card: int, history: str) -> float:
    return 1.0


UNIFORM = even, even


def bets(probability: float) -> Any:
    return lambda observation, mask, rng: int(rng.random() < probability)


def test_the_little_solver_knows_what_is_published() -> None:
    """NashConv of the uniform policies is 11/12, as OpenSpiel reports it, and at Kuhn's equilibrium nobody gains; its value is -1/18."""
    with pytest.warns(UserWarning, match="has not defined a render"):
        api_test(KuhnPoker(), num_cycles=50)
    assert best_value(UNIFORM, 0) + best_value(UNIFORM, 1) == pytest.approx(11 / 12)
    first = {(0, ""): 0.0, (1, ""): 0.0, (2, ""): 0.0, (0, "pb"): 0.0, (1, "pb"): 1 / 3, (2, "pb"): 1.0}
    second = {(0, "p"): 1 / 3, (1, "p"): 0.0, (2, "p"): 1.0, (0, "b"): 0.0, (1, "b"): 1 / 3, (2, "b"): 1.0}
    nash = (lambda card, history: first[card, history]), (lambda card, history: second[card, history])
    assert float(np.mean([value(nash, deal) for deal in DEALS])) == pytest.approx(-1 / 18)
    assert best_value(nash, 0) == pytest.approx(-1 / 18)
    assert best_value(nash, 1) == pytest.approx(1 / 18)


@pytest.mark.parametrize("agent", ["player_0", "player_1"])
def test_learned_exploitability_in_kuhn_poker(agent: str) -> None:
    policies = {"player_0": bets(0.5), "player_1": bets(0.5)}
    found = exploitability(KuhnPoker, policies, agent, learner=QLearning(steps=20_000), seeds=(0,), episodes=3000)
    player = int(agent[-1])
    own = float(np.mean([value(UNIFORM, deal) for deal in DEALS])) * (1 - 2 * player)
    assert found.gain is not None
    half = (found.gain.high - found.gain.low) / 2
    assert abs(found.gain.centre - (best_value(UNIFORM, player) - own)) < 2 * half
    assert abs(found.response_return.centre - best_value(UNIFORM, player)) < 2 * half
    assert "can gain at least" in str(found)


def test_a_library_finds_the_response_in_kuhn_poker() -> None:
    """PPO against a player who always bets: fold the jack, call with the king."""
    pytest.importorskip("stable_baselines3", reason="the extra 'rl' is not installed")
    learner, steps = StableBaselines("PPO", steps=1536, options={"n_steps": 256, "learning_rate": 0.01}), list[int]()
    found = exploitability(
        KuhnPoker, {"player_0": bets(1.0)}, "player_1", learner=learner, seeds=(3,), episodes=1000, on_steps=steps.append
    )
    assert sum(steps) == 1536
    assert found.gain is None
    half = found.response_return.high - found.response_return.centre
    assert abs(found.response_return.centre - best_value((always, always), 1)) < 2 * half


def test_one_seed_gives_one_result() -> None:
    policies = {"player_0": bets(0.5), "player_1": bets(0.5)}
    twice = [exploitability(KuhnPoker, policies, "player_1", learner=QLearning(500), seeds=(1, 2), episodes=50) for _ in range(2)]
    assert twice[0].gain == twice[1].gain
    assert twice[0].seed == twice[1].seed


class Forced(KuhnPoker):
    """Kuhn poker in which nobody may pass, by a mask in the infos."""

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        super().reset(seed, options)
        self.infos = {agent: {"action_mask": np.array([0, 1], np.int8)} for agent in self.agents}


def test_illegal_actions_are_replaced_by_legal_ones() -> None:
    env = SingleAgentEnv(Forced, "player_0", {"player_1": random_policy(Forced().action_space("player_1"))})
    for seed in range(10):
        env.reset(seed=seed)
        _, reward, terminated, truncated, _ = env.step(0)  # a pass, which is not allowed
        assert (terminated, truncated) == (True, False)
        assert abs(reward) == 2


def test_a_parallel_world_of_this_suite_and_its_exact_response() -> None:
    """The value of the best response to a commitment: learned in the environment, by tables, and by `se.evaluate`."""
    game = se.game("toy3-v0")
    x = np.linspace(-1, 1, game.dimension)
    world = game.problems(x)[0]
    exact = exact_response(
        world.kernel.dense(), world.follower_reward, world.leader_policy, initial=world.initial, discount=world.follower_discount
    )
    scored = se.evaluate(game, x, follower=se.Hard())
    assert exact.response_return == pytest.approx(float(scored.follower_returns[0]), abs=1e-9)
    assert exact.gain is None


def test_exact_gain_by_enumeration() -> None:
    rng = np.random.default_rng(0)
    transition, reward = 0.9 * rng.dirichlet(np.ones(3), size=(3, 2, 2)), rng.normal(size=(3, 2, 2))
    other, own, initial = rng.dirichlet(np.ones(2), size=3), rng.dirichlet(np.ones(2), size=3), rng.dirichlet(np.ones(3))

    def worth(policy: np.ndarray) -> float:
        joint = other[:, :, None] * policy[:, None, :]
        p, r = np.einsum("sab,sabt->st", joint, transition), (joint * reward).sum((1, 2))
        return float(initial @ np.linalg.solve(np.eye(3) - p, r))

    pure = [worth(np.eye(2)[[i, j, k]]) for i in range(2) for j in range(2) for k in range(2)]
    found = exact_response(transition, reward, other, initial=initial, discount=1.0, own=own)
    assert found.response_return == pytest.approx(max(pure))
    assert found.gain == pytest.approx(max(pure) - worth(own))
    assert worth(np.eye(2)[found.policy]) == pytest.approx(max(pure))


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"there is no agent 'bob'; the agents are player_0, player_1"):
        exploitability(KuhnPoker, {}, "bob")
    with pytest.raises(ValueError, match=r"no policy for player_1: every agent but player_0 has a fixed one"):
        exploitability(KuhnPoker, {"player_0": bets(0.5)}, "player_0")
    with pytest.raises(ValueError, match=r"episodes is a whole number from 2, got 1"):
        exploitability(KuhnPoker, {"player_1": bets(0.5)}, "player_0", episodes=1)
    with pytest.raises(ValueError, match=r"reward has shape \(2, 2\): with this transition it is \(3, 2, 2\)"):
        exact_response(np.zeros((3, 2, 2, 3)), np.zeros((2, 2)), np.ones((3, 2)) / 2, initial=np.ones(3) / 3, discount=0.9)
