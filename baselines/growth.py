"""How do time and memory grow?  ``python -m baselines.growth`` measures one exact outer iteration at growing sizes, and fits exponents.

An outer iteration is what exact ascent does at one commitment, cold: the follower's soft response (to 1e-9 in log-probabilities) and the
hypergradient by one adjoint solve and one vector-Jacobian product.  It is measured against

* S, states: dense tables with LU, and lists with Krylov solves, on random worlds and on slippery grids
* B, follower actions, and K, successors of each (lists, S = 1,000)
* processes solved as one batch, at Four Rooms' size: Newton's method, and a soft sweep (eager; with --compile, compiled as well)
* dim x (S = 208, dense rewards linear in x): the adjoint, the same without the vector-Jacobian product, and forward sensitivities in
  their strongest form, one solve of all right sides with the same LU
* followers: independent ones in Four Rooms, and n who interact (the contraction of their joint tables for all players)

Each point has a process of its own, on one thread.  Seconds are CPU time of that process, medians after a warm-up.  Samples alternate with
samples of the smallest size of the same series, and exponents are fitted to the ratios: a neighbour on the machine slows both.  Memory is
measured in a fork of that process: the resident high-water mark (ru_maxrss) after one iteration less that before, the tables of the world
being there already.  tracemalloc would see NumPy's arrays alone, and none of torch's.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import gc
import json
import math
import os
import platform
import resource
import signal
import statistics
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scipy import stats as distributions

import stackelberg_envs as se
from solvers.estimators.implicit import exact_gradient
from solvers.estimators.reaction import slope, soft_reaction, surrogate_objective
from solvers.kernels.sweeps import CHUNK, chunk, packed
from solvers.response import soft_response
from stackelberg_envs.access import Access
from stackelberg_envs.games.four_rooms import WALKERS
from stackelberg_envs.linear import DIRECT
from stackelberg_envs.markov_game import InducedMarkovGame
from stackelberg_envs.mdp import DecisionProblem, InducedMDP, carry, decision_problem, expect, joint_policy
from stackelberg_envs.oracle import Rounds
from stackelberg_envs.planning import POLICY_TOLERANCE
from stackelberg_envs.successor_lists import SuccessorLists, Successors
from stackelberg_envs.sweeps import soft_backup, soft_value_iteration

from . import figures, store
from .printing import problems as screen

DISCOUNT, TEMPERATURE, ROOMS = 0.99, 0.1, 0.003
"""Of the worlds drawn here; and Four Rooms' own temperature."""
ROUNDS = {0.1: 15, 1.0: 7, math.inf: 5}
"""Timed samples of a point, by the seconds that one run takes at most."""
LEAST, QUICK = 0.02, 0.002
"""CPU seconds that a sample takes at least, and if quick: short runs are repeated in it."""
HEARD = 2.0
"""Megabytes below which growth of memory is not fitted: a page here and there is noise."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")


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

    def paying(self, subsidy: torch.Tensor) -> InducedMDP:
        """What the follower faces where the leader pays ``subsidy``, broadcastable to (S, 1, B)."""
        one = torch.ones(self.states, 1, dtype=torch.float64)
        return InducedMDP(one, self.transition, self.follower + subsidy, self.leader - subsidy, self.initial, DISCOUNT, DISCOUNT)

    def induced(self, x: torch.Tensor) -> InducedMDP:
        """The same with a subsidy for each state."""
        return self.paying(0.1 * torch.tanh(x)[:, None, None])

    def dense(self) -> World:
        """The same with a dense kernel."""
        return replace(self, transition=self.transition.dense())


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
        terms, counted = _solved(mdp, temperature)
        return slope(terms.sum(), leaf), counted

    return Work(run, run()[1])


def _solved(mdp: InducedMDP, temperature: float) -> tuple[torch.Tensor, dict[str, int]]:
    """The surrogate objective of a process with its history in x: all of an iteration but the vector-Jacobian product."""
    frozen = mdp.map(torch.Tensor.detach)
    plan = soft_response(frozen, temperature)
    terms, _, solves, _ = surrogate_objective(mdp, frozen, plan, temperature, reaction=True)
    kept: Any = plan.factorised
    return terms, {"evaluations": plan.evaluations, "solves": solves, "products": plan.products + getattr(kept, "products", 0)}


def of_states(world: World) -> Work:
    """An iteration at x = 0."""
    return iteration(world.induced, torch.zeros(world.states, dtype=torch.float64))


class Linear:
    """Rewards linear in x, by a dense array (S, 1, B, n).  All is measured at x = 0, so that the tables do not depend on n."""

    def __init__(self, dimension: int, states: int = 208) -> None:
        self.world = random_world(states).dense()
        features = np.random.default_rng(1).normal(size=(*self.world.follower.shape, dimension))
        self.features, self.x = torch.as_tensor(features), torch.zeros(dimension, dtype=torch.float64)

    def induced(self, x: torch.Tensor) -> InducedMDP:
        """What the follower faces."""
        return self.world.paying(self.features @ x)

    def adjoint(self) -> Work:
        """Ours."""
        return iteration(self.induced, self.x)

    def solve(self) -> Work:
        """Ours, from the tables to the surrogate objective."""
        mdp = self.induced(self.x.requires_grad_())
        return Work(lambda: _solved(mdp, TEMPERATURE), _solved(mdp, TEMPERATURE)[1])

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
                u = occupancy[:, None, None] * (mdp.leader_reward + DISCOUNT * expect(mdp.transition, worth))
                c, rows = soft_reaction(plan.policy, u, TEMPERATURE), self.features.reshape(-1, len(self.x))
                mean = (joint[..., 0, None, :] @ self.features[:, 0])[:, 0]  # sum_b g dr_F/dx, (S, n)
                jacobian = torch.linalg.lu_solve(kept._factors, kept._pivots, mean)
                return (c - occupancy[:, None, None] * joint).reshape(-1) @ rows + DISCOUNT * carry(c, mdp.transition) @ jacobian

        run()
        return Work(run, {"right_sides": len(self.x)})


def rooms_newton(batch: int) -> Work:
    """An iteration of so many commitments to Four Rooms as one batch, at the first goal."""
    game = se.game("four_rooms-v0")
    return iteration(lambda x: game.problems(x)[0], _commitments(game, batch), ROOMS)


def rooms_sweep(batch: int) -> Work:
    """One soft sweep of as many, array by array; and how many it takes to be as sure as Newton's method is."""
    problem = _rooms(batch)
    start = torch.zeros(problem.reward.shape[:-2], dtype=torch.float64)
    needed = soft_value_iteration(_rooms(1), DISCOUNT, ROOMS, tolerance=POLICY_TOLERANCE * ROOMS).sweeps
    soft_backup(problem, DISCOUNT, ROOMS, start)
    return Work(lambda: soft_backup(problem, DISCOUNT, ROOMS, start), {"sweeps": needed})


def rooms_compiled(batch: int) -> Work:
    """The same with the batch fastest, `solvers.kernels.sweeps.CHUNK` sweeps compiled as one."""
    tables = packed(_rooms(batch), None, torch.float64)
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


def independent(followers: int) -> Work:
    """An iteration of Four Rooms, both contexts, with so many who walk alone: one batch of followers and contexts."""
    game = se.game("four_rooms-v0", walkers=tuple(WALKERS[i % len(WALKERS)] for i in range(followers)))
    rounds = Rounds(game, se.Soft(ROOMS))
    oracle, x = rounds.oracle(Access.MODEL), _commitments(game, 1)[0]
    exact_gradient(oracle, x, None, reaction=True)
    counted = {"solves": int(rounds.cost.linear_solves)}
    return Work(lambda: exact_gradient(oracle, x, None, reaction=True), counted)


def interacting(followers: int, states: int = 32, actions: int = 4) -> Work:
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

    def run() -> list[InducedMDP]:
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
    Series("followers", "independent", tuple(range(1, 9)), independent, "1", 1),
    Series("followers", "interacting", (2, 3, 4, 5, 6), interacting, "x 4 (n + 1) / n", 4, 6, factor=True),
)

TITLES = {
    "states": "states S",
    "actions": "actions",
    "successors": "successors",
    "batch": "processes in a batch",
    "dimension": "dim x",
    "followers": "followers",
}
Point = dict[str, Any]


def timed(work: Work, small: Work, rounds: int | None) -> dict[str, Any]:
    """Median, least and most CPU seconds of one run, and the median ratio to ``small``, which takes its turns in between."""

    def sample(which: Work, repeats: int) -> float:
        began = time.process_time()
        for _ in range(repeats):
            which.run()
        return (time.process_time() - began) / (repeats * which.each)

    def repeated(which: Work) -> int:
        return max(1, math.ceil((QUICK if rounds else LEAST) / max(sample(which, 1) * which.each, 1e-7)))

    often, often_small = repeated(work), repeated(small)
    once = sample(work, often)
    count = rounds or next(many for most, many in ROUNDS.items() if once * work.each <= most)
    gc.collect()
    pairs = [(sample(work, often), sample(small, often_small)) for _ in range(count)]
    samples = [mine for mine, _ in pairs]
    low, middle, high = (float(f"{f(samples):.4g}") for f in (min, statistics.median, max))
    ratio = float(f"{statistics.median(mine / other for mine, other in pairs):.4g}")
    return {"seconds": middle, "low": low, "high": high, "ratio": ratio, "rounds": count, "repeats": often}


def peak(work: Work, small: Work) -> float:
    """Megabytes that one run adds to the high-water mark of a process that has the tables, and has run ``small`` already.

    In a fork, whose mark begins at what is resident.  Freed memory is handed back before, and arrays come from and go to the system
    directly, so that none hides in what the allocator has kept.
    """
    ready, done = os.pipe()
    _allocator().malloc_trim(0)
    child = os.fork()
    if child == 0:
        grown = math.nan
        try:
            _allocator().mallopt(-3, 1 << 16)  # M_MMAP_THRESHOLD
            small.run()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            work.run()
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        finally:
            os.write(done, struct.pack("d", grown))
            os._exit(0)
    os.waitpid(child, 0)
    grown = struct.unpack("d", os.read(ready, 8))[0]
    os.close(ready)
    os.close(done)
    return round(grown, 2)


def _allocator() -> Any:
    return ctypes.CDLL(None)


def _point(index: int, size: int, rounds: int | None) -> Point:
    """Measure one point in this process."""
    line = SERIES[index]
    work = line.build(size)
    small = work if size == line.sizes[0] else line.build(line.sizes[0])
    found: Point = {"study": line.study, "series": line.name, "size": size, "work": work.counted}
    found["megabytes"] = peak(work, small)
    return found | timed(work, small, rounds)


def serve() -> None:
    """Measure what standard input asks for, each point in a fork: this process has imported everything, and does nothing else."""
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # what is imported is left alone by collections in the forks, which would copy all of it
    for asked in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                answer = _point(*json.loads(asked))
            except Exception:
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"failed": f"its process ended with status {status}: is there enough memory?"}), flush=True)


class Failed(RuntimeError):
    """A point could not be measured."""


@contextmanager
def serving() -> Iterator[subprocess.Popen[str]]:
    """A process that does `serve`, on one thread; it and all that it started end with the context."""
    command = [sys.executable, "-c", "from baselines.growth import serve; serve()"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # Ctrl-C in a terminal goes to all of a session: this one has its own, and is ended from here.
    process = subprocess.Popen(command, env=os.environ | dict.fromkeys(THREADS, "1"), start_new_session=True, **pipes)
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def measure(process: subprocess.Popen[str], line: Series, size: int, rounds: int | None = None) -> Point:
    """One point, by a process that is `serving`.

    Raises:
        Failed: with what went wrong there.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    index = [(each.study, each.name) for each in SERIES].index((line.study, line.name))
    with suppress(BrokenPipeError):
        print(json.dumps([index, size, rounds]), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline() or '{"failed": "the process that measures is gone"}')
    if "failed" in answer:
        raise Failed(f"{line.study}, {line.name}, {size:,}: {answer['failed']}")
    return answer


def machine() -> dict[str, str]:
    """Where it is measured, and with what."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    versions = {name: version(name) for name in ("stackelberg-envs", "torch", "numpy", "scipy")}
    return {"cpu": f"{cpu}, {os.cpu_count()} cores", "system": platform.platform(), "python": platform.python_version(), **versions}


class Fit(NamedTuple):
    """An exponent, or a factor, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def fitted(sizes: Sequence[float], values: Sequence[float], *, factor: bool = False) -> Fit | None:
    """The exponent of least squares in logarithms over the upper half of the sizes, of four at least; None if there are fewer than three.

    The interval is that of the slope's standard error, by Student's t: it says how straight the line is, not how far it goes on.
    """
    count = max(4, math.ceil(len(sizes) / 2))
    x = np.asarray(sizes[-count:], dtype=float)
    if len(x) < 3:
        return None
    found: Any = distributions.linregress(x if factor else np.log(x), np.log(values[-count:]))
    margin = float(distributions.t.ppf(0.975, len(x) - 2) * found.stderr)
    ends = (found.slope, found.slope - margin, found.slope + margin)
    return Fit(*(math.exp(end) for end in ends)) if factor else Fit(*map(float, ends))


def points_of(record: dict[str, Any], study: str, name: str) -> list[Point]:
    """A series, by size."""
    mine = [point for point in record["points"] if (point["study"], point["series"]) == (study, name)]
    return sorted(mine, key=lambda point: point["size"])


def time_fit(record: dict[str, Any], line: Series) -> Fit | None:
    """How the time of a series grows."""
    points = points_of(record, line.study, line.name)
    return fitted([point["size"] for point in points], [point["ratio"] for point in points], factor=line.factor)


def memory_fit(record: dict[str, Any], line: Series) -> Fit | None:
    """How its memory grows, where enough of it can be heard above the noise."""
    loud = [point for point in points_of(record, line.study, line.name) if point["megabytes"] >= HEARD]
    return fitted([point["size"] for point in loud], [point["megabytes"] for point in loud], factor=line.factor) if len(loud) > 3 else None


def times_longer(one: list[Point], other: list[Point], size: float) -> float:
    """How many times as long ``one`` takes as ``other`` at a size within both ranges, by straight lines between logarithms."""
    first, second = (
        np.interp(math.log(size), np.log([point["size"] for point in points]), np.log([point["seconds"] for point in points]))
        for points in (one, other)
    )
    return math.exp(first - second)


def told(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    unit, scale = next(((unit, scale) for unit, scale in (("s", 1.0), ("ms", 1e-3)) if seconds >= scale), ("us", 1e-6))
    return f"{seconds / scale:.3g} {unit}"


def table(record: dict[str, Any]) -> list[str]:
    """Exponents of all series that a record has."""
    rows = [
        "| series | sizes | time grows as size to the | theory, for large sizes | memory as size to the | one run at the largest |",
        "|---|---|---|---|---|---|",
    ]
    for line in SERIES:
        points = points_of(record, line.study, line.name)
        if points:
            time_grows, memory_grows, last = time_fit(record, line), memory_fit(record, line), points[-1]
            times = "x " if line.factor else ""
            cells = [f"{times}{fit}" if fit else "-" for fit in (time_grows, memory_grows)]
            grown = f"{last['megabytes']:.3g} MB" if last["megabytes"] >= HEARD else f"below {HEARD:g} MB"
            name = f"{TITLES[line.study]}: {line.name}"
            sizes = f"{points[0]['size']:,} to {last['size']:,}"
            rows.append(f"| {name} | {sizes} | {cells[0]} | {line.theory} | {cells[1]} | {told(last['seconds'])}, {grown} |")
    return rows


def page(record: dict[str, Any]) -> str:
    """The page of the documentation."""
    settings, where = record["settings"], record["machine"]
    versions = ", ".join(f"{name} {where[name]}" for name in ("stackelberg-envs", "torch", "numpy", "scipy"))
    samples = sorted({point["rounds"] for point in record["points"]})
    told_worlds = f"Worlds have a discount of {settings['discount']:g} and a temperature of {settings['temperature']:g}, Four Rooms"
    lines = [
        "# How time and memory grow",
        "",
        "One exact outer iteration, cold: the follower's soft response, to 1e-9 in log-probabilities, and the hypergradient by one",
        "adjoint solve and one vector-Jacobian product ({py:class}`solvers.estimators.implicit.Implicit`). In each row one size grows.",
        f"{told_worlds} its own of {settings['rooms']:g}. Regenerated by",
        "",
        "```sh",
        "python -m baselines.growth --compile   # results/growth.json, compared/growth.md and .svg; some ten minutes on one core; resumes",
        "```",
        "",
        *table(record),
        "",
        "*Slopes of least squares in logarithms over the upper half of the sizes (four at least), with 95 % intervals from their standard",
        "errors: how straight the line is, not how far it goes on. For followers who interact it is the factor of one more of them.*",
        "",
        "![Time, memory and products against size](growth.svg)",
        "",
        "**What follows**",
        "",
        *[f"- {fact}" for fact in facts(record)],
        "",
        "**How it is measured.** Each point has a process of its own, with one thread. Seconds are CPU time of that process: the median",
        f"of {samples[0]} to {samples[-1]} samples after a warm-up (bars in the figure: the least and the most), of {LEAST:g} s or longer.",
        "Samples alternate with samples of the smallest size of the row, and exponents are fitted to the median ratios: a neighbour on",
        "the machine slows both alike. Memory is the resident high-water mark (`ru_maxrss`) after one iteration less that before it, in",
        "a fork of the process in which a small iteration has run and the world's tables lie ready: it is what an iteration needs on",
        "top of its tables. (`tracemalloc` would see NumPy's arrays and none of torch's.)",
        f"Below {HEARD:g} MB it is noise, and growth is not fitted.",
        "",
        f"*{where['cpu']}; {where['system']}; Python {where['python']}; {versions}; {record['date']}. Products are counted and the same",
        "everywhere, up to rounding; seconds are those of a shared machine. To draw ours:",
        "`python -m baselines.growth --record docs/reproductions/recorded/growth.json`.*",
    ]
    return "\n".join(lines) + "\n"


def facts(record: dict[str, Any]) -> list[str]:
    """What users can take from it, in sentences, as far as the record has it."""

    def have(study: str, *names: str) -> list[list[Point]] | None:
        found = [points_of(record, study, name) for name in names]
        return found if all(found) else None

    found = []
    if states := have("states", "dense, random", "lists, random", "dense, grid", "lists, grid"):
        found += _about_states(*states)
    mixing = (have("actions", "B, follower actions") or []) + (have("successors", "K, successors") or [])
    if len(mixing) == 2:
        fall = " and ".join(
            f"from {points[0]['work']['products']} to {points[-1]['work']['products']} over the range of {what}"
            for what, points in zip("BK", mixing, strict=True)
        )
        found.append(
            f"**More actions and longer lists also mix faster.** Products fall {fall}, which pays for a part of the longer tables: an "
            "exponent below 1 in this range, and no more than 1 beyond."
        )
    if batches := have("batch", "Newton", "one sweep, eager"):
        newton, eager = batches
        found.append(_about_sweeps(newton, eager, points_of(record, "batch", "one sweep, compiled")))
    if ways := have("dimension", "adjoint", "adjoint, solve alone", "forward sensitivities"):
        ours, alone, forward = ways
        ratios, last = [point["ratio"] for point in alone], forward[-1]
        found.append(
            f"**dim x costs nothing but its reading.** From {alone[0]['size']:,} to {alone[-1]['size']:,} the solve alone varies by "
            f"{100 * (max(ratios) / min(ratios) - 1):.0f} %. With the vector-Jacobian product of dense rewards, which reads all of dR/dx, "
            f"an iteration takes {ours[-1]['ratio']:.2f} times as long at the largest as at the smallest. Forward sensitivities take "
            f"{last['ratio']:.1f} times as long, {last['seconds'] / ours[-1]['seconds']:.1f} times ours at the largest, and "
            f"{last['megabytes']:.0f} MB for a Jacobian that the adjoint has no need of."
        )
    return found


def _about_states(dense: list[Point], lists: list[Point], dense_grid: list[Point], grid: list[Point]) -> list[str]:
    last, largest, kernel = lists[-1], grid[-1], 32 * lists[-1]["size"] ** 2 / 1e9
    compared = []
    for where, slow, fast in (("in random worlds", dense, lists), ("on grids", dense_grid, grid)):
        sizes = [point["size"] for point in fast if DIRECT < point["size"] <= slow[-1]["size"]]
        if sizes:
            factors = " and ".join(f"{times_longer(slow, fast, size):.2g} times at S = {size:,}" for size in sorted({sizes[0], sizes[-1]}))
            compared.append(f"{where} {factors}")
    beyond = f" Beyond, dense tables take longer, {'; '.join(compared)}." if compared else ""
    found = [
        f"**Dense or lists.** Lists of up to {DIRECT} states are written out and factorised, and take as long as dense tables.{beyond} "
        f"At S = {last['size']:,} an iteration by lists takes {told(last['seconds'])} in a random world, and {told(largest['seconds'])} "
        f"on a grid of {largest['size']:,} cells; a dense kernel of {last['size']:,} states and four actions would be {kernel:,.3g} GB."
    ]
    products = [point["work"]["products"] for point in lists if point["size"] > DIRECT]
    iterated = [point for point in grid if point["size"] > DIRECT]
    if products and iterated:
        chosen = [iterated[i] for i in sorted({0, len(iterated) // 2, len(iterated) - 1})]
        counts = ", ".join(f"{point['work']['products']:,} at {point['size']:,}" for point in chosen)
        found.append(
            f"**Distance makes lists slow, and not size.** An iteration multiplies with the chain {min(products)} to {max(products)} times "
            f"in random worlds of any size. On grids it is {counts} cells: more where walks are longer, until a discount of "
            f"{DISCOUNT:g} does not see to the other end."
        )
    return found


def _about_sweeps(newton: list[Point], eager: list[Point], compiled: list[Point]) -> str:
    """How many sweeps fit into an iteration by Newton's method, against how many are needed."""
    needed, whole = eager[0]["work"]["sweeps"], {point["size"]: point["seconds"] for point in newton}
    told_of = []
    for name, points in (("array by array", eager), ("compiled", compiled)):
        if points:
            (few, small), (many, large) = ((whole[point["size"]] / point["seconds"], point["size"]) for point in (points[0], points[-1]))
            told_of.append(f"{few:,.0f} at a batch of {small:,} and {many:,.0f} at {large:,} {name}")
    return (
        f"**Newton or sweeps.** In Four Rooms, at its temperature, {needed} sweeps are as sure as Newton's method. A whole iteration by "
        f"Newton's method takes as long as {'; '.join(told_of)}. Where that is well above {needed}, sweeping first "
        '(`inner="sweeps"`) is for you. Nearer a discount of 1 it takes more sweeps, and no more Newton steps.'
    )


PALETTE, MARKERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), "osD^"
"""Okabe and Ito's colours, which the colour-blind tell apart."""
Drawn = Callable[[Point], tuple[float, float, float] | None]


def _seconds(point: Point) -> tuple[float, float, float]:
    return point["seconds"], point["low"], point["high"]


def _megabytes(point: Point) -> tuple[float, float, float] | None:
    mb = point["megabytes"]
    return (mb, mb, mb) if mb >= HEARD else None


def _products(point: Point) -> tuple[float, float, float] | None:
    count = float(point["work"].get("products", 0))
    return (count, count, count) if count else None


PANELS: tuple[tuple[str, str, Drawn, tuple[str, ...]], ...] = (
    ("States: seconds", "S", _seconds, ("states",)),
    ("States: MB on top of the tables", "S", _megabytes, ("states",)),
    ("States: products with the chain, counted", "S", _products, ("states",)),
    ("Actions and successors, S = 1,000: seconds", "B or K", _seconds, ("actions", "successors")),
    ("Four Rooms as a batch: seconds", "processes", _seconds, ("batch",)),
    ("Commitments of a long x, S = 208: seconds", "dim x", _seconds, ("dimension",)),
    ("Commitments of a long x, S = 208: MB on top of the tables", "dim x", _megabytes, ("dimension",)),
    ("Followers: seconds", "followers", _seconds, ("followers",)),
)


def draw(record: dict[str, Any]) -> Figure:
    """Time, memory and counted products against each size; lines are labelled where they end, with what they were fitted to grow as."""
    figure = Figure(figsize=(11.5, 13))
    for axis, (title, label, drawn, studies) in zip(figure.subplots(4, 2).flat, PANELS, strict=True):
        ends: list[tuple[float, float, str, str]] = []
        silent: list[str] = []
        lines = [line for line in SERIES if line.study in studies and points_of(record, line.study, line.name)]
        for line, colour, marker in zip(lines, PALETTE, MARKERS, strict=False):
            shown = [(point["size"], *values) for point in points_of(record, line.study, line.name) if (values := drawn(point))]
            if not shown:
                silent.append(line.name)
                continue
            sizes, middle, low, high = np.array(shown, dtype=float).T
            axis.errorbar(sizes, middle, [middle - low, high - middle], color=colour, marker=marker, ms=4, lw=1.5, elinewidth=0.8)
            fit = {_seconds: time_fit, _megabytes: memory_fit}.get(drawn, lambda *_: None)(record, line)
            grows = "" if fit is None else f", x {fit.value:.1f} each" if line.factor else f", n^{fit.value:.2f}"
            ends.append((sizes[-1], middle[-1], line.name.removesuffix(" sensitivities") + grows, colour))
        axis.set(yscale="log", xlabel=label)
        if studies != ("followers",):
            axis.set_xscale("log", base=10 if studies == ("states",) else 2)
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_title(title, fontsize=10, loc="left")
        axis.margins(y=0.12)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        _label_ends(axis, ends)
        if drawn is _megabytes and silent:
            axis.text(
                0.98, 0.04, f"below {HEARD:g} MB at every size:\n" + "; ".join(silent), transform=axis.transAxes, fontsize=8, ha="right"
            )
    figure.tight_layout(w_pad=2.5, h_pad=1.8)
    return figure


def _label_ends(axis: Any, ends: list[tuple[float, float, str, str]], apart: float = 0.075) -> None:
    """Names beside the ends of lines: right of the panel, moved apart where they would lie on each other, or at ends that come early."""
    if not ends:
        return
    last = max(size for size, *_ in ends)
    early = [end for end in ends if axis.get_xscale() == "log" and end[0] < last / 10]
    for i, (size, value, name, colour) in enumerate(early):
        place, side = ((0, 9), "center") if i % 2 == 0 else ((-6, 0), "right")
        axis.annotate(name, (size, value), place, textcoords="offset points", color=colour, fontsize=8.5, ha=side, va="center")
    low, high = (math.log(limit) for limit in axis.get_ylim())
    ordered = sorted((value, name, colour) for size, value, name, colour in ends if (size, value, name, colour) not in early)
    heights = [(math.log(value) - low) / (high - low) for value, _, _ in ordered]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + apart)
    for height, (_, name, colour) in zip(heights, ordered, strict=True):
        axis.text(1.01, height, name, color=colour, transform=axis.transAxes, fontsize=8.5, va="center")


def begun(path: Path, settings: dict[str, Any], *, complete: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The record at ``path``, or an empty one.

    Args:
        path: of the record.
        settings: what it must have been measured with.
        complete: whether nothing is left to measure; only then may it be another machine's.

    Raises:
        ValueError: if it cannot be gone on with.
    """
    here = {"settings": settings, "machine": machine(), "date": datetime.date.today().isoformat(), "points": []}
    if not path.exists():
        return here
    otherwise = "move it away, or name another with --record"
    try:
        record = json.loads(path.read_text())
        points_of(record, "", "")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no record of growth ({error}): {otherwise}") from None
    if record["settings"] != settings:
        raise ValueError(f"{path} was measured with {record['settings']}, and now it would be {settings}: {otherwise}")
    if not complete(record) and record["machine"] != here["machine"]:
        raise ValueError(f"{path} was begun on another machine or with other versions ({record['machine']}): {otherwise}")
    return record


def missing(record: dict[str, Any], series: Sequence[Series]) -> list[tuple[Series, int]]:
    """Points that are not in a record yet."""
    there = {(point["study"], point["series"], point["size"]) for point in record["points"]}
    return [(line, size) for line in series for size in line.sizes if (line.study, line.name, size) not in there]


def fill(record: dict[str, Any], todo: list[tuple[Series, int]], path: Path, rounds: int | None) -> None:
    """Measure points, and write the record after each."""
    columns = (
        TextColumn("{task.description:<40}"),
        BarColumn(),
        TextColumn("{task.fields[done]} of {task.fields[points]} points"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with serving() as process, Progress(*columns, console=screen, transient=True, speed_estimate_period=600) as progress:
        task = progress.add_task("", total=sum(line.seconds(size) for line, size in todo), done=0, points=len(todo))
        for i, (line, size) in enumerate(todo):
            progress.update(task, description=f"{line.name}, {size:,}", done=i)
            record["points"].append(measure(process, line, size, rounds))
            store.replace(path, json.dumps({**record, "points": None})[:-5] + _rows(record["points"]) + "}\n")
            progress.advance(task, line.seconds(size))


def _rows(points: list[Point]) -> str:
    """JSON, a line a point."""
    return "[\n" + ",\n".join(f" {json.dumps(point)}" for point in points) + "\n]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing in the record, and draw it."""
    studies = list(dict.fromkeys(line.study for line in SERIES))
    parser = argparse.ArgumentParser(
        prog="python -m baselines.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Every point is written to the record when it is done.  Ctrl-C keeps them, and the same command goes on; a record that is\n"
        "complete is only drawn.\n\n"
        "  python -m baselines.growth --quick              is everything in place?  (ten seconds)\n"
        "  python -m baselines.growth --only states        dense tables and lists alone\n"
        "  python -m baselines.growth --record docs/reproductions/recorded/growth.json      draw what we measured",
    )
    parser.add_argument("--only", choices=studies, action="append", metavar="STUDY", help=f"one of {', '.join(studies)}; may be repeated")
    parser.add_argument("--compile", action="store_true", help="sweeps by torch.compile as well, half a minute a point")
    parser.add_argument("--quick", action="store_true", help="the three smallest sizes and three samples: a test, not a measurement")
    parser.add_argument("--record", type=Path, help="where points are kept (results/growth.json, or growth-quick.json)")
    parser.add_argument("--output", type=Path, default=Path("compared"), help="folder for growth.md and growth.svg (compared)")
    options = parser.parse_args(arguments)
    path = options.record or Path("results") / ("growth-quick.json" if options.quick else "growth.json")
    series = [line for line in SERIES if (options.compile or not line.optional) and (not options.only or line.study in options.only)]
    if options.quick:
        series = [line.quick() for line in series]
    settings = {"discount": DISCOUNT, "temperature": TEMPERATURE, "rooms": ROOMS, "policy_tolerance": POLICY_TOLERANCE}
    try:
        record = begun(path, settings | {"quick": options.quick}, complete=lambda record: not missing(record, series))
    except ValueError as error:
        parser.error(str(error))
    todo = missing(record, series)
    if todo:
        if sys.platform != "linux":
            parser.error("memory is measured by what Linux counts; elsewhere a complete record can be drawn")
        minutes = sum(line.seconds(size) for line, size in todo) / 60
        screen.print(
            f"{len(todo)} points to measure, about {max(minutes, 0.2):.1f} minutes of one core; Ctrl-C keeps what is done, in {path}"
        )
    try:
        fill(record, todo, path, 3 if options.quick else None)
    except KeyboardInterrupt:
        screen.print(f"stopped; {len(record['points'])} points are kept in {path}, and the same command goes on")
        return 130
    except Failed as error:
        screen.print(f"{error}\nThe points before it are kept in {path}, and the same command tries again", markup=False)
        return 1
    store.replace(options.output / "growth.svg", figures.svg(draw(record)))
    store.replace(options.output / "growth.md", page(record))
    print("\n".join(table(record)))
    print(f"{path} is drawn in {options.output / 'growth.md'} and growth.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
