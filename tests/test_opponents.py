"""Leaders over two opponents: the hypergradient through their saddle point, the Nikaido-Isoda penalty, and what solvers reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_games import SMALLER, Umpired

import solvers
import stackelberg_envs as se
from solvers.copies import copy_policy
from solvers.estimators.implicit import exact_gradient
from solvers.penalties import nikaido_isoda
from stackelberg_envs.followers.mirror_descent import MirrorDescent
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.planning.saddle_point import saddle_point
from stackelberg_envs.response import Answer
from stackelberg_envs.worlds.markov_game import InducedMarkovGame

SMALL: dict[str, Callable[[], se.StackelbergGame]] = {
    "incentives": lambda: se.game("zero_sum_incentive-v0", states=4, actions=(2, 3)),
    "cells": lambda: se.game("sentinel_intruder-v0", size=2),
    "policy, seen": lambda: Umpired(follower_sees="action"),
    "policy, unseen": lambda: Umpired(follower_sees="policy"),
    "two contexts": lambda: Umpired(follower_sees="action", contexts=2),
}


def gradient(game: se.StackelbergGame, x: np.ndarray, *, reaction: bool = True) -> np.ndarray:
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    return exact_gradient(oracle, torch.tensor(x), None, reaction=reaction).gradient.numpy()


@pytest.mark.parametrize("kind", SMALL)
def test_the_hypergradient_through_the_saddle_point_is_the_derivative(kind: str) -> None:
    """Central differences of the referee's score along every axis, to 1e-6: leaders who pay, act, move the dynamics, or all of it."""
    game = SMALL[kind]()
    for seed, scale in enumerate((0.01, 1.0)):
        x = scale * np.random.default_rng(seed).normal(size=game.dimension)
        exact, h = gradient(game, x), 1e-5
        for i in range(game.dimension):
            step = h * np.eye(game.dimension)[i]
            up, down = se.evaluate(game, x + step), se.evaluate(game, x - step)
            assert exact[i] == pytest.approx(float(up.leader_return - down.leader_return) / (2 * h), abs=1e-6)


def process(game: se.StackelbergGame, x: Any) -> InducedMarkovGame:
    (faced,) = game.problems(torch.as_tensor(x))
    assert isinstance(faced, InducedMarkovGame)
    return faced


def policies(game: se.StackelbergGame, logits: list[Any]) -> list[torch.Tensor]:
    faced = process(game, np.zeros(game.dimension))
    return [copy_policy(torch.as_tensor(table), faced.joint) for table in logits]


def random_logits(game: se.StackelbergGame, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(s, a if sees == "action" else 1, b)) for (s, a, b), sees in zip(game.sizes, game.visibility, strict=True)]


def answers(game: se.StackelbergGame, x: Any, copies: list[torch.Tensor], tau: float) -> list[torch.Tensor]:
    """The best response of each opponent to the other's copy."""
    with torch.no_grad():
        frozen, held = process(game, torch.as_tensor(x).detach()), [copy.detach() for copy in copies]
        return [soft_policy_iteration(frozen.facing(i, held, tau), tau).policy for i in range(2)]


@pytest.mark.parametrize("kind", ["incentives", "policy, seen", "policy, unseen"])
def test_gradients_of_the_nikaido_isoda_function_are_derivatives(kind: str) -> None:
    """Central differences in x and in both copies, with best responses solved anew, to 1e-6."""
    game, tau = SMALL[kind](), 0.3
    rng = np.random.default_rng(1)

    def psi(x: Any, first: Any, second: Any) -> torch.Tensor:
        copies = policies(game, [first, second])
        return nikaido_isoda(process(game, x), copies, answers(game, x, copies, tau), tau)

    point = [0.5 * rng.normal(size=game.dimension), *random_logits(game, 2)]
    leaves = [torch.tensor(table, requires_grad=True) for table in point]
    slopes = torch.autograd.grad(psi(*leaves), leaves)
    for which in range(3):
        for _ in range(4):
            direction = rng.normal(size=point[which].shape)
            direction *= 1e-5 / np.linalg.norm(direction)
            up, down = (psi(*point[:which], point[which] + step, *point[which + 1 :]) for step in (direction, -direction))
            assert float((slopes[which] * torch.tensor(direction)).sum()) == pytest.approx(float(up - down) / 2, abs=1e-11)


def test_it_is_the_duality_gap_and_zero_at_the_saddle_point_alone() -> None:
    """psi is what the referee measures as the duality gap of the copies."""
    game = SMALL["policy, seen"]()
    x = 0.5 * np.random.default_rng(0).normal(size=game.dimension)
    for seed in range(5):
        copies = policies(game, random_logits(game, seed))
        psi = float(nikaido_isoda(process(game, x), copies, answers(game, x, copies, 0.3), 0.3))
        asked = se.Response(tuple(Answer(copy.numpy(), np.zeros(3), 0.0) for copy in copies))
        assert psi == pytest.approx(float(se.evaluate(game, x, responses=(asked,)).duality_gap), abs=1e-9)
        assert psi > 1e-3
    found = list(saddle_point(process(game, x), 0.3).policies)
    assert abs(float(nikaido_isoda(process(game, x), found, answers(game, x, found, 0.3), 0.3))) < 1e-12


@pytest.mark.parametrize("seed", range(10))
def test_descent_on_it_finds_the_equilibrium_from_random_starts(seed: int) -> None:
    """Below 1e-5 within 1,000 plain gradient steps of .3 from logits N(0, 1), on random games of three states and 3 x 3 actions, best
    responses tracked by one mirror-descent step each (our notes' pilot: 8.70 to 1.7e-6 in 2,000).  Logits N(0, 9) give actions up for
    dead, and then three of six starts rest on a plateau."""
    game, tau = se.game("zero_sum_incentive-v0", states=3, seed=seed), 0.3
    faced = process(game, np.random.default_rng(seed).normal(size=game.dimension))
    logits = [torch.tensor(table, requires_grad=True) for table in random_logits(game, seed)]
    carried: list[Any] = [None, None]
    values = []
    for _ in range(1000):
        copies = [copy_policy(table, faced.joint) for table in logits]
        with torch.no_grad():
            held = [copy.detach() for copy in copies]
            tracked = [MirrorDescent(tau).answer(faced.facing(i, held, tau), carried[i]) for i in range(2)]
        carried = [answer.memory for answer in tracked]
        psi = nikaido_isoda(faced, copies, [answer.policy for answer in tracked], tau)
        values.append(float(psi.detach()))
        for table, slope in zip(logits, torch.autograd.grad(psi, logits), strict=True):
            table.data -= 0.3 * slope
        if values[-1] < 1e-6:
            break
    assert values[0] > 0.1
    assert values[-1] < 1e-5


def test_regulation_pays() -> None:
    """On the two first tuning instances: exact and penalty leaders beat the unregulated equilibrium, where a naive designer stays, and the
    penalty's copies end at a psi below 1e-5."""
    for seed in (100, 101):
        game = se.game("zero_sum_incentive-v0", seed=seed)
        unregulated = float(se.evaluate(game, game.leader_space.low).leader_return)
        start = np.zeros(game.dimension)
        naive = solvers.solve(game, "naive", budget=200, start=start, optimiser="adam", lr=0.2)
        exact = solvers.solve(game, "implicit", budget=200, start=start, optimiser="adam", lr=0.2)
        penalty = solvers.solve(game, "penalty", budget=1000, start=start, lr=0.2, ramp=(1.0, 300.0), ramp_steps=900)
        assert naive.leader_return == pytest.approx(unregulated, abs=0.1)
        assert min(exact.leader_return, penalty.leader_return) > unregulated + 1
        assert penalty.history[-1]["penalty"] < 1e-5
        assert float(se.evaluate(game, penalty.x).duality_gap) < 1e-8


@pytest.mark.parametrize(
    ("name", "hyperparameters", "id", "follower", "message"),
    [
        ("penalty", {"penalty": "bellman"}, "zero_sum_incentive-v0", None, "need penalty='value', form='exact'"),
        ("penalty", {"form": "sampled"}, "zero_sum_incentive-v0", None, "need penalty='value', form='exact'"),
        ("penalty", {}, "escape_room-v0", None, "neither Soft nor MirrorDescent"),
        ("implicit", {}, "escape_room-v0", None, "differentiates a soft response"),
        ("msobirl", {}, "zero_sum_incentive-v0", None, "differentiates a soft response"),
        ("independent_pg", {}, "zero_sum_incentive-v0", None, "neither Soft nor MirrorDescent"),
        ("hpgd", {}, "zero_sum_incentive-v0", None, "followers who do not interact"),
        ("bchg", {}, "zero_sum_incentive-v0", None, "one follower"),
        ("inverse_planning", {}, "escape_room-v0", None, "followers who do not interact"),
        ("independent_pg", {}, "escape_room-v0", se.Soft(0.1), "2 interact: take an equilibrium"),
        ("zeroth_order", {}, "sentinel_intruder-v0", se.Hard("strong"), "2 interact: take an equilibrium"),
        ("implicit", {}, "toy3-v0", se.Saddle(0.1), "here they do not: take Soft or Hard"),
        ("penalty", {}, "escape_room-v0", se.Saddle(0.1), "have no saddle point"),
        ("line_search", {}, "zero_sum_incentive-v0", se.Nash("best"), "a state can be reached again"),
    ],
)
def test_declining(name: str, hyperparameters: dict[str, Any], id: str, follower: Any, message: str) -> None:
    with pytest.raises(solvers.Declined, match=message):
        solvers.solve(se.game(id, **SMALLER.get(id, {})), name, follower=follower, budget=5, **hyperparameters)


def test_only_returns_are_needed_where_equilibria_jump() -> None:
    """Two-point search on the escape room, from no payments: a paid lever opens the door."""
    game = se.game("escape_room-v0", steps=1)
    found = solvers.solve(game, "zeroth_order", budget=600, start=[-1.0, -1.0, -1.0], optimiser="adam", lr=0.1, radius=0.5, seed=3)
    assert found.leader_return > 7
