"""Which conflict games to tune on, to report and to hold out: committed lists, and how they were made.

The conflict game is ``random_markov_game-v0`` with its default arguments.  Some of its instances are solved by a leader that ignores
its followers' reaction, and tell good methods from bad ones no better than noise does.  So from a first seed on, each seed is measured
and listed if::

    naive / best <= 0.95

    uniform   F(0), the return of the uniform policy
    naive     where the naive gradient ends from there: `solvers.estimators.naive`, 150 steps of Adam, lr 0.2
    best      the best of repeated exact local searches: `solvers.multistart` from there, 300 commitments, some 10 searches;
              of a listed instance also of 300 more from the best so far, to the full tolerance

until the list is full.  It is the ratio of plain returns, which are positive here, and not of improvements over the uniform policy: the
rule asks whether there is something left to gain that is large beside the return.  ``best`` is a lower bound of the optimum, so an
instance that was left out is one where this search found no more than that, and its commitment is stored as its certificate.

Only these lists leave anything out: the game itself takes every seed, and so does a configuration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

import solvers
import stackelberg_envs as se
from stackelberg_envs.arguments import nearest

from . import results_file

COMMITTED = Path(__file__).parent.parent / "instances.json"
GAME = "random_markov_game-v0"
SOLVED = 0.95
"""Above this naive/best an instance is left out."""
LISTS = {"tuning": (1000, 5), "reporting": (0, 10), "held-out": (2000, 10)}
"""Name to first seed and how many to list."""
SEARCH_SEED = 0
"""Of the search behind ``best``."""
TOLERANCE = 1e-6
"""Between the same measurement on two machines."""


@dataclass(frozen=True)
class Instance:
    """One measured candidate."""

    seed: int
    """The game's."""
    uniform: float
    naive: float
    best: float
    commitment: tuple[float, ...]
    """What attains ``best``."""
    search_seed: int = SEARCH_SEED

    @property
    def has_gap(self) -> bool:
        """Whether the naive leader leaves something to gain."""
        return self.naive / self.best <= SOLVED

    def score(self, leader_return: float) -> float:
        """The share of the gain over the uniform policy, (J - uniform) / (best - uniform)."""
        return (leader_return - self.uniform) / (self.best - self.uniform)


def seeds(name: str) -> tuple[int, ...]:
    """The seeds of a list: ``"tuning"``, ``"reporting"`` or ``"held-out"``."""
    return tuple(instance.seed for instance in candidates(name) if instance.has_gap)


@cache
def candidates(name: str) -> tuple[Instance, ...]:
    """Every instance that was measured for a list, in order, also those that are left out.

    Raises:
        KeyError: if there is no such list.
    """
    if name not in LISTS:
        raise KeyError(f"no list of instances {name!r}; {nearest(name, tuple(LISTS))}")
    return read_instances(COMMITTED)[name]


def read_instances(path: Path) -> dict[str, tuple[Instance, ...]]:
    """The lists in a file."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return {name: tuple(Instance(**{**record, "commitment": tuple(record["commitment"])}) for record in data[name]) for name in LISTS}


def write(path: Path, lists: dict[str, list[Instance]]) -> None:
    """Write the lists, one line a candidate."""

    def lines(found: list[Instance]) -> str:
        return ",\n".join(f"  {json.dumps(asdict(instance))}" for instance in found)

    results_file.replace(path, "{\n" + ",\n".join(f'"{name}": [\n{lines(found)}\n]' for name, found in lists.items()) + "\n}\n")


def measure(seed: int) -> Instance:
    """Uniform, naive and best known returns of one instance; the same on every call."""
    game = se.game(GAME, seed=seed)
    zero = np.zeros(game.dimension)
    common: dict[str, Any] = {"seed": SEARCH_SEED, "reports": 1}
    naive = solvers.solve(game, "naive", start=zero, budget=150, lr=0.2, optimiser="adam", clip=None, **common).leader_return
    x = solvers.solve(game, "multistart", start=zero, budget=300, tolerance=1e-3, **common).x
    scored = _round_instance(game, seed, naive, x)
    if not scored.has_gap:
        return scored
    return _round_instance(game, seed, naive, solvers.solve(game, "multistart", start=x, budget=300, **common).x)


def _round_instance(game: se.StackelbergGame, seed: int, naive: float, x: np.ndarray) -> Instance:
    """A record whose best return is exactly that of the commitment as it is stored."""
    commitment = np.round(x, 6)
    uniform, best = (float(value) for value in se.evaluate(game, np.stack([np.zeros(game.dimension), commitment])).leader_return)
    return Instance(seed, round(uniform, 9), round(naive, 9), round(best, 9), tuple(commitment.tolist()))


def collect(progress: Callable[[str, int, int], None]) -> dict[str, list[Instance]]:
    """Measure candidates until every list is full; ``progress(name, seed, listed so far)`` is called before each."""
    lists: dict[str, list[Instance]] = {}
    for name, (first, wanted) in LISTS.items():
        found = lists.setdefault(name, [])
        for seed in count(first):
            full = sum(instance.has_gap for instance in found)
            progress(name, seed, full)
            if full == wanted:
                break
            found.append(measure(seed))
    return lists


def complaints(recorded: Instance) -> Iterator[str]:
    """Measure one candidate again, and say what is not as recorded."""
    game, again = se.game(GAME, seed=recorded.seed), measure(recorded.seed)
    attained = float(se.evaluate(game, np.array(recorded.commitment)).leader_return)
    for what, before, now in (
        ("uniform", recorded.uniform, again.uniform),
        ("naive", recorded.naive, again.naive),
        ("the stored commitment", recorded.best, attained),
    ):
        if abs(before - now) > TOLERANCE:
            yield f"seed {recorded.seed}: {what} is recorded as {before:.9f} and scores {now:.9f}"
    if again.best > recorded.best + TOLERANCE:  # a search that takes another turn and finds less on another machine is no complaint
        yield f"seed {recorded.seed}: the search finds {again.best:.9f}, more than the recorded {recorded.best:.9f}"


def list_errors(lists: dict[str, tuple[Instance, ...]]) -> Iterator[str]:
    """What is wrong with the lists themselves: not from the first seed on, not full, or longer than needed."""
    for name, (first, wanted) in LISTS.items():
        found = lists[name]
        if [instance.seed for instance in found] != list(range(first, first + len(found))):
            yield f"{name}: the candidates are not the seeds from {first} on"
        if sum(instance.has_gap for instance in found) != wanted or not found[-1].has_gap:
            yield f"{name}: does not end with listed instance {wanted}"
