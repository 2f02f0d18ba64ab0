"""What followers answer: a policy for each, with what is certified about it and what it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .processes.arrays import Array
from .processes.mdp import MDP, mask_action_values


@dataclass(frozen=True)
class Answer:
    """One follower's response to one world."""

    policy: Any
    """g(b|s,a), shape (..., S, A, B), or a `stackelberg_envs.processes.sampled.Actor` without tables."""
    values: Any
    """The values the follower planned with, (..., S); the warm start of its next answer."""
    certificate: float
    """How far from its own optimum the answer may be: certified bound, last Newton step, residual or LP gap, in units of value; of a closed
    form, the relative residual of the equation that it solves."""
    evaluations: int = 1
    """Policy evaluations, sweeps or LPs that were used."""
    planned_in: MDP | None = field(default=None, repr=False)
    """What the follower took its world for, where that has tables."""
    memory: Any = field(default=None, repr=False)
    """The warm start of its next answer, where that is not ``values``."""
    training_steps: int = 0
    """Samples of the world from which the follower learned for this answer, those of ``pretraining_steps`` not included."""
    pretraining_steps: int = 0
    """Steps of training before its first answer, as `stackelberg_envs.Pretrained` takes them; nothing else here counts them."""
    actor_updates: int = 0
    """Updates of the follower's policy, of followers who have one beside its values."""
    critic_updates: int = 0
    """Updates of the follower's values from samples; exact evaluations are ``evaluations``."""

    @property
    def action_values(self) -> Array:
        """r_F(s,a,b) + gamma E V(s') as the follower planned, (..., S, A, B); not averaged over the leader's action.

        -inf where an action is not available.
        """
        mdp = self.planned_in
        if mdp is None:
            raise ValueError("this follower does not say what it planned with")
        return mask_action_values(mdp, mdp.follower_reward + mdp.follower_discount * mdp.kernel.expect(self.values))


@dataclass(frozen=True)
class Response:
    """All followers' answers to one commitment in one context."""

    answers: tuple[Answer, ...]
    state: Any = None
    """What the follower keeps for its next answer; picklable."""

    @property
    def policies(self) -> tuple[Any, ...]:
        """g(b|s,a) of each follower."""
        return tuple(answer.policy for answer in self.answers)

    @property
    def policy(self) -> Any:
        """g(b|s,a) of the only follower.

        Raises:
            ValueError: if there are several; use ``policies``.
        """
        (policy,) = self.policies
        return policy

    @property
    def certificate(self) -> float:
        """The largest of the answers' certificates."""
        return max(answer.certificate for answer in self.answers)
