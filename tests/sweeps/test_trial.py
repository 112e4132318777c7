"""Sweeps: what is asked is checked before anything runs, trials are runs, results are shown."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas
import pytest
from click.testing import CliRunner

from labkit import settings
from labkit.cli import main
from labkit.data import official
from labkit.machine import locks, paths
from labkit.runs import checkpoints, notebook
from labkit.sweeps import report, space, trial
from labkit.sweeps.space import Sweep

pytestmark = pytest.mark.filterwarnings("error::optuna.exceptions.ExperimentalWarning")
TEXT, DIGITS = (paths.ROOT / "notebooks" / f"{name}.ipynb" for name in ("02_imdb", "01_mnist"))


def test_lists_and_ranges_are_read():
    assert space.read_values(["hidden_dim=64,128", "dropout=0.1"], ",") == {
        "hidden_dim": [64, 128],
        "dropout": [0.1],
    }
    assert space.read_values(["dropout=0,0.0,0.5,.5"], ",") == {"dropout": [0, 0.5]}
    assert space.read_values(["learning_rate=1e-4..1e-2"], "..") == {"learning_rate": [1e-4, 1e-2]}
    assert space.read_values(["readout=pool,last", "bidirectional=True,False"], ",") == {
        "readout": ["pool", "last"],
        "bidirectional": [True, False],
    }


def test_values_are_read_as_papermill_reads_them():
    """Reference: papermill's own command line, which takes 007 for 7 and [1] for a text."""
    from papermill.cli import _resolve_type

    for text in ("007", "1e-3", "True", "None", "0.50", "pool", "1_000", "2024"):
        (read,) = space.read_values([f"x={text}"], ",")["x"]
        assert read == _resolve_type(text) and type(read) is type(_resolve_type(text))


def test_a_grid_has_every_combination_once():
    points = Sweep(
        TEXT, grid=space.read_values(["hidden_dim=64,128,64", "dropout=0.1,0.5"], ",")
    ).points()
    assert list(points.values()) == [
        {"hidden_dim": h, "dropout": d} for h in (64, 128) for d in (0.1, 0.5)
    ]
    assert list(points)[0] == "hidden_dim = 64, dropout = 0.1"


def test_the_same_command_has_the_same_name_whatever_the_number_of_trials():
    one = Sweep(TEXT, search={"hidden_dim": [64, 512]}, trials=5)
    assert one.name == Sweep(TEXT, search={"hidden_dim": [64, 512]}, trials=50).name
    assert one.name != Sweep(TEXT, search={"hidden_dim": [64, 256]}, trials=5).name
    assert (
        one.name != Sweep(TEXT, search={"hidden_dim": [64, 512]}, trials=5, fixed={"seed": 1}).name
    )


def test_workers_that_would_not_do_the_same_do_not_share_a_study(tmp_path, monkeypatch):
    """By another preset, data that one lacks, another notebook of this name, the grid's order."""
    monkeypatch.setattr(official, "choose", lambda *_: "sample")
    grid = {"hidden_dim": [1, 2], "n_layers": [1, 2]}
    other = tmp_path / "02_imdb.ipynb"
    other.write_text(
        TEXT.read_text(encoding="utf-8").replace("nets = {}", "nets = dict()"), encoding="utf-8"
    )
    names = [
        Sweep(TEXT, grid).name,
        Sweep(other, grid).name,
        Sweep(TEXT, dict(reversed(grid.items()))).name,
    ]
    monkeypatch.setenv("LABKIT_PRESET", "full")
    names.append(Sweep(TEXT, grid).name)
    monkeypatch.setattr(official, "choose", lambda *_: "official")
    names.append(Sweep(TEXT, grid).name)
    assert len(set(names)) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--grid", "hiden_dim=64,128"],
            "hiden_dim is no parameter of 02_imdb. Did you mean hidden_dim?",
        ),
        (["--grid", "hidden_dim=64,-1"], "hidden_dim = -1 is out of range"),
        (["--grid", "n_layers=0,1"], "n_layers = 0 means 1 here: name that itself"),
        (["--search", "hidden_dim=0..16", "--trials", "3"], "hidden_dim = 0 means 128 here"),
        (["--grid", "device=auto,cpu"], "device = auto means"),
        (["--grid", "preset=auto,quick"], "preset = auto means"),
        (["--grid", "bidirectional=True,1"], "bidirectional = 1 is of type int"),
        (["--grid", "hidden_dim=64", "-p", "learning-rate", "0.1"], "Did you mean learning_rate?"),
        (
            ["--grid", "hidden_dim=64..128"],
            "'hidden_dim=64..128' is a range: give it to --search",
        ),
        (["--grid", "hidden_dim"], "'hidden_dim' cannot be read"),
        (["--grid", "hidden_dim=[64]"], "'hidden_dim=[64]' cannot be read"),
        (["--grid", "hidden_dim=1", "--grid", "hidden_dim=2"], "cannot be read"),
        (["--search", "hidden_dim=64,128", "--trials", "3"], "needs a range of numbers"),
        (["--search", "hidden_dim=512..64", "--trials", "3"], "the lower first"),
        (
            ["--search", "hidden_dim=64..10000", "--trials", "3"],
            "hidden_dim = 10000 is out of range",
        ),
        (["--search", "hidden_dim=64..128"], "Give either --grid"),
        (["--grid", "hidden_dim=64", "--trials", "3"], "Give either --grid"),
        ([], "Give either --grid"),
        (
            ["--grid", "hidden_dim=64", "-p", "hidden_dim", "3"],
            "hidden_dim: given twice, or chosen by the sweep itself",
        ),
        (
            ["--grid", "hidden_dim=64", "-p", "run_dir", "x"],
            "run_dir: given twice, or chosen by the sweep itself",
        ),
        (
            ["--grid", "hidden_dim=64", "--model", "lstm"],
            "02_imdb can tune RNN, LSTM, and no lstm. Did you mean LSTM?",
        ),
        (
            ["--grid", "hidden_dim=64", "--storage", "/nofolder/x.log"],
            "The storage /nofolder/x.log cannot be used",
        ),
        (
            ["--grid", "hidden_dim=64", "--model", "LeNet"],
            "02_imdb can tune RNN, LSTM, and no LeNet.",
        ),
        (
            ["--grid", "hidden_dim=64", "--storage", "nosuch://x"],
            "The storage nosuch://x cannot be used",
        ),
    ],
)
def test_what_is_not_allowed_is_said_before_anything_runs(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path))
    monkeypatch.setattr(notebook, "run", None)
    done = CliRunner().invoke(main, ["sweep", str(TEXT), *arguments])
    assert done.exit_code == 1 and message in str(done.output), done.output


def test_lenet_has_no_hidden_units_to_be_tuned():
    with pytest.raises(
        settings.SettingsError, match="LeNet has no hidden_size: every trial would be the same"
    ):
        Sweep(DIGITS, grid={"hidden_size": [4, 8]}, model="LeNet").check()


def test_a_notebook_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "mine.ipynb").write_text("{}")
    done = CliRunner().invoke(main, ["sweep", str(tmp_path / "mine.ipynb"), "--grid", "a=1"])
    assert done.exit_code == 1 and "is no notebook of the course (01_mnist, 02_imdb)" in done.output


@pytest.fixture
def made_up_runs(tmp_path, monkeypatch):
    """Runs without a notebook: four epochs, each as accurate as `accuracy(parameters)` says."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    begun = []

    def arrange(accuracy, seconds=0.0):
        del begun[:]

        def run(_, output, parameters):
            begun.append(parameters)
            output.parent.mkdir(parents=True, exist_ok=True)
            locks.lock(output.parent)
            history = []
            for epoch in range(1, 5):
                reached = accuracy(parameters) + epoch / 1000
                history.append({"epoch": epoch, "val_accuracy": reached})
                place = checkpoints.Checkpoints(output.parent, "LSTM")
                place.save(epoch, {"history": history})
                time.sleep(seconds)
                if told.wait(0):
                    told.clear()
                    return 1, output
            result = {"models": {"LSTM": {"history": history}}}
            (output.parent / "result.json").write_text(json.dumps(result))
            return 0, output

        monkeypatch.setattr(notebook, "run", run)
        return begun

    monkeypatch.setattr(trial, "LOOK", 0.1)
    told = threading.Event()  # what a kernel does when it is interrupted
    monkeypatch.setattr(notebook, "interrupt_kernel", told.set)
    return arrange


def test_trials_are_compared_by_the_best_validation_accuracy(made_up_runs):
    begun = made_up_runs(lambda parameters: parameters["hidden_dim"] / 1000)
    asked = Sweep(
        TEXT, grid={"hidden_dim": [64, 128, 32], "dropout": [0.1, 0.5]}, fixed={"seed": 3}
    )
    study = trial.run(asked)
    assert study.best_value == pytest.approx(0.132) and study.best_params["hidden_dim"] == 128
    assert len(begun) == 6 and all(
        each["seed"] == 3 and Path(each["run_dir"]).parent == asked.folder for each in begun
    )
    assert len({each["run_dir"] for each in begun}) == 6
    table = report.table(study)
    assert list(table["hidden_dim"]) == [128, 128, 64, 64, 32, 32] and set(table["state"]) == {
        "complete"
    }
    written = report.write(study, asked)
    assert [path.name for path in written] == ["trials.csv", "sweep.json", "accuracies.png"]
    assert all(path.stat().st_size > 100 for path in written)
    record = json.loads(written[1].read_text())
    assert record["grid"] == asked.grid and [each["hidden_dim"] for each in record["trials"]] == [
        128,
        128,
        64,
        64,
        32,
        32,
    ]
    assert record["environment"]["commit"] and "test" not in json.dumps(record["trials"])
    assert all(len(each.intermediate_values) == 4 for each in study.trials), (
        "every epoch is reported"
    )
    trial.run(asked)
    assert len(begun) == 6, "what has ended is shown, not repeated"


@pytest.mark.parametrize(
    "grid",
    [{"hidden_dim": [1, 2, 3]}, {"hidden_dim": [1, 2], "dropout": [0.1]}, {"hidden_dim": [7]}],
)
def test_small_grids_can_be_shown(made_up_runs, tmp_path, grid):
    made_up_runs(lambda parameters: parameters["hidden_dim"] / 10)
    asked = Sweep(TEXT, grid=grid)
    study = trial.run(asked)
    assert len(report.table(study)) == len(study.trials)
    assert len(report.write(study, asked)) == 3


def test_the_figure_has_a_dot_a_trial_and_is_drawn_in_seconds_however_many_there_are():
    """24 values of one seed took Optuna's importances minutes."""
    trials = pandas.DataFrame({"seed": range(1000), "readout": ["last", "pool"] * 500})
    trials["learning_rate"] = trials["seed"].map(lambda seed: 1e-4 * (1 + seed))
    trials["validation accuracy"] = trials["seed"] / 1000
    begun = time.monotonic()
    figure = report.accuracies(trials, ["seed", "readout", "learning_rate"])
    figure.savefig(io.BytesIO())
    assert time.monotonic() - begun < 20
    for ax, scale in zip(figure.axes, ("linear", "linear", "log"), strict=True):
        assert len(ax.lines[0].get_xdata()) == 1000 and ax.get_xscale() == scale
    assert list(figure.axes[0].lines[0].get_ydata()[:2]) == [0.0, 0.1], "in percent"


def test_a_search_stays_within_its_ranges_and_takes_whole_numbers_where_they_are_wanted(
    made_up_runs,
):
    begun = made_up_runs(lambda parameters: parameters["dropout"])
    ranges = {"hidden_dim": [64, 512], "dropout": [0, 1], "learning_rate": [1e-5, 1e-1]}
    with pytest.raises(settings.SettingsError, match="dropout = 1 is out of range"):
        Sweep(TEXT, search=ranges, trials=2).check()
    trial.run(Sweep(TEXT, search=ranges | {"dropout": [0, 0.5]}, trials=6))
    assert all(
        type(each["hidden_dim"]) is int and 64 <= each["hidden_dim"] <= 512 for each in begun
    )
    assert all(type(each["dropout"]) is float and 0 <= each["dropout"] <= 0.5 for each in begun)
    assert (
        len({each["hidden_dim"] for each in begun}) > 1
        and min(each["learning_rate"] for each in begun) < 1e-2
    )


def test_a_trial_that_others_have_left_behind_is_ended(made_up_runs):
    """Five good trials and a bad one, below the median at each epoch. A grid is run whole."""
    begun = made_up_runs(lambda parameters: 0.5 if len(begun) == 6 else 0.9, seconds=0.3)
    asked = Sweep(TEXT, search={"hidden_dim": [11, 99]}, trials=6, fixed={"num_epochs": 4})
    study = trial.run(asked)
    assert [each.state.name for each in study.trials] == ["COMPLETE"] * 5 + ["PRUNED"] and len(
        begun
    ) == 6
    last = study.trials[-1].intermediate_values
    assert 1 <= len(last) < 4 and all(value < 0.6 for value in last.values())
    assert study.best_value > 0.9 and report.table(study).iloc[-1]["state"] == "pruned"
    assert len(list(asked.folder.glob("*/*.pt"))) == 5 * 2, (
        "the checkpoints of the pruned one are gone"
    )
    begun.clear()
    whole = trial.run(
        Sweep(TEXT, grid={"hidden_dim": [11, 12, 13, 14, 15, 1]}, fixed={"num_epochs": 4})
    )
    assert [each.state.name for each in whole.trials] == ["COMPLETE"] * 6


def test_equal_parameters_of_a_search_have_folders_of_their_own(made_up_runs):
    begun = made_up_runs(lambda parameters: 0.5)
    trial.run(Sweep(DIGITS, search={"num_layers": [1, 2]}, trials=5))
    assert (
        len({each["num_layers"] for each in begun}) <= 2
        and len({each["run_dir"] for each in begun}) == 5
    )


def test_a_kernel_that_died_is_tried_again_and_a_result_that_is_there_is_not_made_again(
    made_up_runs, monkeypatch
):
    made_up_runs(lambda parameters: 0.5)
    whole, codes = notebook.run, [notebook.KERNEL_DIED]

    def run(*given):
        code, output = whole(*given)
        return (codes.pop() if codes else code), output  # killed between the result and its end

    monkeypatch.setattr(notebook, "run", run)
    study = trial.run(Sweep(TEXT, grid={"hidden_dim": [1]}))
    assert [each.state.name for each in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[0].user_attrs["run_dir"] == study.trials[1].user_attrs["run_dir"]


def test_a_folder_that_somebody_has_is_waited_for(made_up_runs, monkeypatch):
    begun = made_up_runs(lambda parameters: 0.5)
    tries = []

    def lock(folder):
        tries.append(folder)
        if len(tries) < 3:
            raise locks.InUseError

    monkeypatch.setattr(locks, "lock", lock)
    monkeypatch.setattr(locks, "check_lock", lambda folder: None)
    assert trial.run(Sweep(TEXT, grid={"hidden_dim": [1]})).best_value > 0.5
    assert len(tries) == 4 and len(begun) == 1


def test_a_run_that_fails_is_listed_with_its_reason(made_up_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(notebook, "run", lambda _, output, parameters: (1, output))
    asked = Sweep(TEXT, grid={"hidden_dim": [1, 2]})
    study = trial.run(asked)
    table = report.table(study)
    assert (
        list(table["state"]) == ["fail", "fail"]
        and "the run ended with 1; see " in table["why"].iloc[0]
    )
    assert [path.name for path in report.write(study, asked)] == ["trials.csv", "sweep.json"]
    done = CliRunner().invoke(main, ["sweep", str(TEXT), "--grid", "hidden_dim=1,2"])
    assert (
        done.exit_code == 1
        and "2 of 2 trials failed: the table says why" in done.output
        and "run ended with 1" in done.output
    )


def test_the_script_for_slurm_is_one_that_sbatch_takes(tmp_path):
    """The rules are sbatch's: a shell first, directives before commands; and bash can read it."""
    readme = (paths.ROOT / "labkit" / "sweeps" / "README.md").read_text(encoding="utf-8")
    script = next(block for block in readme.split("```") if "#SBATCH" in block).strip("\n")
    lines = script.splitlines()
    directives = [line for line in lines if line.startswith("#SBATCH ")]
    assert lines[0] == "#!/bin/bash" and lines[1 : 1 + len(directives)] == directives
    options = {
        "job-name",
        "array",
        "ntasks",
        "gres",
        "cpus-per-task",
        "mem",
        "time",
        "signal",
        "requeue",
    }
    assert {line.removeprefix("#SBATCH --").split("=")[0] for line in directives} == options
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    command = script[script.index("sweep ") :].replace("\\\n", " ").split()
    with main.commands["sweep"].make_context(
        "sweep", [*command[1:]]
    ) as context:  # raises for an option that is not ours
        assert context.params["trials"] == 10_000 and context.params["storage"].startswith(
            "postgresql+psycopg://"
        )


SMALL = "-p preset quick -p data_source sample -p num_examples 200 -p num_epochs 2".split()


@pytest.mark.slow
def test_two_workers_on_real_notebooks_and_one_is_killed(tmp_path, only_the_run):
    """A trial killed in its training is taken up by a worker with another number of threads."""
    environment = os.environ | {"LABKIT_RUNS": f"{tmp_path}", "LABKIT_WORKER": "0"}
    environment |= {"OMP_NUM_THREADS": "1"}
    grid = ["--grid", "hidden_size=4,8,12"]
    lab = str(only_the_run("01_mnist"))
    command = [sys.executable, "-m", "labkit.cli", "sweep", lab, *grid, *SMALL]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    workers = [
        subprocess.Popen(command, env=environment | {"OMP_NUM_THREADS": f"{threads}"}, **quiet)
        for threads in (1, 2)
    ]
    until = time.monotonic() + 200
    while not list(tmp_path.glob("sweeps/*/*/*.epoch-*.pt")) and time.monotonic() < until:
        time.sleep(0.05)
    workers[0].kill()
    assert workers[1].wait(timeout=400) == 0
    del environment["LABKIT_WORKER"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert shown.returncode == 0 and shown.stdout.count("complete") == 3, (
        shown.stdout + shown.stderr
    )
    results = list(tmp_path.glob("sweeps/*/*/result.json"))
    assert len(results) == 3 and not list(tmp_path.glob("sweeps/*/*/*.epoch-*.pt"))
    (csv,) = tmp_path.glob("sweeps/*/trials.csv")
    assert sorted(pandas.read_csv(csv)["tries"]) == [1, 1, 2], csv.read_text()
