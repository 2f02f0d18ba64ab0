"""From a TOML file to jobs: one job is one (game, follower, solver, seed), with an id that names it for ever.

A configuration is numbers only::

    name = "default"
    seeds = 5

    [[games]]
    id = "four_rooms-v0"
    title = "Four Rooms"
    arguments = { preset = "hpgd", beta = 3.0 }
    follower = { kind = "Soft", temperature = 0.003 }
    referee = { arguments = { preset = "hpgd" } }          # optional: where the score lives, if elsewhere
    published = [{ label = "HPGD", value = 0.73, error = 0.001 }]

    [[games.solvers]]
    label = "exact hypergradient"
    name = "implicit"
    budget = 2000
    start_scale = 0.01                                      # random start, or
    # start = { 25 = 8.6 }                                  # these components, and zeros; then seeds = 1 is enough
    hyperparameters = { lr = 0.5 }
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import solvers
import stackelberg_envs as se
from stackelberg_envs.game import nearest

CONFIGS = Path(__file__).parent / "configs"
FOLLOWERS = {"Soft": se.Soft, "Hard": se.Hard, "Quantal": se.Quantal, "Truncated": se.Truncated, "EpsilonOptimal": se.EpsilonOptimal}


class ConfigError(ValueError):
    """A configuration that cannot be run; the message says where and what to write instead."""


@dataclass(frozen=True)
class World:
    """A game and who answers in it."""

    id: str
    arguments: dict[str, Any] = field(default_factory=dict)
    follower: dict[str, Any] | None = None

    def game(self) -> se.StackelbergGame:
        """The functional game."""
        return se.game(self.id, **self.arguments)

    def answerer(self) -> se.Follower | None:
        """The follower, or None for the game's default."""
        if self.follower is None:
            return None
        rest = {key: value for key, value in self.follower.items() if key != "kind"}
        return FOLLOWERS[self.follower["kind"]](**rest)

    @property
    def key(self) -> str:
        """One line of JSON that names this world."""
        follower = repr(self.game().default_follower if self.follower is None else self.answerer())
        return json.dumps({"id": self.id, "arguments": self.arguments, "follower": follower}, sort_keys=True)


@dataclass(frozen=True)
class Job:
    """One run."""

    world: World
    solver: str
    budget: int
    seed: int
    start_scale: float = 0.01
    start: dict[str, float] | None = None
    """Components of the first commitment by index, the others 0; None for a random start."""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    referee: World | None = None
    label: str = ""
    """For people; not part of the id."""

    @cached_property
    def id(self) -> str:
        """Hash of everything that the result depends on."""
        content = {key: value for key, value in self.as_dict().items() if key != "label"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def first_commitment(self) -> np.ndarray | None:
        """Where the run starts, or None for a random start."""
        if self.start is None:
            return None
        x = np.zeros(self.world.game().dimension)
        for index, value in self.start.items():
            x[int(index)] = value
        return x

    @property
    def judged_in(self) -> World:
        """Where the score lives."""
        return self.referee or self.world

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a results line."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Job:
        """The inverse of `as_dict`."""
        referee = World(**data["referee"]) if data["referee"] else None
        return Job(**{**data, "world": World(**data["world"]), "referee": referee})


@dataclass(frozen=True)
class Section:
    """One game of a configuration."""

    title: str
    world: World
    referee: World | None
    published: tuple[dict[str, Any], ...]
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Config:
    """A whole benchmark."""

    name: str
    sections: tuple[Section, ...]

    @property
    def jobs(self) -> list[Job]:
        """All jobs, seed by seed, so that an interrupted run has something of everything."""
        jobs = [job for section in self.sections for job in section.jobs]
        return sorted(jobs, key=lambda job: job.seed)


def load(path: str | Path, *, seeds: int | None = None) -> Config:
    """Read a configuration by path, or by name from the embedded ones.

    Args:
        path: a TOML file, or the name of one in ``baselines/configs``.
        seeds: how many seeds, instead of what the file says.

    Raises:
        ConfigError: if it cannot be read, or says something unknown.
    """
    file = Path(path)
    if not file.exists():
        file = CONFIGS / f"{path}.toml"
        if not file.exists():
            raise ConfigError(
                f"no configuration {str(path)!r}: not a file, and {nearest(str(path), sorted(p.stem for p in CONFIGS.glob('*.toml')))}"
            )
    try:
        data = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    _known(data, {"name", "seeds", "games"}, str(file))
    count = data.get("seeds", 5) if seeds is None else seeds
    if not isinstance(count, int) or count < 1:
        raise ConfigError(f"{file}: seeds is a whole number from 1, got {count!r}")
    sections = tuple(_section(entry, count, f"{file}, games[{i}]") for i, entry in enumerate(data.get("games", [])))
    if not sections:
        raise ConfigError(f"{file} has no [[games]]")
    return Config(data.get("name", file.stem), sections)


def _section(entry: dict[str, Any], seeds: int, where: str) -> Section:
    _known(entry, {"id", "title", "arguments", "follower", "referee", "published", "solvers"}, where)
    world = _world(entry, where)
    referee = None
    if "referee" in entry:
        _known(entry["referee"], {"id", "arguments", "follower"}, f"{where}.referee")
        referee = _world({"id": world.id, "arguments": world.arguments, "follower": world.follower, **entry["referee"]}, f"{where}.referee")
    jobs = []
    for i, run in enumerate(entry.get("solvers", [])):
        here = f"{where}.solvers[{i}]"
        _known(run, {"label", "name", "budget", "seeds", "start_scale", "start", "hyperparameters"}, here)
        try:
            solvers.build(run["name"], **run.get("hyperparameters", {}))
            Job(world, run["name"], 1, 0, start=run.get("start")).first_commitment()
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{here}: {error.args[0]}") from error
        jobs += [
            Job(
                world=world,
                solver=run["name"],
                budget=int(run.get("budget", 1000)),
                seed=seed,
                start_scale=float(run.get("start_scale", 0.01)),
                start=run.get("start"),
                hyperparameters=run.get("hyperparameters", {}),
                referee=referee,
                label=run.get("label", run["name"]),
            )
            for seed in range(min(seeds, run.get("seeds", seeds)))
        ]
    return Section(entry.get("title", world.id), world, referee, tuple(entry.get("published", ())), tuple(jobs))


def _world(entry: dict[str, Any], where: str) -> World:
    if "id" not in entry:
        raise ConfigError(f"{where} has no id; known games: {', '.join(se.games())}")
    follower = entry.get("follower")
    if follower is not None and follower.get("kind") not in FOLLOWERS:
        raise ConfigError(f"{where}: follower.kind is one of {', '.join(FOLLOWERS)}, got {follower.get('kind')!r}")
    world = World(entry["id"], entry.get("arguments", {}), follower)
    try:
        world.game()
        world.answerer()
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error.args[0]}") from error
    return world


def _known(entry: dict[str, Any], keys: set[str], where: str) -> None:
    for key in entry:
        if key not in keys:
            raise ConfigError(f"{where}: unknown key {key!r}; {nearest(key, sorted(keys))}")
