"""Direct part and response: they sum to the gradient that is returned, and are the exact parts where nothing is left to chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_games import SMALLER, Bonuses, Three

import solvers
import stackelberg_envs as se
from solvers.adjoint_mirror import AdjointMirror
from solvers.ascent import Estimate
from solvers.estimators.bchg import BCHG
from solvers.estimators.hpgd import HPGD
from solvers.estimators.hpgd_kernel import HPGDKernel
from solvers.estimators.implicit import Implicit, exact_gradient
from solvers.estimators.neural_bchg import NeuralBCHG
from solvers.estimators.rtq import RTQ
from solvers.estimators.sobirl import MSoBiRL, SoBiRL
from solvers.estimators.visits import Tables, incentive_estimate, incentive_gradient
from stackelberg_envs.leader.access import Access, Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame

X = np.array([0.5, -0.3, 0.2, 0.1, -0.6, 0.4])
NETS: dict[str, Any] = {"hidden": (8,), "critic_steps": 5}


def exact_parts(game: se.StackelbergGame, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dF/dx with the response held fixed, and the rest of it."""
    oracle, point = RepeatedGame(game).oracle(Access.MODEL), torch.tensor(x)
    whole, direct = (exact_gradient(oracle, point, None, reaction=reaction).gradient.numpy() for reaction in (True, False))
    return direct, whole - direct


def parts(estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """Direct part and response of an estimate that says both."""
    assert estimate.direct is not None
    assert estimate.response is not None
    return estimate.direct.numpy(), estimate.response.numpy()


@pytest.mark.parametrize(
    ("id", "arguments", "estimator"),
    [
        ("four_rooms-v0", {}, HPGD(5)),
        ("four_rooms-v0", {}, HPGD(5, batches="independent")),
        ("four_rooms-v0", {}, HPGD(5, batches="geometric")),
        ("four_rooms-v0", {"walkers": 2}, HPGD(5)),
        ("four_rooms-v0", {}, BCHG()),
        ("four_rooms-v0", {}, BCHG(critic="returns", centred="both")),
        ("four_rooms-v0", {}, SoBiRL(5)),
        ("toy3-v0", {}, BCHG()),
        ("random_markov_game-v0", {"follower_sees": "policy"}, BCHG(level="outcome")),
        ("toy3-v0", {}, Implicit()),
        ("four_rooms-v0", {}, Implicit(one_context=True)),
        ("building-v0", {"max_cycles": 20}, Implicit()),
        ("toy3-v0", {}, MSoBiRL()),
        ("preference-v0", {"objective": "likelihood"}, MSoBiRL()),
        ("toy3-v0", {}, AdjointMirror(3)),
        ("toll_network-v0", {"network": "braess"}, AdjointMirror(3)),
        ("toy3-v0", {}, RTQ(20, 3)),
        ("four_rooms-v0", {}, RTQ(20, 3, form="sampled", episodes=5)),
        ("tax_design-v0", {"temperature": 0.2, **SMALLER["tax_design-v0"]}, HPGDKernel(5)),
        ("tax_design-v0", {"temperature": 0.2, **SMALLER["tax_design-v0"]}, HPGDKernel(5, form="published")),
        ("building-v0", {"max_cycles": 20}, NeuralBCHG(episodes=10, **NETS)),
        ("building-v0", {"max_cycles": 20}, NeuralBCHG(episodes=10, centred="follower", features=False, **NETS)),
        ("lq_gain-v0", {"max_cycles": 20}, NeuralBCHG(episodes=10, critic="quadratic", score_clip=1.0, **NETS)),
    ],
    ids=str,
)
def test_the_parts_sum_to_the_gradient(id: str, arguments: dict[str, Any], estimator: Any) -> None:
    """To rounding; two estimates from the same noise have the same parts, and one that nobody measures has the same gradient and ledger."""
    game = se.game(id, **arguments)
    x, found, spent = 0.3 * np.random.default_rng(1).normal(size=game.dimension), [], []
    for measured in (True, True, False):
        rounds = RepeatedGame(game, se.SoftQLearning(0.05, 1) if isinstance(estimator, RTQ) else None, seed=2, measured=measured)
        oracle = rounds.oracle(estimator.access, estimator.permissions)
        found.append(estimator.estimate(oracle, torch.tensor(x), None, np.random.default_rng(0)))
        spent.append(rounds.cost)
    first, second, plain = found
    assert torch.equal(first.gradient, plain.gradient)
    assert spent[0] == spent[2]
    np.testing.assert_allclose((first.direct + first.response).numpy(), first.gradient.numpy(), atol=1e-13, rtol=1e-13)
    np.testing.assert_array_equal(first.direct.numpy(), second.direct.numpy())
    assert float(first.response.norm()) > 0


def test_with_true_tables_both_parts_are_exact() -> None:
    """Visits and reaction by linear solves in NumPy, as `solvers.estimators.implicit` states them; and the gradient has the same bits."""
    game = Three()
    (world,), tau = game.problems(X), game.default_follower.temperature
    (policy,) = game.default_follower.respond(game, X).policies
    g, P, leader = policy[:, 0], world.transition[:, 0], world.leader_reward[:, 0]
    chain, one = np.einsum("sb,sbt->st", g, P), np.eye(3)
    visits = np.linalg.solve(one - world.leader_discount * chain.T, world.initial)[:, None] * g
    worth = np.linalg.solve(one - world.leader_discount * chain, (g * leader).sum(1))
    c = visits * (leader + world.leader_discount * P @ worth - worth[:, None]) / tau
    z = np.linalg.solve(one - world.follower_discount * chain.T, world.follower_discount * np.einsum("sbt,sb->t", P, c))
    tables, oracle = [Tables(c + z[:, None] * g, visits)], RepeatedGame(game).oracle(Access.INCENTIVE)
    found = incentive_estimate(oracle, torch.tensor(X), 0, tables)
    direct, response = exact_parts(game, X)
    np.testing.assert_allclose(np.stack(parts(found)), np.stack([direct, response]), atol=1e-8)
    assert min(np.abs(direct).max(), np.abs(response).max()) > 0.01
    assert torch.equal(found.gradient, incentive_gradient(oracle, torch.tensor(X), 0, tables))


def test_sampled_parts_are_the_exact_ones_on_average() -> None:
    """Geometric horizons: within four standard errors, each component of each part.  Whole episodes are cut, which costs some 5 %."""
    game, exact = Three(), np.stack(exact_parts(Three(), X))
    for estimator, cut in ((HPGD(4000, batches="geometric"), 0.0), (HPGD(4000, batches="independent"), 0.1)):
        oracle, rng = RepeatedGame(game, seed=1).oracle(Access.INCENTIVE, estimator.permissions), np.random.default_rng(0)
        drawn = [estimator.estimate(oracle, torch.tensor(X), None, rng) for _ in range(40)]
        found = np.stack([parts(one) for one in drawn])
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) - exact) < 4 * error + cut * np.linalg.norm(exact, axis=1, keepdims=True)).all()
        assert (error < 0.25 * np.linalg.norm(exact)).all(), "a bias of the size of the gradient would be seen"


def test_a_leader_who_pays_nothing_has_no_direct_part() -> None:
    game = Bonuses(discount=0.5)
    oracle = RepeatedGame(game, seed=1).oracle(Access.POLICY, Permission.NONE)
    for estimator in (HPGD(20), SoBiRL(20), BCHG(level="policy")):
        found = estimator.estimate(oracle, torch.zeros(12, dtype=torch.float64), None, np.random.default_rng(0))
        direct, response = parts(found)
        assert not direct.any()
        np.testing.assert_array_equal(response, found.gradient.numpy())


def test_reports_have_both_norms() -> None:
    """Those of the estimate that the last step followed."""
    row = solvers.solve(se.game("toy3-v0"), "bchg", budget=2, reports=2, telemetry=True).history[-1]
    assert {"direct_norm", "response_norm", "exact_direct_norm", "exact_response_norm", "cosine"} <= set(row)
    whole = row["gradient_norm"]
    assert abs(row["direct_norm"] - row["response_norm"]) <= whole * (1 + 1e-12) <= row["direct_norm"] + row["response_norm"] + 1e-9
