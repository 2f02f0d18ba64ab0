"""One thread for everybody: two torch threads on shared cores were 160 times slower than one."""

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))  # test helpers

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background jobs so, and children inherit it: no Ctrl-C would arrive
    signal.signal(signal.SIGINT, signal.default_int_handler)
