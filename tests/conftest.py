"""One thread for everybody: two torch threads on shared cores were 160 times slower than one."""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))  # test helpers: broken.py, known_values.py, benchmarks/amd.py
