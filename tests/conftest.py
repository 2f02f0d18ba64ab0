"""One thread for everybody: two torch threads on shared cores were 160 times slower than one."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))  # test helpers

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background jobs so, and children inherit it: no Ctrl-C would arrive
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _forget_modules_of_temporary_files() -> Iterator[None]:
    """What a test imports from a temporary folder, such as my_solver, is not there for the next one in the same process."""
    before, folder = set(sys.modules), tempfile.gettempdir()
    yield
    for name in sys.modules.keys() - before:
        file = getattr(sys.modules[name], "__file__", None)
        if isinstance(file, str) and file.startswith(folder) and "/pytest-of-" in file:
            del sys.modules[name]
