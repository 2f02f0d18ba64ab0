"""Why a method cannot handle a game or a follower: the reasons that several solvers share, each None where all is well."""

from __future__ import annotations

import numpy as np

from stackelberg_envs.followers.equilibria import Saddle, SoftNash
from stackelberg_envs.followers.exact import Soft
from stackelberg_envs.followers.mirror_descent import MirrorDescent
from stackelberg_envs.game import StackelbergGame
from stackelberg_envs.leader.access import Access, Oracle
from stackelberg_envs.piece_errors import piece_errors

LARGEST_TABLE = 10**8
"""Numbers in a dense kernel that is worth trying to hold: 800 MB."""


def needs_whole_pieces(name: str, access: Access, game: StackelbergGame) -> str | None:
    """Optional pieces that say all that moves the leader's side, for methods that see trajectories and may not call ``commit``."""
    if not Access.RETURN < access < Access.MODEL or not (errors := piece_errors(game, private=False)):
        return None
    return f"{name} knows the leader's instrument by what {game.name} says of it, and would climb the wrong way: {'; '.join(errors)}"


def needs_derivatives(name: str, oracle: Oracle) -> str | None:
    """Differentiating what a commitment does."""
    if not oracle.smooth:
        return f"{name} follows a gradient, and this game is piecewise constant in the commitment: its gradient is 0"
    return None


def needs_soft_follower(name: str, oracle: Oracle) -> str | None:
    """Exact gradients differentiate a soft response, and any objective."""
    if (reason := needs_derivatives(name, oracle)) is not None:
        return reason
    if not (oracle.tabular or oracle.closed_forms):
        return f"{name} differentiates exact scores, and in this world they are means over played episodes"
    if not isinstance(oracle.follower, Soft):
        return f"{name} differentiates a soft response; {oracle.follower!r} is not Soft(temperature)"
    return None if all(len(group) == 1 for group in oracle.groups) else f"{name} handles followers who do not interact"


def needs_smooth_followers(name: str, oracle: Oracle) -> str | None:
    """Exact gradients differentiate a soft response, and any objective; or an equilibrium that moves smoothly, and an additive one."""
    if isinstance(oracle.follower, (Saddle, SoftNash)):
        return needs_derivatives(name, oracle) or needs_paid_steps(name, oracle)
    return needs_soft_follower(name, oracle)


def needs_paid_steps(name: str, oracle: Oracle) -> str | None:
    """Methods that learn from played episodes see what each step pays, which is all of an additive objective and nothing of another."""
    if not oracle.additive:
        return f"{name} needs an additive leader objective (occupancy times leader reward): played steps do not show another"
    return None


def needs_public_actions(name: str, oracle: Oracle) -> str | None:
    """Watching what followers do."""
    if not oracle.follower_actions_public:
        return f"{name} learns from what followers do, and in this game their actions are hidden: only what comes of them is seen"
    return None


def needs_a_regularised_follower(name: str, oracle: Oracle) -> str | None:
    """Copies that are trained for the follower's objective with its entropy bonus."""
    if not isinstance(oracle.follower, (Soft, MirrorDescent)):
        return f"{name} trains a copy of a follower with an entropy bonus; {oracle.follower!r} is neither Soft nor MirrorDescent"
    return None


def needs_still_dynamics(name: str, oracle: Oracle) -> str | None:
    """Gradients that see how rewards are steered, and would leave out how a moved kernel changes what followers do."""
    if oracle.log_kernel is not None:
        return f"{name} has no term for a leader that moves the dynamics, as this one does; hpgd_kernel and implicit have"
    return None


def needs_sampled_leader(name: str, oracle: Oracle, *, regularised: bool = True) -> str | None:
    """Score functions of the leader's policy and derivatives of its incentives, from episodes in every context.

    ``regularised``: of followers with an entropy bonus.
    """
    if (reason := needs_derivatives(name, oracle)) is not None:
        return reason
    if oracle.log_leader_policy is None and oracle.incentive is None:
        return f"{name} with form='sampled' needs a leader that acts or sets rewards, and this one does neither"
    if (reason := needs_still_dynamics(name, oracle)) is not None:
        return reason
    if regularised and not oracle.temperature > 0:
        return f"{name} trains a copy of a follower with an entropy bonus, and this one has no temperature"
    if oracle.context_visibility == "never":
        return f"{name} with form='sampled' trains a copy in each context, and this leader never sees it"
    return needs_paid_steps(name, oracle) or needs_public_actions(name, oracle)


def needs_incentives(name: str, oracle: Oracle, *, still: bool = True) -> str | None:
    """Sampled gradients of an incentive, with the context of their episodes and what followers do in them.

    ``still``: whether the dynamics must not move.
    """
    if (reason := needs_derivatives(name, oracle) or needs_paid_steps(name, oracle)) is not None:
        return reason
    if oracle.incentive is None:
        return f"{name} needs a leader that sets rewards (the game has no incentive)"
    if still and (reason := needs_still_dynamics(name, oracle)) is not None:
        return reason
    if any(a > 1 for _, a, _ in oracle.sizes):
        return f"{name} estimates how rewards are steered, and this leader also acts in the game"
    if any(len(group) > 1 for group in oracle.groups):
        return f"{name} handles followers who do not interact"
    if not oracle.temperature > 0:
        return f"{name} needs a follower with a temperature"
    if oracle.context_visibility != "after":
        return f"{name} needs a leader that sees the context of its episodes, after it has committed"
    return needs_public_actions(name, oracle)


def needs_dense_tables(name: str, oracle: Oracle) -> str | None:
    """Counting a whole kernel, or taking its norm: tables of S x A x B x S numbers, whatever the layout of the game's own."""
    if (numbers := max(s * a * b * s for s, a, b in oracle.sizes)) > LARGEST_TABLE:
        return f"{name} keeps tables of S x A x B x S numbers, and that is {numbers:.1e} here; implicit and zeroth_order do without"
    return None


def needs_one_follower(name: str, oracle: Oracle) -> str | None:
    """Counting the game of one follower; see `needs_counted_games`."""
    if oracle.followers > 1:
        return needs_visible_steps(name, oracle) or f"{name} handles one follower"
    return needs_counted_games(name, oracle)


def needs_visible_steps(name: str, oracle: Oracle) -> str | None:
    """Steps that show what the leader earns and what followers do, in a game that has gradients."""
    return needs_derivatives(name, oracle) or needs_paid_steps(name, oracle) or needs_public_actions(name, oracle)


def needs_counted_games(name: str, oracle: Oracle) -> str | None:
    """Counting the game of each follower, with its actions, and, in a design game, knowing the instrument.

    A leader that acts and also pays incentives has no model here.
    """
    if (reason := needs_visible_steps(name, oracle)) is not None:
        return reason
    if any(len(group) > 1 for group in oracle.groups):
        return f"{name} handles followers who do not interact: it would take what others do for the dynamics that one of them faces"
    if (reason := needs_dense_tables(name, oracle)) is not None:
        return reason
    knows = oracle.access >= Access.INCENTIVE
    if len({a == 1 for _, a, _ in oracle.sizes}) > 1:
        return f"{name} handles leaders that act with all followers, or with none"
    if oracle.sizes[0][1] == 1:
        if not knows:
            return f"{name} needs to know the leader's instrument in a design game: grant it access INCENTIVE"
        if oracle.incentive is None:
            return f"{name} needs a leader that acts or sets rewards, and this one does neither"
        if not oracle.temperature > 0:
            return f"{name} needs a follower with a temperature where the leader sets rewards"
        return needs_still_dynamics(name, oracle)
    if oracle.log_leader_policy is None:
        return f"{name} follows the leader's own policy, and this game does not say it (it has no log_leader_policy)"
    if knows and oracle.incentive is not None:
        return f"{name} handles leaders that act or set rewards, and this one does both"
    return None


def needs_acting_leader(name: str, oracle: Oracle) -> str | None:
    """Learners of one leader policy, as S x A logits."""
    if oracle.log_leader_policy is None or oracle.sizes[0][1] < 2:
        return f"{name} learns a policy for the game, and this leader does not act in it"
    if (reason := needs_paid_steps(name, oracle)) is not None:
        return reason
    if oracle.followers > 1 or len(oracle.contexts) > 1:
        return f"{name} needs one follower and one context, and this game has {oracle.followers} and {len(oracle.contexts)}"
    return needs_a_policy(name, oracle)


def needs_a_policy(name: str, oracle: Oracle) -> str | None:
    """Commitments that are the logits (S, A) of a leader policy."""
    s, a, _ = oracle.sizes[0]
    if oracle.followers > 1 or oracle.log_leader_policy is None or oracle.commitment_shape != (s * a,):
        return f"{name} needs a leader that commits to a policy, S x A logits, against one follower, whatever the context"
    probes = np.cos(np.arange(3 * s * a)).reshape(3, s, a)
    softmax = np.exp(probes) / np.exp(probes).sum(axis=-1, keepdims=True)
    if not np.allclose(np.exp(oracle.log_leader_policy(probes.reshape(3, -1))), softmax, atol=1e-9):
        return f"{name} needs a leader policy that is the softmax of the commitment"
    return None
