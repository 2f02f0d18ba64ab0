"""The doors: each takes a random generator, tries one odd input, and lets errors pass, with what was odd in ``Try.names``."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import gymnasium
import numpy as np

import solvers
import solvers.registry
import stackelberg_envs as se
from baselines.bench.followers import FOLLOWERS
from solvers.dqn import DQN
from solvers.learners import SAC
from stackelberg_envs import registry
from stackelberg_envs.views.aec import StackelbergAEC
from stackelberg_envs.views.gym import FollowerEnv, LeaderEnv
from stackelberg_envs.views.parallel import StackelbergParallel
from stackelberg_envs.views.vector import FollowerVectorEnv, LeaderVectorEnv

from .values import keywords, misspell, odd, parameters

SMALL: dict[str, dict[str, Any]] = {
    "sentinel_intruder-v0": {"size": 2},
    "tax_design-v0": {"grid": 11, "hours": 2, "spendings": 2},
    "tax_economy-v0": {"grid": 11, "hours": 2, "spendings": 2},
    "warehouse-v0": {"rows": 3, "columns": 3, "candidates": 3, "shelves": 1},
    "zero_sum_incentive-v0": {"states": 3, "actions": (2, 2), "branching": 2},
    "preference-v0": {"states": 3, "horizon": 2},
    "contract_tree-v0": {"depth": 1},
    "escape_room-v0": {"steps": 1},
    "platform-v0": {"prices": 3},
}
"""Arguments that make a game small, so that many inputs can be tried."""
PLAYED = ("toy3-v0", "bimatrix-v0", "escape_room-v0", "zero_sum_incentive-v0", "guided_pendulum-v0", "tax_design-v0", "contract_tree-v0")
CHEAP = {"episodes": 1, "steps": 2, "streams": 0, "evaluations": 3, "ramp_steps": 2, "samples": 2, "critic_steps": 1, "planning_steps": 1}
"""Hyperparameters that make a step fast."""

INTERACTING = (se.Nash, se.SoftNash, se.IndependentQLearning)
"""Followers who answer where several interact, whatever their interests."""
ANSWERS = {"temperature": 0.1, "steps": 2, "sweeps": 2, "epsilon": 0.1, "error": 0.1, "selection": "best"}
"""Settings of followers that need some."""


@dataclass
class Try:
    """One input: a description, and the names of what was odd."""

    what: str = ""
    names: list[str] = field(default_factory=list)
    accepted: bool = False

    def say(self, what: str, drawn: dict[str, Any]) -> None:
        """Note what is tried."""
        self.what, self.names = f"{what}(**{drawn!r:.300})", list(drawn)


class StateChanged(AssertionError):
    """A refusal that left something behind."""


@cache
def played(id: str) -> Any:
    """A small game."""
    return se.game(id, **SMALL.get(id, {}))


def games(rng: random.Random, tried: Try) -> None:
    """A game by id or class; what is accepted is committed to, started and stepped."""
    id = rng.choice(list(registry.GAMES))
    cls = registry.game_class(id)
    hints = parameters(cls)
    drawn = keywords(rng, list(hints), hints)
    arguments = {**SMALL.get(id, {}), **drawn}
    tried.say(id, drawn)
    by_id = rng.random() < 0.5
    game = se.game(id, **arguments) if by_id else cls(**arguments)
    tried.accepted = True
    game.commit(np.zeros(game.dimension))
    env = StackelbergAEC(game)
    env.reset(seed=0)
    env.step(np.zeros(game.dimension))


VIEWS: dict[str, Callable[..., Any]] = {
    **{cls.__name__: cls for cls in (StackelbergAEC, StackelbergParallel, LeaderEnv, FollowerEnv, LeaderVectorEnv, FollowerVectorEnv)},
    "make": se.make,
    "make_parallel": se.make_parallel,
}


def views(rng: random.Random, tried: Try) -> None:
    """A view with odd options, and its first reset and step."""
    name, id = rng.choice(list(VIEWS)), rng.choice(PLAYED)
    cls = VIEWS[name]
    hints = parameters(StackelbergAEC if name.startswith("make") else cls)
    if "Vector" in name:
        hints = hints | parameters(LeaderEnv if name.startswith("Leader") else FollowerEnv)
    drawn = keywords(rng, [hint for hint in hints if hint not in ("kwargs", "id")], hints)
    tried.say(f"{name} of {id}", drawn)
    by_id = name in ("make", "make_parallel")
    env = cls(id, **{**SMALL.get(id, {}), **drawn}) if by_id else cls(**{"game": played(id), **drawn})
    tried.accepted = True
    if _large(drawn):
        return
    env.reset(seed=1)
    step_once(env)
    env.render()


def step_once(env: Any) -> Any:
    """One legal step, and what came of it."""
    if isinstance(env, StackelbergAEC):
        agent = env.agent_selection
        env.step(_legal(env.action_space(agent), env.infos[agent]))
        return env.observe(env.agents[0]), dict(env.rewards), env.states
    if isinstance(env, StackelbergParallel):
        return env.step({agent: _legal(env.action_space(agent), {}) for agent in env.acting})
    return env.step(_legal(env.action_space, {}))


def outcome(env: Any) -> str:
    """What a step brings, an error of an episode that is over included."""
    try:
        return repr(step_once(env))
    except (RuntimeError, ValueError) as error:
        return repr(error)


def _legal(space: Any, info: dict[str, Any]) -> Any:
    mask = info.get("action_mask")
    first = int(np.argmax(mask)) if mask is not None else 0
    if isinstance(space, gymnasium.spaces.Box):
        return np.zeros(space.shape, dtype=space.dtype)
    return first if isinstance(space, gymnasium.spaces.Discrete) else np.zeros(space.shape, dtype=space.dtype)


@cache
def started(id: str, which: str) -> Any:
    """An environment in the middle of an episode."""
    game = played(id)
    env = {"aec": StackelbergAEC, "parallel": StackelbergParallel, "leader": LeaderEnv, "follower": FollowerEnv}[which](game)
    env.reset(seed=3)
    if which != "leader":
        step_once(env)
    return env


def _shared(name: str) -> dict[int, Any]:
    """What a copy of an environment has in common with it: the game, which no episode changes."""
    return {id(played(name)): played(name)}


def episodes(rng: random.Random, tried: Try) -> None:
    """`reset`, `step` and `commit` with odd arguments; after a refusal the environment goes on as a twin that was not asked."""
    id, which = rng.choice(PLAYED), rng.choice(("aec", "parallel", "leader", "follower"))
    call = rng.choice(("reset", "reset", "step", "game"))
    if call == "game":
        context = odd(rng)
        tried.say(f"commit in {id}", {"context": context})
        played(id).commit(np.zeros(played(id).dimension), context)
        tried.accepted = True
        return
    env, twin = (copy.deepcopy(started(id, which), _shared(id)) for _ in range(2))
    if call == "step":
        drawn = {"action": odd(rng)}
    else:
        keys = {"context": odd(rng), "commitment": odd(rng)}
        chosen = {key: value for key, value in keys.items() if rng.random() < 0.5}
        options = {misspell(rng, key) if rng.random() < 0.2 else key: value for key, value in chosen.items()}
        drawn = rng.choice(({"seed": odd(rng)}, {"options": odd(rng)}, {"options": options}, {"seed": odd(rng), "options": options}))
    tried.say(f"{which} {id} {call}", drawn)
    tried.names += [key for value in drawn.values() if isinstance(value, dict) for key in value]
    tried.names += ["commitment", "reset"] if call == "step" else []
    try:
        getattr(env, call)(*drawn.values()) if call == "step" else env.reset(**drawn)
        tried.accepted = True
    except BaseException:
        if any(outcome(env) != outcome(twin) for _ in range(3)):
            raise StateChanged(tried.what) from None
        raise
    if call == "reset":
        step_once(env)


def followers(rng: random.Random, tried: Try) -> None:
    """A follower with odd settings, and one answer."""
    cls = rng.choice([*FOLLOWERS.values(), DQN, SAC])
    hints = parameters(cls)
    base = {key: value for key, value in ANSWERS.items() if key in hints}
    drawn = keywords(rng, list(hints), hints)
    tried.say(cls.__name__, drawn)
    follower = cls(**{**base, **drawn})
    tried.accepted = True
    repr(follower), hash(follower) if cls not in (SAC,) else None
    game = played("zero_sum_incentive-v0" if cls in (se.Saddle,) else "escape_room-v0" if cls in INTERACTING else "toy3-v0")
    if cls not in (DQN, SAC) and not _large(drawn):
        follower.respond(game, np.zeros(game.dimension), 0)


def _large(drawn: dict[str, Any]) -> bool:
    """Whether a number would make a run long."""
    return any(isinstance(value, (int, float)) and not isinstance(value, bool) and value > 100 for value in drawn.values())


def methods(rng: random.Random, tried: Try) -> None:
    """A solver with odd hyperparameters, and one step."""
    name = rng.choice(list(solvers.registry.SOLVERS))
    cls = solvers.solver_class(name)
    hints = parameters(cls) | (parameters(solvers.ascent.Ascent) if issubclass(cls, solvers.Estimator) else {})
    hints.pop("estimator", None)
    calls = parameters(solvers.solve)
    outer = [key for key in calls if key not in ("game", "name", "hyperparameters", "resume", "progress")]
    drawn = keywords(rng, list(hints), hints) if rng.random() < 0.7 and hints else keywords(rng, outer, calls)
    id = rng.choice(("toy3-v0", "bimatrix-v0", "zero_sum_incentive-v0", "contract_tree-v0", "guided_pendulum-v0", "security-v0"))
    cheap = {"episodes": 2} if name == "neural_bchg" else {key: value for key, value in CHEAP.items() if key in hints}
    tried.say(f"{name} on {id}", drawn)
    if _large(drawn):
        solvers.build(name, **{key: value for key, value in drawn.items() if key not in outer})
        tried.accepted = True
        return
    solvers.solve(played(id), name, **{"budget": 1, "reports": 1, **cheap, **drawn})
    tried.accepted = True


KINDS: dict[str, Callable[[random.Random, Try], None]] = {
    "games": games,
    "views": views,
    "episodes": episodes,
    "followers": followers,
    "solvers": methods,
}
