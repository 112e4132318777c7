"""The command line: `labkit data` for the data, `labkit run|show|rerun` for runs and their results, `labkit claims|sweep`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labkit import __version__
from labkit.claims.command import claims
from labkit.data import download, official
from labkit.machine import paths
from labkit.machine.signals import clean_end
from labkit.sweeps.command import sweep

NOTEBOOKS = {"mnist": "01_mnist", "imdb": "02_imdb"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Data and results of the two lab notebooks."""


main.add_command(claims)
main.add_command(sweep)


@main.group()
def data() -> None:
    """Find, fetch and verify the official data."""


@data.command()
def where() -> None:
    """Print where the data lie or would lie, and which are used."""
    click.echo(f"data folder: {paths.data_root()}   (set LABKIT_DATA for another)")
    for name, notebook in NOTEBOOKS.items():
        there = official.is_there(notebook)
        absent = "not there, so the sample is used; `labkit data get` fetches it"
        click.echo(f"{name}: {'official files found' if there else absent}")
        for path in official.official_files(notebook).values():
            click.echo(f"  {'found ' if path.exists() else 'absent'} {path}")


@data.command()
@click.argument("which", nargs=-1, type=click.Choice(list(NOTEBOOKS)))
def get(which: tuple[str, ...]) -> None:
    """Download what is not there yet (about 11 MB of digits, 85 MB of reviews, half of them kept) and verify it."""
    for name in which or NOTEBOOKS:
        _verified(name, download.get, download.check)


@data.command()
@click.argument("which", nargs=-1, type=click.Choice(list(NOTEBOOKS)))
def check(which: tuple[str, ...]) -> None:
    """Read every official file and verify it."""
    for name in which or NOTEBOOKS:
        _verified(name, download.check)


def _verified(name: str, *actions) -> None:
    try:
        for action in actions:
            action(NOTEBOOKS[name])
    except official.DataError as error:
        sys.exit(f"{name}: {error}")
    click.echo(f"{name}: all files are there and right, in {paths.data_root()}")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def show(paths: tuple[Path, ...]) -> None:
    """Print the results of runs: PATHS are executed notebooks, run folders or result files."""
    import json

    from labkit import tables

    for path in paths:
        folder = _run_folder(path)
        result = folder if folder.is_file() else folder / "result.json"
        if not result.exists():
            begun = (result.parent / "run.json").exists()
            why = (
                "it goes on when its command is given again"
                if begun
                else "was it made on another machine?"
            )
            sys.exit(f"{path}: no finished run here ({result} is not there; {why})")
        try:
            stored = json.loads(result.read_text(encoding="utf-8"))
        except ValueError:
            sys.exit(f"{path}: no executed notebook, run folder or result.json")
        click.echo("\n" + tables.summary(stored, stored["parameters"]["lang"]) + "\n")
        if path.suffix == ".ipynb":
            click.echo(f"executed notebook: {path.resolve()}")
        for file in sorted(result.parent.glob("*.png")) + sorted(result.parent.glob("*.txt")):
            click.echo(f"{'figure' if file.suffix == '.png' else 'report'}: {file.resolve()}")


@main.command()
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("output", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-p",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter, as papermill does.",
)
def run(notebook: Path, output: Path | None, pairs: tuple[tuple[str, str], ...]) -> None:
    """Execute NOTEBOOK with papermill into OUTPUT (default: in the run's own folder), which is never left torn.

    Given again after it was stopped or killed, the same command goes on from the last epoch.
    """
    with clean_end("the same command goes on from the last epoch that was finished"):
        from labkit.runs import notebook

        try:
            code, where = notebook.run(
                notebook, output, [part for pair in pairs for part in ("-p", *pair)]
            )
        except OSError as error:
            place = output or paths.runs_root()
            sys.exit(
                f"{place} could not be written ({error.strerror}). Make room, or choose another OUTPUT or LABKIT_RUNS."
            )
        except ValueError as error:
            sys.exit(f"{notebook} is no notebook: {str(error).splitlines()[0]}")
    if code:
        sys.exit(f"failed; the error stands in {where.resolve()}" if code == 1 else code)
    for line in notebook.printed(where).splitlines():
        if any(
            words in line
            for words in ("This run is finished", ": going on after epoch", " is in use by ")
        ):
            click.echo(line)
    if notebook.run_folder(where):
        click.get_current_context().invoke(show, paths=(where,))
    else:  # a notebook that is none of the course's
        click.echo(f"executed notebook: {where.resolve()}")


@main.command()
@click.argument(
    "folder", metavar="RUN_DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--notebook", type=click.Path(exists=True, path_type=Path), help="Default: the checkout's."
)
def rerun(folder: Path, notebook: Path | None) -> None:
    """Repeat the run in RUN_DIR and say, field by field, what agrees bit for bit, what nearly, and what does not."""
    if not (folder / "result.json").exists():
        sys.exit(f"{folder}: no finished run here (no result.json)")
    with clean_end("nothing was compared"):
        from labkit.runs import notebook

        try:
            verdicts, reasons = notebook.rerun(folder, notebook)
        except RuntimeError as error:
            sys.exit(str(error))
    for field, verdict in verdicts:
        if verdict != "same bits" or field.endswith("sha256"):
            click.echo(f"{verdict:12} {field}")
    same = sum(verdict == "same bits" for _, verdict in verdicts)
    click.echo(f"{same} of {len(verdicts)} fields agree bit for bit")
    for reason in reasons if same < len(verdicts) else ():
        click.echo(f"was different beforehand: {reason}")
    sys.exit(not notebook.agrees(verdicts, reasons))


def _run_folder(path: Path) -> Path:
    """Return the folder that an executed notebook printed, or the path itself."""
    if path.suffix != ".ipynb":
        return path
    from labkit.runs import notebook

    found = notebook.run_folder(path)
    if not found:
        sys.exit(f"{path}: it was not executed, or an error ended it before it had a run folder.")
    return found


if __name__ == "__main__":
    main()
