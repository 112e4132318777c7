"""The command line of the claims: `labkit claims run|report|stale`."""

from __future__ import annotations

import sys

import click

from labkit.machine import paths, processes
from labkit.machine.signals import clean_end


@click.group()
def claims() -> None:
    """Test the claims of the original report: run the study, and see the verdicts."""


BUDGET = click.option(
    "--budget",
    type=click.Choice(["reduced", "report"]),
    help="Default: report on a GPU, else reduced.",
)


@claims.command()
@click.argument("ids", nargs=-1)
@BUDGET
@click.option(
    "--workers",
    default=1,
    type=click.IntRange(1),
    help="Processes on this machine, which share its processors.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="A database or journal file, for workers that do not share this folder.",
)
def run(ids: tuple[str, ...], budget: str | None, workers: int, storage: str | None) -> None:
    """Run the cells that the claims IDS (default: all) need and that have no record yet; what was stopped goes on."""
    with clean_end("the same command goes on from the last epoch that was finished"):
        from labkit.claims import cells, ledger

        budget = budget or cells.default_budget()
        try:
            cells = cells.missing(ids, budget)
            arms = ", ".join(dict.fromkeys(arm for arm, _ in cells)) or "none"
            click.echo(
                f"budget {budget}: {len(cells)} cells to run, each an arm trained with one seed. Arms: {arms}"
            )
            if workers > 1:
                processes.run_workers([*sys.argv[1:], "--workers", "1"], workers)
            left = cells.run(ids, budget, storage)
        except (ValueError, RuntimeError, OSError) as error:
            sys.exit(str(error))
        there = f"every cell has its record in {ledger.RECORDS}"
        click.echo(f"done: {f'{left} cells are with other processes' if left else there}")


@claims.command()
@click.option(
    "--write",
    is_flag=True,
    help="Put the table into README, all numbers and the dots into data/study.",
)
def report(write: bool) -> None:
    """Print a line a claim: id, verdict, difference with its interval, seeds, budget, device."""
    from labkit import figures
    from labkit.claims import ledger, report

    try:
        if write:
            report.write(paths.ROOT / "README.md")
            figures.claim_dots(ledger.ledger()).savefig(ledger.RECORDS / "claims.png", dpi=150)
        for entry in ledger.ledger():
            click.echo(report.line(entry))
    except ValueError as error:
        sys.exit(str(error))


@claims.command()
@BUDGET
def stale(budget: str | None) -> None:
    """List the records whose arm would now give other results."""
    from labkit.claims import cells

    try:
        found = cells.stale(budget or cells.default_budget())
    except ValueError as error:
        sys.exit(str(error))
    click.echo(
        "\n".join(found) or "none: every arm's golden run gives the loss that its records name"
    )
    sys.exit(bool(found))
