"""Whether an episode is left alone by those who look at it, copy it, or hold its arrays."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from pettingzoo import AECEnv, ParallelEnv

from .actions import equal
from .driver import Driver, Snapshot
from .episode_checks import compare
from .report import NotChecked, Report, Violation, advise, require, short, unpicklable
from .subject import Subject


def check_interference(report: Report, subject: Subject) -> None:
    """Look, draw, copy, play others and write into arrays between the moves of an episode."""
    report.check("looking and drawing change nothing", _looking, subject)
    report.check("environments do not touch each other", _independence, subject)
    report.check("observations are fresh arrays", _arrays_are_not_shared, subject)
    report.check("observations may be written to", _writing, subject, lenient=True)
    report.check("actions remain the caller's", _actions_remain, subject, lenient=True)
    report.check("deep copies go on alike", _copies, subject, copy.deepcopy, lenient=True)
    report.check("pickles go on alike", _pickles, subject, lenient=True)


def _looking(subject: Subject) -> None:
    """The same episode, and between its moves everything is observed and drawn."""
    env = subject.fresh() if subject.build is not None else subject.env
    modes = [mode for mode in getattr(env, "metadata", {}).get("render_modes") or [] if mode in ("ansi", "rgb_array")]
    declared, plain, failed = getattr(env, "render_mode", None), subject.play(moves=40), ""
    for mode in [declared] if declared is not None else [None, *modes[:1]]:
        try:
            if mode != declared:
                env.unwrapped.render_mode = mode
            failed = _play_looking(subject, env, plain, mode is not None) or failed
        except Violation:
            raise
        except Exception as error:  # an environment whose mode was set by others may not have what it draws with
            if mode == declared:
                raise
            failed = f"{type(error).__name__}: {error}"
    if declared is None and modes and failed:
        raise NotChecked(f"drawing could not be tried ({short(failed, 60)}); pass an environment with its render_mode set")


def _play_looking(subject: Subject, env: Any, plain: list[Snapshot], draw: bool) -> str:
    """Compare an episode with one in which everybody looks; what drawing raised, if anything."""
    driver, failed = Driver(env, subject.seed, subject.roles), ""
    seen = [driver.snapshot()]
    while not driver.is_over and len(seen) < len(plain):
        for look in [env.render] * draw + _looks(subject, env):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    look()
            except Exception as error:  # state() and drawing are optional
                failed = failed or f"{type(error).__name__}: {error}"
        seen.append(driver.advance())
    compare(plain, seen, "an episode goes on differently after render(), state(), observe() and last()")
    return failed


def _looks(subject: Subject, env: Any) -> list[Callable[[], Any]]:
    looks: list[Callable[[], Any]] = []
    if type(env.unwrapped).state not in (AECEnv.state, ParallelEnv.state):
        looks.append(env.state)
    if subject.aec:
        looks += [env.last, *(lambda agent=agent: env.observe(agent) for agent in env.agents)]
    return looks


def _independence(subject: Subject) -> None:
    """An episode while another environment of the same kind is reset and played."""
    plain, driver, other = subject.play(moves=30), subject.driver(subject.fresh()), subject.fresh()
    seen = [driver.snapshot()]
    while not driver.is_over and len(seen) < len(plain):
        subject.play(other, 2, seed=subject.seed + len(seen))
        seen.append(driver.advance())
    compare(plain, seen, "an episode goes on differently while another environment is played")


def _arrays_are_not_shared(subject: Subject) -> None:
    driver = subject.driver()
    for _ in range(6):
        shown, kept = driver.shown, driver.snapshot().observations
        if driver.is_over:
            return
        driver.advance()
        for agent, observation in shown.items():
            require(equal(observation, kept[agent]), f"{agent}: an earlier observation changed when the world moved")


def _writing(subject: Subject) -> str | None:
    if not subject.aec:
        return "only AEC environments have observe()"
    env, driver = subject.env, subject.driver()
    for _ in range(6):
        kept = driver.snapshot().observations
        for agent in env.agents:
            observation = env.observe(agent)
            if isinstance(observation, np.ndarray) and observation.flags.writeable:
                observation += np.ones((), observation.dtype)
            advise(equal(env.observe(agent), kept[agent]), f"{agent}: observe returns a buffer that the caller can change")
        if driver.is_over:
            return None
        driver.advance()
    return None


def _actions_remain(subject: Subject) -> str | None:
    """Arrays that were passed as actions are neither written to nor kept."""
    env, driver, plain = subject.env, subject.driver(), subject.play(moves=12)
    driver, seen, arrays = subject.driver(), [], 0
    seen.append(driver.snapshot())
    while not driver.is_over and len(seen) < len(plain):
        chosen = driver.choose()
        passed = {agent: np.copy(action) if isinstance(action, np.ndarray) else action for agent, action in chosen.items()}
        seen.append(driver.advance(passed))
        for agent, action in passed.items():
            if isinstance(action, np.ndarray):
                arrays += 1
                require(equal(action, chosen[agent]), f"{agent}: step() changed the action that it was given")
                action[...] = env.action_space(agent).low if hasattr(env.action_space(agent), "low") else 0
    compare(plain, seen, "an array that was passed as an action and changed afterwards changes the episode")
    return None if arrays else "no action is an array"


def _copies(subject: Subject, clone: Callable[[Any], Any]) -> None:
    driver = subject.driver()
    for _ in range(4):
        if not driver.is_over:
            driver.advance()
    twin = Driver(clone(subject.env), subject.seed, adopt=driver)
    for _ in range(20):
        if driver.is_over:
            break
        compare([driver.advance()], [twin.advance()], "a copy in mid-episode goes on differently")


def _pickles(subject: Subject) -> str | None:
    reason = unpicklable(subject.env)
    if reason is None:
        _copies(subject, lambda env: pickle.loads(pickle.dumps(env)))
    return reason
