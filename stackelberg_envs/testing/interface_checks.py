"""What PettingZoo's interface asks of spaces, observations, flags, rewards and infos; and what libraries trip over besides."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Space

from .driver import Snapshot
from .report import Report, advise, require, short
from .subject import Subject

Episodes = list[list[Snapshot]]


def check_interface(report: Report, subject: Subject, episodes: Episodes) -> None:
    """Look at what ``episodes`` showed."""
    report.check("agents are those that are possible", _agents, subject, episodes)
    report.check("agents keep their order", _order, subject)
    report.check("spaces are the same objects", _spaces_stay, subject)
    report.check("observations lie in their spaces", _spaces, subject, episodes)
    report.check("observations have the dtype of their spaces", _dtypes, subject, episodes, lenient=True)
    report.check("flags are bool", _flags, episodes)
    report.check("rewards are finite numbers", _rewards, episodes)
    report.check("infos are dictionaries", _infos, episodes)
    report.check("infos are numeric with steady keys", _numeric_infos, episodes, lenient=True)


def _moments(episodes: Episodes) -> list[Snapshot]:
    return [moment for episode in episodes for moment in episode]


def _with_spaces(subject: Subject, episodes: Episodes) -> list[tuple[Snapshot, dict[str, Any]]]:
    return [(moment, spaces) for episode, spaces in zip(episodes, subject.spaces, strict=True) for moment in episode]


def _agents(subject: Subject, episodes: Episodes) -> None:
    possible = getattr(subject.env, "possible_agents", None)
    for episode in episodes:
        present = list(episode[0].observations)
        require(bool(present), "after a reset there is nobody")
        require(possible is None or set(present) <= set(possible), f"{sorted(present)} are not all among possible_agents, {possible}")
        for moment in episode[1:]:
            for what in ("rewards", "terminations", "truncations", "infos"):
                missing = set(moment.observations) - set(getattr(moment, what))
                require(not missing, f"after {moment.moves} moves {sorted(missing)} have an observation and no entry in {what}")
        for before, after in pairwise(episode):
            gone = set(before.observations) - set(after.observations) - agents_that_end(before) - agents_that_end(after)
            require(not gone, f"after {after.moves} moves {sorted(gone)} are gone, and were neither terminated nor truncated")


def agents_that_end(moment: Snapshot) -> set[str]:
    """The agents that are terminated or truncated."""
    return {agent for flags in (moment.terminations, moment.truncations) for agent, flag in flags.items() if flag}


def _order(subject: Subject) -> str | None:
    possible = getattr(subject.env, "possible_agents", None)
    if not possible:
        return "the environment has no possible_agents"
    for seed in range(4):
        subject.env.reset(seed=subject.seed + seed)
        present = list(subject.env.agents)
        expected = [agent for agent in possible if agent in present]
        advise(present == expected, f"agents are {present} after a reset, and possible_agents {list(possible)}; libraries zip them")
    return None


def _spaces_stay(subject: Subject) -> None:
    env = subject.env
    env.reset(seed=subject.seed)
    for agent in env.agents:
        for what in ("observation_space", "action_space"):
            one, other = (getattr(env, what)(agent) for _ in range(2))
            require(isinstance(one, Space), f"{what} of {agent} is {short(one)}, no space")
            require(one is other, f"{what} of {agent} is another object at each call, so that seeding it does nothing")


def _spaces(subject: Subject, episodes: Episodes) -> None:
    for moment, spaces in _with_spaces(subject, episodes):
        for agent, observation in moment.observations.items():
            space, where = spaces[agent], f"{agent}, after {moment.moves} moves"
            if isinstance(space, Dict) and "observation" in space.spaces and "action_mask" not in space.spaces:
                observation = {key: value for key, value in observation.items() if key != "action_mask"}  # PettingZoo allows it
            if not space.contains(observation):
                require(False, f"{where}: {short(observation)} is not in {short(space)}")


def _dtypes(subject: Subject, episodes: Episodes) -> None:
    for moment, spaces in _with_spaces(subject, episodes):
        for agent, observation in moment.observations.items():
            got, want = getattr(observation, "dtype", None), spaces[agent].dtype
            wrong = want is not None and not isinstance(observation, (dict, tuple, list, str)) and got != want
            advise(not wrong, f"{agent}, after {moment.moves} moves: dtype {got}, the space says {want}")


def _flags(episodes: Episodes) -> None:
    for moment in _moments(episodes):
        for kind, flags in (("termination", moment.terminations), ("truncation", moment.truncations)):
            for agent, flag in flags.items():
                require(type(flag) is bool, f"{agent}: a {kind} is {flag!r} of type {type(flag).__name__}, not a bool")


def _rewards(episodes: Episodes) -> None:
    for moment in _moments(episodes):
        for agent, reward in moment.rewards.items():
            where, number = f"{agent}, after {moment.moves} moves", np.asarray(reward)
            require(number.dtype.kind in "biuf" and number.shape in ((), (1,)), f"{where}: a reward is {reward!r}, no number")
            require(bool(np.isfinite(number).all()), f"{where}: a reward is {reward!r}, not finite")


def _infos(episodes: Episodes) -> None:
    for moment in _moments(episodes):
        for agent, info in moment.infos.items():
            require(isinstance(info, dict), f"{agent}: an info is {short(info)}, no dictionary")


def _numeric_infos(episodes: Episodes) -> None:
    keys: dict[str, set[str]] = {}
    for moment in _moments(episodes):
        for agent, info in moment.infos.items():
            for key, value in info.items():
                advise(_is_numeric(value), f"{agent}: info[{key!r}] is {short(value)}, not numeric")
            first = keys.setdefault(agent, set(info))
            advise(set(info) == first, f"{agent}: info keys change from {sorted(map(str, first))} to {sorted(map(str, info))}")


def _is_numeric(value: Any) -> bool:
    return isinstance(value, (int, float, np.number, np.ndarray)) and np.asarray(value).dtype.kind in "biuf"
