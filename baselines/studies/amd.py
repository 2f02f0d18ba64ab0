"""AMD as the public code of HPGD has it, beside the gradient to which it converges: ``python -m baselines.studies.amd``.

Thoma et al., NeurIPS 2024, arXiv 2406.01575, compare with AMD (Chen et al., ICML 2022).  Their code keeps float32 tables of both contexts,
and makes 100 sweeps an iteration, from where the last ones ended::

    Q <- r + gamma P V       D <- dr + gamma P VD       QU <- rU + gamma P VU
    QT <- drU + (D - VD) (QU - VU) / tau + gamma P VT           V, VD, VU, VT: means under softmax(Q / tau), V with the entropy bonus

The gradient is VT at the start, and the score that it reports is VU there.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import stackelberg_envs as se
from stackelberg_envs.processes.arrays import Array

SWEEPS, CELLS = 100, ((0.005, 5), (0.003, 1))


@dataclass
class Tables:
    """Tables (contexts, S, B, ...) of one iteration."""

    q: Array
    d: Array
    qu: Array
    qt: Array

    @classmethod
    def zeros(cls, contexts: int, s: int, b: int, n: int) -> Tables:
        shapes = ((), (n,), (), (n,))
        return cls(*(np.zeros((contexts, s, b, *more), np.float32) for more in shapes))


class Recursion:
    """Sweeps of Four Rooms under the commitment x, with two contexts."""

    def __init__(self, beta: float, temperature: float) -> None:
        self.game, self.temperature = se.game("four_rooms-v0", preset="hpgd", beta=beta), temperature
        self.worlds = [self.game.problems(np.zeros(self.game.dimension), c)[0] for c in range(2)]
        self.kernel = np.stack([np.asarray(world.transition)[:, 0] for world in self.worlds]).astype(np.float32)
        self.starts = [int(np.argmax(np.asarray(world.initial))) for world in self.worlds]

    def rewards(self, x: np.ndarray) -> list[Array]:
        """r and rU (2, S, B), and their derivatives (2, S, 1, n)."""
        import torch

        def table(y: Any, name: str, c: int) -> Any:
            return getattr(self.game.problems(y, c)[0], name)[:, 0]

        def first_action(y: torch.Tensor, name: str, c: int) -> torch.Tensor:  # derivatives are the same for all actions
            return table(y, name, c)[:, :1]

        names, at = ("follower_reward", "leader_reward"), torch.tensor(x)
        values = [[np.asarray(table(x, name, c)) for c in range(2)] for name in names]
        jacobian = torch.autograd.functional.jacobian
        slopes = [[np.asarray(jacobian(partial(first_action, name=name, c=c), at)) for c in range(2)] for name in names]
        return [np.stack(column).astype(np.float32) for column in (*values, *slopes)]

    def sweep(self, rewards: list[Array], old: Tables) -> Tables:
        r, ru, dr, dru = rewards
        scaled = (old.q - old.q.max(-1, keepdims=True)) / np.float32(self.temperature)
        policy = np.exp(scaled) / np.exp(scaled).sum(-1, keepdims=True)
        entropy = -(policy * np.log(np.maximum(policy, 1e-30))).sum(-1)
        v, vu = (policy * old.q).sum(-1) + np.float32(self.temperature) * entropy, (policy * old.qu).sum(-1)
        vd, vt = (policy[..., None] * old.d).sum(2), (policy[..., None] * old.qt).sum(2)
        product = (old.d - vd[:, :, None]) * (old.qu - vu[..., None])[..., None] / np.float32(self.temperature)
        ahead = [np.float32(0.99) * self._expect(values) for values in (v[..., None], vd, vu[..., None], vt)]
        return Tables(r + ahead[0][..., 0], dr + ahead[1], ru + ahead[2][..., 0], dru + product + ahead[3])

    def _expect(self, values: Array) -> Array:
        c, s, b, _ = self.kernel.shape
        return (self.kernel.reshape(c, s * b, s) @ values).reshape(c, s, b, -1)

    def gradients(self, tables: Tables) -> tuple[Array, Array]:
        """VT (2, n) and VU (2,) at the start of each context."""
        scaled = (tables.q - tables.q.max(-1, keepdims=True)) / np.float32(self.temperature)
        policy = np.exp(scaled) / np.exp(scaled).sum(-1, keepdims=True)
        vt, vu = (policy[..., None] * tables.qt).sum(2), (policy * tables.qu).sum(-1)
        return vt[[0, 1], self.starts].astype(np.float64), vu[[0, 1], self.starts].astype(np.float64)


def main() -> None:
    """Print how far the warm gradient is from the converged one, and what the tables score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=20)
    iterations = parser.parse_args().iterations
    for temperature, beta in CELLS:
        recursion, rng = Recursion(beta, temperature), np.random.default_rng(0)
        x, tables = 0.01 * rng.normal(size=105), Tables.zeros(2, 104, 4, 105)
        for k in range(iterations):
            rewards = recursion.rewards(x)
            for _ in range(SWEEPS):
                tables = recursion.sweep(rewards, tables)
            (gradients, scores), context = recursion.gradients(tables), int(rng.integers(2))
            if k % 5 == 1:
                converged = tables
                for _ in range(1500):
                    converged = recursion.sweep(rewards, converged)
                exact = recursion.gradients(converged)[0]
                error = np.linalg.norm(gradients - exact, axis=1) / np.linalg.norm(exact, axis=1)
                true = se.evaluate(recursion.game, x, follower=se.Soft(temperature)).leader_return
                print(f"({temperature}, {beta}) iteration {k}: error of the gradients {error}, score {scores.mean():.4f}, exact {true:.4f}")
            x = x + 0.5 * gradients[context] / max(1.0, float(np.linalg.norm(gradients[context])))


if __name__ == "__main__":
    main()
