"""The leader: a reward network, its Bradley-Terry loss, and what two methods add to that.

For a pair of segments with label mu (1 if the first is preferred)::

    ell_x = -mu log P - (1 - mu) log(1 - P),   P = sigmoid( sum_t r_x(first_t) - sum_t r_x(second_t) )

* SoBiRL (Yang, Gao, Yuan, AISTATS 2025), model-free: the follower's soft optimum moves with x as d log pi(a|s) = (dQ - dV) / alpha, cut
  to one step, dQ - dV = dr_x(s, a) - E_pi dr_x(s, .); the score of both segments is weighted by the loss, held fixed::

    mean[ ell_x ] + (1 / alpha) mean[ stop(ell_x - b) sum_t (r_x(s_t, a_t) - E_pi r_x(s_t, .)) ]

  The public code takes this mean over its whole memory and b = 0.  Scores of other policies' actions do not average to nothing, and on
  the tuning seed that form let the reward run away (ell 179, alpha = 10).  Here the mean is over the newest pairs, which the present
  policy played, and b is the mean loss of the others among them, which changes no expectation.

* PBRL (Shen, Yang, Chen, JMLR 26(114), 2025), value penalty with best response pi_hat held fixed (Danskin)::

    mean[ ell_x ] + lambda max(0, V_x^{pi_hat} - V_x^{pi_y}),   grad_x V_x^pi = E_pi[ sum_t grad_x r_x(s_t, a_t) ]

  The exact penalty max V - V^y is never negative; its estimate is whenever pi_hat happens to play worse than pi_y, and x then gains without
  bound by a larger reward (ell 36, lambda = 10).  The better of the two is the better estimate of max V, hence the maximum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from .teacher import Pairs

Term = Callable[["RewardNet"], torch.Tensor]
"""What a method adds to the loss of each minibatch, ()."""


class RewardNet(torch.nn.Module):
    """r_x(input), tanh layers and a linear end; in the teacher's units, where a difference of one is odds of e.

    Args:
        inputs: d, their number.
        hidden: widths.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...] = (64, 64)) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for before, after in zip((inputs, *hidden), hidden, strict=False):
            layers += [torch.nn.Linear(before, after), torch.nn.Tanh()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear((inputs, *hidden)[-1], 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., d) to (...)."""
        return self.layers(inputs).squeeze(-1)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """The same for arrays, without gradient."""
        with torch.no_grad():
            return self(torch.as_tensor(inputs, dtype=torch.float32)).numpy().astype(np.float64)


def bradley_terry(reward: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """ell_x of each pair, (P,), from inputs (P, 2, L, d) and labels (P,)."""
    returns = reward(inputs).sum(-1)
    return binary_cross_entropy_with_logits(returns[:, 0] - returns[:, 1], first, reduction="none")


def fit(net: RewardNet, optimiser: torch.optim.Optimizer, pairs: Pairs, *, epochs: int, batch: int, term: Term | None = None) -> float:
    """Passes over the pairs in minibatches; the mean loss ell_x of the last pass.

    Args:
        net: what is fitted.
        optimiser: of its parameters.
        pairs: with labels.
        epochs: passes.
        batch: pairs of a minibatch.
        term: what is added to the loss of a minibatch.
    """
    inputs, first = (torch.as_tensor(array, dtype=torch.float32) for array in (pairs.inputs, pairs.first))
    mean = float("nan")
    for _ in range(epochs):
        losses = []
        for chosen in torch.randperm(len(first)).split(batch):
            ell = bradley_terry(net, inputs[chosen], first[chosen])
            loss = ell.mean() if term is None else ell.mean() + term(net)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(ell.detach())
        mean = float(torch.cat(losses).mean())
    return mean


def reaction(pairs: Pairs, alternatives: np.ndarray, alpha: float) -> Term:
    """SoBiRL's second term.

    Args:
        pairs: at least two, from the follower's present policy.
        alternatives: inputs at the same observations, with actions drawn from that policy, (P, 2, L, draws, d).
        alpha: the follower's temperature.
    """
    taken, first, drawn = (torch.as_tensor(array, dtype=torch.float32) for array in (pairs.inputs, pairs.first, alternatives))

    def term(net: RewardNet) -> torch.Tensor:
        score = (net(taken) - net(drawn).mean(-1)).sum((-1, -2))
        return (excess(bradley_terry(net, taken, first).detach()) * score).mean() / alpha

    return term


def excess(ell: torch.Tensor) -> torch.Tensor:
    """Losses less the mean loss of the other pairs, (P,)."""
    return (ell - ell.mean()) * len(ell) / (len(ell) - 1)


def penalty(answer: np.ndarray, copy: np.ndarray, weight: float) -> Term:
    """PBRL's second term, with V the mean reward of a step (the value of an episode over its length), and max V at least that of pi_y.

    Args:
        answer: inputs that pi_hat visits, (..., d), whole episodes from the start.
        copy: inputs that pi_y visits.
        weight: lambda, per unit of the mean reward.
    """
    best, own = (torch.as_tensor(array, dtype=torch.float32) for array in (answer, copy))

    def term(net: RewardNet) -> torch.Tensor:
        return weight * (net(best).mean() - net(own).mean()).relu()

    return term
