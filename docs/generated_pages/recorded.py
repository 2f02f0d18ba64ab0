"""Recorded results as tables: who reached what on which game, and who was first and who last."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

from .markdown import code, number, plain, table

RECORDED = Path(__file__).parents[1] / "reproductions" / "recorded"
TIE = 1e-3
MOST_SETTINGS = 4
"""Games of a configuration that are shown one by one; more of them are summed up."""


@dataclass(frozen=True)
class Entry:
    """All runs of one method in one setting of a configuration."""

    configuration: str
    game: str
    setting: str
    """Arguments, follower, referee and score."""
    solver: str
    label: str
    scores: tuple[float, ...]
    budgets: tuple[int, ...]

    @property
    def mean(self) -> float:
        return mean(self.scores)


@cache
def entries() -> tuple[Entry, ...]:
    """Every method in every setting of the recorded configurations; those that only tune hyperparameters are left out."""
    found: dict[tuple[str, str, str, str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(RECORDED.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            result = json.loads(line)
            job = result.get("job")
            if isinstance(job, dict) and "world" in job and not path.stem.endswith("-tuning"):
                key = path.stem, job["world"]["id"], _setting(job), job["solver"], job["label"] or job["solver"]
                found[key][json.dumps(_variant(job), sort_keys=True)].append(result)
    return tuple(
        Entry(*key[:-1], key[-1] + said, tuple(run["leader_return"] for run in runs), tuple(run["job"]["budget"] for run in runs))
        for key, variants in found.items()
        for said, runs in zip(_differences(list(map(json.loads, variants))), variants.values(), strict=True)
    )


def _variant(job: dict[str, Any]) -> dict[str, Any]:
    """What may differ between runs of one label in one setting."""
    elsewhere = {f"outcomes with {key}": value for key, value in job["world"]["arguments"].items()} if job["referee"] else {}
    return {**job["hyperparameters"], "budget": job["budget"], **elsewhere}


def _differences(variants: list[dict[str, Any]]) -> list[str]:
    """What tells each variant from the others, to be added to its label; empty where there is one."""
    names = sorted({name for variant in variants for name in variant})
    differ = [name for name in names if len({json.dumps(variant.get(name)) for variant in variants}) > 1]
    said = [", ".join(f"{name}={variant[name]}" for name in differ if name in variant) for variant in variants]
    return [f" ({words})" if words else "" for words in said]


def _setting(job: dict[str, Any]) -> str:
    """What was played and how it was scored, in words."""
    world = job["referee"] or job["world"]  # where the score lives: outcomes may come from elsewhere
    said = [f"{name}={value}" for name, value in world["arguments"].items()] or ["defaults"]
    if follower := world["follower"]:
        shown = ", ".join(f"{key}={value}" for key, value in follower.items() if key not in ("kind", "believes"))
        said.append(f"{follower['kind']}({shown})")
    if job["start"]:
        said.append("from " + ", ".join(f"x{index}={value:g}" for index, value in job["start"].items()))
    score = job.get("score") or {}
    if score.get("horizon") is not None:
        said.append(f"{score['horizon']} steps" + (", undiscounted" if score.get("discount") == 1 else ""))
    return ", ".join(said)


def best_means(group: list[Entry]) -> dict[str, float]:
    """Of each solver in one setting, the mean over seeds of its best variant."""
    best: dict[str, float] = {}
    for entry in group:
        best[entry.solver] = max(entry.mean, best.get(entry.solver, entry.mean))
    return best


def _ahead(best: dict[str, float], one: str, other: str) -> bool:
    """Whether a solver is ahead of another by more than `TIE` of the distance between the first and the last."""
    return best[one] - best[other] > TIE * (max(best.values()) - min(best.values()))


def settings(chosen: list[Entry]) -> dict[tuple[str, str, str], list[Entry]]:
    """Entries by configuration, game and setting."""
    grouped: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in chosen:
        grouped[entry.configuration, entry.game, entry.setting].append(entry)
    return grouped


def score_tables(game: str) -> str:
    """What every recorded method reached on a game, one table for each configuration."""
    texts = []
    chosen = [entry for entry in entries() if entry.game == game]
    for configuration in dict.fromkeys(entry.configuration for entry in chosen):
        here = settings([entry for entry in chosen if entry.configuration == configuration])
        texts.append(f"**{configuration}**\n\n{_few(here) if len(here) <= MOST_SETTINGS else _many(here)}")
    if not texts:
        return f"No results are recorded for this game. `stackelberg solve {game} SOLVER` makes some."
    return (
        "Scores are means over seeds of the referee's score of the last commitment. If a configuration has many settings, each method has "
        "a rank in each of them, by that mean. "
        f"Budgets differ between methods: {code('stackelberg results')} shows every run.\n\n" + "\n\n".join(texts)
    )


def _few(here: dict[tuple[str, str, str], list[Entry]]) -> str:
    rows = [
        (plain(entry.label), code(entry.solver), plain(entry.setting), len(entry.scores), max(entry.budgets), *map(number, _spread(entry)))
        for group in here.values()
        for entry in sorted(group, key=lambda entry: -entry.mean)
    ]
    return table(("method", "solver", "setting", "runs", "commitments", "mean", "least", "most"), rows)


def _spread(entry: Entry) -> tuple[float, float, float]:
    return entry.mean, min(entry.scores), max(entry.scores)


def _many(here: dict[tuple[str, str, str], list[Entry]]) -> str:
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    means: dict[tuple[str, str], list[float]] = defaultdict(list)
    for group in here.values():
        ordered = sorted(group, key=lambda entry: -entry.mean)
        for place, entry in enumerate(ordered, 1):
            places[entry.label, entry.solver].append(place)
            means[entry.label, entry.solver].append(entry.mean)
    rows = [
        (plain(label), code(solver), len(found), found.count(1), f"{mean(found):.1f}", number(mean(means[label, solver])))
        for (label, solver), found in sorted(places.items(), key=lambda item: mean(item[1]))
    ]
    return table(("method", "solver", f"settings (of {len(here)})", "first in", "mean rank", "mean score"), rows)


def won_and_lost(solver: str) -> str:
    """In how many recorded settings a solver was first and in how many last, and against whom, by configuration and game."""
    grouped: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for (configuration, game, _), group in settings(list(entries())).items():
        best = best_means(group)
        if solver in best and len(best) > 1:
            grouped[configuration, game].append(best)
    rows = []
    for (configuration, game), here in grouped.items():
        others = sorted({other for best in here for other in best} - {solver})
        first = sum(not any(_ahead(best, other, solver) for other in best) for best in here)
        last = sum(not any(_ahead(best, solver, other) for other in best) for best in here)
        duels = [
            f"`{other}` {sum(_ahead(best, solver, other) for best in here if other in best)}"
            f" : {sum(_ahead(best, other, solver) for best in here if other in best)}"
            for other in others
        ]
        page = f"[{game}](../games/{game.rpartition('-v')[0]}.md)"
        rows.append((configuration, page, len(here), first, last, ", ".join(duels)))
    if not rows:
        return "No recorded configuration compares it with another solver."
    return (
        "A setting is a game with its arguments, its follower and its score. In each one, solvers are compared by the mean over seeds of "
        "their best variant. Differences of less than 0.1 % of the distance between the first and the last are ties. `implicit` 2 : 1 says "
        "that this solver was ahead of `implicit` in two settings and behind it in one. Budgets and "
        "access differ between solvers, so that a win is no proof that a method is better.\n\n"
        + table(("configuration", "game", "settings", "first in", "last in", "won : lost against"), rows)
    )
