"""Every game and every solver has its page with every section, and every public name has its place in the reference."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from solvers import SOLVERS
from stackelberg_envs.registry import GAMES

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(ROOT / "docs"))
    folder = tmp_path_factory.mktemp("reference")
    importlib.import_module("generated_pages").write_pages(folder, pictures=False)
    return folder


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level."""
    _, *rest = re.split(r"(?m)^## (.+)$", page.read_text())
    return dict(zip(rest[::2], map(str.strip, rest[1::2]), strict=True))


def test_every_game_and_solver_has_every_section(pages: Path) -> None:
    generated = importlib.import_module("generated_pages")
    for folder, names, headings in (
        ("games", [id.rpartition("-v")[0] for id in GAMES], generated.GAME_SECTIONS),
        ("solvers", list(SOLVERS), generated.SOLVER_SECTIONS),
    ):
        assert {page.stem for page in (pages / folder).glob("*.md")} == {*names, "_table"}
        listed = (pages / folder / "_table.md").read_text()
        for name in names:
            found = sections(pages / folder / f"{name}.md")
            assert [heading for heading in headings if not found.get(heading)] == [], name
            assert f"]({folder}/{name}.md)" in listed


def test_what_pages_say_is_what_solvers_do(pages: Path) -> None:
    """Facts that are known elsewhere: what the README, the papers and the records say of these games and solvers."""
    toy, hpgd = sections(pages / "games" / "toy3.md"), sections(pages / "solvers" / "hpgd.md")
    assert "| [hpgd](../solvers/hpgd.md) | INCENTIVE | declines |" in toy["Solvers"]  # its leader acts and sets no reward
    assert "| [implicit](../solvers/implicit.md) | MODEL | plays |" in toy["Solvers"]
    assert "| R=1.0 | 34.993 |" in toy["Known values"]  # Kudo et al.'s game, by an independent solver: tests/known_values.py
    rooms = sections(pages / "games" / "four_rooms.md")
    assert "0.91 ± 0.088" in rooms["Known values"]  # Thoma et al., Table 1
    assert (
        "| BC-HG (steps=200, streams=1) | `bchg` | preset=bchg, Soft(temperature=0.001) | 10 |" in rooms["Scores"]
    )  # one budget, ten seeds
    assumed = dict(re.findall(r"(?m)^\| `(\w+)` \| (.+?) \|", hpgd["Assumptions"]))
    assert {"smooth", "additive", "incentive", "log_kernel", "temperature", "groups"} <= assumed.keys()
    assert "plays against `Hard" in sections(pages / "solvers" / "multiple_lp.md")["Games"]
    assert "assumes nothing" in sections(pages / "solvers" / "zeroth_order.md")["Assumptions"]
    assert "`naive` 10 : 0" in sections(pages / "solvers" / "multistart.md")["Won and lost"]  # heldout: exact search in ten instances


def test_notes_belong_to_pages() -> None:
    for note in (REFERENCE / "notes").glob("*.md"):
        assert note.stem in SOLVERS or any(id.rpartition("-v")[0] == note.stem for id in GAMES), note.name
    for id in GAMES:
        assert "<!-- examples -->" in (REFERENCE / "notes" / f"{id.rpartition('-v')[0]}.md").read_text(), f"{id} has no known values"


def test_every_public_name_is_in_the_reference() -> None:
    """What the packages export is named by a directive of some page, or is a member of a module that is documented whole."""
    text = "\n".join(page.read_text() for page in [*REFERENCE.glob("*.md"), *(REFERENCE / "notes").glob("*.md")])
    whole, members = set(), set()
    for module, options in re.findall(r"\.\. automodule:: (\S+)\n((?:   :.*\n)*)", text):
        listed = re.search(r":members:(.*)", options)
        if listed and listed[1].strip():
            members |= {f"{module}.{name.strip()}" for name in listed[1].split(",")}
        elif listed:
            whole.add(module)
    members |= set(re.findall(r"\.\. auto(?:class|function|data):: (\S+)", text))
    for package in ("stackelberg_envs", "solvers", "stackelberg_envs.testing", "baselines"):
        exported = importlib.import_module(package)
        for name in exported.__all__:
            value = getattr(exported, name)
            home = getattr(value, "__module__", package)
            places = {f"{home}.{name}", f"{package}.{name}"}
            assert home in whole or places & members or isinstance(value, dict), f"{package}.{name} is on no page of docs/reference"
