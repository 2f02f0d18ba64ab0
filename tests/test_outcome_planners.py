"""Leaders that plan in an estimated game: formulas against brute force on three states, their promises, whole runs, who declines what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import solvers
import stackelberg_envs as se
from baselines.studies import reach
from solvers.active_inverse import ActiveInverse
from solvers.game_ascent import ascend, joint_values, next_population, planner_surrogate, predicted_returns, random_commitments
from solvers.inference.information import expected_information, information_gain
from solvers.inference.irl import Responses, fit, response_jacobian
from solvers.inference.joint import JointInference
from solvers.inference.model import EstimatedGame, induced_mdp
from solvers.inference.state import InferenceState, Settings
from solvers.inverse_planning import InversePlanning, Now
from solvers.outcome_planner import Round
from solvers.plan_after_estimation import RegularisedEstimates
from solvers.qse_mle import ConfidenceSet
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration

RIVALS = ["qse_mle", "plan_after_estimation", "active_inverse"]
SEES = ["action", "policy"]
TAU = 0.2


def learned(sees: str, commitments: int = 5, episodes: int = 4) -> tuple[EstimatedGame, InferenceState, Any, np.ndarray]:
    """Three states: the estimated game after some commitments, what is inferred, the handle on the game, and commitments (4, n)."""
    game = se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, follower_sees=sees, seed=5, discount=0.7)
    oracle = RepeatedGame(game, seed=1).oracle(se.Access.OUTCOME)
    settings, rng = Settings(TAU, 1.0, 0.1, 24), np.random.default_rng(2)
    state = InferenceState.prior(oracle, settings)
    for x in rng.normal(size=(commitments, game.dimension)):
        state = state.update(oracle, x, oracle.play(x, episodes=episodes), settings)
    return state.game(oracle, settings), state, oracle, rng.normal(size=(4, game.dimension))


def brute_force(mdp: Any, reward: torch.Tensor, leader_reward: torch.Tensor, policy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(log g (S, N, B), the leader's return) of one process by 110 sweeps of its definition, for torch to differentiate."""
    P, rho = (torch.as_tensor(np.asarray(table)) for table in (mdp.transition, mdp.initial))
    V, Q = torch.zeros(3, dtype=torch.float64), reward
    for _ in range(110):
        Q = reward + mdp.follower_discount * torch.einsum("sabt,t->sab", P, V)
        if mdp.follower_sees == "policy":
            Q = torch.einsum("sa,sab->sb", policy, Q)[:, None]
        U = TAU * torch.logsumexp(Q / TAU, -1)
        V = U[:, 0] if mdp.follower_sees == "policy" else (policy * U).sum(-1)
    log_g = torch.log_softmax(Q / TAU, -1)
    joint = policy[..., None] * log_g.exp()
    chain = torch.einsum("sab,sabt->st", joint, P)
    W = torch.linalg.solve(torch.eye(3, dtype=torch.float64) - mdp.leader_discount * chain, (joint * leader_reward).sum((-2, -1)))
    return log_g, rho @ W


@pytest.mark.parametrize("sees", SEES)
def test_likelihood_and_information_by_brute_force(sees: str) -> None:
    """The gradient of the log-likelihood, and the Fisher information as the expected negative Hessian of log g, to 1e-8 of their sizes."""
    game, state, _, xs = learned(sees)
    mdp = induced_mdp(game, xs)
    r = torch.tensor(np.asarray(mdp.follower_reward).reshape(3, 2, 2), requires_grad=True)
    counts = state.counts.visits.sum(1, keepdims=True) if sees == "policy" else state.counts.visits
    batch = replace(mdp, follower_reward=np.broadcast_to(r.detach().numpy(), (4, 3, 2, 2)))
    plan = soft_policy_iteration(batch, TAU)
    D = response_jacobian(batch, plan, TAU)
    information = expected_information(mdp, TAU, episodes=3, steps=50)
    for k in range(2):
        policy = torch.as_tensor(mdp.leader_policy[k])

        def likelihood(reward: torch.Tensor, weights: Any, policy: torch.Tensor = policy) -> torch.Tensor:
            return (torch.as_tensor(weights) * brute_force(mdp, reward, torch.zeros(3, 2, 2), policy)[0]).sum()

        (slope,) = torch.autograd.grad(likelihood(r, counts), r)
        np.testing.assert_allclose(np.einsum("smb,smbn->n", counts, D[k]), slope.ravel(), atol=1e-8 * float(slope.abs().max()))
        g = plan.policy[k][:, : counts.shape[1]]
        at, visits = np.asarray(mdp.initial), np.zeros(3)
        for _ in range(50):  # how often each state is expected, step by step
            visits += at
            at = np.einsum("s,sa,sab,sabt->t", at, mdp.leader_policy[k], np.broadcast_to(g, (3, 2, 2)), np.asarray(mdp.transition))
        nodes = 3 * visits[:, None] * (mdp.leader_policy[k] if sees == "action" else np.ones((3, 1)))
        hessian = torch.autograd.functional.hessian(lambda reward, w=nodes[..., None] * g: likelihood(reward, w), r.detach())
        expected = -hessian.reshape(12, 12).numpy()  # type: ignore[union-attr]
        np.testing.assert_allclose(information[k], expected, atol=1e-8 * np.abs(expected).max())
        H = state.belief.precision  # type: ignore[union-attr]
        eigenvalues = np.linalg.eigvals(np.linalg.solve(H, H + expected)).real
        assert information_gain(H, information)[k] == pytest.approx(0.5 * np.log(eigenvalues).sum(), rel=1e-8)


def confidence_set(state: InferenceState, count: int, beta: float = 2.0) -> ConfidenceSet:
    return ConfidenceSet(state.belief.precision, beta, 0.1 / np.sqrt(1 + state.counts.visits), count)  # type: ignore[union-attr]


def estimates(state: InferenceState, count: int, eta: float = 0.7) -> RegularisedEstimates:
    return RegularisedEstimates(state.belief.precision, state.counts.visits, eta, count)  # type: ignore[union-attr]


def reward_gap(state: InferenceState, u: torch.Tensor) -> torch.Tensor:
    """D with d H d = |u|^2, (S, A, B), by the definition of a triangular factor: another way than the planner's product."""
    factor = torch.linalg.cholesky(torch.as_tensor(state.belief.precision))  # type: ignore[union-attr]
    return torch.linalg.solve_triangular(factor.T, u[:, None], upper=True).reshape(3, 2, 2)


@pytest.mark.parametrize("sees", SEES)
def test_what_rivals_ascend_on_by_brute_force(sees: str) -> None:
    """Value and gradient in commitment, reward and value function of both objectives, written out again, to 1e-8."""
    game, state, _, xs = learned(sees)
    visits, rng = torch.as_tensor(state.counts.visits), np.random.default_rng(3)
    mdp = induced_mdp(game, xs)
    r, r_L = (torch.as_tensor(np.asarray(table).reshape(3, 2, 2)) for table in (mdp.follower_reward, mdp.leader_reward))
    for joint in (confidence_set(state, 4), estimates(state, 4)):
        for leaf in joint.leaves:
            leaf.data += 0.3 * torch.as_tensor(rng.normal(size=leaf.shape))
        points = torch.tensor(xs, requires_grad=True)
        planner_surrogate(game, points, joint)[0].sum().backward()
        values, returns = joint_values(game, xs, joint)
        for k in range(4):
            x, u, *w = (leaf[k].detach().clone().requires_grad_() for leaf in (points, *joint.leaves))
            policy = torch.softmax(x.reshape(3, 2), -1)
            moved = r + reward_gap(state, u)
            if w:
                J = brute_force(mdp, moved, r_L + (w[0].reshape(3, 2, 2) / torch.sqrt(1 + visits)), policy)[1]
                value = 0.7 * J - u @ u / 2 - w[0] @ w[0] / 2
            else:
                J = value = brute_force(mdp, moved, r_L + 0.1 / torch.sqrt(1 + visits), policy)[1]
            value.backward()
            assert (values[k], returns[k]) == pytest.approx((value.item(), J.item()), abs=1e-8)
            for mine, leaf in zip((x, u, *w), (points, *joint.leaves), strict=True):
                assert leaf.grad is not None
                assert mine.grad is not None
                np.testing.assert_allclose(leaf.grad[k], mine.grad, atol=1e-8)


def test_the_error_of_a_value_function_is_a_reward() -> None:
    """Q of r_L + e has Bellman error e on r_L; the best e at a commitment is eta times the discounted visits over 1 + N."""
    game, state, _, xs = learned("action")
    joint = estimates(state, 1)
    plain = induced_mdp(game, xs[:1])
    mdp = replace(plain, follower_reward=np.asarray(plain.follower_reward).reshape(1, 3, 2, 2))
    plan = soft_policy_iteration(mdp, TAU)
    pair = (mdp.leader_policy[..., None] * plan.policy)[0]
    chain = np.einsum("sab,sabt->st", pair, np.asarray(mdp.transition))
    gamma, N = mdp.leader_discount, state.counts.visits
    occupancy = np.linalg.solve((np.eye(3) - gamma * chain).T, np.asarray(mdp.initial))
    e = 0.7 * occupancy[:, None, None] * pair / (1 + N)
    joint.w.data[0] = torch.as_tensor((e * np.sqrt(1 + N)).ravel())
    points = torch.tensor(xs[:1], requires_grad=True)
    planner_surrogate(game, points, joint)[0].sum().backward()
    assert joint.w.grad is not None
    assert float(joint.w.grad.abs().max()) < 1e-10
    r_L = np.asarray(mdp.leader_reward)
    W = np.linalg.solve(np.eye(3) - gamma * chain, (pair * (r_L + e)).sum((-2, -1)))
    Q = r_L + e + gamma * np.asarray(mdp.transition) @ W
    np.testing.assert_allclose(Q - r_L - gamma * np.asarray(mdp.transition) @ (pair * Q).sum((-2, -1)), e, atol=1e-12)
    assert float(np.asarray(mdp.initial) @ W) == pytest.approx(float(joint_values(game, xs[:1], joint)[1][0]), abs=1e-9)


def test_the_confidence_set_is_one() -> None:
    """Rewards on its surface lose beta of the likelihood, to a tenth where there are many data; optimism vanishes as they grow."""
    game, state, oracle, xs = learned("policy")
    mdp = induced_mdp(game, xs)
    unknown = replace(mdp, follower_reward=0 * np.asarray(mdp.follower_reward))
    true = soft_policy_iteration(replace(mdp, follower_reward=np.broadcast_to(mdp.follower_reward, (4, 3, 2, 2))), TAU).policy[:, :, :1]
    excess = []
    for many in (50.0, 50000.0):
        data = Responses(unknown, many * true)
        belief = fit(state.belief, data, TAU, 1.0, steps=100)  # type: ignore[arg-type]
        joint = ConfidenceSet(belief.precision, 2.0, np.zeros((3, 2, 2)), 4)
        exact = replace(state, belief=belief).game(oracle, Settings(TAU, 1.0, 0.1, 24))
        planned = ascend(exact, xs, steps=60, lr=0.1, largest=5.0, joint=joint)
        hoped, greedy = joint_values(exact, planned, joint)[0], predicted_returns(exact, planned)
        assert (hoped >= greedy - 1e-9).all()
        excess.append(float((hoped - greedy).max()))
        norm = (joint.u.detach() ** 2).sum(-1).numpy()
        assert (norm <= 4 + 1e-9).all()

        def likelihood(r: np.ndarray, data: Responses = data) -> float:
            g = soft_policy_iteration(replace(data.mdp, follower_reward=np.broadcast_to(r, (4, 3, 2, 2))), TAU).policy[:, :, :1]
            return float((data.counts * np.log(g)).sum() - (r**2).sum() / 2)

        moved = belief.reward + reward_gap(replace(state, belief=belief), joint.u[0].detach()).numpy()
        lost = likelihood(belief.reward) - likelihood(moved)
        if many > 1000:
            assert lost == pytest.approx(norm[0] / 2, rel=0.1)
    assert excess[1] < 0.2 * excess[0]


def test_information_is_worth_a_search() -> None:
    """The commitment that active learning chooses tells more than any of a hundred random ones, and it says how much."""
    game, state, _, _ = learned("policy", commitments=2)
    solver, rng = ActiveInverse(episodes=4, informative=6), np.random.default_rng(0)
    now = Round(game, state, Settings(TAU, 1.0, 0.1, 24), 1.5 * rng.normal(size=(7, 6)), kept=6)
    choice = solver._choose(now, rng)
    random = solver._gains(now, np.clip(1.5 * rng.normal(size=(100, 6)), -5, 5))
    assert choice.row["information"] > random.max()
    assert choice.row["information"] == pytest.approx(solver._gains(now, choice.x[None])[0])


def test_what_is_kept_of_a_round() -> None:
    """The population's own ends, but for the worst where a start of this round alone ended best."""
    planned, values = np.arange(6.0)[:, None], np.array([0.5, 0.1, 0.3, 0.2, 0.0, 0.9])
    kept = next_population(planned, values, best=5, size=3)
    np.testing.assert_array_equal(kept.ravel(), [5, 2, 3])
    np.testing.assert_array_equal(next_population(planned, values, best=2, size=3).ravel(), [1, 2, 3])
    np.testing.assert_array_equal(next_population(planned, values, best=0, size=3).ravel(), [1, 2, 3])
    assert next_population(planned, values, best=5, size=0).shape == (0, 1)
    np.testing.assert_array_equal(planned.ravel(), np.arange(6))


def test_priced_information_is_active_inverse_learning() -> None:
    """From the same starts and outcomes `inverse_planning` with a price for information chooses what `active_inverse` does, bit for bit."""
    game = se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, seed=5)
    oracle, rng = RepeatedGame(game, seed=1).oracle(se.Access.OUTCOME), np.random.default_rng(2)
    ours = InversePlanning(episodes=4, margin=0.0, curiosity=0.4, searches=3, planning_steps=5)
    theirs = ActiveInverse(episodes=4, margin=0.0, curiosity=0.4, searches=3, planning_steps=5)
    joint, state = JointInference.prior(oracle, ours.settings), InferenceState.prior(oracle, theirs.settings)
    for x in rng.normal(size=(3, 6)):
        seen = oracle.play(x, episodes=4)
        joint, state = joint.update(oracle, x, seen, ours.settings), state.update(oracle, x, seen, theirs.settings)
    incumbent, population = np.zeros(6), 1.5 * rng.normal(size=(4, 6))
    fresh = random_commitments(np.random.default_rng(7), 3, 6, theirs.spread, theirs.largest)
    believed = joint.game(oracle, ours.settings)
    now = Now(oracle, joint, ours.settings, (), believed, np.random.default_rng(7))
    x, value, kept = ours._plan(now, believed, incumbent, population)
    starts = np.concatenate([incumbent[None], population, fresh])
    choice = theirs._choose(Round(state.game(oracle, theirs.settings), state, theirs.settings, starts, kept=4), rng)
    np.testing.assert_array_equal(x, choice.x)
    np.testing.assert_array_equal(kept, choice.population)
    assert value == choice.row["planned_return"]


@pytest.mark.parametrize("name", RIVALS)
def test_fresh_starts_need_no_population(name: str) -> None:
    game = se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, seed=5)
    solution = solvers.solve(game, name, budget=3, population=0, searches=3, planning_steps=3)
    assert solution.cost.commitments == 3
    assert "searches" not in repr(solvers.build(name))
    with pytest.raises(ValueError, match="searches >= 0"):
        solvers.build(name, searches=-1)


@pytest.mark.parametrize("name", RIVALS)
def test_runs_from_outcomes_alone(name: str) -> None:
    """At least 95 % of the optimum of the toy and of a game of three states, on a tuning seed, and nothing read but outcomes."""
    solution = solvers.solve(se.game("toy3-v0", R=1), name, budget=12, seed=1000, start=np.zeros(6), reports=12)
    assert solution.leader_return > 0.95 * 34.9926
    assert solution.cost.commitments == 12
    assert solution.cost.queries == solution.cost.model_calls == 0
    game = se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=2, seed=5)
    best = solvers.solve(game, "multistart", budget=200, seed=0, reports=1).leader_return
    assert solvers.solve(game, name, budget=12, seed=1000, episodes=9, start=np.zeros(6), reports=1).leader_return > 0.95 * best


@pytest.mark.parametrize("name", RIVALS)
def test_who_declines_what(name: str) -> None:
    for game, said in (
        (se.game("four_rooms-v0"), "one follower in one context"),
        (se.game("four_rooms-v0", preset="bchg"), "grant it access INCENTIVE"),
        (se.game("escape_room-v0"), "one follower"),
        (se.game("random_markov_game-v0", preset="penalty"), "Fisher matrix of 2500 x 2500"),
    ):
        with pytest.raises(solvers.Declined, match=said):
            solvers.solve(game, name)
    own = {"qse_mle": "beta", "plan_after_estimation": "eta", "active_inverse": "curiosity"}[name]
    for wrong in ({own: -1.0}, {"lr": 0.0}, {"episodes": 0}):
        with pytest.raises(ValueError, match=f"{name} needs"):
            solvers.build(name, **wrong)


def test_a_target_that_is_lost_again_is_not_held() -> None:
    run = reach.Run(np.arange(5), np.arange(5), np.array([0.0, 0.96, 0.9, 0.97, 0.99]))
    assert (run.commitments_to_reach(0.95), run.commitments_to_reach(0.95, stays=True)) == (1, 3)
    lost = replace(run, scores=run.scores[::-1])
    assert lost.commitments_to_reach(0.95, stays=True) == float("inf")
    page = reach.markdown({"one": [run] * 9 + [lost]}, [4], 0.95, stays=True)
    assert "holds 0.95 by 4" in page
    assert "| 9 of 10 [" in page
    assert "| 3 [3, 3] |" in page
