"""The command line of the claims: `labkit claims run|report`."""

from __future__ import annotations

import click

from labkit.machine import commands

BUDGET = click.Choice(["reduced", "report"])


@click.group(cls=commands.OneSentence, context_settings={"help_option_names": ["-h", "--help"]})
def claims() -> None:
    """Test the claims of the original report."""


@claims.command()
@click.argument("ids", nargs=-1)
@click.option("--budget", type=BUDGET, help="Default: report on a GPU, else reduced.")
@click.option("--seeds", type=click.IntRange(1, 10), help="Only the first so many.")
@click.option("--workers", default=1, type=click.IntRange(1), help="Processes on this machine.")
def run(ids: tuple[str, ...], budget: str | None, seeds: int | None, workers: int) -> None:
    """Train what the claims IDS (default: all) still need.

    IDS may also name arms. What is needed are the cells that have no record yet; they are trained
    in LABKIT_RUNS, or else in runs/ of the checkout. The same command, run again or at the same
    time, shares the work; what was stopped goes on.
    """
    with commands.clean_end("the same command goes on from the last epoch that was finished"):
        from labkit.claims import cells, plan

        alone = not commands.is_worker()
        budget = budget or cells.default_budget()
        if alone:
            asked = cells.missing(ids, budget, seeds)
            click.echo(f"budget {budget}: {len(asked)} cells to run, seed by seed:")
            for line in cells.ahead(asked, budget, workers):
                click.echo(line)
        if workers > 1:
            commands.run_workers(workers)
        cells.run(ids, budget, seeds)
        if alone:
            click.echo(f"done: every cell has its record in {plan.RECORDS / budget}")


@claims.command()
@click.option("--write", is_flag=True, help="Renew the tables, both figures and ledger.json.")
def report(write: bool) -> None:
    """Print each claim's verdict and what it rests on.

    A line has id, verdict, difference with its interval, margin, seeds, budget and device. What the
    words mean, and what is measured, stands in data/study/README.md.
    """
    from labkit.claims import ledger, plan, report

    if write:
        report.write()
    entries = ledger.ledger()
    if not any(entry["seeds"] for entry in entries):
        click.echo(f"No claim has five seeds in {plan.RECORDS}: `labkit claims run` makes them.")
        return
    for entry in entries:
        click.echo(report.line(entry))
    if plan.records("report"):
        click.echo(report.lacking(entries))
