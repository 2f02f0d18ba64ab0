"""What the leader may know, what it has used, and the handle that it gets.

"The leader only observes follower outcomes" is enforced, not promised.  A solver never holds a game; it holds an `Oracle`, which at its
access level simply does not contain the rest.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any


class Access(enum.IntEnum):
    """What the leader may do in a round; each level includes those below it."""

    RETURN = 0
    """See its own return: over all contexts, or of several commitments in one that nature draws."""
    OUTCOME = 1
    """See trajectories: states, its own actions and rewards, follower actions (unless hidden); and the score of its own policy."""
    INCENTIVE = 2
    """Know its instrument, what it costs (`StackelbergGame.incentive`, ``leader_cost``, ``log_kernel``), and the follower's temperature."""
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
    """Train followers who learn, and snapshot and restore their training, unread; with OUTCOME, let followers act by given policies, and
    see what they then do and earn, also in games that hide what followers do of their own accord."""
    RESET = enum.auto()
    """With OUTCOME: outcomes from chosen states and first actions."""


class AccessError(RuntimeError):
    """A solver asked for something above its level."""


@dataclass
class Cost:
    """The ledger: everything a run has used so far.  The x-axes of every plot."""

    commitments: int = 0
    """Distinct commitments in a row that a follower had to answer."""
    outcome_steps: int = 0
    """Played steps of followers who acted for themselves, of which the leader saw something.  A method that learns from
    ``training_steps`` is not cheap for having few of these: to compare it by steps, add the two."""
    training_steps: int = 0
    """Steps from which followers, or copies that the solver trains, learned: those played by policies that the solver gave them and that
    it watched (``play_as``), and the samples of followers who learn, of their own accord or because the solver trained them (``train``);
    not part of ``outcome_steps``."""
    queries: int = 0
    """Expected returns (exact, or means over many episodes in worlds without closed forms), policies or values that were read."""
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
    pretraining_steps: int = 0
    """Steps of followers' training before their first answers (`stackelberg_envs.Pretrained`); no part of any other entry."""
    actor_updates: int = 0
    """Updates of the policies of followers who learn, where these are kept beside values."""
    critic_updates: int = 0
    """Updates of the values of followers who learn from samples; those of several samples at once are one."""

    def as_dict(self) -> dict[str, float]:
        """Entry to amount, as results keep it: those of followers who learn only where there are any."""
        return {name: amount for name, amount in asdict(self).items() if amount or name not in OF_LEARNERS}


OF_LEARNERS = ("pretraining_steps", "actor_updates", "critic_updates")
"""Entries of `Cost` that runs with other followers do not have."""


GRANTS: dict[str, tuple[Access | Permission, ...]] = {
    "returns": (Access.RETURN,),
    "returns_in_one_context": (Access.RETURN,),
    "play": (Access.OUTCOME,),
    "play_streams": (Access.OUTCOME,),
    "log_leader_policy": (Access.OUTCOME,),
    "log_leader_density": (Access.OUTCOME,),
    "incentive": (Access.INCENTIVE,),
    "incentive_at": (Access.INCENTIVE,),
    "leader_cost": (Access.INCENTIVE,),
    "log_kernel": (Access.INCENTIVE,),
    "log_kernel_density": (Access.INCENTIVE,),
    "temperature": (Access.INCENTIVE,),
    "policies": (Access.POLICY,),
    "values": (Access.VALUE,),
    "action_values": (Access.VALUE,),
    "commit": (Access.MODEL,),
    "objective": (Access.MODEL,),
    "follower": (Access.MODEL,),
    "learns": (Permission.TRAINING,),
    "train": (Permission.TRAINING,),
    "snapshot": (Permission.TRAINING,),
    "restore": (Permission.TRAINING,),
    "play_as": (Access.OUTCOME, Permission.TRAINING),
    "play_from": (Access.OUTCOME, Permission.RESET),
}
"""What an oracle may hold, and all that it takes to hold it."""


def access_words(access: Access, permissions: Permission) -> str:
    """Level and permissions, as in ``MODEL + TRAINING``."""
    return " + ".join([access.name, *(str(permission.name) for permission in permissions)])


def missing_access(name: str, access: Access, permissions: Permission) -> list[str]:
    """In words, what it takes to hold ``name`` beyond what was granted."""
    levels = [f"access {needed.name}" for needed in GRANTS[name] if isinstance(needed, Access) and needed > access]
    return levels + [f"permission {needed.name}" for needed in GRANTS[name] if isinstance(needed, Permission) and needed not in permissions]


@dataclass(frozen=True)
class Snapshot:
    """A name for the followers' training state at one moment, which stays with the run: nothing can be read from it."""

    number: int


class Oracle:
    """A solver's handle on one run.  It holds what was granted, and raises `AccessError` for the rest.

    Always there: ``access``, ``permissions``, ``dimension``, ``commitment_shape``, ``leader_space``, ``contexts``,
    ``context_probabilities``, ``context_visibility``, ``followers``, ``groups``, ``tabular``, ``sizes`` (empty without tables),
    ``spaces``, ``closed_forms``, ``crowd``, ``max_cycles``, ``leader_discount``, ``follower_discounts``, ``follower_sees``, ``available``
    (which actions each follower has where it decides, booleans (S, N, B) or None for all, ``available[context][follower]``, under the
    null commitment), ``follower_actions_public``, ``additive``, ``smooth``, ``saturation``, ``measured`` (whether telemetry asks gradients
    for their parts, which changes nothing else), and ``charge(**work)``, which adds a solver's own work to the ledger.  It holds functions,
    and no game; Python being Python, a determined program could still dig.

    By level: ``returns``, ``returns_in_one_context`` (RETURN); ``play``, ``play_streams``, ``log_leader_policy``, ``log_leader_density``
    (OUTCOME); ``incentive``, ``incentive_at``, ``leader_cost``, ``log_kernel``, ``log_kernel_density``, ``temperature`` (INCENTIVE);
    ``policies`` (POLICY); ``values``, ``action_values`` (VALUE); ``commit``, ``objective``, ``follower`` (MODEL); ``learns``, ``train``,
    ``snapshot``, ``restore`` (TRAINING); ``play_as`` (OUTCOME + TRAINING); ``play_from`` (OUTCOME + RESET).  They are the methods of the
    same name of `stackelberg_envs.leader.repeated_game.RepeatedGame`; ``learns`` says whether there is anything to ``train``.
    """

    def __init__(self, granted: dict[str, Any], access: Access, permissions: Permission) -> None:
        self.__dict__.update(granted)
        self.access, self.permissions = access, permissions

    def __getattr__(self, name: str) -> Any:
        if name not in GRANTS:
            raise AttributeError(f"an oracle has no {name!r}")
        granted = access_words(self.access, self.permissions)
        needed = " and ".join(missing_access(name, self.access, self.permissions))
        raise AccessError(f"oracle.{name} needs {needed}; this solver was granted {granted}")
