"""The conformance kit for solvers: what every solver owes its users, on small games.

`check_solver` runs a solver as `solvers.solve` does, and besides step by step with an oracle that notes what is asked.  A solver keeps
between two steps what is in its `State`, draws from the generator that ``step`` is given, and asks for what its access level holds.  Each
promise is one check, which a broken solver fails by name.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

import stackelberg_envs as se
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.leader.access import Access, Cost
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.testing.modified_games import GameWithOtherFollowerRewards
from stackelberg_envs.testing.report import Report, Violation, require

from .ascent import Ascent, Estimator
from .base import Declined, Solution, Solver, admit, run
from .gradient_checks import ask_for_exact, check_gradient, says_exact
from .registry import REGISTRY, build
from .watched import WATCHED, watch

SMALL: dict[str, dict[str, Any]] = {
    "toy3-v0": {},
    "random_markov_game-v0": {"states": 4, "leader_actions": 2, "follower_actions": 2, "branching": 2},
    "bimatrix-v0": {},
    "four_rooms-v0": {"max_cycles": 30},
    "lq_gain-v0": {},
}
"""What a solver is tried on: games of the suite that answer in milliseconds, of several kinds."""
_GRADIENT = "the gradient is that of the referee's score"
_SAME_AGAIN = "a seed determines the run"


def check_solver(
    solver: str | type[Solver] | type[Estimator] | Solver | Estimator,
    games: Sequence[StackelbergGame] | None = None,
    *,
    budget: int = 8,
    seed: int = 0,
) -> Report:
    """Check a solver on small games.

    Args:
        solver: a solver or an estimator, its class, its name, or a reference (``package.module:Name`` or ``path/to/file.py:Name``).
        games: what to try it on; those of `SMALL` if not given.  What the solver declines is left out, and the report says why.
        budget: commitments a run, some seven runs a game; at least two steps' worth shows most.
        seed: of the runs.

    Raises:
        ConformanceError: with everything that was found.
        KeyError, ReferenceNotFoundError: if there is no such solver, or it is none.
    """
    made = _build(solver)
    report = Report(f"solver {type(getattr(made, 'estimator', made)).__name__}")
    report.check("hyperparameters are named, and others refused", _hyperparameters, made)
    tried = [se.game(id, **arguments) for id, arguments in SMALL.items()] if games is None else list(games)
    reasons = [_declined(made, game) for game in tried]
    report.check("plays at least one game", _plays_one, reasons)
    for game, reason in zip(tried, reasons, strict=True):
        if reason is None:
            _check_on(report, made, game, budget, seed)
        else:
            report.skipped[f"everything on {game.name}"] = f"declined: {reason}"
    if made.access >= Access.MODEL and not says_exact(made):
        report.check(_GRADIENT, ask_for_exact, made)
    return report.conclude()


def _build(solver: Any) -> Solver:
    """A solver with default hyperparameters where they are not given; an estimator with `Ascent` around it."""
    if isinstance(solver, str):
        return build(solver)
    made = REGISTRY.check_class(solver, solver.__qualname__)() if isinstance(solver, type) else solver
    REGISTRY.check_class(type(made), type(made).__qualname__)
    return Ascent(made) if isinstance(made, Estimator) else made


def _declined(solver: Solver, game: StackelbergGame) -> str | None:
    """Why the solver does not play ``game``; None if it does, or fails when it is asked, which is found again where it is watched."""
    try:
        admit(copy.deepcopy(solver), RepeatedGame(game), solver.access)
    except Declined as reason:
        return str(reason)
    except Exception:
        return None
    return None


def _plays_one(reasons: list[str | None]) -> None:
    require(
        bool(reasons) and None in reasons, f"declines all of them: {'; '.join(map(str, reasons))}; give check_solver games that it plays"
    )


def _hyperparameters(solver: Solver) -> None:
    """Runs are told apart by ``repr``: what it hides may not be changed unseen."""
    for record in (solver, getattr(solver, "estimator", solver)):
        for setting in dataclasses.fields(record):  # type: ignore[arg-type]
            other = _another(getattr(record, setting.name))
            for shown in (record, *_replaced(record, setting.name, other)):
                hidden = f"{setting.name}=" not in repr(shown) and getattr(shown, setting.name) != setting.default
                require(not hidden, f"repr says {shown!r}, without {setting.name}: resumed runs and results are told apart by it")
        try:
            _ = dataclasses.replace(record, no_such_setting=1)  # type: ignore[type-var]
        except TypeError:
            continue
        raise Violation(f"{type(record).__name__} takes a hyperparameter no_such_setting, and so any misspelled one")


def _another(value: Any) -> Any:
    """Another value of the same kind; None for kinds of which none is certain to be valid, such as text."""
    others: dict[type, Callable[[Any], Any]] = {
        bool: lambda old: not old,
        int: lambda old: old + 1,
        float: lambda old: old / 2 + 0.25,
        tuple: lambda old: (*old, 1),
    }
    return others.get(type(value), lambda old: None)(value)


def _replaced(record: Any, name: str, value: Any) -> list[Any]:
    """``record`` with one other hyperparameter, in a list; an empty list if it refuses it."""
    try:
        return [] if value is None else [dataclasses.replace(record, **{name: value})]
    except (TypeError, ValueError):
        return []


def _check_on(report: Report, solver: Solver, game: StackelbergGame, budget: int, seed: int) -> None:
    """All checks on one game; the later ones only if the solver runs."""
    trace = watch(copy.deepcopy(solver), game, budget, seed)
    before = len(report.failed)
    for name, watched in WATCHED.items():
        report.check(f"{name} ({game.name})", watched, solver, trace)
    broken = len(report.failed) > before and (trace.error is not None or not trace.finite)
    if not broken and says_exact(solver):
        report.check(f"{_GRADIENT} ({game.name})", check_gradient, solver, game, seed)
    for name, body in _RUNS.items():
        if broken or f"{_SAME_AGAIN} ({game.name})" in report.failed:  # comparing runs would blame it for what it has not done
            why = "the solver does not come through a run" if broken else "two runs with one seed differ anyway"
            report.skipped[f"{name} ({game.name})"] = why
        else:
            report.check(f"{name} ({game.name})", body, solver, game, budget, seed)


def _same_again(solver: Solver, game: StackelbergGame, budget: int, seed: int) -> None:
    used = copy.deepcopy(solver)
    first, second = (run(used, game, budget=budget, seed=seed) for _ in range(2))
    same = _timeless(first) == _timeless(second) and np.array_equal(first.x, second.x)
    require(same, "two runs with one seed differ; all noise is from the rng that step is given, and all memory in State")


def _another_seed(solver: Solver, game: StackelbergGame, budget: int, seed: int) -> None:
    run(copy.deepcopy(solver), game, budget=budget, seed=seed + 1)


def _resumes(solver: Solver, game: StackelbergGame, budget: int, seed: int) -> None:
    """The second half is run by a solver that has not seen the first, as in another process."""
    whole = run(copy.deepcopy(solver), game, budget=budget, seed=seed)
    half = run(copy.deepcopy(solver), game, budget=max(1, budget // 2), seed=seed)
    try:
        kept = pickle.loads(pickle.dumps(half.checkpoint))
    except Exception as error:
        raise Violation(f"the state cannot be pickled ({type(error).__name__}: {error}); State.carried holds data, no functions") from error
    resumed = run(copy.deepcopy(solver), game, budget=budget, seed=seed, resume=kept)
    require(np.array_equal(whole.x, resumed.x), "a run that was stopped, pickled and resumed ends elsewhere; keep all memory in State")
    stopped, through = _counts(resumed.cost), _counts(whole.cost)
    require(stopped == through, f"a run that was stopped, pickled and resumed cost {stopped}, and in one go {through}")


def _unseen_rewards(solver: Solver, game: StackelbergGame, budget: int, seed: int) -> str | None:
    """Followers want something else, but answer as they did: below MODEL nothing that the leader may see has changed."""
    if solver.access >= Access.MODEL:
        return "with access MODEL a leader may read followers' rewards"
    who, disguised = game.default_follower, GameWithOtherFollowerRewards(game)
    assert who is not None
    if disguised.closed_forms != game.closed_forms:
        return "its disguise has no closed forms, which a leader may know"
    worlds = ((game, who), (disguised, se.Believes(game, who)))
    plain, other = (run(copy.deepcopy(solver), world, follower=follower, budget=budget, seed=seed) for world, follower in worlds)
    same = np.array_equal(plain.x, other.x) and _counts(plain.cost) == _counts(other.cost)
    require(same, "commits to something else where followers' rewards differ and their behaviour does not: it sees what it may not")
    return None


def _timeless(solution: Solution) -> str:
    """The history without the time that it took."""
    return repr([{key: value for key, value in row.items() if key != "seconds"} for row in solution.history])


def _counts(cost: Cost) -> dict[str, Any]:
    return {name: amount for name, amount in asdict(cost).items() if name != "seconds"}


_RUNS: dict[str, Callable[[Solver, StackelbergGame, int, int], str | None]] = {
    _SAME_AGAIN: _same_again,
    "runs from another start": _another_seed,
    "a pickled run goes on bit for bit": _resumes,
    "followers' rewards are not looked at": _unseen_rewards,
}
"""What is seen by comparing whole runs, by name."""
