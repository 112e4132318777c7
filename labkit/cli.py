"""The command line: data, runs and their results; claims and sweeps bring their own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labkit import __version__
from labkit.claims.command import claims
from labkit.data import download, official
from labkit.machine import paths
from labkit.machine.commands import OneSentence, clean_end
from labkit.machine.notebook_parameters import read_value
from labkit.sweeps.command import sweep

DATA_SETS = list(official.SAMPLE_PACKAGES)
PLACE = click.Path(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
SHOWN = {"*.png": "figure", "report.txt": "report", "trials.csv": "table", "page.html": "page"}


@click.group(cls=OneSentence, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Data and results of the two lab notebooks.

    LABKIT_DATA and LABKIT_RUNS name other folders for them than data/ and runs/.

    \b
    Completion with Tab, from ~/.bashrc (for zsh: zsh_source, in ~/.zshrc):
    eval "$(_LABKIT_COMPLETE=bash_source labkit)"
    """
    paths.data_root(), paths.runs_root()  # a folder that cannot be is said before anything else


main.add_command(claims)
main.add_command(sweep)


@main.group()
def data() -> None:
    """Find, fetch and verify the official data."""


@data.command()
def where() -> None:
    """Print where the data lie, and which are used.

    That is LABKIT_DATA, or else data/ in the checkout.
    """
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
    """Download what is missing, and verify it.

    11 MB of digits and 85 MB of reviews go into LABKIT_DATA, or else data/ in the checkout.
    """
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
@click.argument("where", nargs=-1, required=True, type=PLACE)
def show(where: tuple[Path, ...]) -> None:
    """Print the results of runs and sweeps.

    WHERE is an executed notebook, the folder of a run or a sweep, or a result.json. For example:

    \b
    labkit show imdb.ipynb runs/sweeps/02_imdb-01234567
    """
    import pandas

    from labkit.runs import compare, notebook, summary

    for path in where:
        found = path / "result.json" if path.is_dir() else path
        executed = not path.is_dir() and '"nbformat"' in path.read_text(errors="replace")
        if executed:
            folder = notebook.run_folder(path)
            if not folder:
                raise ValueError(f"{path} names no run folder: it was not executed that far.")
            found = folder / "result.json"
        if (path / "trials.csv").exists():
            trials = pandas.read_csv(path / "trials.csv", keep_default_na=False)
            text = trials.drop(columns="run_dir").to_string(index=False)
        else:
            result = compare.read_result(found)
            text = summary.summary(result, result["parameters"]["lang"])
        click.echo(f"\n{text}\n")
        if executed:
            click.echo(f"executed notebook: {path.resolve()}")
        _list_files(found.parent)


def _list_files(folder: Path) -> None:
    for pattern, kind in SHOWN.items():
        for file in sorted(folder.glob(pattern)):
            click.echo(f"{kind}: {file.resolve()}")


@main.command()
@click.argument("notebook", type=FILE)
@click.argument("output", required=False, type=click.Path(path_type=Path))
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="As papermill's.")
@click.option("-r", "raw", nargs=2, multiple=True, metavar="NAME VALUE", help="VALUE is a text.")
def run(notebook: Path, output: Path | None, pairs: tuple, raw: tuple) -> None:
    """Execute NOTEBOOK into OUTPUT, with papermill.

    What it prints is shown as it comes. OUTPUT is never left torn. Without it the notebook goes
    into the run's own folder, in LABKIT_RUNS, or else runs/ in the checkout. Given again after it
    was stopped or killed, the same command goes on from the last epoch. For example:

    \b
    labkit run notebooks/02_imdb.ipynb imdb.ipynb -p hidden_dim 64 -r run_dir 2024
    """
    with clean_end("the same command goes on from the last epoch that was finished"):
        from labkit.runs import notebook as notebooks

        notebooks.check_names(notebook, dict(pairs + raw))
        parameters = {name: read_value(value) for name, value in pairs} | dict(raw)
        bar = sys.stderr.isatty()
        try:
            code, where = notebooks.run(notebook, output, parameters, progress_bar=bar)
        except OSError as error:
            place, why = output or paths.runs_root(), error.strerror or error
            sys.exit(f"{place} could not be written ({why}): choose another OUTPUT or LABKIT_RUNS.")
    if code:
        sys.exit(f"failed; the error is in {where.resolve()}" if code == 1 else code)
    click.echo(f"executed notebook: {where.resolve()}")
    if folder := notebooks.run_folder(where):  # else the notebook is none of the course's
        _list_files(folder)


@main.command()
@click.argument("source", metavar="NOTEBOOK", type=PLACE)
@click.argument("exercises", required=False, type=FILE)
@click.option("--output", type=NEW_FILE, help="Default: beside NOTEBOOK.")
def report(source: Path, exercises: Path | None, output: Path | None) -> None:
    """Write an executed notebook as a lab report.

    NOTEBOOK, or the one of a run's folder, becomes one HTML file with its settings, figures, tables
    and your guesses, to print or to hand in. EXERCISES, a notebook of them that you have worked in,
    is put behind it, with your answers and what the checks said. For example:

    \b
    labkit report runs/01_mnist.ipynb grading/release/exercises/01_mnist_exercises.ipynb
    """
    from labkit.runs import html

    click.echo(f"report: {html.write_report(source, exercises, output).resolve()}")


@main.command()
@click.argument("folder", metavar="RUN_DIR", type=PLACE)
@click.option("--notebook", type=FILE, help="Default: the checkout's; an installed wheel has none.")
def rerun(folder: Path, notebook: Path | None) -> None:
    """Repeat a run and compare it bit by bit.

    Every value in RUN_DIR that is not bit-identical is listed; the repetition leaves nothing. For
    example:

    \b
    labkit rerun runs/01_mnist/0123456789ab
    """
    with clean_end("nothing was compared"):
        from labkit.runs import compare

        verdicts, reasons = compare.rerun(folder, notebook)
    for field, verdict in verdicts:
        if verdict != "same bits" or field.endswith("sha256"):
            click.echo(f"{verdict:12} {field}")
    same = sum(verdict == "same bits" for _, verdict in verdicts)
    click.echo(f"{same} of {len(verdicts)} fields agree bit for bit")
    for reason in reasons if same < len(verdicts) else ():
        click.echo(f"was different beforehand: {reason}")
    sys.exit(not compare.agrees(verdicts, reasons))


@main.command()
@click.argument("folder", metavar="RUN_DIR", type=PLACE)
@click.option("--output", type=NEW_FILE, help="Default: RUN_DIR/page.html.")
def page(folder: Path, output: Path | None) -> None:
    """Write one HTML file in which the models of a run answer.

    Draw a digit, or type a sentence, and watch them change their minds row by row or word by word.
    The file needs no network. For example:

    \b
    labkit page runs/01_mnist/0123456789ab
    """
    from labkit.page import export

    written = export.write(folder, output)
    for name, accuracy in written.accuracy.items():
        costs = ", ".join(f"{share:.1%} {export.KEPT[how]}" for how, share in accuracy.items())
        click.echo(f"{name}: {costs} ({written.num_scored:,} of the test examples)")
    size = written.path.stat().st_size / 1e6
    click.echo(f"page: {written.path.resolve()} ({size:.1f} MB); open it in a browser")


if __name__ == "__main__":
    main()
