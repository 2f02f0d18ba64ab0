"""What the leader may know, what it has used, and the handle that it gets.

"The leader only observes follower outcomes" is enforced, not promised.  A solver never holds a game; it holds an `Oracle`, which at its
access level simply does not contain the rest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class Access(enum.IntEnum):
    """What the leader may do in a round; each level includes those below it."""

    RETURN = 0
    """See its own return: over all contexts, or of several commitments in one that nature draws."""
    OUTCOME = 1
    """See trajectories: states, its own actions and rewards, follower actions (unless hidden); and the score of its own policy."""
    INCENTIVE = 2
    """Know its instrument and what it costs (`StackelbergGame.incentive`, ``leader_cost``), and the follower's temperature."""
    POLICY = 3
    """Query the follower's policy."""
    VALUE = 4
    """Query the follower's values."""
    MODEL = 5
    """Call `StackelbergGame.commit`, differentiate through it, and know which follower answers."""


class Permission(enum.Flag):
    """Granted beside a level."""

    NONE = 0
    TRAINING = enum.auto()
    """Snapshot and restore the follower's training; let followers act by given policies, and see what they earn."""
    RESET = enum.auto()
    """Outcomes from chosen states and first actions."""


class AccessError(RuntimeError):
    """A solver asked for something above its level."""


@dataclass
class Cost:
    """The ledger: everything a run has used so far.  The x-axes of every plot."""

    commitments: int = 0
    """Distinct commitments in a row that a follower had to answer."""
    outcome_steps: int = 0
    """Played steps that the leader saw something of."""
    training_steps: int = 0
    """Played steps in which followers acted by policies of the solver's own."""
    queries: int = 0
    """Exact returns, policies or values that were read."""
    model_calls: int = 0
    """Calls of ``commit`` by the solver, one a context."""
    follower_evaluations: int = 0
    """Policy evaluations or sweeps of followers who answered through the oracle."""
    newton_evaluations: int = 0
    """Policy evaluations of the solver's own inner solves, one factorisation and one solve each."""
    factorisations: int = 0
    """Matrices that the solver factorised, those of Newton evaluations included."""
    linear_solves: int = 0
    """Solves with a kept factorisation for values, occupancies and adjoints."""
    gradient_steps: int = 0
    """Updates of the commitment."""
    seconds: float = 0.0
    """Wall time of the solver, without the referee's."""


GRANTS: dict[str, Access | Permission] = {
    "returns": Access.RETURN,
    "returns_together": Access.RETURN,
    "play": Access.OUTCOME,
    "play_streams": Access.OUTCOME,
    "log_leader_policy": Access.OUTCOME,
    "incentive": Access.INCENTIVE,
    "leader_cost": Access.INCENTIVE,
    "temperature": Access.INCENTIVE,
    "policies": Access.POLICY,
    "values": Access.VALUE,
    "action_values": Access.VALUE,
    "commit": Access.MODEL,
    "objective": Access.MODEL,
    "follower": Access.MODEL,
    "snapshot": Permission.TRAINING,
    "restore": Permission.TRAINING,
    "play_as": Permission.TRAINING,
    "play_from": Permission.RESET,
}
"""What an oracle may hold, and what it takes to hold it."""


class Oracle:
    """A solver's handle on one run.  It holds what was granted, and raises `AccessError` for the rest.

    Always there: ``access``, ``permissions``, ``dimension``, ``commitment_shape``, ``leader_space``, ``contexts``,
    ``context_probabilities``, ``context_visibility``, ``followers``, ``groups``, ``sizes``, ``max_cycles``, ``leader_discount``,
    ``follower_discounts``, ``follower_sees``, ``follower_actions_public``, ``additive``, and ``charge(**work)``, which adds a solver's
    own work to the ledger.  It holds functions, and no game; Python being Python, a determined program could still dig.

    By level: ``returns``, ``returns_together`` (RETURN); ``play``, ``play_streams``, ``log_leader_policy`` (OUTCOME);
    ``incentive``, ``leader_cost``, ``temperature`` (INCENTIVE);
    ``policies`` (POLICY); ``values``, ``action_values`` (VALUE); ``commit``, ``objective``, ``follower`` (MODEL); ``snapshot``,
    ``restore``, ``play_as`` (TRAINING); ``play_from`` (RESET).  They are the methods of the same name of `Rounds`.
    """

    def __init__(self, granted: dict[str, Any], access: Access, permissions: Permission) -> None:
        self.__dict__.update(granted)
        self.access, self.permissions = access, permissions

    def __getattr__(self, name: str) -> Any:
        needed = GRANTS.get(name)
        if isinstance(needed, Access):
            raise AccessError(f"oracle.{name} needs access {needed.name}; this solver was granted {self.access.name}")
        if isinstance(needed, Permission):
            raise AccessError(f"oracle.{name} needs permission {needed.name}; this solver was granted {self.permissions}")
        raise AttributeError(f"an oracle has no {name!r}")
