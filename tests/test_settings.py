"""Parameters: every wrong name, type and value is refused in one sentence, and presets fill only what was left open."""

import sys
from types import SimpleNamespace

import pytest
import torch

from labkit import settings
from labkit.machine import numerics
from labkit.settings import PARAMETERS, PRESETS, SettingsError, resolve


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch, tmp_path):
    """A CPU with the official data, whatever machine runs the tests."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("LABKIT_PRESET", raising=False)
    monkeypatch.setattr(sources, "is_there", lambda notebook: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


WRONG = [
    ("num_epochs", "3", "num_epochs = '3' is of type str, but num_epochs is a whole number"),
    ("num_epochs", 2.0, "is of type float"),
    ("num_epochs", True, "is of type bool"),
    (
        "num_epochs",
        -1,
        "num_epochs = -1 is out of range: num_epochs is a whole number from 0 to 10,000",
    ),
    (
        "learning_rate",
        "1e-3",
        "learning_rate = '1e-3' is of type str, but learning_rate is a number",
    ),
    ("learning_rate", float("nan"), "out of range"),
    ("learning_rate", float("inf"), "out of range"),
    ("learning_rate", 0, "out of range"),
    ("fresh", "true", "fresh = 'true' is of type str, but fresh is True or False"),
    ("fresh", 1, "is of type int"),
    ("batch_size", 0, "out of range"),
    ("dropout", 1.0, "out of range"),
    ("dropout", -0.1, "out of range"),
    ("seed", None, "is of type NoneType"),
    ("preset", "fast", "preset = 'fast' is not allowed: preset is one of auto, quick, full"),
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


class Kernel:
    """Stands in for an IPython kernel with a history of cells."""

    def __init__(self, monkeypatch, *cells):
        self.user_ns = {"In": ["", *cells, "lab = settings.resolve('02_imdb')"]}
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: self))


CHECK = "lab = settings.resolve('02_imdb', hidden_dim=hidden_dim)"


def test_an_unknown_name_in_papermills_cell_is_refused(monkeypatch):
    Kernel(monkeypatch, "hidden_dim: int = 0", '# Parameters\nhiden_dim = 128\nrun_dir = "a"\n')
    with pytest.raises(
        SettingsError, match="hiden_dim is no parameter of 02_imdb. Did you mean hidden_dim?"
    ):
        resolve("02_imdb")


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
def test_working_on_in_jupyterlab_never_trips(monkeypatch, cells):
    Kernel(monkeypatch, *cells)
    assert settings.injected_names() in ([], ["hidden_dim"])
    resolve("02_imdb")


@pytest.mark.parametrize(
    ("has", "seconds", "works", "expected"),
    [
        (True, 0.6, True, "bf16"),
        (False, 0.6, True, "fp32"),
        (True, 0.7, True, "fp32"),
        (True, 0.6, False, "fp32"),
    ],
    ids=["all is well", "no instructions", "instructions that are not faster", "PyTorch refuses"],
)
def test_bf16_only_where_it_is_faster_and_pytorch_takes_it(
    monkeypatch, has, seconds, works, expected
):
    """Reference: a product takes 1 second in fp32, so 0.6 s in bf16 are less than two thirds, and 0.7 s are not."""
    numerics.bf16_pays.cache_clear()
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(
        precision, "_seconds_of_product", lambda kind: seconds if kind == torch.bfloat16 else 1.0
    )
    if not works:
        monkeypatch.setattr(torch.nn.LSTM, "forward", refuse)
    assert settings.resolve("01_mnist", device="cpu").precision == expected
    numerics.bf16_pays.cache_clear()


def test_a_machine_near_the_threshold_stays_with_its_first_choice(monkeypatch, tmp_path):
    """Else the same command would sometimes be another run; a file of choices that is damaged is made anew."""
    memory = tmp_path / "runs" / ".precision.json"
    monkeypatch.setattr(precision, "_has_bf16", lambda: True)
    for pays, expected in ((True, "bf16"), (False, "bf16")):
        monkeypatch.setattr(precision, "bf16_pays", lambda pays=pays: pays)
        assert settings.resolve("01_mnist", device="cpu").precision == expected
    memory.write_text("{")
    assert numerics.choose(memory) == "fp32" == numerics.choose(memory)
    memory.write_text('{"another machine": "bf16"}')
    assert numerics.choose(memory) == "fp32" and "another machine" in memory.read_text()


def refuse(*_):
    raise RuntimeError("could not create a primitive descriptor")


def test_the_probe_draws_nothing_from_the_random_stream(monkeypatch):
    numerics.bf16_pays.cache_clear()
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(
        precision, "_seconds_of_product", lambda kind: 0.0
    )  # so that the LSTM is tried as well
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    numerics.bf16_pays()
    numerics.bf16_pays.cache_clear()
    assert torch.equal(torch.rand(1), expected)
