"""The command line: data, runs and their results; claims and sweeps bring their own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labkit import __version__
from labkit.claims.command import claims
from labkit.data import download, official
from labkit.machine import paths
from labkit.machine.parameters import read_value
from labkit.machine.signals import clean_end
from labkit.sweeps.command import sweep

DATA_SETS = list(official.SAMPLE_PACKAGES)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Data and results of the two lab notebooks.

    LABKIT_DATA and LABKIT_RUNS name other folders for them than data/ and runs/.
    """
    try:
        paths.data_root(), paths.runs_root()
    except ValueError as error:
        sys.exit(f"{error}")


main.add_command(claims)
main.add_command(sweep)


@main.group()
def data() -> None:
    """Find, fetch and verify the official data."""


@data.command()
def where() -> None:
    """Print where the data lie or would lie, and which are used."""
    click.echo(f"data folder: {paths.data_root()}   (set LABKIT_DATA for another)")
    for name in DATA_SETS:
        there = official.is_there(name)
        absent = "not there, so the sample is used; `labkit data get` fetches it"
        click.echo(f"{name}: {'official files found' if there else absent}")
        for path in official.official_files(name).values():
            click.echo(f"  {'found ' if path.exists() else 'absent'} {path}")


@data.command()
@click.argument("which", nargs=-1, type=click.Choice(DATA_SETS))
def get(which: tuple[str, ...]) -> None:
    """Download what is missing (11 MB of digits, 85 MB of reviews) and verify it."""
    _verify(which, download.get, download.check)


@data.command()
@click.argument("which", nargs=-1, type=click.Choice(DATA_SETS))
def check(which: tuple[str, ...]) -> None:
    """Read every official file and verify it."""
    _verify(which, download.check)


def _verify(which: tuple[str, ...], *actions) -> None:
    """Do all to each data set, whatever befell the one before."""
    failed = False
    for name in which or DATA_SETS:
        try:
            for action in actions:
                differs = action(name)
            there = f"all files are there{'' if differs else ' and right'}, in {paths.data_root()}"
            click.echo(f"{name}: {there}" + (f"; {differs}" if differs else ""))
        except official.DataError as error:
            click.echo(f"{name}: {error}", err=True)
            failed = True
    sys.exit(failed)


@main.command()
@click.argument("where", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def show(where: tuple[Path, ...]) -> None:
    """Print the results of runs: executed notebooks, run folders or result files."""
    from labkit.runs import compare, notebook, summary

    for path in where:
        try:
            found = path / "result.json" if path.is_dir() else path
            executed = not path.is_dir() and '"nbformat"' in path.read_text(errors="replace")
            if executed:
                folder = notebook.run_folder(path)
                if not folder:
                    raise ValueError(
                        f"{path} has no run folder: it was not executed, or an error came before."
                    )
                found = folder / "result.json"
            result = compare.read_result(found)
        except ValueError as error:
            sys.exit(f"{error}")
        click.echo("\n" + summary.summary(result, result["parameters"]["lang"]) + "\n")
        if executed:
            click.echo(f"executed notebook: {path.resolve()}")
        for file in sorted(found.parent.glob("*.png")) + sorted(found.parent.glob("report.txt")):
            click.echo(f"{'figure' if file.suffix == '.png' else 'report'}: {file.resolve()}")


@main.command()
@click.argument("notebook", type=FILE)
@click.argument("output", required=False, type=click.Path(path_type=Path))
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="As papermill's.")
def run(notebook: Path, output: Path | None, pairs: tuple[tuple[str, str], ...]) -> None:
    """Execute NOTEBOOK with papermill into OUTPUT, which is never left torn.

    Without OUTPUT it goes into the run's own folder. Given again after it was stopped or killed,
    the same command goes on from the last epoch.
    """
    with clean_end("the same command goes on from the last epoch that was finished"):
        from labkit.runs import notebook as notebooks

        try:
            parameters = {name: read_value(value) for name, value in pairs}
            bar = sys.stderr.isatty()
            code, where = notebooks.run(notebook, output, parameters, progress_bar=bar)
        except OSError as error:
            place = output or paths.runs_root()
            sys.exit(
                f"{place} could not be written ({error.strerror}): make room, or choose another "
                "OUTPUT or LABKIT_RUNS."
            )
        except ValueError as error:
            sys.exit(str(error).splitlines()[0])
    if code:
        sys.exit(f"failed; the error stands in {where.resolve()}" if code == 1 else code)
    for line in notebooks.printed(where).splitlines():
        said = ("This run is finished", ": going on after epoch", " is in use by ", "trained anew")
        if any(words in line for words in said):
            click.echo(line)
    if notebooks.run_folder(where):
        click.get_current_context().invoke(show, where=(where,))
    else:  # a notebook that is none of the course's
        click.echo(f"executed notebook: {where.resolve()}")


@main.command()
@click.argument("folder", metavar="RUN_DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--notebook", type=FILE, help="Default: the checkout's.")
def rerun(folder: Path, notebook: Path | None) -> None:
    """Repeat the run in RUN_DIR and list every value that is not bit-identical."""
    with clean_end("nothing was compared"):
        from labkit.runs import compare

        try:
            verdicts, reasons = compare.rerun(folder, notebook)
        except (ValueError, RuntimeError) as error:
            sys.exit(str(error))
    for field, verdict in verdicts:
        if verdict != "same bits" or field.endswith("sha256"):
            click.echo(f"{verdict:12} {field}")
    same = sum(verdict == "same bits" for _, verdict in verdicts)
    click.echo(f"{same} of {len(verdicts)} fields agree bit for bit")
    for reason in reasons if same < len(verdicts) else ():
        click.echo(f"was different beforehand: {reason}")
    sys.exit(not compare.agrees(verdicts, reasons))


if __name__ == "__main__":
    main()
