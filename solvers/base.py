"""What a solver is, and the one loop that runs them all.

A `Solver` is hyperparameters with ``init`` and ``step`` over an explicit `State`; it meets the game only through an
`stackelberg_envs.leader.access.Oracle` at the level it declares.  `solve` owns everything else: rounds, ledger, referee, history,
resuming.
"""

from __future__ import annotations

import abc
import copy
import inspect
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from stackelberg_envs.arguments import CheckedArguments, check_arguments, real, whole
from stackelberg_envs.commitments import CommitmentError
from stackelberg_envs.evaluation import Evaluation, evaluate
from stackelberg_envs.game import Follower, StackelbergGame, follower_of, judge_of
from stackelberg_envs.leader.access import Access, AccessError, Cost, Oracle, Permission
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError

from .needs import needs_whole_pieces
from .versions import version_changes, versions


class Declined(RuntimeError):
    """A solver cannot handle this game or follower, and says why."""


@dataclass(frozen=True)
class StepGradient:
    """The gradient that a step followed, or will follow next, before clipping, for `solvers.telemetry`."""

    x: np.ndarray
    """Where it was estimated, (n,)."""
    gradient: np.ndarray
    """(n,)."""
    direct: np.ndarray | None = None
    """Its part with the follower's policy held fixed, (n,), from estimators that know it apart."""
    response: np.ndarray | None = None
    """The rest of it, (n,)."""


@dataclass(frozen=True)
class State:
    """Where a solver stands between two steps; picklable."""

    x: np.ndarray
    """The commitment, float64, (n,)."""
    iteration: int = 0
    """Steps taken before this state; `solve` counts them, whatever ``init`` and ``step`` say."""
    carried: Any = None
    """The solver's own: optimiser, warm starts."""
    row: dict[str, float] | None = None
    """What the last step has to say for the history; with ``claimed_return``, the leader's own score of ``x``, the history also gets
    ``optimism_gap``: by how much that exceeds the referee's."""
    gradient: StepGradient | None = None
    """What the last step followed, of solvers that ascend a gradient."""
    finished: str | None = None
    """Why the solver wants no further step, in words, where it has a rule of its own to stop by."""


class Solver(CheckedArguments, abc.ABC):
    """A method, as hyperparameters: see `solvers.ascent.Ascent` for the gradient methods."""

    access: Access
    permissions: ClassVar[Permission] = Permission.NONE
    tabular: ClassVar[bool] = True
    """Whether it needs worlds with tables; one that does not sets this False."""
    signals: ClassVar[bool] = False
    """Whether it handles followers who see a signal of the leader's action; who reads exact returns alone always does."""

    crowds: ClassVar[bool] = False
    """Whether it handles a crowd that responds to itself; who learns from outcomes alone always does."""

    @abc.abstractmethod
    def declines(self, oracle: Oracle) -> str | None:
        """Why this method cannot handle the game, or None."""

    @abc.abstractmethod
    def init(self, oracle: Oracle, x: np.ndarray) -> State:
        """The state before the first step, at starting point ``x``."""

    @abc.abstractmethod
    def step(self, oracle: Oracle, state: State, rng: np.random.Generator) -> State:
        """One outer iteration."""


@dataclass(frozen=True)
class Score(CheckedArguments):
    """What a commitment is scored by: infinitely many steps at the game's own discount, unless it says otherwise.

    ``Score(150, 1.0)`` is the plain sum of the leader's rewards over 150 steps.  Followers plan as they always do.
    """

    horizon: int | None = None
    """Steps that count; None for infinitely many."""
    discount: float | None = None
    """The leader's, in [0, 1]; None for the game's own."""

    def of(self, game: StackelbergGame, x: Any, follower: Follower | None) -> Evaluation:
        """`evaluate`, by this score; raises what it raises."""
        return evaluate(game, x, follower=follower, horizon=self.horizon, leader_discount=self.discount)


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on; picklable, and not changed by resuming.  ``solve(..., resume=solution.checkpoint)``."""

    state: State
    rounds: RepeatedGame
    rng: np.random.Generator
    history: tuple[dict[str, Any], ...]
    settings: tuple[Any, ...]
    """Solver, access, seed, the referee's follower and score, whether there is telemetry; a resumed run must have the same."""
    interval: int
    """Commitments between two reports; a resumed run keeps it."""
    versions: tuple[tuple[str, str], ...] = ()
    """(package, version) of what computed it (`solvers.versions.versions`); a resumed run must have the same."""


@dataclass(frozen=True)
class Solution:
    """What a run came to."""

    x: np.ndarray
    """The last commitment, (n,)."""
    reason: str
    """Why it stopped, in words."""
    history: tuple[dict[str, Any], ...]
    """One row a report: iteration, the referee's score, the ledger, and what the solver said."""
    cost: Cost
    """The ledger at the end."""
    checkpoint: Checkpoint
    """For resuming."""

    finished: bool = True
    """Whether the budget was used up; False after an interrupt."""

    @property
    def leader_return(self) -> float:
        """The referee's score of ``x``."""
        return float(self.history[-1]["leader_return"])


def admit(solver: Solver, rounds: RepeatedGame, granted: Access) -> Oracle:
    """The handle on a run that ``solver`` gets at a level of access.

    Raises:
        AccessError: if the solver needs more.
        Declined: if the solver cannot handle the game or follower, or the follower the game.
    """
    if granted < solver.access:
        raise AccessError(f"{_display_name(solver)} needs access {solver.access.name}, and was granted {granted.name}")
    oracle = rounds.oracle(granted, solver.permissions)
    if solver.tabular and not oracle.tabular:
        raise Declined(
            f"{_display_name(solver)} works on tables, and {rounds.game.name} has none: its states are vectors; "
            f"zeroth_order, neural_bchg or, with closed forms, implicit play it{_if_own(solver)}"
        )
    if "signal" in oracle.follower_sees and not solver.signals and solver.access > Access.RETURN:
        raise Declined(
            f"{_display_name(solver)} handles followers who see the leader's action, or its policy, and in {rounds.game.name} they see a "
            "signal of the action; implicit, naive, multistart, combinatorial, zeroth_order and line_search play it"
        )
    if oracle.crowd and not solver.crowds and (solver.access > Access.INCENTIVE or solver.permissions):
        raise Declined(
            f"{_display_name(solver)} plans or trains for one follower, and in {rounds.game.name} a crowd responds to itself; implicit, "
            "adjoint_mirror, naive, multistart, combinatorial, hpgd, zeroth_order and line_search play it"
        )
    reason = solver.declines(oracle) or needs_whole_pieces(_display_name(solver), solver.access, rounds.model)
    if reason is not None:
        raise Declined(reason)
    assert rounds.follower is not None
    try:  # a follower that cannot answer the null commitment cannot answer at all
        rounds.follower.respond(rounds.game, rounds.game.for_context(np.zeros(rounds.game.commitment_shape), 0), 0, budget=1)
    except PlanningError as error:
        raise Declined(f"the follower cannot answer in {rounds.game.name}: {error}") from error
    return oracle


def _if_own(solver: Solver) -> str:
    """What the author of a solver may have left out; nothing for the suite's own, which say it."""
    return "" if _of_the_suite(solver) else "; set `tabular: ClassVar[bool] = False` if yours needs no tables"


def _of_the_suite(solver: Solver) -> bool:
    """Whether a solver, or the estimator that it ascends by, is of this package."""
    return type(getattr(solver, "estimator", solver)).__module__.partition(".")[0] == __package__


def _display_name(solver: Solver) -> str:
    """A short name for messages: of its class, or of the estimator that it ascends by."""
    return type(getattr(solver, "estimator", solver)).__name__


def run(
    solver: Solver,
    game: StackelbergGame,
    *,
    follower: Follower | None = None,
    referee: tuple[StackelbergGame, Follower | None] | None = None,
    score: Score | None = None,
    access: Access | None = None,
    budget: int,
    seed: int = 0,
    start: Any = None,
    start_scale: float = 0.01,
    reports: int = 50,
    progress: Callable[[int, dict[str, Any]], None] | None = None,
    resume: Checkpoint | None = None,
    stop: Callable[[], bool] | None = None,
    telemetry: Callable[[RepeatedGame, State], dict[str, float]] | None = None,
    believed: tuple[StackelbergGame, Follower | None] | None = None,
) -> Solution:
    """Run ``solver`` until ``budget`` commitments are used; see `solvers.solve` for the arguments."""
    follower_of(game, follower)
    check_arguments("solve", run, locals())
    for what, count, least in (("budget, in commitments,", budget, 1), ("reports", reports, 1), ("seed", seed, 0)):
        whole(what, count, least)
    real("start_scale", start_scale, 0)
    judge_game, judge = referee if referee is not None else (game, game.default_follower if follower is None else follower)
    judge = judge if judge is None else judge_of(judge)
    granted, score = solver.access if access is None else access, score or Score()
    settings = (repr(solver), granted, seed, repr(judge), repr(score), *(["telemetry"] if telemetry else []))
    if believed is not None:
        settings += (f"believed: {follower_of(*believed)!r}",)
    if resume is None:
        rounds, rng, interval = (
            RepeatedGame(game, follower, seed, believed=believed, measured=telemetry is not None),
            np.random.default_rng([seed, 0x501]),
            max(1, budget // reports),
        )
        oracle = admit(solver, rounds, granted)
        x = start_scale * rng.normal(size=game.commitment_shape) if start is None else _first_commitment(game, start)
        if x.shape != game.commitment_shape:
            raise CommitmentError(f"{game.name}: a start has shape {game.commitment_shape}, got {x.shape}")
        state, history = replace(solver.init(oracle, x), iteration=0), []
    else:
        if changed := version_changes(dict(resume.versions), versions()):
            raise ValueError(f"the checkpoint was made with other versions: {changed}; start the run over, or install those versions")
        if resume.settings != settings or not _same_world(resume.rounds, game, follower, believed):
            raise ValueError(
                "the checkpoint belongs to another run: its solver, access, seed, game, follower, referee, score, belief or "
                "telemetry differ"
            )
        resume = copy.deepcopy(resume)
        rounds, rng, state, history, interval = resume.rounds, resume.rng, resume.state, list(resume.history), resume.interval
        oracle = admit(solver, rounds, granted)
    reason, finished = f"budget of {budget} commitments used", True
    with deferred_interrupts() as interrupted:
        while True:
            due = not history or rounds.cost.commitments >= history[-1]["commitments"] + interval
            done = rounds.cost.commitments >= budget or state.finished is not None
            if (due or done) and not (history and history[-1]["iteration"] == state.iteration):
                row = {
                    "iteration": state.iteration,
                    **_referee_row(score.of(judge_game, state.x, judge)),
                    **rounds.cost.as_dict(),
                    **({} if judge_game.instruments is None else {"instruments": _as_lists(judge_game.instruments(state.x))}),
                    **({} if (learned := rounds.learned_gap) is None or np.isnan(learned) else {"learned_gap": learned}),
                    **(state.row or {}),
                    **(telemetry(rounds, state) if telemetry else {}),
                }
                if "claimed_return" in row:  # what the leader expects of followers of its own making, beyond what real ones give it
                    row["optimism_gap"] = row["claimed_return"] - row["leader_return"]
                history.append(row)
                if progress is not None:
                    progress(min(rounds.cost.commitments, budget), row)
            if done:
                reason = state.finished or reason
                break
            if interrupted() or (stop is not None and stop()):
                reason, finished = f"interrupted after {rounds.cost.commitments} of {budget} commitments", False
                break
            began, before = time.perf_counter(), rounds.cost.commitments
            state = replace(solver.step(oracle, state, rng), iteration=state.iteration + 1)  # a solver that miscounts loses no report
            again = int(rounds.cost.commitments == before)  # a leader that stays where it is commits to the same once more
            seconds = rounds.cost.seconds + time.perf_counter() - began
            rounds.cost = replace(rounds.cost, seconds=seconds, commitments=rounds.cost.commitments + again)
            if not np.isfinite(state.x).all():
                raise FloatingPointError(_not_finite(solver, state))
    checkpoint = Checkpoint(state, rounds, rng, tuple(history), settings, interval, tuple(versions().items()))
    return Solution(state.x.copy(), reason, tuple(history), replace(rounds.cost), checkpoint, finished)


def _not_finite(solver: Solver, state: State) -> str:
    """What to say of a commitment that is no vector of reals any more, and where to look."""
    own = type(getattr(solver, "estimator", solver))
    what = "NaN" if np.isnan(state.x).any() else "infinity"
    advice = ["a smaller learning rate (lr) may help"] if hasattr(solver, "lr") else []
    if not _of_the_suite(solver):
        try:
            place = f"{own.__name__} in {inspect.getsourcefile(own)}"
        except (TypeError, OSError):  # defined where there is no file, as at a prompt
            place = own.__name__
        advice.append(f"{'or ' if advice else ''}what {place} computes is at fault")
    return f"{solver!r}: x contains {what} after iteration {state.iteration}{'; ' * bool(advice)}{', '.join(advice)}"


def _first_commitment(game: StackelbergGame, start: Any) -> np.ndarray:
    """``start`` as a commitment; raises CommitmentError that says so."""
    try:
        return np.array(game.check_commitment(start), dtype=np.float64)
    except CommitmentError as error:
        raise CommitmentError(f"start: {error}") from error


def _referee_row(scored: Evaluation) -> dict[str, Any]:
    """What the referee writes into a history row: exact, on numbers of its own; where it had to play, with the error of its mean."""
    gap, error = float(scored.follower_gap), float(scored.standard_error)
    return {
        "leader_return": float(scored.leader_return),
        "per_context": [float(value) for value in np.asarray(scored.per_context)],
        "follower_gap": None if np.isnan(gap) else gap,
        **({"standard_error": error} if error > 0 else {}),
    }


def _as_lists(instruments: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the leader chose as plain data."""
    return {name: np.asarray(values).tolist() for name, values in instruments.items()}


def _same_world(
    rounds: RepeatedGame, game: StackelbergGame, follower: Follower | None, believed: tuple[StackelbergGame, Follower | None] | None
) -> bool:
    """Whether a run plays ``game`` against ``follower``, and believes alike: the same tables at 0, the same follower by its settings."""
    if believed is not None and (rounds.believed is None or not _same_world(RepeatedGame(*rounds.believed), *believed, None)):
        return False
    expected = game.default_follower if follower is None else follower
    if repr(rounds.follower) != repr(expected) or (rounds.game.name, rounds.game.contexts) != (game.name, game.contexts):
        return False
    zero = np.zeros(game.dimension)
    if rounds.game.spaces != game.spaces or rounds.game.dimension != game.dimension:
        return False
    pairs = [pair for c in game.contexts for pair in zip(rounds.game.problems(zero, c), game.problems(zero, c), strict=True)]
    return all(before.same_as(now) for before, now in pairs)


@contextmanager
def deferred_interrupts(*more: int) -> Iterator[Callable[[], bool]]:
    """Ctrl-C takes effect between steps, so that finished work stays intact, and says so; a second one interrupts at once.

    Where one stands inside another, as a run stands in a benchmark, both know of the same Ctrl-C.

    Args:
        more: signals that mean the same, where nobody handles them yet: SIGTERM, which clusters send before they kill.  They do also where
            Ctrl-C is ignored, as in a script's background jobs.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    pressed: list[int] = next((there for n in numbers if (there := getattr(signal.getsignal(n), "pressed", None)) is not None), [])

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)
        with suppress(OSError):  # unlike print, this may run inside another print
            os.write(2, b"\nStopping after the running steps; Ctrl-C again ends at once\n")

    note.pressed = pressed  # type: ignore[attr-defined]
    heard = [] if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else [signal.SIGINT]
    heard += [number for number in more if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield lambda: bool(pressed)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
