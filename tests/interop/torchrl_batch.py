"""A native TorchRL environment of a follower's episodes, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import Bounded, Categorical, Composite, Unbounded
from torchrl.envs import EnvBase, check_env_specs

from stackelberg_envs.views.batch import FollowerBatchEnv


class FollowerEpisodes(EnvBase):
    """A follower's episodes under a commitment, as tensors of a device; batch_size is (num_envs,).

    Args:
        game: a game, its id, or a reference to it.
        num_envs: how many episodes.
        device: where tensors are; the episodes themselves are played by NumPy.
        seed: of the first environment.
        **arguments: arguments of `FollowerBatchEnv`.
    """

    batch_locked = True

    def __init__(self, game: Any, num_envs: int, *, device: Any = "cpu", seed: int | None = None, **arguments: Any) -> None:
        super().__init__(device=device, batch_size=[num_envs])
        self._envs = FollowerBatchEnv(game, num_envs, autoreset_mode="Disabled", **arguments)
        self._started = False
        space, actions = self._envs.single_observation_space, int(self._envs.single_action_space.n)
        one = (num_envs, 1)
        low, high = (torch.as_tensor(bound).expand(num_envs, -1) for bound in (space.low, space.high))
        seen = Bounded(low=low, high=high, dtype=torch.float32)
        self.observation_spec = Composite(observation=seen, shape=(num_envs,), device=device)
        self.action_spec = Categorical(actions, shape=(num_envs,), dtype=torch.int64, device=device)
        self.reward_spec = Unbounded(shape=one, dtype=torch.float32, device=device)
        flags = {name: Categorical(2, shape=one, dtype=torch.bool) for name in ("done", "terminated", "truncated")}
        self.full_done_spec = Composite(**flags, shape=(num_envs,), device=device)
        self._next_seed = seed

    def commit(self, x: np.ndarray) -> None:
        """What the leader has committed to, (n,) or (num_envs, n), from the next reset of all environments on."""
        self._envs.reset(options={"commitment": x})

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        options: dict[str, Any] = {}
        if tensordict is not None and "_reset" in tensordict and self._started:
            options["reset_mask"] = tensordict["_reset"].reshape(-1).cpu().numpy()
        observations, _ = self._envs.reset(seed=self._next_seed, options=options)
        self._next_seed, self._started = None, True
        return self._tensors({"observation": observations}, done=np.zeros(self.batch_size[0], dtype=bool))

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        actions = tensordict["action"].cpu().numpy()
        observations, rewards, terminated, truncated, _ = self._envs.step(actions)
        return self._tensors(
            {"observation": observations, "reward": rewards[:, None].astype(np.float32)},
            done=terminated | truncated,
            terminated=terminated,
            truncated=truncated,
        )

    def _set_seed(self, seed: int | None) -> None:
        self._next_seed = seed

    def _tensors(self, arrays: dict[str, np.ndarray], **flags: np.ndarray) -> TensorDictBase:
        flags = {"terminated": flags["done"], "truncated": np.zeros_like(flags["done"]), **flags}
        arrays = {**arrays, **{name: flag[:, None] for name, flag in flags.items()}}
        tensors = {name: torch.as_tensor(array, device=self.device) for name, array in arrays.items()}
        return TensorDict(tensors, batch_size=self.batch_size, device=self.device)


if __name__ == "__main__":
    env = FollowerEpisodes("four_rooms-v0", 64, seed=0)
    check_env_specs(env)
    played = env.rollout(200, break_when_any_done=False)
    print(f"result: check_env_specs, and {played.numel()} steps of 64 followers of four_rooms")
