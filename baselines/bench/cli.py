"""The command line: ``stackelberg list | solve | bench | report | results | ...``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: two threads on shared cores are slower than one

from stackelberg_envs.extras import missing_extra

try:
    import typer
    from rich.markup import escape
except ImportError as error:
    raise SystemExit(str(missing_extra("The command line", error))) from None

from . import best_commands, check_commands, commands, leaderboard, merge, places, printing, results_commands
from . import new as templates
from .commands import BudgetScale, Executor, FirstSeed, Games, Methods, Processes, Results
from .deferred import defer
from .printing import console, problems
from .quantities import be, share

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
    asked = commands.assignments(who) or ({} if temperature is None else {"kind": "Soft", "temperature": temperature})
    world = world_of({"id": game, "arguments": commands.assignments(game_set), "follower": asked or None}, "solve")
    played = world.game()
    follower = world.answerer() or played.default_follower
    hyperparameters = commands.assignments(set_)
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
    elif played.layout is None:
        console.print("(--figure FILE.svg draws what the leader learned)", style="dim", soft_wrap=True)
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
    executor: Executor = "processes",
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
    loaded = commands.load(config, seeds, first_seed, games, methods, budget_scale)
    places.check_folder("--results", results)
    if report is not None:
        places.check_file("--report", report)
    if shard is not None:
        if report is not None:
            raise typer.BadParameter("a part has no report; merge the parts, and then  stackelberg report")
        wanted, folder = commands.part_of(loaded, shard, costs or [], results)
        finished, failed = commands.run(wanted, folder / f"{loaded.name}.jsonl", jobs, again, executor, address)
        merge_them = f"stackelberg merge {results} {results}/shard-* --plan {config}"
        there = f"{share(len(finished), len(wanted), 'run')} {be(len(finished))} in {folder}"
        console.print(escape(f"{there};  {merge_them}  puts parts together"), soft_wrap=True)
        commands.end(failed)
        return
    if costs:
        raise typer.BadParameter("--costs says how to share runs between the parts of --shard")
    wanted = loaded.jobs
    path, best_file = results / f"{loaded.name}.jsonl", results / "best_known.jsonl"
    finished, failed = commands.run(wanted, path, jobs, again, executor, address)
    commands.record_best(finished, best_file)
    commands.show(loaded, path, best_file, report)
    commands.end(failed)


app.command("report")(results_commands.report)
app.command("results")(results_commands.results_table)
for name, command in {
    "polish": results_commands.polish,
    "best": best_commands.best,
    "verify": results_commands.verify,
    "compare": results_commands.compare,
    "merge": merge.command,
    "leaderboard": leaderboard.command,
    "instances": check_commands.instances,
}.items():
    app.command(name, rich_help_panel=MORE)(command)
app.command("check", rich_help_panel=OWN)(check_commands.check)


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
