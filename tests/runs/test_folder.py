"""The run folder, the tables and the command line: a result is whole or not there, and never another run's."""

import json
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from labkit import cli, metrics, tables, training
from labkit.data import official
from labkit.models.classifiers import LeNet
from labkit.runs import folder, notebook


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    return SimpleNamespace(
        notebook="01_mnist",
        preset="quick",
        seed=42,
        device="cpu",
        lang="en",
        run_dir="",
        fresh=False,
        hidden_size=8,
    )


def run_it(lab, data):
    """Train LeNet for an epoch, as a notebook does, and return the folder and the result."""
    folder = folder.open_run(lab, data)
    torch.manual_seed(0)
    net = LeNet()
    run = folder.recall("LeNet", net) or training.fit(net, data, num_epochs=1, batch_size=8)
    if not folder.finished:
        folder.keep("LeNet", run, training.predict(run.model, data.test))
    test = metrics.test_scores(folder.test_logits("LeNet"), data.test.y)
    result = folder.result({"LeNet": folder.model_record(run, test)})
    folder.finish(result)
    return folder, run, result


def seen(folder):
    """Return the names in a folder, but for those of the lock."""
    return sorted(
        path.name for path in folder.path.iterdir() if path.name not in (".lock", ".owner")
    )


def test_result_json_has_what_is_promised(lab, tiny_digits):
    folder, run, result = run_it(lab, tiny_digits)
    stored = json.loads((folder.path / "result.json").read_text())
    assert stored == result
    assert set(stored) == {
        "notebook",
        "preset",
        "settings_sha256",
        "parameters",
        "data",
        "models",
        "environment",
    }
    names = "history best_epoch test train_seconds num_parameters weights_sha256 diverged".split()
    assert list(stored["models"]["LeNet"]) == names
    assert stored["parameters"]["hidden_size"] == 8 and stored["data"]["train"] == 32
    assert stored["environment"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert seen(folder) == ["LeNet.pt", "result.json", "run.json"]


def test_a_finished_run_is_shown_and_not_repeated(lab, tiny_digits, capsys, monkeypatch):
    folder, run, result = run_it(lab, tiny_digits)
    monkeypatch.setattr(training, "fit", None)  # calling it would fail
    again, recalled, same = run_it(lab, tiny_digits)
    assert "its results are shown, not made again" in capsys.readouterr().out
    assert again.path == folder.path and same == result and recalled.history == run.history
    for key, value in run.model.state_dict().items():
        assert torch.equal(value, recalled.model.state_dict()[key])


def test_fresh_and_other_settings_train_again(lab, tiny_digits, tmp_path):
    folder, _, _ = run_it(lab, tiny_digits)
    lab.fresh = True
    assert (
        folder.open_run(lab, tiny_digits).finished is None
        and not (folder.path / "result.json").exists()
    )
    lab.fresh, lab.hidden_size = False, 16
    assert folder.open_run(lab, tiny_digits).path != folder.path
    lab.hidden_size, lab.lang = 8, "zh"
    assert folder.open_run(lab, tiny_digits).path == folder.path, (
        "the language of the labels makes no other run"
    )


def test_fresh_goes_on_with_what_it_has_begun_and_leaves_no_checkpoint_without_a_name(
    lab, tiny_digits, monkeypatch
):
    folder, _, _ = run_it(lab, tiny_digits)
    lab.fresh = True
    folder.open_run(lab, tiny_digits)
    (folder.path / "LeNet.epoch-1.pt").touch()
    assert folder.open_run(lab, tiny_digits).finished is None
    assert (folder.path / "LeNet.epoch-1.pt").exists(), (
        "stopped and given again, a fresh run goes on"
    )
    lab.hidden_size, lab.run_dir = 9, str(folder.path)
    gone = []
    unlink = folder.Path.unlink
    monkeypatch.setattr(
        folder.Path, "unlink", lambda self, **how: (gone.append(self.name), unlink(self, **how))
    )
    folder.open_run(lab, tiny_digits)
    assert gone.index("LeNet.epoch-1.pt") < gone.index("run.json"), (
        "a kill in between must not leave it without a name"
    )


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_damaged_file_of_a_run_is_named_and_fresh_writes_over_it(lab, tiny_digits, name):
    folder, _, _ = run_it(lab, tiny_digits)
    (folder.path / name).write_text("{")
    with pytest.raises(
        ValueError, match=f"{name} is damaged. Choose another run_dir, or set fresh = True"
    ):
        folder.open_run(lab, tiny_digits)
    lab.fresh = True
    assert folder.open_run(lab, tiny_digits).finished is None


def test_checkpoints_that_a_kill_left_in_a_finished_run_are_swept(lab, tiny_digits):
    folder, _, _ = run_it(lab, tiny_digits)
    (folder.path / "LeNet.epoch-1.pt").touch()
    assert (
        folder.open_run(lab, tiny_digits).finished
        and not (folder.path / "LeNet.epoch-1.pt").exists()
    )


def test_the_figures_of_a_finished_run_are_drawn_again_and_nobody_has_it_afterwards(
    lab, tiny_digits
):
    run_it(lab, tiny_digits)
    shown = folder.open_run(lab, tiny_digits)
    assert (
        shown.save_text("in another language", "report.txt").read_text() == "in another language\n"
    )
    assert not (shown.path / ".owner").exists()


def test_labkits_own_source_and_the_data_are_part_of_what_names_a_run(
    lab, tiny_digits, monkeypatch
):
    path = folder.open_run(lab, tiny_digits).path
    tiny_digits.sha256 = "1"
    other_data = folder.open_run(lab, tiny_digits).path
    monkeypatch.setattr(folder.machine, "SOURCE_SHA256", "edited")
    assert len({path, other_data, folder.open_run(lab, tiny_digits).path}) == 3


def test_a_relative_run_dir_is_the_callers_and_never_overwritten_by_other_settings(
    lab, tiny_digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lab.run_dir = "mine"
    folder, _, _ = run_it(lab, tiny_digits)
    assert (
        folder.path == tmp_path / "mine"
        and f"run folder: {tmp_path / 'mine'}" in capsys.readouterr().out
    )
    lab.hidden_size = 16
    with pytest.raises(
        ValueError, match=r"holds a run of other settings.*hidden_size \(8 there\).*fresh = True"
    ):
        folder.open_run(lab, tiny_digits)
    lab.fresh = True
    (folder.path / "my notes.png").touch()
    assert folder.open_run(lab, tiny_digits).finished is None
    assert seen(folder) == ["my notes.png", "run.json"], "only what labkit wrote is removed"


def test_fresh_never_removes_the_other_notebooks_result(lab, tiny_digits, tmp_path):
    lab.run_dir = str(tmp_path / "mine")
    folder, _, _ = run_it(lab, tiny_digits)
    lab.notebook, lab.fresh = "02_imdb", True
    with pytest.raises(ValueError, match="holds a run of other settings"):
        folder.open_run(lab, tiny_digits)
    assert (folder.path / "result.json").exists()


def test_a_folder_that_cannot_be_used_is_named(lab, tiny_digits, tmp_path):
    (tmp_path / "file").touch()
    lab.run_dir = str(tmp_path / "file")
    with pytest.raises(ValueError, match="file cannot be used.*choose another run_dir"):
        folder.open_run(lab, tiny_digits)


def test_a_finished_run_without_this_model_says_what_to_do(lab, tiny_digits):
    folder, _, _ = run_it(lab, tiny_digits)
    with pytest.raises(ValueError, match="has no model GRU. Set fresh = True"):
        folder.recall("GRU", LeNet())
    with pytest.raises(ValueError, match="no LeNet of just this shape. Set fresh = True"):
        folder.recall("LeNet", LeNet(num_classes=3))
    (folder.path / "LeNet.pt").unlink()
    with pytest.raises(ValueError, match="no LeNet of just this shape"):
        folder.recall("LeNet", LeNet())


def test_a_failed_write_leaves_nothing(lab, tiny_digits):
    folder = folder.open_run(lab, tiny_digits)
    with pytest.raises(ValueError):  # a loss that is no number is no JSON either
        folder.finish(folder.result({"LeNet": {"history": [{"train_loss": float("nan")}]}}))
    with pytest.raises(RuntimeError):
        folder._write("half.txt", _fail)
    assert seen(folder) == ["run.json"]


def _fail(path):
    path.write_text("half")
    raise RuntimeError


def test_table_and_summary(lab, tiny_digits):
    _, run, result = run_it(lab, tiny_digits)
    table = tables.table(result["models"])
    assert (
        table.loc["LeNet", "parameters"] == "82,826"
        and table.loc["LeNet", "best epoch"] == "1 of 1"
    )
    accuracy = result["models"]["LeNet"]["test"]["accuracy"]
    assert table.loc["LeNet", "test accuracy"] == f"{accuracy:.2%}"
    text = tables.summary(result)
    assert (
        "preset quick, seed 42" in text
        and "32 / 32 / 32" in text
        and f"torch {torch.__version__.split('+')[0]}" in text
    )
    classes = metrics.report(torch.eye(10), torch.arange(10), [str(k) for k in range(10)])
    chinese = tables.comparison(result, "LeNet", classes, "zh")
    assert (
        "测试准确率" in chinese
        and "最佳模型: LeNet" in chinese
        and "test accuracy" not in chinese
        and "recall" not in chinese
    )


def test_show_prints_a_run_by_folder_file_and_notebook(lab, tiny_digits, tmp_path):
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    folder, _, _ = run_it(lab, tiny_digits)
    printed = new_output("stream", text=f"run folder: {folder.path}\n")
    notebook = tmp_path / "out.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("", outputs=[printed])]), notebook)
    for path in (folder.path, folder.path / "result.json", notebook):
        shown = CliRunner().invoke(cli.main, ["show", str(path)])
        assert shown.exit_code == 0 and "LeNet" in shown.output and "preset quick" in shown.output
    assert f"executed notebook: {notebook}" in shown.output
    nbformat.write(new_notebook(), notebook)
    assert "it was not executed" in str(
        CliRunner().invoke(cli.main, ["show", str(notebook)]).exception
    )
    (folder.path / "result.json").unlink()
    unfinished = str(CliRunner().invoke(cli.main, ["show", str(folder.path)]).exception)
    assert (
        "no finished run here" in unfinished
        and "it goes on when its command is given again" in unfinished
    )
    (tmp_path / "README.md").write_text("no JSON")
    assert "no executed notebook" in str(
        CliRunner().invoke(cli.main, ["show", str(tmp_path / "README.md")]).exception
    )
    wrong = CliRunner().invoke(
        cli.main, ["run", str(tmp_path / "README.md"), str(tmp_path / "out.ipynb")]
    )
    assert "README.md is no notebook" in str(wrong.exception)


def test_data_commands(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    shown = CliRunner().invoke(cli.main, ["data", "where"]).output
    assert str(tmp_path) in shown and shown.count("absent") == 6
    (tmp_path / "imdb").mkdir()
    for name in official.IMDB_FILES.values():
        (tmp_path / "imdb" / name).touch()
    got = CliRunner().invoke(cli.main, ["data", "get", "imdb"])
    assert got.exit_code == 1 and "cannot be read as a parquet file" in str(got.exception), (
        "what is there is verified too"
    )
    checked = CliRunner().invoke(cli.main, ["data", "check", "mnist"])
    assert checked.exit_code == 1 and "is not there" in str(checked.exception)
    assert CliRunner().invoke(cli.main, ["data", "get", "digits"]).exit_code == 2


SAME, NEAR, FAR = "same bits", f"within {notebook.TOLERANCE}", "differs"


@pytest.mark.parametrize(
    ("accuracy", "digest", "reasons", "expected"),
    [
        (SAME, SAME, [], True),
        (SAME, FAR, [], False),  # on the same machine bits must agree
        (NEAR, SAME, [], False),
        (NEAR, FAR, ["versions"], True),  # elsewhere no digest can
        (FAR, FAR, ["versions"], False),
    ],
)
def test_a_repeated_run_is_judged_by_bits_here_and_by_accuracy_elsewhere(
    accuracy, digest, reasons, expected
):
    verdicts = [("models.LSTM.test.accuracy", accuracy), ("models.LSTM.weights_sha256", digest)]
    assert notebook.agrees(verdicts, reasons) is expected


def test_how_two_values_compare():
    """Reference: 0.90 and 0.91 are within 0.02 of each other; 0.90 and 0.94 only within an RNN's 0.05; digests agree or not."""
    pairs = [(0.9, 0.9), (0.9, 0.91), (0.9, 0.94), ("ab", "ab"), ("ab", "cd"), (0.9, None)]
    assert [notebook.verdict("models.LSTM.x", *pair) for pair in pairs] == [
        SAME,
        NEAR,
        FAR,
        SAME,
        FAR,
        FAR,
    ]
    assert notebook.verdict("models.RNN.x", 0.9, 0.94) == f"within {notebook.RNN_TOLERANCE}"
    old = {
        "environment": {"x": 1},
        "models": {"A": {"history": [{"seconds": 1.0, "val_loss": 0.5}], "train_seconds": 2.0}},
    }
    assert notebook.fields(old) == {"models.A.history.0.val_loss": 0.5}
