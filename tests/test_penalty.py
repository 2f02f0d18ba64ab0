"""Penalty methods: the penalties as divergences, their gradients, the surrogate's bias, the sampled form's mean, and reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st
from small_games import Bonuses, Doors

import solvers
import stackelberg_envs as se
from solvers.copies import Copies, CopyAscent, copy_policy, node_shape
from solvers.estimators.implicit import exact_gradient
from solvers.penalties import PENALTIES, expected_return, visits
from solvers.penalty import Penalty
from stackelberg_envs.leader.access import Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.processes.mdp import at_nodes
from stackelberg_envs.response import Answer, Response
from stackelberg_envs.testing import random_games, with_commitments
from stackelberg_envs.worlds.mdp import InducedMDP

games_and_points = with_commitments(random_games(discount=0.9))
SMALL: dict[str, Callable[[], se.StackelbergGame]] = {
    "rewards": lambda: Bonuses(discount=0.8),
    "transitions": lambda: Doors(),
    "policy, seen": lambda: se.game("random_markov_game-v0", follower_sees="action", discount=0.8),
    "policy, unseen": lambda: se.game("random_markov_game-v0", follower_sees="policy", discount=0.8),
}
"""The three ways in which a leader moves what its follower faces."""


def induced(game: se.StackelbergGame, x: Any) -> InducedMDP:
    return game.problems(torch.as_tensor(x))[0]


def best(mdp: InducedMDP, temperature: float) -> torch.Tensor:
    with torch.no_grad():
        return soft_policy_iteration(mdp.map(torch.Tensor.detach), temperature).policy


@given(games_and_points, st.floats(0.3, 2.0), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_penalties_are_divergences_from_the_best_response(drawn: tuple[se.StackelbergGame, np.ndarray], tau: float, seed: int) -> None:
    """p_B = tau E_rho KL and p_V = tau sum d KL, with d the copy's discounted visits, to 1e-10."""
    game, x = drawn
    mdp = induced(game, x)
    g = best(mdp, tau)
    y = copy_policy(torch.tensor(2 * np.random.default_rng(seed).normal(size=node_shape(mdp))), mdp)
    divergence = (mdp.leader_policy * (y * (y.log() - g.log())).sum(-1)).sum(-1)
    weights = {"value": visits(mdp, y, mdp.follower_discount), "bellman": mdp.initial}
    for name, penalty in PENALTIES.items():
        expected = float(tau * (weights[name] * divergence).sum())
        assert float(penalty(mdp, y, g, tau)) == pytest.approx(expected, abs=1e-10, rel=1e-10)
        assert abs(float(penalty(mdp, g, g, tau))) < 1e-10


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kind", SMALL)
def test_gradients_of_penalties_are_derivatives(kind: str, penalty: str) -> None:
    """Central differences in x, with the best response solved anew, and in y, to 1e-6."""
    game, rng, tau = SMALL[kind](), np.random.default_rng(0), 0.3
    x, y = 0.5 * rng.normal(size=game.dimension), rng.normal(size=node_shape(induced(game, np.zeros(game.dimension))))

    def value(x: Any, y: Any) -> torch.Tensor:
        mdp = induced(game, x)
        return PENALTIES[penalty](mdp, copy_policy(torch.as_tensor(y), mdp), best(mdp, tau), tau)

    leaves = torch.tensor(x, requires_grad=True), torch.tensor(y, requires_grad=True)
    dx, dy = (slope.numpy() for slope in torch.autograd.grad(value(*leaves), leaves))
    h = 1e-5
    for _ in range(8):
        u, v = rng.normal(size=x.shape), rng.normal(size=y.shape)
        u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
        assert (dx * u).sum() == pytest.approx(float(value(x + h * u, y) - value(x - h * u, y)) / (2 * h), abs=1e-6)
        assert (dy * v).sum() == pytest.approx(float(value(x, y + h * v) - value(x, y - h * v)) / (2 * h), abs=1e-6)
    assert min(np.linalg.norm(dx), np.linalg.norm(dy)) > 1e-3, "far above the tolerance"


def climbed(mdp: InducedMDP, penalty: str, weight: float, tau: float) -> torch.Tensor:
    """The copy that maximises F - weight p, as the fixed point g = softmax((Q^* or Q^g + what the leader adds) / tau) of stationarity."""
    frozen = mdp.map(torch.Tensor.detach)
    if penalty == "value":  # the follower of another game, who is paid a share of the leader's reward
        return best(dataclasses.replace(frozen, follower_reward=frozen.follower_reward + frozen.leader_reward / weight), tau)
    star = soft_policy_iteration(frozen, tau)
    q_star = at_nodes(frozen, frozen.follower_reward + frozen.follower_discount * frozen.kernel.expect(star.values))
    g, before = star.policy, torch.zeros(())
    for _ in range(500):
        worth = policy_value(frozen, g, frozen.leader_reward, frozen.leader_discount)
        q_leader = at_nodes(frozen, frozen.leader_reward + frozen.leader_discount * frozen.kernel.expect(worth))
        share = visits(frozen, g, frozen.leader_discount) / frozen.initial / weight
        before, g = g, copy_policy((q_star + share[:, None, None] * q_leader) / tau, frozen)
        if float((g - before).abs().max()) < 1e-14:
            return g
    raise AssertionError("no fixed point")


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("follower_sees", ["policy", "action"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bias_of_the_surrogate_falls_as_one_over_lambda(seed: int, follower_sees: str, penalty: str) -> None:
    """d/dx max_y (F - lambda p) -> dF/dx: slope -1 within 10 % over lambda 30 to 300 (on the value penalty's scale)."""
    game = se.game("random_markov_game-v0", follower_sees=follower_sees, seed=seed)
    x, tau = np.random.default_rng(seed).normal(size=game.dimension), 0.2
    exact = exact_gradient(RepeatedGame(game, se.Soft(tau)).oracle(se.Access.MODEL), torch.tensor(x), None, reaction=True).gradient
    weights, biases = np.geomspace(30, 300, 4), []
    for weight in weights:
        scaled = weight if penalty == "value" else weight / (1 - game.discount)  # type: ignore[attr-defined]
        leaf = torch.tensor(x, requires_grad=True)
        mdp = induced(game, leaf)
        y = climbed(mdp, penalty, scaled, tau)
        earned = expected_return(mdp, y, mdp.leader_reward, visits(mdp, y, mdp.leader_discount))
        (slope,) = torch.autograd.grad(earned - scaled * PENALTIES[penalty](mdp, y, best(mdp, tau), tau), leaf)
        biases.append(float(torch.linalg.vector_norm(slope - exact)))
    fitted = np.polyfit(np.log(weights), np.log(biases), 1)[0]
    assert fitted == pytest.approx(-1, abs=0.1)
    assert biases[-1] < 0.05 * float(torch.linalg.vector_norm(exact))


def surveyed(
    game: se.StackelbergGame, solver: CopyAscent, x: np.ndarray, y: list[np.ndarray]
) -> tuple[Copies, dict[str, float], RepeatedGame]:
    """The solver's gradients at a point (x, y)."""
    rounds = RepeatedGame(game)
    copies = solver.init(rounds.oracle(solver.access, Permission.TRAINING), x).carried
    rounds = RepeatedGame(game, seed=1, measured=True)
    with torch.no_grad():
        for logits, wanted in zip(copies.logits, y, strict=True):
            logits.copy_(torch.tensor(wanted))
    copies.memory = None
    row = solver.compute_gradients(rounds.oracle(solver.access, Permission.TRAINING), copies)
    return copies, row, rounds


@pytest.mark.parametrize("name", ["value", "bellman", "independent_pg"])
@pytest.mark.parametrize("walkers", [1, 2])
def test_contexts_and_followers_are_added_up(walkers: int, name: str) -> None:
    """Four Rooms with two contexts and two independent walkers: gradients of what the docstrings say, by central differences."""
    game = se.game("four_rooms-v0", walkers=walkers)
    solver = solvers.build("independent_pg") if name == "independent_pg" else Penalty(penalty=name, ramp=(3, 3), sweeps=12)  # type: ignore[arg-type]
    assert isinstance(solver, CopyAscent)
    rng, tau, people = np.random.default_rng(0), game.default_follower.temperature, game.followers
    x, y = 0.5 * rng.normal(size=105), [0.3 * rng.normal(size=(2 * people, 104, 1, 4))]
    copies, row, _ = surveyed(game, solver, x, y)

    def returns(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """F, and what the copies climb."""
        own = theirs = 0.0
        for c, probability in enumerate(game.context_probabilities):
            for i, mdp in enumerate(game.problems(torch.tensor(x), c)):
                policy = copy_policy(torch.tensor(y[c * people + i]), mdp)
                weight = float(probability)
                own += weight * float(mdp.initial @ policy_value(mdp, policy, mdp.leader_reward, mdp.leader_discount))
                theirs += (
                    weight
                    * float(PENALTIES["value" if name == "independent_pg" else name](mdp, policy, best(mdp, tau), tau))
                    * (1 / (1 - mdp.follower_discount) if name == "bellman" else 1)
                )
        return own, theirs

    def objectives(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        own, penalty = returns(x, y)
        joint = (own - 3 * penalty) / 3
        return (own, -penalty) if name == "independent_pg" else (joint, joint)

    h = 1e-5
    u, v = rng.normal(size=x.shape) / 10, rng.normal(size=y[0].shape) / 10
    along_x = (objectives(x + h * u, y[0])[0] - objectives(x - h * u, y[0])[0]) / (2 * h)
    held = (returns(x + h * u, y[0])[0] - returns(x - h * u, y[0])[0]) / (2 * h) / (1 if name == "independent_pg" else 3)
    along_y = (objectives(x, y[0] + h * v)[1] - objectives(x, y[0] - h * v)[1]) / (2 * h)
    assert float((copies.gradients[0].numpy() * u).sum()) == pytest.approx(along_x, abs=1e-6, rel=1e-6)
    assert copies.direct is not None
    assert float((copies.direct.numpy() * u).sum()) == pytest.approx(held, abs=1e-6, rel=1e-6)
    assert float((copies.gradients[1].numpy() * v).sum()) == pytest.approx(along_y, abs=1e-6, rel=1e-6)
    assert row["claimed_return"] == pytest.approx(returns(x, y[0])[0], abs=1e-9)


class Acting(type(se.game("random_markov_game-v0"))):  # type: ignore[misc]
    """A small Markov game whose leader also sets a bonus for each (s, b), at a price."""

    def __init__(self, follower_sees: str) -> None:
        super().__init__(states=3, leader_actions=2, follower_actions=2, branching=2, discount=0.6, follower_sees=follower_sees)  # type: ignore[arg-type]
        self.leader_space = Box(-20.0, 20.0, (12,), np.float64)

    def log_leader_policy(self, x: Any) -> Any:
        return super().log_leader_policy(x[..., :6])

    def incentive(self, x: Any, context: int = 0) -> Any:
        return x[..., 6:].reshape(*x.shape[:-1], 3, 1, 2)

    def leader_cost(self, x: Any, context: int = 0) -> Any:
        return 0.5 * self.incentive(x) ** 2

    def induced(self, x: Any, context: int) -> InducedMDP:
        mdp: Any = super().induced(x, context)
        return dataclasses.replace(
            mdp, follower_reward=mdp.follower_reward + self.incentive(x), leader_reward=mdp.leader_reward - self.leader_cost(x)
        )


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("follower_sees", ["policy", "action"])
def test_the_mean_of_sampled_gradients_is_the_exact_one(follower_sees: str, penalty: str) -> None:
    """Within four standard errors at two sample sizes, for a leader that acts and sets rewards; cut where .6^30 is left of them."""
    game, rng = Acting(follower_sees), np.random.default_rng(2)
    game.default_follower = se.Soft(0.5)
    x, y = 0.5 * rng.normal(size=12), [0.5 * rng.normal(size=(3, 2 if follower_sees == "action" else 1, 2))]
    options: dict[str, Any] = {"penalty": penalty, "ramp": (2.0, 2.0)}
    wanted, row, _ = surveyed(game, Penalty(**options, sweeps=30), x, [y[0][None]])

    def numbers(copies: Copies) -> np.ndarray:
        """Gradients in x and in the copies, and the direct part in x."""
        return np.concatenate([gradient.numpy().ravel() for gradient in (*copies.gradients, copies.direct)])  # type: ignore[union-attr]

    exact = numbers(wanted)
    sampler = Penalty(form="sampled", episodes=20, horizon=30, **options)
    copies, _, rounds = surveyed(game, sampler, x, y)
    oracle, drawn, slack = rounds.oracle(se.Access.VALUE, Permission.TRAINING), [], []
    for _ in range(1600):
        said = sampler.compute_gradients(oracle, copies)
        drawn.append(numbers(copies))
        slack.append([said["penalty"], said["claimed_return"]])
    for count in (400, 1600):
        batch = np.hstack([np.array(drawn), np.array(slack)])[:count]
        error = batch.std(axis=0) / np.sqrt(count)
        assert (np.abs(batch.mean(axis=0) - [*exact, row["penalty"], row["claimed_return"]]) < 4 * error + 1e-6).all()
    assert rounds.cost.training_steps == 2 * 1601 * 20 * 30
    assert rounds.cost.outcome_steps == 0, "nobody acted but as the solver said"
    assert rounds.cost.queries == {"value": 2, "bellman": 3}[penalty] * 1601


def test_followers_act_as_they_are_told() -> None:
    """By the policy that the real one answers with, the same noise gives the same outcome; the rewards are the table's."""
    game = se.game("toy3-v0")
    x = np.random.default_rng(0).normal(size=6)
    real, told = RepeatedGame(game, seed=3), RepeatedGame(game, seed=3)
    oracle = told.oracle(se.Access.POLICY, Permission.TRAINING)
    wanted = real.play(x, episodes=1)
    (policy,) = game.default_follower.respond(game, x).policies
    told._rng.random(1)  # nature draws a context there
    seen, earned = oracle.play_as(x, [policy], episodes=1)
    np.testing.assert_array_equal(seen.states, wanted.states)
    mdp, alive = game.problems(x)[0], seen.alive[0, 0]
    steps = seen.states[0, 0, :-1][alive], seen.leader_actions[0, 0][alive], seen.follower_actions[0, 0][alive]
    np.testing.assert_array_equal(earned[0, 0][alive], mdp.follower_reward[steps])
    assert (told.cost.training_steps, told.cost.outcome_steps, told.cost.commitments) == (alive.sum(), 0, 1)
    assert told.cost.follower_evaluations == 0, "the real one is not asked"
    with pytest.raises(ValueError, match=r"shapes \(S, A, B\)"):
        oracle.play_as(x, [policy[0]])
    with pytest.raises(se.AccessError, match="play_as needs permission TRAINING; this solver was granted MODEL"):
        _ = real.oracle(se.Access.MODEL).play_as
    blind = se.game("random_markov_game-v0")
    answers = np.random.default_rng(0).dirichlet(np.ones(3), size=(5, 3))
    with pytest.raises(ValueError, match="sees the leader's policy, and not its action"):
        RepeatedGame(blind).play_as(np.zeros(15), [answers])


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_ramp_ends_near_the_optimum_and_a_weak_penalty_is_optimistic(penalty: str) -> None:
    """Against the same optimiser on exact hypergradients; and the history says by how much the leader flatters itself."""
    game = se.game("random_markov_game-v0", seed=1000)
    true = solvers.solve(game, "implicit", budget=400, lr=0.05, optimiser="adam", reports=1).leader_return
    ramped = solvers.solve(game, "penalty", budget=400, penalty=penalty, ramp_steps=250, reports=4)
    weak = solvers.solve(game, "penalty", budget=400, penalty=penalty, ramp=(0.5, 0.5), reports=4)
    naive = solvers.solve(game, "independent_pg", budget=400, reports=4)
    assert ramped.leader_return > true - 0.03 * abs(true)
    assert naive.leader_return < ramped.leader_return
    for solution in (ramped, weak, naive):  # the claim is the return against the copies, by the referee's own evaluation
        x, row = solution.x, solution.history[-1]
        (copy,) = copy_policy(solution.checkpoint.state.carried.logits[0].detach(), game.problems(torch.tensor(x))[0])
        told = se.evaluate(game, x, responses=(Response((Answer(copy.numpy(), np.zeros(len(copy)), 0.0),)),))
        assert row["claimed_return"] == pytest.approx(float(told.leader_return), abs=1e-9)
        assert row["optimism_gap"] == pytest.approx(float(told.leader_return - se.evaluate(game, x).leader_return), abs=1e-9)
    assert weak.history[-1]["optimism_gap"] > 10 * abs(ramped.history[-1]["optimism_gap"])
    assert weak.history[-1]["penalty"] > ramped.history[-1]["penalty"] > 0
    assert [row["penalty_weight"] for row in ramped.history][-1] == 50


def test_inner_steps_keep_the_copy_close() -> None:
    """With a constant penalty, five steps of the copy for each of the leader leave less of a gap on the way than one."""
    game = se.game("random_markov_game-v0", seed=1000)
    gaps = [
        np.mean([row["penalty"] for row in solvers.solve(game, "penalty", budget=60, ramp=(20, 20), copy_steps=k, reports=60).history[5:]])
        for k in (1, 5)
    ]
    assert gaps[1] < gaps[0]


@pytest.mark.parametrize(
    ("name", "hyperparameters", "game", "follower", "message"),
    [
        ("penalty", {}, lambda: se.game("toy3-v0"), se.Hard(), "neither Soft nor MirrorDescent"),
        ("independent_pg", {}, lambda: se.game("toy3-v0"), se.Truncated(0.1, 3), "neither Soft nor MirrorDescent"),
        ("penalty", {"form": "sampled"}, lambda: Doors(), None, "acts or sets rewards, and this one does neither"),
        ("penalty", {"form": "sampled"}, lambda: se.game("toy3-v0"), se.Hard(), "has no temperature"),
        ("penalty", {"form": "sampled"}, lambda: se.game("contract_tree-v0"), None, "their actions are hidden"),
        ("penalty", {"penalty": "bellman"}, lambda: Bonuses(discount=1.0), None, "discounts below 1"),
    ],
)
def test_declining(name: str, hyperparameters: Any, game: Any, follower: Any, message: str) -> None:
    with pytest.raises(solvers.Declined, match=message):
        solvers.solve(game(), name, follower=follower, **hyperparameters)


@pytest.mark.parametrize(
    "wrong",
    [{"penalty": "values"}, {"form": "any"}, {"ramp": (1.0,)}, {"ramp": (0.0, 1.0)}, {"lr": 0.0}, {"copy_steps": 0}, {"rate": 0.0}]
    + [{name: value} for name in ("lr", "copy_lr") for value in (np.nan, np.inf)]
    + [{"ramp": (1.0, value)} for value in (np.nan, np.inf)]
    + [{name: np.nan} for name in ("rate", "baseline_rate")],
    ids=str,
)
def test_senseless_hyperparameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"has no penalty|has no form|ramp is|lr and copy_lr|positive rate|is a number, got nan"):
        solvers.build("penalty", **wrong)
