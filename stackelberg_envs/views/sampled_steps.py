"""Steps of one follower in a world without tables, without what only other worlds need; see `views.fast_steps`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..play.steps import powers
from .episode import Episode
from .tabular_steps import CUT, ENDED, GOES_ON, Account, StepFunctions, step_times


class SingleDraws:
    """A generator, from which nothing is drawn ahead: what `stackelberg_envs.views.tabular_steps.UniformBlocks` is for tables."""

    __slots__ = ("generator", "random")

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator, self.random = generator, generator.random

    def give_back(self) -> None:
        """Nothing is ahead."""


def sampled_steps(episode: Episode, noise: Any) -> StepFunctions:
    """Functions that play an episode in a world without tables."""
    stepper: Any = episode.steppers[0]
    process, limit, record = stepper.process, episode.max_cycles, episode.paths[0].append
    take, act, times = stepper.step, stepper.leader_action, step_times(limit)
    follower_powers, leader_powers = (powers(float(one), limit) for one in (process.follower_discount, process.leader_discount))
    draws = episode.view == "commitment" and stepper.leads
    state, count = episode.states[0], episode.time
    lead, action = episode.leader_actions[0], episode.follower_actions[0]
    leader_reward, follower_reward = (episode.rewards[agent] for agent in episode.agents)
    leader_return, follower_return = (episode.returns[agent] for agent in episode.agents)

    def advance(chosen: Any) -> tuple[Any, Any, float, float, float, float, float, int]:
        nonlocal action, count, follower_return, follower_reward, lead, leader_return, leader_reward, state
        state, (follower_reward,), paid = take(state, lead, (chosen,), noise)
        leader_reward = 0.0 + paid  # as sums of rewards begin with 0
        follower_return += follower_powers[count] * follower_reward
        leader_return += leader_powers[count] * paid
        count += 1
        action = chosen
        if state is None:
            lead, progress = None, ENDED
        else:
            record(state)
            lead = act(state, noise) if draws else None
            progress = GOES_ON if count < limit else CUT
        return state, lead, times[count], follower_reward, leader_reward, follower_return, leader_return, progress

    def take_lead(chosen: Any) -> None:
        nonlocal follower_reward, lead, leader_reward
        lead = chosen
        follower_reward = leader_reward = 0.0

    def now() -> tuple[Any, Any, Any]:
        return state, lead, action

    def account() -> Account:
        progress = ENDED if state is None else GOES_ON if count < limit else CUT
        return Account(state, lead, action, count, (leader_reward, follower_reward), (leader_return, follower_return), progress)

    return StepFunctions(advance, take_lead, now, account)
