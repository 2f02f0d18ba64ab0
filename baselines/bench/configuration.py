"""From a TOML file to jobs (`baselines.bench.jobs.Job`).

A configuration is numbers only.  Games, solvers and kinds of followers that are not the suite's own are named by their place in code,
``package.module:Name`` or ``path/to/file.py:Name``; a path starts in the folder of the TOML file or, if there is no such file there, in
the working directory::

    name = "default"
    seeds = 5
    first_seed = 0                                          # tuning runs have seeds of their own, from 1000

    record = "my_best.jsonl"                                # optional: best commitments of your own (stackelberg best), for the gaps
    reach = { at = [10, 100], target = 0.95 }               # optional: what python -m baselines.studies.reach shows; see there

    [[solvers]]                                             # optional: run in every game that admits it, beside those of the game itself

    [[games]]
    id = "four_rooms-v0"
    title = "Four Rooms"
    arguments = { preset = "hpgd", beta = 3.0 }
    follower = { kind = "Soft", temperature = 0.003 }
    referee = { arguments = { preset = "hpgd" } }          # optional: where the score lives, if elsewhere
    # score = { horizon = 150, discount = 1.0 }             # optional: what the referee counts, if not infinitely many steps at the game's
                                                            # discount; such runs do not enter the record of best commitments
    published = [{ label = "HPGD", value = 0.73, error = 0.001, budget = 10_000 }]  # optional: error, seeds, budget, source
    seeds = 10                                              # optional: instead of those above

    [[games.solvers]]
    label = "exact hypergradient"
    name = "implicit"
    budget = 2000
    start_scale = 0.01                                      # random start, or
    # start = { 25 = 8.6 }                                  # these components, and zeros; then seeds = 1 is enough
    hyperparameters = { lr = 0.5 }
    # access = "MODEL"                                      # grant this level instead of the one that the solver declares
    # outcomes = { slip = 0.33 }                            # this solver's outcomes come from the game changed so, while the followers
                                                            # answer to the game as it is above, and the score lives there
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

import solvers.registry
import stackelberg_envs as se
from stackelberg_envs.arguments import ArgumentError, check_kind, nearest, whole
from stackelberg_envs.leader.access import Access
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.planning.linear_systems import PlanningError
from stackelberg_envs.references import absolute, is_reference

from . import foreign
from .followers import FOLLOWERS
from .jobs import Job, World

MOST_SEEDS = 100_000
FILE = {"name": str, "seeds": Any, "first_seed": Any, "games": Any, "solvers": Any, "reach": dict, "record": Any, "telemetry": bool}
GAME = {
    **{"id": Any, "title": Any, "arguments": dict, "follower": Any, "referee": dict, "score": dict, "published": Any, "seeds": Any},
    "solvers": Any,
}
PUBLISHED = {"label": Any, "value": Any, "error": Any, "seeds": int, "budget": Any, "source": str}
RUN = {
    **{"label": str, "name": Any, "budget": Any, "seeds": Any, "start_scale": float, "start": dict, "hyperparameters": dict},
    **{"outcomes": Any, "access": str},
}
"""Key to kind; those that are checked elsewhere, in words of their own, may be anything here."""
CONFIGS = Path(__file__).parent.parent / "configs"
RESERVED = ("best_known", "best-search", "polished")
"""Names of files that the command line writes beside results."""


class ConfigError(ValueError):
    """A configuration that cannot be run; the message says where and what to write instead."""


class CannotPlayError(ConfigError):
    """A solver that cannot play a game, or may not know enough to."""


@dataclass(frozen=True)
class Section:
    """One game of a configuration."""

    title: str
    world: World
    referee: World | None
    score: solvers.Score | None
    published: tuple[dict[str, Any], ...]
    jobs: tuple[Job, ...]
    refused: tuple[str, ...] = ()
    """A line on each shared solver that this game refuses, and that is not run."""


@dataclass(frozen=True)
class Config:
    """A whole benchmark."""

    name: str
    sections: tuple[Section, ...]
    reach: dict[str, Any] = field(default_factory=dict)
    """How `baselines.studies.reach` is to draw it: ``at``, ``target``, ``of``, ``split``, ``only``."""
    record: Path | None = None
    """A file of best commitments that gaps are to, beside the common record."""
    refused: tuple[str, ...] = ()
    """A line on each pair of a game and a shared solver that is not run, those of the sections included."""

    @property
    def jobs(self) -> list[Job]:
        """All jobs, seed by seed, so that an interrupted run has something of everything."""
        jobs = [job for section in self.sections for job in section.jobs]
        return sorted(jobs, key=lambda job: job.seed)

    def select(self, games: Sequence[str] = (), solvers: Sequence[str] = (), budget_scale: float = 1.0) -> Config:
        """A part of it.

        Args:
            games: ids or titles of the games to keep, or patterns of them such as ``*rooms*``; all if there are none.
            solvers: labels or names of solvers likewise.
            budget_scale: a number that each budget is multiplied by.

        Raises:
            ConfigError: if nothing is called so.
        """
        wanted = [s for s in self.sections if not games or _matches(games, s.world.label, s.title)]
        _require_each(games, [name for s in self.sections for name in (s.world.label, s.title)], "game")
        _require_each(solvers, [name for s in wanted for job in s.jobs for name in (job.label, job.solver)], "solver")
        sections = []
        for section in wanted:
            jobs = [job for job in section.jobs if not solvers or _matches(solvers, job.label, job.solver)]
            scaled = tuple(job if budget_scale == 1 else replace(job, budget=max(1, round(job.budget * budget_scale))) for job in jobs)
            sections += [replace(section, jobs=scaled)] if scaled else []
        return replace(self, sections=tuple(sections))


def _matches(patterns: Sequence[str], *names: str) -> bool:
    """Whether one of the names is one of the patterns, or matches it."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _require_each(patterns: Sequence[str], names: Sequence[str], kind: str) -> None:
    """Refuse a pattern that nothing matches."""
    for pattern in patterns:
        if not _matches([pattern], *names):
            raise ConfigError(f"no {kind} here is called {pattern!r}; {nearest(pattern, list(dict.fromkeys(names)))}")


def load(
    path: str | Path,
    *,
    seeds: int | None = None,
    first_seed: int | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> Config:
    """Read a configuration by path, or by name from the embedded ones.

    Args:
        path: a TOML file, or the name of one in ``baselines/configs``.
        seeds: how many seeds, instead of what the file says.
        first_seed: the first of them, instead of what the file says.
        announce: called, before anything is imported, with a line that says whose code the configuration runs, if others', and later
            with a line on each shared solver that a game refuses, and that is not run there.

    Raises:
        ConfigError: if it cannot be read, or says something unknown.
    """
    file = Path(path)
    if not file.is_file():
        file = CONFIGS / f"{path}.toml"
        if not file.exists():
            raise ConfigError(_missing(Path(path)))
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    _check_keys(data, FILE, str(file))
    name, record = _name(data.get("name", file.stem), str(file)), data.get("record")
    if not isinstance(record, (str, type(None))):
        raise ConfigError(f"{file}: record is the path of a file of best commitments, as stackelberg best writes it, got {record!r}")
    for key in ("games", "solvers"):
        if not isinstance(data.get(key, []), list):
            raise ConfigError(f"{file}: {key} are tables, [[{key}]], got {data[key]!r}")
    foreign.make_absolute(data, file.parent)
    if sources := foreign.sources(data):
        announce(f"This configuration runs code from: {', '.join(sources)}")
    first = _count(data if first_seed is None else {"first_seed": first_seed}, "first_seed", 0, str(file), least=0)
    common = _count(data, "seeds", 5, str(file)) if seeds is None else seeds
    shared = [(run, f"{file}, solvers[{j}]") for j, run in enumerate(data.get("solvers", []))]
    sections, refused = [], list[str]()
    for i, entry in enumerate(data.get("games", [])):
        where = f"{file}, games[{i}]"
        _check_keys(entry, GAME, where)
        count = _count(entry, "seeds", common, where) if seeds is None else seeds
        if (section := _section(entry, shared, range(first, first + count), where, refused)) is not None:
            jobs = tuple(replace(job, telemetry=data.get("telemetry", False)) for job in section.jobs)
            sections.append(replace(section, jobs=jobs))
    for said in refused:
        announce(said)
    if not sections:
        raise ConfigError(f"{file} has no [[games]]" if not refused else f"{file}: no game admits a solver; {'; '.join(refused)}")
    _check_keys(data.get("reach", {}), dict.fromkeys(("at", "target", "of", "split", "only"), Any), f"{file}, reach")
    return Config(name, tuple(sections), data.get("reach", {}), None if record is None else file.parent / record, tuple(refused))


def _missing(path: Path) -> str:
    """That there is no such configuration, and which are near: files beside a path, else embedded ones."""
    embedded = sorted(file.stem for file in CONFIGS.glob("*.toml"))
    if path.suffix != ".toml" and len(path.parts) == 1:
        return f"no configuration {str(path)!r}: not a file, and {nearest(str(path), embedded)}"
    beside = sorted(file.name for file in path.parent.glob("*.toml"))
    files = nearest(path.name, beside) if beside else "no TOML file is there"
    own = f"; the embedded configuration {path.stem!r} is named without .toml" if path.stem in embedded else ""
    return f"no file {str(path)!r}; in {path.parent.resolve()}: {files}{own}"


def _name(name: Any, where: str) -> str:
    """A checked name: it becomes that of the results file."""
    if not isinstance(name, str) or re.fullmatch(r"\w[\w. -]*", name) is None:
        raise ConfigError(f"{where}: name is letters, digits, and _ - . between, for results are stored as NAME.jsonl, got {name!r}")
    if name in RESERVED:
        raise ConfigError(f"{where}: {name}.jsonl beside the results is another file of the benchmark's; choose another name than {name!r}")
    return name


def _count(entry: dict[str, Any], key: str, default: int, where: str, *, least: int = 1) -> int:
    try:
        return whole(key, entry.get(key, default), least, MOST_SEEDS if key == "seeds" else None)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _section(
    entry: dict[str, Any], shared: list[tuple[dict[str, Any], str]], seeds: range, where: str, refused: list[str]
) -> Section | None:
    """One game's part; None if it has none but shared solvers, and refuses them.

    Args:
        entry: of the game.
        shared: the solvers that every game runs, each with its place in the file.
        seeds: of the runs.
        where: the game's place in the file.
        refused: takes what is not run, in words: a shared solver that cannot play this game.
    """
    for key, kind, words in (
        ("title", str, "text"),
        ("published", list, "a list of tables"),
        ("solvers", list, "tables, [[games.solvers]]"),
    ):
        if not isinstance(entry.get(key, kind()), kind):
            raise ConfigError(f"{where}: {key} is {words}, got {entry[key]!r}")
    world = world_of(entry, where)
    referee = None
    if "referee" in entry:
        _check_keys(entry["referee"], {key: GAME[key] for key in ("id", "arguments", "follower")}, f"{where}.referee")
        referee = world_of(
            {"id": world.id, "arguments": world.arguments, "follower": world.follower, **entry["referee"]}, f"{where}.referee"
        )
    score = _score(entry.get("score", {}), referee or world, f"{where}.score")
    published = tuple(entry.get("published", ()))
    for quoted in published:
        _check_keys(quoted, PUBLISHED, f"{where}.published")
        if not isinstance(quoted.get("label"), str) or not isinstance(quoted.get("value"), (int, float)):
            raise ConfigError(f"{where}.published: each entry has a label and a value (a number), got {quoted}")
        if not isinstance(quoted.get("error", 0.0), (int, float)):
            raise ConfigError(f"{where}.published: an error is a number, the standard error, got {quoted['error']!r}")
        if type(quoted.get("budget", 1)) is not int or quoted.get("budget", 1) < 1:
            raise ConfigError(f"{where}.published: a budget is a whole number of commitments, at least 1, got {quoted['budget']!r}")
    jobs, before = list[Job](), len(refused)
    for run, place in shared:
        try:
            jobs += _runs(run, world, referee, score, seeds, place)
        except CannotPlayError as error:
            refused.append(f"Not run in {entry.get('title', world.label)}: {error}")
    if shared and not jobs and not entry.get("solvers"):
        return None
    for j, run in enumerate(entry.get("solvers", [])):
        jobs += _runs(run, world, referee, score, seeds, f"{where}.solvers[{j}]")
    if not jobs:
        raise ConfigError(f"{where} has no [[games.solvers]]")
    labels = [job.label for job in jobs if job.seed == seeds[0]]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"{where}: two solvers have the same label ({', '.join(labels)}); give each a label of its own")
    return Section(entry.get("title", world.label), world, referee, score, published, tuple(jobs), tuple(refused[before:]))


def _score(entry: Any, judged: World, where: str) -> solvers.Score | None:
    """What the referee counts; None for the infinite horizon at the game's discount.  Tried on the commitment 0."""
    _check_keys(entry, {"horizon": int, "discount": float}, where)
    if not entry:
        return None
    discount = entry.get("discount")
    if not isinstance(discount, (int, float, type(None))):
        raise ConfigError(f"{where}: discount is a number in [0, 1], got {discount!r}")
    score = solvers.Score(entry.get("horizon"), None if discount is None else float(discount))
    game = judged.game()
    try:
        score.of(game, np.zeros(game.commitment_shape), judged.answerer())
    except (ValueError, PlanningError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return score


def access_level(name: Any) -> Access:
    """The level of that name, in whatever case.

    Raises:
        ConfigError: if there is none; the message suggests the nearest.
    """
    if str(name).upper() not in Access.__members__:
        raise ConfigError(f"no access level {name!r}; {nearest(str(name).upper(), tuple(Access.__members__))}")
    return Access[str(name).upper()]


def _runs(run: dict[str, Any], world: World, referee: World | None, score: solvers.Score | None, seeds: range, where: str) -> list[Job]:
    """One solver's jobs, one a seed."""
    _check_keys(run, RUN, where)
    if not isinstance(run.get("name"), str):
        raise ConfigError(f"{where} has no name; known solvers: {', '.join(solvers.names())}")
    if "outcomes" in run:
        if referee is not None or not isinstance(run["outcomes"], dict):
            raise ConfigError(f"{where}: outcomes are arguments of the game, as in {{ slip = 0.33 }}, and need a game without a referee")
        follower = world.follower or {}
        if "kind" not in follower or "believes" in follower:
            raise ConfigError(f"{where}: outcomes from elsewhere need a game with a follower.kind of its own")
        referee, believing = world, {**follower, "believes": world.arguments}
        world = world_of({"id": world.id, "arguments": {**world.arguments, **run["outcomes"]}, "follower": believing}, f"{where}.outcomes")
        ours, theirs = ((game.spaces, game.contexts, game.visibility) for game in (world.game(), referee.game()))
        if ours != theirs:
            raise ConfigError(f"{where}.outcomes: followers cannot take {ours} for {theirs} (spaces, contexts, who sees what)")
    template = Job(
        world=world,
        solver=run["name"],
        budget=_count(run, "budget", 1000, where),
        seed=0,
        start_scale=float(run.get("start_scale", 0.01)),
        start=run.get("start"),
        hyperparameters=run.get("hyperparameters", {}),
        referee=referee,
        label=run.get("label", solvers.registry.REGISTRY.label(run["name"])),
        score=score,
    )
    try:
        if "access" in run:
            template = dataclasses.replace(template, access=access_level(run["access"]))
        solvers.admit(template.build(), RepeatedGame(world.game(), world.answerer()), template.granted_access)
        template.first_commitment()
    except (se.AccessError, solvers.Declined) as error:
        raise CannotPlayError(f"{where}: {error.args[0]}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"{where}: {error.args[0]}") from error
    return [dataclasses.replace(template, seed=seed) for seed in seeds[: _count(run, "seeds", len(seeds), where)]]


def world_of(entry: dict[str, Any], where: str) -> World:
    """The game and follower that a table names; raises ConfigError with ``where`` if there is something wrong."""
    if "id" not in entry:
        raise ConfigError(f"{where} has no id; known games: {', '.join(se.games())}")
    follower = entry.get("follower")
    kind = follower.get("kind") if isinstance(follower, dict) else follower
    if follower is not None and (
        not isinstance(follower, dict) or not isinstance(kind, str) or not (kind in FOLLOWERS or is_reference(kind))
    ):
        raise ConfigError(
            f'{where}: follower.kind is one of {", ".join(FOLLOWERS)}, as in {{ kind = "Soft", ... }}, or a place, package.module:Name or '
            f"path/to/file.py:Name, got {kind!r}"
        )
    if not isinstance(entry["id"], str):
        raise ConfigError(f"{where}: id is text, the id of a game or its place, got {entry['id']!r}")
    if follower is not None:
        follower = {**follower, "kind": absolute(str(kind))}
    try:
        world = World(absolute(entry["id"]), entry.get("arguments", {}), follower)
        world.game()
        world.answerer()
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error.args[0]}") from error
    return world


def _check_keys(entry: Any, keys: dict[str, Any], where: str) -> None:
    """Raise ConfigError if ``entry`` is no table, or has another key than ``keys``, or a value of another kind than they say."""
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is a table with keys {', '.join(sorted(keys))}; got {entry!r}")
    for key, value in entry.items():
        if key not in keys:
            raise ConfigError(f"{where}: unknown key {key!r}; {nearest(key, sorted(keys))}")
        try:
            check_kind(where, key, value, keys[key])
        except ArgumentError as error:
            raise ConfigError(str(error)) from error
