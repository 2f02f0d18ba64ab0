"""How many threads arithmetic uses.

Libraries of linear algebra add up in another order on another number of threads, so that the last digits of a solve differ, and a long
run by more: `leader_ppo` on ``random_markov_game-v0`` ended at 5.9996 on one thread and 5.8321 on two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

from stackelberg_envs.arguments import whole


@contextmanager
def thread_limit(threads: int | None) -> Iterator[None]:
    """So many threads for NumPy, SciPy and torch in this block, and afterwards as many as before; None changes nothing."""
    if threads is None:
        yield
        return
    whole("threads", threads, 1)
    import scipy.linalg  # noqa: F401  # SciPy brings a library of its own, which can be limited only once it is there

    torch = sys.modules["torch"] if "torch._C" in sys.modules else None  # planners do without, and the command line defers it
    before = 0 if torch is None else torch.get_num_threads()
    try:
        if torch is not None:
            torch.set_num_threads(threads)
        with _libraries(torch is not None).limit(limits=threads):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


@cache
def _libraries(with_torch: bool) -> ThreadpoolController:
    """The libraries of NumPy, SciPy and, once it is loaded, torch; they are found in some 10 ms."""
    del with_torch
    return ThreadpoolController()
