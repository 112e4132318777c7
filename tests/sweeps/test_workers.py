"""Trials shared by workers: none is run twice, a killed worker loses nothing.

Over a journal and over a real PostgreSQL.
"""

import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest

from labkit.sweeps import storage, workers

pytestmark = pytest.mark.filterwarnings("error::optuna.exceptions.ExperimentalWarning")

POINTS = {f"x = {x}": {"x": x} for x in range(12)}
WORKER = """
import sys, time
from labkit.sweeps import storage, workers

storage.HEARTBEAT, workers.SETTLED = 1, 5
folder, url, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
points = {f"x = {x}": {"x": x} for x in range(12)}

def note(text):
    with open(f"{folder}/noted", "a") as file:
        file.write(text + "\\n")

def run(trial):
    note("began " + trial.user_attrs["point"])
    x = trial.suggest_categorical("x", list(range(12)))
    time.sleep(seconds)
    note("ended " + trial.user_attrs["point"])
    return x

workers.work("study", url, points, run)
"""


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL server of this test's own, which listens on the loopback alone."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    initdb = found[-1] if found else shutil.which("initdb")
    if not initdb:
        pytest.skip("PostgreSQL is not installed")
    me = {"user": "postgres", "cwd": "/"} if os.geteuid() == 0 else {}  # it refuses to run as root
    folder = Path(tempfile.mkdtemp())
    if me:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [initdb, "-D", data, "-A", "trust", "-U", "labkit"],
        check=True,
        stdout=subprocess.DEVNULL,
        **me,
    )
    options = [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"port={port}",
        "-c",
        "unix_socket_directories=",
    ]
    server = subprocess.Popen(
        [Path(initdb).with_name("postgres"), "-D", data, *options], stderr=subprocess.DEVNULL, **me
    )
    ready = [Path(initdb).with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", f"{port}"]
    until = time.monotonic() + 30
    while subprocess.run(ready).returncode and time.monotonic() < until:
        time.sleep(0.1)
    yield f"postgresql+psycopg://labkit@127.0.0.1:{port}/"
    server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
    server.wait(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["journal", "postgres"])
def url(request, tmp_path):
    if request.param == "journal":
        return f"{tmp_path / 'journal.log'}"
    server = request.getfixturevalue("postgres")
    import psycopg

    name = f"study{time.time_ns()}"
    with psycopg.connect(
        server.replace("+psycopg", "") + "postgres", autocommit=True
    ) as connection:
        connection.execute(f"create database {name}")
    return server + name


def start(folder, url, seconds=0.3):
    return subprocess.Popen([sys.executable, "-c", WORKER, folder, url, f"{seconds}"])


def noted(folder, what):
    path = folder / "noted"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.removeprefix(f"{what} ") for line in lines if line.startswith(what))


def values(url):
    study = optuna.load_study(study_name="study", storage=storage.open_storage(url))
    return sorted(
        trial.value for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE
    )


def test_two_workers_finish_a_grid_and_run_no_trial_twice(tmp_path, url):
    workers = [start(tmp_path, url), start(tmp_path, url)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    assert noted(tmp_path, "began") == noted(tmp_path, "ended") == Counter(list(POINTS))
    assert values(url) == list(range(12))
    start(tmp_path, url).wait(timeout=60)
    assert noted(tmp_path, "began") == Counter(list(POINTS)), (
        "a study that has ended is not run again"
    )
    assert not list(tmp_path.glob(".*.lock")), "no lock of a worker stays"


def test_a_worker_killed_at_a_random_moment_loses_nothing(tmp_path, url):
    seed = random.randrange(10**6)
    moment = random.Random(seed).uniform(1, 4)
    print("seed", seed, "killed after", moment)
    workers = [start(tmp_path, url, 0.6), start(tmp_path, url, 0.6)]
    time.sleep(moment)
    workers[0].kill()
    assert workers[1].wait(timeout=120) == 0
    assert noted(tmp_path, "ended") >= Counter(list(POINTS)), "every point has ended"
    again = noted(tmp_path, "began") - Counter(list(POINTS))
    assert again.total() <= 1, f"more than the killed worker's trial was begun again: {again}"
    assert values(url) == list(range(12))


def test_all_workers_are_killed_and_the_next_goes_on(tmp_path, url):
    worker = start(tmp_path, url, 0.2)
    until = time.monotonic() + 60
    while noted(tmp_path, "began").total() < 5 and time.monotonic() < until:
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    assert start(tmp_path, url, 0.0).wait(timeout=60) == 0
    assert noted(tmp_path, "began").total() <= 13 and values(url) == list(range(12))


def run_here(url, points, run):
    return workers.work("study", url, points, run)


def test_a_killed_trial_of_a_search_keeps_its_parameters(tmp_path):
    """Killed after its parameters were drawn: the trial that follows has the same ones."""
    url, drawn = f"{tmp_path / 'journal.log'}", []

    def run(trial):
        drawn.append(trial.suggest_float("x", 0, 1))
        if len(drawn) == 1:
            raise KeyboardInterrupt
        return drawn[-1]

    with pytest.raises(KeyboardInterrupt):
        run_here(url, {"0": {}, "1": {}}, run)
    study = run_here(url, {"0": {}, "1": {}}, run)
    assert len(drawn) == 3 and drawn.count(drawn[0]) == 2 and len(set(drawn)) == 2
    assert [len(tried) for tried in workers.by_point(study).values()] == [2, 1]


def test_a_trial_that_fails_by_itself_is_not_tried_again(tmp_path):
    url, begun = f"{tmp_path / 'journal.log'}", []

    def run(trial):
        begun.append(trial.suggest_int("x", 0, 99))
        if begun[-1] == 3:
            raise workers.TrialError("3 does not work")
        return begun[-1]

    study = run_here(url, {f"{x}": {"x": x} for x in range(5)}, run)
    assert begun == [0, 1, 2, 3, 4]
    (failed,) = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.FAIL]
    assert failed.user_attrs["failed"] == "3 does not work" and study.best_value == 4


def test_a_point_that_kills_its_workers_is_left_after_some_tries(tmp_path):
    url, begun = f"{tmp_path / 'journal.log'}", []

    def run(trial):
        begun.append(trial.suggest_int("x", 0, 99))
        if begun[-1] == 1:
            raise SystemExit  # nobody tells the storage, as if it were killed
        return begun[-1]

    for _ in range(workers.TRIES):
        with pytest.raises(SystemExit):
            run_here(url, {f"{x}": {"x": x} for x in range(3)}, run)
    study = run_here(url, {f"{x}": {"x": x} for x in range(3)}, run)
    assert Counter(begun) == {0: 1, 1: workers.TRIES, 2: 1} and study.best_value == 2


def test_a_trial_may_be_stopped_as_often_as_one_likes(tmp_path):
    url, begun = f"{tmp_path / 'journal.log'}", []

    def run(trial):
        begun.append(1)
        if len(begun) <= 2 * workers.TRIES:
            raise KeyboardInterrupt
        return 1.0

    for _ in range(2 * workers.TRIES):
        with pytest.raises(KeyboardInterrupt):
            run_here(url, {"0": {}}, run)
    assert run_here(url, {"0": {}}, run).best_value == 1


def test_more_trials_of_a_search_can_be_asked_for_later(tmp_path):
    url = f"{tmp_path / 'journal.log'}"
    for number in (3, 5):
        study = run_here(
            url, {f"{k}": {} for k in range(number)}, lambda trial: trial.suggest_float("x", 0, 1)
        )
        assert len(study.trials) == number
    again = run_here(
        f"{tmp_path / 'other.log'}",
        {f"{k}": {} for k in range(5)},
        lambda trial: trial.suggest_float("x", 0, 1),
    )
    assert [trial.value for trial in again.trials] == [trial.value for trial in study.trials], (
        "one worker: the same search"
    )


def test_a_point_that_one_worker_has_ended_is_not_missing_because_another_was_killed_at_it(
    tmp_path,
):
    """Both had queued it; the second was killed before it saw that it came second."""
    url = f"{tmp_path / 'journal.log'}"
    study = optuna.create_study(
        study_name="study", storage=storage.open_storage(url), direction="maximize"
    )
    known = {
        "params": {"x": 1},
        "distributions": {"x": optuna.distributions.IntDistribution(0, 9)},
        "user_attrs": {"point": "1"},
    }
    study.add_trial(optuna.trial.create_trial(value=1.0, **known))
    study.add_trial(
        optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"point": "1"})
    )
    assert len(run_here(url, {"1": {"x": 1}}, None).trials) == 2, "nothing is run"


def test_a_lost_trial_that_was_lost_again_before_it_began_still_keeps_its_parameters(tmp_path):
    url = f"{tmp_path / 'journal.log'}"
    study = optuna.create_study(
        study_name="study", storage=storage.open_storage(url), direction="maximize"
    )
    study.enqueue_trial({"x": 0.25}, user_attrs={"point": "0"})
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    assert run_here(url, {"0": {}}, lambda trial: trial.suggest_float("x", 0, 1)).best_value == 0.25


def test_a_worker_whose_trial_was_given_up_lives_on_and_the_other_trial_counts(url, capsys):
    begun = []

    def run(trial):
        begun.append(trial.suggest_int("x", 0, 99))
        if len(begun) == 1:  # another worker believes that we are gone
            other = optuna.load_study(study_name="study", storage=storage.open_storage(url))
            other.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return float(len(begun))

    study = run_here(url, {"5": {"x": 5}, "6": {"x": 6}}, run)
    assert sorted(begun) == [5, 5, 6] and "given up as lost" in capsys.readouterr().out
    assert [len(tried) for tried in workers.by_point(study).values()] == [2, 1]
    assert sorted(trial.value for trial in study.trials if trial.value) == [2.0, 3.0]


def test_a_lost_trial_is_tried_again_and_an_error_of_the_run_is_not_hidden(tmp_path):
    url, begun = f"{tmp_path / 'journal.log'}", []

    def run(trial):
        begun.append(1)
        if len(begun) == 1:
            raise workers.TrialLost
        if len(begun) == 2:
            raise ValueError("a slip of ours")
        return 1.0

    with pytest.raises(ValueError, match="a slip of ours"):
        run_here(url, {"0": {}}, run)
    assert run_here(url, {"0": {}}, run).best_value == 1 and len(begun) == 3


def test_sqlite_is_refused():
    """With it two workers do take the same trial."""
    with pytest.raises(ValueError, match="^SQLite lets two workers take the same trial"):
        storage.open_storage("sqlite:///x.db")


@pytest.mark.parametrize("place", ["", "file/journal.log"])
def test_a_place_where_no_journal_can_lie_is_one_sentence(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="^The storage .* cannot be used"):
        storage.open_storage(f"{tmp_path / place}")


NO_JOURNALS = [
    b"a letter\nin two lines\nand more\n",
    b'{"op_code":5,"worker"\n{"op_code":0}\n',
    b"[1]\n",
    b'{"a": 1}\n',
    b"7\n",
    b"SQLite format 3\x00 and so on",  # with no end of line at their end, as when a disk was full
    b'{"a": 1}',
    b'{"op_code":7,"wor',
]


@pytest.mark.parametrize("content", NO_JOURNALS)
def test_a_file_that_is_no_journal_or_torn_is_named_and_left_alone(tmp_path, content):
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    with pytest.raises(
        ValueError,
        match="journal.log is no journal of Optuna, or damaged .*: give another --storage.$",
    ):
        run_here(f"{path}", {"0": {}}, lambda trial: 0.0)
    assert path.read_bytes() == content and not path.with_name("journal.log.lock").exists()


def test_a_line_torn_while_workers_write_ends_in_one_sentence(tmp_path):
    """The disk was full for a moment: what Optuna writes next stands behind the torn line."""
    path = tmp_path / "journal.log"

    def run(trial):
        with open(path, "ab") as file:
            file.write(b'{"op_code":7,"wor')
        return trial.suggest_float("x", 0, 1)

    with pytest.raises(ValueError, match="journal.log is no journal of Optuna, or damaged"):
        run_here(f"{path}", {"0": {}}, run)


@pytest.mark.parametrize("refusing", ["symlink", "open"])
def test_a_folder_without_locks_is_named(tmp_path, monkeypatch, refusing):
    """Reference: ENOLCK, as of a network drive without a lock daemon."""
    whole = getattr(os, refusing)

    def refuse(path, *given, **how):
        if f"{path}".endswith(".lock") or refusing == "symlink":
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        return whole(path, *given, **how)

    monkeypatch.setattr(os, refusing, refuse)
    with pytest.raises((ValueError, OSError), match="journal.log.*No locks|No locks.*journal.log"):
        run_here(f"{tmp_path / 'journal.log'}", {"0": {}}, lambda trial: 0.0)


STORAGES = [  # the password is SECRET, whole or what stands around a mark in it
    "postgresql+psycopg://me:SECRET@127.0.0.1:1/x",
    "nosuch://me:SECRET@127.0.0.1:1/x",
    "postgresql+psycopg://me:se/c:SECRET@127.0.0.1:1/x",
    "postgresql+psycopg://me:Sum@SECRET9@127.0.0.1:1/x",
    "postgresql://me:Sum,SECRET@9@127.0.0.1:1/x",
    "postgresql+psycopg://SECRET:x@127.0.0.1:1/x",
    "postgresql+psycopg://127.0.0.1:1/x?user=me&password=Sum@SECRET",
    "postgresql+psycopg://127.0.0.1:1/x?sslmode=SECRET",
    "postgresql+psycopg://me:SECRET/x",
    "postgresql+psycopg://me:a://SECRET@127.0.0.1:1/x",
    "postgresql:/me:SECRET@127.0.0.1/x",
    "me:SECRET@127.0.0.1/x",
]


@pytest.mark.parametrize("url", STORAGES)
def test_a_storage_that_cannot_be_reached_is_one_sentence_without_the_password(url):
    with pytest.raises(ValueError, match="^The storage .* cannot be used") as error:
        storage.open_storage(url)
    assert "SECRET" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_the_short_names_of_postgresql_mean_the_driver_that_is_there(scheme, monkeypatch):
    asked = []
    monkeypatch.setattr(storage, "RDBStorage", lambda url, **how: asked.append(url))
    storage.open_storage(f"{scheme}://me@host/postgres")
    assert asked == ["postgresql+psycopg://me@host/postgres"]


def test_a_storage_that_fails_in_the_middle_is_named_without_the_password(monkeypatch):
    def fail(**_):
        raise optuna.exceptions.StorageInternalError("no SECRET there")

    monkeypatch.setattr(storage, "open_storage", lambda url: None)
    monkeypatch.setattr(optuna, "create_study", fail)
    message = r"://…@host/x cannot be used \(no … there\). The same"
    with pytest.raises(ConnectionError, match=message):
        run_here("postgresql://me:SECRET@host/x", {"0": {}}, None)
