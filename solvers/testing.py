"""The conformance kit for solvers: what every solver owes its users, on small games.

`check_solver` runs a solver as `solvers.solve` does, and besides step by step with an oracle that notes what is asked.  A solver keeps
between two steps what is in its `State`, draws from the generator that ``step`` is given, and asks for what its access level holds.  Each
promise is one check, which a broken solver fails by name.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

import stackelberg_envs as se
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.leader.access import GRANTS, Access, AccessError, Cost, Oracle, missing
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.testing.disguise import Disguised
from stackelberg_envs.testing.report import Report, require

from .ascent import Ascent, Estimator
from .base import Declined, Solution, Solver, State, admit, run
from .registry import REGISTRY, build

SMALL: dict[str, dict[str, Any]] = {
    "toy3-v0": {},
    "random_markov_game-v0": {"states": 4, "leader_actions": 2, "follower_actions": 2, "branching": 2},
    "bimatrix-v0": {},
    "four_rooms-v0": {"max_cycles": 30},
    "lq_gain-v0": {},
}
"""What a solver is tried on: games of the suite that answer in milliseconds, of several kinds."""


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
    made = _built(solver)
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
    return report.conclude()


def _built(solver: Any) -> Solver:
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
        require(False, f"{type(record).__name__} takes a hyperparameter no_such_setting, and so any misspelled one")


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


class _Watched(Oracle):
    """An oracle that notes what was asked above its level, also where the solver catches the error."""

    def __init__(self, oracle: Oracle, refused: list[str]) -> None:
        self.__dict__.update(vars(oracle))
        self._refused = refused

    def __getattr__(self, name: str) -> Any:
        if name in GRANTS:
            self._refused.append(name)
        return super().__getattr__(name)


@dataclass
class _Trace:
    """A run, step by step."""

    states: list[State] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    error: Exception | None = None
    globals_moved: list[str] = field(default_factory=list)

    @property
    def finite(self) -> bool:
        """Whether all commitments are."""
        return all(bool(np.isfinite(state.x).all()) for state in self.states)


def _watch(solver: Solver, game: StackelbergGame, budget: int, seed: int) -> _Trace:
    """Run until ``budget`` commitments are used, with exactly the access that the solver declares, noting everything."""
    trace, rounds, rng = _Trace(), RepeatedGame(game, seed=seed), np.random.default_rng([seed, 0x501])
    oracle, before = _Watched(rounds.oracle(solver.access, solver.permissions), trace.refused), _global_generators()
    try:
        solver.declines(oracle)
        state = solver.init(oracle, 0.01 * rng.normal(size=game.commitment_shape))
        while True:
            trace.states.append(copy.deepcopy(state))
            trace.costs.append(dataclasses.replace(rounds.cost))
            if not trace.finite or rounds.cost.commitments + len(trace.states) > 2 * budget or rounds.cost.commitments >= budget:
                break
            state = solver.step(oracle, state, rng)
    except Exception as error:
        trace.error = error
    trace.globals_moved = [name for name, now in _global_generators().items() if now != before[name]]
    return trace


def _global_generators() -> dict[str, Any]:
    """The state of the generators that belong to nobody."""
    return {
        "np.random": repr(np.random.get_state(legacy=False)["state"]),  # type: ignore[index] # noqa: NPY002 - only read
        "random": random.getstate(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def _check_on(report: Report, solver: Solver, game: StackelbergGame, budget: int, seed: int) -> None:
    """All checks on one game; the later ones only if the solver runs."""
    trace = _watch(copy.deepcopy(solver), game, budget, seed)
    before = len(report.failed)
    for name, watched in _WATCHED.items():
        report.check(f"{name} ({game.name})", watched, solver, trace)
    broken = len(report.failed) > before and (trace.error is not None or not trace.finite)
    for name, body in _RUNS.items():
        if broken:
            report.skipped[f"{name} ({game.name})"] = "the solver does not come through a run"
        else:
            report.check(f"{name} ({game.name})", body, solver, game, budget, seed)


def _asks_for_what_it_declared(solver: Solver, trace: _Trace) -> None:
    above = [f"oracle.{name} ({' and '.join(missing(name, solver.access, solver.permissions))})" for name in dict.fromkeys(trace.refused)]
    require(not above, f"declares {solver.access.name}, and asks for {', '.join(above)}; declare it, or do without")
    require(not isinstance(trace.error, AccessError), str(trace.error))


def _comes_through(solver: Solver, trace: _Trace) -> None:
    if trace.error is not None and not isinstance(trace.error, AccessError):
        raise trace.error


def _finite(solver: Solver, trace: _Trace) -> None:
    require(
        trace.finite, f"the commitment after step {len(trace.states) - 1} is not finite: {trace.states[-1].x if trace.states else None}"
    )


def _one_iteration_a_step(solver: Solver, trace: _Trace) -> None:
    counted = [state.iteration for state in trace.states]
    require(counted == list(range(len(counted))), f"State.iteration counts the steps from 0, and grows by 1 in each; it was {counted}")


def _ledger(solver: Solver, trace: _Trace) -> None:
    counts = [{name: amount for name, amount in asdict(cost).items() if name != "seconds"} for cost in trace.costs]
    for earlier, later in zip(counts, counts[1:], strict=False):
        less = [name for name in earlier if later[name] < earlier[name]]
        require(not less, f"the ledger ran backwards in {', '.join(less)}; the house keeps it, and a solver only charges")
    learned = bool(trace.states) and any(not np.array_equal(state.x, trace.states[0].x) for state in trace.states)
    require(not learned or any(counts[-1].values()), "the commitment moves, but nothing was asked, played or charged")


def _no_global_generators(solver: Solver, trace: _Trace) -> None:
    said = f"uses the global generator of {', '.join(trace.globals_moved)}; draw from the rng that step is given, which is part of a run"
    require(not trace.globals_moved, said)


_WATCHED: dict[str, Callable[[Solver, _Trace], None]] = {
    "asks for nothing above its access": _asks_for_what_it_declared,
    "comes through a run": _comes_through,
    "commitments stay finite": _finite,
    "an iteration is a step": _one_iteration_a_step,
    "the ledger counts what it uses": _ledger,
    "draws from its own generator only": _no_global_generators,
}
"""What is seen in a watched run, by name."""


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
        require(False, f"the state cannot be pickled ({type(error).__name__}: {error}); State.carried holds data, and no functions")
    resumed = run(copy.deepcopy(solver), game, budget=budget, seed=seed, resume=kept)
    require(np.array_equal(whole.x, resumed.x), "a run that was stopped, pickled and resumed ends elsewhere; keep all memory in State")
    stopped, through = _counts(resumed.cost), _counts(whole.cost)
    require(stopped == through, f"a run that was stopped, pickled and resumed cost {stopped}, and in one go {through}")


def _unseen_rewards(solver: Solver, game: StackelbergGame, budget: int, seed: int) -> str | None:
    """Followers want something else, but answer as they did: below MODEL nothing that the leader may see has changed."""
    if solver.access >= Access.MODEL:
        return "with access MODEL a leader may read followers' rewards"
    who, disguised = game.default_follower, Disguised(game)
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
    "a seed determines the run": _same_again,
    "runs from another start": _another_seed,
    "a pickled run goes on bit for bit": _resumes,
    "followers' rewards are not looked at": _unseen_rewards,
}
"""What is seen by comparing whole runs, by name."""
