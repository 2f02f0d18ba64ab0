"""The published way to the exact gradient of Four Rooms, written fairly: AMD's recursion of four tables (Chen et al., ICML 2022).

As specified from the code of Thoma et al. 2024: Q, D = dQ/dw, Q_U and Qt of every context are backed up synchronously, ``sweeps`` times
an outer iteration; the gradient is read off Qt at the start.  Float64, both contexts, one BLAS product a sweep and context for the two
wide tables together; nothing is rebuilt that does not change.
"""

from __future__ import annotations

import torch

from stackelberg_envs import StackelbergGame


class AMD:
    """The recursion for a game with one follower, A = 1, and a commitment that moves rewards only."""

    def __init__(self, game: StackelbergGame, temperature: float) -> None:
        self.game, self.temperature = game, temperature
        zeros = torch.zeros(game.dimension, dtype=torch.float64)
        mdps = [game.problems(zeros, c)[0] for c in range(len(game.contexts))]
        s, _, b = mdps[0].sizes
        self.kernels = [mdp.transition.reshape(s * b, s).contiguous() for mdp in mdps]
        self.starts = [mdp.initial for mdp in mdps]
        self.gammas = mdps[0].follower_discount, mdps[0].leader_discount

    def gradient(self, x: torch.Tensor, sweeps: int = 100) -> torch.Tensor:
        """dF/dx after ``sweeps`` from zero tables (a cold outer iteration)."""
        total = torch.zeros_like(x)
        for context, probability in enumerate(self.game.context_probabilities):
            total += float(probability) * self._context(x, context, sweeps)
        return total

    def _context(self, x: torch.Tensor, context: int, sweeps: int) -> torch.Tensor:
        def rewards(y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mdp = self.game.problems(y, context)[0]
            return mdp.follower_reward[:, 0], mdp.leader_reward[:, 0]

        r, r_u = rewards(x)
        dr, dr_u = torch.autograd.functional.jacobian(rewards, x, vectorize=True)
        (s, b), n, tau = r.shape, x.shape[0], self.temperature
        gamma, gamma_u = self.gammas
        kernel = self.kernels[context]
        Q, QU = torch.zeros_like(r), torch.zeros_like(r)
        D, Qt = torch.zeros_like(dr), torch.zeros_like(dr)
        wide = torch.empty(s, 2 * n, dtype=x.dtype)
        narrow = torch.empty(s, 2, dtype=x.dtype)
        for _ in range(sweeps):
            log_pi = torch.log_softmax(Q / tau, -1)
            pi = log_pi.exp()
            weights = pi[:, None]  # (S, 1, B), for batched products
            VD, Vt = (weights @ D)[:, 0], (weights @ Qt)[:, 0]
            VU = (pi * QU).sum(-1)
            narrow[:, 0], narrow[:, 1] = (pi * (Q - tau * log_pi)).sum(-1), VU
            wide[:, :n], wide[:, n:] = VD, Vt
            carried = (D - VD[:, None]).mul_(((QU - VU[:, None]) / tau)[..., None])
            backed = (kernel @ wide).view(s, b, 2 * n)
            values = (kernel @ narrow).view(s, b, 2)
            D = torch.add(dr, backed[..., :n], alpha=gamma)
            Qt = carried.add_(dr_u).add_(backed[..., n:], alpha=gamma_u)
            Q, QU = r + gamma * values[..., 0], r_u + gamma_u * values[..., 1]
        pi = torch.softmax(Q / tau, -1)
        Vt = (pi[:, None] @ Qt)[:, 0]
        return self.starts[context] @ Vt
