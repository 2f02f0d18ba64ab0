"""``stackelberg new``: a working file to begin with, for a game, a solver or a benchmark, in the current folder."""

from __future__ import annotations

import importlib.util
import json
import keyword
from pathlib import Path
from string import Template
from typing import Annotated, Any

import typer
from rich.markup import escape

from .printing import console

TEMPLATES = Path(__file__).parent / "templates"
REFERENCES = {"zeroth_order": 100, "bchg": 30, "implicit": 60}
"""Whom a new benchmark runs beside the user's solvers, with budgets: three access levels, RETURN, VALUE and MODEL."""
GAMES = ("toy3-v0", "random_markov_game-v0", "bimatrix-v0")
"""Where a new benchmark runs them if the user names no game."""
BUDGET = 100
"""Of each of the user's solvers."""

ENTRY = ("entry.toml", "entry_bench.toml")
"""Templates of an entry."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the file to write, without .py; a name that Python can import.")]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Write a working file to begin with into the current folder: a game, a solver or a benchmark.

Example: `stackelberg new game my_game` writes my_game.py and test_my_game.py; then `pytest test_my_game.py`.

Nothing is overwritten.""",
)


@app.command()
def game(name: Name) -> None:
    """Write a game, one page with comments, and its tests.

    Example: `stackelberg new game my_game`
    """
    place = _write_module(name, "game")
    _next(
        f"pytest test_{name}.py",
        f"stackelberg check {place}",
        f"stackelberg solve {place} implicit --budget 50 --figure {name}.svg",
        f"stackelberg new bench my_bench --game {place}",
    )


@app.command()
def solver(
    name: Name, method: Annotated[bool, typer.Option("--method", help="A method with init and step, and no estimator.")] = False
) -> None:
    """Write a solver, one page with comments, and its tests: an estimator of the gradient, or a whole method.

    Example: `stackelberg new solver my_solver`
    """
    place = _write_module(name, "method" if method else "solver")
    _next(
        f"pytest test_{name}.py",
        f"stackelberg check {place}",
        f"stackelberg solve toy3-v0 {place} --budget 200 --set {'radius=0.5' if method else 'lr=0.1'}",
        f"stackelberg new bench my_bench --solver {place}",
    )


@app.command()
def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the file to write, without .toml.")],
    solvers_: Annotated[list[str] | None, typer.Option("--solver", help="Yours, by place, e.g. my_solver.py:MySolver; repeatable.")] = None,
    games_: Annotated[
        list[str] | None, typer.Option("--game", help="Only this, by id or place, e.g. my_game.py:MyGame; repeatable.")
    ] = None,
) -> None:
    """Write a benchmark of your solvers and of three reference solvers, on your games or, if none is named, on three small ones.

    Example: `stackelberg new bench mine --solver my_solver.py:MySolver --game my_game.py:MyGame`

    The three small games take a minute or less on two cores.
    """
    if not name.isidentifier():
        raise typer.BadParameter(f"{name!r} is no name of a file without .toml; use letters, digits and _ only")
    budgets = {**dict.fromkeys(solvers_ or [], BUDGET), **REFERENCES}
    text = Template((TEMPLATES / "bench.toml.txt").read_text(encoding="utf-8")).substitute(name=name)
    _write({Path(f"{name}.toml"): text + "".join(_section(id, budgets) for id in games_ or GAMES)})
    _next(f"stackelberg bench {name}.toml --report report.html")


@app.command()
def entry(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the folder to write.")],
    solver_: Annotated[str, typer.Option("--solver", help="Yours, by name or place, e.g. my_solver.py:MySolver.")],
    budget: Annotated[int, typer.Option(help="How many commitments the leader may try.", min=1)] = BUDGET,
    authors: Annotated[str, typer.Option(help="Who enters.")] = "A. Author",
    link: Annotated[str, typer.Option(help="To a paper or a repository.")] = "https://example.org",
) -> None:
    """Write an entry of the leaderboard: a folder with entry.toml, and a benchmark of your solver on the games of the track.

    Example: `stackelberg new entry my_entry --solver my_solver.py:MySolver`
    """
    import tomllib

    import solvers

    from .configuration import CONFIGS

    if not name.isidentifier():
        raise typer.BadParameter(f"{name!r} is no name of an entry; use letters, digits and _ only")
    said = {"name": name, "authors": authors, "link": link, "code": json.dumps(solver_), "budget": budget}
    said["access"] = solvers.build(solver_).access.name
    texts = {file: Template((TEMPLATES / f"{file}.txt").read_text(encoding="utf-8")).substitute(said) for file in ENTRY}
    track = tomllib.loads((CONFIGS / "leaderboard.toml").read_text(encoding="utf-8"))
    texts[ENTRY[1]] += "".join(_game_table(game) for game in track["games"])
    folder = Path(name)
    _refuse_existing({folder: ""})
    folder.mkdir()
    _write({folder / "entry.toml": texts[ENTRY[0]], folder / "bench.toml": texts[ENTRY[1]]})
    _next(f"stackelberg bench {name}/bench.toml --results {name}", f"stackelberg verify {name}", f"stackelberg leaderboard {name}")


def _game_table(game: dict[str, Any]) -> str:
    """A game of a track as TOML, without the track's solvers."""
    kept = {key: value for key, value in game.items() if key not in ("solvers", "published")}
    return "\n[[games]]\n" + "".join(f"{key} = {_as_toml(value)}\n" for key, value in kept.items())


def _as_toml(value: Any) -> str:
    """Text, numbers and tables of these."""
    if hasattr(value, "items"):
        return f"{{ {', '.join(f'{key} = {_as_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value)


def _section(id: str, budgets: dict[str, int]) -> str:
    """One game of a benchmark, with each solver that plays it, and the reasons of those that do not."""
    import solvers
    import stackelberg_envs as se
    from stackelberg_envs.leader.repeated_game import RepeatedGame

    played, lines = se.game(id), ["", "[[games]]", f"id = {json.dumps(id)}", ""]
    for name, budget in budgets.items():
        built = solvers.build(name)
        try:
            solvers.admit(built, RepeatedGame(played), built.access)
        except solvers.Declined as reason:
            lines += [f"# {name} is left out: {' '.join(str(reason).split())}", ""]
        else:
            lines += ["[[games.solvers]]", f"name = {json.dumps(name)}", f"budget = {budget}", ""]
    return "\n".join(lines)


def _write_module(name: str, kind: str) -> str:
    """Write NAME.py and its tests; where what is in it is, as ``NAME.py:Name``.

    Raises:
        typer.BadParameter: if Python could not import it by that name, or would import something else.
        FileExistsError: if one of the files exists.
    """
    title = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    if not (name.isidentifier() and title.isidentifier()) or keyword.iskeyword(name) or keyword.iskeyword(title):
        raise typer.BadParameter(f"{name!r} cannot be the name of a module and of a class; use lower_case, such as my_{kind}")
    texts = {
        Path(file.format(name)): Template((TEMPLATES / f"{template}.py.txt").read_text(encoding="utf-8")).substitute(name=name, Name=title)
        for file, template in (("{}.py", kind), ("test_{}.py", f"test_{kind}"))
    }
    _refuse_existing(texts)
    found = importlib.util.find_spec(name)
    if found is not None:
        raise typer.BadParameter(
            f"{name} is a module already ({found.origin or 'a folder'}), and Python would import that; choose another name"
        )
    _write(texts)
    return f"{name}.py:{title}"


def _refuse_existing(texts: dict[Path, str]) -> None:
    there = [str(path) for path in texts if path.exists()]
    if there:
        raise FileExistsError(f"there already: {', '.join(there)}; nothing was written. Choose another name, or move the old files away")


def _write(texts: dict[Path, str]) -> None:
    """Write all files, or none if one exists."""
    _refuse_existing(texts)
    for path, text in texts.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    console.print(f"Written: {escape(', '.join(map(str, texts)))}", highlight=False, soft_wrap=True)


def _next(*commands: str) -> None:
    console.print("Next:", highlight=False)
    for command in commands:
        console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)
