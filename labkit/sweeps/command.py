"""The command line of sweeps: `labkit sweep NOTEBOOK`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from labkit.machine import processes
from labkit.machine.signals import clean_end


@click.command()
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--grid",
    multiple=True,
    metavar="NAME=A,B",
    help="Try every value, with every value of the other --grid.",
)
@click.option("--search", multiple=True, metavar="NAME=LOW..HIGH", help="Search within a range.")
@click.option("--trials", default=0, type=click.IntRange(0), help="How many trials a --search has.")
@click.option(
    "-p",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set another parameter, the same in all trials.",
)
@click.option(
    "--model",
    default="LSTM",
    show_default=True,
    help="The model whose validation accuracy is maximised.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="A database or a journal file; the same URL joins. Default: a journal of its own.",
)
@click.option(
    "--workers",
    default=1,
    type=click.IntRange(1),
    help="Processes here, sharing processors; each has a GPU, if any.",
)
def sweep(notebook, grid, search, trials, pairs, model, storage, workers) -> None:
    """Tune the parameters of NOTEBOOK by validation accuracy: a trial is one run, and any number of workers share them.

    The same command, on any machine that sees the storage, joins; given again, it goes on or shows the results.
    """
    with clean_end("the same command goes on"):
        try:
            from labkit.machine import processes
            from labkit.sweeps import report, space
            from labkit.sweeps import trial as sweeps
        except ImportError as error:
            sys.exit(f"{error.name} is not installed: pip install -e '.[sweep]'")
        try:
            spaces = space.read_values(grid, ","), space.read_values(search, "..")
            fixed = {name: space.read_value(value) for name, value in pairs}
            asked = space.Sweep(notebook.resolve(), *spaces, trials, fixed, model)
            asked.check()
            if "LABKIT_WORKER" not in os.environ:
                click.echo(f"{len(asked.points())} trials, each a run in {asked.folder}")
            if workers > 1:
                processes.run_workers([*sys.argv[1:], "--workers", "1"], workers)
            study = sweeps.run(asked, storage)
        except (ValueError, RuntimeError, OSError) as error:
            sys.exit(f"{error}")
        if "LABKIT_WORKER" in os.environ:  # whoever started the workers shows the results
            return
        found = report.table(study)
        click.echo(found.drop(columns=["run_dir"]).to_string(index=False))
        for path in report.write(study, asked):
            click.echo(f"written: {path}")
        if failed := (found["state"] == "fail").sum():
            sys.exit(f"{failed} of {len(found)} trials failed: the table says why")
