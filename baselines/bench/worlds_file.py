"""The tables under the best commitments, with the followers' responses, as files that need nothing of the suite to be read.

One ``.npz`` a commitment and context, by which another program can score it again; ``tests/verify.py`` is one of a page, with NumPy alone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from stackelberg_envs.game import follower_of, group_by_world
from stackelberg_envs.processes.shared_rows import SharedRows

from .best import Best


def write_worlds(folder: Path, key: str, record: Best) -> None:
    """Write what a commitment induces in each context; nothing for worlds without tables.

    Arrays: ``leader_policy`` (S, A), ``transition`` (S, A, R, S) and ``rows`` (B,), which of the R rows a joint action takes,
    ``follower_rewards`` (n, S, A, B), ``leader_reward`` (S, A, B), ``initial`` (S,), ``available`` (S, A, B), ``actions`` (n,),
    ``discounts`` (follower, leader), ``probability`` of the context, ``value_stored``, that of the commitment over all contexts, ``kind``
    and ``parameter`` of the follower (its temperature or error), ``sees_action``, ``zero_sum``, and ``policy_i`` (S, A, B_i) of each
    follower.
    """
    game, x = record.world.game(), np.array(record.x)
    if not game.tabular or len(game.groups) > 1:
        return
    follower: Any = follower_of(game, record.world.answerer())
    name = hashlib.sha256(key.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    for context, probability in enumerate(game.context_probabilities):
        committed = game.for_context(x, context)
        (world,) = game.problems(committed, context)
        ((*policies,),) = group_by_world((world,), follower.respond(game, committed, context).policies)
        world = world.with_crowd(policies)  # of a crowd's, the tables that its own loads make
        shared = isinstance(world.kernel, SharedRows)
        s, a, b = world.sizes
        arrays = {
            "key": key,
            "transition": world.kernel.numbers if shared else world.kernel.dense(),
            "rows": world.kernel.index if shared else np.arange(b),
            "available": np.ones((s, a, b), dtype=bool) if world.available is None else np.broadcast_to(world.available, (s, a, b)),
            "actions": world.actions,
            "discounts": (world.follower_discount, world.leader_discount),
            "probability": probability,
            "value_stored": record.leader_return,
            "kind": type(follower).__name__,
            "parameter": getattr(follower, "error", follower.temperature),
            "sees_action": world.follower_sees == "action",
            "zero_sum": getattr(world, "zero_sum", False),
            "follower_rewards": np.broadcast_to(world.follower_rewards, (len(policies), s, a, b)),
            **{field: getattr(world, field) for field in ("leader_policy", "leader_reward", "initial")},
            **{f"policy_{i}": np.broadcast_to(policy, (s, a, world.actions[i])) for i, policy in enumerate(policies)},
        }
        path = folder / f"{record.world.id}-{name}-{context}.npz"
        np.savez_compressed(path, **{field: np.asarray(array) for field, array in arrays.items()})  # type: ignore[arg-type]
