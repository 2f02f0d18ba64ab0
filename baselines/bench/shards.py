"""One part of a benchmark for each task of a job array: every run is in exactly one part, and the parts cost about the same.

Each task computes the same division from the configuration and from a file of costs that does not change meanwhile; tasks need not
communicate.
"""

from __future__ import annotations

import heapq
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from . import results_file
from .configuration import Config
from .jobs import Job

T = TypeVar("T")


class ShardError(ValueError):
    """A part that there is not; the message says how parts are counted."""


@dataclass(frozen=True)
class Shard:
    """One of several parts."""

    index: int
    """From 0."""
    count: int

    def __str__(self) -> str:
        return f"shard-{self.index}-of-{self.count}"


def parse(text: str) -> Shard:
    """``"3/16"`` as the fourth of sixteen parts.

    Raises:
        ShardError: if it is of another form, or there is no such part.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None:
        raise ShardError(f"--shard {text}: write i/n, as in 0/16 for the first of 16 parts")
    shard = Shard(*map(int, found.groups()))
    if shard.index >= shard.count:
        raise ShardError(f"--shard {text}: parts are counted from 0, here from 0/{shard.count} to {shard.count - 1}/{shard.count}")
    return shard


def divide(items: Sequence[T], count: int, cost: Callable[[T], float]) -> list[list[T]]:
    """Items in so many lists of nearly equal cost: the dearest first, each to the list that has cost least so far (Graham 1969).

    No list costs more than 4/3 - 1/(3 count) times the dearest list of the best division.

    Args:
        items: what to divide; each list has its items in this order.
        count: of lists.
        cost: of an item, at least 0.
    """
    costs = [cost(item) for item in items]
    lists: list[list[int]] = [[] for _ in range(count)]
    least = [(0.0, 0, i) for i in range(count)]
    for place in sorted(range(len(items)), key=lambda place: -costs[place]):  # which keeps the order of equals
        total, length, i = heapq.heappop(least)
        lists[i].append(place)
        heapq.heappush(least, (total + costs[place], length + 1, i))
    return [[items[place] for place in sorted(chosen)] for chosen in lists]


def part_of(config: Config, shard: Shard, costs: Costs) -> list[Job]:
    """The runs of one part of a configuration, seed by seed."""
    jobs = [job for section in config.sections for job in section.jobs]  # seeds of a kind side by side, so that they go to several parts
    return sorted(divide(jobs, shard.count, costs.of)[shard.index], key=lambda job: job.seed)


class Costs:
    """Seconds that a run takes: the mean of finished ones of the same kind, or what its budget lets expect.

    Args:
        results: of finished runs, as `results_file.read_lines` gives them.
    """

    def __init__(self, results: Iterable[results_file.Line] = ()) -> None:
        seconds: dict[str, list[float]] = {}
        rates = []
        for _, result in results:
            try:
                seconds.setdefault(kind_of(result["job"]), []).append(float(result["timing"]["seconds"]))
                rates.append(float(result["timing"]["seconds"]) / result["job"]["budget"])
            except (KeyError, TypeError, ValueError, ZeroDivisionError):
                continue  # of another study, or damaged: it says nothing of costs
        self.seconds = {kind: statistics.fmean(each) for kind, each in seconds.items()}
        self.rate = statistics.median(rates) if rates else 1.0

    @staticmethod
    def read(*paths: Path) -> Costs:
        """Those of results files."""
        return Costs(line for path in paths for line in results_file.read_lines(path))

    def of(self, job: Job) -> float:
        """Of a run, in seconds; in commitments where no finished run says more."""
        if not self.seconds:
            return float(job.budget)
        return self.seconds.get(kind_of(job.as_dict()), self.rate * job.budget)


def kind_of(job: dict[str, Any]) -> str:
    """What runs have in common that differ in nothing but their seed."""
    return results_file.canonical({key: value for key, value in results_file.portable_job(job).items() if key != "seed"})
