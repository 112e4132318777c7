"""The run folder: what a run leaves behind, and whether it is finished.

`result.json` is written last and whole: a folder without it holds no result.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import matplotlib.figure
import torch
from torch import Tensor, nn

from labkit.data import official
from labkit.machine import environment, files, locks, paths
from labkit.runs import checkpoints
from labkit.runs.checkpoints import Checkpoints, weights_sha256
from labkit.training import Run

FIGURES = ("training_curves.png", "confusion_matrices.png", "tuning_curves.png")
NOT_IN_DIGEST = ("run_dir", "fresh", "lang")  # they change where a result lies and how it is labelled, not what it is
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
        found = [record[field] for field in ("history", "best_epoch", "train_seconds", "num_parameters", "diverged")]
        return Run(model, *found)

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
            "environment": environment.environment(self.settings["device"]),
        }

    def finish(self, result: dict) -> None:
        """Write result.json, the last of all: it says that the run is done."""
        if not self.finished:
            text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
            self.save_text(text, "result.json")
            self.finished = result
            checkpoints.delete(self.path)
            locks.unlock(self.path)

    def checkpoints(self, name: str) -> Checkpoints:
        """Return where the training of a model keeps its state after each epoch."""
        return Checkpoints(self.path, name)

    def _write(self, name: str, write: Callable[[Path], object]) -> Path:
        """Write a file that is never seen half done. A finished run, which anyone may show, is this process's just for that."""
        if self.finished:
            locks.lock(self.path)
        try:
            locks.check_lock(self.path)
            return files.write_whole(self.path / name, write)
        finally:
            if self.finished:
                locks.unlock(self.path)


def open_run(lab: SimpleNamespace, data) -> RunFolder:
    """Open the folder of a run and say what is in it: lab from `settings.resolve`, data from `mnist.load` or `imdb.load`.

    Without `run_dir` the folder is chosen by a digest of all that determines the result. A finished run is
    shown, not repeated, unless `fresh`. Raises ValueError if `run_dir` holds the result of another run.
    """
    settings = dict(vars(lab))
    counts = {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    described = {"source": data.source, **counts, "sha256": data.sha256}
    determines = {name: value for name, value in settings.items() if name not in NOT_IN_DIGEST}
    determines |= {"data": described, "labkit": environment.SOURCE_SHA256, "torch": torch.__version__}
    digest = hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()

    chosen = paths.runs_root() / lab.notebook / digest[:12]
    path = (Path(lab.run_dir).expanduser() if lab.run_dir else chosen).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if lab.fresh or not (path / "result.json").exists():  # one that is finished can be looked at by many
            locks.lock(path)
        finished = _begin(path, lab, determines, digest)
    except OSError as error:
        locks.unlock(path)
        instead = "choose another run_dir" if lab.run_dir else "set LABKIT_RUNS to another folder"
        raise ValueError(f"The run folder {path} cannot be used ({error.strerror}): {instead}.") from error
    except ValueError:
        locks.unlock(path)
        raise
    print(f"run folder: {path}")
    if finished:
        print("This run is finished: its results are shown, not made again. fresh = True runs it anew.")
    return RunFolder(path, settings, described, digest, finished)


def _begin(path: Path, lab: SimpleNamespace, determines: dict, digest: str) -> dict | None:
    """Return the finished result in a folder, or None once the folder says in run.json which run begins there.

    `fresh` repeats what is finished; a run that it has begun goes on, should it be stopped, when it is given again.
    """
    finished, there = (files.read_json(path / name, damaged_is_absent=lab.fresh) for name in ("result.json", "run.json"))
    begun = there == determines and not (path / "result.json").exists()
    if lab.fresh and not begun and (there or finished or determines)["notebook"] == lab.notebook:
        models = [f"{model}.pt" for model in finished["models"]] if finished else []
        # only what labkit wrote; run.json last, so that a kill in between never leaves checkpoints of a run without a name
        for pattern in ("result.json", "report.txt", "*.epoch-*.pt", *models, *FIGURES, "run.json"):
            for file in path.glob(pattern):
                file.unlink()
        finished, there = None, None
    names = [name for name in determines | (there or {}) if there and there.get(name) != determines.get(name)]
    if names or (finished and finished.get("settings_sha256") != digest):
        differ = ", ".join(f"{name} ({there.get(name)!r} there)" for name in names)
        raise ValueError(
            f"{path} holds a run of other settings, data or another version of labkit: {differ or 'an older one'}. "
            "Choose another run_dir, or set fresh = True to write over it."
        )
    if not there and not finished:
        text = json.dumps(determines, indent=1, ensure_ascii=False)
        files.write_whole(path / "run.json", lambda partial: partial.write_text(text, encoding="utf-8"))
    if finished:
        checkpoints.delete(path)
    return finished


def model_record(run: Run, test: dict) -> dict:
    """Return what result.json holds of one model: history, best epoch, test scores, seconds, size and digest of weights."""
    return {
        "history": run.history,
        "best_epoch": run.best_epoch,
        "test": test,
        "train_seconds": run.train_seconds,
        "num_parameters": run.num_parameters,
        "weights_sha256": weights_sha256(_weights(run.model)),
        "diverged": run.diverged,
    }


def _weights(model: object) -> dict[str, Tensor]:
    """Return the weights of a network, or of the linear baseline."""
    if isinstance(model, nn.Module):
        return model.state_dict()
    return {name: torch.from_numpy(getattr(model[-1], name)) for name in ("coef_", "intercept_")} if model else {}


def record(notebook: str) -> dict:
    """Return the result of the longer run that comes with the course."""
    return json.loads((RECORDS / f"{notebook}.json").read_text(encoding="utf-8"))
