"""The run folder: a result is whole or not there, never another run's, and never another code's."""

import json
import re
import unicodedata

import pytest
import torch

from labkit import language, settings, tables, training
from labkit.data import mnist
from labkit.machine import digests, environment, files, locks
from labkit.models.classifiers import LeNet, SequenceClassifier
from labkit.models.linear import LinearModel
from labkit.runs import folder as folders
from labkit.runs import summary
from labkit.runs.folder import open_run


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    found = settings.resolve("01_mnist", data_source="sample", preset="quick", device="cpu")
    found.num_epochs, found.batch_size, found.hidden_size, found.num_layers = 2, 8, 8, 1
    return found


def make_nets(**changed):
    """Return what the models' cell makes; changed: another model by its name."""
    torch.manual_seed(0)
    nets = {"LeNet": LeNet(), "LSTM": SequenceClassifier("LSTM", 32, 8, 2, dropout=0.1)}
    return nets | changed


def run_it(config, data, nets=None, fit_on=None):
    """Do what a notebook does; return the folder, the trained models and the result."""
    folder = open_run(config, data)
    runs = {
        name: training.fit(net, fit_on or data, config.training, folder.at(name))
        for name, net in (nets or make_nets()).items()
    }
    for name, run in runs.items():
        folder.test(name, run, data.test)
    return folder, runs, folder.finish()


def weights(result):
    return {name: model["weights_sha256"] for name, model in result["models"].items()}


def names_in(folder):
    return sorted(path.name for path in folder.path.iterdir() if path.name != ".lock")


# --- what a run leaves ------------------------------------------------------------------


def test_result_json_has_what_is_promised(config, tiny_digits):
    folder, runs, result = run_it(config, tiny_digits)
    stored = json.loads((folder.path / "result.json").read_text())
    assert stored == result
    names = "notebook preset settings_sha256 parameters data models environment"
    assert set(stored) == set(names.split())
    names = "history best_epoch test train_seconds num_parameters weights_sha256 diverged identity"
    assert set(stored["models"]["LeNet"]) == set(names.split())
    assert stored["parameters"]["hidden_size"] == 8 and stored["data"]["train"] == 32
    assert stored["data"]["classes"] == list("0123456789")
    assert stored["environment"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert stored["environment"]["source_sha256"] == environment.SOURCE_SHA256
    models = [f"{name}.{kind}.pt" for name in ("LSTM", "LeNet") for kind in ("test", "weights")]
    assert names_in(folder) == [*models, "report.txt", "result.json", "run.json"]


def test_a_loss_that_is_nan_makes_no_result(config, tiny_digits):
    folder, _, result = run_it(config, tiny_digits)
    folder.finished = None
    locks.lock(folder.path)
    (folder.path / "result.json").unlink()
    folder.models["LeNet"]["history"][0]["train_loss"] = float("nan")
    with pytest.raises(ValueError):
        folder.finish()
    assert "result.json" not in names_in(folder)
    assert not [name for name in names_in(folder) if name.startswith(".labkit")]
    locks.unlock(folder.path)


def test_the_report_in_both_languages(config, tiny_digits):
    """Reference: every English label that zh.toml knows is gone, and columns end at one width."""
    _, _, result = run_it(config, tiny_digits)
    table = tables.results(result["models"])
    assert table.loc["LeNet", "parameters"] == "82,826"
    accuracy = result["models"]["LeNet"]["test"]["accuracy"]
    assert table.loc["LeNet", "test accuracy"] == f"{accuracy:.2%}"
    english, chinese = (summary.report(result, lang) for lang in ("en", "zh"))
    assert "preset quick, seed 42" in english and "32 / 32 / 32" in english
    assert f"torch {torch.__version__.split('+')[0]}" in english
    assert "测试准确率" in chinese and "最佳模型: " in chinese
    for word in language._chinese():
        assert word not in chinese.replace("torch", ""), word
    block = chinese.split("\n\n")[1].splitlines()
    wide = [sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line) for line in block]
    assert len(set(wide)) == 1, block


# --- finished runs ----------------------------------------------------------------------


def test_a_finished_run_is_shown_and_not_repeated(config, tiny_digits, capsys, monkeypatch):
    folder, runs, result = run_it(config, tiny_digits)
    monkeypatch.setattr(training, "train_epoch", None)  # calling them would fail
    monkeypatch.setattr(training, "predict", None)
    again, recalled, same = run_it(config, tiny_digits)
    assert "its results are shown, not made again" in capsys.readouterr().out
    assert again.path == folder.path and same == result
    for name, run in runs.items():
        assert recalled[name].history == run.history
        for key, value in run.model.state_dict().items():
            assert torch.equal(value, recalled[name].model.state_dict()[key])
        assert torch.equal(folder.logits[name], again.logits[name])


def test_a_finished_run_speaks_the_language_of_who_looks_at_it(config, tiny_digits):
    """Reference: what `labkit show` reads, the result's language, is that of report.txt."""
    run_it(config, tiny_digits)
    config.lang = "zh"
    folder, _, result = run_it(config, tiny_digits)
    stored = json.loads((folder.path / "result.json").read_text())
    assert stored == result and stored["parameters"]["lang"] == "zh"
    shown = (folder.path / "report.txt").read_text()
    assert "测试准确率" in shown and shown == summary.report(stored, "zh") + "\n"


def test_the_linear_baseline_has_a_digest_of_its_weights_recalled_or_not(
    config, tiny_reviews, monkeypatch
):
    def once():
        folder = open_run(config, tiny_reviews)
        run = training.fit_linear(LinearModel(), tiny_reviews, folder.at("linear"))
        folder.test("linear", run, tiny_reviews.test)
        return run, folder.finish()["models"]["linear"]["weights_sha256"]

    run, digest = once()
    monkeypatch.setattr(LinearModel, "fit", None)
    recalled, same = once()
    assert digest == same == digests.weights_sha256(run.model.state_dict())
    assert digest != digests.weights_sha256({}) and recalled.train_seconds == run.train_seconds
    few = tiny_reviews.test
    assert torch.equal(run.model.logits(few), recalled.model.logits(few))


def test_a_score_is_remembered_until_the_test_set_or_the_model_changes(
    config, tiny_digits, monkeypatch
):
    folder, runs, _ = run_it(config, tiny_digits)
    calls = []
    predict = training.predict
    monkeypatch.setattr(training, "predict", lambda *g: (calls.append(1), predict(*g))[1])
    folder.test("LeNet", runs["LeNet"], tiny_digits.test)
    assert not calls
    other = mnist.Split(tiny_digits.test.x.flip(1), tiny_digits.test.y)
    folder.test("LeNet", runs["LeNet"], other)
    assert len(calls) == 1
    (folder.path / "LeNet.test.pt").write_bytes(b"damaged")
    folder.test("LeNet", runs["LeNet"], other)
    assert len(calls) == 2


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "one bit flipped": lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
    "empty": lambda content: b"",
    "not ours": lambda content: b"x" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_end_in_one_sentence_and_fresh_trains_again(config, tiny_digits, damage):
    folder, _, result = run_it(config, tiny_digits)
    path = folder.path / "LeNet.weights.pt"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError, match=r"LeNet.weights.pt is damaged \(.*fresh = True") as error:
        run_it(config, tiny_digits)
    assert "\n" not in str(error.value)
    config.fresh = True
    assert weights(run_it(config, tiny_digits)[2]) == weights(result)


def test_a_model_that_is_missing_is_trained_again(config, tiny_digits):
    folder, _, result = run_it(config, tiny_digits)
    (folder.path / "LeNet.weights.pt").unlink()
    assert weights(run_it(config, tiny_digits)[2]) == weights(result)


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_damaged_file_of_a_run_is_named_and_fresh_writes_over_it(config, tiny_digits, name):
    folder, _, _ = run_it(config, tiny_digits)
    (folder.path / name).write_text("{")
    with pytest.raises(ValueError, match=f"{name} is damaged: choose another run_dir"):
        open_run(config, tiny_digits)
    config.fresh = True
    assert open_run(config, tiny_digits).finished is None


@pytest.mark.parametrize("refused", [(locks, "SoftFileLease"), (files, "put_in_place")])
def test_a_finished_run_in_a_folder_that_cannot_be_written_to_is_shown(
    config, tiny_digits, monkeypatch, refused
):
    """A folder of another user's, or lent read-only: nothing is written, and nothing fails."""
    folder, _, result = run_it(config, tiny_digits)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(*refused, refuse)
    shown, _, same = run_it(config, tiny_digits)
    assert same == result
    shown.save_text("in another language", "report.txt")
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_the_figures_of_a_finished_run_are_drawn_again_and_nobody_has_it_afterwards(
    config, tiny_digits
):
    run_it(config, tiny_digits)
    shown = open_run(config, tiny_digits)
    shown.save_text("in another language", "report.txt")
    assert (shown.path / "report.txt").read_text() == "in another language\n"
    assert not (shown.path / ".lock").exists()


def test_checkpoints_that_a_kill_left_in_a_finished_run_are_removed(config, tiny_digits):
    folder, _, _ = run_it(config, tiny_digits)
    (folder.path / "LeNet.epoch-1.pt").touch()
    assert open_run(config, tiny_digits).finished
    assert not (folder.path / "LeNet.epoch-1.pt").exists()


# --- what makes another run -------------------------------------------------------------


class Other(LeNet):
    """LeNet's weights, and another forward."""

    def forward(self, x):
        return super().forward(x.flip(1))


def seeded(make):
    torch.manual_seed(0)
    return make()


EDITS = {
    "other weights": lambda: LeNet(),
    "another forward": lambda: seeded(Other),
    "another layer": lambda: with_layer(seeded(LeNet)),
}


def with_layer(net):
    net.layers[1] = torch.nn.Tanh()
    return net


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_model_is_trained_anew_and_the_others_are_recalled(
    config, tiny_digits, capsys, edit
):
    folder, runs, result = run_it(config, tiny_digits)
    torch.manual_seed(1)
    changed = EDITS[edit]()
    capsys.readouterr()
    _, again, new = run_it(config, tiny_digits, make_nets(LeNet=changed))
    said = capsys.readouterr().out
    assert re.search("LeNet: .*first bits changed since it was trained here: trained anew", said)
    assert "LSTM: " not in said and new["models"]["LSTM"] == result["models"]["LSTM"]
    assert new["models"]["LeNet"]["history"] != result["models"]["LeNet"]["history"]
    assert json.loads((folder.path / "result.json").read_text()) == new


@pytest.mark.parametrize("dropout", ["dropout", "word_dropout"])
def test_an_edited_dropout_is_another_model(config, tiny_reviews, capsys, dropout):
    """The first weights are the same, and so is what the model says in evaluation."""
    from labkit.models.classifiers import TextClassifier

    def net(share):
        torch.manual_seed(0)
        how = {"dropout": 0.3, "word_dropout": 0.3} | {dropout: share}
        return TextClassifier("LSTM", len(tiny_reviews.vocabulary), 8, 8, **how)

    run_it(config, tiny_reviews, {"LSTM": net(0.3)})
    run_it(config, tiny_reviews, {"LSTM": net(0.3)})
    assert "trained anew" not in capsys.readouterr().out
    run_it(config, tiny_reviews, {"LSTM": net(0.5)})
    assert "first bits changed since it was trained here: trained anew" in capsys.readouterr().out


def blank(data):
    """Return the digits with all images blank, as an edited data cell may."""
    part = mnist.Split(torch.zeros_like(data.train.x), data.train.y)
    return type(data)(**vars(data) | {"train": part})


@pytest.mark.parametrize("given_to", ["open_run and fit", "fit alone"])
@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_edited_data_are_noticed(
    config, tiny_digits, tmp_path, capsys, interrupt_in, given_to, interrupted, named
):
    """Reference: the same edited notebook in a folder of its own."""
    config.run_dir = str(tmp_path / "reference")
    other, fit_on = blank(tiny_digits), blank(tiny_digits)
    opened = other if given_to == "open_run and fit" else tiny_digits
    expected = weights(run_it(config, opened, fit_on=fit_on)[2])
    config.run_dir = str(tmp_path / "mine") if named else ""
    if interrupted:
        interrupt_in(epoch=4)  # in the second model
        with pytest.raises(KeyboardInterrupt):
            run_it(config, tiny_digits)
    else:
        assert weights(run_it(config, tiny_digits)[2]) != expected
    first = set(tmp_path.rglob("run.json"))
    capsys.readouterr()
    _, _, result = run_it(config, opened, fit_on=fit_on)
    assert weights(result) == expected
    said, another_folder = capsys.readouterr().out, set(tmp_path.rglob("run.json")) != first
    assert another_folder or "trained anew" in said
    assert "going on after" not in said


def test_a_run_that_was_interrupted_goes_on_to_the_same_bits(
    config, tiny_digits, tmp_path, capsys, interrupt_in
):
    config.run_dir = str(tmp_path / "undisturbed")
    expected = weights(run_it(config, tiny_digits)[2])
    config.run_dir = str(tmp_path / "interrupted")
    interrupt_in(epoch=4)
    with pytest.raises(KeyboardInterrupt):
        run_it(config, tiny_digits)
    assert not (tmp_path / "interrupted" / "result.json").exists()
    assert weights(run_it(config, tiny_digits)[2]) == expected
    assert "LSTM: going on after epoch 1 of 2" in capsys.readouterr().out


def test_fresh_starts_over_also_after_an_interrupt(config, tiny_digits, capsys, interrupt_in):
    interrupt_in(epoch=2)
    with pytest.raises(KeyboardInterrupt):
        run_it(config, tiny_digits)
    config.fresh = True
    torch.manual_seed(3)
    folder, _, result = run_it(config, tiny_digits, make_nets(LeNet=LeNet()))
    assert "going on" not in capsys.readouterr().out
    assert len(result["models"]["LeNet"]["history"]) == 2
    assert open_run(config, tiny_digits).finished is None, "fresh runs a finished one anew"


def test_fresh_deletes_only_what_labkit_wrote_and_run_json_last(
    config, tiny_digits, tmp_path, monkeypatch
):
    config.run_dir = str(tmp_path / "mine")
    folder, _, _ = run_it(config, tiny_digits)
    for name in ("my notes.png", "LeNet.epoch-1.pt", "page.html"):
        (folder.path / name).touch()
    gone, unlink = [], folders.Path.unlink
    monkeypatch.setattr(
        folders.Path, "unlink", lambda self, **how: (gone.append(self.name), unlink(self, **how))
    )
    config.fresh = True
    open_run(config, tiny_digits)
    assert names_in(folder) == ["my notes.png", "run.json"]
    assert gone.index("LeNet.epoch-1.pt") < gone.index("run.json"), (
        "a kill in between must not leave it without a name"
    )


def test_other_settings_data_or_code_have_another_folder(config, tiny_digits, monkeypatch):
    paths = {open_run(config, tiny_digits).path}
    config.hidden_size = 16
    paths.add(open_run(config, tiny_digits).path)
    config.hidden_size, config.lang = 8, "zh"
    assert open_run(config, tiny_digits).path in paths, "the language makes no other run"
    paths.add(open_run(config, blank(tiny_digits)).path)
    monkeypatch.setattr(environment, "SOURCE_SHA256", "edited")
    paths.add(open_run(config, tiny_digits).path)
    assert len(paths) == 4


def test_a_run_dir_is_the_callers_and_never_overwritten_by_other_settings(
    config, tiny_digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    config.run_dir = "mine"
    folder, _, _ = run_it(config, tiny_digits)
    assert folder.path == tmp_path / "mine"
    assert f"run folder: {tmp_path / 'mine'}" in capsys.readouterr().out
    config.hidden_size = 16
    with pytest.raises(
        ValueError, match=r"other settings or code: hidden_size \(8 there\).*fresh = True"
    ):
        open_run(config, tiny_digits)
    assert (folder.path / "result.json").exists()


def test_a_finished_run_of_other_code_is_not_overwritten_and_a_begun_one_is_made_anew(
    config, tiny_digits, tmp_path, monkeypatch, capsys
):
    config.run_dir = str(tmp_path / "mine")
    folder = open_run(config, tiny_digits)
    training.fit(make_nets()["LeNet"], tiny_digits, config.training, folder.at("LeNet"))
    monkeypatch.setattr(environment, "SOURCE_SHA256", "edited")
    run_it(config, tiny_digits)
    said = capsys.readouterr().out
    assert "labkit's source changed since the run in this folder: it is made anew" in said
    assert "LeNet: labkit's source changed since it was trained here: trained anew" in said
    monkeypatch.setattr(environment, "SOURCE_SHA256", "edited again")
    with pytest.raises(ValueError, match="labkit's source .'edited' there"):
        open_run(config, tiny_digits)


def test_a_finished_run_is_shown_on_another_machine_with_other_threads(
    config, tiny_digits, monkeypatch
):
    """Its bits are not made again there, and its models' first bits may be others."""
    _, _, result = run_it(config, tiny_digits)
    config.run_dir = str(open_run(config, tiny_digits).path)
    config.threads += 1
    here = environment.place("cpu")
    monkeypatch.setattr(environment, "place", lambda device: here | {"cpu": "another"})
    monkeypatch.setattr(training, "train_epoch", None)
    net = make_nets()["LeNet"]
    net.layers[0].bias.data.add_(1e-7)
    assert run_it(config, tiny_digits, make_nets(LeNet=net))[2] == result


def test_a_begun_run_is_not_recalled_on_another_machine_or_after_an_edit_there(
    config, tiny_digits, tmp_path, monkeypatch, capsys, interrupt_in
):
    """Its first model is finished, the run is not; the reference is the same run made elsewhere."""
    edited = make_nets(LeNet=with_layer(seeded(LeNet)))
    here = environment.place("cpu")
    for name, nets in (("same", make_nets()), ("edited", edited)):
        config.run_dir = str(tmp_path / f"reference {name}")
        expected = weights(run_it(config, tiny_digits, nets)[2])
        config.run_dir = str(tmp_path / name)
        interrupt_in(epoch=4)
        with pytest.raises(KeyboardInterrupt):
            run_it(config, tiny_digits)
        capsys.readouterr()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(environment, "place", lambda _: here | {"cpu": "another"})
            assert weights(run_it(config, tiny_digits, nets)[2]) == expected
        said = capsys.readouterr().out
        assert re.search("LeNet: .*cpu changed since it was trained here: trained anew", said)


def test_an_edited_batch_is_other_data(config, tiny_digits, capsys):
    """The reader's own class holds the same, and gives other batches."""

    class Mirrored(mnist.Split):
        def batch(self, index):
            x, y = super().batch(index)
            return x.flip(2), y

    part = tiny_digits.train
    data = type(tiny_digits)(**vars(tiny_digits) | {"train": Mirrored(part.x, part.y)})
    config.run_dir = str(open_run(config, tiny_digits).path)
    run_it(config, tiny_digits)
    run_it(config, data)
    assert "LeNet: training data changed since it was trained here" in capsys.readouterr().out


def test_fresh_never_removes_the_other_notebooks_result(config, tiny_digits, tmp_path):
    config.run_dir = str(tmp_path / "mine")
    folder, _, _ = run_it(config, tiny_digits)
    config.notebook, config.fresh = "02_imdb", True
    with pytest.raises(ValueError, match="holds a run of other settings"):
        open_run(config, tiny_digits)
    assert (folder.path / "result.json").exists()


def test_a_folder_that_cannot_be_used_is_named(config, tiny_digits, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", "~nobody-here/x"):
        config.run_dir = str(place)
        with pytest.raises(ValueError, match=f"{place} cannot be used.*choose another run_dir"):
            open_run(config, tiny_digits)


def test_a_failed_write_leaves_nothing(config, tiny_digits):
    folder = open_run(config, tiny_digits)

    def fail(path):
        path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        folder._write("half.txt", fail)
    assert names_in(folder) == ["run.json"]
