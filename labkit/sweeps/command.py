"""The command line of sweeps: `labkit sweep NOTEBOOK`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labkit.machine import commands
from labkit.machine.notebook_parameters import read_value


@click.command()
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--grid", multiple=True, metavar="NAME=A,B", help="Try all values, in combination.")
@click.option("--search", multiple=True, metavar="NAME=LOW..HIGH", help="Search within a range.")
@click.option("--trials", default=0, type=click.IntRange(0), help="How many a --search has.")
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="For all trials.")
@click.option("--model", default="LSTM", show_default=True, help="Which model is tuned.")
@click.option("--storage", metavar="URL", help="A database or journal file; the same URL joins.")
@click.option("--workers", default=1, type=click.IntRange(1), help="Processes on this machine.")
def sweep(notebook, grid, search, trials, pairs, model, storage, workers) -> None:
    """Tune parameters of NOTEBOOK by validation accuracy.

    A trial is one run, in LABKIT_RUNS, or else runs/ in the checkout. The same command, on any
    machine that sees the storage, joins; given again, it goes on or shows the results. For example:

    \b
    labkit sweep notebooks/02_imdb.ipynb --grid hidden_dim=64,128
    """
    with commands.clean_end("the same command goes on"):
        from labkit.sweeps import report, space
        from labkit.sweeps.trial import run

        spaces = space.read_values(grid, ","), space.read_values(search, "..")
        fixed = {name: read_value(value) for name, value in pairs}
        asked = space.Sweep(notebook.resolve(), *spaces, trials, fixed, model)
        asked.check()
        if not commands.is_worker():
            click.echo(f"{len(asked.points())} trials, each a run in {asked.folder}")
        if workers > 1:
            commands.run_workers(workers)
        study = run(asked, storage)
        if commands.is_worker():  # whoever started the workers shows the results
            return
        found = report.table(study)
        click.echo(found.drop(columns=["run_dir"]).to_string(index=False))
        for path in report.write(study, asked):
            click.echo(f"written: {path}")
        if failed := (found["state"] == "fail").sum():
            sys.exit(f"{failed} of {len(found)} trials failed: the table says why")
