"""The run folder: what a run leaves behind, and whether it is finished.

`result.json` is written last and whole: a folder without it holds no result.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import matplotlib.figure
import torch
from torch import Tensor, nn

from labkit import sources
from labkit.training import Run

PACKAGES = ("torch", "torchvision", "datasets", "scikit-learn", "matplotlib", "seaborn", "numpy", "scipy", "papermill")
FIGURES = ("training_curves.png", "confusion_matrices.png", "tuning_curves.png")
NOT_IN_DIGEST = ("run_dir", "fresh", "lang")  # they change where a result lies and how it is labelled, not what it is
# of labkit's own source, read when it is loaded: a kernel goes on with the code it loaded, whatever is edited later
SOURCE_SHA256 = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
RECORDS = Path(__file__).parent / "records"  # results of longer runs that come with the course


class RunFolder:
    """The folder of one run. `finished` tells whether it already holds the result of just these settings and data."""

    def __init__(self, path: Path, settings: dict, data: dict, digest: str, finished: dict | None):
        self.path, self.settings, self.data, self.digest, self.finished = path, settings, data, digest, finished

    def recall(self, name: str, model: nn.Module | None = None) -> Run | None:
        """Return the Run that a finished run left under this name, or None if it is still to be trained.

        Its weights are those of `model`, copied and loaded; without a model (the linear baseline) it has none.
        """
        if not self.finished:
            return None
        again = "Set fresh = True and run the notebook from its parameters on."
        if name not in self.finished["models"]:
            raise ValueError(f"The finished run in {self.path} has no model {name}. {again}")
        record = self.finished["models"][name]
        if model is not None:
            model = copy.deepcopy(model)
            try:
                model.load_state_dict(self._stored(name)["weights"])
            except (OSError, RuntimeError) as error:
                raise ValueError(f"The finished run in {self.path} has no {name} of just this shape. {again}") from error
        return Run(model, record["history"], record["best_epoch"], record["train_seconds"], record["num_parameters"])

    def keep(self, name: str, run: Run, logits: Tensor) -> None:
        """Store a model's weights and its logits on the test set, so that a finished run can be shown again."""
        weights = run.model.state_dict() if isinstance(run.model, nn.Module) else {}
        stored = {"weights": {key: value.cpu() for key, value in weights.items()}, "logits": logits.cpu()}
        self._write(f"{name}.pt", lambda path: torch.save(stored, path))

    def test_logits(self, name: str) -> Tensor:
        """Return the stored logits of a model on the test set: (N, C)."""
        return self._stored(name)["logits"]

    def _stored(self, name: str) -> dict:
        return torch.load(self.path / f"{name}.pt", map_location="cpu", weights_only=True)

    def save_figure(self, figure: matplotlib.figure.Figure, name: str) -> Path:
        """Save a figure as PNG at 300 dpi and return where."""
        return self._write(name, lambda path: figure.savefig(path, dpi=300, bbox_inches="tight", format="png"))

    def save_text(self, text: str, name: str) -> Path:
        """Save a text as UTF-8 and return where."""
        return self._write(name, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def result(self, models: dict[str, dict]) -> dict:
        """Return what result.json is to hold: of a finished run, what it holds."""
        return self.finished or {
            "notebook": self.settings["notebook"],
            "preset": self.settings["preset"],
            "settings_sha256": self.digest,
            "parameters": {name: value for name, value in self.settings.items() if name != "notebook"},
            "data": self.data,
            "models": models,
            "environment": environment(self.settings["device"]),
        }

    def finish(self, result: dict) -> None:
        """Write result.json, the last of all: it says that the run is done."""
        if not self.finished:
            text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
            self.save_text(text, "result.json")
            self.finished = result

    def _write(self, name: str, write: Callable[[Path], object]) -> Path:
        """Write a file beside its place and move it there, so that it is never seen half done."""
        partial = self.path / f".{os.getpid()}-{name}"
        try:
            write(partial)
            os.replace(partial, self.path / name)
        finally:
            partial.unlink(missing_ok=True)
        return self.path / name


def open_run(lab: SimpleNamespace, data) -> RunFolder:
    """Open the folder of a run and say what is in it: lab from `settings.resolve`, data from `mnist.load` or `imdb.load`.

    Without `run_dir` the folder is chosen by a digest of all that determines the result. A finished run is
    shown, not repeated, unless `fresh`. Raises ValueError if `run_dir` holds the result of another run.
    """
    settings = dict(vars(lab))
    counts = {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    described = {"source": data.source, **counts, "sha256": data.sha256}
    determines = {name: value for name, value in settings.items() if name not in NOT_IN_DIGEST}
    determines |= {"data": described, "labkit": SOURCE_SHA256, "torch": torch.__version__}
    digest = hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()

    chosen = sources.runs_root() / lab.notebook / digest[:12]
    path = (Path(lab.run_dir).expanduser() if lab.run_dir else chosen).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
        result = path / "result.json"
        finished = json.loads(result.read_text(encoding="utf-8")) if result.exists() else None
        if finished and lab.fresh and finished["notebook"] == lab.notebook:
            for name in ("result.json", "report.txt", *FIGURES, *(f"{model}.pt" for model in finished["models"])):
                (path / name).unlink(missing_ok=True)
            finished = None
    except OSError as error:
        raise ValueError(f"The run folder {path} cannot be used ({error.strerror}): choose another run_dir.") from error
    if finished and finished.get("settings_sha256") != digest:
        raise ValueError(
            f"{path} holds the result of other settings, data or another version of labkit. "
            "Choose another run_dir, or set fresh = True to write over it."
        )
    print(f"run folder: {path}")
    if finished:
        print("This run is finished: its results are shown, not made again. fresh = True runs it anew.")
    return RunFolder(path, settings, described, digest, finished)


def model_record(run: Run, test: dict) -> dict:
    """Return what result.json holds of one model: history, best epoch, test scores, seconds and size."""
    return {
        "history": run.history,
        "best_epoch": run.best_epoch,
        "test": test,
        "train_seconds": run.train_seconds,
        "num_parameters": run.num_parameters,
    }


def record(notebook: str) -> dict:
    """Return the result of the longer run that comes with the course."""
    return json.loads((RECORDS / f"{notebook}.json").read_text(encoding="utf-8"))


def environment(device: str) -> dict:
    """Return what a result depends on besides its settings: versions, machine and device."""
    on_gpu = device.startswith("cuda")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "device_name": torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "labkit_sha256": SOURCE_SHA256,
    }
