"""Faults of the data: a server on loopback, real processes and real kills.

After each, the next start is right, or one message says what to do.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from labkit.data import download, official
from labkit.data.official import DataError

KILLS = int(os.environ.get("LABKIT_KILLS", "20"))  # make soak sets 200

# a process that downloads: it takes small files for the official ones, from a mirror on loopback
GET = """
import json, resource, signal, sys, types
from labkit.data import download, official
asked = json.loads(sys.argv[1])
official.MNIST_SHAPES = {name: tuple(shape) for name, shape in asked["shapes"].items()}
official.MNIST_SHA256 = asked["sha256"]
# torchvision takes seconds to load, and only its mirrors are asked for
torchvision = types.ModuleType("torchvision.datasets")
torchvision.MNIST = types.SimpleNamespace(mirrors=asked["mirrors"])
sys.modules |= {"torchvision": torchvision, "torchvision.datasets": torchvision}
download.TRIES, download.TIMEOUT = asked.get("tries", 1), 1
if asked.get("nobody"):
    import os
    os.setuid(65534)  # the super-user may write everywhere
if asked.get("room"):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (asked["room"], asked["room"]))
print("ready", flush=True)
sys.stdin.readline()
try:
    download.get("mnist")
    download.check("mnist")
except official.DataError as error:
    sys.exit(f"DataError: {error}")
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, with the fault that `server.fault` names."""

    def do_GET(self):
        name, fault = self.path.strip("/"), self.server.fault
        content = self.server.files[name]
        self.server.asked.append(name)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "hangs":
            time.sleep(5)
        if fault == "slow":
            for k in range(0, len(content), 512):
                self.wfile.write(content[k : k + 512])
                self.wfile.flush()
                time.sleep(0.002)
        elif fault == "breaks off":
            self.wfile.write(content[: len(content) // 2])
        elif fault == "wrong bytes":
            self.wfile.write(content[:-20] + bytes(20))
        elif fault == "page":
            self.wfile.write(b"<!DOCTYPE html> Sign in to the network".ljust(len(content)))
        else:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A mirror of four idx files of a few kB."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.files, running.fault, running.asked = {}, None, []
    running.shapes, running.sha256 = {}, {}
    draw = np.random.default_rng(0)
    for name, shape in official.MNIST_SHAPES.items():
        small = (40, *shape[1:])
        header = (0x800 + len(shape), *small)
        content = b"".join(number.to_bytes(4, "big") for number in header)
        content += draw.integers(0, 256, int(np.prod(small)), dtype=np.uint8).tobytes()
        running.files[f"{name}.gz"] = gzip.compress(content)
        running.shapes[name] = small
        running.sha256[name] = hashlib.sha256(content).hexdigest()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def start(server, folder, **asked):
    """Start a process that has loaded everything and waits for a line before it downloads."""
    asked = {
        "shapes": server.shapes,
        "sha256": server.sha256,
        "mirrors": [f"http://127.0.0.1:{server.server_port}/"],
    } | asked
    process = subprocess.Popen(
        [sys.executable, "-c", GET, json.dumps(asked)],
        env=os.environ | {"LABKIT_DATA": str(folder)},
        **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE),
        text=True,
    )
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


def left_in(folder):
    return sorted(
        path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    )


SAYS = {
    "wrong bytes": "127.0.0.1",
    "breaks off": "could not be downloaded",
    "page": "does the network want you to sign in?",
    "hangs": "timed out",
}


@pytest.mark.parametrize("fault", SAYS)
def test_a_bad_answer_leaves_nothing_and_the_next_start_is_right(server, tmp_path, fault):
    server.fault = fault
    process = start(server, tmp_path)
    _, errors = process.communicate("\n")
    assert process.returncode == 1 and SAYS[fault] in errors.splitlines()[-1], errors
    assert left_in(tmp_path) == []
    server.fault = None
    process = start(server, tmp_path)
    assert process.communicate("\n") and process.returncode == 0
    assert left_in(tmp_path) == sorted(server.files)


def test_a_bad_mirror_is_passed_over(server, tmp_path):
    process = start(
        server,
        tmp_path,
        mirrors=["https://127.0.0.1:9/", f"http://127.0.0.1:{server.server_port}/"],
    )
    assert process.communicate("\n") and process.returncode == 0


def test_no_mirror_without_tls_is_ever_asked(server, tmp_path):
    process = start(server, tmp_path, mirrors=[f"http://localhost:{server.server_port}/"])
    _, errors = process.communicate("\n")
    assert process.returncode == 1 and "no mirror with TLS" in errors and server.asked == []


def test_a_full_disk_is_named_and_nothing_stays(server, tmp_path):
    """The limit of a file's size stands for the full disk."""
    process = start(server, tmp_path, room=10_000, tries=3)
    _, errors = process.communicate("\n")
    assert process.returncode == 1
    assert f"There is no room for the 70,000 digits of MNIST in {tmp_path}" in errors
    assert left_in(tmp_path) == [] and len(server.asked) == 1, "trying again does not make room"


def test_a_folder_that_cannot_be_written_to_is_named_and_what_lies_there_can_be_read(
    server, tmp_path
):
    for folder in (tmp_path, *list(tmp_path.parents)[:-1]):
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o055)  # pytest's own are private
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o555)
    process = start(server, tmp_path / "data", nobody=os.getuid() == 0)
    _, errors = process.communicate("\n")
    said = "cannot be written to (Permission denied): set LABKIT_DATA to another folder"
    assert process.returncode == 1 and said in errors
    (tmp_path / "data").chmod(0o755)
    assert start(server, tmp_path / "data").communicate("\n")
    (tmp_path / "data").chmod(0o555)
    process = start(server, tmp_path / "data", nobody=os.getuid() == 0)
    assert process.communicate("\n") and process.returncode == 0
    (tmp_path / "data").chmod(0o755)


def test_eight_processes_on_an_empty_folder_download_once(server, tmp_path):
    server.fault = "slow"
    processes = [start(server, tmp_path) for _ in range(8)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0] * 8
    assert sorted(server.asked) == sorted(server.files)
    for process in processes:
        process.communicate()


def test_a_full_disk_that_another_error_wraps_is_named_at_once(tmp_path, monkeypatch):
    def fetch(partial):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("An error occurred while generating the dataset") from error

    monkeypatch.setattr(download, "_fetch_imdb", fetch)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    said = r"There is no room for the 50,000 reviews .* \(No space left on device\)"
    with pytest.raises(DataError, match=said):
        download.get("imdb")
    assert left_in(tmp_path) == []


def test_what_the_hub_fetches_stays_out_of_the_users_home(tmp_path):
    """A stand-in for `datasets` tells which folder the hub was given when it was loaded."""
    code = """
import os, pathlib, sys, types
fake = types.ModuleType("datasets")
def load_dataset(*_, cache_dir, **__):
    sys.exit(str(os.environ["HF_HUB_CACHE"].startswith(cache_dir.removesuffix("cache"))))
fake.load_dataset = load_dataset
sys.modules["datasets"] = fake
import huggingface_hub
huggingface_hub.HfApi.dataset_info = lambda *_, **__: None
from labkit.data import download
download.get("imdb")
"""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_CACHE"}
    environment["LABKIT_DATA"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stderr == "True\n" and left_in(tmp_path) == []


@pytest.mark.slow
def test_killed_at_random_moments_the_next_start_is_right(server, tmp_path):
    server.fault = "slow"
    seed = os.environ.get("LABKIT_SEED", "0")
    moments = random.Random(seed)
    process = start(server, tmp_path / "whole")
    started = time.monotonic()
    process.communicate("\n")
    seconds = time.monotonic() - started
    for kill in range(KILLS):
        folder = tmp_path / f"{kill % 4}"  # what earlier kills left is there too
        process = start(server, folder)
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        process.communicate()
        # a partial file in a place of its own is no file of the data
        assert set(left_in(folder)) <= {*server.files}
    for folder in {f"{kill % 4}" for kill in range(KILLS)}:
        process = start(server, tmp_path / folder)
        assert process.communicate("\n") and process.returncode == 0
        assert left_in(tmp_path / folder) == sorted(server.files)
    print(f"{KILLS} kills, seed {seed}")


# a process that fetches the reviews with `datasets` itself, from a folder that stands for the hub
GET_REVIEWS = """
import os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import datasets, pyarrow.parquet
from labkit.data import download
download.IMDB_REPOSITORY, download.TRIES = sys.argv[1], 1
datasets.disable_progress_bars()
print("ready", flush=True)
for line in sys.stdin:  # a child for each: loading takes longer than fetching
    child = os.fork()
    if not child:
        os.environ["LABKIT_DATA"] = line.strip()
        download.get("imdb")
        download.check("imdb")
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_reviews_killed_at_random_moments_the_next_start_is_right(tmp_path):
    """While `datasets` reads, unpacks and writes. Reference: the files of an undisturbed fetch."""
    (tmp_path / "hub").mkdir()
    for split in official.IMDB_FILES:
        reviews(
            tmp_path / "hub" / f"{split}.parquet",
            [f"{split} {k} 好" for k in range(25_000)],
            [0, 1] * 12_500,
        )
    seed = os.environ.get("LABKIT_SEED", "0")
    moments, killed = random.Random(seed), 0
    command = [sys.executable, "-c", GET_REVIEWS, str(tmp_path / "hub")]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout.readline() == "ready\n"

        def fetch(folder, kill_after=None):
            print(tmp_path / f"{folder}", file=parent.stdin, flush=True)
            child = int(parent.stdout.readline())
            if kill_after is not None:
                time.sleep(kill_after)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            return int(parent.stdout.readline())

        def in_place(folder):
            return {
                path.name: path.read_bytes()
                for path in (tmp_path / f"{folder}" / "imdb").glob("*.parquet")
            }

        started = time.monotonic()
        assert fetch("whole") == 0
        seconds = time.monotonic() - started
        whole = in_place("whole")
        assert sorted(whole) == sorted(official.IMDB_FILES.values())
        while killed < KILLS:
            folder = f"{killed % 4}"  # what earlier kills left is there too
            if in_place(folder) == whole:
                [(tmp_path / folder / "imdb" / name).unlink() for name in whole]
            killed += fetch(folder, moments.uniform(0, seconds)) == -signal.SIGKILL
            assert in_place(folder).items() <= whole.items(), "half a file in its place"
        for folder in range(4):
            assert fetch(folder) == 0 and in_place(folder) == whole
            assert left_in(tmp_path / f"{folder}") == sorted(whole), (
                "what a kill left is still there"
            )
        parent.stdin.close()
    print(f"{killed} kills, seed {seed}")


# --- files that are not what they should be ---


def reviews(path, texts, labels):
    table = pa.table({"text": texts, "label": labels})
    pa.parquet.write_table(table, path, row_group_size=1_000)
    return path


def test_a_label_outside_names_file_and_row(tmp_path):
    path = reviews(tmp_path / "a.parquet", ["good"] * 25_000, [0, 1] * 12_499 + [0, 2])
    with pytest.raises(DataError, match=r"a.parquet has the label 2 in row 24999; expected 0 or 1"):
        official.check_imdb(path)


@pytest.mark.parametrize("label", [0.0, False, None])
def test_a_label_of_another_kind_names_file_and_row(tmp_path, label):
    path = reviews(
        tmp_path / "a.parquet", ["good"] * 25_000, [type(label or 0.0)(1)] * 24_999 + [label]
    )
    with pytest.raises(DataError, match=r"a.parquet has the label .* in row \d+; expected 0 or 1"):
        official.check_imdb(path)


@pytest.mark.parametrize("row", [7, 20_007])
def test_a_text_that_is_not_utf8_names_file_and_row(tmp_path, row):
    """In groups of 1,000 rows, as `datasets` writes them."""
    content = pa.array([b"good"] * row + [b"\xff\xfe"] + [b"bad"] * (24_999 - row))
    texts = pa.Array.from_buffers(pa.string(), len(content), content.buffers())
    path = reviews(tmp_path / "a.parquet", texts, [0, 1] * 12_500)
    said = rf"a.parquet cannot be read .*Invalid UTF8 sequence at string index {row}\)\. Delete"
    with pytest.raises(DataError, match=said):
        official.check_imdb(path)


def test_an_empty_split_is_refused(tmp_path):
    path = reviews(tmp_path / "a.parquet", pa.array([], pa.string()), pa.array([], pa.int64()))
    with pytest.raises(DataError, match="0 rows"):
        official.check_imdb(path)


@pytest.mark.parametrize("lie", ["size", "bomb", "magic"])
def test_an_idx_file_that_lies_is_refused_without_unpacking_it_all(tmp_path, lie):
    name = "t10k-labels-idx1-ubyte"
    numbers = {"size": (0x801, 2**31 - 1), "bomb": (0x801, 10_000), "magic": (0x901, 10_000)}[lie]
    content = b"".join(number.to_bytes(4, "big") for number in numbers)
    content += bytes(200_000_000 if lie == "bomb" else 10_000)
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(content, 1))
    read = 10_009 if lie == "bomb" else 10_008  # of 200 million bytes one more than there should be
    said = f"{name}.gz is not the official file.*has {read:,} bytes.*expected 10,008"
    with pytest.raises(DataError, match=said):
        official.check_mnist(path, name)
