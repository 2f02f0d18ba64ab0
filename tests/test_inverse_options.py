"""The options of inverse_planning: what was confirmed stays so, the rule to stop by, and what is assumed of the follower."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import solvers
import stackelberg_envs as se
from solvers.game_ascent import predicted_returns
from solvers.inference.hypotheses import Hypotheses
from solvers.inference.irl import Belief, Responses, fit, log_evidence
from solvers.inference.joint import JointInference
from solvers.inference.model import Counts
from solvers.inference.state import InferenceState, Settings
from solvers.inference.tried import MODEL_WORTH, TriedCommitments, believed_tables, leader_reward_posterior, model_worth, return_draws
from solvers.inverse_planning import InversePlanning, Now
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.play.outcomes import Outcome

SMALL = {"states": 3, "leader_actions": 2, "follower_actions": 2}
FAST = {"episodes": 9, "first": 0, "explore": 0.0, "scale": 0.3, "curiosity": 0.4, "population": 4, "searches": 4}
SETTINGS = Settings(0.05, 1.0, 0.1, 10**9)


class NoisyRounds(RepeatedGame):
    """Every reward of the leader comes with noise of standard deviation 2, where the rewards lie between 0 and 1."""

    def play(self, *arguments: Any, **options: Any) -> Outcome:
        seen = super().play(*arguments, **options)
        noise = 2.0 * self._rng.normal(size=seen.leader_rewards.shape)
        return replace(seen, leader_rewards=np.where(seen.alive.any(axis=1), seen.leader_rewards + noise, 0.0))


def test_options_that_are_off_are_not_shown() -> None:
    """Recorded runs are named by the ``repr``."""
    assert repr(solvers.build("inverse_planning")).endswith("margin=0.01, largest=5.0)")
    assert repr(solvers.build("inverse_planning", confidence=0.9)).endswith("largest=5.0, confidence=0.9)")


@pytest.mark.parametrize("sees", ["action", "policy"])
def test_what_a_commitment_is_worth_converges_whatever_the_follower_is(sees: str) -> None:
    """Law of large numbers: an adversarial follower answers x as no model of it does, and the posterior of J(x) closes around the truth."""
    game = se.game("random_markov_game-v0", seed=1, follower_sees=sees, **SMALL)
    follower = se.EpsilonOptimal(0.5)
    rounds, x = RepeatedGame(game, follower, seed=0), np.random.default_rng(1).normal(size=game.dimension)
    oracle, rng = rounds.oracle(se.Access.OUTCOME), np.random.default_rng(0)
    inference, tried = InferenceState.prior(oracle, SETTINGS), TriedCommitments.none(x.size, game.sizes[0])
    truth = float(se.evaluate(game, x, follower=follower).leader_return)
    widths = []
    for commitments in (4, 60):
        while tried.visits.sum() < commitments * 20 * game.max_cycles:
            seen = oracle.play(x, episodes=20)
            tried = tried.add_outcome(x, seen, 0.0)
            inference = replace(inference, counts=inference.counts.add_outcome(seen, 0.0)[0])
        assert len(tried.xs) == 1, "the same commitment is pooled"
        believed = inference.game(oracle, SETTINGS)  # the model knows nothing: its reward is 0
        known = [believed_tables(inference.counts, tried.squares, 0.1, rng) for _ in range(200)]
        (draws,) = return_draws(tried, believed, oracle, known, rng).T
        assert abs(draws.mean() - truth) < 4 * draws.std() + 1e-3
        widths.append(draws.std())
    assert widths[1] < 0.5 * widths[0]
    assert abs(float(predicted_returns(believed, x[None])[0]) - truth) > 10 * widths[1], "and the model is wrong"


def test_how_much_the_model_is_worth() -> None:
    """Actions drawn from the model's responses make it worth the most, actions from others the least."""
    rng = np.random.default_rng(0)
    g = rng.dirichlet(np.ones(3), size=(4, 5, 2))
    of_model = np.stack([rng.multinomial(200, row) for row in g.reshape(-1, 3)]).reshape(g.shape)
    of_others = np.stack([rng.multinomial(200, row) for row in rng.dirichlet(np.ones(3), size=40)]).reshape(g.shape)
    assert model_worth(g, of_model) >= 1000
    assert model_worth(g, of_others) <= 10
    assert model_worth(g, 0 * of_model) in MODEL_WORTH


def test_the_leaders_rewards_are_shrunk_by_their_noise() -> None:
    """Without noise means are exact; with it the posterior of 2,000 cells is calibrated, and closer than means; unseen is prior."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0.5, 0.3, size=(2000, 1, 1))
    visits = rng.integers(0, 8, size=truth.shape)
    moves = np.zeros((*truth.shape, 2001))
    moves[..., 0] = visits
    for noise in (0.0, 2.0):
        samples = [truth[i, 0, 0] + noise * rng.normal(size=visits[i, 0, 0]) for i in range(2000)]
        paid, squares = (np.array([float((own**power).sum()) for own in samples]).reshape(truth.shape) for power in (1, 2))
        mean, deviation = leader_reward_posterior(Counts(moves, paid, np.ones(2000)), squares)
        seen = visits > 0
        if noise == 0:
            np.testing.assert_allclose(mean[seen], truth[seen], atol=1e-6)
            assert deviation[seen].max() < 1e-4
            assert deviation[~seen] == pytest.approx(0.3, rel=0.1)
        else:
            raw = paid[seen] / visits[seen]
            assert ((mean - truth)[seen] ** 2).mean() < 0.2 * ((raw - truth[seen]) ** 2).mean()
            assert ((mean - truth) ** 2).mean() == pytest.approx((deviation**2).mean(), rel=0.2)


def test_evidence_by_quadrature() -> None:
    """Two rewards and one state: the likelihood integrated over the prior on a grid, to a twentieth of a nat."""
    game = se.game("random_markov_game-v0", states=1, leader_actions=1, follower_actions=2, branching=1)
    mdp = game.problems(np.zeros((1, game.dimension)))[0].joint
    data, temperature, scale = Responses(replace(mdp, follower_reward=0 * mdp.follower_reward), np.array([[[[12.0, 4.0]]]])), 0.5, 0.7
    belief = fit(Belief.prior((1, 1, 2), scale), data, temperature, scale, steps=50)
    grid = np.linspace(-6, 6, 601) * scale
    r = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    logits = r / temperature
    likelihood = (np.array([12.0, 4.0]) * (logits - np.logaddexp(logits[..., :1], logits[..., 1:]))).sum(-1)
    prior = np.exp(-(r**2).sum(-1) / (2 * scale**2)) / (2 * np.pi * scale**2)
    exact = np.log((np.exp(likelihood) * prior).sum() * (grid[1] - grid[0]) ** 2)
    assert log_evidence(belief, data, temperature, scale) == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize(("believed", "factor"), [(0.5, 2.0), (0.875, 0.5), (0.75, 1.0)])
def test_the_horizon_is_found_by_evidence(believed: float, factor: float) -> None:
    """Outcomes of a follower with discount 0.75 under 15 random commitments, and a leader who was told something else."""
    game = se.game("random_markov_game-v0", seed=3, discount=0.75)
    told = se.game("random_markov_game-v0", seed=3, discount=believed)
    rounds = RepeatedGame(game, seed=0, believed=(told, None))
    oracle = rounds.oracle(se.Access.OUTCOME)
    found = Hypotheses.prior(oracle, replace(SETTINGS, scale=0.3), (1.0,), (0.5, 1.0, 2.0))
    for x in 1.5 * np.random.default_rng(0).normal(size=(15, game.dimension)):
        found = found.update(oracle, x, oracle.play(x, episodes=40))
    _, best = found.best(oracle)
    assert best.horizon == factor
    assert best.follower_discount(oracle) == pytest.approx(0.75)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_temperature_is_found_where_the_leader_sets_rewards(factor: float) -> None:
    """Its payments are the unit: told half or twice the temperature, it reports the true one."""
    game = se.game("subsidy-v0", seed=1)
    true = game.default_follower.temperature  # type: ignore[union-attr]
    solution = solvers.solve(
        game, "inverse_planning", access=se.Access.INCENTIVE, believed=(game, se.Soft(true / factor)),
        start=np.zeros(game.dimension), budget=15, seed=1000, first=15, episodes=30, spread=1.0, temperatures=(0.5, 1.0, 2.0),
    )  # fmt: skip
    assert solution.history[-1]["temperature"] == pytest.approx(true)


@cache
def best_return(seed: int) -> float:
    """The best of some exact searches."""
    game = se.game("random_markov_game-v0", seed=seed, **SMALL)
    return solvers.solve(game, "multistart", start=np.zeros(game.dimension), budget=200, tolerance=1e-3, reports=1).leader_return


def test_it_stops_and_is_seldom_wrong() -> None:
    """Eight small games at 90 %: all stop within 40 commitments, and at most three leave more than they say (P < 0.04 at 90 %)."""
    wrong = 0
    for seed in range(4000, 4008):
        game = se.game("random_markov_game-v0", seed=seed, **SMALL)
        options = {**FAST, "confidence": 0.9, "tolerance": 0.05, "draws": 16}
        solution = solvers.solve(game, "inverse_planning", start=np.zeros(game.dimension), budget=40, seed=seed, reports=40, **options)
        assert solution.finished
        assert solution.reason.startswith("with probability 0.9 no plan gains more than")
        assert solution.cost.commitments < 40
        row = solution.history[-1]
        assert row["improvement_bound"] <= 0.05 * abs(row["confirmed_return"])
        wrong += best_return(seed) - solution.leader_return > 0.05 * abs(row["confirmed_return"])
    assert wrong <= 3


def test_a_run_that_has_stopped_stays_so() -> None:
    """A larger budget does not wake it up."""
    game = se.game("random_markov_game-v0", seed=4000, **SMALL)
    options = {**FAST, "confidence": 0.9, "tolerance": 0.05, "draws": 16}
    solution = solvers.solve(game, "inverse_planning", start=np.zeros(game.dimension), budget=40, seed=4000, **options)
    again = solvers.solve(game, "inverse_planning", budget=80, seed=4000, resume=pickle.loads(pickle.dumps(solution.checkpoint)), **options)
    assert (again.reason, again.cost.commitments) == (solution.reason, solution.cost.commitments)


@pytest.mark.parametrize("noisy", [False, True])
def test_what_was_confirmed_does_not_fall_unsaid(noisy: bool) -> None:
    """Against an adversarial follower and under noise of 2: where the score falls by 5 % of the best so far, ``retracted`` said so."""
    game = se.game("random_markov_game-v0", seed=1003)
    follower = game.default_follower if noisy else se.EpsilonOptimal(0.3)
    rounds = (NoisyRounds if noisy else RepeatedGame)(game, follower, seed=1000)
    solver = solvers.build("inverse_planning", **FAST, confidence=0.9)
    oracle, rng = rounds.oracle(solver.access), np.random.default_rng(0)
    state, best = solver.init(oracle, np.zeros(game.dimension)), -np.inf
    for _ in range(20):
        state = solver.step(oracle, state, rng)
        value = float(se.evaluate(game, state.x, follower=follower).leader_return)
        assert state.row is not None
        assert value > 0.95 * best or state.row["retracted"] > 0
        best = max(best, value)


def test_options_that_make_no_sense() -> None:
    for wrong, said in (
        ({"confidence": 1.0}, "a probability below 1"),
        ({"tolerance": 0.1}, "set confidence"),
        ({"horizons": ()}, "positive factor in horizons"),
        ({"temperatures": (0.5, -1.0)}, "positive factor in temperatures"),
        ({"draws": 1}, "draws"),
        ({"curiosity": -1.0}, "curiosity"),
    ):
        with pytest.raises(ValueError, match=said):
            solvers.build("inverse_planning", **wrong)
    with pytest.raises(solvers.Declined, match="leave curiosity, temperatures and horizons out"):
        solvers.solve(se.game("random_markov_game-v0", preset="penalty"), "inverse_planning", curiosity=0.1)


def test_single_components_find_the_other_basin_of_four_rooms() -> None:
    """Told of the rooms by some commitments, the leader plans a detour from single components that random commitments miss."""
    game, follower = se.game("four_rooms-v0", preset="bchg"), se.Soft(0.003)
    oracle = RepeatedGame(game, follower, seed=0).oracle(se.Access.INCENTIVE)
    settings = Settings(0.003, 0.1, 0.1, 24)
    known = JointInference.prior(oracle, settings)
    for x in (np.zeros(105), *(10.0 * np.eye(105)[cell] for cell in (23, 24, 25, 26, 104))):
        known = known.update(oracle, x, oracle.play(x, episodes=60), settings)
    believed = known.game(oracle, settings)
    planner = InversePlanning(components=3, largest=10.0, lr=0.2, planning_steps=20, scale=0.1)
    alone = planner._best_components(believed, 105)
    scores = [float(predicted_returns(believed, x[None])[0]) for x in 10.0 * np.eye(105)]
    assert [int(x.argmax()) for x in alone] == sorted(range(105), key=lambda cell: -scores[cell])[:3]

    def planned(**options: int) -> float:
        now = Now(oracle, known, settings, (TriedCommitments.none(105, (104, 1, 4)),), believed, np.random.default_rng(0))
        x, _, _ = replace(planner, **options)._plan(now, believed, np.zeros(105), 1.5 * np.random.default_rng(1).normal(size=(2, 105)))
        return se.evaluate(game, x, follower=follower).leader_return

    assert planned() > max(0.3, 0.1 + planned(components=0, searches=3))


def test_starts_of_a_round_need_no_population() -> None:
    solution = solvers.solve(
        se.game("random_markov_game-v0", seed=4000, **SMALL), "inverse_planning", budget=4, population=0, searches=3, first=0
    )
    assert solution.cost.commitments == 4
