"""Checkpoints: what a training has reached at the end of an epoch, so that a killed run goes on from there.

Randomness is drawn anew from (seed, purpose, epoch) when an epoch begins, so no state of a random generator
needs to be kept, and a run that went on ends with the same bits as one that was never stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from labkit.machine import files, locks

DAMAGED = (OSError, ValueError, RuntimeError, KeyError, AttributeError, pickle.UnpicklingError)  # what reading one raises


class CheckpointError(ValueError):
    """A checkpoint that belongs to another training, cannot be trusted, or cannot be written."""


class Checkpoints:
    """The checkpoints of one training, in the folder of its run."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name

    def save(self, epoch: int, identity: dict, state: dict) -> None:
        """Write the state after an epoch; keep that of the epoch before, should this one be damaged, and delete all others.

        Raises CheckpointError if the disk is full.
        """
        content = io.BytesIO()
        torch.save({"identity": identity, **state}, content)
        content = content.getvalue()
        path = self.folder / f"{self.name}.epoch-{epoch}.pt"
        try:
            locks.check_lock(self.folder)
            files.write_whole(path, lambda partial: partial.write_bytes(hashlib.sha256(content).digest() + content))
        except OSError as error:
            raise CheckpointError(
                f"{path} could not be written ({error.strerror}). Make room there and give the same command again: "
                "it goes on from the last epoch that was saved."
            ) from error
        for other, old in self._paths().items():
            if other not in (epoch - 1, epoch):
                old.unlink(missing_ok=True)

    def latest(self, identity: dict) -> dict | None:
        """Return the newest state that is whole, or None. Raises CheckpointError if it is that of another training."""
        for path in reversed(self._paths().values()):
            try:
                state = _read(path)
                found = state.pop("identity")
            except DAMAGED as error:
                print(f"{path} is damaged or no checkpoint ({str(error).splitlines()[0]}): the one before it is taken.")
                continue
            differ = [key for key in identity | found if identity.get(key) != found.get(key)]
            if differ:
                raise CheckpointError(
                    f"{path} is the checkpoint of another training: {', '.join(differ)} differ. Choose another "
                    "run_dir, or delete this one to start over."
                )
            return state
        return None

    def history(self, seen: int = 0) -> list[dict]:
        """Return the epochs after the first `seen` that a training, perhaps another process's, has finished by now."""
        with contextlib.suppress(*DAMAGED):  # the folder may not be there yet, or no more
            paths = self._paths()
            if max(paths, default=0) > seen:
                return _read(paths[max(paths)])["history"][seen:]
        return []

    def _paths(self) -> dict[int, Path]:
        """Return the files by their epochs, oldest first."""
        found = {path: re.fullmatch(re.escape(self.name) + r"\.epoch-(\d+)\.pt", path.name) for path in self.folder.iterdir()}
        return dict(sorted((int(match[1]), path) for path, match in found.items() if match))


def _read(path: Path) -> dict:
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise ValueError("its content does not match its SHA-256")
    return torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)  # runs no code


def delete(folder: Path) -> None:
    """Delete all checkpoints of a finished run; a kill, or a folder that is only lent, may have left some there."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*.epoch-*.pt"):
            path.unlink(missing_ok=True)


def weights_sha256(weights: dict[str, Tensor]) -> str:
    """Return SHA-256 over the names, shapes and bytes of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.view(-1).view(torch.uint8).numpy().tobytes() if values.dim() else values.numpy().tobytes())
    return digest.hexdigest()
