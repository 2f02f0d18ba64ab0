"""Whether episodes are what their seeds and actions make them, and nothing else moves them."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .actions import equal
from .driver import Driver, Snapshot
from .report import NotChecked, Report, Violation, advise, require, short, unpicklable
from .subject import STEPS, Subject

SEEDS, RESETS, SHORT = 12, 40, 12
"""Seeds that are compared, resets without one that are waited for, and moves of each of these episodes."""


def check_episodes(report: Report, subject: Subject) -> None:
    """Play episodes twice, with something between that must make no difference."""
    report.check("a seed determines every step", _determinism, subject)
    report.check("an episode leaves nothing behind", _nothing_carried_over, subject)
    report.check("resets without a seed go on", _unseeded_resets, subject)
    report.check("resets after a seed are determined by it", _later_resets, subject, lenient=True)
    report.check("looking and drawing change nothing", _looking, subject)
    report.check("environments do not touch each other", _independence, subject)
    report.check("observations are fresh arrays", _arrays_are_not_shared, subject)
    report.check("observations may be written to", _writing, subject, lenient=True)
    report.check("actions remain the caller's", _actions_remain, subject, lenient=True)
    report.check("deep copies go on alike", _copies, subject, copy.deepcopy, lenient=True)
    report.check("pickles go on alike", _pickles, subject, lenient=True)


def compare(first: list[Snapshot], second: list[Snapshot], what: str) -> None:
    """Fail where two episodes differ."""
    for a, b in zip(first, second, strict=False):
        difference = a.difference(b)
        require(difference is None, f"{what} (after {a.moves} moves): {difference}")
    require(len(first) == len(second), f"{what}: {len(first) - 1} against {len(second) - 1} moves")


def _determinism(subject: Subject) -> None:
    kept = np.random.get_state()  # noqa: NPY002 - marked, looked at and put back
    np.random.set_state(np.random.RandomState(12345).get_state())  # noqa: NPY002
    mark = str(np.random.get_state())  # noqa: NPY002
    try:
        first = subject.play()
        again = [subject.play() for _ in range(1 if subject.ours else 4)]  # short episodes may be alike by chance
        require(mark == str(np.random.get_state()), "the environment uses or seeds NumPy's global generator")  # noqa: NPY002
    finally:
        np.random.set_state(kept)  # noqa: NPY002
    for second in again:
        compare(first, second, "two runs with the same seed and actions differ")


def _nothing_carried_over(subject: Subject) -> None:
    """A fresh environment plays as one that is reset in the middle of another episode, and as one that has ended it."""
    first, used = subject.play(subject.fresh()), subject.fresh()
    for moves in (STEPS, 3, 1):
        subject.play(used, moves, seed=subject.seed + 1)
        compare(first, subject.play(used), "a seeded run depends on the episode before it")


def _unseeded_resets(subject: Subject) -> str | None:
    def play(env_seed: int | None) -> list[Snapshot]:
        return subject.play(env, SHORT, env_seed=env_seed)

    env = subject.fresh() if subject.build is not None else subject.env
    first, others = play(0), 0
    for seed in range(1, SEEDS):
        others += not _same(first, play(seed))
    if others < SEEDS / 4:
        return "episodes hardly depend on the seed"
    play(0)
    again = play(None)
    for _ in range(RESETS):
        if not _same(again, play(None)):
            return None
    require(False, f"{RESETS} resets without a seed start the same episode again and again, and other seeds others")
    return None


def _later_resets(subject: Subject) -> None:
    env = subject.fresh() if subject.build is not None else subject.env
    runs = []
    for _ in range(2):
        subject.play(env, 2, env_seed=0)
        runs.append(subject.play(env, SHORT, env_seed=None))
    advise(_same(*runs), "a reset without a seed after one with a seed starts another episode each time the two are repeated")


def _same(first: list[Snapshot], second: list[Snapshot]) -> bool:
    return len(first) == len(second) and all(a.difference(b) is None for a, b in zip(first, second, strict=True))


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
    if type(env.unwrapped).state not in _BASE_STATES:
        looks.append(env.state)
    if subject.aec:
        looks += [env.last, *(lambda agent=agent: env.observe(agent) for agent in env.agents)]
    return looks


def _base_states() -> tuple[Any, ...]:
    from pettingzoo import AECEnv, ParallelEnv

    return AECEnv.state, ParallelEnv.state


_BASE_STATES = _base_states()


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
