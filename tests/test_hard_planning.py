"""Best responses without entropy: long roads, ties, forbidden actions, discount 1, and certificates that hold."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

import stackelberg_envs as se
from stackelberg_envs.planning.hard_policy_iteration import HardPlan, hard_policy_iteration
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.processes.mdp import decision_problem

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


class World(se.StackelbergGame):
    """A follower's transition (S, B, S) and reward (S, B); the leader is paid ``leader`` (S, B), and sets nothing."""

    name, max_cycles, leader_space, default_follower = "world", 50, Box(-1.0, 1.0, (1,), np.float64), se.Hard()

    def __init__(self, transition: Any, reward: np.ndarray, discount: float, leader: np.ndarray | None = None, start: int = 0) -> None:
        self.tables = transition, reward, np.zeros_like(reward) if leader is None else leader
        self.discount, self.start = discount, start

    def induced(self, x: Any, context: int) -> se.InducedMDP:
        transition, reward, leader = self.tables
        kernel = transition if isinstance(transition, se.SuccessorLists) else transition[:, None]
        begin = np.eye(len(reward))[self.start]
        return se.InducedMDP(np.ones((len(reward), 1)), kernel, reward[:, None], leader[:, None], begin, self.discount, self.discount)

    def answer(self, follower: se.Follower | None = None) -> Any:
        return se.evaluate(self, np.zeros(1), follower=follower or se.Hard())


def plan(world: World) -> HardPlan:
    mdp: Any = world.commit(np.zeros(1))
    return hard_policy_iteration(decision_problem(mdp, mdp.follower_reward), world.discount)


def corridor(n: int) -> np.ndarray:
    """Left or right; right from the last cell ends the episode."""
    transition, s = np.zeros((n, 2, n)), np.arange(n)
    transition[s, 0, np.maximum(s - 1, 0)] = 1
    transition[s[:-1], 1, s[1:]] = 1
    return transition


def grid(n: int, *, icy: bool = False) -> np.ndarray:
    """A square of n x n cells, its last corner the end; on ice one slips to either side as often as one moves."""
    row, col = np.divmod(np.arange(n * n), n)
    transition = np.zeros((n * n, 4, n * n))
    for b in range(4):
        for down, right in (MOVES[b],) if not icy else (MOVES[b], MOVES[b - 1], MOVES[(b + 1) % 4]):
            ahead = np.clip(row + down, 0, n - 1) * n + np.clip(col + right, 0, n - 1)
            np.add.at(transition, (np.arange(n * n), b, ahead), 1 / 3 if icy else 1.0)
    transition[-1] = 0
    return transition


def frozen_lake() -> tuple[np.ndarray, np.ndarray]:
    lake: Any = gymnasium.make("FrozenLake-v1").unwrapped
    transition, reward = np.zeros((16, 4, 16)), np.zeros((16, 4))
    for s, row in lake.P.items():
        for a, ways in row.items():
            for p, t, r, done in ways:
                reward[s, a] += p * r
                transition[s, a, t] += 0 if done else p
    return transition, reward


@pytest.mark.parametrize(("cells", "discount"), [(99, 0.99), (300, 0.99), (300, 1.0), (1000, 0.999)])
def test_a_long_corridor(cells: int, discount: float) -> None:
    """-1 a step, n steps to the end: -(1 - gamma^n) / (1 - gamma), found in fewer evaluations than there are cells in a layer."""
    world = World(se.SuccessorLists.of(corridor(cells)[:, None]), -np.ones((cells, 2)), discount)
    value = -cells if discount == 1 else -(1 - discount**cells) / (1 - discount)
    answer = world.answer()
    assert answer.follower_values[0, 0] == pytest.approx(value, rel=1e-9)
    assert answer.follower_gap <= answer.responses[0].certificate <= 1e-6
    assert answer.responses[0].answers[0].evaluations < 20


def test_a_large_grid() -> None:
    """60 x 60 cells, -1 a step: the way from corner to corner takes 119 steps."""
    lists = se.SuccessorLists.of(grid(60)[:, None])
    found = plan(World(lists, -np.ones((3600, 4)), 0.99))
    assert found.values[0] == pytest.approx(-(1 - 0.99**119) / 0.01, rel=1e-10)
    assert abs(found.values[0] + (1 - 0.99**119) / 0.01) <= found.bound


def test_a_forbidden_action_blurs_no_others() -> None:
    """Rewards 1, 0.5 and -1e9, or no third action at all: the follower takes the 1, however the leader would have it."""
    end, leader = np.zeros((1, 3, 1)), np.array([[0.0, 1, 0]])
    for penalty in (-1e9, -np.inf):
        for ties in ("strong", "weak", "uniform"):
            answer = World(end, np.array([[1, 0.5, penalty]]), 0.9, leader).answer(se.Hard(ties))  # type: ignore[arg-type]
            assert (float(answer.follower_values[0, 0]), float(answer.leader_return), float(answer.follower_gap)) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("ties", ["strong", "weak", "uniform"])
@pytest.mark.parametrize("paid", [-1.0, 0.0, 1.0])
def test_ties_at_discount_1_end(ties: Any, paid: float) -> None:
    """Two cells, 1 for the way out: going left is as good, for one step; the leader would have it done for ever, and is refused that.

    Where the leader is paid for each step there is no strongest answer; for each it is paid 1, for each that it costs it pays twice.
    """
    reward, leader = np.array([[0.0, 0], [0, 1]]), np.full((2, 2), paid)
    world = World(corridor(2), reward, 1.0, leader)
    if (ties, paid) in (("strong", 1.0), ("weak", -1.0)):
        with pytest.raises(PlanningError, match="loops pay for ever"):
            world.answer(se.Hard(ties))
        return
    answer = world.answer(se.Hard(ties))
    assert float(answer.follower_values[0, 0]) == pytest.approx(1, abs=1e-9)
    assert answer.follower_gap == pytest.approx(0, abs=1e-9)
    steps = 2 if ties != "uniform" else 6  # a walk from a wall, evenly left and right, leaves two cells after 2 x 3 steps
    assert float(answer.leader_return) == pytest.approx(paid * steps)


@pytest.mark.parametrize("ties", ["strong", "weak", "uniform"])
def test_frozen_lake_undiscounted(ties: Any) -> None:
    """The best chance to cross the slippery 4 x 4 lake is 14/17."""
    answer = World(*frozen_lake(), 1.0).answer(se.Hard(ties))
    assert float(answer.follower_values[0, 0]) == pytest.approx(14 / 17, abs=1e-9)
    assert answer.follower_gap <= answer.responses[0].certificate < 1e-6


@pytest.mark.parametrize("cost", [0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])
def test_soft_at_discount_1_on_ice(cost: float) -> None:
    """An icy 5 x 5 grid at temperature 0.1, by value iteration; the answer says what accuracy was reached."""
    transition, reward = grid(5, icy=True), np.full((25, 4), -cost)
    answer = World(transition, reward, 1.0).answer(se.Soft(0.1))
    v, before = np.zeros(25), np.full(25, np.inf)
    while np.abs(v - before).max() > 1e-12:
        v, before = 0.1 * logsumexp((reward + transition @ v) / 0.1, axis=1), v
    assert float(answer.follower_values[0, 0]) == pytest.approx(v[0], abs=1e-8)
    assert abs(float(answer.follower_values[0, 0]) - v[0]) <= answer.responses[0].certificate + 1e-9 < 1e-7


@pytest.mark.parametrize("follower", [se.Hard(), se.Soft(0.1), se.Quantal(0.1)], ids=repr)
def test_states_that_are_never_reached_need_not_end(follower: se.Follower) -> None:
    """At discount 1 a state that only leads to itself does not concern who starts elsewhere; who may come there is told its name."""
    transition = np.zeros((3, 2, 3))
    transition[0, 0, 1] = transition[1, 1, 0] = 1
    transition[2, :, 2] = 1
    reward = np.full((3, 2), -1.0)
    alone = World(transition[:2, :, :2], reward[:2], 1.0).answer(follower)
    beside = World(transition, reward, 1.0).answer(follower)
    np.testing.assert_allclose(beside.follower_values, alone.follower_values, atol=1e-12)
    for start, leak in ((2, 0.0), (0, 0.1)):
        led = transition.copy()
        led[1, 1, 2] = leak
        led[1, 1, 0] -= leak
        with pytest.raises(PlanningError, match="state 2 never leads to the end"):
            World(led, reward, 1.0, start=start).answer(follower)


def test_near_ties_are_certified() -> None:
    """Rewards 1 and 1 - 9e-7 for ever, at discount 0.999: a tie for the leader's sake costs 9e-4, and the certificate says so."""
    answer = World(np.ones((1, 2, 1)), np.array([[1, 1 - 9e-7]]), 0.999, np.array([[0.0, 1]])).answer()
    assert answer.follower_gap <= answer.responses[0].certificate <= 1.01e-3


def best_values(transition: np.ndarray, reward: np.ndarray, available: np.ndarray, discount: float) -> np.ndarray:
    """Value iteration, action by action, with loops."""
    v = np.zeros(len(reward))
    for _ in range(100_000):
        new = np.array(
            [max(reward[s, b] + discount * transition[s, b] @ v for b in range(reward.shape[1]) if available[s, b]) for s in range(len(v))]
        )
        if np.abs(new - v).max() < 1e-11 * (1 - discount if discount < 1 else 0.1):
            return new
        v = new
    raise AssertionError("value iteration did not converge")


@st.composite
def worlds(draw: Any) -> tuple[World, np.ndarray]:
    """Random worlds with ties (rewards of few values), forbidden actions, sparse rows, and ends; and which actions there are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    s, b = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    discount = draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    transition = rng.dirichlet(np.ones(s), size=(s, b)) * (rng.random((s, b, s)) < 0.7)
    transition = np.divide(transition, transition.sum(-1, keepdims=True), out=np.zeros((s, b, s)), where=transition > 0)
    transition *= rng.choice([0.5, 1.0] if discount < 1 else [0.5, 0.8], size=(s, b, 1))
    reward, leader = rng.integers(-2, 3, size=(2, s, b)).astype(float)
    available = rng.random((s, b)) < 0.7
    available[np.arange(s), rng.integers(b, size=s)] = True
    kernel = se.SuccessorLists.of(transition[:, None]) if draw(st.booleans()) else transition
    return World(kernel, np.where(available, reward, -np.inf), discount, leader), available


@given(worlds())
@settings(deadline=None, max_examples=60)
def test_values_of_random_worlds(drawn: tuple[World, np.ndarray]) -> None:
    """An independent value iteration agrees to 1e-8, for each rule of ties; unavailable actions are never played."""
    world, available = drawn
    mdp: Any = world.commit(np.zeros(1))
    transition, reward = mdp.kernel.dense()[:, 0], mdp.follower_reward[:, 0]
    values = best_values(transition, reward, available, world.discount)
    found = plan(world)
    np.testing.assert_allclose(found.values, values, atol=1e-8)
    for ties in ("strong", "weak", "uniform"):
        answer = world.answer(se.Hard(ties))  # type: ignore[arg-type]
        assert (answer.responses[0].policy[:, 0][~available] == 0).all()
        assert float(answer.follower_values[0, 0]) == pytest.approx(values[0], abs=1e-7)


FOLLOWERS = [
    se.Soft(0.3),
    se.Hard(),
    se.Hard("weak"),
    se.Hard("uniform"),
    se.Quantal(0.3),
    se.Truncated(0.3, 2),
    se.MirrorDescent(0.3, 2, rate=1.0),
    se.SoftInside(0.3),
    se.NaturalPolicyGradient(0.3, 3),
    se.EpsilonOptimal(0.1),
]


@given(worlds(), st.sampled_from(FOLLOWERS), st.sampled_from([0.0, 1e-7]))
@settings(deadline=None, max_examples=80)
def test_a_certificate_bounds_the_gap(drawn: tuple[World, np.ndarray], follower: Any, blur: float) -> None:
    """Of every follower that plans, in worlds with ties and near ties: it loses no more than it says."""
    world, _ = drawn
    transition, reward, leader = world.tables
    near = World(transition, reward + blur * np.arange(reward.shape[1]), world.discount, leader)
    answer = near.answer(follower)
    assert answer.follower_gap <= answer.responses[0].certificate * (1 + 1e-9)
