"""A solver's run, step by step, and what it shows: the part of `solvers.testing` that looks on."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.leader.access import GRANTS, AccessError, Cost, Oracle, missing_access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.testing.report import require

from .base import Solver, State


class WatchedOracle(Oracle):
    """An oracle that notes what was asked above its level, also where the solver catches the error."""

    def __init__(self, oracle: Oracle, refused: list[str]) -> None:
        self.__dict__.update(vars(oracle))
        self._refused = refused

    def __getattr__(self, name: str) -> Any:
        if name in GRANTS:
            self._refused.append(name)
        return super().__getattr__(name)


@dataclass
class Trace:
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


def watch(solver: Solver, game: StackelbergGame, budget: int, seed: int) -> Trace:
    """Run until ``budget`` commitments or steps are used, with exactly the access that the solver declares, noting everything."""
    trace, rounds, rng = Trace(), RepeatedGame(game, seed=seed), np.random.default_rng([seed, 0x501])
    oracle, before = WatchedOracle(rounds.oracle(solver.access, solver.permissions), trace.refused), _global_generators()
    try:
        solver.declines(oracle)
        state = solver.init(oracle, 0.01 * rng.normal(size=game.commitment_shape))
        while True:
            trace.states.append(copy.deepcopy(state))
            trace.costs.append(dataclasses.replace(rounds.cost))
            if not trace.finite or max(rounds.cost.commitments, len(trace.states) - 1) >= budget:
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


def _asks_for_what_it_declared(solver: Solver, trace: Trace) -> None:
    above = [
        f"oracle.{name} ({' and '.join(missing_access(name, solver.access, solver.permissions))})" for name in dict.fromkeys(trace.refused)
    ]
    require(not above, f"declares {solver.access.name}, and asks for {', '.join(above)}; declare it, or do without")
    require(not isinstance(trace.error, AccessError), str(trace.error))


def _comes_through(solver: Solver, trace: Trace) -> None:
    if trace.error is not None and not isinstance(trace.error, AccessError):
        raise trace.error


def _finite(solver: Solver, trace: Trace) -> None:
    require(
        trace.finite, f"the commitment after step {len(trace.states) - 1} is not finite: {trace.states[-1].x if trace.states else None}"
    )


def _one_iteration_a_step(solver: Solver, trace: Trace) -> None:
    counted = [state.iteration for state in trace.states]
    require(counted == list(range(len(counted))), f"State.iteration counts the steps from 0, and grows by 1 in each; it was {counted}")


def _ledger(solver: Solver, trace: Trace) -> None:
    counts = [{name: amount for name, amount in asdict(cost).items() if name != "seconds"} for cost in trace.costs]
    for earlier, later in itertools.pairwise(counts):
        less = [name for name in earlier if later[name] < earlier[name]]
        require(not less, f"the ledger ran backwards in {', '.join(less)}; the house keeps it, and a solver only charges")
    learned = bool(trace.states) and any(not np.array_equal(state.x, trace.states[0].x) for state in trace.states)
    require(not learned or any(counts[-1].values()), "the commitment moves, but nothing was asked, played or charged")


def _no_global_generators(solver: Solver, trace: Trace) -> None:
    said = f"uses the global generator of {', '.join(trace.globals_moved)}; draw from the rng that step is given, which is part of a run"
    require(not trace.globals_moved, said)


WATCHED: dict[str, Callable[[Solver, Trace], None]] = {
    "asks for nothing above its access": _asks_for_what_it_declared,
    "comes through a run": _comes_through,
    "commitments stay finite": _finite,
    "an iteration is a step": _one_iteration_a_step,
    "the ledger counts what it uses": _ledger,
    "draws from its own generator only": _no_global_generators,
}
"""What is seen in a watched run, by name."""
