"""A run becomes one HTML file: its models' rounded weights, its words, and the scripts of the page.

Shapes: V words in the vocabulary. A matrix is rounded to int8 with one scale per row, row by row; a
vector stays float32.
"""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from IPython.display import HTML
from torch import Tensor

from labkit import probes
from labkit.data import imdb, mnist, official
from labkit.data.words import UNKNOWN
from labkit.language import word
from labkit.machine import files, paths
from labkit.models.classifiers import LeNet, SequenceClassifier, TextClassifier
from labkit.models.linear import LinearModel
from labkit.runs import checkpoints, compare

FOLDER = Path(__file__).parent
MODELS = {"01_mnist": ("RNN", "LSTM", "LeNet"), "02_imdb": ("linear", "RNN", "LSTM")}
ALT = {
    "01_mnist": "A page on which you draw a digit. RNN, LSTM and LeNet answer after each of its 32 "
    "rows, each in a panel of ten columns; below, a table of their answers.",
    "02_imdb": "A page on which you type a sentence. Under each word stands how far it moved the "
    "logit; a curve follows each model through the words and on through the padding.",
}
NUM_WORDS = 5_000  # the most frequent ones; the page reads all others as <unk>
NUM_TERMS = 30_000  # the words and pairs that weigh most in the linear model
KEPT = {"trained": "as trained", "rounded": "rounded", "words": "rounded and with 5,000 words"}
KEPT |= {"terms": "with 30,000 words and pairs"}
ODD, ODD_WORDS = "It's<br />A_1: 10/10, café!", ["itsbr", "a_1", "1010", "café"]  # as the page
NUM_SCORED = 1_000  # test examples on which the cost of rounding is measured


@dataclass(frozen=True)
class Exported:
    """Where the page lies, its models with the weights that it holds, and what they cost."""

    path: Path
    notebook: str
    models: dict[str, probes.Model]
    accuracy: dict[str, dict[str, float]]  # model → how its weights are kept → test accuracy
    num_scored: int


def show(folder: Path, data: mnist.Digits | imdb.Reviews | None = None) -> HTML:
    """Return the page of a finished run for a notebook's cell.

    That is a still picture of such a page and, hiding it where scripts may run, the page in a
    frame. Raises ValueError as `write` does.
    """
    written = write(folder, data=data)
    still = base64.b64encode((FOLDER / f"{written.notebook}.png").read_bytes()).decode()
    alt = word(ALT[written.notebook])
    picture = f'<img alt="{alt}" src="data:image/png;base64,{still}" style="max-width: 100%">'
    # without line ends it is one line of the notebook's file, which is easily left out
    source = html.escape(written.path.read_text(encoding="utf-8")).replace("\n", "&#10;")
    frame = f'<iframe title="labkit page" style="display: none; border: 0" srcdoc="{source}">'
    return HTML(f"{picture}{frame}</iframe>")


def write(
    folder: Path, output: Path | None = None, data: mnist.Digits | imdb.Reviews | None = None
) -> Exported:
    """Write the page of a finished run, by default as page.html into its folder.

    data: of the run, if they are at hand; else they are loaded. Raises ValueError if the folder has
    no finished run, or one that the page cannot show.
    """
    result = compare.read_result(folder / "result.json")
    asked, notebook = result["parameters"], result["notebook"]
    if notebook == "02_imdb" and probes.words.tokenize(ODD) != ODD_WORDS:
        raise ValueError("`tokenize` was changed, and the page can split words only as it did.")
    data = data or _load(result)
    if data.sha256 != result["data"]["edition_sha256"]:
        raise ValueError(f"{folder} was run on another edition of the data than is here.")
    part = probes.some(data.test, NUM_SCORED)
    words = data.vocabulary.words[: UNKNOWN + 1 + NUM_WORDS] if notebook == "02_imdb" else []
    models, accuracy, encoded = {}, {}, {}
    for name in (name for name in MODELS[notebook] if name in result["models"]):
        trained = checkpoints.read_state(folder / f"{name}.weights.pt")["weights"]
        kept = {"trained": (trained, part)}
        if name == "linear":
            some, trained = trained["coef"].shape[1] > NUM_TERMS, heaviest(trained)
            kept |= {"terms": (trained, part)} if some else {}
        else:
            kept["rounded"] = (rounded(trained), part)
        if "embedding.weight" in trained:
            vectors = trained["embedding.weight"]
            if len(vectors) != len(data.vocabulary):
                raise ValueError(f"{folder} was run with another vocabulary than labkit's is here.")
            trained = trained | {"embedding.weight": vectors[: len(words)]}
            known = replace(part, ids=part.ids.where(part.ids < len(words), UNKNOWN))
            kept["words"] = (rounded(trained), known)
        accuracy[name], encoded[name] = {}, {"cell": name, "weights": encode(trained)}
        for how, (weights, examples) in kept.items():
            models[name] = build(name, weights, asked)
            accuracy[name][how] = probes.accuracy(models[name], examples)
    shown = {"notebook": notebook, "parameters": asked, "words": words, "models": encoded}
    shown |= {"accuracy": accuracy, "num_scored": len(part), "num_train": result["data"]["train"]}
    path = files.write_text(output or folder / "page.html", page(shown))
    return Exported(path, notebook, models, accuracy, len(part))


def build(name: str, weights: dict[str, Tensor], asked: dict) -> probes.Model:
    """Return a model of the course with these weights; its sizes are those of the weights.

    Raises ValueError if they are of another model.
    """
    if name == "linear":
        model = LinearModel()
        model.load_state_dict(weights | {"coef": weights["coef"].view(1, -1)})
        return model
    if name == "LeNet":
        model = LeNet()
    elif "embedding.weight" in weights:
        sizes = (*weights["embedding.weight"].shape, asked["hidden_dim"], asked["n_layers"])
        model = TextClassifier(name, *sizes, asked["bidirectional"], readout=asked["readout"])
    else:
        model = SequenceClassifier(name, mnist.SIZE, asked["hidden_size"], asked["num_layers"])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{name} is not the course's {name}: the page cannot show it.") from error
    return model.eval()


def heaviest(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a linear model's weights for those NUM_TERMS words and pairs alone that weigh most."""
    terms = bytes(weights["terms"].numpy()).decode().split("\n")
    weight = (weights["coef"][0] * weights["idf"]).abs()
    kept = weight.argsort(descending=True, stable=True)[:NUM_TERMS].sort().values
    text = bytearray("\n".join(terms[k] for k in kept).encode())
    few = weights | {"coef": weights["coef"][0, kept], "idf": weights["idf"][kept]}
    few = {name: w.float() for name, w in few.items()}
    return few | {"terms": torch.frombuffer(text, dtype=torch.uint8)}


def rounded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as the page keeps them: matrices rounded to 255 steps a row."""
    return {name: torch.mul(*_int8(w)) if w.dim() > 1 else w for name, w in weights.items()}


def _int8(w: Tensor) -> tuple[Tensor, Tensor]:
    """Return w (rows, …) as int8 and the scale of each row (rows, 1, …): w ≈ int8 · scale."""
    scale = w.abs().amax(dim=tuple(range(1, w.dim())), keepdim=True) / 127
    return (w / scale.where(scale > 0, 1)).round().to(torch.int8), scale


def encode(weights: dict[str, Tensor]) -> dict[str, dict]:
    """Return weights as the page's script reads them: shape, and base64 of little-endian bytes."""
    encoded = {}
    for name, w in weights.items():
        if w.dtype == torch.uint8:  # a text
            encoded[name] = bytes(w.numpy()).decode()
            continue
        int8, scale = _int8(w) if w.dim() > 1 else (None, w)
        encoded[name] = {"shape": list(w.shape), "float32": _base64(scale)}
        if int8 is not None:
            encoded[name]["int8"] = _base64(int8)
    return encoded


def _base64(tensor: Tensor) -> str:
    array = tensor.contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def page(shown: dict) -> str:
    """Return the page: the template with its scripts and the run put in their places."""
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    run = json.dumps(shown, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")

    def script(match: re.Match) -> str:
        return f"<script>\n{(FOLDER / match[1]).read_text(encoding='utf-8')}</script>"

    whole = re.sub(r'<script src="(\w+\.js)"></script>', script, template)
    empty = '<script id="run" type="application/json">'
    return whole.replace(empty, empty + run)


def _load(result: dict) -> mnist.Digits | imdb.Reviews:
    """Load the data of a run; of the training part only what the vocabulary needs."""
    asked = result["parameters"]
    key = {"01_mnist": "mnist", "02_imdb": "imdb"}[result["notebook"]]
    if asked["data_source"] == "official" and not official.is_there(key):
        raise ValueError(
            f"This run was trained on the official data of {key}, which are not in "
            f"{paths.data_root()}: set LABKIT_DATA to where they are, or `labkit data get {key}`."
        )
    if result["notebook"] == "01_mnist":
        return mnist.load(asked["data_source"], 1)
    sizes = (asked[name] for name in ("num_test", "max_len", "min_freq", "tail"))
    return imdb.load(asked["data_source"], 1, *sizes, pad_to_max_len=asked["readout"] == "padded")
