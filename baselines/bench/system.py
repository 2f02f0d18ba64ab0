"""What differs between operating systems, in one file: usable cores, locks on files, peak memory.

Each function takes what the system has, and falls back where a module is missing: `fcntl` and `resource` are of Unix, `msvcrt` of Windows.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCKED_BYTE = 2**31 - 2
"""The byte of a file that Windows locks: beyond its end, because what is locked there cannot be read either."""
PATIENCE = 60.0
"""Seconds to wait for a lock, where the system does not wait itself."""
MOST_PROCESSES = 61
"""Of a pool on Windows."""


def usable_cores() -> int:
    """How many cores this process may use, at least 1; the machine's where the system does not tell, and at most 61 on Windows."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    cores = getattr(os, "process_cpu_count", os.cpu_count)() or 1  # the former from Python 3.13
    return min(cores, MOST_PROCESSES) if sys.platform == "win32" else cores


def peak_memory() -> float:
    """The most MiB that this process has had in memory at once; 0 where the system does not tell."""
    resource = _module("resource")
    if resource is None:
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@contextmanager
def exclusive(path: Path, *, wait: bool) -> Iterator[Any]:
    """Hold a file against other processes, opened to append bytes, unbuffered.

    Unix and Windows release it however this process ends.  Where neither module is there, a file beside it, ``path`` with ``.held``, is
    the lock, and is left behind by a process that is killed.

    Args:
        path: the file; made if it is missing.
        wait: until whoever holds it lets go.

    Raises:
        BlockingIOError: if another process holds it, at once without ``wait``; the message says what to do.
    """
    with path.open("ab", buffering=0) as file:
        if (fcntl := _module("fcntl")) is not None:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield file  # closing the file lets go
        elif (msvcrt := _module("msvcrt")) is not None:
            _lock_byte(msvcrt, file, wait)
            try:
                yield file
            finally:
                file.seek(LOCKED_BYTE)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            with _lock_file(path.with_name(f"{path.name}.held"), wait):
                yield file


def _lock_byte(msvcrt: Any, file: Any, wait: bool) -> None:
    last = time.monotonic() + (PATIENCE if wait else 0)
    while True:
        file.seek(LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if time.monotonic() >= last:
                raise BlockingIOError(f"another process holds {file.name}") from error
            time.sleep(0.05)
        else:
            return


@contextmanager
def _lock_file(path: Path, wait: bool) -> Iterator[None]:
    last = time.monotonic() + (PATIENCE if wait else 0)
    while True:
        try:
            path.touch(exist_ok=False)
        except FileExistsError as error:
            if time.monotonic() >= last:
                raise BlockingIOError(f"another process holds {path}; if none is running, delete that file") from error
            time.sleep(0.05)
        else:
            break
    try:
        yield
    finally:
        path.unlink()


def _module(name: str) -> Any:
    """A module of this system's, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
