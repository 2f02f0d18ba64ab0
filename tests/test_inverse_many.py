"""Inverse planning with several contexts, and with several followers who do not interact: against definitions, and to the optimum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from solvers.game_ascent import planner_surrogate, predicted_returns
from solvers.inference.attribution import RIDGE, SharedSteps, cells_of
from solvers.inference.joint import JointInference, in_context
from solvers.inference.model import Counts, induced_mdp, survival
from solvers.inference.state import InferenceState, Settings
from solvers.inference.tried import return_draws, table_draws
from stackelberg_envs.game import as_tuple
from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play.outcomes import Outcome
from stackelberg_envs.testing.small_game import SmallGame

DESIGN = {"leader_actions": 1, "actions": (2, 3), "circumstances": 2, "ends": True, "temperature": 0.3}
"""Two followers of different sizes in two contexts; the leader subsidises their actions."""


class Garnets(se.StackelbergGame):
    """One random game for each context and follower, in all of which the leader plays the same policy.

    Args:
        contexts: how many.
        followers: how many, each with a process of its own.
        probabilities: of the contexts.
        visibility: of the contexts.
    """

    name = "garnets"

    def __init__(
        self, contexts: int, followers: int, *, probabilities: tuple[float, ...] = (0.6, 0.4), visibility: Any = "after", seed: int = 0
    ) -> None:
        make = [[seed + 10 * context + i for i in range(followers)] for context in range(contexts)]
        self.games = [
            [se.game("random_markov_game-v0", seed=s, states=3, leader_actions=2, follower_actions=2) for s in own] for own in make
        ]
        first = self.games[0][0]
        self.leader_space, self.default_follower, self.max_cycles = first.leader_space, first.default_follower, first.max_cycles
        self.followers, self.context_visibility = followers, visibility
        self.contexts = tuple(f"context {i}" for i in range(contexts))
        self.context_probabilities = np.array(probabilities[:contexts]) / sum(probabilities[:contexts])
        self.log_leader_policy = first.log_leader_policy

    def induced(self, x: Any, context: int) -> Any:
        worlds = [game.induced(x, 0) for game in self.games[context]]
        return tuple(worlds) if len(worlds) > 1 else worlds[0]


def oracle_of(game: se.StackelbergGame, seed: int = 0) -> Oracle:
    return RepeatedGame(game, seed=seed).oracle(se.Access.INCENTIVE)


def settings_of(oracle: Oracle, scale: float = 1.0) -> Settings:
    return Settings(0.05, scale, 0.1, 24).for_oracle(oracle)


def learned(game: se.StackelbergGame, commitments: int, episodes: int, scale: float = 1.0) -> tuple[Oracle, JointInference]:
    """What is inferred from so many random commitments."""
    oracle, rng = oracle_of(game), np.random.default_rng(1)
    joint = JointInference.prior(oracle, settings_of(oracle, scale))
    for x in 1.5 * rng.normal(size=(commitments, game.dimension)):
        joint = joint.update(oracle, x, oracle.play(x, episodes=episodes), settings_of(oracle, scale))
    return oracle, joint


def truth_of(game: se.StackelbergGame, joint: JointInference) -> list[Any]:
    """The process that each pair faces under the null commitment, in NumPy."""
    worlds = [as_tuple(game.commit(np.zeros(game.dimension), state.context))[state.follower] for state in joint.states]
    return [world.joint.map(np.asarray) for world in worlds]


@pytest.mark.parametrize("game", [SmallGame(**DESIGN), Garnets(2, 2)], ids=["subsidies", "policy"])
def test_the_return_is_the_sum_over_followers_and_the_mean_over_contexts(game: se.StackelbergGame) -> None:
    """Told the true tables, the leader predicts the exact score, and ascends on its derivative (central differences)."""
    oracle = oracle_of(game)
    joint, settings = JointInference.prior(oracle, settings_of(oracle)), settings_of(oracle)
    assert [(state.context, state.follower) for state in joint.states] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    zero, known, rewards = np.zeros(game.dimension), [], []
    for state, mdp in zip(joint.states, truth_of(game, joint), strict=True):
        pieces = (game.leader_cost, game.incentive) if oracle.sizes[0][1] == 1 else ()
        paid, added = [as_tuple(piece(zero, state.context))[state.follower] for piece in pieces] or (0.0, 0.0)  # type: ignore[misc]
        known.append(
            {
                "transition": mdp.transition,
                "leader_reward": mdp.leader_reward + paid,
                "initial": mdp.initial,
                "leader_policy": np.ones(mdp.sizes[:2]) / mdp.sizes[1],
            }
        )
        rewards.append(mdp.follower_reward - added)
    believed = joint.game_with(oracle, settings, known, rewards)
    follower = se.Soft(settings.temperature)
    xs = np.random.default_rng(0).normal(size=(3, game.dimension))
    exact = [float(se.evaluate(game, x, follower=follower).leader_return) for x in xs]
    np.testing.assert_allclose(predicted_returns(believed, xs), exact, atol=1e-9)
    points = torch.tensor(xs, requires_grad=True)
    planner_surrogate(believed, points, None)[0].sum().backward()
    assert points.grad is not None
    for i, bump in enumerate(1e-5 * np.eye(game.dimension)):
        difference = (predicted_returns(believed, xs + bump) - predicted_returns(believed, xs - bump)) / 2e-5
        np.testing.assert_allclose(points.grad[:, i], difference, atol=1e-6)


def test_two_contexts_are_two_games() -> None:
    """What is inferred in a context is what a leader infers who plays its episodes in a game of one context."""
    game = Garnets(2, 1)
    oracle, settings = oracle_of(game), settings_of(oracle_of(game))
    joint, apart = JointInference.prior(oracle, settings), []
    alone = [oracle_of(games[0]) for games in game.games]
    apart = [InferenceState.prior(own, settings) for own in alone]
    for x in np.random.default_rng(0).normal(size=(4, game.dimension)):
        seen = oracle.play(x, episodes=6)
        joint = joint.update(oracle, x, seen, settings)
        apart = [state.update(alone[c], x, in_context(oracle, seen, c), settings) for c, state in enumerate(apart)]
    xs = np.random.default_rng(1).normal(size=(3, game.dimension))
    for state, own in zip(joint.states, apart, strict=True):
        np.testing.assert_array_equal(state.belief.reward, own.belief.reward)
        np.testing.assert_array_equal(state.counts.moves, own.counts.moves)
    returns = [predicted_returns(own.game(alone[c], settings), xs) for c, own in enumerate(apart)]
    np.testing.assert_allclose(predicted_returns(joint.game(oracle, settings), xs), 0.6 * returns[0] + 0.4 * returns[1], atol=1e-12)


@pytest.mark.parametrize("game", [SmallGame(**DESIGN), Garnets(2, 2)], ids=["subsidies", "policy"])
def test_the_next_response_is_predicted_for_every_follower_in_every_context(game: se.StackelbergGame) -> None:
    """After 40 random commitments of 60 episodes, to 0.05 of total variation on average over states; a prior is farther off."""
    oracle, joint = learned(game, 40, 60, scale=3.0)
    settings = settings_of(oracle, 3.0)
    x = 1.5 * np.random.default_rng(9).normal(size=game.dimension)
    follower = se.Soft(settings.temperature)
    errors = []
    for inferred in (joint, JointInference.prior(oracle, settings)):
        for state, (_, believed) in zip(inferred.states, inferred.game(oracle, settings).parts, strict=True):
            guess = soft_policy_iteration(induced_mdp(believed, x), settings.temperature).policy
            true = follower.respond(game, x, state.context).policies[state.follower]
            often = np.broadcast_to(joint.states[len(errors) % 4].counts.visits.sum(-1) > 100, true.shape[:2])
            assert often.any()
            errors.append(float(np.abs(guess - true)[often].sum(-1).mean() / 2))
    assert max(errors[:4]) < 0.05, errors
    assert np.mean(errors[4:]) > 3 * np.mean(errors[:4])


def test_one_follower_earned_all() -> None:
    """Attribution among one is the mean of what was seen, to the last bit."""
    game = se.game("random_markov_game-v0", seed=2)
    rounds = RepeatedGame(game, seed=0)
    shared, counts = SharedSteps.none(game.sizes), Counts.zeros(game.sizes[0])
    for x in np.random.default_rng(0).normal(size=(3, game.dimension)):
        seen = rounds.play(x, episodes=5)
        shared, counts = shared.add_outcome(seen), counts.add_outcome(seen, 0.37)[0]
    (rewards,) = shared.leader_rewards([counts], 0.5)
    np.testing.assert_array_equal(rewards, counts.leader_reward(0.5))


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_what_was_earned_of_whom(noise: float) -> None:
    """The regression by its normal equations over all steps, one row a step; and it converges to the true tables."""
    game = SmallGame(**{**DESIGN, "circumstances": 1})
    oracle, rng = oracle_of(game), np.random.default_rng(3)
    settings = settings_of(oracle)
    joint = JointInference.prior(oracle, settings)
    rows, totals, sizes = [], [], [int(np.prod(own)) for own in oracle.sizes]
    for x in rng.normal(size=(5, game.dimension)):
        seen = oracle.play(x, episodes=400)
        noisy = seen.leader_rewards + noise * rng.normal(size=seen.leader_rewards.shape)
        seen = replace(seen, leader_rewards=np.where(seen.alive.any(1), noisy, 0.0))
        joint = joint.update(oracle, x, seen, settings)
        costs = [np.broadcast_to(paid, own).ravel() for paid, own in zip(game.leader_cost(x), oracle.sizes, strict=True)]  # type: ignore[misc]
        for episode, step in zip(*np.nonzero(seen.alive.any(1)), strict=True):
            row, total = np.zeros(sum(sizes)), seen.leader_rewards[episode, step]
            for i, own in enumerate(oracle.sizes):
                if seen.alive[episode, i, step]:
                    cell = int(cells_of(seen, i, own)[episode, step])
                    row[sum(sizes[:i]) + cell], total = 1.0, total + costs[i][cell]
            rows.append(row)
            totals.append(total)
    design, paid = np.array(rows), np.array(totals)
    visits = design.sum(0)
    shares = design.T @ paid / np.maximum(visits, 1) / 2
    right = design.T @ paid + RIDGE * shares
    expected = np.linalg.solve(design.T @ design + RIDGE * np.eye(len(shares)), right)
    found = np.concatenate([tables["leader_reward"].ravel() for tables in joint.tables(settings)])
    np.testing.assert_allclose(found[visits > 0], expected[visits > 0], atol=1e-6)
    zero = np.zeros(game.dimension)
    true = np.concatenate(
        [(mdp.leader_reward + paid).ravel() for mdp, paid in zip(truth_of(game, joint), game.leader_cost(zero), strict=True)]  # type: ignore[misc]
    )
    often = visits > 50
    assert often.sum() > 0.7 * len(visits)
    deviation = np.sqrt(np.diag(np.linalg.inv(design.T @ design + RIDGE * np.eye(len(shares)))))
    assert (np.abs(found - true)[often] < 4 * noise * deviation[often] + 1e-3).all()
    raw = np.concatenate([state.counts.leader_reward().ravel() for state in joint.states])
    assert np.abs(raw - true)[often].mean() > 2 * np.abs(found - true)[often].mean(), "totals are not what one follower earned"


def test_what_no_total_shows_changes_no_plan() -> None:
    """Two who always act together: one may have earned a constant more, and predicted totals of every step are right all the same."""
    game = SmallGame(**{**DESIGN, "circumstances": 1, "ends": False})
    oracle, joint = learned(game, 6, 100)
    zero, found = np.zeros(game.dimension), [tables["leader_reward"] for tables in joint.tables(settings_of(oracle))]
    true = [mdp.leader_reward + paid for mdp, paid in zip(truth_of(game, joint), game.leader_cost(zero), strict=True)]  # type: ignore[misc]
    errors = [(mine - own)[state.counts.visits > 0] for mine, own, state in zip(found, true, joint.states, strict=True)]
    assert abs(errors[0].mean()) > 0.05
    np.testing.assert_allclose(errors[0], errors[0].mean(), atol=5e-3)
    np.testing.assert_allclose(errors[1], -errors[0].mean(), atol=5e-3)


def test_a_context_that_never_comes_changes_nothing() -> None:
    """Probabilities (1, 0): the same run, bit for bit, as in the game with the first context alone."""
    options = {"budget": 6, "start": np.zeros(6), "seed": 1, "curiosity": 0.2, "confidence": 0.8}
    one, two = (solvers.solve(Garnets(n, 1, probabilities=(1.0, 0.0)), "inverse_planning", **options) for n in (1, 2))
    np.testing.assert_array_equal(one.x, two.x)
    np.testing.assert_array_equal([row["planned_return"] for row in one.history[1:]], [row["planned_return"] for row in two.history[1:]])


def test_a_context_that_was_not_seen_yet_is_as_its_prior() -> None:
    """Of a context of probability 0.001 no episode was seen: everything is finite, and the response there is uniform."""
    game = Garnets(2, 2, probabilities=(0.999, 0.001))
    oracle, joint = learned(game, 2, 3)
    assert [len(state.commitments) for state in joint.states] == [2, 2, 0, 0]
    settings = settings_of(oracle)
    believed, xs = joint.game(oracle, settings), np.random.default_rng(0).normal(size=(2, game.dimension))
    assert np.isfinite(predicted_returns(believed, xs)).all()
    assert np.isfinite(predicted_returns(joint.posterior_sample(oracle, settings, np.random.default_rng(0), optimism=0.5), xs)).all()
    np.testing.assert_allclose(soft_policy_iteration(induced_mdp(believed.parts[2][1], xs[0]), settings.temperature).policy, 0.5)
    solution = solvers.solve(
        Garnets(2, 1, probabilities=(0.999, 0.001)), "inverse_planning", budget=4, confidence=0.9, tolerance=0.5, curiosity=0.1, first=0
    )
    assert np.isfinite(solution.x).all()


PRICED = {"first": 0, "explore": 0.0, "scale": 0.3}
RUNS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "contexts": (2, 1, {}),
    "followers": (1, 2, {}),
    "both, at one of two temperatures": (2, 2, {"temperatures": (0.5, 1.0)}),
    "contexts, priced information": (2, 1, {**PRICED, "curiosity": 0.4}),
    "contexts, confidence": (2, 1, {**PRICED, "confidence": 0.8}),
}


@pytest.mark.parametrize("which", RUNS)
def test_nine_tenths_of_the_gain_from_outcomes_alone(which: str) -> None:
    """In 20 commitments, the gain being that of exact searches; the leader's policy alone moves the followers."""
    contexts, followers, options = RUNS[which]
    game, start = Garnets(contexts, followers, seed=3), np.zeros(6)
    before = float(se.evaluate(game, start).leader_return)
    best = solvers.solve(game, "multistart", budget=300, seed=0).leader_return
    solution = solvers.solve(game, "inverse_planning", budget=20, seed=0, reports=1, start=start, episodes=9, **options)
    assert solution.cost.queries == solution.cost.model_calls == 0
    assert best > before + 0.1
    assert solution.leader_return - before > 0.9 * (best - before)


def test_subsidies_to_two_followers_in_two_contexts() -> None:
    """The same in a design game, at INCENTIVE."""
    game = SmallGame(**DESIGN)
    best = solvers.solve(game, "multistart", budget=300, seed=0).leader_return
    solution = solvers.solve(game, "inverse_planning", access=se.Access.INCENTIVE, budget=15, seed=0, reports=1, episodes=20)
    before = float(se.evaluate(game, np.zeros(game.dimension)).leader_return)
    assert best > before + 0.1
    assert solution.leader_return - before > 0.9 * (best - before)


def test_what_a_commitment_is_worth_in_two_contexts() -> None:
    """Law of large numbers: draws of the return of a commitment that was played often lie around its score."""
    game = Garnets(2, 1, seed=5)
    options = {"episodes": 120, "first": 0, "explore": 0.0, "confidence": 0.9, "population": 0, "planning_steps": 0, "draws": 100}
    x = np.random.default_rng(4).normal(size=game.dimension)
    solver, rounds = solvers.build("inverse_planning", **options), RepeatedGame(game, seed=0)
    oracle, rng = rounds.oracle(se.Access.OUTCOME), np.random.default_rng(0)
    state = solver.init(oracle, x)
    for _ in range(4):  # without ascent the incumbent is played again and again
        state = solver.step(oracle, state, rng)
    memory = state.carried
    settings = settings_of(oracle)
    draws = np.zeros((200, 1))
    parts = memory.inference.game(oracle, settings).parts
    every = table_draws(memory.inference, memory.tried, settings, rng, 200)
    for own, known, (weight, believed) in zip(memory.tried, every, parts, strict=True):
        draws = draws + weight * return_draws(own, believed, oracle, known, rng)
    truth = float(se.evaluate(game, x).leader_return)
    assert abs(draws.mean() - truth) < 4 * draws.std()
    assert draws.std() < 0.05 * abs(truth)


def test_the_leader_knows_no_more_than_outcomes_show() -> None:
    """Followers of other rewards and the same outcomes make no difference: outcomes of the first game, replayed over the second."""
    game, other = Garnets(2, 2, seed=3), Garnets(2, 2, seed=70)
    taped: list[Outcome] = []

    class Taped(RepeatedGame):
        def play(self, *arguments: Any, **options: Any) -> Outcome:
            taped.append(super().play(*arguments, **options))
            return taped[-1]

    class Replayed(RepeatedGame):
        def play(self, *arguments: Any, **options: Any) -> Outcome:
            return taped.pop(0)

    ends = []
    for rounds in (Taped(game, seed=0), Replayed(other, seed=0)):
        solver, rng = solvers.build("inverse_planning", first=0), np.random.default_rng(0)
        oracle = rounds.oracle(solver.access)
        state = solver.init(oracle, np.zeros(6))
        for _ in range(3):
            state = solver.step(oracle, state, rng)
        ends.append(state)
    np.testing.assert_array_equal(ends[0].x, ends[1].x)
    np.testing.assert_array_equal(ends[0].carried.trying, ends[1].carried.trying)


def test_what_is_still_declined() -> None:
    declined = [
        (Garnets(2, 1, visibility="never"), {}, "never sees it"),
        (Garnets(2, 1, visibility="before"), {}, "sees it before it commits"),
        (Garnets(1, 2), {"confidence": 0.9}, "leave confidence and tolerance out"),
        (se.game("escape_room-v0"), {"access": se.Access.INCENTIVE}, "followers who do not interact"),
    ]
    for game, options, reason in declined:
        with pytest.raises(solvers.Declined, match=reason):
            solvers.solve(game, "inverse_planning", budget=1, **options)
    for rival in ("qse_mle", "plan_after_estimation", "active_inverse"):
        with pytest.raises(solvers.Declined, match="one follower in one context"):
            solvers.solve(Garnets(2, 1), rival, budget=1)
        with pytest.raises(solvers.Declined, match="handles one follower"):
            solvers.solve(Garnets(1, 2), rival, budget=1)


def test_games_without_a_discount_end_in_every_draw() -> None:
    """`tariff-v0`, four types of household: with these settings a draw from the posterior that goes in circles ended the run before."""
    game = se.game("tariff-v0")
    oracle = oracle_of(game)
    assert survival(oracle) == pytest.approx(1 - 0.001 / game.max_cycles)
    assert survival(oracle_of(Garnets(2, 1))) == 1.0
    found = solvers.solve(game, "inverse_planning", budget=9, seed=3, access=se.Access.INCENTIVE, reports=1)
    assert found.cost.commitments == 9


def test_what_an_ending_costs_an_episode() -> None:
    """Told the true tables of a game without a discount, the leader predicts returns to half a hundredth of the largest."""
    game = se.game("tariff-v0", households=1)
    oracle = oracle_of(game)
    joint, zero = JointInference.prior(oracle, settings_of(oracle)), np.zeros(game.dimension)
    mdp = as_tuple(game.commit(zero, 0))[0].joint.map(np.asarray)
    paid, added = [np.asarray(as_tuple(piece(zero, 0))[0]) for piece in (game.leader_cost, game.incentive)]
    known = {"transition": mdp.transition.dense(), "leader_reward": mdp.leader_reward + paid, "initial": mdp.initial}
    known["leader_policy"] = np.ones(mdp.sizes[:2]) / mdp.sizes[1]
    believed = joint.game_with(oracle, settings_of(oracle), [known], [mdp.follower_reward - added])
    xs = np.random.default_rng(0).normal(size=(10, game.dimension))
    exact = np.array([float(se.evaluate(game, x).leader_return) for x in xs])
    np.testing.assert_allclose(predicted_returns(believed, xs), exact, atol=0.005 * np.abs(exact).max())
    assert not np.allclose(predicted_returns(believed, xs), exact, atol=1e-6)
