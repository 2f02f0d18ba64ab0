"""The check of an environment: an AEC or parallel PettingZoo environment, or a Gymnasium one, of anybody.

An environment is judged by what it shows through PettingZoo's interface.  What it may show to whom is not written there: an author says it
by arguments, and what no argument was given for is said in the report as not checked.  The views of this suite say it by their game.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from pettingzoo import AECEnv, ParallelEnv

from ..views.masks import NextAvailable
from .action_checks import check_actions, check_masks
from .driver import drive, has_model
from .ending_checks import check_endings
from .episode_checks import check_episodes
from .interface_checks import check_interface
from .interference_checks import check_interference
from .kernel import compare_with_model
from .parallel_form import check_parallel_form
from .report import NotChecked, Report
from .role_checks import check_roles
from .roles import roles_of
from .subject import STEPS, Changes, Subject, subject_of
from .tables import Tables, compare_with_tables


def check_env(
    env: Any,
    leader: str | None = None,
    followers: Sequence[str] | None = None,
    *,
    private: Changes | None = None,
    hidden: Changes | None = None,
    twin: Callable[[], Any] | Any = None,
    model: Tables | None = None,
    parallel: ParallelEnv | None = None,
    max_moves: int = 2000,
    strict: bool | None = None,
    seed: int = 0,
    kernel_steps: int = 10_000,
) -> Report:
    """Check an environment, by playing it: reset it before you go on using it.

    Args:
        env: an AEC, parallel or Gymnasium environment, or a function without arguments that returns one.
        leader: the agent that leads; guessed, and the guess is in the report, if it is not given.
        followers: the agents that follow; all others if not given.
        private: attributes of ``env.unwrapped`` that only followers know, such as what they are paid by: names of numbers, or a dictionary
            of other values, or of functions from the present value to another; by name, what another reset drew.  The leader must see
            the same with others.
        hidden: attributes that the leader must not know before it first acts, in the same form, such as a context drawn by the reset.
        twin: instead of ``private``, an environment in which followers are paid otherwise and all else is the same, or a function that
            returns one.
        model: tables that the steps are compared with; taken from ``env.unwrapped.game`` in a view of this suite.
        parallel: the parallel form that an AEC claims; taken from ``env.unwrapped.game`` in a view of this suite.
        max_moves: after how many moves an episode is given up that has not ended.
        strict: whether advice counts as an error; None for views of this suite only.
        seed: of the episodes that are played.
        kernel_steps: moves on which the steps are compared with the model.

    Raises:
        ConformanceError: with everything that was found.
        TypeError: if ``env`` is none of the three kinds.
        RolesError: if there is no such leader or follower.
    """
    kinds = (AECEnv, ParallelEnv, gymnasium.Env)
    given, env = env, env() if callable(env) and not isinstance(env, kinds) else env
    if isinstance(env, gymnasium.Env):
        report = Report(f"Gymnasium environment {env}")
        report.check("gymnasium's own check", _gymnasium, env.unwrapped, seed)
        return report.conclude()
    if not isinstance(env, (AECEnv, ParallelEnv)):
        raise TypeError(f"check_env takes an AECEnv, a ParallelEnv, a gymnasium.Env or a function, got {type(env).__name__}")
    ours = has_model(env)
    subject = subject_of(given, env, seed, roles_of(env, leader, followers), max_moves)
    kind = "AEC" if subject.aec else "parallel"
    report = Report(f"{kind} environment {env}", strict=ours if strict is None else strict)
    if not ours or leader is not None or followers is not None:
        report.notes.append(f"roles: {subject.roles}")
    episodes: list[Any] = []
    report.check("legal actions can be played", _play, subject, episodes)
    report.check("action masks say which actions there are", check_masks, subject)
    if report.failed.get("legal actions can be played"):
        report.notes.append("NOTHING ELSE WAS CHECKED, as no episode can be played")
    else:
        check_interface(report, subject, episodes)
        check_endings(report, subject, episodes)
        check_episodes(report, subject)
        check_interference(report, subject)
        check_actions(report, subject)
        check_roles(report, subject, private, hidden, twin if twin is None or _is_function(twin) else lambda: twin)
        report.check("steps follow the model's kernel", _kernel, subject, model, kernel_steps)
        if subject.aec:
            check_parallel_form(report, subject, parallel)
    return report.conclude()


def _is_function(given: Any) -> bool:
    return callable(given) and not isinstance(given, (AECEnv, ParallelEnv))


def _play(subject: Subject, episodes: list[Any]) -> None:
    """Episodes to look at: in a view of this suite one, in others several, until one has ended."""
    for i in range(1 if subject.ours else 4):
        episodes.append([])
        subject.spaces.append({})
        for moment in drive(subject.env, subject.seed + i, min(STEPS, subject.max_moves) if i else subject.max_moves, subject.roles):
            episodes[-1].append(moment)
            new = set(moment.observations) - set(subject.spaces[-1])
            subject.spaces[-1].update({agent: subject.env.observation_space(agent) for agent in new})


def _gymnasium(env: Any, seed: int) -> None:
    """Gymnasium's check knows no masks; where there is one, what it plays stands for available actions."""
    masked = "action_mask" in env.reset(seed=seed)[1]
    with warnings.catch_warnings():
        if masked:
            warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        gymnasium_check_env(NextAvailable(env) if masked else env, skip_render_check=True)


def _kernel(subject: Subject, model: Tables | None, steps: int) -> str | None:
    if model is not None:
        return compare_with_tables(subject, model, steps)
    if subject.ours:
        return compare_with_model(subject.env, subject.seed, steps)
    raise NotChecked("pass model=, the tables that steps and rewards should follow (stackelberg_envs.testing.Tables)")
