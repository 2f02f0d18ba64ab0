"""Which actions a follower has: a mask beside the tables, for which a follower reward of -inf is another way of writing."""

from __future__ import annotations

from .arrays import Array, array_namespace, as_float, as_numpy, detach, numpy_view


def mask_rewards(
    available: Array | None, follower_reward: Array, leader_reward: Array, *, followers: bool = False
) -> tuple[Array | None, Array, Array]:
    """A mask and rewards (..., S, A, B), which are 0 where an action is not available, so that all numbers are finite.

    Args:
        available: booleans that broadcast to (..., S, A, B), or None where all actions are there.
        follower_reward: shape (..., S, A, B); -inf says that an action is not there.
        leader_reward: likewise; what it says of unavailable actions is left out.
        followers: whether ``follower_reward`` has an axis for several followers, (..., n, S, A, B), B their joint actions.

    Returns:
        The mask, or None where all actions are there, and both rewards.
    """
    xp = array_namespace(follower_reward)
    minus_infinity = -float("inf")
    near = numpy_view(detach(follower_reward))  # where NumPy can look itself, it takes a third of the time
    if available is None and (near.min() if near is not None else as_float(xp.min(follower_reward))) != minus_infinity:
        return None, follower_reward, leader_reward
    there = follower_reward != minus_infinity
    if followers:
        there = xp.all(there, axis=-4)
    available = there if available is None else there & available
    each = xp.expand_dims(available, axis=-4) if followers else available
    return available, xp.where(each, follower_reward, 0.0), xp.where(available, leader_reward, 0.0)


def available_to(available: Array, actions: tuple[int, ...], player: int) -> Array:
    """Which actions one follower has, (..., S, A, B_i), of a mask over joint actions (..., S, A, B)."""
    xp = array_namespace(available)
    split = xp.reshape(available, (*available.shape[:-1], *actions))
    others = tuple(i - len(actions) for i in range(len(actions)) if i != player)
    return xp.any(split, axis=others)


def check_product(available: Array, actions: tuple[int, ...]) -> None:
    """Refuse a mask over joint actions (..., S, A, B) by which one follower's actions depend on what another does.

    Raises:
        ValueError: naming the first such joint action.
    """
    xp = array_namespace(available)
    product = available_to(available, actions, 0)
    for player in range(1, len(actions)):
        product = product[..., :, None] & available_to(available, actions, player)[..., None, :]
        product = xp.reshape(product, (*product.shape[:-2], -1))
    if not bool(xp.all(product == available)):
        *_, s, a, b = (int(at[0]) for at in as_numpy(product != available).nonzero())
        raise ValueError(
            f"in state {s}, where the leader does {a}, the joint action {b} is not available, but each follower's part of it is: a mask "
            "says for each follower which actions it has"
        )


def check_some_action(available: Array, *, together: bool) -> None:
    """Refuse a state in which a follower has no action.

    Args:
        available: booleans (..., S, A, B).
        together: whether one action must be available whatever the leader does, as for a follower that does not see the leader's action.

    Raises:
        ValueError: naming the first such state.
    """
    xp = array_namespace(available)
    some = xp.any(xp.all(available, axis=-2, keepdims=True) if together else available, axis=-1)
    if not bool(xp.all(some)):
        *_, s, a = (int(at[0]) for at in as_numpy(~some).nonzero())
        whatever = "whatever the leader does" if together else f"where the leader does {a}"
        raise ValueError(
            f"in state {s} the follower has no available action {whatever}; a state that ends the episode has one action whose transition "
            "row is 0"
        )
