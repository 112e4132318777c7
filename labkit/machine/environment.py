"""What a result depends on besides its settings: machine, versions, device and source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import platform
import subprocess
import tokenize
from pathlib import Path

import torch
from threadpoolctl import threadpool_info

from labkit.machine import paths

PACKAGES = "torch torchvision datasets scikit-learn matplotlib seaborn numpy scipy papermill"
COMPUTES = "data/*.py models/*.py training.py metrics.py machine/numerics.py machine/digests.py"


def _source_sha256(package: Path) -> str:
    """Return SHA-256 of the code of a package that computes numbers."""
    files = [file for pattern in COMPUTES.split() for file in sorted(package.glob(pattern))]
    texts = [_code(file.read_text(encoding="utf-8")) for file in files]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _code(source: str) -> str:
    """Return source without comments, docstrings and empty lines: alike in every Python version."""
    lines, spans, before = source.split("\n"), [], tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        begins = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)  # a statement
        if token.type == tokenize.COMMENT or token.type == tokenize.STRING and begins:
            spans.append((*token.start, *token.end))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    for first, left, last, right in reversed(spans):
        lines[first - 1 : last] = [lines[first - 1][:left] + lines[last - 1][right:]]
    return "\n".join(line.rstrip() for line in lines if line.strip())


# read when labkit is loaded: a kernel goes on with the code it loaded, whatever is edited later
SOURCE_SHA256 = _source_sha256(Path(__file__).parents[1])


def environment(device: str) -> dict:
    """Return what a result depends on besides its settings: versions, machine and device."""
    changed = _git("status", "--porcelain", "--", "labkit", "notebooks")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES.split()},
        **place(device),
        "blas": _linear_algebra(),
        "source_sha256": SOURCE_SHA256,
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": None if changed is None else bool(changed),
    }


def place(device: str) -> dict[str, str]:
    """Return where bits agree: device, number of threads, instructions, the processor."""
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
        capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
    else:
        name = f"CPU, {torch.get_num_threads()} threads"
        capability = torch.backends.cpu.get_cpu_capability()
    threads = f"{torch.get_num_threads()}"  # a model's first bits are the CPU's, also with a GPU
    return {"device_name": name, "capability": capability, "cpu": _processor(), "threads": threads}


def _processor() -> str:
    """Return model, cache and instructions: processors that differ in one may round differently."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in first.splitlines())
    has = {name.strip(): value.strip() for name, _, value in lines}
    arithmetic = ("sse", "avx", "amx", "fma", "f16c")
    flags = sorted(flag for flag in has.get("flags", "").split() if flag.startswith(arithmetic))
    names = ("model name", "cpu family", "model", "stepping", "cache size")
    shown = [has[name] for name in names if has.get(name)]
    return ", ".join([*shown, hashlib.sha256(" ".join(flags).encode()).hexdigest()[:8]])


def _linear_algebra() -> str:
    """Return which kernels numpy and scipy multiply with; OpenBLAS chooses by the processor."""
    libraries = [each for each in threadpool_info() if "architecture" in each]
    shown = "{internal_api} {version} {architecture}".format_map
    return ", ".join(sorted(set(map(shown, libraries))))


def _git(*arguments: str) -> str | None:
    """Return what git says of labkit's own checkout; None where nobody could look."""
    if not (paths.IN_CHECKOUT and (paths.CHECKOUT / ".git").exists()):  # perhaps in another's
        return None
    command = ["git", "-C", paths.CHECKOUT, *arguments]
    how = {"check": True, "capture_output": True, "text": True, "timeout": 10}
    try:
        return subprocess.run(command, **how).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
