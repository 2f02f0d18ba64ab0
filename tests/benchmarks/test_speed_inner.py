"""Ratios for inner solves and the exact gradient behind them, against other ways and other libraries; run by ``make speed``.

Peers are written or configured as fairly as we know how; accuracy is asserted before anything is timed.  QuantEcon and JAX are optional.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.amd import AMD
from benchmarks.peers import eager_sweeps, jax_sweeps, pinned, quantecon_problem
from benchmarks.timing import ratio
from benchmarks.value_iteration import Forward, gradient_at, planned, sup_norm
from benchmarks.worlds import DISCOUNT, TEMPERATURE, World, garnet, grid

import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.kernels.sweeps import CHUNK, chunk, stack_problems
from solvers.linear import factors
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.hard_policy_iteration import hard_policy_iteration
from stackelberg_envs.planning.policy_iteration import Plan, soft_policy_iteration
from stackelberg_envs.planning.value_iteration import soft_value_iteration
from stackelberg_envs.processes.mdp import DecisionProblem, decision_problem
from stackelberg_envs.processes.successor_lists import SuccessorLists
from stackelberg_envs.worlds.mdp import InducedMDP

pytestmark = pytest.mark.speed
TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    with pinned():
        yield


def interleaved(runs: dict[str, Callable[[], object]], *, rounds: int = 5, repeat: dict[str, int] | None = None) -> dict[str, list[float]]:
    """Seconds of each, round by round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            count = (repeat or {}).get(name, 1)
            began = time.process_time()
            for _ in range(count):
                run()
            times[name].append((time.process_time() - began) / count)
    return times


def against(slow: list[float], fast: list[float]) -> float:
    """The median of paired ratios."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def shown(times: list[float], unit: float = 1e3) -> str:
    """The median with its spread."""
    return f"{unit * statistics.median(times):.3g} [{unit * min(times):.3g}, {unit * max(times):.3g}]"


def test_exact_outer_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    """Four Rooms at (.003, 3), both contexts, in torch: implicit differentiation against AMD, and value iteration with its Jacobians."""
    game = se.game("four_rooms-v0", preset="hpgd")
    oracle = RepeatedGame(game, se.Soft(0.003)).oracle(Access.MODEL)
    amd, forward = AMD(game, 0.003), Forward(game, 0.003)
    x = torch.tensor(0.01 * np.random.default_rng(0).normal(size=game.dimension))
    found = exact_gradient(oracle, x.clone(), None, reaction=True)
    exact, memory = found.gradient, found.memory
    assert torch.linalg.vector_norm(amd.gradient(x, sweeps=2000) - exact) < 1e-8  # the same gradient, once AMD has converged
    sweeps = next(n for n in range(100, 3000, 50) if torch.linalg.vector_norm(forward.gradient(x, n) - exact) < 1e-8)
    near = x + 0.01 * exact / torch.linalg.vector_norm(exact)
    runs = {
        "AMD": lambda: amd.gradient(x),
        "forward": lambda: forward.gradient(x, sweeps),
        "cold": lambda: exact_gradient(oracle, x.clone(), None, reaction=True),
        "warm": lambda: exact_gradient(oracle, near.clone(), memory, reaction=True),
    }
    times = interleaved(runs, rounds=9, repeat={"cold": 5, "warm": 5})
    cold, warm = (against(times["AMD"], times[how]) for how in ("cold", "warm"))
    slower = [against(times["forward"], times[how]) for how in ("cold", "warm")]
    with capsys.disabled():
        print(f"\nexact outer iteration, ms: AMD, 100 sweeps {shown(times['AMD'])}, VI with Jacobians, {sweeps} sweeps ", end="")
        print(f"{shown(times['forward'])}; ours cold {shown(times['cold'])} ({cold:.0f} x, {slower[0]:.0f} x), ", end="")
        print(f"warm {shown(times['warm'])} ({warm:.0f} x, {slower[1]:.0f} x)")
    assert cold >= 20
    assert warm >= 25, "50 is the goal; 33 to 45 is what this comparison has shown (docs/explanation/large-worlds.md)"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_sweeps_of_a_batch(dtype: torch.dtype, capsys: pytest.CaptureFixture[str]) -> None:
    """1,024 x Four Rooms that differ in rewards: compiled sweeps of (S, M) against eager ones of (M, S), and against JAX in our layout."""
    pytest.importorskip("jax", reason="JAX is not installed")
    game, discount, temperature = se.game("four_rooms-v0", preset="hpgd"), 0.99, 0.003
    x = torch.tensor(np.random.default_rng(0).normal(size=(1024, game.dimension)))
    mdp = game.problems(x, 0)[0]
    lists = SuccessorLists.of(mdp.transition)
    tables = stack_problems(DecisionProblem(mdp.leader_policy, mdp.follower_reward, lists), None, dtype)
    step = chunk(*tables.probability.shape[1:4], *tables.next_states.shape[:2])
    r, w = tables.reward.permute(1, 2, 3, 0).contiguous(), tables.weight.permute(1, 2, 0).contiguous()
    p, at = discount * tables.probability.permute(1, 2, 3, 4, 0).contiguous(), tables.next_states.long()
    v, tau = tables.values.mT.contiguous(), torch.tensor(temperature, dtype=dtype)
    eager = eager_sweeps(tables, discount, temperature, CHUNK)
    peers = {f"JAX, {n} a turn": jax_sweeps(tables, discount, temperature, CHUNK, unrolled=n) for n in (1, CHUNK)}
    swept = step(v, r, at, p, w, tau)[0].mT
    close = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 1e-12}
    torch.testing.assert_close(swept, eager(), **close)
    for peer in peers.values():
        torch.testing.assert_close(swept, torch.tensor(np.asarray(peer())).mT, **close)
    runs: dict[str, Callable[[], object]] = {"eager": eager, "ours": lambda: step(v, r, at, p, w, tau), **peers}
    times = interleaved(runs, rounds=9, repeat=dict.fromkeys(("ours", *peers), 10))
    jax = min(peers, key=lambda peer: statistics.median(times[peer]))
    gained, of_jax = against(times["eager"], times["ours"]), against(times[jax], times["ours"])
    with capsys.disabled():
        print(f"\nsweep of 1,024 x Four Rooms, {dtype}, us: eager {shown(times['eager'], 1e6 / CHUNK)}, ours ", end="")
        print(f"{shown(times['ours'], 1e6 / CHUNK)} ({gained:.1f} x), {jax} {shown(times[jax], 1e6 / CHUNK)} ({of_jax:.2f} of its speed)")
    assert gained >= 8
    assert of_jax >= (0.75 if dtype == torch.float64 else 0.5), "the goal is .75 for both; what is missing in float32 are XLA's exp and log"


def newton(frozen: InducedMDP) -> Plan:
    return soft_policy_iteration(frozen, TEMPERATURE, factorise=factors, tolerance=TOLERANCE / TEMPERATURE)


def by_span(frozen: InducedMDP) -> Plan:
    swept = soft_value_iteration(decision_problem(frozen, frozen.follower_reward), DISCOUNT, TEMPERATURE, tolerance=TOLERANCE)
    return planned(frozen, swept.values, TEMPERATURE, swept.sweeps)


def by_largest(frozen: InducedMDP) -> Plan:
    values, sweeps = sup_norm(decision_problem(frozen, frozen.follower_reward), DISCOUNT, TEMPERATURE, TOLERANCE)
    return planned(frozen, values, TEMPERATURE, sweeps)


@pytest.mark.parametrize("make", [lambda: garnet(10_000), lambda: grid(100)], ids=["garnet", "grid"])
def test_ten_thousand_states(make: Callable[[], World], capsys: pytest.CaptureFixture[str]) -> None:
    """Values to 1e-6 and dF/dx in 10,000 components, by Newton steps and sweeps as it decides, and by sweeps with either stop."""
    world = make()
    x = torch.tensor(np.random.default_rng(0).normal(size=world.states))
    solved: dict[str, float] = {}

    def whole(name: str, solve: Callable[[InducedMDP], Plan]) -> tuple[Plan, torch.Tensor]:
        leaf = x.clone().requires_grad_()
        mdp = world.induced(leaf)
        frozen = mdp.map(torch.Tensor.detach)
        began = time.process_time()
        plan = solve(frozen)
        solved[name] = time.process_time() - began
        return plan, gradient_at(mdp, frozen, plan, TEMPERATURE, leaf)

    solvers = {"ours": newton, "span": by_span, "sup norm": by_largest}
    found = {name: whole(name, solve) for name, solve in solvers.items()}
    exact = soft_policy_iteration(world.induced(x), TEMPERATURE, factorise=factors, tolerance=1e-10 / TEMPERATURE)
    for plan, slope in found.values():
        assert (plan.values - exact.values).abs().max() < 1.1 * TOLERANCE
        assert torch.linalg.vector_norm(slope - found["ours"][1]) < 1e-4 * torch.linalg.vector_norm(slope)
    parts: dict[str, list[float]] = {name: [] for name in solvers}

    def run(name: str) -> Callable[[], None]:
        def once() -> None:
            whole(name, solvers[name])
            parts[name].append(solved[name])

        return once

    repeat = {name: 3 for name, (plan, _) in found.items() if plan.evaluations < 100}
    times = interleaved({name: run(name) for name in solvers}, repeat=repeat)
    gained, of_span = against(times["sup norm"], times["ours"]), against(times["span"], times["ours"])
    with capsys.disabled():
        print(f"\n{world.name} x 4, to {TOLERANCE}, and the gradient, ms:")
        for name, (plan, _) in found.items():
            print(f"  {name}: {shown(times[name])}, of it {shown(parts[name])} for {plan.evaluations} evaluations and ", end="")
            print(f"{plan.products} products; {getattr(plan.factorised, 'products', 0)} products for the gradient and last step")
        print(f"  {gained:.1f} x the sup norm's speed, {of_span:.2f} x the span's")
    assert gained >= 5
    assert of_span >= 0.9, "not slower, up to noise: where sweeps are best, ours are the same sweeps"


@pytest.mark.parametrize("which", ["garnet", "grid"])
def test_a_hundred_thousand_states(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Solved and differentiated in a process of its own, for its memory."""

    def report(what: str) -> tuple[dict[str, float], float]:
        began = time.perf_counter()
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.large", what], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
        )
        return json.loads(ran.stdout), time.perf_counter() - began

    (idle, _), (large, wall) = report("idle"), report(which)
    used = large["megabytes"] - idle["megabytes"]
    with capsys.disabled():
        print(f"\n{which}, S = 10^5: solved in {large['solving']:.2f} s ({large['evaluations']} evaluations, {large['products']} ", end="")
        print(f"products), gradient {large['gradient']:.2f} s, {used:.0f} MB beyond the {idle['megabytes']:.0f} of imports, ", end="")
        print(f"{wall:.1f} s in all with the world's making; |V - V*| <= {large['bound']:.2g}")
    assert large["bound"] <= TOLERANCE
    assert math.isfinite(large["norm"])
    assert large["norm"] > 0
    assert used < 2000


HARD_SEED = 1
"""Of the worlds below: the constants of `hard_policy_iteration` were chosen on those of seeds 0 and 10 to 15."""


def random_lists(states: int, actions: int, *, listed: bool) -> DecisionProblem:
    """Random lists of five successors in NumPy, or the same as a dense kernel."""
    world = garnet(states, actions, 5, seed=HARD_SEED)
    lists = world.transition.map(lambda p: p.numpy())
    return DecisionProblem(np.ones((states, 1)), world.follower.numpy(), lists if listed else lists.dense())


def slippery_grid(side: int) -> DecisionProblem:
    """A square room in which one slips every fifth step, and whose floor pays at random."""
    world = grid(side, seed=HARD_SEED)
    return DecisionProblem(np.ones((side * side, 1)), world.follower.numpy(), world.transition.map(lambda p: p.numpy()))


HARD = {
    "104 x 4, dense": (lambda: random_lists(104, 4, listed=False), 0.99),
    "104 x 4, lists": (lambda: random_lists(104, 4, listed=True), 0.99),
    "1,000 x 10, dense": (lambda: random_lists(1000, 10, listed=False), 0.99),
    "1,000 x 10, lists": (lambda: random_lists(1000, 10, listed=True), 0.99),
    "10,000 x 4, lists": (lambda: random_lists(10_000, 4, listed=True), 0.99),
    "100 x 100 grid, discount 0.99": (lambda: slippery_grid(100), 0.99),
    "100 x 100 grid, discount 0.999": (lambda: slippery_grid(100), 0.999),
}


@pytest.mark.parametrize("which", HARD)
def test_hard_limit_against_quantecon(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No entropy: our modified policy iteration in NumPy against QuantEcon's in numba, each from its own start, to the same accuracy."""
    pytest.importorskip("quantecon", reason="QuantEcon is not installed")
    build, discount = HARD[which]
    problem = build()
    peer = quantecon_problem(problem, discount)

    def ours() -> np.ndarray:
        return hard_policy_iteration(problem, discount, tolerance=TOLERANCE).values

    def theirs() -> np.ndarray:
        return peer.solve(method="modified_policy_iteration", epsilon=TOLERANCE, max_iter=10**6).v

    np.testing.assert_allclose(ours(), theirs(), atol=2 * TOLERANCE, rtol=0)
    repeat = 20 if problem.reward.shape[0] <= 1000 else 1
    times, seconds_theirs, seconds_ours = ratio(lambda: [theirs() for _ in range(repeat)], ours, repeat=repeat)
    times, seconds_theirs = times / repeat, seconds_theirs / repeat
    winner = "ours is faster" if times > 1 else "QuantEcon is faster"
    with capsys.disabled():
        print(f"\nhard limit, {which}: QuantEcon {seconds_theirs * 1e3:.2f} ms, ", end="")
        print(f"ours {seconds_ours * 1e3:.2f} ms ({times:.2f} x: {winner})")
    assert times >= 0.5  # 1.0 is aimed at; timings on shared cores scatter, and the page has what was measured
