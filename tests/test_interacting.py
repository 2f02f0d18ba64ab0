"""Followers who interact: the type, regularised saddle points, equilibrium selection, and how they are played."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import stackelberg_envs as se
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.planning.saddle_point import saddle_point
from stackelberg_envs.planning.stage_games import stage_saddle
from stackelberg_envs.worlds.markov_game import InducedMarkovGame
from stackelberg_envs.worlds.mdp import InducedMDP


def random_process(
    seed: int, *, states: int = 4, leads: int = 2, actions: tuple[int, ...] = (2, 3), sees: Any = "action", zero_sum: bool = True
) -> InducedMarkovGame:
    rng = np.random.default_rng(seed)
    shape = (states, leads, int(np.prod(actions)))
    rewards = rng.uniform(size=(len(actions), *shape))
    return InducedMarkovGame(
        leader_policy=rng.dirichlet(np.ones(leads), size=states),
        transition=rng.dirichlet(np.ones(states), size=shape) * rng.uniform(0.7, 1.0, size=(*shape, 1)),
        follower_rewards=np.stack([rewards[0], -rewards[0]]) if zero_sum else rewards,
        leader_reward=rng.uniform(size=shape),
        initial=np.full(states, 1 / states),
        actions=actions,
        follower_discount=0.9,
        leader_discount=0.8,
        follower_sees=sees,
        zero_sum=zero_sum,
    )


class Fixed(se.StackelbergGame):
    """A process that no commitment moves."""

    name = "fixed"

    def __init__(self, process: Any, follower: Any = None) -> None:
        self.process, self.followers = process, len(process.actions)
        self.leader_space = se.game("toy3-v0").leader_space
        self.default_follower = se.Saddle(0.1) if follower is None else follower
        self.max_cycles = 40

    def induced(self, x: Any, context: int) -> Any:
        return self.process.map(array_namespace(x).asarray)


def one_shot(*payoffs: Any, leader: Any = None) -> InducedMarkovGame:
    """A game in normal form, played once."""
    tables = np.stack([np.asarray(payoff, dtype=float) for payoff in payoffs])
    shape = (1, 1, tables[0].size)
    return InducedMarkovGame(
        leader_policy=np.ones((1, 1)),
        transition=np.zeros((*shape, 1)),
        follower_rewards=tables.reshape(len(payoffs), *shape),
        leader_reward=np.zeros(shape) if leader is None else np.asarray(leader, dtype=float).reshape(shape),
        initial=np.ones(1),
        actions=tables.shape[1:],
        follower_discount=1.0,
        leader_discount=1.0,
        zero_sum=False,
    )


# -- the type --------------------------------------------------------------------------------------------------------------------------


def test_what_one_follower_faces_is_the_game_averaged_over_the_others() -> None:
    """Sums over joint actions, written out; three followers, so that those before and behind the player both count."""
    process = random_process(0, actions=(2, 3, 2), zero_sum=False)
    rng = np.random.default_rng(1)
    policies = [rng.dirichlet(np.ones(b), size=(4, 2)) for b in process.actions]
    for player, own in enumerate(process.actions):
        transition, reward = np.zeros((4, 2, own, 4)), np.zeros((4, 2, own))
        for joint, profile in enumerate(product(*map(range, process.actions))):
            weight = np.prod([policies[j][:, :, b] for j, b in enumerate(profile) if j != player], axis=0)
            transition[:, :, profile[player]] += weight[..., None] * process.transition[:, :, joint]
            reward[:, :, profile[player]] += weight * process.follower_rewards[player, :, :, joint]
        facing = process.facing(player, policies)
        np.testing.assert_allclose(facing.transition, transition, atol=1e-14)
        np.testing.assert_allclose(facing.follower_reward, reward, atol=1e-14)
        alone = policy_value(facing, policies[player], facing.follower_reward, 0.9)
        together = policy_value(process.joint, process.product(policies), process.follower_rewards[player], 0.9)
        np.testing.assert_allclose(alone, together, atol=1e-12)


def test_sizes_must_fit() -> None:
    process = random_process(0)
    with pytest.raises(ValueError, match=r"2 followers with \(2, 2\) actions do not make 6"):
        replace(process, actions=(2, 2))
    with pytest.raises(ValueError, match="a zero-sum game has two followers, not 3"):
        replace(random_process(0, actions=(2, 3, 2), zero_sum=False), zero_sum=True)
    with pytest.raises(ValueError, match="follower_sees is 'action' or 'policy'"):
        replace(process, follower_sees="all")  # type: ignore[arg-type]
    with pytest.raises(PlanningError, match="do not sum to 0"):
        saddle_point(replace(process, follower_rewards=process.follower_rewards + 0.1), 0.1)


# -- saddle points ---------------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.floats(-3.5, 1.0), st.floats(-1.0, 2.0))
@settings(deadline=None, max_examples=40)
def test_stage_games_are_solved(seed: int, rows: int, columns: int, cold: float, size: float) -> None:
    """Both answer each other, u = softmax(q w / tau) and w = softmax(-q' u / tau), and V(u', w) <= V <= V(u, w') for all u', w'."""
    rng = np.random.default_rng(seed)
    q, tau = 10**size * rng.normal(size=(3, rows, columns)), 10**cold
    stage = stage_saddle(q, tau)
    scale = 1 + np.abs(q).max() + tau
    error = scale * (1e-9 + 1e-14 * scale / tau)  # what rounded payoffs make of the policies, in value

    def value(u: np.ndarray, w: np.ndarray) -> np.ndarray:
        plogp = [np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=-1) for p in (u, w)]
        return np.einsum("ni,nij,nj->n", u, q, w) - tau * plogp[0] + tau * plogp[1]

    np.testing.assert_allclose(value(stage.first, stage.second), stage.values, atol=error)
    for _ in range(5):
        u, w = rng.dirichlet(np.ones(rows), size=3), rng.dirichlet(np.ones(columns), size=3)
        assert (value(u, stage.second) <= stage.values + error).all()
        assert (value(stage.first, w) >= stage.values - error).all()


def test_cold_stage_games_have_the_value_of_von_neumann() -> None:
    """As tau falls the value tends to the minimax value, by linear programming, with an error of at most tau log B."""
    q = np.random.default_rng(3).normal(size=(4, 5))
    programme = linprog(  # max v such that u' q >= v
        [0, 0, 0, 0, -1],
        A_ub=np.c_[-q.T, np.ones(5)],
        b_ub=np.zeros(5),
        A_eq=[[1, 1, 1, 1, 0]],
        b_eq=[1],
        bounds=[(0, None)] * 4 + [(None, None)],
    )
    for tau in (0.1, 0.01, 0.001, 0.0001):
        assert abs(float(stage_saddle(q, tau).values) + programme.fun) <= tau * np.log(5)


@given(st.integers(0, 10_000), st.sampled_from(["action", "policy"]), st.floats(-2.5, 0.5))
@settings(deadline=None, max_examples=20)
def test_saddle_points_are_certified_from_outside(seed: int, sees: str, cold: float) -> None:
    """The referee's duality gap, by two best responses that know nothing of the saddle point's solver, is below 1e-8."""
    tau = 10**cold
    game = Fixed(random_process(seed, sees=sees), se.Saddle(tau))
    scored = se.evaluate(game, np.zeros(6))
    assert scored.duality_gap < 1e-8
    first, second = scored.responses[0].answers
    np.testing.assert_allclose(first.values, -second.values)
    np.testing.assert_allclose(scored.follower_values[0], game.process.initial @ first.values * np.array([1, -1]), atol=1e-8)
    there = se.evaluate(game, torch.zeros(6, dtype=torch.float64))
    assert float(there.leader_return) == pytest.approx(float(scored.leader_return), abs=1e-9)


def test_saddle_points_in_single_precision() -> None:
    """As exact as the dtype allows, at the temperatures of the registered games."""
    game = se.game("zero_sum_incentive-v0", states=4)
    for tau in (0.1, 0.02):
        single = se.evaluate(game, torch.zeros(36, dtype=torch.float32), follower=se.Saddle(tau))
        assert float(single.leader_return) == pytest.approx(
            float(se.evaluate(game, np.zeros(36), follower=se.Saddle(tau)).leader_return), abs=1e-3
        )


@pytest.mark.parametrize(
    ("id", "arguments"), [("zero_sum_incentive-v0", {"states": 3}), ("sentinel_intruder-v0", {"size": 2}), ("escape_room-v0", {})]
)
def test_far_commitments_have_finite_gradients(id: str, arguments: dict[str, Any]) -> None:
    game = se.game(id, **arguments)
    x = torch.full((game.dimension,), -1000.0, dtype=torch.float64, requires_grad=True)
    (process,) = game.problems(x)
    assert isinstance(process, InducedMarkovGame)
    (slope,) = torch.autograd.grad(process.follower_rewards.sum() + process.leader_reward.sum(), x)
    assert torch.isfinite(slope).all()


def test_a_saddle_point_against_nobody_is_a_soft_response() -> None:
    """With one action for the opponent the game is a decision process."""
    process = random_process(2, actions=(3, 1))
    found = saddle_point(process, 0.2)
    alone: InducedMDP = process.facing(0, [np.ones((4, 2, 3)) / 3, np.ones((4, 2, 1))])
    plan = soft_policy_iteration(alone, 0.2)
    np.testing.assert_allclose(found.policies[0], plan.policy, atol=1e-10)
    np.testing.assert_allclose(found.values, plan.values, atol=1e-10)


def test_an_opponents_entropy_is_a_cost_in_a_zero_sum_game() -> None:
    """The regularised values of the two sum to 0 under any policies, not only at the saddle point."""
    process = random_process(4)
    rng = np.random.default_rng(0)
    policies = [rng.dirichlet(np.ones(b), size=(4, 2)) for b in process.actions]
    game = Fixed(process)
    answers = game.default_follower.respond(game, np.zeros(6)).answers
    response = se.Response(tuple(replace(answer, policy=policy) for answer, policy in zip(answers, policies, strict=True)))
    scored = se.evaluate(game, np.zeros(6), responses=(response,))
    assert scored.follower_values[0].sum() == pytest.approx(0, abs=1e-12)
    assert scored.duality_gap > 0.1, "and these are not at rest"


def test_who_answers_for_whom() -> None:
    interacting, alone = se.game("zero_sum_incentive-v0", states=2, branching=2), se.game("toy3-v0")
    with pytest.raises(PlanningError, match=r"2 interact: take an equilibrium, Saddle\(temperature\)"):
        se.evaluate(interacting, np.zeros(18), follower=se.Soft(0.1))
    with pytest.raises(PlanningError, match="here they do not: take Soft or Hard"):
        se.evaluate(alone, np.zeros(6), follower=se.Saddle(0.1))
    with pytest.raises(PlanningError, match=r"have no saddle point; take Nash\(selection\)"):
        se.evaluate(se.game("escape_room-v0"), np.zeros(3), follower=se.Saddle(0.1))
    with pytest.raises(PlanningError, match="a state can be reached again"):
        se.evaluate(interacting, np.zeros(18), follower=se.Nash("best"))
    with pytest.raises(ValueError, match="did you mean 'best'"):
        se.Nash("bets")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite number above 0"):
        se.Saddle(0.0)


# -- equilibrium selection -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("selection", "profile"), [("payoff", (0, 0)), ("risk", (1, 1)), ("best", (1, 1)), ("worst", (0, 0))])
def test_selection_in_the_stag_hunt(selection: Any, profile: tuple[int, int]) -> None:
    """Hunting the stag pays most, hunting hares is risk-dominant (Harsanyi and Selten); this leader likes hares."""
    stag = np.array([[4.0, 0.0], [3.0, 2.0]])
    game = Fixed(one_shot(stag, stag.T, leader=[[0, 0], [0, 1]]), se.Nash(selection))
    scored = se.evaluate(game, np.zeros(6))
    assert tuple(int(np.argmax(policy[0, 0])) for policy in scored.responses[0].policies) == profile
    assert scored.follower_gap == 0


def test_backward_induction_gives_equilibria_of_the_whole_game() -> None:
    """In every subgame nobody gains by deviating, whichever is selected; in one shot "best" is no worse for the leader than any other."""
    rng, checked = np.random.default_rng(0), 0
    for x in rng.normal(size=(10, 3)) * 3:
        once = se.game("escape_room-v0", agents=3, needed=2, steps=1)
        ends = {name: float(se.evaluate(once, x, follower=se.Nash(name)).leader_return) for name in ("best", "worst", "payoff", "risk")}
        assert ends["best"] >= max(ends.values()) >= min(ends.values()) >= ends["worst"]
    for agents, needed, steps in ((2, 1, 5), (3, 2, 3), (3, 1, 2)):
        game = se.game("escape_room-v0", agents=agents, needed=needed, steps=steps)
        for x in rng.normal(size=(4, 3)) * 3:
            for selection in ("best", "worst", "payoff", "risk"):
                try:
                    response = se.Nash(selection).respond(game, x)
                except PlanningError:  # three followers, of whom one would have to mix
                    assert agents == 3
                    continue
                checked += 1
                (process,) = game.problems(x)
                for i, answer in enumerate(response.answers):
                    best = best_values(process.facing(i, response.policies))
                    np.testing.assert_allclose(answer.values, best, atol=1e-9)
    assert checked >= 40


def best_values(mdp: InducedMDP) -> np.ndarray:
    """Optimal values in every state."""
    from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
    from stackelberg_envs.processes.mdp import decision_problem

    return hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), mdp.follower_discount).values


@pytest.mark.parametrize(("agents", "needed", "optimum"), [(2, 1, 9.0), (3, 2, 8.0), (5, 3, 17.0)])
def test_escape_room_played_once(agents: int, needed: int, optimum: float) -> None:
    """Unpaid, all stay and it is the only equilibrium; the best joint action is worth 9, 8 and 17; a little over 1 for the lever attains it
    for any selection, at the price of that."""
    game = se.game("escape_room-v0", agents=agents, needed=needed, steps=1)
    unpaid = game.leader_space.low
    (process,) = game.problems(unpaid)
    payoffs = process.follower_rewards.reshape(agents, *process.actions)
    rest = [q.max(axis=i, keepdims=True) - q <= 1e-7 for i, q in enumerate(payoffs)]
    equilibria = np.argwhere(np.logical_and.reduce([np.broadcast_to(r, payoffs[0].shape) for r in rest]))
    assert equilibria.tolist() == [[1] * agents], "everybody stays at the start"
    assert payoffs.sum(axis=0).max() == pytest.approx(optimum)
    assert se.cooperative_value(game) == pytest.approx(optimum)
    x = np.array([np.log(1.005 / 0.995), -20, -20])  # 2 sigmoid(x) = 1.005 for the lever
    for selection in ("best", "worst", "payoff", "risk"):
        assert se.evaluate(game, unpaid, follower=se.Nash(selection)).leader_return == pytest.approx(0, abs=1e-6)
        assert se.evaluate(game, x, follower=se.Nash(selection)).leader_return == pytest.approx(optimum - 1.005 * needed, abs=1e-5)


# -- play ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "arguments"),
    [("zero_sum_incentive-v0", {"states": 3}), ("sentinel_intruder-v0", {"size": 3}), ("escape_room-v0", {"agents": 3})],
)
def test_outcomes_show_each_followers_action_and_pay_the_leader_once(id: str, arguments: dict[str, Any]) -> None:
    game = se.game(id, **arguments)
    x = 2 * np.random.default_rng(0).normal(size=game.dimension)
    seen = RepeatedGame(game, seed=1).oracle(se.Access.OUTCOME).play(x, episodes=400)
    (process,) = game.problems(x)
    assert seen.states.shape[1] == game.followers
    assert (seen.states == seen.states[:, :1]).all(), "they share their state"
    episodes, steps = np.nonzero(seen.alive[:, 0])
    s = seen.states[episodes, 0, steps]
    joint = np.ravel_multi_index(tuple(seen.follower_actions[episodes, i, steps] for i in range(game.followers)), process.actions)
    np.testing.assert_allclose(seen.leader_rewards[episodes, steps], process.leader_reward[s, 0, joint])
    returns = seen.leader_returns(process.leader_discount)
    exact = float(se.evaluate(game, x, horizon=game.max_cycles).leader_return)
    assert abs(returns.mean() - exact) <= 4 * returns.std() / np.sqrt(len(returns)) + 1e-9
    apart = np.eye(2, game.followers, dtype=int)
    with pytest.raises(ValueError, match="followers who interact share their state"):
        RepeatedGame(game).play_from(x, 0, apart)


def test_an_opponent_inside_the_followers_view_plays_its_equilibrium() -> None:
    """The saddle policy itself earns its own value against it (law of large numbers)."""
    import gymnasium

    game = se.game("zero_sum_incentive-v0", states=3)
    x = np.random.default_rng(0).normal(size=27)
    env = gymnasium.make("Stackelberg/ZeroSumIncentive-Follower-v0", states=3, agent="follower_1", commitment=x, observations="index")
    policy = game.default_follower.respond(game, x).policies[1]
    rng, returns = np.random.default_rng(5), []
    for episode in range(300):
        env.reset(seed=episode)
        total, done = 0.0, False
        while not done:
            s = env.unwrapped.episode.states[1]  # type: ignore[attr-defined]
            _, reward, ended, cut, _ = env.step(int(rng.choice(3, p=policy[s, 0])))
            total += 0.9 ** (env.unwrapped.episode.time - 1) * float(reward)  # type: ignore[attr-defined]
            done = ended or cut
        returns.append(total)
    exact = se.evaluate(game, x, horizon=game.max_cycles).follower_returns[1]
    assert abs(np.mean(returns) - exact) < 4 * np.std(returns) / np.sqrt(len(returns))
