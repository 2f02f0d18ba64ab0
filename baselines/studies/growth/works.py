"""What `baselines.studies.growth` measures: worlds of any size, the works that are done in them, and the series of sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch

import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.estimators.reaction import gradient_in_x, soft_reaction, surrogate_objective
from solvers.kernels.sweeps import CHUNK, chunk, stack_problems
from solvers.response import soft_response
from stackelberg_envs.games.four_rooms import WALKERS
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.policy_iteration import POLICY_TOLERANCE
from stackelberg_envs.planning.value_iteration import soft_backup, soft_value_iteration
from stackelberg_envs.processes.mdp import DecisionProblem, decision_problem, joint_policy
from stackelberg_envs.processes.successor_lists import SuccessorLists
from stackelberg_envs.processes.successors import Successors
from stackelberg_envs.processes.transitions import as_transition
from stackelberg_envs.worlds.markov_game import InducedMarkovGame
from stackelberg_envs.worlds.mdp import InducedMDP

DISCOUNT, TEMPERATURE, ROOMS = 0.99, 0.1, 0.003
"""Of the worlds drawn here; and Four Rooms' own temperature."""


class Work(NamedTuple):
    """Something to measure."""

    run: Callable[[], object]
    """Has been called once, so that whatever is made at the first call is there."""
    counted: dict[str, int]
    """What it does, in counts that are the same on every machine."""
    each: int = 1
    """How many of the things that are reported are done by one ``run``."""


@dataclass(frozen=True)
class World:
    """A design game: r_F(s,b) = u_F(s,b) + tanh x(s) / 10, and the leader has u_L(s,b) less what it pays."""

    transition: Any
    follower: torch.Tensor
    leader: torch.Tensor
    initial: torch.Tensor

    @property
    def states(self) -> int:
        """S."""
        return len(self.initial)

    def with_subsidy(self, subsidy: torch.Tensor) -> InducedMDP:
        """What the follower faces where the leader pays ``subsidy``, broadcastable to (S, 1, B)."""
        one = torch.ones(self.states, 1, dtype=torch.float64, device=self.initial.device)
        return InducedMDP(one, self.transition, self.follower + subsidy, self.leader - subsidy, self.initial, DISCOUNT, DISCOUNT)

    def induced(self, x: torch.Tensor) -> InducedMDP:
        """The same with a subsidy for each state."""
        return self.with_subsidy(0.1 * torch.tanh(x)[:, None, None])

    def dense(self) -> World:
        """The same with a dense kernel."""
        return replace(self, transition=self.transition.dense())

    def to(self, device: str) -> World:
        """The same on another device."""
        p = as_transition(self.transition).map(lambda p: p.to(device))
        return World(p, self.follower.to(device), self.leader.to(device), self.initial.to(device))


def random_world(states: int, actions: int = 4, successors: int = 5, seed: int = 0) -> World:
    """Lists at random, weighted by Dirichlet(1): the chain forgets in a few steps."""
    rng = np.random.default_rng(seed)
    table = np.sort(rng.integers(states, size=(states, 1, actions, successors)), axis=-1)
    return _world(table, rng.dirichlet(np.ones(successors), size=(states, 1, actions)), rng)


def slippery_grid(states: int, slip: float = 0.2, seed: int = 0) -> World:
    """A square room of about so many cells; the chain forgets as slowly as one walks across it.  All actions share their lists."""
    rng, side = np.random.default_rng(seed), round(math.sqrt(states))
    row, col = np.divmod(np.arange(side * side), side)
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    near = np.stack([np.clip(row + down, 0, side - 1) * side + np.clip(col + right, 0, side - 1) for down, right in moves], axis=-1)
    p = np.full((side * side, 1, 4, 4), slip / 3) + (1 - slip * 4 / 3) * np.eye(4)
    return _world(near[:, None, None], p, rng)


def _world(table: np.ndarray, probabilities: np.ndarray, rng: np.random.Generator) -> World:
    states = len(table)
    follower, leader = torch.as_tensor(rng.uniform(size=(2, *probabilities.shape[:-1])))
    # Episodes start at random places: a uniform start is the left eigenvector of every chain's system, where Krylov spaces are degenerate.
    initial = torch.as_tensor(rng.dirichlet(np.ones(states)))
    return World(SuccessorLists(Successors(table), torch.as_tensor(probabilities)), follower, leader, initial)


def iteration(induced: Callable[[torch.Tensor], InducedMDP], x: torch.Tensor, temperature: float = TEMPERATURE) -> Work:
    """One exact outer iteration at ``x``, whose tables have one batch axis or none."""

    def run() -> tuple[torch.Tensor, dict[str, int]]:
        leaf = x.detach().clone().requires_grad_()
        mdp = induced(leaf)
        terms, counted = _surrogate(mdp, temperature)
        return gradient_in_x(terms.sum(), leaf), counted

    return Work(run, run()[1])


def _surrogate(mdp: InducedMDP, temperature: float) -> tuple[torch.Tensor, dict[str, int]]:
    """The surrogate objective of a process with its history in x: all of an iteration but the vector-Jacobian product."""
    frozen = mdp.map(torch.Tensor.detach)
    plan = soft_response(frozen, temperature)
    found = surrogate_objective(mdp, frozen, plan, temperature, reaction=True)
    kept: Any = plan.factorised
    return found.whole, {"evaluations": plan.evaluations, "solves": found.solves, "products": plan.products + getattr(kept, "products", 0)}


def of_states(world: World) -> Work:
    """An iteration at x = 0."""
    return iteration(world.induced, torch.zeros_like(world.initial))


class Linear:
    """Rewards linear in x, by a dense array (S, 1, B, n).  All is measured at x = 0, so that the tables do not depend on n."""

    def __init__(self, dimension: int, states: int = 208) -> None:
        self.world = random_world(states).dense()
        features = np.random.default_rng(1).normal(size=(*self.world.follower.shape, dimension))
        self.features, self.x = torch.as_tensor(features), torch.zeros(dimension, dtype=torch.float64)

    def induced(self, x: torch.Tensor) -> InducedMDP:
        """What the follower faces."""
        return self.world.with_subsidy(self.features @ x)

    def adjoint(self) -> Work:
        """Ours."""
        return iteration(self.induced, self.x)

    def solve(self) -> Work:
        """Ours, from the tables to the surrogate objective."""
        mdp = self.induced(self.x.requires_grad_())
        return Work(lambda: _surrogate(mdp, TEMPERATURE), _surrogate(mdp, TEMPERATURE)[1])

    def forward(self) -> Work:
        """dV/dx (S, n) by one solve with the factors that the response leaves, then dF/dx from it.

        The leader's side is by its occupancy, which is as good as it gets: only the follower's values have a Jacobian here.
        """

        def run() -> torch.Tensor:
            with torch.no_grad():
                mdp = self.induced(self.x)
                plan = soft_response(mdp, TEMPERATURE)
                kept: Any = plan.factorised
                joint = joint_policy(mdp, plan.policy)
                occupancy, worth = kept.solve_transposed(mdp.initial), kept.solve((joint * mdp.leader_reward).sum((-2, -1)))
                u = occupancy[:, None, None] * (mdp.leader_reward + DISCOUNT * mdp.kernel.expect(worth))
                c, rows = soft_reaction(plan.policy, u, TEMPERATURE), self.features.reshape(-1, len(self.x))
                mean = (joint[..., 0, None, :] @ self.features[:, 0])[:, 0]  # sum_b g dr_F/dx, (S, n)
                jacobian = torch.linalg.lu_solve(kept._factors, kept._pivots, mean)
                return (c - occupancy[:, None, None] * joint).reshape(-1) @ rows + DISCOUNT * mdp.kernel.push_forward(c) @ jacobian

        run()
        return Work(run, {"right_sides": len(self.x)})


def rooms_newton(batch: int, device: str = "cpu") -> Work:
    """An iteration of so many commitments to Four Rooms as one batch, at the first goal."""
    game = se.game("four_rooms-v0")
    return iteration(lambda x: game.problems(x)[0], _commitments(game, batch).to(device), ROOMS)


def rooms_sweep(batch: int) -> Work:
    """One soft sweep of as many, array by array; and how many it takes to be as sure as Newton's method is."""
    problem = _rooms(batch)
    start = torch.zeros(problem.reward.shape[:-2], dtype=torch.float64)
    needed = soft_value_iteration(_rooms(1), DISCOUNT, ROOMS, tolerance=POLICY_TOLERANCE * ROOMS).sweeps
    soft_backup(problem, DISCOUNT, ROOMS, start)
    return Work(lambda: soft_backup(problem, DISCOUNT, ROOMS, start), {"sweeps": needed})


def rooms_compiled(batch: int) -> Work:
    """The same with the batch fastest, `solvers.kernels.sweeps.CHUNK` sweeps compiled as one."""
    tables = stack_problems(_rooms(batch), None, torch.float64)
    step = chunk(*tables.probability.shape[1:4], *tables.next_states.shape[:2])
    r, p, w = tables.reward.permute(1, 2, 3, 0), DISCOUNT * tables.probability.permute(1, 2, 3, 4, 0), tables.weight.permute(1, 2, 0)
    arguments = (tables.values.mT.contiguous(), r.contiguous(), tables.next_states.long(), p.contiguous(), w.contiguous())
    temperature = torch.tensor(ROOMS, dtype=torch.float64)
    step(*arguments, temperature)  # compiles it
    return Work(lambda: step(*arguments, temperature), {"together": CHUNK}, CHUNK)


def _rooms(batch: int) -> DecisionProblem:
    game = se.game("four_rooms-v0")
    (mdp,) = game.problems(_commitments(game, batch))
    return decision_problem(replace(mdp, transition=SuccessorLists.of(mdp.transition)), mdp.follower_reward)


def _commitments(game: se.StackelbergGame, batch: int) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(0).normal(size=(batch, game.dimension)))


def independent_followers(followers: int) -> Work:
    """An iteration of Four Rooms, both contexts, with so many who walk alone: one batch of followers and contexts."""
    game = se.game("four_rooms-v0", walkers=tuple(WALKERS[i % len(WALKERS)] for i in range(followers)))
    rounds = RepeatedGame(game, se.Soft(ROOMS))
    oracle, x = rounds.oracle(Access.MODEL), _commitments(game, 1)[0]
    exact_gradient(oracle, x, None, reaction=True)
    counted = {"solves": int(rounds.cost.linear_solves)}
    return Work(lambda: exact_gradient(oracle, x, None, reaction=True), counted)


def interacting_followers(followers: int, states: int = 32, actions: int = 4) -> Work:
    """What each of n followers faces while the others keep to their policies: the joint tables contracted n times."""
    rng, joint = np.random.default_rng(0), actions**followers
    game = InducedMarkovGame(
        leader_policy=torch.ones(states, 1, dtype=torch.float64),
        transition=torch.as_tensor(rng.dirichlet(np.ones(states), size=(states, 1, joint))),
        follower_rewards=torch.as_tensor(rng.uniform(size=(followers, states, 1, joint))),
        leader_reward=torch.as_tensor(rng.uniform(size=(states, 1, joint))),
        initial=torch.full((states,), 1 / states, dtype=torch.float64),
        actions=(actions,) * followers,
        follower_discount=DISCOUNT,
        leader_discount=DISCOUNT,
    )
    policies = torch.as_tensor(rng.dirichlet(np.ones(actions), size=(followers, states, 1)))
    played = [*policies]

    def run() -> list[Any]:
        return [game.facing(player, played) for player in range(followers)]

    run()
    return Work(run, {"joint_actions": joint})


@dataclass(frozen=True)
class Series:
    """One line of a study: the same thing at growing sizes."""

    study: str
    name: str
    sizes: tuple[int, ...]
    build: Callable[[int], Work] = field(repr=False, compare=False)
    theory: str
    """What time grows as, in the size, for large ones."""
    takes: float
    """Seconds that its largest point takes all told, roughly: for the estimate of the time left."""
    power: float = 1.0
    """And with which power of the size that grows."""
    factor: bool = False
    """Whether what is fitted is the factor by which one more multiplies, and not an exponent."""
    optional: bool = False
    """Whether it is measured only if asked for."""

    def seconds(self, size: int) -> float:
        """Roughly how long a point takes."""
        return 0.4 + self.takes * (size / self.sizes[-1]) ** self.power

    def quick(self) -> Series:
        """Its three smallest sizes."""
        return replace(self, sizes=self.sizes[:3], takes=0.2)


DENSE = (25, 50, 100, 200, 283, 400, 566, 800, 1131, 1600)
SIDES = tuple(side * side for side in (10, 14, 22, 32, 45, 71, 100, 141, 224, 316))
LISTS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
TO_64 = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
DIMENSIONS = tuple(2**k for k in range(4, 13))
BATCHES = tuple(2**k for k in range(9))
SERIES = (
    Series("states", "dense, random", DENSE, lambda n: of_states(random_world(n).dense()), "3 (LU)", 12, 3),
    Series("states", "dense, grid", tuple(s for s in SIDES if s <= 1024), lambda n: of_states(slippery_grid(n).dense()), "3 (LU)", 8, 3),
    Series("states", "lists, random", LISTS, lambda n: of_states(random_world(n)), "1 (products do not grow)", 14),
    Series(
        "states", "lists, grid", SIDES, lambda n: of_states(slippery_grid(n)), "1 to 1.5 (products grow, with the side at most)", 40, 1.3
    ),
    Series("actions", "B, follower actions", TO_64, lambda n: of_states(random_world(1000, actions=n)), "1", 2),
    Series("successors", "K, successors", TO_64, lambda n: of_states(random_world(1000, successors=n)), "1", 2),
    Series("batch", "Newton", BATCHES, rooms_newton, "1", 4),
    Series("batch", "one sweep, eager", BATCHES, rooms_sweep, "1", 1),
    Series("batch", "one sweep, compiled", (1, 8, 64, 256), rooms_compiled, "1", 25, 0.1, optional=True),
    Series("dimension", "adjoint", DIMENSIONS, lambda n: Linear(n).adjoint(), "0, then 1 (the vjp reads dR/dx)", 1),
    Series("dimension", "adjoint, solve alone", DIMENSIONS, lambda n: Linear(n).solve(), "0", 1),
    Series("dimension", "forward sensitivities", DIMENSIONS, lambda n: Linear(n).forward(), "1", 3),
    Series("followers", "independent", tuple(range(1, 9)), independent_followers, "1", 1),
    Series("followers", "interacting", (2, 3, 4, 5, 6), interacting_followers, "x 4 (n + 1) / n", 4, 6, factor=True),
)

TITLES = {
    "states": "states S",
    "actions": "actions",
    "successors": "successors",
    "batch": "processes in a batch",
    "dimension": "dim x",
    "followers": "followers",
}
