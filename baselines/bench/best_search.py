"""A search for better commitments than the best known ones: ``stackelberg best --search``.

One run is one world.  It improves what it has from several directions, and the budget is shared among them:

1. the commitment that is stored, or 0, by `solvers.combinatorial` or, if there are many components, by local search from its lifted end
2. starts anywhere, by `solvers.multistart`
3. what another method plans: `PLANNERS`, where they can play
4. transfer: commitments that are stored for related worlds, those of the same game and shape, the nearest settings first
5. basin hopping (Wales and Doye, J. Phys. Chem. A 1997) until the budget is used: the best so far, lifted as in `solvers.combinatorial`
   where it is new, else N(shrink x_best, sigma^2 I)

Every end is improved by local search: L-BFGS where the world has gradients, else a method that sees returns only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import solvers
import stackelberg_envs as se
from solvers.versions import versions
from stackelberg_envs.commitments import Saturation
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError

from .best import Best
from .execution import RunStopped
from .executors import Report
from .jobs import World
from .results_file import canonical

LOCAL: dict[str, dict[str, Any]] = {
    "multistart": {},
    "line_search": {},
    "zeroth_order": {"optimiser": "adam", "lr": 0.1},
}
"""Local searches and their settings; the first one that a world admits is used."""
PLANNERS = ("subsidy_planner", "security_lp", "inverse_planning")
"""Methods whose plans are starts, the exact ones first."""
SHARES = {"first": 0.4, "anywhere": 0.15, "planned": 0.03, "transfer": 0.15}
"""Of the budget; the rest is hopping.  A round of `inverse_planning` takes as long as about a hundred other commitments."""
RELATED = 4
"""From how many related worlds commitments are taken."""
HOPS = ((1.0, 0.1), (0.5, 0.3), (1.0, 1.0), (0.5, 1.0), (1.0, 3.0))
"""How much of the best commitment is kept, and the standard deviation of the noise, in turn."""
DEPTH = 12.0
"""How far below the largest of their softmax logits are lifted."""
FEW = 200
"""Components of a commitment up to which single ones and pairs are tried, and `inverse_planning`, whose rounds take minutes beyond."""
EVALUATIONS = 200
"""Commitments that a local search may use, at most."""
GAIN = 1e-9
"""A value is better if it exceeds another by more than this."""
WORTH_LIFTING = 1e-6
"""A commitment is lifted anew where it has gained more than this since, in relation to the value."""


@dataclass(frozen=True)
class BestSearch:
    """The search of one world, as `baselines.bench.runner.run_all` runs it.

    Args:
        world: where.
        budget: about how many commitments it may use; a local search is finished.
        seed: of all noise, together with the world.
        stored: the best commitment known when the search was made.
        related: starts from elsewhere, each with its world.
    """

    world: World
    budget: int
    seed: int = 0
    stored: Best | None = None
    related: tuple[Best, ...] = ()

    @property
    def id(self) -> str:
        """Hash of world, budget, seed and this package's version; not of what is stored, which finds of the same search change."""
        content = [versions()["stackelberg-envs"], self.world.key, self.budget, self.seed]
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """For people."""
        return describe(self.world)

    def execute(self, report: Report | None = None) -> dict[str, Any]:
        """The search; its result is a line of the ledger."""
        began, at = time.perf_counter(), _Progress(self, report)
        for part in (at.improve_first, at.start_anywhere, at.plan, at.transfer, at.hop):
            part()
        after, x, by = at.top
        return {
            "id": self.id,
            "key": self.world.key,
            "world": dataclasses.asdict(self.world),
            "budget": self.budget,
            "seed": self.seed,
            "stored": None if self.stored is None else dataclasses.asdict(self.stored),
            "before": None if self.stored is None else self.stored.leader_return,
            "after": after,
            "by": by,
            "x": x.tolist(),
            "commitments": at.used,
            "tried": at.tried,
            "timing": {"seconds": round(time.perf_counter() - began, 2)},
        }


class _Progress:
    """Where the search of a world stands."""

    def __init__(self, search: BestSearch, report: Report | None) -> None:
        self.search, self.report = search, report
        self.game, self.follower = search.world.game(), search.world.answerer() or search.world.game().default_follower
        self.rounds = RepeatedGame(self.game, self.follower)
        self.rng = np.random.default_rng([search.seed, int(hashlib.sha256(search.world.key.encode()).hexdigest()[:12], 16)])
        self.used, self.tried = 0, list[dict[str, Any]]()
        self.local = next(name for name in LOCAL if self.admits(name))
        x = np.zeros(self.game.commitment_shape) if search.stored is None else np.array(search.stored.x)
        self.top = (self.score(x), x, "zero" if search.stored is None else "stored")

    def admits(self, name: str) -> bool:
        """Whether a solver can play here."""
        solver = solvers.build(name)
        try:
            solvers.admit(solver, self.rounds, solver.access)
        except (se.AccessError, solvers.Declined):
            return False
        return True

    def score(self, x: np.ndarray) -> float:
        """The referee's, or -inf where nobody can answer."""
        try:
            return float(se.evaluate(self.game, x, follower=self.follower).leader_return)
        except PlanningError:
            return -np.inf

    def share(self, part: str) -> int:
        """Commitments for a part."""
        return max(1, round(SHARES[part] * self.search.budget))

    def attempt(self, source: str, solver: str, budget: int, start: np.ndarray | None, **settings: Any) -> np.ndarray | None:
        """Run a solver, and keep its last commitment if it is the best so far; the commitment, or None where it failed."""
        if start is not None:
            space = self.game.leader_space
            start = np.clip(start, space.low, space.high)
        try:
            found = solvers.solve(
                self.game,
                solver,
                follower=self.follower,
                budget=budget,
                seed=int(self.rng.integers(2**31)),
                start=start,
                start_scale=1.0,
                reports=max(1, budget // EVALUATIONS),
                progress=lambda used, row: self.say(used),
                **settings,
            )
        except (solvers.Declined, PlanningError, FloatingPointError, ValueError) as error:
            self.tried.append({"from": source, "by": solver, "failed": str(error)[:200]})
            self.advance(budget)
            return None
        if not found.finished:
            raise RunStopped
        self.tried.append({"from": source, "by": solver, "commitments": found.cost.commitments, "return": found.leader_return})
        if found.leader_return > self.top[0] + GAIN:
            self.top = (found.leader_return, found.x, f"{source}, by {solver}")
        self.advance(found.cost.commitments)
        return found.x

    def advance(self, commitments: int) -> None:
        """Count what was used."""
        self.used += commitments
        self.say()

    def say(self, more: int = 0) -> None:
        """Report what was used; whoever listens raises RunStopped if somebody asked to stop."""
        if self.report is not None:
            self.report(self.search.id, min(self.used + more, self.search.budget))

    def polish(self, source: str, start: np.ndarray, most: int) -> None:
        """One local search."""
        evaluations = max(1, min(EVALUATIONS, most))
        if self.local == "multistart":
            self.attempt(source, "multistart", 1, start, evaluations=evaluations)
        else:
            self.attempt(source, self.local, evaluations, start, **LOCAL[self.local])

    def improve_first(self) -> None:
        """From what is stored, or from 0."""
        _, x, source = self.top
        if self.admits("combinatorial") and x.size <= FEW:
            self.attempt(source, "combinatorial", self.share("first"), x)
        elif self.local == "multistart" and self.game.saturation is not None:
            self.attempt(source, "multistart", 1, x, evaluations=self.share("first"), lift=DEPTH)
        else:
            self.polish(source, x, self.share("first"))

    def start_anywhere(self) -> None:
        """From 0 if that is new, and from random starts."""
        budget = self.share("anywhere")
        if self.search.stored is not None:
            self.polish("zero", np.zeros(self.game.commitment_shape), budget)
        self.attempt("anywhere", self.local, budget, None, **LOCAL[self.local])

    def plan(self) -> None:
        """From what other methods plan."""
        few = np.size(self.top[1]) <= FEW
        for name in filter(self.admits, PLANNERS if few else PLANNERS[:-1]):
            budget = self.share("planned") if name == "inverse_planning" else 1
            if (x := self.attempt("a plan", name, budget, None)) is not None:
                self.polish(f"the plan of {name}", x, self.share("anywhere"))

    def transfer(self) -> None:
        """From commitments of related worlds."""
        for other in self.search.related:
            self.polish(f"the best of {describe(other.world)}", np.array(other.x), self.share("transfer") // len(self.search.related))

    def hop(self) -> None:
        """From the best so far, moved, until the budget is used."""
        lifted, turn = -np.inf, 0
        while (left := self.search.budget - self.used) > 0:
            value, x, _ = self.top
            raised = (self.game.saturation or Saturation.softmax(x.shape[-1])).lift(x, DEPTH)
            if value > lifted + WORTH_LIFTING * (1 + abs(value)) and not np.array_equal(raised, x):
                lifted = value
                self.polish("the best so far, lifted", raised, left)
                continue
            shrink, sigma = HOPS[turn % len(HOPS)]
            turn += 1
            self.polish("a hop", shrink * x + sigma * self.rng.normal(size=x.shape), left)


def describe(world: World) -> str:
    """A world in a line: id, arguments, and the follower if it is not the game's."""
    said = [world.label, *(f"{name}={value}" for name, value in world.arguments.items())]
    if world.follower is not None:
        said += [f"{name}={value}" for name, value in world.follower.items()]
    return " ".join(said)
