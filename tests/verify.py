"""An independent check of stored best commitments: NumPy alone, no line of the suite.

    python tests/verify.py FOLDER

FOLDER has what ``stackelberg check --best --worlds FOLDER`` writes: for each commitment and context the tables it induces, and the
followers' policies.  This program solves each follower's problem again by its own policy iteration, sees that the policy is a best response
of the kind it claims to be, values the leader's return by a linear solve, and compares the mean over contexts with the stored value.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

GAP = 1e-7  # what a follower may lose, as a part of the size of its values
VALUE = 1e-6  # how far a value may be from the stored one


class World:
    """The tables of one file."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            vars(self).update({name: file[name] for name in file.files})
        self.players = range(len(self.actions))
        self.policies = [getattr(self, f"policy_{i}") for i in self.players]
        self.gamma, self.gamma_leader = (float(g) for g in self.discounts)

    def expect(self, values):
        """sum_s' P(s'|s,a,b) V(s'), (S, A, B)."""
        return (self.transition @ values)[..., self.rows]

    def chain(self, joint):
        """P(s'|s) under joint(a,b|s), (S, A, B)."""
        rows = np.zeros(self.transition.shape[:-1])
        np.add.at(rows, (slice(None), slice(None), self.rows), joint)
        return np.einsum("sar,sart->st", rows, self.transition)

    def value(self, reward, discount, policies):
        """The expected discounted sum of a reward from each state: the mean under the policies, by one solve."""
        joint = self.joint(policies)
        return np.linalg.solve(np.eye(len(joint)) - discount * self.chain(joint), (joint * reward).sum((1, 2)))

    def joint(self, policies):
        """pi(a|s) prod_i g_i(b_i|s,a), (S, A, B)."""
        together = self.leader_policy[..., None]
        for policy in policies:
            together = (together[..., :, None] * policy[..., None, :]).reshape(*together.shape[:2], -1)
        return together

    def facing(self, i, table):
        """A table (S, A, B) as follower i meets it: the mean over what the others do, (S, A, B_i)."""
        split = table.reshape(*table.shape[:2], *self.actions)
        for j in reversed(self.players):
            if j != i:
                shape = [1] * split.ndim
                shape[:2], shape[2 + j] = self.policies[j].shape[:2], -1
                split = (split * self.policies[j].reshape(*self.policies[j].shape[:2], *shape[2:])).sum(2 + j, keepdims=True)
        return split.reshape(*table.shape[:2], -1)


def entropy(policy):
    return -(policy * np.log(np.where(policy > 0, policy, 1.0))).sum(-1)


def decide(world, i, q, temperature):
    """The follower's best mixture of its actions at action values (S, A, B_i), and what it earns in each state, its entropy included."""
    there = world.facing(i, world.available.astype(float)) > 0
    if not world.sees_action:  # one decision for all actions of the leader
        q = (world.leader_policy[..., None] * q).sum(1, keepdims=True).repeat(q.shape[1], 1)
    q = np.where(there, q, -np.inf)
    top = q.max(-1, keepdims=True)
    weights = np.exp((q - top) / temperature) if temperature > 0 else (q == top).astype(float)
    policy = weights / weights.sum(-1, keepdims=True)
    mean = (policy * np.where(there, q, 0.0)).sum(-1) + temperature * entropy(policy)
    return policy, (world.leader_policy * mean).sum(-1)


def best_values(world, i, temperature, reward):
    """Optimal values of follower i, (S,), while the others stay, by policy iteration; and the action values (S, A, B_i)."""
    values = np.zeros(len(world.initial))
    for _ in range(1000):
        q = world.facing(i, reward + world.gamma * world.expect(values))
        policy, backed_up = decide(world, i, q, temperature)
        policies = [policy if j == i else other for j, other in enumerate(world.policies)]
        chain = world.chain(world.joint(policies))
        step = np.linalg.solve(np.eye(len(chain)) - world.gamma * chain, backed_up - values)
        values = values + step
        if np.abs(step).max() <= 1e-12 * (1 + np.abs(values).max()):
            return values, world.facing(i, reward + world.gamma * world.expect(values))
    raise SystemExit(f"{world.key}: policy iteration did not end")


def wrong_responses(world):
    """What is wrong with the followers' policies, in words."""
    kind, parameter = str(world.kind), float(world.parameter)
    temperature = parameter if kind in ("Soft", "Saddle", "SoftNash") else 0.0
    for i in world.players:
        if np.abs(world.policies[i].sum(-1) - 1).max() > 1e-9 or world.policies[i].min() < 0:
            yield f"follower {i} has no policy"
        reward = world.follower_rewards[i]
        if world.zero_sum and temperature > 0:  # what the other earns by its entropy is charged to this one
            reward = reward - temperature * entropy(world.policies[1 - i])[..., None]
        best, q = best_values(world, i, temperature, reward)
        if kind == "Quantal":
            expected, _ = decide(world, i, q, parameter)
            if np.abs(expected - world.policies[i]).max() > 1e-6:
                yield f"follower {i} is not quantal at error {parameter}"
            continue
        own = reward + temperature * entropy(world.policies[i])[..., None]
        lost = world.initial @ (best - world.value(own, world.gamma, world.policies))
        if not abs(lost) <= GAP * (1 + np.abs(best).max()):
            yield f"follower {i} loses {lost:.3g} against a best response"


def main(folder: str) -> int:
    means: dict[str, list[float]] = {}
    failed = 0
    for path in sorted(Path(folder).glob("*.npz")):
        world = World(path)
        for said in wrong_responses(world):
            print(f"{path.name}: {said}")
            failed += 1
        returned = float(world.initial @ world.value(world.leader_reward, world.gamma_leader, world.policies))
        sums = means.setdefault(str(world.key), [0.0, float(world.value_stored)])
        sums[0] += float(world.probability) * returned
    for key, (found, stored) in means.items():
        if not abs(found - stored) <= VALUE * (1 + abs(stored)):
            print(f"{key}: worth {found:.9g}, and stored with {stored:.9g}")
            failed += 1
    print(f"{len(means)} commitments: {'all are worth what they say' if not failed else f'{failed} faults'}")
    return int(failed > 0 or not means)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
