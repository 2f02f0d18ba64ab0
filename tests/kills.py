"""Kills workers and commands of a benchmark at random moments, and compares what is on disk with an undisturbed run: ``make kills``.

After every kill each whole line is one of the undisturbed run, no line is gone, and no run has two.  At the end all runs are there.  Run it
with a Python that has ``ray`` to kill actors of a local Ray too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from baselines.bench import merge, results_file

CONFIG = """
name = "kills"
seeds = {seeds}
[[solvers]]
name = "implicit"
budget = 15
[[solvers]]
name = "naive"
budget = 15
[[solvers]]
name = "zeroth_order"
budget = 20
[[games]]
id = "toy3-v0"
arguments = {{ R = 1.375 }}
[[games]]
id = "toy3-v0"
title = "followers who learn"
follower = {{ kind = "SoftQLearning", temperature = 0.5, steps = 50 }}
solvers = [{{ name = "zeroth_order", label = "two-point", budget = 25 }}]
[[games]]
id = "random_markov_game-v0"
arguments = {{ seed = 3 }}
[[games]]
id = "zero_sum_incentive-v0"
"""
WORKERS = ("spawn_main", "ray::_Actor")
"""What the command line of a worker contains."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=30, help="over all kinds of executors")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--folder", type=Path, help="where to work, and to leave everything; one with an undisturbed run goes on from it")
    options.add_argument("--only", help="one kind of executors: processes, shards or ray")
    options.add_argument("--seeds", type=int, default=10, help="of each method in each game")
    asked = options.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would the commands
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if asked.folder is None else asked.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kills.toml").write_text(CONFIG.format(seeds=asked.seeds))
        began = time.monotonic()
        run(folder, "whole", "--jobs", "2")  # which repeats nothing
        expected = {id: comparable(line) for id, line in results_file.read(folder / "whole/kills.jsonl").items()}
        print(f"undisturbed: {len(expected)} runs in {time.monotonic() - began:.0f} s", flush=True)
        kinds: dict[str, list[tuple[str, ...]]] = {"processes": [("--jobs", "2")]}
        kinds["shards"] = [("--jobs", "2", "--shard", f"{i}/4") for i in range(4)]
        if importlib.util.find_spec("ray") is not None:
            kinds["ray"] = [("--jobs", "2", "--executor", "ray")]
        kinds = {kind: commands for kind, commands in kinds.items() if asked.only in (None, kind)}
        for place, (kind, commands) in enumerate(kinds.items()):
            share = asked.kills * (place + 1) // len(kinds) - asked.kills * place // len(kinds)
            for number, arguments in enumerate(commands):
                disturb(rng, share * (number + 1) // len(commands) - share * number // len(commands), folder, kind, arguments, expected)
            if kind == "shards":
                call = [sys.executable, "-m", "baselines.bench.cli", "merge", kind, *sorted(map(str, (folder / kind).glob("shard-*")))]
                subprocess.run(call, cwd=folder, check=True, capture_output=True)
            found = lines(folder / kind / "kills.jsonl")
            assert sorted(line["id"] for line in found) == sorted(expected), "a run is missing, or there twice"
            assert {line["id"]: comparable(line) for line in found} == expected, "a line differs"
            print(f"{kind}: all {len(found)} runs are there, each once and equal to the undisturbed one", flush=True)


def run(folder: Path, results: str, *arguments: str) -> None:
    """One command to its end."""
    subprocess.run(command(results, *arguments), cwd=folder, check=True, capture_output=True)


def command(results: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "baselines.bench.cli", "bench", "kills.toml", "--results", results, *arguments]


def comparable(line: dict[str, Any]) -> dict[str, Any]:
    return results_file.comparable(line)


def difference(expected: dict[str, Any], line: dict[str, Any]) -> str:
    """What two lines say of a run, as far as they differ."""
    return "; ".join(f"{name}: {line.get(name)!r} for {expected.get(name)!r}" for name in expected if line.get(name) != expected.get(name))[
        :3000
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that may be growing."""
    content = path.read_bytes() if path.exists() else b""
    found = [results_file.parse(line) for line in content.split(b"\n")[:-1]]
    assert None not in found, f"{path} has a line that is no result"
    return [line for line in found if line is not None]


def disturb(
    rng: random.Random, kills: int, folder: Path, kind: str, arguments: tuple[str, ...], expected: dict[str, dict[str, Any]]
) -> None:
    """Run one command to its end, however often it or its workers are killed, and look at its file after each kill."""
    shard = arguments[-1].replace("/", "-of-") if "--shard" in arguments else None
    path = folder / kind / (f"shard-{shard}" if shard else "") / "kills.jsonl"
    before: set[str] = set()
    done, process = 0, None
    with ExitStack() as left_behind:
        while True:
            if process is None or process.poll() is not None:
                if process is not None and process.returncode == 0:
                    break
                process = subprocess.Popen(
                    command(kind, *arguments), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
                )
                left_behind.callback(process.kill)
            if done == kills:
                process.wait()
                continue
            wait_for_more(process, path, len(before))
            time.sleep(rng.uniform(0, 1.5))
            if process.poll() is not None:
                continue
            workers = [pid for pid in descendants(process.pid) if any(word in words_of(pid) for word in WORKERS)]
            victim, what = (process.pid, "command") if rng.random() < 0.5 or not workers else (rng.choice(workers), "worker")
            number = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)) if victim == process.pid else signal.SIGKILL
            left = descendants(process.pid)
            try:
                os.kill(victim, number)
            except ProcessLookupError:
                continue
            done += 1
            if victim == process.pid:
                process.wait()
                wait_for_end([pid for pid in left if pid in workers])  # Ray's own agents take a minute, and write nothing
            found = lines(path)
            ids = [line["id"] for line in found]
            assert len(set(ids)) == len(ids), "a run is there twice"
            assert before <= set(ids), "a line is gone"
            for line in found:
                assert comparable(line) == expected[line["id"]], (
                    f"a line differs: {merge.title(line)}: {difference(expected[line['id']], line)}"
                )
            before = set(ids)
            where = f"{kind} {arguments[-1]}" if shard else kind
            print(f"{where}: {what} killed by {number.name}, {len(ids)} runs on disk, all whole and equal", flush=True)
    if done < kills:
        print(f"{kind}: all runs were there after {done} of {kills} kills", flush=True)


def wait_for_more(process: subprocess.Popen[bytes], path: Path, before: int) -> None:
    """Until there is a new line, so that the command gets on, or it has ended."""
    while process.poll() is None and len(lines(path)) <= before:
        time.sleep(0.1)


def wait_for_end(pids: list[int]) -> None:
    """Until the workers of a command that was killed have ended too."""
    last = time.monotonic() + 60
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < last, f"left behind: {[words_of(pid) for pid in pids]}"
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """The processes below one, from /proc."""
    children: dict[int, list[int]] = {}
    for child, parent in processes():
        children.setdefault(parent, []).append(child)
    found = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def processes() -> Iterator[tuple[int, int]]:
    """Each process with its parent."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(place.parent.name), int(place.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue


if __name__ == "__main__":
    main()
