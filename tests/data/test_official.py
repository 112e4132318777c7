"""Where data are looked for, what happens when they are not there, and downloads that go wrong."""

import gzip
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from labkit import cli
from labkit.data import download, official
from labkit.data.official import DataError
from labkit.machine import paths


def test_roots_are_the_checkouts_unless_the_environment_says_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.delenv("LABKIT_RUNS", raising=False)
    assert (paths.data_root(), paths.runs_root()) == (paths.ROOT / "data", paths.ROOT / "runs")
    assert paths.ROOT == Path(__file__).resolve().parents[2]
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setenv("LABKIT_RUNS", "~/runs")
    assert (paths.data_root(), paths.runs_root()) == (tmp_path, Path.home() / "runs")


def test_a_relative_folder_is_the_callers_not_the_kernels(monkeypatch, tmp_path):
    """A kernel is started in the notebook's folder, while $PWD is still that of the shell."""
    (tmp_path / "room").mkdir()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("LABKIT_DATA", "room")
    assert paths.data_root() == tmp_path / "room"
    monkeypatch.setenv("LABKIT_RUNS", "not there yet")
    assert paths.runs_root() == tmp_path / "not there yet"
    (tmp_path / "notebooks" / "room").mkdir()
    assert paths.data_root() == tmp_path / "notebooks" / "room"


@pytest.mark.parametrize("variable", ["LABKIT_DATA", "LABKIT_RUNS"])
def test_the_home_of_nobody_known_is_one_sentence(monkeypatch, variable):
    monkeypatch.setenv(variable, "~no-such-user/x")
    done = CliRunner().invoke(cli.main, ["data", "where"])
    assert done.exit_code == 1
    assert done.output.startswith(f"{variable} is '~no-such-user/x', and no home folder is known")
    assert done.output.count("\n") == 1


def test_auto_takes_official_files_and_else_the_sample_with_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(official.importlib.util, "find_spec", lambda package: True)
    for data_set, total in (("mnist", "5,000"), ("imdb", "25,000")):
        assert official.choose(data_set, "auto") == "sample"
        line = capsys.readouterr().out
        assert line.count("\n") == 1 and "`labkit data get`" in line
        assert total in line and str(tmp_path) in line
        assert official.choose(data_set, "sample") == "sample" and capsys.readouterr().out == ""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in official.MNIST_SHAPES:
        assert official.choose("mnist", "auto") == "sample"
        (raw / name).touch()
    assert official.choose("mnist", "auto") == "official"


def test_no_data_at_all_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(official.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(DataError, match="labkit data get.*pip install"):
        official.choose("imdb", "auto")


def everything_in(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder on loopback."""

    def __init__(self, folder):
        handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        handler.log_message = lambda *_: None
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror on loopback of four small idx files, whose digests are taken for the official."""
    from torchvision.datasets import MNIST

    origin, data = tmp_path / "origin", tmp_path / "data"
    origin.mkdir()
    shapes, sha256 = {}, {}
    for name, shape in official.MNIST_SHAPES.items():
        small = (10, *shape[1:])
        header = (0x800 + len(shape), *small)
        content = b"".join(number.to_bytes(4, "big") for number in header)
        content += bytes(int(np.prod(small)))
        (origin / f"{name}.gz").write_bytes(gzip.compress(content))
        shapes[name], sha256[name] = small, hashlib.sha256(content).hexdigest()
    server = Server(origin)
    monkeypatch.setattr(official, "MNIST_SHAPES", shapes)
    monkeypatch.setattr(official, "MNIST_SHA256", sha256)
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setenv("LABKIT_DATA", str(data))
    yield origin, data
    server.shutdown()
    server.server_close()


def test_digits_are_downloaded_once_and_checked(mirror):
    origin, data = mirror
    found = download.get("mnist")
    names = sorted(f"{name}.gz" for name in official.MNIST_SHAPES)
    assert sorted(path.name for path in everything_in(data)) == names
    assert all(path.exists() for path in found) and not list(data.rglob(".partial"))
    for path in everything_in(origin):
        path.unlink()
    assert download.get("mnist") == found, "files that are there are not fetched again"


@pytest.mark.parametrize("fault", ["missing", "page", "truncated"])
def test_a_download_that_goes_wrong_leaves_nothing_behind(mirror, fault):
    origin, data = mirror
    path = origin / "t10k-labels-idx1-ubyte.gz"
    if fault == "missing":
        path.unlink()
    elif fault == "page":
        path.write_bytes(b"<html>Sign in</html>")
    else:
        path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="could not be downloaded.*go on with the sample"):
        download.get("mnist")
    assert everything_in(data) == [] and not list(data.rglob(".partial"))


def test_without_network_each_data_set_has_one_line_and_soon(monkeypatch, tmp_path):
    """A closed port of this machine stands for the mirrors, and one that never answers for the hub.

    In a process of its own, because the hub's library reads the address when it is imported.
    """
    code = (
        "import sys; from torchvision.datasets import MNIST; from labkit import cli\n"
        "from labkit.data import download; download.TIMEOUT = 1\n"
        "MNIST.mirrors = ['https://127.0.0.1:9/']; cli.main(['data', 'get'])\n"
    )
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    digits, reviews = done.stderr.splitlines()
    assert digits.startswith("mnist: the 70,000 digits of MNIST could not be downloaded")
    assert reviews.startswith("imdb: the 50,000 reviews of IMDb could not be downloaded")
    assert "refused" in digits and "timed out" in reviews
    assert "HF_ENDPOINT" in reviews and "HF_" not in digits
    assert everything_in(tmp_path / "data") == []


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot be written to.*set LABKIT_DATA"):
        download.get("mnist")


def test_check_names_a_file_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    with pytest.raises(DataError, match="is not there. `labkit data get`"):
        download.check("imdb")
