"""Worlds with a deadline: against backward induction in loops, a product with time written out, FrozenLake, and played episodes."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from gymnasium.spaces import Box, Discrete

import solvers
import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.response import soft_response
from stackelberg_envs.commitments import softmax_policy
from stackelberg_envs.deadlines import WithDeadline
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.modified_game import ModifiedGame
from stackelberg_envs.piece_errors import piece_errors
from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.linear_systems import factorise, system
from stackelberg_envs.planning.policy_evaluation import policy_value
from stackelberg_envs.planning.policy_iteration import regret, soft_policy_iteration
from stackelberg_envs.play import rollouts
from stackelberg_envs.play.rollouts import simulate
from stackelberg_envs.processes.mdp import decision_problem, joint_policy
from stackelberg_envs.processes.staged import StagedTransition
from stackelberg_envs.processes.successors import Successors
from stackelberg_envs.testing import check_env, check_game
from stackelberg_envs.views.aec import StackelbergAEC

S, A, B, T = 4, 2, 3, 5
LAYOUTS = ("dense", "shared rows", "lists")


def random_world(seed: int, layout: str, sees: Any, *, discount: float = 0.9, masked: bool = False) -> se.InducedMDP:
    """Rows fall short of 1, some are sparse, and actions 0 and 2 move the world alike."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.ones(S), size=(S, A, 2)) * (rng.random((S, A, 2, S)) < 0.7)
    shared = se.SharedRows(rows, np.array([0, 1, 0]))
    available = None
    if masked:
        available = rng.random((S, A, B)) < 0.6
        available[..., 1] = True
    return se.InducedMDP(
        leader_policy=rng.dirichlet(np.ones(A), size=S),
        transition={"dense": shared.dense(), "shared rows": shared, "lists": se.SuccessorLists.of(shared)}[layout],
        follower_reward=rng.normal(size=(S, A, B)),
        leader_reward=rng.normal(size=(S, A, B)),
        initial=rng.dirichlet(np.ones(S)),
        follower_discount=discount,
        leader_discount=0.8,
        follower_sees=sees,
        available=available,
    )


def induction_by_loops(world: se.InducedMDP, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Values (T, S) and the policies (T, S, A, B) of a world without a deadline in its last T steps; ties do not occur."""
    transition, pi, reward = world.kernel.dense(), world.leader_policy, world.follower_reward
    there = np.ones((S, A, B), dtype=bool) if world.available is None else world.available
    values, policies, ahead = np.zeros((T, S)), np.zeros((T, S, A, B)), np.zeros(S)
    for t in reversed(range(T)):
        for s in range(S):
            q = np.array([[reward[s, a, b] + world.follower_discount * transition[s, a, b] @ ahead for b in range(B)] for a in range(A)])
            nodes = list(zip(q, there[s], pi[s], strict=True))
            if world.follower_sees == "policy":
                nodes = [(pi[s] @ q, there[s].all(axis=0), 1.0)] * A
            for a, (own, allowed, weight) in enumerate(nodes):
                own = np.where(allowed, own, -np.inf)
                if temperature > 0:
                    value = temperature * np.log(np.exp(own / temperature).sum())
                    policies[t, s, a] = np.exp((own - value) / temperature)
                else:
                    value, policies[t, s, a] = own.max(), own == own.max()
                if world.follower_sees == "action" or a == 0:
                    values[t, s] += weight * value
        ahead = values[t]
    return values, policies


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sees", ["action", "policy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_answers_are_those_of_backward_induction(layout: str, sees: str, masked: bool) -> None:
    for seed, discount in ((0, 0.9), (1, 1.0), (2, 0.0)):
        world = random_world(seed, layout, sees, discount=discount, masked=masked)
        staged = se.with_deadline(world, T)
        values, policies = induction_by_loops(world, 0.3)
        plan = soft_policy_iteration(staged, 0.3)
        np.testing.assert_allclose(plan.values.reshape(T, S), values, atol=1e-12)
        np.testing.assert_allclose(plan.policy.reshape(T, S, A, B), policies, atol=1e-12)
        assert plan.bound < 1e-12
        values, policies = induction_by_loops(world, 0.0)
        plan = hard_policy_iteration(decision_problem(staged, staged.follower_reward), discount)
        found, q = plan.values, plan.action_values
        np.testing.assert_allclose(found.reshape(T, S), values, atol=1e-12)
        q = np.broadcast_to(q, (T * S, A, B))
        np.testing.assert_array_equal(np.where(policies.reshape(-1, A, B) > 0, q, -np.inf).max(-1), q.max(-1))
        if not masked:
            answer = se.Hard().answer(staged, None)
            np.testing.assert_array_equal(answer.policy.reshape(T, S, A, B), policies)
            assert answer.values is not None
            assert float(np.abs(answer.values.reshape(T, S) - values).max()) < 1e-12


def test_far_deadlines_do_not_matter() -> None:
    """Both Bellman operators shrink differences by gamma, so T steps differ from endless ones by at most gamma^T max |V|."""
    world = random_world(3, "dense", "action")
    endless = soft_policy_iteration(world, 0.2).values
    for steps in (1, 10, 100):
        values = soft_policy_iteration(se.with_deadline(world, steps), 0.2).values[:S]
        assert np.abs(values - endless).max() <= 0.9**steps * np.abs(endless).max() + 1e-12


class Ferry(se.StackelbergGame):
    """The leader acts, moves the dynamics and pays; the product with time is the layout, or written out by hand."""

    name = "ferry"

    def __init__(self, sees: Any, *, written_out: bool, layout: str = "dense", discount: float = 0.9, masked: bool = False) -> None:
        self.leader_space = Box(-20.0, 20.0, (S * A + S * A * B + 2,), np.float64)
        self.default_follower, self.max_cycles = se.Soft(0.3), T
        self.world, self.written_out, self.layout_of = random_world(4, "dense", sees, discount=discount, masked=masked), written_out, layout

    def induced(self, x: Any, context: int) -> se.InducedMDP:
        xp = array_namespace(x)
        world = self.world.map(lambda table: xp.asarray(table, dtype=x.dtype))
        paid = xp.reshape(x[..., S * A : -2], (*x.shape[:-1], S, A, B))
        stays = 1 / (1 + xp.exp(-x[..., -2, None, None, None, None]))
        first = xp.exp(x[..., -1, None] * xp.arange(S, dtype=x.dtype))
        transition = world.transition * (0.5 + 0.5 * stays)
        world = replace(
            world,
            leader_policy=xp.exp(softmax_policy(x[..., : S * A], S, A)),
            transition=se.SuccessorLists.of(transition) if self.layout_of == "lists" else transition,
            follower_reward=world.follower_reward + paid,
            leader_reward=world.leader_reward - 0.1 * paid**2,
            initial=first / xp.sum(first, axis=-1, keepdims=True),
        )
        return write_out(world, T) if self.written_out else se.with_deadline(world, T)


def write_out(world: Any, steps: int) -> Any:
    """The product with time, made of zeros and copies."""
    xp = array_namespace(world.initial)
    zeros = xp.zeros_like(world.transition)
    blocks = [xp.concat([world.transition if u == t + 1 else zeros for u in range(steps)], axis=-1) for t in range(steps)]
    return replace(
        world,
        leader_policy=xp.concat([world.leader_policy] * steps, axis=-2),
        transition=xp.concat(blocks, axis=-4),
        follower_reward=xp.concat([world.follower_reward] * steps, axis=-3),
        leader_reward=xp.concat([world.leader_reward] * steps, axis=-3),
        available=None if world.available is None else xp.concat([world.available] * steps, axis=-3),
        initial=xp.concat([world.initial, *[xp.zeros_like(world.initial)] * (steps - 1)], axis=-1),
    )


def gradient(game: se.StackelbergGame, x: np.ndarray) -> np.ndarray:
    oracle = RepeatedGame(game).oracle(se.Access.MODEL)
    return exact_gradient(oracle, torch.tensor(x), None, reaction=True).gradient.numpy()


@pytest.mark.parametrize("layout", ["dense", "lists"])
@pytest.mark.parametrize("sees", ["action", "policy"])
def test_scores_and_gradients_are_those_of_the_product_written_out(sees: str, layout: str) -> None:
    game, product = Ferry(sees, written_out=False, layout=layout), Ferry(sees, written_out=True)
    rng = np.random.default_rng(0)
    x = 0.5 * rng.normal(size=(2, game.dimension))
    for follower in (se.Soft(0.3), se.Hard(), se.Hard("weak"), se.Quantal(0.5), se.Truncated(0.3, 3), se.MirrorDescent(0.3, 2)):
        for horizon in (None, 2):
            ours, theirs = (se.evaluate(g, x, follower=follower, horizon=horizon) for g in (game, product))
            for name in ("leader_return", "follower_returns", "follower_gap", "follower_values"):
                np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-10, err_msg=f"{follower} {name}")
    for i in range(2):
        np.testing.assert_allclose(se.evaluate(game, x[i]).leader_return, se.evaluate(game, x).leader_return[i], atol=1e-12)
    found, step = gradient(game, x[0]), 1e-5
    np.testing.assert_allclose(found, gradient(product, x[0]), atol=1e-10)
    directions = rng.normal(size=(4, game.dimension))
    sides = [se.evaluate(game, x[0] + sign * step * directions).leader_return for sign in (1, -1)]
    np.testing.assert_allclose(directions @ found, (sides[0] - sides[1]) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("sees", ["action", "policy"])
def test_gradients_with_masks(sees: str) -> None:
    game, product = (Ferry(sees, written_out=written_out, masked=True) for written_out in (False, True))
    rng = np.random.default_rng(1)
    x, directions, step = 0.5 * rng.normal(size=game.dimension), rng.normal(size=(4, game.dimension)), 1e-5
    found = gradient(game, x)
    np.testing.assert_allclose(found, gradient(product, x), atol=1e-10)
    sides = [se.evaluate(game, x + sign * step * directions).leader_return for sign in (1, -1)]
    np.testing.assert_allclose(directions @ found, (sides[0] - sides[1]) / (2 * step), atol=1e-6)
    (world,), (answer,) = game.problems(x), game.default_follower.respond(game, x).answers
    assert not answer.policy[~world.available].any()


@pytest.mark.parametrize("sees", ["action", "policy"])
def test_operations_are_those_of_the_product_written_out(sees: str) -> None:
    """Expectations, occupancies, chains, and derivatives by torch, with and without batch axes; the leader may change with time."""
    rng = np.random.default_rng(5)
    base = random_world(5, "lists", sees)
    world = replace(se.with_deadline(base, T), leader_policy=rng.dirichlet(np.ones(A), size=T * S))
    dense = replace(world, transition=write_out(random_world(5, "dense", sees), T).transition)
    np.testing.assert_array_equal(world.kernel.dense(), dense.transition)
    for node in ((0, 0, 0), (S + 1, 1, 2), (T * S - 1, 0, 1)):
        np.testing.assert_array_equal(world.kernel[node], dense.kernel[node])
    values, weights = rng.normal(size=(2, T * S)), rng.normal(size=(2, T * S, A, B))
    for one, other in ((world.kernel, dense.kernel), (world.kernel.join_actions(), dense.kernel.join_actions())):
        np.testing.assert_allclose(one.expect(values), other.expect(values), atol=1e-14)
        shaped = weights.reshape(2, *one.shape[:-1])
        np.testing.assert_allclose(one.push_forward(shaped), other.push_forward(shaped), atol=1e-14)
    np.testing.assert_allclose(world.kernel.average_actions().dense(), dense.kernel.average_actions().dense(), atol=1e-15)
    problems = [decision_problem(one, one.follower_reward).transition for one in (world, dense)]
    np.testing.assert_allclose(problems[0].dense(), problems[1].dense(), atol=1e-15)
    np.testing.assert_allclose(problems[0].expect(values), problems[1].expect(values), atol=1e-14)
    policy = soft_policy_iteration(world, 0.3).policy
    np.testing.assert_allclose(policy, soft_policy_iteration(dense, 0.3).policy, atol=1e-12)
    joint = np.stack([joint_policy(world, policy), joint_policy(world, np.full_like(policy, 1 / B))])
    chains = [one.kernel.markov_chain(joint) for one in (world, dense)]
    np.testing.assert_allclose(chains[0].dense(), chains[1].dense(), atol=1e-15)
    np.testing.assert_allclose(chains[0].expect(values), chains[1].expect(values), atol=1e-14)
    np.testing.assert_allclose(chains[0].push_forward(values), chains[1].push_forward(values), atol=1e-14)
    for discount in (0.9, 1.0):
        kept = [factorise(system(chain, discount)) for chain in chains]
        for solve in ("solve", "solve_transposed"):
            np.testing.assert_allclose(getattr(kept[0], solve)(world.initial), getattr(kept[1], solve)(dense.initial), atol=1e-12)

    def worth(world: Any, logits: torch.Tensor) -> torch.Tensor:
        world = world.map(torch.as_tensor)
        world = replace(
            world, leader_policy=torch.softmax(logits, -1), transition=world.kernel.map(lambda p: p * torch.sigmoid(logits[0, 0]))
        )
        values = policy_value(world, soft_policy_iteration(world, 0.3).policy, world.leader_reward, 0.8)
        return (world.initial * values).sum()

    logits = torch.tensor(rng.normal(size=(T * S, A)), requires_grad=True)
    gradients = [torch.autograd.grad(worth(one, logits), logits)[0] for one in (world, dense)]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-10, rtol=0)


def test_one_frozen_lake_in_twenty_steps() -> None:
    """The follower who knows of the deadline gains on the best stationary policy, which takes the long and safe way."""
    env, steps = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True), 20
    table: Any = env.unwrapped.P  # type: ignore[attr-defined]

    def backed_up(s: int, a: int, ahead: np.ndarray) -> float:
        return sum(p * (r + (0.0 if done else ahead[t])) for p, t, r, done in table[s][a])

    def best(ahead: np.ndarray) -> np.ndarray:
        return np.array([[backed_up(s, a, ahead) for a in range(4)] for s in range(16)])

    endless = np.zeros(16)
    for _ in range(3000):
        endless = best(0.999 * endless).max(-1)
    stationary = best(0.999 * endless).argmax(-1)
    in_time, in_vain = np.zeros(16), np.zeros(16)
    for _ in range(steps):
        in_time = best(in_time).max(-1)
        in_vain = np.array([backed_up(s, stationary[s], in_vain) for s in range(16)])
    game = se.with_deadline(se.from_gymnasium(env, 0.0, follower_discount=1.0, instrument=se.Subsidies()), steps)
    nothing = np.full(game.dimension, -800.0)
    score = se.evaluate(game, nothing, follower=se.Hard())
    assert float(score.follower_returns[0]) == pytest.approx(in_time[0], abs=1e-12)
    (world,) = game.problems(nothing)
    (answer,) = se.Hard().respond(game, nothing).answers
    np.testing.assert_allclose(answer.values[:16], in_time, atol=1e-12)
    kept = np.tile(np.eye(4)[stationary], (steps, 1))[:, None]
    values = policy_value(world, kept, world.follower_reward, 1.0)
    assert values[0] == pytest.approx(in_vain[0], abs=1e-12)
    assert in_time[0] > in_vain[0] + 0.003
    assert float(np.abs(answer.policy[:16] - answer.policy[-32:-16]).max()) == 1.0  # it changes its mind as time runs out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compiled", [False, True])
def test_played_episodes(layout: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean returns within four standard errors; the same noise plays the episodes of the product written out, and the views'."""
    if compiled and not rollouts.COMPILED:
        pytest.skip("numba is not installed")
    monkeypatch.setattr(rollouts, "COMPILED", compiled)
    world = se.with_deadline(random_world(6, layout, "action"), T)
    policy = soft_policy_iteration(world, 0.3).policy
    first = np.random.default_rng(0).choice(T * S, size=4000, p=world.initial)
    played = simulate(world, policy, first, np.random.default_rng(1), 100)
    written_out = replace(world, transition=world.kernel.dense())
    other = simulate(written_out, policy, first, np.random.default_rng(1), 100)
    for name in vars(played):
        np.testing.assert_array_equal(getattr(played, name), getattr(other, name))
    assert played.alive.shape[1] == T
    stages = np.where(played.alive, played.states[:, :-1] // S, np.arange(T))
    np.testing.assert_array_equal(stages, np.broadcast_to(np.arange(T), stages.shape))
    for rewards, table, discount in (
        (played.leader_rewards, world.leader_reward, 0.8),
        (played.follower_rewards, world.follower_reward, 0.9),
    ):
        returns = rewards @ discount ** np.arange(T)
        expected = world.initial @ policy_value(world, policy, table, discount)
        assert abs(returns.mean() - expected) < 4 * returns.std() / np.sqrt(len(returns))


@pytest.mark.parametrize(
    ("id", "arguments"),
    [
        ("random_markov_game-v0", {"states": 3}),
        ("toy3-v0", {"follower_sees": "action"}),
        ("tax_design-v0", {"preset": "legacy", "consumers": 2, "grid": 11, "hours": 2, "spendings": 2}),
        ("zero_sum_incentive-v0", {"states": 3, "actions": (2, 2)}),
    ],
    ids=str,
)
def test_games_with_a_deadline_conform(id: str, arguments: dict[str, Any]) -> None:
    game = WithDeadline(id, 3, **arguments)
    check_game(game)
    score = se.evaluate(game, np.zeros(game.commitment_shape))
    assert float(score.duality_gap) < 1e-8
    assert (bound := se.cooperative_value(game)) is None or float(score.leader_return) <= bound + 1e-9


def test_environments_with_a_deadline_conform() -> None:
    game = se.with_deadline(se.game("random_markov_game-v0", states=3), 4)
    assert game.max_cycles == 4
    assert game.spaces[0].state == Discrete(12)
    check_env(StackelbergAEC(game), kernel_steps=500)
    named = {"game": "random_markov_game-v0", "states": 3, "steps": 2}
    check_env(se.make("stackelberg_envs.deadlines:WithDeadline", **named, view="play", observations="index"), kernel_steps=500)


def test_memory_is_that_of_tables_and_one_transition() -> None:
    """1,000 states, 100 steps: what solving and scoring take at most is less than half of a transition for each stage."""
    s, b, k, steps = 1000, 2, 40, 100
    rng = np.random.default_rng(0)
    successors = Successors(np.sort(rng.integers(s, size=(s, 1, b, k)), axis=-1))
    world = se.InducedMDP(
        leader_policy=np.ones((s, 1)),
        transition=se.SuccessorLists(successors, rng.dirichlet(np.ones(k), size=(s, 1, b))),
        follower_reward=rng.normal(size=(s, 1, b)),
        leader_reward=rng.normal(size=(s, 1, b)),
        initial=np.full(s, 1 / s),
        follower_discount=1.0,
        leader_discount=1.0,
    )
    tracemalloc.start()
    staged = se.with_deadline(world, steps)
    plan = soft_policy_iteration(staged, 0.1)
    occupancy = plan.factorised.solve_transposed(staged.initial)
    returns = staged.initial @ policy_value(staged, plan.policy, staged.leader_reward, 1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.shares_memory(staged.kernel.numbers, world.transition.probabilities)
    assert peak < 0.5 * steps * world.transition.probabilities.nbytes
    paid = (plan.policy * staged.leader_reward).sum((-2, -1))
    assert occupancy @ paid == pytest.approx(float(returns), rel=1e-10)
    np.testing.assert_allclose(occupancy.reshape(steps, s).sum(-1), 1.0, atol=1e-12)


def test_followers_who_err_or_learn() -> None:
    game = Ferry("action", written_out=False, discount=0.8)
    x, soft = np.zeros(game.dimension), se.Soft(0.3)
    (world,) = game.problems(x)
    exact = soft.respond(game, x)

    def gap(response: se.Response) -> float:
        return float(se.evaluate(game, x, follower=soft, responses=(response,)).follower_gap)

    assert gap(exact) < 1e-12 < 1e-6 < gap(se.Truncated(0.3, 1).respond(game, x))
    np.testing.assert_allclose(se.Truncated(0.3, T).respond(game, x).policy, exact.policy, atol=1e-12)  # a sweep settles a stage
    improved = se.MirrorDescent(0.3, 2).respond(game, x)
    assert float(regret(world, improved.policy, 0.3).max()) <= improved.certificate < float("inf")
    for follower in (se.MirrorDescent(0.3, T), se.NaturalPolicyGradient(0.3, T)):
        np.testing.assert_allclose(follower.respond(game, x).policy, exact.policy, atol=1e-12)
    q = hard_policy_iteration(decision_problem(world, world.follower_reward), world.follower_discount).action_values
    quantal = np.exp((q - q.max(-1, keepdims=True)) / 0.2)
    answered = np.broadcast_to(quantal / quantal.sum(-1, keepdims=True), world.follower_reward.shape)
    np.testing.assert_allclose(se.Quantal(0.2).respond(game, x).policy, answered, atol=1e-12)
    best = se.evaluate(game, x, follower=se.Hard())
    worst = se.evaluate(game, x, follower=se.EpsilonOptimal(0.1))
    assert float(worst.leader_return) <= float(best.leader_return) + 1e-9
    assert float(worst.follower_gap) <= 0.1 + 1e-6
    certain = se.evaluate(game, x, follower=se.EpsilonOptimal(0.0, "cooperative"))
    assert float(certain.leader_return) == pytest.approx(float(best.leader_return), abs=1e-6)
    believed = Ferry("action", written_out=True, discount=0.5)
    np.testing.assert_array_equal(se.Believes(believed, soft).respond(game, x).policy, soft.respond(believed, x).policy)
    with pytest.raises(ValueError, match="spaces must agree"):  # who knows of no deadline has no such states
        se.Believes(se.game("toy3-v0"), soft).respond(WithDeadline("toy3-v0", 3), np.zeros(6))
    for samples, budget in (("uniform", 40_000), ("stream", 40_000)):
        learner = se.SoftQLearning(0.3, steps=100, samples=samples, rate=0.1)  # type: ignore[arg-type]
        early, late = (learner.respond(game, x, budget=steps).certificate for steps in (100, budget))
        assert late < 0.1
        assert late < 0.2 * early


def test_learners_learn_alike_compiled_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    if not rollouts.COMPILED:
        pytest.skip("numba is not installed")
    game = WithDeadline("toy3-v0", 3)
    tables = []
    for compiled in (True, False):
        monkeypatch.setattr(rollouts, "COMPILED", compiled)
        tables.append(se.SoftQLearning(0.3, steps=500).respond(game, np.zeros(game.dimension)).state[0].table)
    np.testing.assert_array_equal(*tables)


def test_solvers_go_on_as_before() -> None:
    game = WithDeadline("random_markov_game-v0", 4, states=3)
    before = float(se.evaluate(game, np.zeros(game.dimension)).leader_return)
    for solver, own in (("implicit", {}), ("bchg", {"episodes": 50})):
        arguments: dict[str, Any] = {"lr": 0.2, **own}
        found = solvers.solve(game, solver, budget=15, **arguments)
        assert float(se.evaluate(game, found.x).leader_return) > before, solver
    mdp: Any = game.commit(torch.zeros(game.dimension, dtype=torch.float64))
    plans = [soft_response(mdp, 0.3, inner=inner) for inner in ("newton", "sweeps")]
    torch.testing.assert_close(plans[0].values, plans[1].values)


def test_where_states_are_drawn_and_what_is_pickled() -> None:
    base = se.game("four_rooms-v0")
    game = pickle.loads(pickle.dumps(se.with_deadline(base, 3)))
    x = np.linspace(0, 1, game.dimension)
    size = base.sizes[0][0]
    assert game.layout.place(0, 2 * size + 7) == base.layout.place(0, 7)  # type: ignore[union-attr]
    np.testing.assert_array_equal(game.shading(x), np.tile(base.shading(x), 3))
    np.testing.assert_array_equal(game.incentive(x), np.tile(base.incentive(x), (3, 1, 1)))
    env = StackelbergAEC(game, render_mode="ansi")
    env.reset(seed=0)
    env.step(x)
    assert "0" in str(env.render())


class Late(ModifiedGame):
    """A deadline in the worlds alone, which the other pieces know nothing of."""

    def modify(self, process: Any) -> Any:
        return se.with_deadline(process, 3)


def test_pieces_without_the_deadline_are_told_how_to_have_it() -> None:
    (said, *_) = piece_errors(Late(se.game("four_rooms-v0")))
    assert "does not broadcast to (312, 1, 4)" in said
    assert said.endswith("leave it out there, and set it for the whole game: se.with_deadline(game, 3)")


def test_what_can_have_no_deadline() -> None:
    world = random_world(0, "dense", "action")
    for steps in (0, 1.5, True):
        with pytest.raises(ValueError, match="whole number"):
            se.with_deadline(world, steps)
        with pytest.raises(ValueError, match="whole number"):
            WithDeadline("toy3-v0", steps)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="deadline already, after 3"):
        se.with_deadline(se.with_deadline(world, 3), 2)
    with pytest.raises(ValueError, match="deadline already"):
        StagedTransition(StagedTransition(world.kernel, 2), 2)
    with pytest.raises(ValueError, match="no tables"):
        WithDeadline("lq_gain-v0", 3)
    with pytest.raises(ValueError, match="no sum over steps"):
        WithDeadline("preference-v0", 3, objective="likelihood")
    with pytest.raises(TypeError, match="world with tables"):
        se.with_deadline(np.eye(3), 3)
    with pytest.raises(TypeError, match="built already"):
        WithDeadline(se.game("toy3-v0"), 3, variant="A")
