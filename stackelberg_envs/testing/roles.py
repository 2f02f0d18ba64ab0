"""Who leads and who follows in an environment of anybody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEADERS = ("leader", "government", "planner", "principal", "regulator", "designer")
"""Names, up to a number behind, of agents that are taken to lead."""


class RolesError(ValueError):
    """There is no such agent, or it would both lead and follow."""


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
        RolesError: if the environment has no such agent, or one of them would lead and follow.
    """
    agents = list(getattr(env, "possible_agents", None) or [])
    if not agents:
        env.reset(seed=0)
        agents = list(env.agents)
    named = [agent for agent in agents if re.sub(r"[_\W\d]+$", "", str(agent).lower()) in LEADERS]
    rest = [agent for agent in agents if agent not in (followers or ())]
    if leader is not None:
        leads, stated, why = leader, True, "as given"
    elif len(named) == 1:
        leads, stated, why = named[0], True, "by name; leader= says otherwise"
    else:
        leads, stated, why = (rest or agents or [""])[0], False, "a guess: the first agent; leader= and followers= say it"
    follow = tuple(agent for agent in agents if agent != leads) if followers is None else tuple(followers)
    unknown = [agent for agent in (leads, *follow) if agent not in agents]
    if unknown:
        raise RolesError(f"there is no agent {unknown[0]!r}; leader and followers are among {', '.join(map(str, agents)) or 'none'}")
    if leads in follow:
        raise RolesError(f"{leads!r} cannot both lead and follow")
    return Roles(leads, follow, stated, why)
