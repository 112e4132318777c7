"""Checkpoints: what a training has reached after an epoch, so that a killed run goes on from there.

Random numbers are drawn anew from (seed, purpose, epoch) in every epoch, so no state of a random
generator is kept, and a run that went on ends with the same bits as one that was never stopped.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import hashlib
import io
import pickle
import re
from pathlib import Path

import torch

from labkit.machine import digests, environment, files, locks
from labkit.models.linear import LinearModel
from labkit.training import Run, TrainingConfig


class Checkpoints:
    """The checkpoints of one training, in a folder that this process has locked."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.identity: dict = {}  # of the training that goes on here
        self.place: dict = {}  # where it goes on: bits agree on one machine, with as many threads

    def recall(self, model, data, config: TrainingConfig | None) -> Run | None:
        """Note which training this is; return None, since checkpoints keep no finished training."""
        self.identity = identify(model, data, config)
        self.place = environment.place(config.device if config else "cpu")

    def latest(self) -> dict | None:
        """Return the newest state that is whole and this training's, or None."""
        for path in reversed(self._paths().values()):
            try:
                state = read_state(path)
            except ValueError as error:
                print(f"{error}: the checkpoint before it, if there is one, is used.")
                continue
            here, found = self.identity | self.place, state.pop("identity")
            if found == here:
                return state
            print(f"{self.name}: {differences(here, found)}: trained anew.")
            delete(self.folder, self.name)
            return None
        return None

    def save(self, epoch: int, state: dict) -> None:
        """Write the state after an epoch; keep the one before, in case this is damaged."""
        path = self.folder / f"{self.name}.epoch-{epoch}.pt"
        write_state(path, {"identity": self.identity | self.place, **state})
        for other, old in self._paths().items():
            if other not in (epoch - 1, epoch):
                old.unlink(missing_ok=True)

    def keep(self, run: Run) -> None:
        """Keep nothing of a finished training."""

    def history(self, seen: int = 0) -> list[dict]:
        """Return the epochs after the first `seen`, perhaps of another process's training."""
        with contextlib.suppress(OSError, ValueError):  # the folder may not be there
            paths = self._paths()
            if max(paths, default=0) > seen:
                return read_state(paths[max(paths)])["history"][seen:]
        return []

    def _paths(self) -> dict[int, Path]:
        """Return the files by their epochs, oldest first."""
        ours = re.compile(re.escape(self.name) + r"\.epoch-(\d+)\.pt")
        found = {path: ours.fullmatch(path.name) for path in self.folder.iterdir()}
        return dict(sorted((int(match[1]), path) for path, match in found.items() if match))


def identify(model, data, config: TrainingConfig | None) -> dict:
    """Name what decides a training's numbers: settings, data, code, and the model at its start.

    A model is known by what it is made of, its first weights and its logits for one batch, with
    dropout at work: a changed `forward` or a changed dropout is another model. The linear one has
    no first weights: what it makes of a few texts stands for them. Data are known by what they hold
    and by one batch.
    """
    settings = dataclasses.asdict(config) if config else {}
    settings.pop("device", None)  # says where, not what
    order = data.train.order(32, torch.Generator().manual_seed(0))
    shown = data.validation.order(32)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        batch = data.train.batch(order[0])
        *inputs, _ = data.validation.batch(shown[len(shown) // 2])
        if isinstance(model, LinearModel):
            first = [model.terms.build_analyzer()(text) for text in data.train.texts[:20]]
        else:
            probe = copy.deepcopy(model).cpu().train()
            first = [model.state_dict(), probe(*inputs)]
    return {
        **settings,
        **identify_code(),
        "model": f"{type(model).__qualname__} {model!r}",
        "model's first bits": digests.of(first),
        "training data": digests.of(data.train, batch),
        "validation data": digests.of(data.validation),
    }


def identify_code() -> dict[str, str]:
    """Name the code that computes: labkit's source for data, models and training, and PyTorch."""
    return {"labkit's source": environment.SOURCE_SHA256, "torch": f"{torch.__version__}"}


def differences(identity: dict, found: dict) -> str:
    """Say what has changed between two trainings, as the beginning of a sentence."""
    names = [key for key in identity | found if identity.get(key) != found.get(key)]
    return f"{', '.join(names)} changed since it was trained here"


def delete(folder: Path, name: str = "*") -> None:
    """Delete the checkpoints of a training, or of all in a folder, which may be only lent."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{name}.epoch-*.pt"):
            path.unlink(missing_ok=True)


def write_state(path: Path, state: dict) -> None:
    """Write weights and whatever else is tensors, numbers and texts, with a SHA-256 in front.

    Raises OSError if it cannot be written, ValueError if the folder is no longer ours.
    """
    content = io.BytesIO()
    torch.save(state, content)
    whole = hashlib.sha256(content.getvalue()).digest() + content.getvalue()
    try:
        locks.check_lock(path.parent)
        files.write_whole(path, lambda partial: partial.write_bytes(whole))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise OSError(
            f"{path} could not be written ({error.strerror}). {'Make room' if full else 'Mend it'} "
            "there and give the same command again: it goes on from the last epoch that was saved."
        ) from error


def read_state(path: Path) -> dict:
    """Read what `write_state` wrote; raise ValueError if it cannot be read or is damaged."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            raise ValueError("its content does not match its SHA-256")
        # weights_only runs no code
        return torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        reason = f"{error}".partition("\n")[0]
        raise ValueError(f"{path} is damaged ({reason})") from error
