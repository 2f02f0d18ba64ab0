"""PettingZoo's own tests, as they are in its newest release, on every view of every game."""

from __future__ import annotations

import contextlib
import io
import warnings

import pettingzoo.test as tests

import stackelberg_envs as se


def main() -> None:
    warnings.simplefilter("ignore")  # PettingZoo warns where agents differ from one another, as leader and follower do
    passed, views = 0, 0
    for id in se.games():
        for view in ("commitment", "play"):
            try:
                se.make(id, view=view, max_cycles=20)
            except ValueError:  # a commitment that is no policy is not played
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                tests.api_test(se.make(id, view=view, max_cycles=20), num_cycles=60)
                tests.seed_test(lambda id=id, view=view: se.make(id, view=view, max_cycles=20), num_cycles=30)
                tests.parallel_api_test(se.make_parallel(id, view=view, max_cycles=20), num_cycles=60)
                tests.parallel_seed_test(lambda id=id, view=view: se.make_parallel(id, view=view, max_cycles=20), num_cycles=30)
            passed, views = passed + 4, views + 1
    print(f"result: api_test, seed_test, parallel_api_test and parallel_seed_test pass in {views} views of {len(se.games())} games")


if __name__ == "__main__":
    main()
