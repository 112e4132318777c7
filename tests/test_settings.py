"""Parameters: every wrong one is refused in one sentence; presets fill only what was left open."""

import pytest
import torch

from labkit.data import official
from labkit.machine import notebook_parameters, numerics
from labkit.settings import PARAMETERS, PRESETS, SettingsError, from_notebook, resolve
from labkit.training import TrainingConfig


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch, tmp_path):
    """A CPU with the official data, whatever machine runs the tests."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("LABKIT_PRESET", raising=False)
    monkeypatch.setattr(official, "is_there", lambda data_set: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


WRONG = [
    ("num_epochs", "3", "num_epochs = '3' is of type str, but must be a whole number"),
    ("num_epochs", 2.0, "is of type float"),
    ("num_epochs", True, "is of type bool"),
    (
        "num_epochs",
        -1,
        "num_epochs = -1 is out of range: num_epochs must be a whole number from 0 to 10,000",
    ),
    (
        "learning_rate",
        "1e-3",
        "learning_rate = '1e-3' is of type str, but must be a number",
    ),
    ("learning_rate", float("nan"), "out of range"),
    ("learning_rate", float("inf"), "out of range"),
    ("learning_rate", 0, "out of range"),
    ("fresh", "true", "fresh = 'true' is of type str, but must be True or False"),
    ("fresh", 1, "is of type int"),
    ("batch_size", 0, "out of range"),
    ("seed", 2**31, "seed must be a whole number from 0 to 2,147,483,647"),
    ("learning_rate", 10**400, "learning_rate must be a number from 1e-08 to 10.0"),
    ("dropout", 1.0, "out of range"),
    ("dropout", -0.1, "out of range"),
    ("seed", None, "is of type NoneType"),
    ("preset", "fast", "preset = 'fast' is not allowed: preset must be one of auto, quick, full"),
    ("preset", "fulll", "Did you mean full?"),
    ("data_source", "web", "one of auto, official, sample"),
    ("precision", "fp16", "one of auto, fp32, bf16"),
    ("device", "cuda", "device = 'cuda' is not on this machine: choose auto, cpu"),
    ("device", "gpu", "is not on this machine"),
    ("lang", "cn", "one of en, zh"),
    ("num_examples", 48_001, "more than the 48,000 training examples"),
    ("hidden_sise", 64, "hidden_sise is no parameter of 01_mnist. Did you mean hidden_size?"),
    ("n_layers", 2, "n_layers is no parameter of 01_mnist. Did you mean num_layers?"),
    ("zzz", 2, "zzz is no parameter of 01_mnist. Known: preset"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_wrong_parameters_are_refused(name, value, words):
    with pytest.raises(SettingsError) as error:
        resolve("01_mnist", **{name: value})
    assert words in str(error.value) and "\n" not in str(error.value)


def test_text_parameters_are_refused_too():
    with pytest.raises(SettingsError, match="one of padded, last, pool"):
        resolve("02_imdb", readout="first")
    with pytest.raises(SettingsError, match="Did you mean hidden_dim?"):
        resolve("02_imdb", hiden_dim=128)


def test_an_int_is_taken_for_a_number_and_nothing_else_is_converted():
    lab = resolve("01_mnist", learning_rate=1, dropout=0)
    assert (lab.learning_rate, lab.dropout) == (1.0, 0.0) and type(lab.learning_rate) is float


def test_presets_fill_what_was_left_open_and_the_caller_wins():
    quick, full = resolve("02_imdb", preset="quick"), resolve("02_imdb", preset="full")
    assert (quick.hidden_dim, quick.n_layers, full.hidden_dim, full.n_layers) == (128, 1, 256, 2)
    assert (full.num_epochs, full.num_examples, full.num_test) == (10, 22_500, 25_000)
    mnist = resolve("01_mnist", preset="full")
    assert (mnist.num_epochs, mnist.num_examples) == (20, 48_000)
    for preset in ("quick", "full"):
        lab = resolve(
            "02_imdb", preset=preset, hidden_dim=64, n_layers=3, num_epochs=1, num_examples=100
        )
        assert (lab.hidden_dim, lab.n_layers, lab.num_epochs, lab.num_examples) == (64, 3, 1, 100)


def test_auto_preset_is_quick_on_a_cpu_full_on_a_gpu_and_the_environments_first(monkeypatch):
    assert resolve("01_mnist").preset == "quick"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve("01_mnist").device == "cpu", (
        "a driver that is too old leaves a GPU that cannot be used"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (resolve("01_mnist").preset, resolve("01_mnist").device) == ("full", "cuda")
    assert resolve("01_mnist", device="cpu").preset == "quick"
    assert resolve("01_mnist", device="cuda:0").device == "cuda:0"
    with pytest.raises(SettingsError, match="choose auto, cpu, cuda, cuda:0"):
        resolve("01_mnist", device="cuda:1")
    monkeypatch.setenv("LABKIT_PRESET", "quick")
    assert resolve("01_mnist").preset == "quick"
    assert resolve("01_mnist", preset="full").preset == "full"
    monkeypatch.setenv("LABKIT_PRESET", "fast")
    with pytest.raises(SettingsError, match=r"\$LABKIT_PRESET = 'fast' is not allowed"):
        resolve("01_mnist")


def test_words_that_begin_by_chance_learn_at_the_full_rate():
    assert (
        resolve("02_imdb").embedding_rate == 0.1
        and resolve("02_imdb", vectors="random").embedding_rate == 1.0
    )


def test_quick_sees_as_many_examples_on_the_small_sample():
    budget = PRESETS["01_mnist"]["quick"]
    seen = budget["num_epochs"] * budget["num_examples"]
    lab = resolve("01_mnist", preset="quick", data_source="sample")
    assert (
        lab.num_examples == 3_200
        and 0 <= lab.num_epochs * lab.num_examples - seen < 3_200
        and lab.num_test == 1_000
    )
    assert resolve("01_mnist", preset="quick", data_source="sample", num_epochs=2).num_epochs == 2
    assert (
        resolve("01_mnist", preset="quick", data_source="sample", num_examples=100).num_epochs
        == budget["num_epochs"]
    )
    assert resolve("01_mnist", preset="full", data_source="sample").num_epochs == 20


def test_defaults_are_the_lessons():
    mnist, imdb = PARAMETERS["01_mnist"], PARAMETERS["02_imdb"]
    assert [mnist[name].default for name in ("hidden_size", "num_layers", "dropout")] == [
        128,
        2,
        0.3,
    ]
    assert [imdb[name].default for name in ("dropout", "embedding_dim", "max_len", "min_freq")] == [
        0.5,
        100,
        500,
        10,
    ]
    assert [mnist[name].default for name in ("seed", "batch_size", "learning_rate")] == [
        42,
        64,
        1e-3,
    ]
    assert imdb["bidirectional"].default is False and imdb["readout"].default == "pool"


CHECK = "config = settings.from_notebook('02_imdb', globals())"


def kernel(*cells, **names):
    """Return the globals of a notebook that has run these cells and is at its settings."""
    return {"In": ["", *cells, CHECK], **names}


def test_an_unknown_name_in_papermills_cell_is_refused():
    cells = ("hidden_dim: int = 0", '# Parameters\nhiden_dim = 128\nrun_dir = "a"\n')
    with pytest.raises(SettingsError, match="hiden_dim is no parameter of 02_imdb. Did you mean"):
        from_notebook("02_imdb", kernel(*cells, hidden_dim=0))


def test_a_notebooks_parameters_are_picked_by_their_names():
    config = from_notebook("02_imdb", kernel(hidden_dim=64, seed=7, word="another variable"))
    assert (config.hidden_dim, config.seed, config.asked["hidden_dim"]) == (64, 7, 64)
    with pytest.raises(SettingsError, match="hidden_dim = '64' is of type str"):
        from_notebook("02_imdb", kernel(hidden_dim="64"))


def test_how_models_are_trained_is_a_part_of_the_settings():
    config = resolve("02_imdb", preset="full", num_epochs=3, learning_rate=0.002, seed=5)
    expected = TrainingConfig(3, 64, 0.002, 5, "cpu", "fp32", 2.0, 0.25, 0.1)
    assert config.training == expected
    assert resolve("01_mnist", preset="full").training.embedding_rate == 1.0


@pytest.mark.parametrize(
    "cells",
    [
        ("# Parameters\nhidden_dim = 128\n",),  # a known name
        (
            "# Parameters\nhiden_dim = 128\n",
            CHECK,
        ),  # checked before; the cell was mended or removed since
        (
            "# Parameters\nhiden_dim = 128\n",
            "# Parameters\nhidden_dim = 128\n",
        ),  # mended before the check
        (
            "# Parameters\nhidden_dim =\n",
            "# Parameters\nhidden_dim = 1\n",
        ),  # mended after a syntax error
        ("# Parameters of my own\nmine = 1\n",),  # not papermill's
        ("x = 1", "# parameters\nmine = 1"),
        (),
    ],
)
def test_working_on_in_jupyterlab_never_trips(cells):
    assert notebook_parameters.injected_names(kernel(*cells)["In"]) in ([], ["hidden_dim"])
    from_notebook("02_imdb", kernel(*cells))


def test_auto_precision_is_fp32_and_bf16_needs_a_processor_that_has_it(monkeypatch):
    assert resolve("01_mnist").precision == "fp32"
    monkeypatch.setattr(numerics, "bf16_works", lambda: True)
    assert resolve("01_mnist", precision="bf16").precision == "bf16"
    monkeypatch.setattr(numerics, "bf16_works", lambda: False)
    with pytest.raises(SettingsError, match="'bf16' does not work on this processor: choose fp32"):
        resolve("01_mnist", precision="bf16")


def test_whether_bf16_works_is_tried_and_draws_nothing_from_the_random_stream(monkeypatch):
    """Reference: PyTorch's own words where it cannot."""
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    numerics.bf16_works()
    assert torch.equal(torch.rand(1), expected)

    def refuse(*_):
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn.LSTM, "forward", refuse)
    assert not numerics.bf16_works()
