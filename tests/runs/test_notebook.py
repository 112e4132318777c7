"""papermill as a person starts it: any folder, any parameter; and the quality of a quick run."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from papermill.cli import _resolve_type
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from labkit.runs import compare
from labkit.settings import SettingsError

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
RECORDS = Path(__file__).resolve().parents[1] / "records"
pytestmark = pytest.mark.slow
SMALL = {"num_examples": 200, "num_epochs": 1, "max_len": 5, "preset": "quick"}


def papermill(notebook, output, cwd, runs, **parameters):
    """Start papermill as a person would and return the finished process."""
    path = notebook if isinstance(notebook, Path) else FOLDER / f"{notebook}.ipynb"
    command = [*f"{sys.executable} -m papermill --no-progress-bar".split(), str(path), str(output)]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    environment = os.environ | {"LABKIT_RUNS": str(runs)}
    if os.environ.get("LABKIT_DATA"):
        environment["LABKIT_DATA"] = str(Path(os.environ["LABKIT_DATA"]).resolve())
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )


def only_result(runs):
    (path,) = runs.rglob("result.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_any_folder_any_parameter_and_a_second_time_it_is_shown(tmp_path, only_the_run):
    asked = SMALL | {"hidden_dim": 24, "n_layers": 2, "bidirectional": True, "readout": "last"}
    asked |= {"batch_size": 100, "min_freq": 10**6}
    done = papermill("02_imdb", tmp_path / "out.ipynb", "/", tmp_path / "runs", **asked)
    assert done.returncode == 0, done.stderr
    result = only_result(tmp_path / "runs")
    assert {name: result["parameters"][name] for name in asked} == asked
    assert list(result["models"]) == ["linear", "RNN", "LSTM"]
    # an embedding of <pad> and <unk>, four one-way layers, and a head of two directions
    assert (
        result["models"]["RNN"]["num_parameters"]
        == 200 + 2 * 24 * (100 + 24 + 2) + 2 * 24 * (48 + 24 + 2) + 49
    )
    for model in result["models"].values():
        assert (
            sum(map(sum, model["test"]["confusion"]))
            == model["test"]["n"]
            == result["data"]["test"]
        )
    folder = next((tmp_path / "runs").rglob("result.json")).parent
    assert {path.name for path in folder.iterdir()} >= {
        "training_curves.png",
        "confusion_matrices.png",
        "report.txt",
    }

    before = (folder / "result.json").read_bytes()
    same = only_the_run("02_imdb")
    again = papermill(same, tmp_path / "again.ipynb", tmp_path, tmp_path / "runs", **asked)
    assert again.returncode == 0, again.stderr
    assert "its results are shown" in (tmp_path / "again.ipynb").read_text()
    assert (folder / "result.json").read_bytes() == before


def test_the_reports_tuning_in_full_skips_what_changes_nothing(tmp_path):
    asked = SMALL | {"preset": "full", "hidden_dim": 2, "n_layers": 1, "batch_size": 200}
    asked |= {"data_source": "sample", "dropout": 0.1}
    done = papermill(
        "02_imdb", tmp_path / "out.ipynb", tmp_path, tmp_path / "runs", **asked, readout="padded"
    )
    assert done.returncode == 0, done.stderr
    assert list(only_result(tmp_path / "runs")["models"]) == [
        "linear",
        "RNN",
        "LSTM",
        "LSTM-hidden",
        "LSTM-layers",
    ]


def test_odd_but_legal_digits(tmp_path):
    asked = {"hidden_size": 1, "num_layers": 4, "num_examples": 9, "num_epochs": 1}
    asked |= {"batch_size": 1, "run_dir": "mine", "lang": "zh"}
    done = papermill(
        "01_mnist", tmp_path / "out.ipynb", tmp_path, tmp_path / "runs", preset="quick", **asked
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "mine" / "result.json").read_text(encoding="utf-8"))
    assert list(result["models"]) == ["RNN", "LSTM", "LeNet"] and result["data"]["train"] == 9


def test_run_all_works_twice_in_one_kernel_and_after_a_change(tmp_path, monkeypatch):
    """What a reader does in JupyterLab: Run All, Run All again, change a parameter, Run All."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LABKIT_PRESET", "quick")
    once = nbformat.read(FOLDER / "01_mnist.ipynb", as_version=4)
    small = {
        "num_epochs: int = 0": "num_epochs: int = 1",
        "num_examples: int = 0": "num_examples: int = 200",
    }
    cells = []
    for changes in (small, small, small | {"hidden_size: int = 128": "hidden_size: int = 16"}):
        for cell in copy.deepcopy(once.cells):
            for old, new in changes.items():
                cell.source = cell.source.replace(old, new)
            cell["id"] = f"again-{len(cells)}"
            cells.append(cell)
    once.cells = cells
    place = {"metadata": {"path": str(FOLDER)}}
    done = NotebookClient(once, timeout=600, resources=place).execute()
    shown = "".join(
        output.get("text", "") for cell in done.cells for output in cell.get("outputs", [])
    )
    assert shown.count("its results are shown, not made again") == 1
    sizes = {
        json.loads(path.read_text())["parameters"]["hidden_size"]
        for path in (tmp_path / "runs").rglob("result.json")
    }
    assert sizes == {128, 16}


def test_a_wrong_parameter_ends_the_run_in_the_first_cells(tmp_path, monkeypatch):
    """The last two without a kernel: papermill reads the value and writes its cell."""
    runs = tmp_path / "runs"
    done = papermill("02_imdb", tmp_path / "out.ipynb", tmp_path, runs, hiden_dim=128)
    assert done.returncode != 0 and "Did you mean hidden_dim?" in done.stderr
    monkeypatch.setenv("LABKIT_RUNS", str(runs))
    said = {"fresh = 'true'": "must be True or False", "hidden_dim = -5": "is out of range"}
    for wrong, words in said.items():
        name, value = wrong.replace("'", "").split(" = ")
        notebook = load_notebook_node(str(FOLDER / "02_imdb.ipynb"))
        notebook = parameterize_notebook(notebook, {name: _resolve_type(value)})
        code, values = [cell.source for cell in notebook.cells if "outputs" in cell], {}
        with pytest.raises(SettingsError, match=f"{wrong} .*{words}"):
            for source in code[:4]:
                exec(source, values)
    assert not runs.exists()


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The results of a quick run of both notebooks: those that nbval has just made, or new ones."""
    runs = Path(os.environ.get("LABKIT_CHECKED_RUNS", ""))
    if not os.environ.get("LABKIT_CHECKED_RUNS"):
        runs = tmp_path_factory.mktemp("quick")
        for notebook in ("01_mnist", "02_imdb"):
            done = papermill(
                notebook, runs / f"{notebook}.ipynb", runs, runs, preset="quick", device="cpu"
            )
            assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text(encoding="utf-8")) for path in runs.rglob("result.json")]
    return {result["notebook"]: result for result in results}


def accuracies(result):
    return {name: model["test"]["accuracy"] for name, model in result["models"].items()}


def test_quick_digits_are_good_enough_to_teach_with(quick):
    result = quick["01_mnist"]
    found = accuracies(result)
    official = result["data"]["source"] == "official"
    assert result["preset"] == "quick" and result["parameters"]["seed"] == 42
    assert found["LeNet"] >= (0.975 if official else 0.95)
    assert found["LSTM"] >= (0.95 if official else 0.92)
    assert found["RNN"] < found["LSTM"]


def test_quick_reviews_are_good_enough_to_teach_with(quick):
    result = quick["02_imdb"]
    found = accuracies(result)
    assert result["preset"] == "quick" and result["data"]["test"] == 2_000
    assert found["LSTM"] >= 0.83 and found["linear"] >= 0.85
    assert 0.6 <= found["RNN"] < found["LSTM"]
    assert list(found) == ["linear", "RNN", "LSTM"]


@pytest.mark.parametrize("notebook", ["01_mnist", "02_imdb"])
def test_quick_gives_the_bits_of_the_committed_record(quick, notebook):
    """On another class of machine: test accuracies within the tolerances of runs.compare.

    That labkit's source was edited is no excuse: whoever changes a bit of a result renews the
    records (`make records`).
    """
    result = quick[notebook]
    path = RECORDS / f"{notebook}-{result['data']['source']}.json"
    verdicts, reasons = compare.compare(json.loads(path.read_text(encoding="utf-8")), result)
    reasons = [reason for reason in reasons if not reason.startswith("source_sha256")]
    with_source = ("settings_sha256", "identity.labkit's source")
    verdicts = [pair for pair in verdicts if not pair[0].endswith(with_source)]
    assert len(verdicts) > 50
    assert compare.agrees(verdicts, reasons), [pair for pair in verdicts if pair[1] != "same bits"]
    same = sum(verdict == "same bits" for _, verdict in verdicts)
    print(f"{notebook}: {same} of {len(verdicts)} fields; {reasons}")
