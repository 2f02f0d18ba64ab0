"""The command line: ``stackelberg list | solve | bench | report | results | ...``."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: two threads on shared cores are slower than one

import stackelberg_envs as se
from stackelberg_envs.extras import missing_extra

try:
    import typer
    from rich.markup import escape
except ImportError as error:
    raise SystemExit(str(missing_extra("The command line", error))) from None

from . import leaderboard, merge, places, printing
from . import new as templates
from .deferred import defer
from .export import Format
from .printing import console, problems

if TYPE_CHECKING:
    from .configuration import Config
    from .jobs import Job

Results = Annotated[Path, typer.Option(help="Folder for results; finished runs in it are not repeated.")]
FirstSeed = Annotated[int | None, typer.Option(help="The first seed, instead of the configuration's.", min=0)]
Games = Annotated[list[str] | None, typer.Option("--games", metavar="PATTERN", help="Only games of this id or title; may be repeated.")]
Methods = Annotated[list[str] | None, typer.Option("--solvers", metavar="PATTERN", help="Only solvers of this label or name.")]
BudgetScale = Annotated[float, typer.Option(help="A number that all budgets are multiplied by, for a quick look.", min=0.0)]
Processes = Annotated[int, typer.Option(help="Runs at once; 0 for one a core.", min=0)]
Executor = Annotated[str, typer.Option(help="Where to run: processes, ray, or an executor of yours, my_cluster.py:MyCluster.")]

MORE, OWN = "More about results", "Your own code"
"""Panels of ``stackelberg --help`` below the first commands."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Stackelberg Markov games: leaders who commit, followers who best-respond, and scores by a referee.

A first look:  `stackelberg list`,  then  `stackelberg solve four_rooms-v0 implicit --budget 500`.

The benchmark:  `stackelberg bench`  runs the embedded configuration (games x solvers x seeds) and  `stackelberg report`  draws it.
Everything that is finished is on disk at once: stop a benchmark at any time, and the same command goes on from there.""",
)
app.add_typer(templates.app, name="new", rich_help_panel=OWN)
app.command("merge", rich_help_panel=MORE)(merge.command)
app.command("leaderboard", rich_help_panel=MORE)(leaderboard.command)


@app.command("list")
def list_(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Games or solvers to be told more of.")] = None,
) -> None:
    """Show the games and the solvers, a line each, or more of those that are named."""
    defer("torch")  # which no solver needs to say what it is
    if not names:
        console.print(printing.games())
        console.print()
        console.print(printing.methods())
        console.print("\nMore of one: stackelberg list NAME", highlight=False)
    for name in names or ():
        import solvers

        from . import details

        console.print(details.solver_details(name) if name in solvers.names() else details.game_details(name), highlight=False)


@app.command()
def solve(
    game: Annotated[str, typer.Argument(help="Id of a game, e.g. four_rooms-v0, or its place, e.g. my_game.py:MyGame.")],
    solver: Annotated[str, typer.Argument(help="Name of a solver, e.g. implicit, or its place, e.g. my_solver.py:MySolver.")],
    budget: Annotated[int, typer.Option(help="How many commitments the leader may try.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the start and of all noise.", min=0)] = 0,
    temperature: Annotated[float | None, typer.Option(help="Soft follower with this temperature, instead of the game's default.")] = None,
    who: Annotated[
        list[str] | None,
        typer.Option("--follower", help="Another follower, e.g. --follower kind=Hard --follower ties=strong; a kind may be a place"),
    ] = None,
    start_scale: Annotated[float, typer.Option(help="Standard deviation of the random first commitment.")] = 0.01,
    access: Annotated[str | None, typer.Option(help="Grant this level of access instead of the solver's own, e.g. INCENTIVE.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter of the solver, e.g. --set lr=0.1")] = None,
    game_set: Annotated[list[str] | None, typer.Option("--game", help="An argument of the game, e.g. --game preset=hpgd")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw what the leader learned into this file: .svg, .png or .pdf.")] = None,
) -> None:
    """Run one solver on one game, and say what the leader learned, as text or, with --figure, as a picture.

    Example: `stackelberg solve four_rooms-v0 implicit --game preset=hpgd --budget 1000 --set lr=0.5 --figure learned.svg`
    """
    if figure is not None:
        places.check_picture("--figure", figure)
    with problems.status("Importing the solvers"):
        defer("torch")  # which planners never use
        import solvers

        from .configuration import access_level, world_of
        from .descent import descent_note

    if who and temperature is not None:
        raise typer.BadParameter("--temperature is short for --follower kind=Soft --follower temperature=...; give one of them")
    asked = _assignments(who) or ({} if temperature is None else {"kind": "Soft", "temperature": temperature})
    world = world_of({"id": game, "arguments": _assignments(game_set), "follower": asked or None}, "solve")
    played = world.game()
    follower = world.answerer() or played.default_follower
    hyperparameters = _assignments(set_)
    if "torch" in vars(sys.modules[solvers.solver_class(solver).__module__]):
        import torch.version  # noqa: F401  (loads it now: the run's seconds are those of the solver)

    def describe(used: int, row: dict[str, Any]) -> str:
        return f"{escape(solver)}: F = {row['leader_return']:.4f}" + ("" if used else ", first step: imports, compilation")

    with printing.bar() as bar:
        task = bar.add_task(f"{escape(solver)}: imports, compilation, first step", total=budget)
        solution = solvers.solve(
            played,
            solver,
            follower=follower,
            access=None if access is None else access_level(access),
            budget=budget,
            seed=seed,
            start_scale=start_scale,
            progress=lambda used, row: bar.update(task, completed=used, description=describe(used, row)),
            **hyperparameters,
        )
    console.print(printing.history(solution.history))
    printing.draw(played, solution.x, follower)
    if figure is not None:
        from . import figures

        figures.save(figures.learned_figure(played, {f"{solver} on {played.name}": solution.x}, follower), figure)
        console.print(f"Figure: {escape(str(figure.resolve()))}", soft_wrap=True)
    cost = solution.cost
    console.print(
        f"{solution.reason}: F = {solution.leader_return:.6f}, {cost.newton_evaluations} Newton evaluations, {cost.linear_solves} linear "
        f"solves, {cost.queries} queries, {cost.outcome_steps} outcome steps, {cost.seconds:.1f} s"
    )
    fell = descent_note(solution.history, {**solvers.registry.hyperparameters(solver), **hyperparameters})
    if fell is not None:
        console.print(f"[yellow]{escape(fell)}[/]", highlight=False, soft_wrap=True)
    if not solution.finished:
        raise typer.Exit(130)


@app.command()
def bench(
    config: Annotated[str, typer.Argument(help="A TOML file, or the name of an embedded configuration.")] = "default",
    results: Results = Path("results"),
    seeds: Annotated[int | None, typer.Option(help="Number of seeds of each solver, instead of the configuration's.", min=1)] = None,
    first_seed: FirstSeed = None,
    games: Games = None,
    methods: Methods = None,
    budget_scale: BudgetScale = 1.0,
    jobs: Processes = 0,
    report: Annotated[Path | None, typer.Option(help="Write the HTML report here. Without this option no page is written.")] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Run the solvers of this label, or pattern, anew; old results stay in the file."),
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Where to run: processes, ray, or an executor of yours, my_cluster.py:MyCluster.")
    ] = "processes",
    address: Annotated[str, typer.Option(help="Of a Ray cluster, as ray.init takes it; none for a Ray of this machine's own.")] = "",
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Run part I of N only, from 0, for job arrays; results go to RESULTS/shard-I-of-N."),
    ] = None,
    costs: Annotated[
        list[Path] | None, typer.Option(help="With --shard, a results file whose times say what runs cost; the same file for all parts.")
    ] = None,
) -> None:
    """Run a configuration: games x solvers x seeds, each result written to disk the moment it is finished.

    Stop it as you like (Ctrl-C, or worse): the same command goes on where it stopped, and repeats nothing.

    Example: `stackelberg bench mine.toml --shard 0/4`  on the first of four machines; then  `stackelberg merge results results/shard-*`.
    """
    loaded = _load(config, seeds, first_seed, games, methods, budget_scale)
    places.check_folder("--results", results)
    if report is not None:
        places.check_file("--report", report)
    if shard is not None:
        if report is not None:
            raise typer.BadParameter("a part has no report; merge the parts, and then  stackelberg report")
        wanted, folder = _part(loaded, shard, costs or [], results)
        finished, failed = _run(wanted, folder / f"{loaded.name}.jsonl", jobs, again, executor, address)
        merge_them = f"stackelberg merge {results} {results}/shard-* --plan {config}"
        console.print(escape(f"{len(finished)} of {len(wanted)} runs are in {folder};  {merge_them}  puts parts together"), soft_wrap=True)
        _end(failed)
        return
    if costs:
        raise typer.BadParameter("--costs says how to share runs between the parts of --shard")
    wanted = loaded.jobs
    path, best_file = results / f"{loaded.name}.jsonl", results / "best_known.jsonl"
    finished, failed = _run(wanted, path, jobs, again, executor, address)
    _record(finished, best_file)
    _show(loaded, path, best_file, report)
    _end(failed)


@app.command(rich_help_panel=MORE)
def polish(
    configs: Annotated[list[str], typer.Argument(help="Configurations whose results to start from.")],
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    jobs: Processes = 0,
) -> None:
    """Ascend exactly from every end point, and store what beats the best commitment known of its world."""
    from .polish import polishing

    places.check_folder("--results", results)
    ends = []
    for config in configs:
        loaded = _load(config)
        ends += _results(loaded.jobs, results / f"{loaded.name}.jsonl")
    searches = polishing(ends)
    if not searches:
        raise typer.BadParameter(f"{results} has no finished runs of {', '.join(configs)} in worlds with gradients; run them first")
    polished, failed = _run(searches, results / "polished.jsonl", jobs)
    _record(ends + polished, results / "best_known.jsonl")
    console.print(f"{len(polished)} end points polished")
    _end(failed)


@app.command("best", rich_help_panel=MORE)
def best_(
    config: Annotated[str, typer.Argument(help="The configuration whose results to look at.")],
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    record: Annotated[Path | None, typer.Option(help="Also store these commitments in this file, where they beat what it has.")] = None,
) -> None:
    """Show the best commitment known of each game of a configuration, and store those of these runs as a record of your own.

    Example: `stackelberg best my.toml --record my_best.jsonl`, and then  `record = "my_best.jsonl"`  at the top of my.toml: gaps are to it.
    """
    from . import best
    from .checks import best_of

    loaded = _load(config)
    if record is not None:
        places.check_file("--record", record)
    finished = _finished_runs(loaded, config, results)
    _record(finished, results / "best_known.jsonl")
    own = best_of(loaded, results / "best_known.jsonl")
    if record is not None:
        stored = best.keep(record, own)
        console.print(escape(f"{len(stored)} commitment{'s'[: len(stored) != 1]} stored in {record}"), soft_wrap=True)
        if loaded.record is None:
            place = os.path.relpath(record, Path(config).resolve().parent) if Path(config).is_file() else record.resolve()
            console.print(escape(f'Write  record = "{place}"  at the top of the configuration, and gaps are to it.'), soft_wrap=True)


@app.command(rich_help_panel=MORE)
def verify(
    config: Annotated[str, typer.Argument(help="The configuration whose results to score again, or the folder of a leaderboard's entry.")],
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
) -> None:
    """Have the referee score the last commitment of each finished run again, and name the lines that say something else.

    The exit status is 1 if there are any, or lines that are not shown as results.
    """
    from . import entries, results_file
    from .checks import score_again

    if Path(config).is_dir():
        raise typer.Exit(bool(entries.print_check(Path(config)).complaints))
    loaded = _load(config)
    path = results / f"{loaded.name}.jsonl"
    if not results_file.read_lines(path):
        raise typer.BadParameter(f"{path} has no results of {loaded.name}; run  stackelberg bench {config}  first")
    if score_again(loaded.jobs, path):
        raise typer.Exit(1)


@app.command("report")
def report_(
    config: Annotated[str, typer.Argument(help="The configuration whose results are drawn.")] = "default",
    results: Annotated[Path, typer.Option(help="Folder with the results.")] = Path("results"),
    seeds: Annotated[int | None, typer.Option(help="As given to bench.", min=1)] = None,
    first_seed: FirstSeed = None,
    games: Games = None,
    methods: Methods = None,
    budget_scale: BudgetScale = 1.0,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    figures: Annotated[Path | None, typer.Option(help="Also write the figures into this folder, as SVG.")] = None,
) -> None:
    """Draw what is there of a configuration's results: a table, and a self-contained HTML page."""
    loaded = _load(config, seeds, first_seed, games, methods, budget_scale)
    path = results / f"{loaded.name}.jsonl"
    places.check_file("--output", output)
    if figures is not None:
        places.check_folder("--figures", figures)
    _finished_runs(loaded, config, results)
    _show(loaded, path, results / "best_known.jsonl", output, figures)


@app.command(rich_help_panel=MORE)
def compare(
    config: Annotated[str, typer.Argument(help="A configuration with published values.")],
    results: Annotated[Path, typer.Option(help="Folder with the results; docs/reproductions/recorded has ours.")] = Path("results"),
    seeds: Annotated[int | None, typer.Option(help="As given to bench.", min=1)] = None,
    first_seed: FirstSeed = None,
    games: Games = None,
    methods: Methods = None,
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
    from . import report, results_file

    loaded = _load(config, seeds, first_seed, games, methods)
    path = results / f"{loaded.name}.jsonl"
    if record is not None and record.resolve() == results.resolve():
        raise typer.BadParameter("--record stores a slim copy; give it another folder than --results")
    gathered = report.collect_parts(loaded, path, results / "best_known.jsonl")
    there = sum(len(group) for part in gathered for group in part.groups.values())
    if not there:
        raise typer.BadParameter(f"{path} has no results of {config}; run  stackelberg bench {config}  first")
    for i in maps or []:
        if not 0 <= i < len(gathered) or not gathered[i].groups:
            raise typer.BadParameter(f"--maps {i}: games are counted from 0 to {len(gathered) - 1}, and this one needs results")
    comparison.write(loaded.name, gathered, output, mapped=maps or [])
    if record is not None:
        results_file.record(record / path.name, _results(loaded.jobs, path))
    console.print(comparison.table(gathered, f"{loaded.name}: {there} of {len(loaded.jobs)} runs", console.width))
    console.print(f"Table and figures: {escape(str(output.resolve()))}", soft_wrap=True)


@app.command("results")
def results_(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="A configuration, a file or a folder; all of --results if none is given."),
    ] = None,
    to: Annotated[Format | None, typer.Option(help="The kind of file; if not given, what --output ends in, or CSV.")] = None,
    output: Annotated[Path | None, typer.Option(help="The file; results.csv, or history.csv with --history, if not given.")] = None,
    history: Annotated[bool, typer.Option("--history", help="A row a report of a run, instead of a row a run.")] = False,
    every: Annotated[bool, typer.Option("--every", help="Also runs of code that has changed since.")] = False,
    results: Annotated[Path, typer.Option(help="Folder with the results; docs/reproductions/recorded has ours.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write finished runs as one table, a row a run, for pandas, R or a spreadsheet.

    Example: `stackelberg results default heldout --to csv --output runs.csv`, and then in Python `pandas.read_csv("runs.csv")`.

    What the columns are is in docs/reference/results.md.  `baselines.read_results` gives the same table without a file.
    """
    from . import export
    from .results_table import files, read_results

    kind = to or (Format.PARQUET if output and output.suffix == ".parquet" else Format.CSV)
    target = output or Path(f"{'history' if history else 'results'}.{kind}")
    read = files([export.find_results_file(name, results) for name in names or []] or [results])
    if target.exists() and not force:
        raise typer.BadParameter(f"{target} exists; give another --output, or --force to replace it")
    if target.resolve() in [file.resolve() for file in read]:
        raise typer.BadParameter(f"{target} is read, and cannot be the output")
    table = read_results(read, history=history, every=every)
    if not len(table["id"]):
        raise typer.BadParameter(f"there are no finished runs in {', '.join(names or [str(results)])}; run  stackelberg bench  first")
    export.write(table, target, kind)
    console.print(f"Table: {escape(str(target.resolve()))} ({len(table['id'])} rows)", soft_wrap=True)


@app.command(rich_help_panel=OWN)
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="WHAT", help="Games, environments or solvers, by id, name or place; all games if none is given."),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Only re-score the stored best commitments.")] = False,
    results: Annotated[Path, typer.Option(help="Folder with results, for its own best commitments.")] = Path("results"),
    set_: Annotated[list[str] | None, typer.Option("--game", help="An argument of what is checked, e.g. --game preset=hpgd")] = None,
    leader: Annotated[str | None, typer.Option(help="The agent that leads in an environment of others; guessed by name.")] = None,
    followers: Annotated[str | None, typer.Option(help="The agents that follow, separated by commas; all others.")] = None,
    private: Annotated[str | None, typer.Option(help="Attributes of an environment that only followers know, by commas.")] = None,
    hidden: Annotated[str | None, typer.Option(help="Attributes that the leader must not know before it acts, by commas.")] = None,
    endless: Annotated[bool, typer.Option("--endless", help="No episode of a game ends by itself: lost probability is an error.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also name the checks that do not apply, and why.")] = False,
) -> None:
    """Check that games, environments and solvers are what they claim, and that stored best commitments score what they say.

    Example: `stackelberg check toy3-v0 my_game.py:MyGame my_solver.py:MySolver my_package:my_env`

    A place leads to a game, to an AECEnv, ParallelEnv or gymnasium.Env of anybody, to a solver, to a class of these, or to a function that
    returns one.  The exit status is 1 if a check failed.

    Example: `stackelberg check stackelberg_envs.deadlines:WithDeadline --game game=toy3-v0 --game steps=5`

    Example: `stackelberg check my_package:my_env --leader government --followers worker_0,worker_1`
    """
    from . import checks

    arguments = _assignments(set_)
    if arguments and (best or not what):
        raise typer.BadParameter("--game is for what is named, and not for stored best commitments")
    given = checks.Given(leader, *(None if names is None else tuple(names.split(",")) for names in (followers, private, hidden)))
    if given != checks.Given() and (best or not what):
        raise typer.BadParameter("--leader, --followers, --private and --hidden are for environments that are named")
    if endless and (best or not what):
        raise typer.BadParameter("--endless is for games that are named")
    failed, of_games = (
        (0, what or []) if best else checks.everything(what or list(se.games()), arguments, given, endless=endless, verbose=verbose)
    )
    if (of_games and not arguments) or not what:
        failed += checks.best_known(results / "best_known.jsonl", of_games if what else None)
    if failed:
        problems.print(f"[red]{failed} check{'s'[: failed != 1]} failed[/]")
        raise typer.Exit(1)


def _load(
    config: str,
    seeds: int | None = None,
    first_seed: int | None = None,
    games: list[str] | None = None,
    methods: list[str] | None = None,
    budget_scale: float = 1.0,
) -> Config:
    """A configuration; whose code it runs, if others', is said before any of it is imported."""
    from . import configuration

    def announce(line: str) -> None:
        console.print(escape(line), highlight=False, soft_wrap=True)

    loaded = configuration.load(config, seeds=seeds, first_seed=first_seed, announce=announce)
    return loaded.select(games or (), methods or (), budget_scale)


def _part(loaded: Config, shard: str, costs: list[Path], results: Path) -> tuple[list[Job], Path]:
    """The runs of one part that are not in the whole file yet, and the folder for their results."""
    from . import shards

    part = shards.parse(shard)
    for path in costs:
        if not path.exists():
            raise typer.BadParameter(f"--costs {path} does not exist")
    mine = shards.part_of(loaded, part, shards.Costs.read(*costs))
    whole = results / f"{loaded.name}.jsonl"
    there = {result["id"] for result in _results(mine, whole)}
    console.print(
        f"Part {part.index} of {part.count}, counted from 0: {len(mine)} of {len(loaded.jobs)} runs"
        + (f", {len(there)} of them already in {escape(str(whole))}" if there else ""),
        highlight=False,
        soft_wrap=True,
    )
    return [job for job in mine if job.id not in there], results / str(part)


def _run(
    wanted: list[Job], path: Path, workers: int, again: list[str] | None = None, executor: str = "processes", address: str = ""
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Run what is not in ``path`` yet; (all results there are, what failed by job id).  Ctrl-C ends the command, saying how to go on."""
    from . import executors
    from .execution import RunStopped
    from .runner import run_all

    try:
        failed = run_all(wanted, path, console=console, again=again or (), executor=executors.load(executor, workers, address))
    except (KeyboardInterrupt, RunStopped):
        there = len(_results(wanted, path))
        problems.print(f"\nStopped with {there} of {len(wanted)} runs in {escape(str(path))}; the same command goes on from there.")
        raise typer.Exit(130) from None
    return _results(wanted, path), failed


def _finished_runs(loaded: Config, config: str, results: Path) -> list[dict[str, Any]]:
    """The results of a configuration that count; none is a mistake of the user's, and what is wrong with those there are is said."""
    from . import results_file
    from .audit import audit

    path = results / f"{loaded.name}.jsonl"
    if not path.exists():
        raise typer.BadParameter(f"{path} does not exist; run  stackelberg bench {config}  first")
    checked = audit(loaded.jobs, results_file.read_lines(path))
    if not checked.results:
        why = "".join(f"\n{remark}" for remark in checked.remarks)
        raise typer.BadParameter(f"{path} has no results of {loaded.name}; run  stackelberg bench {config}  first{why}")
    return checked.results


def _results(wanted: list[Job], path: Path) -> list[dict[str, Any]]:
    """The results of these jobs that count."""
    from . import results_file
    from .audit import audit

    return audit(wanted, results_file.read_lines(path)).results


def _record(results: list[dict[str, Any]], best_file: Path) -> None:
    """Store what beats the best known, and say so."""
    from . import best

    for new in best.improve(best_file, results, known=best.read_best(best.COMMITTED, best_file)):
        world = f"{new.world.label} {new.world.arguments or ''}".rstrip()
        said = f"New best known for {world}: {new.leader_return:.6f} ({new.found_by}); stored in {best_file}"
        console.print(escape(said))


def _end(failed: dict[str, str]) -> None:
    """Name the runs that failed, if any, and end with status 1."""
    for said in failed.values():
        problems.print(f"[red]Failed:[/] {escape(said)}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _show(config: Any, path: Path, best_file: Path, output: Path | None, figures: Path | None = None) -> None:
    from . import report

    parts = report.collect_parts(config, path, best_file)
    for part in parts:
        console.print(report.table(part, console.width))
    if output is not None:
        report.write(config, parts, output, command=["stackelberg", *sys.argv[1:]], results=path.parent, figure_folder=figures)
        console.print(f"Report: {escape(str(output.resolve()))}", soft_wrap=True)


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


@app.command("instances", rich_help_panel=MORE)
def instances_(
    check: Annotated[bool, typer.Option("--check", help="Measure the committed lists again, and write nothing.")] = False,
    output: Annotated[Path, typer.Option(help="The file to write; baselines/instances.json is committed.")] = Path("instances.json"),
) -> None:
    """Make the lists of conflict games to tune on, to report and to hold out, without those that a naive leader solves."""
    from . import checks

    if checks.instances(None if check else output):
        raise typer.Exit(1)


MISTAKES = (KeyError, TypeError, ValueError, OSError, ImportError, RuntimeError, ArithmeticError)
"""Errors that are answered in a line; those of our own are subclasses."""


def main() -> None:
    """Entry point; mistakes of the user are one line, not a traceback."""
    from importlib.util import find_spec

    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # so that my_package.module:Name is found from the folder that holds it
    found = find_spec("baselines")
    here = Path(__file__).resolve().parents[1]
    if found is not None and found.origin and Path(found.origin).resolve() != here / "__init__.py":
        problems.print(
            f"[red]Another package named 'baselines' ({escape(found.origin)}) shadows the one of stackelberg-envs "
            f"({escape(str(here))}).[/] Run from another folder, or uninstall it."
        )
        raise SystemExit(2)
    try:
        app()
    except MISTAKES as error:
        if os.environ.get("STACKELBERG_TRACEBACK"):
            raise
        told = missing_extra("This command", error) if isinstance(error, ImportError) else error
        said = told.args[0] if told.args and not isinstance(told, OSError) else told
        problems.print(f"[red]Error:[/] {escape(str(said))}", highlight=False, soft_wrap=True)
        problems.print("(set STACKELBERG_TRACEBACK=1 to see where)", style="dim")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
