"""What a result depends on besides its settings: the machine, the versions, the device and the source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from labkit import sources

PACKAGES = ("torch", "torchvision", "datasets", "scikit-learn", "matplotlib", "seaborn", "numpy", "scipy", "papermill")
# of labkit's own source, read when it is loaded: a kernel goes on with the code it loaded, whatever is edited later
SOURCE_SHA256 = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


def environment(device: str) -> dict:
    """Return what a result depends on besides its settings: versions, machine and device."""
    on_gpu = device.startswith("cuda")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "device_name": torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "tf32": torch.backends.cudnn.allow_tf32 if on_gpu else False,
        "labkit_sha256": SOURCE_SHA256,
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain", "--", "labkit", "notebooks")),
    }


def _git(*arguments: str) -> str:
    """Return what git says of the checkout, or nothing where there is no git or no checkout."""
    try:
        done = subprocess.run(["git", "-C", sources.CHECKOUT, *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
