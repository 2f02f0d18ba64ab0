"""Entries of the leaderboard: folders with results and a word on who made them, believed only as far as the referee confirms them.

An entry is ``entry.toml`` beside a results file.  No code of an entry is run: the referee needs the commitments alone.  A line counts if it
is whole, plays a game of the entry's track, and its commitment scores what it says.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

import solvers
from stackelberg_envs.arguments import nearest
from stackelberg_envs.leader.access import Access
from stackelberg_envs.references import ReferenceNotFoundError

from . import configuration, results_file
from .audit import rescore
from .flaws import flaw
from .jobs import Job
from .merge import title
from .printing import bar, console, problems
from .quantities import quantity
from .shards import kind_of

FILE = "entry.toml"
SCHEMA = 3
"""Lines of older schemas have no checksum."""
TOLERANCE = 1e-5
"""Of a score, relative where it is above 1: results that were shortened keep 9 digits of a commitment."""


class EntryError(ValueError):
    """A folder that is no entry; the message says what is missing."""


@dataclass(frozen=True)
class Entry:
    """What ``entry.toml`` says; all of it is text."""

    name: str
    authors: str
    link: str
    """To a paper or a repository."""
    code: str
    """Where the solver is, as in ``my_solver.py:MySolver``; it is shown, and never run."""
    access: str
    """The highest level that a run of the entry was granted."""
    results: str = "results.jsonl"
    """The results file beside ``entry.toml``."""
    track: str = "leaderboard"
    """The embedded configuration whose games the entry plays."""


def read(folder: Path) -> Entry:
    """The entry in a folder.

    Raises:
        EntryError: if there is no ``entry.toml``, or it lacks something, or says something unknown.
    """
    file = folder / FILE
    if not file.is_file():
        raise EntryError(f"{folder} has no {FILE}; stackelberg new entry writes one (docs/how-to/enter-the-leaderboard.md)")
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise EntryError(f"{file} is not TOML: {error}") from error
    names = [field.name for field in fields(Entry)]
    for key, value in said.items():
        if key not in names:
            raise EntryError(f"{file}: unknown key {key!r}; {nearest(key, names)}")
        if not isinstance(value, str) or not value.strip():
            raise EntryError(f"{file}: {key} is text, got {value!r}")
    if lacking := [name for name in names if name not in said and not hasattr(Entry, name)]:
        raise EntryError(f"{file} does not say {', '.join(lacking)}")
    entry = Entry(**said)
    configuration.access_level(entry.access)
    if not (configuration.CONFIGS / f"{entry.track}.toml").is_file():
        raise EntryError(f"{file}: no track {entry.track!r}; a track is an embedded configuration, and the usual one is leaderboard")
    if Path(entry.results).name != entry.results or not (folder / entry.results).is_file():
        raise EntryError(f"{file}: results = {entry.results!r}, and there is no such file beside it")
    return entry


@dataclass(frozen=True)
class Checked:
    """An entry, its results as they count, and what is wrong with it."""

    entry: Entry
    results: dict[str, list[dict[str, Any]]]
    """By the title of the game in the track."""
    complaints: list[str]


class Track:
    """The games of a configuration, by what the referee scores in them.

    Args:
        name: of an embedded configuration.
    """

    def __init__(self, name: str) -> None:
        self.config = configuration.load(name)
        self.keys: dict[str, str] = {}
        self.games = {self._key(section.jobs[0]): section for section in self.config.sections}
        self.seeds = {section.title: {job.seed for job in section.jobs} for section in self.config.sections}

    def section_of(self, job: Job) -> configuration.Section | None:
        """The game that a job plays; None if the track has none such.  Only code of the suite is run."""
        return self.games.get(self._key(job))

    def _key(self, job: Job) -> str:
        """Names the worlds of outcomes and of the score, however they are spelt, and what the score counts."""
        spelt = results_file.canonical([world.__dict__ | {"code": None} for world in (job.world, job.score_world)])
        if spelt not in self.keys:
            self.keys[spelt] = f"{job.world.key}, {job.score_world.key}"
        return f"{self.keys[spelt]}, {job.score!r}"


@cache
def load_track(name: str) -> Track:
    """The track of this name, built once."""
    return Track(name)


def check(folder: Path) -> Checked:
    """Read an entry, and have the referee score every commitment again.

    Raises:
        EntryError: if it is no entry.
    """
    entry = read(folder)
    track, path = load_track(entry.track), folder / entry.results
    results: dict[str, list[dict[str, Any]]] = {}
    complaints = []
    lines = path.read_bytes().splitlines()
    with bar() as shown:
        for number, line in shown.track(list(enumerate(lines, 1)), description=escape(f"scoring {entry.name} again")):
            result = results_file.parse(line)
            where = f"{path}, line {number}" + ("" if result is None else f" ({_name(result)})")
            wrong = "it is not a result" if result is None else complaint(result, entry, track)
            if wrong is not None or result is None:
                complaints.append(f"{where}: {wrong}")
                continue
            section = track.section_of(Job.from_dict(result["job"]))
            assert section is not None
            results.setdefault(section.title, []).append(result)
    if not lines:
        complaints.append(f"{path} has no results")
    complaints += [f"{path}: {said}" for said in _incomplete(results, track)] if not complaints else []
    return Checked(entry, results, complaints)


def complaint(result: dict[str, Any], entry: Entry, track: Track) -> str | None:
    """Why a line of an entry does not count, in words; None if it does."""
    return next(_complaints(result, entry, track), None)


def _complaints(result: dict[str, Any], entry: Entry, track: Track) -> Iterator[str]:
    if result.get("schema") != SCHEMA:
        yield f"it is of schema {result.get('schema', 1)}, and entries are of {SCHEMA}: run the benchmark again"
    if (wrong := flaw(result)) is not None:
        yield wrong
    level = str(result.get("access")).partition(" ")[0]
    if level not in Access.__members__ or Access[level] > configuration.access_level(entry.access):
        yield f"its access is {result.get('access')}, and the entry says {entry.access}"
    try:
        job = Job.from_dict(result["job"])
        for world in (job.world, job.score_world):
            if not world.ours:
                yield f"unknown game {world.label!r} or kind of follower: an entry plays games of the suite, with its followers"
        if track.section_of(job) is None:
            yield f"{job.world.label} with these arguments and followers is none of the games of the track {entry.track}"
        shape = job.score_world.commitment_shape
        if np.shape(result["x"]) != shape:
            yield f"its x has shape {np.shape(result['x'])}, and commitments here {shape}"
        if job.solver in solvers.SOLVERS and job.id != result["id"]:
            yield "its id is of a run with other settings"
        said, score = result["leader_return"], rescore(result, job)
        if not abs(score - said) <= TOLERANCE * max(1.0, abs(said)):
            yield f"it says F = {said:.8g}, and its commitment scores {score:.8g}: a difference of {said - score:+.3g}"
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, ReferenceNotFoundError) as error:
        yield f"its job cannot be scored ({type(error).__name__}: {error})"


def _incomplete(results: dict[str, list[dict[str, Any]]], track: Track) -> Iterator[str]:
    """What is wrong with runs that are right one by one: seeds that are missing, or settings that change from seed to seed."""
    for game, runs in results.items():
        groups: dict[str, list[dict[str, Any]]] = {}
        for run in runs:
            groups.setdefault(run["job"]["label"] or run["job"]["solver"], []).append(run["job"])
        for label, jobs in groups.items():
            seeds = sorted(job["seed"] for job in jobs)
            if seeds != sorted(track.seeds[game]):
                yield f"{game}, {label}: its seeds are {seeds}, and the track's {sorted(track.seeds[game])}"
            if len({kind_of(job) for job in jobs}) > 1:
                yield f"{game}, {label}: its seeds differ in more than their seed; each setting needs a label of its own"


def _name(result: dict[str, Any]) -> str:
    try:
        return title(result)
    except (KeyError, TypeError, AttributeError):
        return str(result["id"])


def print_check(folder: Path) -> Checked:
    """`check`, said on the console."""
    done = check(folder)
    for said in done.complaints:
        problems.print(f"[red]{escape(said)}[/]", highlight=False, soft_wrap=True)
    there = sum(map(len, done.results.values()))
    verdict = "verified" if not done.complaints else f"refused: {quantity(len(done.complaints), 'complaint')}"
    scored = f"{quantity(there, 'run')} {'scores what it says' if there == 1 else 'score what they say'}"
    console.print(escape(f"{done.entry.name}: {scored}; {verdict}"), highlight=False, soft_wrap=True)
    return done
