"""What each commitment that was tried is worth to the leader, as a posterior: from what followers did under it, and less from the model.

Predicted returns say what a soft follower with the inferred reward would do.  A follower that is none does something else, again and again,
and no number of outcomes corrects the prediction.  Here the response to a commitment x that was tried is a Dirichlet posterior at each
decision node n, around the model's response g and from the actions N_x that were seen under x, pooled over all times that it was played::

    g_x(.|n)   ~ Dirichlet(m g(.|n) + N_x(n, .))                      m: what the model is worth, in observations
    P(.|s,a,b) ~ Dirichlet(counts + prior)                            pooled over commitments, and so the first states
    r_L(s,a,b) ~ N(shrunk mean, its variance)                         pooled over commitments, see `leader_reward_posterior`
    J(x)       = the leader's return of (x, g_x) in (P, r_L)

m is the power of ten that makes the actions seen under all commitments most likely (Dirichlet and multinomial, as in empirical Bayes):
large where the model explains them, small where it does not.  As N_x grows J(x) converges to the true return of x whatever the follower
is, as long as it answers x alike each time.  Draws of P and r_L are shared by all commitments, so that what they have in common cancels
in differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stackelberg_envs.leader.access import Oracle
from stackelberg_envs.planning.policy_iteration import soft_policy_iteration
from stackelberg_envs.play.outcomes import Outcome

from .joint import JointInference
from .model import Counts, EstimatedGame, in_torch, induced_mdp, tables
from .state import Settings

MODEL_WORTH = tuple(10.0**k for k in range(5))
"""Values of m that are compared."""


@dataclass(frozen=True)
class TriedCommitments:
    """Distinct commitments with all that was seen under them."""

    xs: np.ndarray
    """(m, n)."""
    visits: np.ndarray
    """Visits of each (s, a, b) under them, (m, S, A, B)."""
    squares: np.ndarray
    """Sums of the squares of the leader's rewards, pooled, what it paid for its instrument added back, (S, A, B)."""

    @staticmethod
    def none(dimension: int, sizes: tuple[int, int, int]) -> TriedCommitments:
        """Before the first."""
        return TriedCommitments(np.zeros((0, dimension)), np.zeros((0, *sizes)), np.zeros(sizes))

    def add_outcome(self, x: np.ndarray, seen: Outcome, costs: np.ndarray | float) -> TriedCommitments:
        """With the outcome of playing ``x`` (n,), for the first time or again; ``costs`` is what the leader paid for its instrument."""
        alive = seen.alive[:, 0]
        at = seen.states[:, 0, :-1][alive], seen.leader_actions[:, 0][alive], seen.follower_actions[:, 0][alive]
        visits, squares = np.zeros_like(self.squares), self.squares.copy()
        np.add.at(visits, at, 1.0)
        np.add.at(squares, at, (seen.leader_rewards[alive] + np.broadcast_to(costs, visits.shape)[at]) ** 2)
        (again,) = np.nonzero((self.xs == x).all(axis=1))
        if len(again) == 0:
            return TriedCommitments(np.concatenate([self.xs, x[None]]), np.concatenate([self.visits, visits[None]]), squares)
        pooled = self.visits.copy()
        pooled[again[0]] += visits
        return TriedCommitments(self.xs, pooled, squares)


def leader_reward_posterior(counts: Counts, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of the leader's mean reward at each (s, a, b), (S, A, B) each.

    Normal rewards with one variance, the pooled one within (s, a, b); a normal prior over (s, a, b) whose moments are those of what was
    visited (James and Stein's shrinkage).  Rewards without noise are known exactly where the leader has been.  Before the first visit they
    are standard normal.
    """
    n, total = counts.visits, counts.visits.sum()
    if total == 0:
        return np.zeros_like(counts.paid), np.ones_like(counts.paid)
    cells = n > 0
    means = np.where(cells, counts.paid / np.maximum(n, 1), 0.0)
    within = float((squares - n * means**2)[cells].sum())
    within = within if within > 1e-9 * float(squares.sum()) else 0.0  # rounding
    noise = within / max(float(total - cells.sum()), 1.0)
    centre = float((n * means).sum() / total)
    between = float((n * (means - centre) ** 2).sum() - noise * (cells.sum() - 1)) / float(total)
    between = max(between, 1e-12 * (1 + centre**2), noise / float(total))
    with np.errstate(divide="ignore"):
        of_data = np.where(cells, n / noise, 0.0) if noise > 0 else np.where(cells, np.inf, 0.0)
    share = np.where(np.isinf(of_data), 1.0, of_data / (np.where(np.isinf(of_data), 0.0, of_data) + 1 / between))
    return centre + share * (means - centre), np.sqrt(between * (1 - share))


def believed_tables(counts: Counts, squares: np.ndarray, prior: float, rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
    """`solvers.inference.model.tables` with the leader's rewards of `leader_reward_posterior`: posterior means, or a draw of all tables."""
    mean, deviation = leader_reward_posterior(counts, squares)
    known = tables(counts, prior, rng=rng)
    if rng is None:
        return {**known, "leader_reward": mean}
    first = rng.standard_gamma(counts.firsts + prior / len(counts.firsts)) + 1e-300
    return {**known, "leader_reward": mean + deviation * rng.normal(size=mean.shape), "initial": first / first.sum()}


def table_draws(
    inference: JointInference, tried: Sequence[TriedCommitments], settings: Settings, rng: np.random.Generator, draws: int
) -> Sequence[Iterable[dict[str, np.ndarray]]]:
    """So many draws of `believed_tables` for each pair of context and follower.

    Where contexts have nothing in common each is made when it is asked for.
    """
    prior = settings.kernel_prior

    def of(i: int) -> Iterator[dict[str, np.ndarray]]:
        for _ in range(draws):
            yield believed_tables(inference.states[i].counts, tried[i].squares, prior, rng)

    pairs = [of(i) for i in range(len(tried))]
    if not inference.pools:
        return pairs
    return [*zip(*(inference.share(known, settings, rng) for known in zip(*pairs, strict=True)), strict=True)]


def return_draws(
    tried: TriedCommitments, game: EstimatedGame, oracle: Oracle, known: Iterable[dict[str, np.ndarray]], rng: np.random.Generator
) -> np.ndarray:
    """Returns J of the commitments that were tried, (draws, m), from their joint posterior.

    Args:
        tried: the commitments.
        game: with one follower in one context, as it is believed to be, for the model's responses.
        oracle: of the run.
        known: draws of the tables, of `table_draws`.
        rng: of the draws of responses.
    """
    mdp = induced_mdp(game, tried.xs)
    response = soft_policy_iteration(mdp, game.soft.temperature).policy
    sees_policy = mdp.follower_sees == "policy" and mdp.sizes[1] > 1
    g = response[..., :1, :] if sees_policy else response
    seen = tried.visits.sum(-2, keepdims=True) if sees_policy else tried.visits
    possible_actions = (g > 0) | (seen > 0)  # neither is an action that is not available
    g = np.maximum(g, 1e-12)
    weights = model_worth(g, seen) * g + seen
    reward, returns = np.zeros_like(tried.squares), []
    for own in known:
        possible = EstimatedGame(oracle, game.soft.temperature, own, reward, context=game.context, follower=game.follower)
        drawn = np.where(possible_actions, rng.standard_gamma(weights) + 1e-300, 0.0)
        policy = np.broadcast_to(drawn / drawn.sum(-1, keepdims=True), response.shape)
        with torch.no_grad():
            problems = possible.problems(in_torch(tried.xs))
            returns.append(possible.objective(problems, (torch.from_numpy(policy.copy()),)).numpy())
    return np.stack(returns)


def model_worth(g: np.ndarray, seen: np.ndarray) -> float:
    """The m of `MODEL_WORTH` under which the actions ``seen`` at the nodes are most likely, both (m, S, N, B)."""
    from scipy.special import gammaln

    def likelihood(worth: float) -> float:
        of_actions = (gammaln(worth * g + seen) - gammaln(worth * g)).sum(-1)
        of_nodes = gammaln(worth * g.sum(-1)) - gammaln(worth * g.sum(-1) + seen.sum(-1))
        return float((of_actions + of_nodes).sum())

    return max(MODEL_WORTH, key=likelihood)
