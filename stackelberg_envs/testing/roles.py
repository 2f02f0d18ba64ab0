"""Who leads and who follows in an environment of anybody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEADERS = ("leader", "government", "planner", "principal", "regulator", "designer")
"""Names, up to a number behind, of agents that are taken to lead."""


@dataclass(frozen=True)
class Roles:
    """Who leads and who follows.

    Attributes:
        leader: the agent that leads.
        followers: the agents that follow, in the environment's order.
        stated: whether somebody said so, or the leader's name does; findings about a mere guess are advice.
        why: where the roles are from, for the report.
    """

    leader: str
    followers: tuple[str, ...]
    stated: bool
    why: str

    def __str__(self) -> str:
        return f"{self.leader} leads, {', '.join(self.followers) or 'nobody'} follows ({self.why})"


def roles_of(env: Any, leader: str | None = None, followers: Sequence[str] | None = None) -> Roles:
    """The roles in an environment, which is reset if it does not name its possible agents.

    Args:
        env: an AEC or parallel environment.
        leader: the agent that leads; None to guess by name, then by order.
        followers: those that follow; None for all others.

    Raises:
        ValueError: if the environment has no such agent, or one of them would lead and follow.
    """
    agents = list(getattr(env, "possible_agents", None) or [])
    if not agents:
        env.reset(seed=0)
        agents = list(env.agents)
    named = [agent for agent in agents if re.sub(r"[_\W\d]+$", "", str(agent).lower()) in LEADERS]
    if leader is not None:
        stated, why = True, "as given"
    elif len(named) == 1:
        leader, stated, why = named[0], True, "by name; leader= says otherwise"
    else:
        rest = [agent for agent in agents if agent not in (followers or ())]
        leader, stated, why = (rest or agents or [""])[0], False, "a guess: the first agent; leader= and followers= say it"
    followers = tuple(agent for agent in agents if agent != leader) if followers is None else tuple(followers)
    unknown = [agent for agent in (leader, *followers) if agent not in agents]
    if unknown:
        raise ValueError(f"there is no agent {unknown[0]!r}; leader and followers are among {', '.join(map(str, agents)) or 'none'}")
    if leader in followers:
        raise ValueError(f"{leader!r} cannot both lead and follow")
    return Roles(leader, followers, stated, why)
