"""The run folder: what a run leaves behind, and how a finished or stopped one is found again.

`result.json` is written last and whole: a folder without it holds no result.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import matplotlib.figure
from torch import Tensor, nn

from labkit import metrics, training
from labkit.machine import digests, environment, files, locks, paths
from labkit.models.linear import LinearModel
from labkit.runs import checkpoints, summary
from labkit.runs.checkpoints import Checkpoints, read_state, write_state
from labkit.training import Run, TrainingConfig

FIGURES = ("training_curves.png", "confusion_matrices.png", "tuning_curves.png", "probe_*.png")
# Where a result lies, whether it is made again and how it is labelled do not make it another run.
NOT_OF_THE_RUN = ("run_dir", "fresh", "lang", "asked")
# A finished run may be looked at elsewhere; one that is only begun trains its models anew there.
OF_THE_PLACE, OF_THE_CODE = ("device", "threads"), ("labkit's source", "torch")
REFERENCE = Path(__file__).parent / "reference"  # results of longer runs that come with the course


def open_run(config: SimpleNamespace, data) -> RunFolder:
    """Open the folder of a run and say what is in it.

    config: from `settings`; data: from `mnist.load` or `imdb.load`. Without `run_dir` the folder is
    chosen by a digest of all that determines the result. A finished run is shown, not repeated;
    `fresh` starts over. Raises ValueError if `run_dir` holds a run of other settings or code.
    """
    settings = {key: value for key, value in vars(config).items() if key not in NOT_OF_THE_RUN}
    parts = {part: getattr(data, part) for part in ("train", "validation", "test")}
    described = {"source": data.source, "edition_sha256": data.sha256}
    described |= {"classes": list(data.classes)} | {part: len(parts[part]) for part in parts}
    described["sha256"] = digests.of(parts)  # of what is really used, whatever a cell has changed
    determines = settings | checkpoints.identify_code() | {"data": described}
    digest = digests.of(json.dumps(determines, sort_keys=True))

    path = Path(config.run_dir or paths.runs_root() / config.notebook / digest[:12])
    try:
        path = path.expanduser().resolve()
        path.mkdir(parents=True, exist_ok=True)
        if config.fresh or not (path / "result.json").exists():  # anyone may look at a finished one
            locks.lock(path)
        finished = _begin(path, config, determines)
    except (OSError, RuntimeError, ValueError) as error:
        locks.unlock(path)
        if isinstance(error, ValueError):
            raise
        why = getattr(error, "strerror", error)  # a RuntimeError of ~nobody has none
        instead = "choose another run_dir" if config.run_dir else "set LABKIT_RUNS to another"
        raise ValueError(f"{path} cannot be used ({why}): {instead}.") from error
    print(f"run folder: {path}")
    if finished:
        shown = "its results are shown, not made again. fresh = True starts over."
        print(f"This run is finished: {shown}")
    elif not any(path.glob("*.pt")):
        print("No model is trained yet with these settings, data and code, so all will be trained.")
    result = {"notebook": config.notebook, "preset": config.preset, "settings_sha256": digest}
    result |= {"parameters": settings | {"lang": config.lang}, "data": described}
    return RunFolder(path, result, finished)


def _begin(path: Path, config: SimpleNamespace, determines: dict) -> dict | None:
    """Return the finished result in a folder; else let run.json say which run begins there."""
    names = ("result.json", "run.json")
    finished, there = (files.read_json(path / name, config.fresh) for name in names)
    if config.fresh and (there or determines)["notebook"] == config.notebook:
        _clear(path)
        finished, there = None, None
    elif finished and there is None:
        raise ValueError(f"{path} holds a result of an older labkit. Choose another run_dir.")
    if not finished:
        locks.lock(path)  # another process may just have taken the result away
    differ = [key for key in determines if there and there.get(key) != determines[key]]
    if finished:
        differ = [key for key in differ if key not in OF_THE_PLACE]
    may_differ = ("data",) if finished else ("data", *OF_THE_PLACE, *OF_THE_CODE)
    if wrong := [key for key in differ if key not in may_differ]:
        shown = ", ".join(f"{key} ({there.get(key)!r} there)" for key in wrong)
        instead = "" if config.fresh else ", or set fresh = True to write over it"
        other = f"{path} holds a run of other settings or code: {shown}"
        raise ValueError(f"{other}. Choose another run_dir{instead}.")
    if differ:
        print(f"{', '.join(differ)} changed since the run in this folder: it is made anew.")
        locks.lock(path)
        (path / "result.json").unlink(missing_ok=True)
        finished = None
    if differ or not there:
        files.write_json(path / "run.json", determines)
    if finished:
        checkpoints.delete(path)  # a kill may have left some
    return finished


def _clear(path: Path) -> None:
    """Delete what labkit wrote; run.json last, so that a kill leaves nothing without a name."""
    written = ("result.json", "report.txt", "page.html", *FIGURES)
    for pattern in (*written, "*.epoch-*.pt", "*.weights.pt", "*.test.pt", "run.json"):
        for file in path.glob(pattern):
            file.unlink()


class Place(Checkpoints):
    """Where one model of a run keeps its checkpoints, and what it is once it is trained."""

    def __init__(self, run_folder: RunFolder, name: str):
        super().__init__(run_folder.path, name)
        self.run_folder = run_folder

    def recall(self, model, data, config: TrainingConfig | None) -> Run | None:
        """Return this very training if it is finished, None if it is still to be done.

        Raises ValueError if its file is damaged.
        """
        super().recall(model, data, config)
        self.run_folder.identities[self.name] = self.identity
        path = self.folder / f"{self.name}.weights.pt"
        if path.exists():
            try:
                stored = read_state(path)
            except ValueError as error:
                instead = "Set fresh = True to train again, or choose another run_dir."
                raise ValueError(f"{error}. {instead}") from error
            here, found = self.identity | self.place, stored["identity"]
            if self.run_folder.finished and not self.place.items() <= found.items():
                # made elsewhere, and to be looked at, bits or not
                found |= {name: here[name] for name in ("model's first bits", *self.place)}
            if found == here:
                model = copy.deepcopy(model)
                model.load_state_dict(stored["weights"])
                model = model.to(config.device) if isinstance(model, nn.Module) else model
                return Run(model, **stored["run"])
            print(f"{self.name}: {checkpoints.differences(here, found)}: trained anew.")
        self.run_folder.reopen()
        return None

    def keep(self, run: Run) -> None:
        """Store a trained model, whose checkpoints are then of no more use."""
        weights = {key: value.cpu() for key, value in run.model.state_dict().items()}
        state = {"identity": self.identity | self.place, "weights": weights, "run": _about(run)}
        write_state(self.folder / f"{self.name}.weights.pt", state)
        checkpoints.delete(self.folder, self.name)


def _about(run: Run) -> dict:
    """Return what is known of a training besides its model."""
    return {key: value for key, value in vars(run).items() if key != "model"}


class RunFolder:
    """The folder of one run. `finished` is the result that it already holds, or None."""

    def __init__(self, path: Path, result: dict, finished: dict | None):
        self.path, self.result, self.finished = path, result, finished
        self.identities: dict[str, dict] = {}  # what decides each model's numbers
        self.models: dict[str, dict] = {}  # what result.json says of each model tested so far
        self.logits: dict[str, Tensor] = {}  # of each model on the test set

    def at(self, name: str) -> Place:
        """Return the place of a model, for `training.fit`."""
        return Place(self, name)

    def test(self, name: str, run: Run, part) -> dict:
        """Score a model on the test set once; the second time its logits are remembered.

        Returns `metrics.test_scores`.
        """
        weights = digests.weights_sha256(run.model.state_dict())
        identity = {"weights": weights, "data": digests.of(part)}
        path = self.path / f"{name}.test.pt"
        logits = None
        with contextlib.suppress(ValueError):  # not there yet, or damaged
            stored = read_state(path)
            logits = stored["logits"] if stored["identity"] == identity else None
        if logits is None:
            linear = isinstance(run.model, LinearModel)
            logits = run.model.logits(part) if linear else training.predict(run.model, part).cpu()
            state = {"identity": identity, "logits": logits}
            self._while_locked(lambda: write_state(path, state))
        self.logits[name] = logits
        scores = metrics.test_scores(logits, part.y.cpu())
        whence = {"weights_sha256": weights, "identity": self.identities.get(name, {})}
        self.models[name] = _about(run) | {"test": scores} | whence
        return scores

    def finish(self) -> dict:
        """Write report.txt, and result.json last: it says that the run is done. Return it."""
        asked, result = self.result["parameters"], self.finished
        if not result:
            here = environment.environment(asked["device"])
            result = self.result | {"models": self.models, "environment": here}
        result = result | {"parameters": result["parameters"] | {"lang": asked["lang"]}}
        self.save_text(summary.report(result, asked["lang"]), "report.txt")
        if result != self.finished:
            self._while_locked(lambda: files.write_json(self.path / "result.json", result))
            self.finished = result
            checkpoints.delete(self.path)
            locks.unlock(self.path)
        return result

    def save_figure(self, figure: matplotlib.figure.Figure, name: str) -> Path:
        """Save a figure as PNG at 300 dpi and return where."""
        how = {"dpi": 300, "bbox_inches": "tight", "format": "png"}
        return self._write(name, lambda path: figure.savefig(path, **how))

    def save_text(self, text: str, name: str) -> Path:
        """Save a text as UTF-8 and return where."""
        return self._write(name, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def reopen(self) -> None:
        """Take the result of a finished run away, since a model of it is trained anew."""
        locks.lock(self.path)
        (self.path / "result.json").unlink(missing_ok=True)
        self.finished = None

    def _write(self, name: str, write: Callable[[Path], object]) -> Path:
        """Write a file of this run, whole."""
        return self._while_locked(lambda: files.write_whole(self.path / name, write))

    def _while_locked(self, write: Callable[[], Path]) -> Path:
        """Write if the folder is ours. A finished run, open to anyone, is locked just for that."""
        if not self.finished:
            locks.check_lock(self.path)
            return write()
        try:
            locks.lock(self.path)
            return write()
        except OSError:  # another user's: it is shown, and nothing written anew
            return self.path
        finally:
            locks.unlock(self.path)


def reference_run(notebook: str) -> dict:
    """Return the result of the longer run that comes with the course."""
    return json.loads((REFERENCE / f"{notebook}.json").read_text(encoding="utf-8"))
