"""Vectors outside a space are moved to its bounds, and everything else is as without the wrapper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pettingzoo.test as pzt
import pytest

import stackelberg_envs as se
from stackelberg_envs.views.clip import ClipActions, ClipActionsParallel
from stackelberg_envs.views.episode import FOLLOWER, LEADER, ActionError


def test_a_leader_beyond_its_bounds_commits_to_the_bounds() -> None:
    aec, parallel = ClipActions(se.make("toy3-v0")), ClipActionsParallel(se.make_parallel("toy3-v0"))
    x = np.array([30.0, -25.0, 1.0, 0.0, 20.0, 1e9])
    aec.reset(seed=0)
    parallel.reset(seed=0)
    aec.step(x)
    parallel.step({LEADER: x})
    for env in (aec, parallel):
        commitment: Any = env.unwrapped.commitment  # type: ignore[attr-defined]
        np.testing.assert_array_equal(commitment, [20.0, -20.0, 1.0, 0.0, 20.0, 20.0])
    with pytest.raises(ActionError, match="outside its space"):
        parallel.step({FOLLOWER: 3})  # no vector, no bounds to be moved to


@pytest.mark.parametrize("wrong", [np.zeros(5), 0.5, [np.nan] * 6, "up", None])
def test_what_is_no_vector_of_the_space_is_still_refused(wrong: Any) -> None:
    env = ClipActions(se.make("toy3-v0"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"leader_0|commitment|numbers"):
        env.step(wrong)


def test_pettingzoo_accepts_it() -> None:
    pzt.api_test(ClipActions(se.make("toy3-v0")), num_cycles=50)
    pzt.parallel_api_test(ClipActionsParallel(se.make_parallel("building-v0", max_cycles=20)), num_cycles=50)  # type: ignore[arg-type]
