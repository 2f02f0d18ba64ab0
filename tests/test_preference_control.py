"""Reward learning from preferences: the losses against finite differences and enumeration, the teacher against its law, runs end to end."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines import preference_control, store
from solvers.preferences import follower as following
from solvers.preferences.methods import METHODS, Settings, _Run, learn
from solvers.preferences.reward import RewardNet, bradley_terry, fit, penalty, reaction
from solvers.preferences.teacher import Memory, Pairs, Rollout, Teacher

TINY = Settings(steps=1600, episodes=2, warm_up=1, segment=10, first_pairs=12, pairs=4, memory=14, first_epochs=3, epochs=2, batch=5)


def pairs_of(rng: np.random.Generator, count: int, length: int = 4, inputs: int = 3) -> Pairs:
    cut = rng.normal(size=(count, 2, length, inputs))
    return Pairs(cut, cut[..., :-1], rng.integers(2, size=count).astype(float))


def slope(net: RewardNet, loss: torch.Tensor, direction: list[torch.Tensor]) -> float:
    gradient = torch.autograd.grad(loss, list(net.parameters()))
    return float(sum((g * d).sum() for g, d in zip(gradient, direction, strict=True)))


def moved(net: RewardNet, direction: list[torch.Tensor], by: float) -> RewardNet:
    twin = RewardNet(3, (5,)).double()
    with torch.no_grad():
        for mine, theirs, d in zip(twin.parameters(), net.parameters(), direction, strict=True):
            mine.copy_(theirs + by * d)
    return twin


def net_and_direction() -> tuple[RewardNet, list[torch.Tensor]]:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        net = RewardNet(3, (5,)).double()
        return net, [torch.randn_like(p) for p in net.parameters()]


def test_the_loss_is_the_likelihood_and_its_gradient_a_finite_difference() -> None:
    pairs = pairs_of(np.random.default_rng(0), 7)
    inputs, first = torch.tensor(pairs.inputs), torch.tensor(pairs.first)
    net, direction = net_and_direction()
    returns = net(inputs).sum(-1).detach().numpy()
    probability = 1 / (1 + np.exp(returns[:, 1] - returns[:, 0]))
    wanted = -np.log(np.where(pairs.first == 1, probability, 1 - probability))
    np.testing.assert_allclose(bradley_terry(net, inputs, first).detach(), wanted, atol=1e-12)
    ends = [float(bradley_terry(moved(net, direction, by), inputs, first).mean().detach()) for by in (1e-5, -1e-5)]
    assert slope(net, bradley_terry(net, inputs, first).mean(), direction) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


def test_labels_come_as_often_as_bradley_and_terry_say() -> None:
    """Two segments, returns 3 and 1 (20 and 4 steps' worth apart in nothing else): the frequency is within four standard errors."""
    teacher, rng = Teacher(length=2, temperature=4.0), np.random.default_rng(0)
    rollout = Rollout(np.zeros((2, 2, 1)), np.zeros((2, 2, 1)), np.array([[1.0, 0.5], [2.0, 0.5]]))
    pairs, places = teacher.ask(rollout, 40_000, rng)
    better_first = (places.episodes == [0, 1]).all(axis=1)
    frequency, wanted = pairs.first[better_first].mean(), 1 / (1 + np.exp(-2 / 4))
    assert frequency == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / better_first.sum()))
    same = places.episodes[:, 0] == places.episodes[:, 1]
    assert pairs.first[same].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(same.sum()))


def test_segments_are_where_they_say_and_memory_forgets_the_oldest() -> None:
    rng = np.random.default_rng(0)
    rollout = Rollout(rng.normal(size=(9, 3, 2)), rng.normal(size=(9, 3, 1)), rng.normal(size=(9, 3)))
    memory = Memory(5)
    pairs, places = Teacher(3, 1.0).ask(rollout, 4, rng)
    start, episode = places.starts[2, 1], places.episodes[2, 1]
    np.testing.assert_array_equal(pairs.inputs[2, 1], rollout.inputs[start : start + 3, episode])
    with pytest.raises(ValueError, match="ask the teacher first"):
        memory.all  # noqa: B018
    memory.add(pairs)
    memory.add(Teacher(3, 1.0).ask(rollout, 3, rng)[0])
    assert len(memory.all.first) == 5
    np.testing.assert_array_equal(memory.all.inputs[:2], pairs.inputs[2:])
    with pytest.raises(ValueError, match="segments of 10 steps do not fit into episodes of 9"):
        Teacher(10, 1.0).ask(rollout, 1, rng)


def test_a_linear_reward_is_recovered() -> None:
    """On fresh inputs the fitted reward orders as w does, and its slope is w's over the teacher's temperature."""
    rng, w = np.random.default_rng(0), np.array([2.0, -1.0, 0.5])
    play = rng.normal(size=(60, 40, 3))
    pairs, _ = Teacher(length=4, temperature=2.0).ask(Rollout(play, play, play @ w), 3000, rng)
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        net = RewardNet(3, ())
        loss = fit(net, torch.optim.Adam(net.parameters(), lr=0.03), pairs, epochs=20, batch=64)
    fresh = rng.normal(size=(500, 3))
    assert np.corrcoef(net.pay(fresh), fresh @ w)[0, 1] > 0.99
    slopes = net.pay(np.eye(3)) - net.pay(np.zeros((3, 3)))
    np.testing.assert_allclose(slopes, w / 2, atol=0.15)
    assert loss < np.log(2)


CHAIN = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [0.1, 0.9]]])
"""P(s'|s, a) of two states and two actions, begun in state 0, three steps."""


def visits(policy: np.ndarray) -> np.ndarray:
    """Share of the three steps spent in each (s, a), by enumerating all episodes."""
    share = np.zeros((2, 2))
    for states in itertools.product(range(2), repeat=3):
        for actions in itertools.product(range(2), repeat=3):
            p = float(states[0] == 0)
            for t in range(3):
                p *= policy[states[t], actions[t]] * (CHAIN[states[t], actions[t], states[t + 1]] if t < 2 else 1)
            for s, a in zip(states, actions, strict=True):
                share[s, a] += p / 3
    return share


def played(policy: np.ndarray, episodes: int, rng: np.random.Generator) -> np.ndarray:
    """The chain's episodes as one-hot inputs (T, N, 4)."""
    s, seen = np.zeros(episodes, dtype=int), []
    for _ in range(3):
        a = (rng.random(episodes) < policy[s, 1]).astype(int)
        seen.append(np.eye(4)[2 * s + a])
        s = (rng.random(episodes) < CHAIN[s, a, 1]).astype(int)
    return np.stack(seen)


def test_the_penalty_gradient_is_that_of_the_value_gap() -> None:
    """A table of rewards on a chain: lambda (V^hat - V^y) has the gradient lambda (visits of hat - visits of y); sampled within 4 s.e."""
    rng, net = np.random.default_rng(0), RewardNet(4, ()).double()
    hat, copy = np.array([[0.1, 0.9], [0.3, 0.7]]), np.array([[0.6, 0.4], [0.8, 0.2]])
    exact = 5.0 * (visits(hat) - visits(copy)).ravel()
    n = 20_000
    term = penalty(played(hat, n, rng), played(copy, n, rng), 5.0)
    net = net.float()
    (sampled,) = torch.autograd.grad(term(net, torch.arange(1), torch.zeros(1)), [net.layers[0].weight])
    np.testing.assert_allclose(sampled.numpy().ravel(), exact, atol=4 * 5.0 * np.sqrt(0.5 / n))
    assert np.abs(exact).max() > 1


def test_what_the_copy_is_paid_for_its_share_of_f_has_the_right_gradient() -> None:
    """Sum over episodes of (score of the episode) x (sum of the payment), averaged: -M dE[ell]/dtheta / (lambda steps of an episode).

    One pair a play of two one-step episodes with actions a ~ Bernoulli(p), ell = table[a0, a1]: everything can be enumerated.
    """
    run = object.__new__(_Run)
    run.settings = dataclasses.replace(TINY, segment=1, penalty=2.0)
    table, p, total, mean = np.array([[0.3, 1.1], [0.8, 0.2]]), 0.3, 0.0, 0.0
    net = RewardNet(2, ())
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.tensor([[0.0, 1.0]]))
    run.net = net
    rollout = Rollout(np.zeros((1, 2, 2)), np.zeros((1, 2, 1)), np.zeros((1, 2)))
    for a in itertools.product(range(2), repeat=2):
        weight = float(np.prod([p if one else 1 - p for one in a]))
        # ell of a pair is softplus(-difference) for a first preferred; two pairs, of which the second is the constant ell of equals
        gap = -np.log(np.expm1(table[a]))
        inputs = np.zeros((2, 2, 1, 2), dtype=np.float32)
        inputs[0, 0, 0, 1] = gap
        pairs = Pairs(inputs, inputs, np.ones(2, dtype=np.float32))
        places = following_places(np.zeros((2, 2), dtype=int), np.array([[0, 1], [0, 1]]))
        paid = run.share(pairs, places, rollout)
        score = sum((one - p) / (p * (1 - p)) for one in a)
        total += weight * score * float(paid[0].sum()) / 2  # the payments cancel between the pairs but for ...
        mean += weight * score * table[a]
    # payments: both segments of pair 1 get -(2/2)(ell - mean)/2, those of pair 2 the opposite: each episode nets zero
    assert total == pytest.approx(0, abs=1e-6)
    assert abs(mean) > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_repeats_bit_for_bit(method: str) -> None:
    """Whatever the global generators are in, which are left as they were; another seed is another run."""
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = learn(method, TINY, 0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert learn(method, TINY, 0) == first
    assert learn(method, TINY, 1)["true_return"] != first["true_return"]
    last = first["history"][-1]
    assert last["steps"] == TINY.steps - 400 * ((TINY.steps // 400 - 1) % 2)
    assert last["labels"] == (0 if method == "ceiling" else 12 + 4 * 1)
    assert -2000 < first["true_return"] < 0
