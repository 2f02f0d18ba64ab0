"""What a leader may know of its followers, and what followers must know of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from ..views.masks import next_available
from .actions import different_actions, equal
from .changed_attributes import Attributes
from .driver import Snapshot
from .modified_games import GameWithIneffectiveFollowers, GameWithOtherFollowerRewards, ModifiedGame
from .report import NotChecked, Report, advise, require
from .subject import STEPS, Changes, Subject


def check_roles(report: Report, subject: Subject, private: Changes | None, hidden: Changes | None, twin: Callable[[], Any] | None) -> None:
    """Look for what the leader sees and should not, and for what followers should see; a guess of roles makes this advice."""
    guess = not subject.roles.stated
    report.check("the leader moves first", _leader_first, subject, lenient=guess)
    report.check("followers see the commitment", _followers_see_commitment, subject, lenient=guess)
    report.check("the leader sees nothing of the followers' insides", _non_interference, subject, private, twin, lenient=guess)
    report.check("the leader sees nothing of hidden actions", _hidden_actions, subject)
    report.check("the leader sees nothing before it commits that it must not", _hidden_before, subject, hidden, lenient=guess)


def _leader_first(subject: Subject) -> str | None:
    if not subject.aec:
        return "in a parallel environment nobody is first"
    env, leader = subject.env, subject.roles.leader
    for seed in range(3):
        env.reset(seed=subject.seed + seed)
        require(env.agent_selection == leader, f"{env.agent_selection} acts first, and {leader} leads")
    return None


def _followers_see_commitment(subject: Subject) -> str | None:
    """Two commitments that differ, after the same past: the follower that acts next must see a difference."""
    env, roles = subject.env, subject.roles
    if not roles.followers:
        return "nobody follows"
    spaces = [env.observation_space(agent) for agent in roles.followers]
    if any(isinstance(space, Discrete) for space in spaces):
        return "observations are indices, which have no room for a commitment"
    if subject.ours and not subject.commits_to_a_vector:
        return "the leader does not commit to a vector here"
    first, second = (_after_leader(subject, 0, which) for which in (0, 1))
    if not first or not second:
        return "the leader never acts"
    said = f"{roles.followers[0]} is shown the same after two different actions of {roles.leader}"
    blind = equal(_shown_to_followers(subject, first[0]), _shown_to_followers(subject, second[0]))
    if (blind or not subject.aec) and not subject.ours and first_actions_matter(subject):
        again = _differ(_after_leader(subject, 1, 0), _after_leader(subject, 1, 1))
        if again and not subject.aec:
            raise NotChecked("leader and followers act in the same steps, so nobody can see an action before it acts")
        advise(not again, f"{said}; in a game of simultaneous moves that is as it should be")
        require(False, f"{said}, and acts on it" if subject.aec else f"followers act in the step in which {roles.leader} commits, unseeing")
    if blind and subject.aec and not subject.ours:  # what they do is ignored the first time; the next time they must see
        turn = len(roles.followers)
        later = [_shown_to_followers(subject, run[min(turn, len(run) - 1)]) for run in (first, second)]
        blind = equal(*later)
    require(not blind, said)
    for turn in () if subject.ours else (1, 2):
        first, second = (_after_leader(subject, turn, which) for which in (0, 1))
        if not first or not second or not _differ(first, second):
            return None  # it has committed, and its later actions are ignored
        shown = [_shown_to_followers(subject, run[0]) for run in (first, second)]
        advise(not subject.aec or not equal(*shown), f"{said}, at its turn {turn + 1}")
    return None


def _shown_to_followers(subject: Subject, moment: Snapshot) -> Any:
    return [[moment.observations.get(agent), moment.infos.get(agent)] for agent in subject.roles.followers]


def _after_leader(subject: Subject, turns: int, which: int) -> list[Snapshot]:
    """What there is to see from the leader's action number ``turns`` on, which is one of two; empty if the episode ends before."""
    leader, done, driver, seen = subject.roles.leader, 0, subject.driver(), []
    while not driver.is_over and driver.moves < STEPS and len(seen) < 20:
        chosen = driver.choose()
        leads = leader in driver.acting() and chosen[leader] is not None
        if leads and done == turns:
            chosen[leader] = different_actions(subject.env.action_space(leader), driver.mask(leader))[which]
        moment = driver.advance(chosen)
        done += leads
        if done > turns:
            seen.append(moment)
    return seen


def _differ(first: Sequence[Snapshot], second: Sequence[Snapshot]) -> bool:
    return len(first) != len(second) or any(a.difference(b) is not None for a, b in zip(first, second, strict=True))


def first_actions_matter(subject: Subject) -> bool:
    """Whether what followers do at their first turns makes a difference."""
    env, roles, runs = subject.env, subject.roles, []
    for which in (0, 1):
        driver, seen, acted = subject.driver(), [], set[str]()
        while not driver.is_over and len(seen) < 20:
            chosen = driver.choose()
            for agent in (agent for agent in chosen if agent in roles.followers and agent not in acted and chosen[agent] is not None):
                chosen[agent] = different_actions(env.action_space(agent), driver.mask(agent))[which]
                acted.add(agent)
            seen.append(driver.advance(chosen))
        runs.append(seen)
    return _differ(*runs)


def _non_interference(subject: Subject, private: Changes | None, twin: Callable[[], Any] | None) -> str | None:
    """The same episodes, and followers want something else: the leader must not see it."""
    if not subject.roles.followers:
        return "nobody follows"
    if subject.ours:
        plain, other = subject.play(), subject.play(_with_modified_game(subject.env, GameWithOtherFollowerRewards))
        said = "the environment does not pay followers by its game, so the leader's ignorance cannot be checked"
    elif twin is not None:
        plain, other = subject.play(subject.fresh()), subject.play(twin())
        said = "twin= pays its followers the same, so the leader's ignorance cannot be checked"
    elif private is not None:
        secrets = Attributes(subject, private)
        plain, other = subject.play(subject.fresh()), secrets.play_changed()
        _leader_sees_the_same(subject, plain, other, str(secrets))
        secrets.require_untold()
        said = f"with other {secrets} followers are paid the same, so the leader's ignorance cannot be checked"
    else:
        raise NotChecked("pass private=, the attributes that only followers know, or twin=, an environment where they are paid otherwise")
    differ = any(a.rewards.get(f) != b.rewards.get(f) for a, b in zip(plain, other, strict=False) for f in subject.roles.followers)
    if not differ and not subject.ours:
        raise NotChecked(said)
    require(differ, said)
    _leader_sees_the_same(subject, plain, other, "a follower's reward")
    return None


def _hidden_before(subject: Subject, hidden: Changes | None) -> str | None:
    if subject.ours:
        return "the game says what the leader sees"
    if hidden is None:
        raise NotChecked("pass hidden=, the attributes that the leader must not know before it acts, such as a context")
    secrets = Attributes(subject, hidden)
    plain, other = subject.play(subject.fresh()), secrets.play_changed()
    _leader_sees_the_same(subject, plain[:1], other[:1], f"{secrets}, before it acts")
    secrets.require_untold()
    if not _differ(plain, other):
        raise NotChecked(f"other {secrets} change nothing, so what the leader sees of them cannot be checked")
    return None


def _hidden_actions(subject: Subject) -> str | None:
    """The same episodes, but each follower does something else: the noise brings about the same outcomes."""
    env, followers = subject.env, subject.roles.followers
    if not subject.ours:
        raise NotChecked("only a game of this suite says whether followers' actions are hidden")
    if env.unwrapped.game.follower_actions_public:
        return "the leader sees what followers do"
    told: list[list[Any]] = []
    moments: list[list[Snapshot]] = []
    for shift in (0, 1):
        driver = subject.driver(_with_modified_game(env, GameWithIneffectiveFollowers))
        told.append([])
        moments.append([driver.snapshot()])
        while not driver.is_over and driver.moves < STEPS:
            chosen = driver.choose()
            for agent in chosen:
                if agent in followers:
                    chosen[agent] = next_available((chosen[agent] + shift) % env.action_space(agent).n, driver.mask(agent))
            moments[-1].append(driver.advance(chosen))
            if driver.moved and hasattr(driver.env.unwrapped, "round_transition"):
                told[-1].append(driver.env.unwrapped.round_transition())
    _leader_sees_the_same(subject, moments[0], moments[1], "a hidden action")
    for one, other in zip(*told, strict=True):
        require(all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)), "round_transition depends on a hidden action")
    return None


def _with_modified_game(env: Any, change: type[ModifiedGame]) -> Any:
    """A copy of an environment that plays a changed game."""
    twin = copy.deepcopy(env)
    twin.unwrapped.replace_game(change(env.unwrapped.game))
    return twin


def _leader_sees_the_same(subject: Subject, plain: Sequence[Snapshot], other: Sequence[Snapshot], what: str) -> None:
    leader = subject.roles.leader
    for a, b in zip(plain, other, strict=False):
        if leader not in a.observations or leader not in b.observations:
            continue
        where = f"{leader}, after {a.moves} moves"
        require(equal(a.observations[leader], b.observations[leader]), f"{where}: the observation depends on {what}")
        require(equal(a.rewards.get(leader), b.rewards.get(leader)), f"{where}: the leader's reward depends on {what}")
        require(equal(a.infos.get(leader), b.infos.get(leader)), f"{where}: the info depends on {what}")
    require(len(plain) == len(other), f"when an episode ends depends on {what}")
