"""What starting costs: which packages are loaded for a command, and that what stands in for them is the same to the bit."""

from __future__ import annotations

import copy
import importlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import stackelberg_envs as se
from baselines.bench import printing
from baselines.bench.deferred import defer
from solvers.optimisers import OPTIMISERS
from stackelberg_envs.games.toy3 import Toy3
from stackelberg_envs.views import registration

ROOT = Path(__file__).parent.parent
HEAVY = ("torch._C", "torch._dynamo", "sympy", "matplotlib", "numba", "pandas", "scipy", "scipy.stats")
"""Modules that take a second or so, and are there where the whole suite is installed; each has been loaded by a command in vain."""


def loaded(code: str) -> list[set[str]]:
    """Which of `HEAVY` a new process has loaded at each call of ``heavy()`` in ``code``."""
    begin = f"import sys\ndef heavy(): print('HEAVY', *(name for name in {HEAVY} if name in sys.modules))\n"
    run = subprocess.run([sys.executable, "-W", "error", "-c", begin + code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [set(line.split()[1:]) for line in run.stdout.splitlines() if line.startswith("HEAVY")]


def test_importing_never_imports_torch() -> None:
    """Nor does building and scoring; the import alone loads nothing of SciPy either, and no compiler."""
    code = "import stackelberg_envs as s; heavy(); import stackelberg_envs.testing, stackelberg_envs.views.vector\n"
    code += "[s.make(i) for i in s.games()]; s.evaluate(s.game('toy3-v0'), [0.0] * 6); heavy(); assert 'torch' not in sys.modules"
    imported, used = loaded(code)
    assert not imported
    assert not used & {"torch._C", "matplotlib"}


def test_commands_load_what_they_use() -> None:
    """Listing needs no torch, a planner neither; a gradient method needs torch, and nothing that draws, compiles or tests hypotheses."""
    code = """if True:
        from baselines.bench import cli
        for line in (
            "--help", "list", "list toy3-v0 implicit", "solve bimatrix-v0 multiple_lp --budget 1 --follower kind=Hard",
            "solve toy3-v0 implicit --budget 2", "solve four_rooms-v0 penalty --budget 1",
        ):
            sys.argv = ["stackelberg", *line.split()]
            try:
                cli.main()
            except SystemExit as ended:
                assert not ended.code
            heavy()
    """
    *listed, planned, solved, drawn = loaded(code)
    assert listed == [set()] * 3
    assert planned == {"scipy"}, "its linear programmes"
    assert solved == drawn == {"scipy", "torch._C"}


class Large(Toy3):
    """A game that takes long to build, and not without a size."""

    def __init__(self, size: int) -> None:
        raise AssertionError(f"built, with {size} states")


def test_games_are_listed_without_being_built() -> None:
    shown = io.StringIO()
    with registration.isolation():
        se.register("large-v0", Large)
        Console(width=250, file=shown).print(printing.games())
    (line,) = (line for line in shown.getvalue().splitlines() if line.startswith("large-v0"))
    assert line.split(maxsplit=1)[1].startswith("Which packages are loaded"), "the story of its module"


@pytest.mark.parametrize(("name", "theirs"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_updates_are_those_of_torch(name: str, theirs: Any) -> None:
    """To the bit, for two rates, over 50 steps in which a gradient may be missing or 0; and a copy goes on alike."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(5, generator=generator, dtype=torch.float64), torch.randn(2, 3, generator=generator, dtype=torch.float64)]
    ours, other = ([x.clone().requires_grad_() for x in start] for _ in range(2))
    optimiser: Any = OPTIMISERS[name](([ours[0]], 0.05), ([ours[1]], 0.2))
    expected = theirs([{"params": [other[0]], "lr": 0.05}, {"params": [other[1]], "lr": 0.2}], maximize=True)
    for step in range(50):
        for i, (x, y) in enumerate(zip(ours, other, strict=True)):
            gradient = 10.0 ** (step % 7 - 3) * torch.randn(x.shape, generator=generator, dtype=torch.float64) * (step % 5 > 0)
            x.grad, y.grad = (None, None) if (step + i) % 6 == 4 else (gradient.clone(), gradient.clone())
        if step == 30:
            ours, optimiser = copy.deepcopy((ours, optimiser))
        optimiser.step()
        expected.step()
        assert all(torch.equal(x, y) for x, y in zip(ours, other, strict=True)), step
    optimiser.zero_grad()
    assert all(x.grad is None for x in ours)


def test_a_deferred_package_is_itself_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it runs nothing, however often; the first use, or the import of a part, runs it once, before the part."""
    for package in ("late_a", "late_b"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"import builtins, {package}\nbuiltins.late.append(__name__)\nvalue = 7\n")
        (tmp_path / package / "part.py").write_text(f"import builtins\nbuiltins.late.append(__name__)\nfrom {package} import value\n")
    began: list[str] = []
    monkeypatch.setattr("builtins.late", began, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        for package in ("late_a", "late_b", "late_c", "torch"):
            defer(package)
        a, b = (importlib.import_module(package) for package in ("late_a", "late_b"))
        assert importlib.import_module("late_a") is a
        assert began == []
        assert a.value == 7
        assert importlib.import_module("late_b.part").value == b.value == 7
        assert began == ["late_a", "late_b", "late_b.part"]
        assert importlib.import_module("torch") is torch, "which was there"
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("late_c")
    finally:
        for name in ("late_a", "late_b", "late_b.part"):
            sys.modules.pop(name, None)
