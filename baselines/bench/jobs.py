"""Worlds and jobs: one job is one (game, follower, solver, seed), with an id that names it for ever."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import solvers
import stackelberg_envs as se
from solvers.versions import versions
from stackelberg_envs import references, registry
from stackelberg_envs.arguments import real
from stackelberg_envs.leader.access import Access, access_words

from . import followers
from .source import digests


@dataclass(frozen=True)
class World:
    """A game and who answers in it."""

    id: str
    """Of the game, or a reference to it; one to a file is absolute."""
    arguments: dict[str, Any] = field(default_factory=dict)
    follower: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        """What the game is called on every machine: its id with the version, or the reference without folders."""
        return registry.REGISTRY.label(self.id)

    @cached_property
    def commitment_shape(self) -> tuple[int, ...]:
        """Of a commitment in this game."""
        return self.game().commitment_shape

    @property
    def ours(self) -> bool:
        """Whether game and follower are the suite's own."""
        return self.label in registry.GAMES and (self.follower is None or self.follower.get("kind") in followers.FOLLOWERS)

    def game(self) -> se.StackelbergGame:
        """The functional game."""
        return se.game(self.id, **self.arguments)

    def answerer(self) -> se.Follower | None:
        """The follower, or None for the game's default."""
        if self.follower is None:
            return None
        rest = {key: value for key, value in self.follower.items() if key not in ("kind", "believes")}
        follower = followers.build(self.follower["kind"], **rest)
        return se.Believes(self._follower_world.game(), follower) if "believes" in self.follower else follower

    @property
    def _follower_world(self) -> World:
        """The world that the follower takes this one for."""
        assert self.follower is not None
        rest = {key: value for key, value in self.follower.items() if key != "believes"}
        return World(self.id, self.follower.get("believes", self.arguments), rest)

    @cached_property
    def key(self) -> str:
        """What names this world however its arguments are spelt: label, its tables (or steps) at two commitments, and the follower.

        Raises:
            ValueError: if the follower does not say its settings.
        """
        game, digest = self.game(), hashlib.sha256()
        if not game.tabular:  # then it is scored over so many steps
            digest.update(f"{game.max_cycles}".encode())
        for x in (np.zeros(game.dimension), np.cos(np.arange(game.dimension))):
            for context, probability in zip(game.contexts, game.context_probabilities, strict=True):
                digest.update(f"{context} {probability:.9g} {game.context_visibility}".encode())
                for mdp in game.problems(x, context):
                    digest.update(f"{mdp.follower_discount:.9g} {mdp.leader_discount:.9g} {mdp.follower_sees}".encode())
                    for table in mdp.fingerprint():
                        digest.update((np.round(table, 9) + 0.0 if table.dtype.kind == "f" else table).tobytes())
        named = f"{self.label} {digest.hexdigest()[:16]}"
        if self.follower is not None and "believes" in self.follower:
            return f"{named}, answered as in {self._follower_world.key}"
        return f"{named} {followers.identity(self.answerer() or game.default_follower)}"

    @cached_property
    def code(self) -> tuple[Any, ...]:
        """The classes of game and follower, where they are not the suite's own, and the functions that return these."""
        if self.ours:
            return ()
        game = self.game()
        follower = (
            game.default_follower if self.follower is None else self._follower_world.answerer()
        )  # itself, whatever world it believes in
        named = [registry.REGISTRY.load(self.id)]
        if self.follower is not None and references.is_reference(self.follower["kind"]):
            named.append(references.load(self.follower["kind"]))
        functions = [entry for entry in named if inspect.isfunction(entry)]
        return type(game), type(follower), *functions


_VERIFIED: set[tuple[tuple[str, str], ...]] = set()
"""Sources that this process runs, as `Job.foreign_code` names them."""


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
    access: Access | None = None
    """Granted instead of the level that the solver declares."""
    score: solvers.Score | None = None
    """What the referee counts, if it is not the infinite horizon at the game's discount."""
    telemetry: bool = False
    """Whether reports also measure gradients, and followers who learn (`solvers.telemetry`)."""

    @cached_property
    def id(self) -> str:
        """Hash of what the result depends on: worlds by content, the solver with its defaults, and this package's version.

        Of code of others also its source (`baselines.bench.source`), so that a run is repeated when it changes.
        """
        content = {
            "version": versions()["stackelberg-envs"],
            "world": self.world.key,
            "referee": self.score_world.key,
            "solver": repr(self.build()),
            "budget": self.budget,
            "seed": self.seed,
            "start": self.start_scale if self.start is None else self.start,
        }
        worlds = (self.world.arguments, (self.world.follower or {}).get("believes", {}), self.score_world.arguments)
        if any("max_cycles" in arguments for arguments in worlds):  # episodes are cut elsewhere, which no table says
            content["max_cycles"] = self.world.game().max_cycles
        if self.granted_access != self.build().access:
            content["access"] = self.granted_access.name
        if self.score is not None:
            content["score"] = dataclasses.asdict(self.score)
        if self.telemetry:
            content["telemetry"] = True
        if self.foreign_code:
            content["code"] = [f"{name} {digest}" for name, digest in sorted(self.foreign_code.items())]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def foreign_code(self) -> dict[str, str]:
        """What is run that is not the suite's own: ``module:Name`` and a hash of its source."""
        return digests(solvers.solver_class(self.solver), *self.world.code, *self.score_world.code)

    def verify_code(self) -> None:
        """Raise RuntimeError if the source of others that this process runs is not what the job's id stands for.

        What a process has once found to be the same it does not look at again, for it is imported.
        """
        expected = tuple(sorted(self.foreign_code.items()))
        if expected in _VERIFIED:
            return
        now = dataclasses.replace(self).foreign_code
        changed = sorted(name for name in {*now, *self.foreign_code} if now.get(name) != self.foreign_code.get(name))
        if changed:
            raise RuntimeError(f"the source of {', '.join(changed)} was changed while the benchmark ran; the same command runs it anew")
        _VERIFIED.add(expected)

    @property
    def title(self) -> str:
        """For people: the world, the method and the seed."""
        return f"{self.world.label}, {self.label or self.solver}, seed {self.seed}"

    def build(self) -> solvers.Solver:
        """The solver with its hyperparameters."""
        return solvers.build(self.solver, **self.hyperparameters)

    @property
    def granted_access(self) -> Access:
        """The level of access that the solver has."""
        return self.build().access if self.access is None else self.access

    @property
    def access_label(self) -> str:
        """Level and permissions that the solver has, as in ``INCENTIVE + RESET``."""
        return access_words(self.granted_access, self.build().permissions)

    def first_commitment(self) -> np.ndarray | None:
        """Where the run starts, or None for a random start."""
        if self.start is None:
            return None
        x = np.zeros(self.world.game().dimension)
        for index, value in self.start.items():
            if not str(index).isdecimal() or int(index) >= len(x):
                raise ValueError(f"start: there is no component {index}; they are 0 to {len(x) - 1}")
            x[int(index)] = real(f"start: component {index}", value, -np.inf)
        return x

    @property
    def score_world(self) -> World:
        """Where the score lives."""
        return self.referee or self.world

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a results line; access, score and telemetry only where the configuration gives them."""
        plain = {**dataclasses.asdict(self), "access": None if self.access is None else self.access.name}
        return {key: value for key, value in plain.items() if value or key not in ("access", "score", "telemetry")}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Job:
        """The inverse of `as_dict`."""
        made = {**data, "world": World(**data["world"]), "referee": World(**data["referee"]) if data["referee"] else None}
        if "access" in data:
            made["access"] = Access[data["access"]]
        if "score" in data:
            made["score"] = solvers.Score(**data["score"])
        return Job(**made)
