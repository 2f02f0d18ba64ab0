"""The command line: ``stackelberg list | solve | bench | report | compare | polish | check``."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: two threads on shared cores are slower than one

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import stackelberg_envs as se

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 130)  # a file or a log has no width of its own
problems = Console(stderr=True)
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Stackelberg Markov games: leaders who commit, followers who best-respond, and honest scores.

A first look:  `stackelberg list`,  then  `stackelberg solve four_rooms-v0 implicit --budget 500`.

The benchmark:  `stackelberg bench`  runs the embedded configuration (games x solvers x seeds) and  `stackelberg report`  draws it.
Everything that is finished is on disk at once: stop a benchmark at any time, and the same command goes on from there.""",
)


@app.command("list")
def list_() -> None:
    """Show the games and the solvers, the latter by what they may know."""
    games = Table(title="Games", title_justify="left")
    for column in ("id", "commitment", "(S, A, B)", "contexts", "followers", "default follower", "about"):
        games.add_column(column, no_wrap=column in ("id", "default follower"))
    for id in se.games():
        game = se.game(id)
        story = (sys.modules[type(game).__module__].__doc__ or "").splitlines()[0]
        cells = (str(game.sizes[0]), ", ".join(game.contexts), str(game.followers), repr(game.default_follower), story.partition(": ")[2])
        games.add_row(id, f"R^{game.dimension}", *cells)
    console.print(games)
    import solvers

    known = Table(title="Solvers", title_justify="left")
    for column in ("name", "access", "about"):
        known.add_column(column)
    for name in sorted(solvers.SOLVERS, key=lambda name: -solvers.build(name).access):
        cls = solvers.solver_class(name)
        known.add_row(name, solvers.build(name).access.name, (cls.__doc__ or "").splitlines()[0])
    console.print(known)


@app.command()
def solve(
    game: Annotated[str, typer.Argument(help="Id of a game, e.g. four_rooms-v0.")],
    solver: Annotated[str, typer.Argument(help="Name of a solver, e.g. implicit.")],
    budget: Annotated[int, typer.Option(help="How many commitments the leader may try.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Of the start and of all noise.")] = 0,
    temperature: Annotated[float | None, typer.Option(help="Soft follower with this temperature, instead of the game's default.")] = None,
    start_scale: Annotated[float, typer.Option(help="Standard deviation of the random first commitment.")] = 0.01,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter of the solver, e.g. --set lr=0.1")] = None,
    game_set: Annotated[list[str] | None, typer.Option("--game", help="An argument of the game, e.g. --game preset=hpgd")] = None,
) -> None:
    """Run one solver on one game, and draw what the leader learned.

    Example: `stackelberg solve four_rooms-v0 implicit --game preset=hpgd --budget 1000 --set lr=0.5`
    """
    import solvers
    from stackelberg_envs.drawing import Frame, ansi

    from .figures import likeliest_path

    played = se.game(game, **_assignments(game_set))
    follower = played.default_follower if temperature is None else se.Soft(temperature)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=problems, transient=True) as bar:
        task = bar.add_task(solver, total=budget)
        hyperparameters = _assignments(set_)
        solution = solvers.solve(
            played,
            solver,
            follower=follower,
            budget=budget,
            seed=seed,
            start_scale=start_scale,
            progress=lambda used, row: bar.update(task, completed=used, description=f"{solver}: F = {row['leader_return']:.4f}"),
            **hyperparameters,
        )
    history = Table()
    for column in ("iteration", "commitments", "F(x)", "per context", "follower gap", "|gradient|"):
        history.add_column(column, justify="right")
    rows = solution.history
    for row in [rows[round(i * (len(rows) - 1) / 9)] for i in range(min(10, len(rows)))] if len(rows) > 1 else rows:
        contexts = "  ".join(f"{value:.4f}" for value in row["per_context"])
        gradient = f"{row['gradient_norm']:.2e}" if "gradient_norm" in row else "-"
        cells = (f"{row['leader_return']:.5f}", contexts, f"{row['follower_gap']:.1e}", gradient)
        history.add_row(str(row["iteration"]), str(row["commitments"]), *cells)
    console.print(history)
    evaluation = se.evaluate(played, solution.x, follower=follower)
    for context in range(len(played.contexts)):
        problem = played.problems(solution.x, context)
        paths = tuple(tuple(likeliest_path(mdp, p)) for mdp, p in zip(problem, evaluation.responses[context].policies, strict=True))
        console.print(ansi(Frame(played, solution.x, context, paths, len(paths[0]) - 1)), markup=False, highlight=False)
    cost = solution.cost
    console.print(
        f"{solution.reason}: F = {solution.leader_return:.6f}, {cost.newton_evaluations} Newton evaluations, {cost.linear_solves} linear "
        f"solves, {cost.queries} queries, {cost.outcome_steps} outcome steps, {cost.seconds:.1f} s"
    )
    if not solution.finished:
        raise typer.Exit(130)


@app.command()
def bench(
    config: Annotated[str, typer.Argument(help="A TOML file, or the name of an embedded configuration.")] = "default",
    results: Annotated[Path, typer.Option(help="Folder for results; finished runs in it are not repeated.")] = Path("results"),
    seeds: Annotated[int | None, typer.Option(help="Seeds a solver, instead of what the configuration says.", min=1)] = None,
    jobs: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    report: Annotated[Path | None, typer.Option(help="Also write the HTML report here.")] = None,
) -> None:
    """Run a configuration: games x solvers x seeds, each result written to disk the moment it is finished.

    Stop it as you like (Ctrl-C, or worse): the same command goes on where it stopped, and repeats nothing.
    """
    from . import best, store
    from . import jobs as configuration
    from .runner import Stopped, run_all

    loaded = configuration.load(config, seeds=seeds)
    path, best_file = results / f"{loaded.name}.jsonl", results / "best_known.jsonl"
    try:
        failed = run_all(loaded.jobs, path, processes=jobs or len(os.sched_getaffinity(0)), console=console)
    except (KeyboardInterrupt, Stopped):
        there = sum(job.id in store.read(path) for job in loaded.jobs)
        problems.print(f"\nStopped with {there} of {len(loaded.jobs)} runs in {path}; the same command goes on from there.")
        raise typer.Exit(130) from None
    found = store.read(path)
    finished = [found[job.id] for job in loaded.jobs if job.id in found]
    for new in best.improve(best_file, finished, known=best.read(best.COMMITTED, best_file)):
        console.print(f"New best known for {new.world.id}: {new.leader_return:.6f} ({new.found_by}); stored in {best_file}")
    _show(loaded, path, best_file, report)
    for said in failed.values():
        problems.print(f"[red]Failed:[/] {escape(said)}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def polish(
    configs: Annotated[list[str], typer.Argument(help="Configurations whose results to start from.")],
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    jobs: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
) -> None:
    """Ascend exactly from every end point, and store what beats the best commitment known of its world."""
    from . import best, store
    from . import jobs as configuration
    from .polish import polishing
    from .runner import Stopped, run_all

    ends = []
    for config in configs:
        loaded = configuration.load(config)
        found = store.read(results / f"{loaded.name}.jsonl")
        ends += [found[job.id] for job in loaded.jobs if job.id in found]
    path, best_file = results / "polished.jsonl", results / "best_known.jsonl"
    searches = polishing(ends)
    if not searches:
        raise typer.BadParameter(f"{results} has no finished runs of {', '.join(configs)} in worlds with gradients; run them first")
    try:
        failed = run_all(searches, path, processes=jobs or len(os.sched_getaffinity(0)), console=console)
    except (KeyboardInterrupt, Stopped):
        problems.print(f"\nStopped; what is finished is in {path}, and the same command goes on from there.")
        raise typer.Exit(130) from None
    done = store.read(path)
    polished = [done[job.id] for job in searches if job.id in done]
    for new in best.improve(best_file, ends + polished, known=best.read(best.COMMITTED, best_file)):
        console.print(f"New best known for {new.world.id} {new.world.arguments}: {new.leader_return:.6f} ({new.found_by}); in {best_file}")
    console.print(f"{len(polished)} end points polished")
    for said in failed.values():
        problems.print(f"[red]Failed:[/] {escape(said)}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@app.command("report")
def report_(
    config: Annotated[str, typer.Argument(help="The configuration whose results are drawn.")] = "default",
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    seeds: Annotated[int | None, typer.Option(help="As given to bench.", min=1)] = None,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    figures: Annotated[Path | None, typer.Option(help="Also write the figures into this folder, as SVG.")] = None,
) -> None:
    """Draw what is there of a configuration's results: a table, and a self-contained HTML page."""
    from . import jobs as configuration

    loaded = configuration.load(config, seeds=seeds)
    path = results / f"{loaded.name}.jsonl"
    if not path.exists():
        raise typer.BadParameter(f"{path} does not exist; run  stackelberg bench {config}  first")
    _show(loaded, path, results / "best_known.jsonl", output, figures)


@app.command()
def compare(
    config: Annotated[str, typer.Argument(help="A configuration with published values.")],
    results: Annotated[Path, typer.Option(help="Folder with the results; docs/reproductions/recorded has ours.")] = Path("results"),
    output: Annotated[Path, typer.Option(help="Folder for NAME.md and its figures.")] = Path("compared"),
    maps: Annotated[
        list[int] | None, typer.Option(help="Draw maps of this game of the configuration, counted from 0; may be repeated.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Also store a slim copy of the results in this folder, to be committed.")] = None,
) -> None:
    """Set results beside what was published: a table with intervals and verdicts, and curves.

    Example: `stackelberg compare hpgd-table --results docs/reproductions/recorded --maps 4`
    """
    from . import compare as comparison
    from . import figures, report, store
    from . import jobs as configuration

    loaded = configuration.load(config)
    path = results / f"{loaded.name}.jsonl"
    if record is not None and record.resolve() == results.resolve():
        raise typer.BadParameter("--record stores a slim copy; give it another folder than --results")
    gathered = report.gather(loaded, path, results / "best_known.jsonl")
    parts = [part for part in gathered if part.groups]
    if not parts:
        raise typer.BadParameter(f"{path} has no results of {config}; run  stackelberg bench {config}  first")
    for i in maps or []:
        if not 0 <= i < len(gathered) or not gathered[i].groups:
            raise typer.BadParameter(f"--maps {i}: games are counted from 0 to {len(gathered) - 1}, and this one needs results")
    there, wanted = sum(len(group) for part in parts for group in part.groups.values()), len(loaded.jobs)
    text = comparison.markdown(parts)
    store.replace(output / f"{loaded.name}.md", text)
    store.replace(output / f"{loaded.name}-curves.svg", figures.svg(comparison.curves(parts)))
    for i in maps or []:
        store.replace(output / f"{loaded.name}-maps-{i}.svg", figures.svg(comparison.maps(gathered[i])))
    if record is not None:
        found = store.read(path)
        lines = [json.dumps(store.slim(found[job.id]), sort_keys=True) for job in loaded.jobs if job.id in found]
        store.replace(record / f"{loaded.name}.jsonl", "".join(f"{line}\n" for line in lines))
    table = Table(title=f"{loaded.name}: {there} of {wanted} runs", title_justify="left")
    header, _, *rows = text.splitlines()
    for column in header.strip("| ").split(" | "):
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape(cell.strip().replace("**", "")) for cell in row.strip("|").split("|")))
    console.print(table)
    console.print(f"Table and figures: {output.resolve()}", soft_wrap=True)


@app.command()
def check(
    games: Annotated[list[str] | None, typer.Argument(help="Ids of games; all if none is given.")] = None,
    best: Annotated[bool, typer.Option("--best", help="Only re-score the stored best commitments.")] = False,
    results: Annotated[Path, typer.Option(help="Folder with results, for its own best commitments.")] = Path("results"),
) -> None:
    """Check that games and environments are what they claim, and that stored best commitments score what they say."""
    from . import best as records

    failed = 0
    if not best:
        failed = _check_games(games or list(se.games()))
    table = Table(title="Best known commitments, scored again", title_justify="left")
    for column in ("world", "stored", "scored now", "no commitment beats", "found by"):
        table.add_column(column, overflow="fold")
    for key, record in records.read(records.COMMITTED, results / "best_known.jsonl").items():
        if games and record.world.id not in games:
            continue
        value = record.rescore()
        agrees = abs(value - record.leader_return) < 1e-6
        failed += not agrees
        upper = se.cooperative_value(record.world.game())
        bound = "-" if upper is None else f"{upper:.4f}"
        world = f"{key} {record.world.arguments or ''}"
        table.add_row(world, f"{record.leader_return:.6f}", f"{'' if agrees else '[red]'}{value:.6f}", bound, record.found_by)
    console.print(table)
    if failed:
        problems.print(f"[red]{failed} checks failed[/]")
        raise typer.Exit(1)


def _check_games(ids: list[str]) -> int:
    from stackelberg_envs.testing import ConformanceError, check_env, check_game

    failed = 0
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=problems, transient=True
    ) as bar:
        task = bar.add_task("checking", total=3 * len(ids))
        for id in ids:
            bar.update(task, description=f"checking {id}")
            for check in (
                lambda id: check_game(se.game(id)),
                lambda id: check_env(se.make(id)),
                lambda id: check_env(se.make_parallel(id)),
            ):
                try:
                    console.print(str(check(id)), highlight=False)
                except ConformanceError as error:
                    failed += 1
                    console.print(f"[red]{error}[/]", highlight=False)
                bar.advance(task)
    return failed


def _show(config: Any, path: Path, best_file: Path, output: Path | None, figures: Path | None = None) -> None:
    from . import report

    parts = report.gather(config, path, best_file)
    for part in parts:
        console.print(report.table(part))
    if output is not None:
        report.write(config, parts, output, command=["stackelberg", *sys.argv[1:]], figure_folder=figures)
        console.print(f"Report: {output.resolve()}", soft_wrap=True)


def _assignments(pairs: list[str] | None) -> dict[str, Any]:
    """``["lr=0.1", "preset=hpgd"]`` to a dictionary; values are TOML, or text if they are not."""
    assigned = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not of the form name=value")
        try:
            assigned[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            assigned[key] = None if value.lower() == "none" else value
    return assigned


@app.command("instances")
def instances_(
    check: Annotated[bool, typer.Option("--check", help="Measure the committed lists again, and write nothing.")] = False,
    output: Annotated[Path, typer.Option(help="The file to write; baselines/instances.json is committed.")] = Path("instances.json"),
) -> None:
    """Make the lists of conflict games to tune on, to report and to hold out, without those that a naive leader solves."""
    from . import instances

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    wrong: list[str] = []
    with Progress(*columns, console=problems, transient=True) as bar:
        if check:
            lists = instances.read(instances.COMMITTED)
            wrong += instances.misfits(lists)
            everything = [candidate for found in lists.values() for candidate in found]
            for candidate in bar.track(everything, description="measuring again"):
                wrong += instances.complaints(candidate)
        else:
            tasks = {name: bar.add_task(name, total=wanted) for name, (_, wanted) in instances.LISTS.items()}
            lists = instances.collect(lambda name, seed, full: bar.update(tasks[name], completed=full, description=f"{name}, seed {seed}"))
            instances.write(output, lists)
    for name, found in lists.items():
        listed = [candidate.seed for candidate in found if candidate.listed]
        console.print(f"{name}: {', '.join(map(str, listed))} (of {len(found)} measured)")
    for said in wrong:
        problems.print(f"[red]{escape(said)}[/]", highlight=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


def main() -> None:
    """Entry point; mistakes of the user are one line, not a traceback."""
    from importlib.util import find_spec

    found = find_spec("baselines")
    here = Path(__file__).resolve()
    if found is not None and found.origin and Path(found.origin).resolve() != here.with_name("__init__.py"):
        problems.print(
            f"[red]Another package named 'baselines' ({found.origin}) shadows the one of stackelberg-envs ({here.parent}).[/] "
            "Run from another folder, or uninstall it."
        )
        raise SystemExit(2)
    import solvers
    from stackelberg_envs.planning import PlanningError

    from .jobs import ConfigError
    from .store import ResultsError

    try:
        app()
    except (
        ConfigError,
        ResultsError,
        solvers.Declined,
        se.AccessError,
        PlanningError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
        RuntimeError,
        ArithmeticError,
    ) as error:
        if os.environ.get("STACKELBERG_TRACEBACK"):
            raise
        said = error.args[0] if error.args and not isinstance(error, OSError) else error
        problems.print(f"[red]Error:[/] {escape(str(said))}", highlight=False, soft_wrap=True)
        problems.print("(set STACKELBERG_TRACEBACK=1 to see where)", style="dim")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
