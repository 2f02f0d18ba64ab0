"""Theorems that mutants of the source once contradicted unnoticed; `mutants` has the mutants, and applies them."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutants import MUTANTS, ROOT
from scipy.special import logsumexp

import stackelberg_envs as se
from solvers.estimators.rtq import RTQ
from stackelberg_envs.game import group_by_world
from stackelberg_envs.leader.access import Cost, Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.loss import loss_bound
from stackelberg_envs.planning.policy_evaluation import policy_value, regularised_reward
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play import rollouts
from stackelberg_envs.processes.mdp import decision_problem
from stackelberg_envs.testing import SmallGame, games, policies, random_games, with_commitments

ALL = Permission.RESET | Permission.TRAINING
TEMPERATURE = 0.3


@given(with_commitments(random_games(states=4, follower_actions=3)))
@settings(deadline=None, max_examples=25)
def test_a_plan_that_stopped_early_is_as_near_as_it_says(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """|V - V*| <= max|T V - V| / (1 - gamma); and V <= T V <= V* for the values V of a policy, so that the residual alone is too little."""
    game, x = drawn
    (mdp,) = game.problems(x)
    early, exact = (soft_policy_iteration(mdp, TEMPERATURE, tolerance=tolerance) for tolerance in (1e9, 1e-12))
    assert early.evaluations == 1
    assert np.abs(early.values - exact.values).max() <= early.bound + exact.bound


def test_runs_with_other_seeds_have_other_noise() -> None:
    """The mean over runs of one episode each comes to F(x), by the law of large numbers over seeds; outcomes and learners draw apart."""
    game, x = se.game("random_markov_game-v0", max_cycles=30), np.zeros(15)
    expected = float(se.evaluate(game, x, horizon=30).leader_return)
    returns = np.array([RepeatedGame(game, seed=seed).oracle(se.Access.OUTCOME).returns(x, episodes=1) for seed in range(60)])
    assert len(np.unique(returns)) > 50, "runs share their noise"
    assert abs(returns.mean() - expected) < 5 * returns.std() / np.sqrt(len(returns))
    learner = se.SoftQLearning(0.3, 50)
    learned = [RepeatedGame(game, learner, seed=seed).oracle(se.Access.VALUE).values(x)[0] for seed in range(3)]
    assert all((one != learned[0]).any() for one in learned[1:]), "learners of different runs share their noise"


REQUESTS: dict[str, Any] = {
    "returns": lambda oracle, x: oracle.returns(x),
    "play": lambda oracle, x: oracle.play(x, horizon=1),
    "play_streams": lambda oracle, x: oracle.play_streams(x, streams=1, steps=2),
    "policies": lambda oracle, x: oracle.policies(x),
    "values": lambda oracle, x: oracle.values(x),
    "action_values": lambda oracle, x: oracle.action_values(x),
    "commit": lambda oracle, x: oracle.commit(x),
    "play_from": lambda oracle, x: oracle.play_from(x, 0, np.zeros((1, 1), dtype=np.int64), horizon=1),
    "play_as": lambda oracle, x: oracle.play_as(x, [np.full((5, 3, 3), 1 / 3)], horizon=1),
    "train": lambda oracle, x: oracle.train(x, 0, 1),
}


def test_whatever_is_asked_of_a_new_commitment_commits_to_it_once() -> None:
    """Definition of the budget: the commitments that were asked about.  A fresh ledger has counted nothing."""
    rounds = RepeatedGame(se.game("random_markov_game-v0"), se.SoftQLearning(0.3, 1))
    oracle = rounds.oracle(se.Access.MODEL, ALL)
    assert not any(asdict(rounds.cost).values())
    assert not any(asdict(Cost()).values())
    x = np.zeros(15)
    for i, (name, ask) in enumerate(REQUESTS.items()):
        x = np.full(15, float(i + 1))
        for _ in range(2):
            ask(oracle, x)
            assert rounds.cost.commitments == i + 1, name
    oracle.returns_in_one_context([x + 1, x + 2])
    assert rounds.cost.commitments == len(REQUESTS) + 2


@pytest.mark.parametrize("compiled", [rollouts.COMPILED, False])
def test_who_starts_in_the_end_takes_no_step(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end has value 0 and pays nothing: beside a follower that walks, and alone."""
    monkeypatch.setattr(rollouts, "COMPILED", compiled)
    rounds = RepeatedGame(se.game("random_markov_game-v0"), seed=3)
    oracle = rounds.oracle(se.Access.OUTCOME, Permission.RESET)
    seen = oracle.play_from(np.zeros(15), 0, np.array([[5], [0], [5]]), horizon=4)
    assert seen.alive[:, 0].sum(axis=-1).tolist() == [0, 4, 0]
    assert rounds.cost.outcome_steps == 4
    assert (seen.leader_returns(0.9)[[0, 2]] == 0).all()
    assert (seen.states[[0, 2]] == 5).all()
    nobody = oracle.play_from(np.zeros(15), 0, np.array([[5]]), actions=np.array([[2]]))
    assert (nobody.steps, rounds.cost.outcome_steps) == (0, 4)


@given(with_commitments(random_games(states=3)))
@settings(deadline=None, max_examples=15)
def test_at_discount_0_only_the_first_step_pays(drawn: tuple[se.StackelbergGame, np.ndarray]) -> None:
    """F = sum rho pi g r_L, over the infinite horizon and over one step."""
    game, x = drawn
    (mdp,) = game.problems(x)
    (policy,) = (response.policy for response in se.evaluate(game, x).responses)
    first = np.einsum("s,sa,sab,sab->", mdp.initial, mdp.leader_policy, policy, mdp.leader_reward)
    scored = [
        se.evaluate(game, x, leader_discount=0),
        se.evaluate(game, x, leader_discount=0.0, horizon=7),
        se.evaluate(game, x, horizon=1),
    ]
    np.testing.assert_allclose([float(each.leader_return) for each in scored], first, atol=1e-12)


@pytest.mark.parametrize("horizon", [True, False, np.True_, 2.0, -1])
def test_a_truth_is_no_number_of_steps(horizon: Any) -> None:
    game = se.game("random_markov_game-v0")
    with pytest.raises(ValueError, match="horizon is a number of steps"):
        se.evaluate(game, np.zeros(15), horizon=horizon)
    rounds = RepeatedGame(game)
    with pytest.raises(ValueError, match="horizon is a number of steps"):
        rounds.oracle(se.Access.OUTCOME).play(np.zeros(15), horizon=horizon)
    assert not any(asdict(rounds.cost).values())


one_follower = with_commitments(games(zero_sum=False, actions=(3,), circumstances=1))


@given(one_follower.flatmap(lambda drawn: st.tuples(st.just(drawn), policies(*drawn))), st.sampled_from([0.0, 0.5]))
@settings(deadline=None, max_examples=25)
def test_what_a_policy_loses_is_bounded_from_any_values(drawn: Any, temperature: float) -> None:
    """Puterman 1994, theorem 6.3.1, from V*, from the policy's own values, and from some that lie above or below; at V* it is 0 for g*."""
    (game, x), (policy,) = drawn
    (mdp,) = game.problems(x)
    problem, gamma = decision_problem(mdp, mdp.follower_reward), mdp.follower_discount
    nodes = problem.weight.shape[-1]
    if temperature > 0:
        plan = soft_policy_iteration(mdp, temperature)
        best, greedy = plan.values, plan.policy[:, :nodes]
    else:
        hard = hard_policy_iteration(problem, gamma)
        best, greedy = hard.values, np.eye(3)[hard.action_values.argmax(-1)]
    own = policy_value(mdp, policy, regularised_reward(mdp, policy, temperature), gamma)
    for values in (best, own, own - 1, best + 1, np.zeros_like(best)):
        assert (best - own).max() <= loss_bound(problem, gamma, policy[:, :nodes], values, temperature) + 1e-9
    assert loss_bound(problem, gamma, greedy, best, temperature) < 1e-9


class Indifferent(SmallGame):
    """Followers are paid nothing."""

    def induced(self, x: Any, context: int) -> Any:
        world = super().induced(x, context)
        paid = "follower_reward" if len(world.actions) == 1 else "follower_rewards"
        return replace(world, **{paid: 0 * getattr(world, paid)})


@pytest.mark.parametrize("seed", range(4))
def test_ties_are_broken_by_what_they_are_worth_to_the_leader(seed: int) -> None:
    """By enumeration: of all policies of an indifferent follower the strong answer has the best return, at the leader's own discount."""
    game = Indifferent(states=3, leader_actions=1, discount=0.05, leader_discount=0.95, seed=seed)
    x = np.zeros(game.dimension)
    pure = [np.eye(2)[list(choice)][:, None] for choice in itertools.product(range(2), repeat=3)]
    returns = [float(game.objective(game.problems(x), [policy])) for policy in pure]
    for ties, due in (("strong", max(returns)), ("weak", min(returns))):
        assert float(se.evaluate(game, x, follower=se.Hard(ties)).leader_return) == pytest.approx(due, abs=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize("selection", ["best", "worst"])
def test_equilibria_are_selected_by_what_they_are_worth_to_the_leader(selection: Any) -> None:
    """Where all profiles are equilibria the best is the leader's own optimum over joint actions, at its discount (Bellman's equation)."""
    game = Indifferent(states=3, leader_actions=1, actions=(2, 2), interact=True, discount=0.05, leader_discount=0.95)
    x, choose = np.zeros(game.dimension), np.max if selection == "best" else np.min
    (world,) = game.problems(x)
    values = np.zeros(3)
    for _ in range(4):
        values = choose((world.leader_reward + 0.95 * world.transition @ values)[:, 0], axis=-1)
    scored = se.evaluate(se.with_deadline(game, 4), x, follower=se.Nash(selection))
    assert float(scored.leader_return) == pytest.approx(float(world.initial @ values), abs=1e-9)


@given(one_follower, st.integers(1, 4))
@settings(deadline=None, max_examples=15)
def test_so_many_sweeps_are_so_many_backups(drawn: tuple[SmallGame, np.ndarray], sweeps: int) -> None:
    """V_k = T^k 0 by a loop over scipy's logsumexp, and acts by V_k; who carries values goes on from them."""
    game, x = drawn
    (mdp,) = game.problems(x)
    problem, values = decision_problem(mdp, mdp.follower_reward), np.zeros(mdp.sizes[0])
    rows = np.asarray(problem.transition.dense())
    for _ in range(2 * sweeps):
        q = problem.reward + mdp.follower_discount * rows @ values
        if problem.available is not None:
            q = np.where(problem.available, q, -np.inf)
        values = (problem.weight * TEMPERATURE * logsumexp(q / TEMPERATURE, axis=-1)).sum(-1)
    once, twice = se.Truncated(TEMPERATURE, sweeps), se.Truncated(TEMPERATURE, 2 * sweeps)
    first = once.respond(game, x)
    for answer in (twice.respond(game, x).answers[0], once.respond(game, x, state=first.state).answers[0]):
        np.testing.assert_allclose(answer.values, values, atol=1e-9)


@pytest.mark.parametrize("rate", [None, 0.5])
def test_q_learning_steps_by_its_rate(rate: float | None) -> None:
    """One state, one action: Q_{k+1} = Q_k + (r + gamma Q_k - Q_k) / (1 + rate k), without any noise; the rate is 1 - gamma by default."""
    game, x = SmallGame(states=1, leader_actions=1, actions=(1,), discount=0.9), np.zeros(1)
    (mdp,) = game.problems(x)
    reward, q = float(mdp.follower_reward.sum()), 0.0
    for k in range(40):
        q += (reward + 0.9 * q - q) / (1 + (0.1 if rate is None else rate) * k)
    (answer,) = se.SoftQLearning(0.5, 40, samples="uniform", rate=rate).respond(game, x).answers
    assert float(answer.values[0]) == pytest.approx(q, rel=1e-12)


WORST = SmallGame(states=3, leader_actions=2, actions=(3, 3), circumstances=2, discount=0.95, seed=1)
"""Two followers whose gaps differ, and differ by context."""


@given(with_commitments(games(circumstances=2)), st.sampled_from([1, 2]))
@example((WORST, np.zeros(12)), 1)
@settings(deadline=None, max_examples=12)
def test_a_score_is_the_mean_of_its_contexts(drawn: tuple[SmallGame, np.ndarray], sweeps: int) -> None:
    """Of which one is twice as likely: returns are means, gaps the worst of anybody anywhere, and the oracle's return is the referee's."""
    game, x = drawn
    follower = game.default_follower if game.zero_sum else se.Truncated(TEMPERATURE, sweeps)
    scored = se.evaluate(game, x, follower=follower)
    leader, plain, gaps = [], [], []
    for context in range(2):
        problems, policies = game.problems(x, context), scored.responses[context].policies
        groups = group_by_world(problems, policies)
        leader.append(float(game.objective(problems, policies)))
        scores = [
            world.score_follower(i, own, follower.temperature, horizon=None, max_cycles=20)
            for world, own in zip(problems, groups, strict=True)
            for i in range(len(own))
        ]
        plain.append([float(score.plain_return) for score in scores])
        gaps.append([float(score.gap) for score in scores])
    weights = np.array([1 / 3, 2 / 3])
    assert float(scored.leader_return) == pytest.approx(weights @ leader, abs=1e-9)
    np.testing.assert_allclose(scored.follower_returns, weights @ np.array(plain), atol=1e-9)
    assert float(scored.follower_gap) == pytest.approx(np.max(gaps), abs=1e-9)
    assert float(scored.duality_gap) == pytest.approx(np.sum(gaps, axis=1).max(), abs=1e-9)
    assert RepeatedGame(game, follower).oracle(se.Access.RETURN).returns(x) == pytest.approx(float(scored.leader_return), abs=1e-9)


class FirstProfile(se.Nash):
    """Plays the first profile of every stage game, an equilibrium or not."""

    def _select(self, q: np.ndarray, leader_q: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.eye(count)[0] for count in q.shape[1:])


@pytest.mark.parametrize("seed", range(3))
def test_gains_of_deviating_add_up_over_stages(seed: int) -> None:
    """Backward induction bounds a deviation by what it gains now and all that it gains later, discounted."""
    game = se.with_deadline(SmallGame(actions=(2, 2), interact=True, seed=seed), 4)
    x, follower = np.zeros(game.dimension), FirstProfile("first")
    scored = se.evaluate(game, x, follower=follower)
    assert 0 < float(scored.follower_gap) <= scored.responses[0].certificate + 1e-9


class DrawsLevel:
    """A generator that draws one level."""

    def __init__(self, level: int) -> None:
        self.level = level

    def choice(self, count: int, p: np.ndarray) -> int:
        return self.level


def test_what_rtq_trains_on_average_is_what_it_says() -> None:
    """sum_k p_k (steps of level k), by the ledger."""
    game, estimator = SmallGame(states=2, leader_actions=1), RTQ(steps=3, levels=4)
    rounds = RepeatedGame(game, se.SoftQLearning(0.5, 1))
    oracle, x, used = rounds.oracle(se.Access.MODEL, ALL), torch.zeros(game.dimension, dtype=torch.float64), []
    for level in range(4):
        before = rounds.cost.training_steps
        rng: Any = DrawsLevel(level)
        estimator.estimate(oracle, x, None, rng)
        used.append(rounds.cost.training_steps - before)
    assert estimator.expected_steps == pytest.approx(float(estimator.level_probabilities @ used))


def test_restored_followers_act_as_they_did() -> None:
    """Without further training the answer after a restore is that of the snapshot, under the same commitment, too."""
    game = SmallGame(states=2, leader_actions=1)
    oracle, x = RepeatedGame(game, se.SoftQLearning(0.5, 0)).oracle(se.Access.POLICY, ALL), np.zeros(game.dimension)
    oracle.train(x, 0, 20)
    kept, before = oracle.snapshot(), oracle.policies(x)[0]
    oracle.train(x, 0, 200)
    assert (oracle.policies(x)[0] != before).any()
    oracle.restore(kept)
    np.testing.assert_array_equal(oracle.policies(x)[0], before)


def test_mutants_fit_the_source() -> None:
    """A mutant whose text is gone tries nothing."""
    for name, (file, old, _) in MUTANTS.items():
        assert (ROOT / file).read_text().count(old) == 1, f"{name}: {old!r} does not occur once in {file}"
