"""Which libraries are tried, what each needs, and the recipe that it runs."""

from __future__ import annotations

from typing import NamedTuple


class Library(NamedTuple):
    """One row of the table.

    Without recipes, ``why`` says why there are none.
    """

    name: str
    package: str
    """What pip calls it."""
    requirements: str = ""
    recipes: tuple[str, ...] = ()
    """Files beside this one, run in this order; what the last one prints after "result: " is the result."""
    bare: str = ""
    """What is installed without its own requirements, because it pins some that Python 3.11 has no wheels for."""
    torch: bool = True
    """Whether it needs torch, which is most of an environment."""
    clone: str = ""
    """A Git repository that is no package: its address and the commit that is checked out; recipes are told the folder."""
    why: str = ""


LIBRARIES = (
    Library("TorchRL", "torchrl", "torchrl==0.14.1 tensordict==0.14.3", ("torchrl_views", "torchrl_batch", "torchrl_leader")),
    Library("Stable-Baselines3", "stable-baselines3", "stable-baselines3==2.9.2", ("sb3_views", "sb3_queries", "sb3_leader")),
    Library("RLlib", "ray", "ray[rllib]==2.60.0", ("rllib_views", "rllib_leader")),
    Library("One file of PPO in CleanRL's manner (torch)", "torch", "", ("cleanrl_ppo",)),
    Library("BenchMARL", "benchmarl", "benchmarl==1.5.2", ("benchmarl_task",)),
    Library("AgileRL", "agilerl", "agilerl==2.58.0 peft", ("agilerl_ippo",)),
    Library("Tianshou", "tianshou", "tianshou==2.0.1", ("tianshou_dqn",)),
    Library("SuperSuit", "supersuit", "supersuit==3.11.0 stable-baselines3==2.9.2", ("supersuit_ppo",)),
    Library("skrl", "skrl", "skrl==2.1.1", ("skrl_ippo",)),
    Library("PettingZoo's tests", "pettingzoo", "pettingzoo==1.27.0", ("pettingzoo_tests",), torch=False),
    Library("Gymnasium's checks", "gymnasium", "gymnasium==1.4.0", ("gymnasium_checks",), torch=False),
    Library(
        "EPyMARL",
        "epymarl",
        "sacred setuptools<81 pyyaml scikit-learn pygame rtree",  # sacred 0.8.7 imports pkg_resources
        ("epymarl_ippo",),
        bare="smaclite@git+https://github.com/uoe-agents/smaclite",
        clone="https://github.com/uoe-agents/epymarl cbc38c09588064eab978501d0f12c2cf58fa7fc2",
    ),
    Library(
        "CleanRL",
        "cleanrl",
        why="it asks for Python below 3.11 and Gymnasium 0.29, and this package for newer ones; the one file above is in its manner",
    ),
    Library("Shimmy and OpenSpiel", "shimmy", why="they bring games of OpenSpiel to PettingZoo, and nothing from PettingZoo to OpenSpiel"),
    Library(
        "MARLlib",
        "marllib",
        why="its last release (1.0.3, April 2023) pins Ray 1.8.0 and torch 1.9.0, without wheels for Python 3.11",
    ),
)
