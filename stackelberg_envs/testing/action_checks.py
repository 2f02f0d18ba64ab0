"""What becomes of actions that are illegal, or that a mask excludes."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from .actions import illegal_actions
from .episode_checks import compare
from .report import Report, advise, require, short
from .subject import STEPS, Subject


def check_actions(report: Report, subject: Subject) -> None:
    """Play illegal actions between legal ones."""
    report.check("illegal actions are refused and change nothing", _refusals, subject, lenient=True)
    report.check("what a mask excludes is not played", _excluded, subject, lenient=True)


def _accepts(subject: Subject, agent: str, actions: dict[str, Any], action: Any, kind: str) -> bool:
    """Whether the environment takes ``action`` of an agent, beside the others' ``actions``; a refusal without a word fails."""
    env, disabled = subject.env, logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # PettingZoo's wrappers log what they think of it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env.step(action) if subject.aec else env.step({**actions, agent: action})
    except Exception as refusal:
        advise(bool(str(refusal)), f"{agent}: an {kind} action is refused without a word")
        return False
    finally:
        logging.disable(disabled)
    return True


def _refusals(subject: Subject) -> str | None:
    tried = 0

    def provoke(agent: str, actions: dict[str, Any]) -> None:
        nonlocal tried
        space = subject.env.action_space(agent)
        for action in [] if actions.get(agent) is None else illegal_actions(space):
            tried += 1
            accepted = _accepts(subject, agent, actions, action, "illegal")
            advise(not accepted, f"{agent}: the action {short(action)} outside {short(space)} was accepted")

    plain = subject.play(moves=12)
    driver = subject.driver()
    seen = [driver.snapshot()]
    while not driver.is_over and len(seen) < len(plain):
        seen.append(driver.advance(before=provoke))
    compare(plain, seen, "a refused action changed the state")
    return None if tried else "no action space has an outside"


def check_masks(subject: Subject) -> str | None:
    """Masks are as libraries take them, and those of the model, if there is one."""
    driver, shown, worlds = subject.driver(), False, _AvailableInModel(subject)
    while not driver.is_over and driver.moves < STEPS:
        for agent in driver.acting():
            mask, where, space = driver.mask(agent), f"{agent}, after {driver.moves} moves", subject.env.action_space(agent)
            there = worlds.of(agent)
            if mask is None:
                require(there is None, f"{where}: it lacks actions, and its info has no action_mask")
                continue
            shown = True
            if not isinstance(space, Discrete):
                advise(not subject.ours, f"{where}: a mask for {short(space)}, where sample(mask) takes none")
                continue
            require(np.shape(mask) == (int(space.n),), f"{where}: a mask is one number an action, got {short(mask)} for {short(space)}")
            require(bool(np.isin(mask, (0, 1)).all()), f"{where}: a mask is 0 or 1 an action, got {short(mask)}")
            advise(getattr(mask, "dtype", None) == np.int8, f"{where}: a mask is int8 where sample(mask) takes it, got {short(mask)}")
            require(bool(np.any(mask)), f"{where}: no action is available")
            same = not subject.ours or np.array_equal(mask, np.ones(int(space.n)) if there is None else there)
            require(same, f"{where}: the mask is {short(mask)}, the model has {short(there)}")
        driver.advance()
    return None if shown else "nobody lacks an action"


class _EndedError(Exception):
    """The episode was ended by an excluded action."""


def _excluded(subject: Subject) -> str | None:
    """An action that a mask excludes is refused, or ends the episode, as PettingZoo's wrapper does."""
    driver, tried = subject.driver(), 0

    def provoke(agent: str, actions: dict[str, Any]) -> None:
        nonlocal tried
        mask, space = driver.mask(agent), subject.env.action_space(agent)
        if actions.get(agent) is None or not isinstance(space, Discrete) or np.shape(mask) != (int(space.n),):
            return
        for index in np.flatnonzero(np.asarray(mask) == 0).tolist()[:3]:
            tried += 1
            action = int(space.start) + index
            if _accepts(subject, agent, actions, action, "unavailable"):
                advise(_has_ended(subject), f"{agent}: action {action}, which its mask excludes, was accepted")
                raise _EndedError

    with suppress(_EndedError):
        while not driver.is_over and driver.moves < STEPS:
            driver.advance(before=provoke)
    return None if tried else "no mask excludes anything"


def _has_ended(subject: Subject) -> bool:
    env = subject.env
    return not env.agents or (subject.aec and (any(env.terminations.values()) or any(env.truncations.values())))


class _AvailableInModel:
    """Which actions followers have, by the model of an environment, if it has one."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.key, self.worlds = subject, None, ()

    def of(self, agent: str) -> np.ndarray | None:
        """Booleans, one an action; None where it has all of them always, and without a model."""
        inner = self.subject.env.unwrapped
        if not agent.startswith("follower") or not self.subject.ours or inner.commitment is None:
            return None
        key: Any = inner.commitment.tobytes(), inner.context
        if key != self.key:
            self.key, self.worlds = key, inner.game.problems(inner.commitment, inner.context)
        i = int(agent.rpartition("_")[2])
        group, world = next(pair for pair in zip(inner.game.groups, self.worlds, strict=True) if i in pair[0])
        there, s = world.available_actions(group.index(i)), inner.states[i]
        if there is None or s == world.sizes[0]:
            return None
        signal = inner.game.visibility[i] == "signal"
        seen = 0 if there.shape[1] == 1 else inner.episode.signal(i) if signal else inner.leader_actions[i]
        return np.asarray(there)[s, seen]
