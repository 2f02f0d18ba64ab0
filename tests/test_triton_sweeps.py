"""The Triton kernel of soft sweeps: what a dense float64 reference does, in triton's interpreter, and what it becomes for a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")

Case = tuple[dict[str, torch.Tensor], dict[str, Any]]
Answer = tuple[torch.Tensor, ...]
SCRIPT = """
import sys, torch
from solvers.kernels.triton_sweeps import sweep_many
cases = torch.load(sys.argv[1])
torch.save({name: sweep_many(**tables, **options) for name, (tables, options) in cases.items()}, sys.argv[2])
"""


def case(
    m: int = 2,
    n: int = 1,
    b: int = 3,
    k: int = 3,
    s: int = 37,
    *,
    shared: str = "",
    ends: bool = False,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    **options: Any,
) -> Case:
    """A random problem; ``shared`` names axes of size 1, ``ends`` gives rows that sum to less than 1 or to 0."""
    rng = np.random.default_rng(seed)
    q = rng.dirichlet(np.ones(k), (1 if "probability" in shared else m, n, b, s)).swapaxes(-1, -2)
    if ends:
        q = q * rng.uniform(0.5, 1.0, (n, b, 1, s))
        q[..., s // 2] = 0.0
    following = rng.integers(s, size=(1 if "nodes" in shared else n, 1 if "actions" in shared else b, k, s))
    tables: dict[str, np.ndarray] = {
        "reward": rng.normal(size=(m, n, b, s)),
        "probability": q,
        "weight": rng.dirichlet(np.ones(n), (1 if "weight" in shared else m, s)).swapaxes(-1, -2),
        "values": rng.normal(size=(m, s)),
    }
    given = {name: torch.tensor(table, dtype=dtype) for name, table in tables.items()}
    given["next_states"] = torch.tensor(following, dtype=torch.int32)
    usual = {"discount": 0.9, "temperature": 0.3, "tolerance": 1e-5, "max_sweeps": 1000, "full": not ends, "check": 4}
    return given, usual | options


def reference(tables: dict[str, torch.Tensor], options: dict[str, Any], problem: int) -> tuple[np.ndarray, int, float, float]:
    """One problem, dense, in float64: TV, sweeps, min r and max r, by the same rule."""
    double = {name: table.double().numpy() if table.is_floating_point() else table.numpy() for name, table in tables.items()}
    reward, p, weight = (double[name][problem % len(double[name])] for name in ("reward", "probability", "weight"))
    n, b, k, s = p.shape
    dense = np.zeros((n, b, s, s))
    for place in np.ndindex(n, b, k, s):
        to = double["next_states"][place[0] % len(double["next_states"]), place[1] % double["next_states"].shape[1], place[2], place[3]]
        dense[place[0], place[1], place[3], to] += p[place]
    v, gamma, tau = double["values"][problem], options["discount"], options["temperature"]
    for sweeps in range(1, 10**6):
        q = reward + gamma * dense @ v
        before, v = v, (weight * tau * np.logaddexp.reduce(q / tau, axis=1)).sum(0)
        low, high = (v - before).min(), (v - before).max()
        if sweeps % options["check"] == 0:
            gap = high - low if options["full"] else max(high, 0.0) - min(low, 0.0)
            if not gamma / (1 - gamma) * gap / 2 > options["tolerance"] or sweeps >= options["max_sweeps"]:
                return v, sweeps, low, high
    raise AssertionError


def cases() -> dict[str, Case]:
    solved, options = case(m=3, seed=5)
    for i in range(2):  # one starts where it ends, one a constant away, and one anywhere
        solved["values"][i] = torch.tensor(reference(solved, options | {"tolerance": 1e-12}, i)[0]) + 5.0 * i
    broken, lost = case(m=3, seed=6)
    broken["reward"][1, 0, 2, 11] = float("nan")
    lone, _ = case(m=2, seed=7)
    lone["values"][0, 36] = float("nan")
    return {
        "one node": case(),
        "two nodes": case(n=2, seed=1),
        "nodes share successors": case(n=2, b=2, s=20, shared="nodes weight", seed=2),
        "all share successors": case(n=2, b=4, k=5, s=9, shared="nodes actions probability", seed=3),
        "ends": case(b=4, k=2, s=33, ends=True, shared="probability", seed=4),
        "ends, two nodes": case(n=2, b=2, k=1, s=5, ends=True, check=1, seed=4),
        "one of each": case(m=1, b=1, k=1, s=1),
        "warm": (solved, options),
        "no discount": case(discount=0.0),
        "each sweep": case(check=1),
        "stopped, each sweep": case(check=1, max_sweeps=6),
        "stopped": case(max_sweeps=6),
        "cold": case(temperature=0.003, discount=0.95),
        "single": case(dtype=torch.float32, tolerance=1e-3),
        "single, ends": case(n=2, ends=True, dtype=torch.float32, tolerance=1e-3, shared="nodes probability weight"),
        "broken": (broken, lost),
        "lone": (lone, lost | {"full": False, "tolerance": 1e-3}),
    }


CASES = cases()


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """Answers of all cases from a process of their own: the variable is read at import, and nobody else shall see it."""
    folder = tmp_path_factory.mktemp("triton")
    torch.save(CASES, folder / "cases")
    call = [sys.executable, "-W", "error", "-c", SCRIPT, str(folder / "cases"), str(folder / "answers")]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(call, cwd=Path(__file__).parent.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "answers")


def agree(name: str, answer: Answer) -> None:
    """Same values, sweeps and bounds as the reference, and within tolerance of the fixed point."""
    tables, options = CASES[name]
    precise = tables["values"].dtype == torch.float64
    for i in range(len(tables["values"])):
        values, sweeps, low, high = (part[i].numpy() for part in answer)
        if not all(torch.isfinite(tables[key][i]).all() for key in ("reward", "values")):
            assert np.isnan(low)
            assert np.isnan(high)
            assert sweeps == options["check"]
            continue
        expected = reference(tables, options, i)
        assert sweeps == expected[1] or not precise
        close = {"rtol": 0, "atol": 1e-12 if precise else 2e-5}
        fixed, *_ = reference(tables, options | {"tolerance": 1e-12, "max_sweeps": 2000, "full": False}, i)
        if sweeps == expected[1]:
            np.testing.assert_allclose(values, expected[0], **close)
            np.testing.assert_allclose([low, high], expected[2:], **close)
        if sweeps < options["max_sweeps"]:
            lo, hi = (low, high) if options["full"] else (min(low, 0.0), max(high, 0.0))
            shift = options["discount"] / (1 - options["discount"]) * (lo + hi) / 2
            np.testing.assert_allclose(values + shift, fixed, rtol=0, atol=options["tolerance"] + (1e-12 if precise else 2e-5))


@pytest.mark.parametrize("name", CASES)
def test_same_sweeps_as_the_reference(name: str, interpreted: dict[str, Answer]) -> None:
    agree(name, interpreted[name])


def test_each_problem_ends_by_itself(interpreted: dict[str, Answer]) -> None:
    sweeps = interpreted["warm"][1]
    assert sweeps[:2].tolist() == [4, 4]
    assert sweeps[2] > 20
    assert interpreted["broken"][1][1] == 4
    assert interpreted["stopped"][1].tolist() == [8, 8]
    assert interpreted["stopped, each sweep"][1].tolist() == [6, 6]


def test_what_it_does_not_take() -> None:
    from solvers.kernels.triton_sweeps import available, is_supported, sweep_many

    assert is_supported(1, 8, 8, 1024)
    assert not is_supported(1, 8, 8, 1025)
    assert not is_supported(2, 8, 5, 10)
    tables, options = case()
    given: Any = {**tables, **options}
    for change, message in (
        ({"reward": torch.zeros(2, 1, 3, 1025)}, "1 to 1024 states"),
        ({"reward": torch.zeros(2, 8, 3, 37)}, "N B K of 1 to 64"),
        ({"reward": torch.zeros(2, 37)}, "reward is"),
        ({"values": torch.zeros(3, 37)}, r"values has shape \(3, 37\), not \(2, 37\)"),
        ({"weight": tables["weight"].float()}, "weight is torch.float32"),
        ({"next_states": tables["next_states"].long()}, "successors are int32"),
        ({"probability": tables["probability"].to("meta")}, "probability is on meta"),
        ({name: table.half() for name, table in tables.items() if table.is_floating_point()}, "float32 or float64"),
        *([({}, "TRITON_INTERPRET=1")] if not available("cpu") else [({"check": 0}, "do not all hold")]),
    ):
        with pytest.raises(ValueError, match=message):
            sweep_many(**(given | change))


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`counters`, with an empty cache."""
    from solvers.kernels import inspect, triton_sweeps

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    nvidia = inspect.knobs.nvidia
    try:
        tools = all(Path(tool.path).exists() for tool in (nvidia.ptxas, nvidia.cuobjdump, nvidia.nvdisasm))
    except RuntimeError:  # one cannot be found
        tools = False
    if triton_sweeps.INTERPRETED or not tools:
        pytest.skip("kernels are interpreted, or triton came without ptxas, cuobjdump and nvdisasm")
    return inspect.counters


def test_what_it_becomes_for_a_hopper_gpu(compiler: Any) -> None:
    """Four rooms: nothing spilled, at least eight programs on a multiprocessor (64 registers), and few instructions."""
    found = compiler(1, 4, 4, 104)
    assert found.warps == 4
    assert found.spilled == 0
    assert found.registers <= 64
    assert found.instructions <= 80  # the goal is 110, and 62 were counted: one instruction for log2, one gather for all successors
    assert found.shared <= 1024


def test_in_double_precision_nothing_is_spilled(compiler: Any) -> None:
    found = compiler(1, 4, 4, 104, dtype=torch.float64)
    assert found.spilled == 0
    assert found.instructions <= 400


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_same_sweeps_on_a_gpu(name: str) -> None:
    from solvers.kernels.triton_sweeps import sweep_many

    tables, options = CASES[name]
    answer = sweep_many(**{key: table.cuda() for key, table in tables.items()}, **options)
    agree(name, tuple(part.cpu() for part in answer))
