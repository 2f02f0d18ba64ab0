"""Searches of many worlds for ``stackelberg best --search``: which they are, their ledger, and what they have found.

The ledger, ``best-search.jsonl``, has a line for each world that was searched.  A search that was stopped goes on with the next world.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import results_file
from .best import Best, keep, read_best
from .best_search import GAIN, RELATED, BestSearch, describe
from .configuration import Config
from .jobs import World
from .quantities import quantity
from .results_file import canonical
from .runner import run_all

LEDGER = "best-search.jsonl"


class Ledger:
    """The searches of a folder.

    Args:
        folder: where the ledger and ``best_known.jsonl`` are.
        records: further files of best commitments, such as the common record; they are only read.
    """

    def __init__(self, folder: Path, *records: Path) -> None:
        self.path, self.best_file = folder / LEDGER, folder / "best_known.jsonl"
        self.known = read_best(*records, self.best_file)

    def lines_of(self, wanted: Sequence[BestSearch]) -> list[dict[str, Any]]:
        """The lines of searches that are finished, in order of ``wanted``."""
        there = results_file.read(self.path)
        return [there[search.id] for search in wanted if search.id in there]

    def plan(self, worlds: Sequence[World], *, budget: int, seed: int) -> list[BestSearch]:
        """A search of each world, each world once.

        They start from what was known before any of them was finished: a search that was stopped goes on as if it had not been.
        """
        lines = self.lines_of(searches(worlds, self.known, budget=budget, seed=seed))
        return searches(worlds, before_search(self.known, lines), budget=budget, seed=seed)

    def run(self, wanted: Sequence[BestSearch], processes: int, console: Console) -> dict[str, str]:
        """Search what is not in the ledger yet, and store what is better; returns what went wrong, by id.

        Raises:
            RunStopped: on Ctrl-C, once what was found is stored.
        """
        try:
            return run_all(wanted, self.path, processes=processes, console=console)
        finally:
            keep(self.best_file, finds(self.lines_of(wanted)))


def worlds_of(records: dict[str, Best], config: Config | None, games: Sequence[str]) -> list[World]:
    """The worlds to search: those of a configuration that records can be of, or, without one, those that have a record.

    Raises:
        ValueError: if there are none.
    """
    if config is not None:
        chosen = [section.referee or section.world for section in config.sections if section.score is None]
    else:
        chosen = [best.world for best in records.values()]
        chosen = [world for world in chosen if not games or any(fnmatchcase(world.label, pattern) for pattern in games)]
    if not chosen:
        if config is not None:
            raise ValueError(f"{config.name} has no world to search: all are scored over another horizon or discount than records")
        known = sorted({best.world.label for best in records.values()})
        raise ValueError(f"no stored best commitment is of {', '.join(games) or 'any game'}; there are some of {', '.join(known)}")
    return chosen


def table(lines: Sequence[dict[str, Any]]) -> Table:
    """What was found: world, value before and after, and by what."""
    shown = Table("world", "before", "after", "by", title="Searches for better commitments", title_justify="left")
    for line in lines:
        before = "-" if line["before"] is None else f"{line['before']:.6f}"
        better = line["key"] in finds([line])
        after = f"{line['after']:.6f}" if better else "no better"
        shown.add_row(escape(describe(World(**line["world"]))), before, after, escape(line["by"]) if better else "")
    return shown


def searches(worlds: Sequence[World], known: dict[str, Best], *, budget: int, seed: int) -> list[BestSearch]:
    """A search of each world, each world once, from what is known."""
    found: dict[str, BestSearch] = {}
    for world in worlds:
        found.setdefault(world.key, BestSearch(world, budget, seed, known.get(world.key), related_to(world, known)))
    return list(found.values())


def related_to(world: World, known: dict[str, Best]) -> tuple[Best, ...]:
    """Commitments of other worlds of the same game that have the shape of this one's, those that share most settings first."""
    others = [(key, best) for key, best in known.items() if key != world.key and best.world.label == world.label]
    fitting = [(key, best) for key, best in others if np.shape(best.x) == world.commitment_shape]
    ours = _settings(world)

    def distance(world: World) -> int:
        theirs = _settings(world)
        return sum(ours.get(name) != theirs.get(name) for name in {*ours, *theirs})

    return tuple(best for _, best in sorted(fitting, key=lambda pair: (distance(pair[1].world), pair[0]))[:RELATED])


def _settings(world: World) -> dict[str, str]:
    """Arguments and follower of a world, each as text."""
    given = {**world.arguments, **{f"follower.{name}": value for name, value in (world.follower or {}).items()}}
    return {name: canonical(value) for name, value in given.items()}


def before_search(known: dict[str, Best], lines: Sequence[dict[str, Any]]) -> dict[str, Best]:
    """What was known before these lines of the ledger were found: a search that was stopped goes on as if it had not been."""
    earlier = dict(known)
    for line in lines:
        if line["stored"] is None:
            earlier.pop(line["key"], None)
        else:
            earlier[line["key"]] = _as_best(line["stored"])
    return earlier


def finds(lines: Sequence[dict[str, Any]]) -> dict[str, Best]:
    """What is better than what was stored, by world key."""
    better = [line for line in lines if line["before"] is None or line["after"] > line["before"] + GAIN]
    return {line["key"]: _as_find(line) for line in better if np.isfinite(line["after"])}


def _as_best(stored: dict[str, Any]) -> Best:
    return Best(World(**stored["world"]), stored["leader_return"], tuple(stored["x"]), stored["found_by"])


def _as_find(line: dict[str, Any]) -> Best:
    found_by = f"search from {line['by']}, seed {line['seed']}, {quantity(line['budget'], 'commitment')}"
    return Best(World(**line["world"]), line["after"], tuple(line["x"]), found_by)
