"""Whether an AEC and its parallel form play the same game."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from pettingzoo.utils.conversions import aec_to_parallel

from .actions import equal, sample
from .driver import Driver
from .report import Report, require
from .subject import STEPS, Subject


def check_parallel_form(report: Report, subject: Subject, parallel: Any) -> None:
    """Compare an AEC with what `aec_to_parallel` makes of it, if it says that it may be, and with a parallel form."""
    report.check("it is parallelizable if it says so", _parallelizable, subject, lenient=not subject.roles.stated)
    report.check("the parallel form plays the same game", _parallel_form, subject, parallel)


def _parallelizable(subject: Subject) -> str | None:
    """In a cycle of `aec_to_parallel` all decide before any has acted: then none may be shown what another does."""
    env = subject.env
    if not env.metadata.get("is_parallelizable"):
        return "metadata does not say is_parallelizable"
    what = "metadata says is_parallelizable, but aec_to_parallel of it"
    one, other = Driver(env, subject.seed, subject.roles, grouped=False), aec_to_parallel(subject.fresh())
    seen, _ = other.reset(seed=subject.seed)
    while env.agents and other.agents and not one.is_over and one.moves < STEPS:
        actions, order = {}, list(env.agents)
        for agent in order:
            require(env.agent_selection == agent, f"{what} expects {agent} to act, and it is {env.agent_selection}'s turn")
            here = one.snapshot().observations[agent]
            require(equal(here, seen.get(agent)), f"{what} shows {agent} something else before it acts (after {one.moves} moves)")
            chosen = one.choose()
            actions.update(chosen)
            one.advance(chosen)
            if one.is_over:
                return None
        seen = other.step(actions)[0]
    return None


def _parallel_form(subject: Subject, parallel: Any) -> str | None:
    env = subject.env
    if parallel is None:
        if not subject.ours or not hasattr(env.unwrapped, "episode"):
            return "no parallel form is known; pass parallel="
        from ..views.parallel import StackelbergParallel

        episode = env.unwrapped.episode
        parallel = StackelbergParallel(
            env.unwrapped.game, view=episode.view, observations=episode.observations, max_cycles=env.unwrapped.max_cycles
        )
    _same_play(subject, env, copy.deepcopy(parallel), "the parallel form")
    return None


def _same_play(subject: Subject, aec: Any, parallel: Any, what: str) -> None:
    """Drive both with the same actions: before each move, the movers must have seen the same, and all are paid the same."""
    one = Driver(aec, subject.seed, subject.roles, grouped=True)
    other = Driver(parallel, subject.seed, subject.roles)
    for _ in range(STEPS):
        here, there = one.snapshot(), other.snapshot()
        for agent in one.acting():
            same = agent in there.observations and equal(here.observations[agent], there.observations[agent])
            require(same, f"{what} shows {agent} something else before it acts (after {here.moves} moves)")
        for agent in here.rewards:
            require(here.rewards[agent] == there.rewards.get(agent), f"{what} pays {agent} differently (after {here.moves} moves)")
        require(one.is_over == other.is_over, f"{what} ends at another time")
        if one.is_over:
            return
        chosen = one.choose()
        rng = np.random.default_rng(subject.seed)
        waiting = {agent: sample(aec.action_space(agent), rng) for agent in aec.possible_agents if agent not in chosen}
        one.advance(chosen)
        other.advance({**waiting, **chosen})
