"""What a result depends on besides its settings: the machine, the versions, the device and the source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch
from threadpoolctl import threadpool_info

from labkit.machine import paths

PACKAGES = (
    "torch",
    "torchvision",
    "datasets",
    "scikit-learn",
    "matplotlib",
    "seaborn",
    "numpy",
    "scipy",
    "papermill",
)
# of labkit's own source, read when it is loaded: a kernel goes on with the code it loaded, whatever is edited later
SOURCE_SHA256 = hashlib.sha256(
    b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()


def environment(device: str) -> dict:
    """Return what a result depends on besides its settings: versions, machine and device."""
    on_gpu = device.startswith("cuda")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "device_name": torch.cuda.get_device_name(device)
        if on_gpu
        else f"CPU, {torch.get_num_threads()} threads",
        "capability": _capability(device),
        "cpu": _processor(),
        "blas": _linear_algebra(),
        "tf32": torch.backends.cudnn.allow_tf32 if on_gpu else False,
        "labkit_sha256": SOURCE_SHA256,
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain", "--", "labkit", "notebooks")),
    }


def _capability(device: str) -> str:
    """Return which instructions PyTorch uses: of a GPU its compute capability, like 9.0, of a CPU like AVX512."""
    if device.startswith("cuda"):
        return ".".join(map(str, torch.cuda.get_device_capability(device)))
    return torch.backends.cpu.get_cpu_capability()


def _processor() -> str:
    """Return the processor's model, cache and arithmetic instructions: two that differ in one may round differently."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    has = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in first.splitlines())
    }
    flags = sorted(
        flag
        for flag in has.get("flags", "").split()
        if flag.startswith(("sse", "avx", "amx", "fma", "f16c"))
    )
    shown = [
        has.get(name, "")
        for name in ("model name", "cpu family", "model", "stepping", "cache size")
    ]
    return f"{', '.join(filter(None, shown))}, {hashlib.sha256(' '.join(flags).encode()).hexdigest()[:8]}"


def _linear_algebra() -> str:
    """Return which kernels numpy and scipy multiply with: OpenBLAS chooses them by the processor, or as it is told to."""
    found = {
        f"{each['internal_api']} {each['version']} {each['architecture']}"
        for each in threadpool_info()
        if "architecture" in each
    }
    return ", ".join(sorted(found))


def _git(*arguments: str) -> str:
    """Return what git says of the checkout, or nothing where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", paths.CHECKOUT, *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
