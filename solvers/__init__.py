"""Reference solvers for Stackelberg Markov games, in torch.

``solve(game, "implicit")`` runs one; `SOLVERS` lists them.  Each meets the game only through an oracle at the access level that it
declares, and is scored by a referee of its own.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from stackelberg_envs.arguments import nearest
from stackelberg_envs.game import Follower, StackelbergGame
from stackelberg_envs.leader.access import Access

from .ascent import Ascent, Estimate, Estimator
from .base import Checkpoint, Declined, Score, Solution, Solver, State, admit, run

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
    "solve",
    "solver_class",
]

SOLVERS = {
    "implicit": "estimators.implicit:Implicit",
    "multistart": "multistart:Multistart",
    "penalty": "penalty:Penalty",
    "independent_pg": "independent_pg:IndependentPG",
    "inverse_planning": "inverse_planning:InversePlanning",
    "bchg": "estimators.bchg:BCHG",
    "hpgd": "estimators.hpgd:HPGD",
    "hpgd_kernel": "estimators.hpgd_kernel:HPGDKernel",
    "rtq": "estimators.rtq:RTQ",
    "neural_bchg": "estimators.neural_bchg:NeuralBCHG",
    "zeroth_order": "estimators.zeroth_order:ZerothOrder",
    "naive": "estimators.naive:Naive",
    "two_stage": "estimators.two_stage:TwoStage",
    "multiple_lp": "planners:MultipleLP",
    "enumeration": "planners:Enumeration",
    "line_search": "planners:LineSearch",
    "contract_lp": "contract_lp:ContractLP",
    "msobirl": "estimators.sobirl:MSoBiRL",
    "sobirl": "estimators.sobirl:SoBiRL",
    "biac": "estimators.biac:BiAC",
    "leader_ppo": "leader_ppo:LeaderPPO",
}
"""Name to module and class, below `solvers`; an `Estimator` is run by `Ascent`, a `Solver` runs itself."""


def solver_class(name: str) -> type[Solver] | type[Estimator]:
    """The class behind a name.

    Raises:
        KeyError: if there is no such solver; the message suggests the nearest.
    """
    if name not in SOLVERS:
        raise KeyError(f"no solver {name!r}; {nearest(name, tuple(SOLVERS))}")
    module, attribute = SOLVERS[name].split(":")
    return getattr(importlib.import_module(f".{module}", __package__), attribute)


def build(name: str, **hyperparameters: Any) -> Solver:
    """A solver with its hyperparameters; those of an estimator and of `Ascent` go together.

    Raises:
        KeyError: if there is no such solver.
        TypeError: if it has no such hyperparameter.
    """
    cls = solver_class(name)
    own = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    outer = {field.name for field in dataclasses.fields(Ascent)} - {"estimator"} if issubclass(cls, Estimator) else set()
    for key in hyperparameters:
        if key not in own | outer:
            raise TypeError(f"{name} has no hyperparameter {key!r}; {nearest(key, sorted(own | outer))}")
    fields = {field.name: field for field in [*dataclasses.fields(cls), *dataclasses.fields(Ascent)]}  # type: ignore[arg-type]
    for key, value in hyperparameters.items():
        _check_type(name, key, value, fields[key].default)
    inner = cls(**{key: value for key, value in hyperparameters.items() if key in own})
    if isinstance(inner, Solver):
        return inner
    return Ascent(inner, **{key: value for key, value in hyperparameters.items() if key in outer})


def _check_type(name: str, key: str, value: Any, default: Any) -> None:
    """A hyperparameter is of the kind of its default; None where the default is None or a number that may be switched off."""
    kinds: dict[type, tuple[str, Any]] = {
        bool: ("true or false", bool),
        int: ("a whole number", int),
        float: ("a number", (int, float)),
        str: ("text", str),
        tuple: ("a list of numbers", (tuple, list)),
    }
    words, kind = kinds.get(type(default), ("", object))
    wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool and kind is not object)
    if isinstance(value, (tuple, list)):
        wrong = wrong or not all(type(entry) in (int, float) for entry in value)
    if wrong and not (value is None and key == "clip"):
        raise TypeError(f"{name}: {key} is {words}, got {value!r}")


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
    **hyperparameters: Any,
) -> Solution:
    """Run a solver on a game.

    Args:
        game: the world that produces the outcomes.
        name: one of `SOLVERS`.
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
        resume: `Solution.checkpoint` of an earlier run with the same settings; commitment, scores and cost become the same as
            without the stop (the history has one more row, where it stopped).
        **hyperparameters: of the solver.

    Raises:
        KeyError, TypeError: for an unknown solver or hyperparameter.
        AccessError: if ``access`` is below what the solver needs.
        Declined: if the solver cannot handle the game or follower.
    """
    return run(
        build(name, **hyperparameters),
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
    )
