"""Reference solvers for Stackelberg Markov games, in torch.

``solve(game, "implicit")`` runs one; `names` lists them, and `register` adds to them.  Each meets the game only through an oracle at the
access level that it declares, and is scored by a referee of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackelberg_envs.extras import missing_extra
from stackelberg_envs.game import Follower, StackelbergGame
from stackelberg_envs.leader.access import Access

try:
    from .ascent import Ascent, Estimate, Estimator
    from .base import Checkpoint, Declined, Score, Solution, Solver, State, admit, run
    from .registry import SOLVERS, build, names, register, solver_class
    from .threads import thread_limit
except ImportError as error:
    raise missing_extra("solvers", error) from None

__distribution__ = "stackelberg-envs"
__all__ = [
    "SOLVERS",
    "Ascent",
    "Checkpoint",
    "Declined",
    "Estimate",
    "Estimator",
    "Score",
    "Solution",
    "Solver",
    "State",
    "admit",
    "build",
    "names",
    "register",
    "solve",
    "solver_class",
]


def solve(
    game: StackelbergGame,
    name: str,
    *,
    follower: Follower | None = None,
    referee: tuple[StackelbergGame, Follower | None] | None = None,
    score: Score | None = None,
    access: Access | None = None,
    budget: int = 1000,
    seed: int = 0,
    start: Any = None,
    start_scale: float = 0.01,
    reports: int = 50,
    progress: Callable[[int, dict[str, Any]], None] | None = None,
    resume: Checkpoint | None = None,
    stop: Callable[[], bool] | None = None,
    threads: int | None = 1,
    telemetry: bool = False,
    believed: tuple[StackelbergGame, Follower | None] | None = None,
    **hyperparameters: Any,
) -> Solution:
    """Run a solver on a game.

    Args:
        game: the world that produces the outcomes.
        name: one of `names`, or a reference, ``package.module:Name`` or ``path/to/file.py:Name``.
        follower: who answers; the game's default follower if not given.
        referee: (game, follower) that scores the history, where the score lives elsewhere than the outcomes; the game and follower of
            the run if not given.  A follower who learns is scored by its ``judge``, the exact one, and the history says how far its
            last answer was from its own optimum (``learned_gap``).
        score: over how many steps, and at which discount, the history is scored; see `Score`.
        access: grant this level instead of the one that the solver declares.
        budget: how many commitments it may use.
        seed: of the start, of the solver's noise and of the outcomes.
        start: first commitment (n,); drawn from N(0, start_scale^2 I) if not given.
        start_scale: see ``start``.
        reports: about how many history rows.
        progress: called with (commitments used, history row) at each report.
        resume: `Solution.checkpoint` of an earlier run with the same settings and versions; commitment, scores and cost become the
            same as without the stop (the history has one more row where that run's budget ended).
        stop: asked between steps; True ends the run as Ctrl-C does, with a `Solution` that is not ``finished``.
        threads: of NumPy, SciPy and torch, during the run; None: as many as they are set to.  A seed reproduces a run bit for bit on one
            number of threads: sums are added in another order on another.
        telemetry: also measure, at each report, how good the last gradient was, and how far followers who learn were from their best
            response; see `solvers.telemetry`.  This takes exact solves, which are in no ledger.
        believed: (game, follower) that the leader takes for the true ones: what it knows by its access level is of these, and what it
            watches and reads is of the true ones, which also score it; None for no error.
        **hyperparameters: of the solver.

    Raises:
        KeyError, ReferenceNotFoundError, TypeError: for an unknown solver or hyperparameter.
        AccessError: if ``access`` is below what the solver needs.
        Declined: if the solver cannot handle the game or follower.
        ValueError: if ``resume`` belongs to another run, or was made with other versions.
    """
    if isinstance(name, Solver):
        raise TypeError(f"solve takes a solver's name and builds it; a built one goes to solvers.run(solver, game, ...); got {name!r}")
    solver, measure = build(name, **hyperparameters), None  # first, for this imports torch if the solver needs it
    if telemetry:
        from .telemetry import telemetry_row as measure
    with thread_limit(threads):
        return run(
            solver,
            game,
            follower=follower,
            referee=referee,
            score=score,
            access=access,
            budget=budget,
            seed=seed,
            start=start,
            start_scale=start_scale,
            reports=reports,
            progress=progress,
            resume=resume,
            stop=stop,
            telemetry=measure,
            believed=believed,
        )
