"""What each solver assumes, as a table.

Nobody writes it down.  A solver declares its access, its permissions, and whether it needs tables.  By what an oracle declares it decides
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
from stackelberg_envs.game import learns
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
    """More states; leaders who commit to a policy, S x A logits, also commit to more numbers."""
    if not facts["sizes"]:
        return None
    (s, a, _), shape = facts["sizes"][0], facts["commitment_shape"]
    larger = (10**4 * s * a,) if shape == (s * a,) else shape
    return {"sizes": tuple((10**4 * s, a, b) for s, a, b in facts["sizes"]), "commitment_shape": larger}


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
    Assumption("sizes", "a leader that sets rewards does not act as well", _acting),
    Assumption("sizes", "there are not more states than it handles", _large),
    Assumption("leader_discount", "the leader's discount is one that it handles", _instead("leader_discount", 0.5)),
    Assumption("temperature", "the follower has a temperature above 0", _instead("temperature", 0.0)),
    Assumption("learns", "the followers learn", _instead("learns", False)),
    Assumption("incentive", "a game whose leader sets rewards says which part is set", _absent("incentive")),
    Assumption("incentive", "a leader that acts does not set rewards as well", _present("incentive")),
    Assumption("incentive_at", "a leader that acts does not set rewards as well", _present("incentive_at")),
    Assumption("leader_cost", "the game says what the leader pays for its instrument", _absent("leader_cost")),
    Assumption("log_kernel", "a game whose leader moves the dynamics says how", _absent("log_kernel")),
    Assumption("log_kernel", "the leader does not move the dynamics", _present("log_kernel")),
    Assumption("log_kernel_density", "a game whose leader moves the dynamics says how", _absent("log_kernel_density")),
    Assumption("log_leader_policy", "a game whose leader acts says its policy", _absent("log_leader_policy")),
    Assumption("log_leader_density", "a game whose leader acts says the density of its actions", _absent("log_leader_density")),
)


FOLLOWERS = (
    *(se.Soft(0.1), se.SoftInside(0.1), se.Hard("strong"), se.Hard("weak"), se.EpsilonOptimal(0.1), se.Quantal(0.1), se.Truncated(0.1, 5)),
    *(se.MirrorDescent(0.1), se.SoftQLearning(0.1, 100), se.NaturalPolicyGradient(0.1), se.Saddle(0.1), se.Nash("best")),
    *(se.SoftNash(0.1), se.IndependentQLearning(steps=100)),
)
"""Followers that are tried where a solver knows who answers."""


@cache
def _oracles(access: Access, permissions: Any) -> tuple[Oracle, ...]:
    """The handle on every game of the suite, small variants among them, against its own follower and others."""
    return tuple(rounds.oracle(access, permissions) for rounds in _runs())


@cache
def _runs() -> tuple[RepeatedGame, ...]:
    return tuple(RepeatedGame(game, follower) for game in pieces.suite() for follower in pieces.FOLLOWERS)


def _plays(solver: Solver, oracle: Oracle) -> bool:
    return (oracle.tabular or not solver.tabular) and solver.declines(oracle) is None


def _answers(solver: Solver, oracle: Oracle, changed: Facts) -> str | None:
    """What a solver says of an oracle with other facts; None if it plays, or if these facts contradict the game's functions."""
    facts = {key: value for key, value in vars(oracle).items() if key not in ("access", "permissions")}
    try:
        return solver.declines(Oracle({**facts, **changed}, oracle.access, oracle.permissions))
    except Exception:  # such as a policy of more states than the game has
        return None


def _violations(solver: Solver, access: Access) -> Iterator[tuple[Assumption, str, bool]]:
    """Each assumption without which a solver declines: what it then says, and whether it does so wherever that can be changed."""
    played = [oracle for oracle in _oracles(access, solver.permissions) if _plays(solver, oracle)]
    for assumption in ASSUMPTIONS:
        changes = [(oracle, changed) for oracle in played if (changed := assumption.violate(vars(oracle))) is not None]
        said = [_answers(solver, oracle, changed) for oracle, changed in changes]
        if reasons := [reason for reason in said if reason]:
            yield assumption, reasons[0], None not in said


def _followers(solver: Solver, access: Access) -> tuple[str, str] | None:
    """The followers against whom a solver plays, and what it says to another; None if it plays against all, or does not know them."""
    oracles = [oracle for oracle in _oracles(access, solver.permissions) if "follower" in vars(oracle)]
    plays, said = [], []
    for follower in FOLLOWERS:
        interacts = isinstance(follower, (se.Saddle, se.Nash, se.SoftNash, se.IndependentQLearning))
        fitting = [oracle for oracle in oracles if any(len(group) > 1 for group in oracle.groups) == interacts]
        changed = {"follower": follower, "temperature": follower.temperature, "learns": learns(follower)}
        answers = [_answers(solver, oracle, {key: value for key, value in changed.items() if key in vars(oracle)}) for oracle in fitting]
        if None in answers:
            plays.append(code(_name(follower)))
        elif reasons := [reason for reason in answers if reason and type(follower).__name__ in reason]:
            said.append(reasons[0])
    return (f"the follower is {', '.join(plays)}", said[0]) if said else None


def _name(follower: se.Follower) -> str:
    """A follower's class, with its rule for ties."""
    return f'Hard("{follower.ties}")' if isinstance(follower, se.Hard) else type(follower).__name__


def assumption_table(name: str) -> str:
    """What a solver assumes, in each of its settings: declarations of its class first, then all else that makes it decline."""
    own = {method: found for method, found in methods().items() if method.partition("(")[0] == name}
    solver, access = own[name]
    rows: list[tuple[str, str, str]] = []
    if solver.tabular:
        rows.append(("`tabular`", "worlds have tables", "It declines worlds whose states are vectors."))
    if not solver.signals and access > Access.RETURN:
        rows.append(
            ("`signals`", "followers see the leader's action or its policy", "It declines followers who see a noisy signal of the action.")
        )
    if Access.RETURN < access < Access.MODEL:
        says = "It declines a game whose pieces leave out, or say wrongly, what the leader moves."
        rows.append(("`access`", "the optional pieces of the game are whole", says))
    for (declarations, words, reason), settings in _by_settings(own).items():
        where = "" if len(settings) == len(own) else f"with {', '.join(settings)}: "
        rows.append((declarations, where + words, plain(reason)))
    if not rows:
        return "It assumes nothing of the game and the follower beyond what its access lets it see."
    return table(("declaration", "it assumes that", "otherwise it declines, and says"), rows)


def _by_settings(own: dict[str, tuple[Solver, Access]]) -> dict[tuple[str, str, str], list[str]]:
    """Declarations, assumptions and what is said without them, with the settings in which that holds."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for method, (solver, access) in own.items():
        by_reason: dict[str, tuple[list[str], list[str]]] = {}
        for assumption, reason, always in _violations(solver, access):
            declarations, words = by_reason.setdefault(reason, ([], []))
            declarations.append(code(assumption.declaration))
            words.append(assumption.words + ("" if always else " (in some games)"))
        if answered := _followers(solver, access):
            by_reason[answered[1]] = (["`follower`"], [answered[0]])
        for reason, (declarations, words) in by_reason.items():
            key = ", ".join(dict.fromkeys(declarations)), "; ".join(dict.fromkeys(words)), reason
            rows.setdefault(key, []).append("the defaults" if "(" not in method else code(method))
    return rows
