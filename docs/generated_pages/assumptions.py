"""What each solver assumes, as a table.

Nobody writes it down.  A solver declares its access, its permissions, and whether it needs tables; and it decides by what an oracle declares
whether it plays.  So every declaration of the games that it plays is changed, one at a time, and the solver is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import stackelberg_envs as se
from baselines.bench import pieces
from solvers import Solver
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.leader.repeated_game import RepeatedGame

from .markdown import code, plain, table
from .verdicts import methods

Facts = dict[str, Any]


@dataclass(frozen=True)
class Assumption:
    """One thing that a solver may assume, and how a game would violate it."""

    declaration: str
    """Where the game or the follower declares it."""
    words: str
    violate: Callable[[Facts], Facts | None]
    """What is declared instead, given what is declared; None where there is nothing to change."""


def _instead(name: str, value: Any) -> Callable[[Facts], Facts | None]:
    """Another value of a fact that is there and differs."""
    return lambda facts: {name: value} if name in facts and facts[name] != value else None


def _absent(name: str) -> Callable[[Facts], Facts | None]:
    """A piece taken away."""
    return lambda facts: {name: None} if facts.get(name) is not None else None


def _present(name: str) -> Callable[[Facts], Facts | None]:
    """A piece that the game does not have."""
    return lambda facts: {name: lambda *_: None} if name in facts and facts[name] is None else None


def _twice(facts: Facts, groups: tuple[tuple[int, ...], ...]) -> Facts | None:
    """Two followers for one."""
    if facts["followers"] != 1:
        return None
    doubled = ("sizes", "spaces", "follower_discounts", "follower_sees")
    available = tuple(each * 2 for each in facts["available"])
    return {"followers": 2, "groups": groups, "available": available, **{name: facts[name] * 2 for name in doubled}}


def _two_contexts(facts: Facts) -> Facts | None:
    if len(facts["contexts"]) > 1:
        return None
    return {"contexts": ("first", "second"), "context_probabilities": np.full(2, 0.5), "available": facts["available"] * 2}


def _masked(facts: Facts) -> Facts | None:
    if not facts["sizes"] or any(mask is not None for each in facts["available"] for mask in each):
        return None
    masks = [np.ones((s, a, b), dtype=bool) for s, a, b in facts["sizes"]]
    for mask in masks:
        mask[0, :, -1] = False
    return {"available": (tuple(masks),) * len(facts["contexts"])}


def _acting(facts: Facts) -> Facts | None:
    if not facts["sizes"] or any(a > 1 for _, a, _ in facts["sizes"]):
        return None
    return {"sizes": tuple((s, 2, b) for s, _, b in facts["sizes"])}


def _large(facts: Facts) -> Facts | None:
    return {"sizes": tuple((10**4 * s, a, b) for s, a, b in facts["sizes"])} if facts["sizes"] else None


def _follower(follower: se.Follower) -> Callable[[Facts], Facts | None]:
    def violate(facts: Facts) -> Facts | None:
        if "follower" not in facts or type(facts["follower"]) is type(follower):
            return None
        return {"follower": follower, "temperature": follower.temperature}

    return violate


ASSUMPTIONS = (
    Assumption("smooth", "the commitment moves what followers face smoothly", _instead("smooth", False)),
    Assumption("additive", "the leader's objective is a sum over steps", _instead("additive", False)),
    Assumption("follower_actions_public", "the leader sees what followers do", _instead("follower_actions_public", False)),
    Assumption("contexts", "there is one context", _two_contexts),
    Assumption("context_visibility", "the leader does not see the context before it commits", _instead("context_visibility", "before")),
    Assumption("context_visibility", "the leader sees the context of its episodes", _instead("context_visibility", "never")),
    Assumption("followers", "there is one follower", lambda facts: _twice(facts, ((0,), (1,)))),
    Assumption("groups", "followers do not interact", lambda facts: _twice(facts, ((0, 1),))),
    Assumption("available", "every action is available in every state", _masked),
    Assumption("sizes", "the leader does not act in the game", _acting),
    Assumption("sizes", "dense tables fit in memory", _large),
    Assumption("leader_discount", "the leader's discount is the one that the method knows", _instead("leader_discount", 0.5)),
    Assumption("temperature", "the follower has a temperature above 0", _instead("temperature", 0.0)),
    Assumption("learns", "the followers learn", _instead("learns", False)),
    Assumption("follower", "the follower is not a hard one", _follower(se.Hard("strong"))),
    Assumption("follower", "the follower is not a soft one", _follower(se.Soft(0.1))),
    Assumption("follower", "the follower does not learn", _follower(se.SoftQLearning(0.1, 100))),
    Assumption("incentive", "the game says what the leader sets of the follower's reward", _absent("incentive")),
    Assumption("incentive", "the leader sets no part of the follower's reward", _present("incentive")),
    Assumption("incentive_at", "the leader sets no part of the follower's reward", _present("incentive_at")),
    Assumption("leader_cost", "the game says what the instrument costs the leader", _absent("leader_cost")),
    Assumption("log_kernel", "the game says how the leader moves the dynamics", _absent("log_kernel")),
    Assumption("log_kernel", "the leader does not move the dynamics", _present("log_kernel")),
    Assumption("log_kernel_density", "the game says how the leader moves the dynamics", _absent("log_kernel_density")),
    Assumption("log_leader_policy", "the game says the leader's policy", _absent("log_leader_policy")),
    Assumption("log_leader_density", "the game says the density of the leader's actions", _absent("log_leader_density")),
)


@cache
def _oracles(access: Access, permissions: Any) -> tuple[tuple[str, Oracle], ...]:
    """The handle on every game of the suite, small variants among them, against its own follower and others."""
    return tuple((game.name, rounds.oracle(access, permissions)) for game, rounds in _games())


@cache
def _games() -> tuple[tuple[se.StackelbergGame, RepeatedGame], ...]:
    return tuple((game, RepeatedGame(game, follower)) for game in pieces.suite() for follower in pieces.FOLLOWERS)


def _plays(solver: Solver, oracle: Oracle) -> bool:
    return (oracle.tabular or not solver.tabular) and solver.declines(oracle) is None


def violations(solver: Solver, access: Access) -> Iterator[tuple[Assumption, str, bool]]:
    """Each assumption without which a solver declines: what it then says, and whether it does so in every game where that can be changed."""
    played = [(name, oracle) for name, oracle in _oracles(access, solver.permissions) if _plays(solver, oracle)]
    for assumption in ASSUMPTIONS:
        said, stays = [], False
        for _, oracle in played:
            facts = {key: value for key, value in vars(oracle).items() if key not in ("access", "permissions")}
            if (changed := assumption.violate(facts)) is None:
                continue
            try:
                reason = solver.declines(Oracle({**facts, **changed}, oracle.access, oracle.permissions))
            except Exception:  # noqa: BLE001 - a declaration that contradicts the game's functions shows nothing about the solver
                continue
            said += [reason] if reason else []
            stays = stays or reason is None
        if said:
            yield assumption, said[0], not stays


def assumption_table(name: str) -> str:
    """What a solver assumes, in each of its settings: declarations of its class first, then what it declines."""
    own = {method: found for method, found in methods().items() if method.partition("(")[0] == name}
    solver, access = own[name]
    rows = [("class", "`tabular`", "worlds have tables", "it declines worlds whose states are vectors")] if solver.tabular else []
    if not solver.signals and access > Access.RETURN:
        rows.append(("class", "`signals`", "followers see the leader's action or its policy", "it declines followers who see a noisy signal of the action"))
    if Access.RETURN < access < Access.MODEL:
        says = "it declines a game whose pieces leave out, or say wrongly, what the leader moves"
        rows.append(("class", "`access`", "the optional pieces of the game are whole", says))
    for method, (solver, access) in own.items():
        setting = "any" if len(own) == 1 else ("default" if method == name else code(method))
        for assumption, reason, always in violations(solver, access):
            rows.append((setting, code(assumption.declaration), assumption.words + ("" if always else " (in some games)"), plain(reason)))
    return table(("settings", "declaration", "it assumes that", "otherwise it says"), rows)
