"""Which folder may import which, and what nobody does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "stackelberg_envs": {"torch", "solvers", "baselines", "matplotlib", "typer", "rich", "pygame"},
    "solvers": {"pettingzoo", "baselines", "matplotlib", "typer", "rich"},
    "baselines": set(),
}
FILES = [(folder, path) for folder in FORBIDDEN for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(("folder", "path"), FILES, ids=lambda value: str(getattr(value, "name", value)))
def test_arrows_point_down(folder: str, path: Path) -> None:
    assert not imported(path) & FORBIDDEN[folder]


@pytest.mark.parametrize(("folder", "path"), FILES, ids=lambda value: str(getattr(value, "name", value)))
def test_no_global_randomness_and_no_unfinished_work(folder: str, path: Path) -> None:
    text = path.read_text()
    for word in (
        "np.random.seed",
        "np.random.rand",
        "torch.manual_seed",
        "random.seed(",
        "EzPickle",
        "TODO",
        "FIXME",
        "NotImplementedError",
    ):
        assert word not in text, f"{path.name} contains {word}"


def test_pages_are_finished() -> None:
    """No placeholder is left in the documentation."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        found = re.findall(r"\b(?:TODO|FIXME|TBD|[A-Z]{3,}TEXT)\b", page.read_text())
        assert not found, f"{page.relative_to(ROOT)} has placeholders: {found}"


def test_documented_modules_can_be_run() -> None:
    """Each ``python -m MODULE`` of a page is a program of this repository; NAME stands for those of a folder."""
    programs = {
        str(path.relative_to(root).with_suffix("")).removesuffix("/__main__").replace("/", ".")
        for root in (ROOT, ROOT / "tests")
        for folder in ("baselines", "tests", "zoo")
        for path in (root / folder).rglob("*.py")
        if path.name == "__main__.py" or '__name__ == "__main__"' in path.read_text()
    }
    folders = {name.rpartition(".")[0] for name in programs}
    found = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"python -m ((?:\w+\.)+\w+)", page.read_text()):
            found += 1
            known = name.removesuffix(".NAME") in folders if name.endswith(".NAME") else name in programs
            assert known, f"{page.relative_to(ROOT)} says python -m {name}, and there is no such program"
    assert found > 20


def test_every_page_is_run() -> None:
    """Each page with a Python fence is collected, whatever folder it is in."""
    pages = [path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if "```python" in path.read_text()]
    call = [sys.executable, "-m", "pytest", "--collect-only", "-q", "README.md", "docs"]
    collected = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for page in pages:
        assert f"{page.relative_to(ROOT)}::" in collected, f"{page} is not tested"


def test_public_names_are_documented() -> None:
    import baselines
    import solvers
    import stackelberg_envs
    from stackelberg_envs import testing

    for module in (stackelberg_envs, solvers, testing, baselines):
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            assert isinstance(value, dict) or (value.__doc__ or "").strip(), f"{module.__name__}.{name} has no docstring"


FORBIDDEN_NAMES = re.compile(
    r"""
    acted | alone | carry | climb | copied | designed | explained | faced | fits | four | gathered | given | go | have | inside
    | known | laid_out | less_mean | mixed | number | others | over | passes | pick | plus | scanned | seen | shown | slope |
    survey | swept | through | through_closed_forms | through_objective | through_saddle | together | towards_inside | tried |
    walk | walked | weigh | Carried | Changed | Disguised | Explained | Inside | Known | Listed | Packed | Passes | Powerless |
    Rounds | Table | Tally | Walk | Worth
    """,
    re.VERBOSE,
)
"""Names that once stood for a hypergradient, an inner product, a rollout, ... and that no reader of the literature would search for."""
PARTICIPLES = re.compile(
    r"""
    asked | assigned | averaged | batched | beaten | begun | believed | bootstrapped | bought | built | called | carried |
    centred | changed | charged | checked | chosen | claimed | clipped | combined | committed | compiled | completed | counted |
    crossed | described | done | drawn | earned | enumerated | estimated | expected | filled | fitted | fixed | flattened |
    found | gained | granted | grouped | held | joined | judged | kept | laid | learned | left | listed | lost | made | merged |
    moved | normalised | observed | packed | padded | paid | planned | played | prepared | printed | raised | reached | refined
    | relaxed | renewed | repeated | rounded | said | sampled | scaled | scored | searched | settled | shaped | shifted | sized
    | solved | sorted | spent | squashed | starved | stacked | summed | told | trained | truncated | used | visited | weighed |
    weighted
    """,
    re.VERBOSE,
)


def test_names_are_the_fields() -> None:
    """Functions and classes have names that a reader of the literature would search for; see docs/reference/conventions.md."""
    for folder, path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = node.name.strip("_")
                wrong = FORBIDDEN_NAMES.fullmatch(name) or (not isinstance(node, ast.ClassDef) and PARTICIPLES.fullmatch(name))
                assert not wrong, f"{folder}: {path.name}:{node.lineno} defines {node.name}; name it by what it returns"


def test_terms_are_where_the_page_says() -> None:
    """Every ``module:name`` in the page of conventions can be imported."""
    from stackelberg_envs.references import load

    named = re.findall(r"`((?:stackelberg_envs|solvers|baselines)[\w.]*:[\w.]+)`", (ROOT / "docs/reference/conventions.md").read_text())
    assert len(named) > 50
    for reference in named:
        load(reference)
