"""Actions that followers do not have: answers, gradients and solvers, against planning in which such actions are simply absent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st
from small_games import Bonuses, Doors, Masked, Umpired

import solvers
import stackelberg_envs as se
from solvers.copies import copy_policy, node_shape
from solvers.estimators.bchg_markov import markov_game_hypergradient
from solvers.estimators.critics import LeaderKnowledge
from solvers.estimators.hpgd import HPGD
from solvers.estimators.implicit import exact_gradient
from solvers.estimators.rtq import gradient_at_answer
from solvers.penalties import PENALTIES
from stackelberg_envs.followers.mirror_descent import MirrorDescent
from stackelberg_envs.followers.replication import SoftInside
from stackelberg_envs.leader.access import Access, Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.planning.matrix_games import strong_commitment, weak_commitment
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play import rollouts

TAU = 0.3
FOLLOWERS = (
    se.Soft(TAU),
    *(se.Hard(ties) for ties in ("strong", "weak", "uniform")),
    se.Quantal(TAU),
    se.Truncated(TAU, 3),
    se.EpsilonOptimal(0.1),
    MirrorDescent(TAU, 3, rate=2.0),
    MirrorDescent(TAU, 2),
    se.NaturalPolicyGradient(TAU, 3),
    se.SoftQLearning(TAU, 40),
    se.SoftQLearning(TAU, 40, samples="uniform"),
    SoftInside(TAU),
)


class OneWorld(se.StackelbergGame):
    """One world, whatever the leader does."""

    name, max_cycles, leader_space, default_follower = "one_world", 20, Box(-1.0, 1.0, (1,), np.float64), se.Soft(TAU)

    def __init__(self, world: Any) -> None:
        self.world = world

    def induced(self, x: Any, context: int) -> Any:
        return self.world

    def answer(self, follower: se.Follower) -> Any:
        return follower.respond(self, np.zeros(1)).answers[0]


@st.composite
def masked_worlds(draw: Any) -> se.InducedMDP:
    """Random worlds in every layout, both visibilities, whose follower lacks half of its actions; what it lacks has no sensible rows."""
    seed, sees = draw(st.integers(0, 2**20)), draw(st.sampled_from(["action", "policy"]))
    s, a, b = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(2, 4))
    layout, discount = draw(st.sampled_from(["dense", "shared", "lists"])), draw(st.sampled_from([0.0, 0.7, 0.9]))
    rng = np.random.default_rng(seed)
    available = rng.random((s, a, b)) < 0.5
    np.put_along_axis(available, rng.integers(b, size=(s, 1, 1)) + np.zeros((s, a, 1), dtype=int), True, axis=-1)
    rows = rng.dirichlet(np.ones(s), size=(s, a, b)) * rng.choice([0.6, 1.0], size=(s, a, b, 1))
    kernel: Any = np.where(available[..., None], rows, 0.0)
    if layout == "lists":
        kernel = se.SuccessorLists.of(kernel)
    if layout == "shared":
        kernel = se.SharedRows(rows[..., :2, :], np.arange(b) % 2)
    return se.InducedMDP(
        leader_policy=rng.dirichlet(np.ones(a), size=s),
        transition=kernel,
        follower_reward=rng.normal(size=(s, a, b)),
        leader_reward=rng.normal(size=(s, a, b)),
        initial=rng.dirichlet(np.ones(s)),
        follower_discount=discount,
        leader_discount=discount,
        follower_sees=sees,
        available=available,
    )


def value_iteration(world: se.InducedMDP, temperature: float) -> np.ndarray:
    """V, (S,): each state has a list of actions, and nothing else is ever looked at."""
    (s, a, b), pi, gamma = world.sizes, world.leader_policy, world.follower_discount
    rows, values = np.asarray(world.kernel.dense()), np.zeros(world.sizes[0])
    seen = world.follower_sees == "action"
    there = world.available if seen else world.available.all(axis=1, keepdims=True)
    lists = [[[j for j in range(b) if there[i, n, j]] for n in range(there.shape[1])] for i in range(s)]

    def best(q: list[float]) -> float:
        top = max(q)
        return top + temperature * math.log(sum(math.exp((one - top) / temperature) for one in q)) if temperature > 0 else top

    for _ in range(1 if gamma == 0 else int(np.log(1e-11) / np.log(gamma))):
        q = (world.follower_reward + gamma * rows @ values).tolist()
        if seen:
            values = np.array([sum(pi[i, n] * best([q[i][n][j] for j in lists[i][n]]) for n in range(a)) for i in range(s)])
        else:
            values = np.array([best([sum(pi[i, n] * q[i][n][j] for n in range(a)) for j in lists[i][0]]) for i in range(s)])
    return values


@settings(max_examples=25, deadline=None)
@given(masked_worlds())
def test_answers_are_those_of_worlds_in_which_unavailable_actions_are_absent(world: se.InducedMDP) -> None:
    game = OneWorld(world)
    np.testing.assert_allclose(game.answer(se.Soft(TAU)).values, value_iteration(world, TAU), atol=1e-8)
    np.testing.assert_allclose(game.answer(se.Hard()).values, value_iteration(world, 0.0), atol=1e-8)


@settings(max_examples=8, deadline=None)
@given(masked_worlds())
def test_followers_never_play_what_they_lack_and_certificates_bound_their_loss(world: se.InducedMDP) -> None:
    game, there = OneWorld(world), world.available_actions(0)
    for follower in FOLLOWERS:
        answer = game.answer(follower)
        assert (answer.policy[~np.broadcast_to(there, world.sizes)] == 0).all(), follower
        np.testing.assert_allclose(answer.policy.sum(-1), 1, atol=1e-12)
        gap = float(se.evaluate(game, np.zeros(1), follower=follower).follower_gap)
        assert answer.certificate >= gap - 1e-9, follower
        again = follower.respond(game, np.zeros(1), state=follower.respond(game, np.ones(1)).state).answers[0]
        assert np.isfinite(again.policy).all(), follower


@settings(max_examples=8, deadline=None)
@given(masked_worlds())
def test_other_ways_to_say_that_an_action_is_not_there(world: se.InducedMDP) -> None:
    """A reward of -inf is the same world; an action that costs a million is as good as absent, and hard values do not mind copies."""
    there = np.broadcast_to(world.available_actions(0), world.sizes)
    plain = {follower: OneWorld(world).answer(follower) for follower in (se.Soft(TAU), se.Hard())}
    infinite = replace(world, available=None, follower_reward=np.where(there, world.follower_reward, -np.inf))
    costly = replace(world, available=None, follower_reward=np.where(there, world.follower_reward, -1e6))
    for follower, answer in plain.items():
        same, other = OneWorld(infinite).answer(follower), OneWorld(costly).answer(follower)
        np.testing.assert_array_equal(same.policy, answer.policy)
        np.testing.assert_allclose(other.values, answer.values, atol=1e-8)
    first = there.all(axis=1).argmax(axis=-1) if world.follower_sees == "policy" else None
    if first is not None:
        states, rows = np.arange(world.sizes[0]), np.asarray(world.kernel.dense())
        copies = np.where(there[..., None], rows, rows[states, :, first][:, :, None])
        earned = np.where(there, world.follower_reward, world.follower_reward[states, :, first][:, :, None])
        doubled = OneWorld(replace(world, available=None, transition=copies, follower_reward=earned)).answer(se.Hard())
        np.testing.assert_allclose(doubled.values, plain[se.Hard()].values, atol=1e-8)


def test_learning_is_the_same_compiled_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    game = Masked(se.game("random_markov_game-v0", states=4, follower_actions=3))
    for samples in ("stream", "uniform"):
        follower, policies = se.SoftQLearning(TAU, 300, samples=samples), []  # type: ignore[arg-type]
        for compiled in (rollouts.COMPILED, False):
            monkeypatch.setattr(rollouts, "COMPILED", compiled)
            policies.append(follower.respond(game, np.zeros(game.dimension)).policy)
        np.testing.assert_array_equal(*policies)


def test_policies_that_play_what_is_not_there_are_neither_scored_nor_played() -> None:
    """Nor answered with, by a follower that believes in a world without the mask; with it the belief is as good as the truth."""
    game = se.game("random_markov_game-v0", states=4, follower_actions=3)
    masked, x = Masked(game), np.zeros(game.dimension)
    with pytest.raises(PlanningError, match="takes actions for available that are not: follower 0 plays action"):
        se.evaluate(masked, x, follower=se.Believes(game, se.Soft(1.0)))
    assert float(se.evaluate(masked, x, follower=se.Believes(masked, se.Soft(1.0))).follower_gap) < 1e-9
    rounds = RepeatedGame(masked)
    (policy,) = se.Soft(1.0).respond(game, x).policies
    for refuse in (
        lambda: masked.objective(masked.problems(x), (policy,)),
        lambda: rounds.play_as(x, (policy,)),
        lambda: rounds.play_from(x, 0, np.repeat(np.arange(4), 3)[:, None], actions=np.tile(np.arange(3), 4)[:, None]),
    ):
        with pytest.raises(ValueError, match=r"not available|action \d in state \d is not"):
            refuse()


GRADIENTS = {
    "action": lambda: Masked(
        se.game("random_markov_game-v0", states=4, leader_actions=2, follower_actions=3, follower_sees="action"), by_action=True
    ),
    "policy": lambda: Masked(se.game("random_markov_game-v0", states=4, leader_actions=2, follower_actions=3), by_action=True),
    "-inf": lambda: Masked(Bonuses(discount=0.8, price=0.1), infinite=True),
    "dynamics": lambda: Masked(Doors()),
    "opponents": lambda: Masked(Umpired(follower_sees="action", contexts=2), by_action=True),
    "opponents, policy": lambda: Masked(Umpired(follower_sees="policy"), seed=1, infinite=True),
    "deadline": lambda: se.WithDeadline(Masked(Bonuses(discount=1.0)), 4),
    "signals": lambda: Masked(se.game("bimatrix-v0", noise=0.2, preset="random", rows=3, columns=3), by_action=True),
}


@pytest.mark.parametrize("inner", ["newton", "sweeps"])
@pytest.mark.parametrize("name", GRADIENTS)
def test_exact_hypergradients_match_central_differences(name: str, inner: Any) -> None:
    game, rng = GRADIENTS[name](), np.random.default_rng(0)
    follower = se.Soft(TAU) if name == "signals" else game.default_follower
    x, direction = rng.normal(size=(2, game.dimension))
    oracle = RepeatedGame(game, follower).oracle(Access.MODEL)
    found = exact_gradient(oracle, torch.tensor(x), None, reaction=True, inner=inner)
    assert found.value == pytest.approx(float(se.evaluate(game, x, follower=follower).leader_return), abs=1e-8)
    above, below = (float(se.evaluate(game, x + h * direction, follower=follower).leader_return) for h in (1e-5, -1e-5))
    assert float(found.gradient @ torch.tensor(direction)) == pytest.approx((above - below) / 2e-5, abs=1e-6, rel=1e-6)
    if name in ("action", "policy", "-inf"):
        at_answer = gradient_at_answer(oracle, torch.tensor(x))
        np.testing.assert_allclose(at_answer, found.gradient, atol=1e-8)


@pytest.mark.parametrize("sees", ["action", "policy"])
def test_bchg_with_true_tables_is_exact(sees: str) -> None:
    """From every state once, where episodes start evenly: with the true game and no steps scanned nothing is left to chance."""
    game, x = GRADIENTS[sees](), np.random.default_rng(1).normal(size=8)
    oracle = RepeatedGame(game).oracle(Access.MODEL, Permission.RESET)
    world: Any = game.commit(x)
    tau = game.default_follower.temperature
    known = LeaderKnowledge(soft_policy_iteration(world, tau).policy, world, oracle.action_values(x)[0])
    seen = oracle.play_from(x, 0, np.arange(4)[:, None])
    found = markov_game_hypergradient(oracle, torch.tensor(x), seen, known, tau, scan=0, complete=True)
    for part, reaction in zip(found, (True, False), strict=True):  # the whole, and its direct part
        exact = exact_gradient(oracle, torch.tensor(x), None, reaction=reaction).gradient
        np.testing.assert_allclose(part, exact, atol=1e-8)


def test_the_mean_of_sampled_hypergradients_is_the_exact_one() -> None:
    """HPGD with geometric horizons has no bias; within four and a half standard errors along the gradient."""
    game = Masked(Bonuses(discount=0.5, price=0.1))
    x = torch.tensor(np.random.default_rng(2).normal(size=12))
    exact = exact_gradient(RepeatedGame(game).oracle(Access.MODEL), x, None, reaction=True).gradient
    oracle, rng = RepeatedGame(game, seed=3).oracle(Access.INCENTIVE, Permission.RESET), np.random.default_rng(3)
    estimates = [float(HPGD(episodes=4000, batches="geometric").estimate(oracle, x, None, rng).gradient @ exact) for _ in range(16)]
    error = np.std(estimates, ddof=1) / 4
    assert abs(np.mean(estimates) - float(exact @ exact)) < 4.5 * error
    assert error < 0.1 * float(exact @ exact)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("sees", ["action", "policy"])
def test_gradients_of_penalties_match_central_differences(sees: str, penalty: str) -> None:
    """In x with the best response held fixed (Danskin), and in the copy's logits, which say nothing of what is not available."""
    game, rng, tau = GRADIENTS[sees](), np.random.default_rng(4), 0.5
    x, u = torch.tensor(rng.normal(size=(2, game.dimension)))
    y, v = torch.tensor(rng.normal(size=(2, *node_shape(game.commit(x)))))

    def lost(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        world: Any = game.commit(x)
        best = soft_policy_iteration(world.map(torch.Tensor.detach), tau).policy
        return PENALTIES[penalty](world, copy_policy(y, world), best, tau)

    leaves = x.clone().requires_grad_(), y.clone().requires_grad_()
    along = torch.autograd.grad(lost(*leaves), leaves)
    for slope, step in zip(along, ((u, 0 * v), (0 * u, v)), strict=True):
        above, below = (float(lost(x + h * step[0], y + h * step[1])) for h in (1e-5, -1e-5))
        direction = u if slope.shape == u.shape else v
        assert float((slope * direction).sum()) == pytest.approx((above - below) / 2e-5, abs=1e-6, rel=1e-6)
    assert float(lost(x, y)) > 0


PLAYED = {
    "acts": lambda: Masked(se.game("random_markov_game-v0", states=3, leader_actions=2, follower_actions=3, max_cycles=8), by_action=True),
    "sets rewards": lambda: Masked(Bonuses(discount=0.8, price=0.1)),
    "one-shot": lambda: Masked(se.game("bimatrix-v0", preset="random", rows=3, columns=3), seed=3),
    "opponents": lambda: Masked(Umpired(follower_sees="policy")),
    "contracts": lambda: Masked(se.game("contract_tree-v0", depth=3)),
    "moves": lambda: Masked(se.game("tax_design-v0", grid=11, hours=2, spendings=2, max_cycles=8)),
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "implicit": [{}, {"one_context": True}],
    "multistart": [{"evaluations": 5}],
    "combinatorial": [{"evaluations": 5, "kept": 1}],
    "penalty": [{"penalty": kind, "form": form, "episodes": 5} for kind in ("value", "bellman") for form in ("exact", "sampled")],
    "inverse_planning": [
        {"planning_steps": 2, "population": 1},
        {"planning_steps": 2, "population": 1, "curiosity": 0.1, "confidence": 0.9, "tolerance": 0.01, "draws": 4, "horizons": (0.5, 1.0)},
    ],
    "qse_mle": [{"planning_steps": 2, "population": 1}],
    "plan_after_estimation": [{"planning_steps": 2, "population": 1}],
    "active_inverse": [{"planning_steps": 2, "population": 1, "informative": 1}],
    "bchg": [{"level": level} for level in ("value", "policy", "outcome")]
    + [{"critic": critic} for critic in ("sarsa", "returns", "reset")],
    "hpgd": [{"batches": kind, "episodes": 20} for kind in ("same", "independent", "geometric")],
    "aho": [{"samples": 20}],
    "first_order": [{}, {"form": "sampled", "episodes": 5}],
    "adjoint_mirror": [{"steps": 3}],
    "slac": [{}, {"form": "sampled", "episodes": 5}],
    "hpgd_kernel": [{"form": form, "episodes": 20} for form in ("kernel", "published")],
    "rtq": [{"form": form, "steps": 10, "levels": 2} for form in ("exact", "sampled")],
    "sobirl": [{"episodes": 20}],
    "line_search": [{"points": 5}],
    "leader_ppo": [{"n_epochs": 1}],
}
NEVER = {
    "contract_lp": "an agent that has both actions",
    "security_lp": "one attack of one attacker",
    "neural_bchg": "worlds without tables",
    "subsidy_planner": "a payment for each pair of state and action",  # of those that are available: tests/test_subsidy.py
}
ONLY = {"hpgd_kernel": ("moves",), "contract_lp": ("contracts",), "multiple_lp": ("one-shot",)}


@pytest.mark.parametrize("name", solvers.names())
def test_every_solver_plays_with_masks_or_says_why_not(name: str) -> None:
    """Finite commitments and scores, and never a word about NaN; the referee refuses policies that play what is not there."""
    played, reasons = 0, []
    for key in ONLY.get(name, tuple(key for key in PLAYED if key != "moves")):
        game = PLAYED[key]()
        follower: Any = {
            "rtq": se.SoftQLearning(TAU, 20),
            "multiple_lp": se.Hard(),
            "contract_lp": se.Hard(),
            "security_lp": se.Hard(),
            "subsidy_planner": se.Hard(),
        }.get(name)
        for options in OPTIONS.get(name, [{}]):
            try:
                solution = solvers.solve(game, name, follower=follower, access=Access.MODEL, budget=2, **options)
            except solvers.Declined as reason:
                reasons.append(str(reason))
                continue
            played += 1
            assert np.isfinite([*solution.x.ravel(), solution.leader_return]).all(), (key, options)
    if name in NEVER:
        assert not played
        assert NEVER[name] in reasons[0]
    else:
        assert played, reasons


@pytest.mark.parametrize(("ties", "value_of"), [("strong", strong_commitment), ("weak", weak_commitment)])
def test_multiple_lp_leaves_out_columns_that_are_not_there(ties: Any, value_of: Any) -> None:
    for seed in range(4):
        game = Masked(se.game("bimatrix-v0", preset="random", rows=3, columns=4, seed=seed), seed=seed)
        world: Any = game.commit(np.zeros(3))
        (columns,) = np.nonzero(world.available[0, 0])
        wanted = value_of(world.leader_reward[0][:, columns], world.follower_reward[0][:, columns]).value
        solution = solvers.solve(game, "multiple_lp", follower=se.Hard(ties), budget=2)
        assert solution.history[-1]["value"] == pytest.approx(wanted, abs=1e-9)
        assert solution.leader_return == pytest.approx(wanted, abs=1e-4)
