"""What a study costs in its storage once so many trials have ended.

    python tests/benchmarks/storage.py [JOURNAL_OR_URL] [SIZES]

Prints the seconds to join it, and the seconds and bytes of a further trial; the trials take no time
themselves, so all that is seen is the storage's. A database must be empty, and its bytes are those
of the loopback.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import optuna
import sqlalchemy

from labkit.sweeps import storage, workers

EPOCHS = 10  # of a trial, reported one by one
MOST = 50  # trials that are timed at each size


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else f"{tempfile.mkdtemp()}/journal.log"
    for size in map(int, (sys.argv[2] if len(sys.argv) > 2 else "0,1000,10000").split(",")):
        study = optuna.create_study(
            study_name=f"{size}", storage=storage.open_storage(url), direction="maximize"
        )
        fill(study, url, size)
        begun, sent = [], []

        def run(trial, begun=begun, sent=sent):
            begun.append(time.perf_counter())
            sent.append(traffic(url))
            if len(begun) > MOST:
                raise KeyboardInterrupt
            x = trial.suggest_float("x", 0, 1)
            for epoch in range(EPOCHS):
                trial.report(x, epoch)
                trial.should_prune()
            return x

        started, before = time.perf_counter(), traffic(url)
        with contextlib.suppress(KeyboardInterrupt):
            workers.work(f"{size}", url, {f"{k}": {} for k in range(size + 2 * MOST)}, run)
        each, kilobytes = (begun[-1] - begun[0]) / MOST, (sent[-1] - sent[0]) / MOST / 1e3
        joined = f"joined in {begun[0] - started:.1f} s with {(sent[0] - before) / 1e6:.1f} MB"
        further = f"{each * 1000:.0f} ms and {kilobytes:.0f} kB a trial"
        print(f"{size:6} trials: {joined}, then {further}", flush=True)


# what one trial has in a database, for each of its copies
COPIES = """
insert into trials (number, study_id, state, datetime_start, datetime_complete)
select g, study_id, state, datetime_start, datetime_complete
from trials, generate_series(1, :more) g where trial_id = :first;

insert into trial_user_attributes (trial_id, key, value_json)
select t.trial_id, key, '"' || t.number || '"'
from trial_user_attributes o, trials t where o.trial_id = :first and t.trial_id > :first;

insert into trial_params (trial_id, param_name, param_value, distribution_json)
select t.trial_id, param_name, param_value, distribution_json
from trial_params o, trials t where o.trial_id = :first and t.trial_id > :first;

insert into trial_values (trial_id, objective, value, value_type)
select t.trial_id, objective, value, value_type
from trial_values o, trials t where o.trial_id = :first and t.trial_id > :first;

insert into trial_intermediate_values
(trial_id, step, intermediate_value, intermediate_value_type)
select t.trial_id, step, intermediate_value, intermediate_value_type
from trial_intermediate_values o, trials t where o.trial_id = :first and t.trial_id > :first
"""


def fill(study: optuna.Study, url: str, size: int) -> None:
    """Put trials that have ended into a study, all alike; into a database by SQL, which is fast."""
    known = {
        "params": {"x": 0.5},
        "distributions": {"x": optuna.distributions.FloatDistribution(0, 1)},
        "value": 0.5,
        "intermediate_values": dict.fromkeys(range(EPOCHS), 0.5),
    }
    for k in range(size if "://" not in url else min(size, 1)):
        study.add_trial(optuna.trial.create_trial(user_attrs={"point": f"{k}"}, **known))
    if size < 2 or "://" not in url:
        return
    with sqlalchemy.create_engine(url).begin() as connection:
        first = connection.execute(sqlalchemy.text("select max(trial_id) from trials")).scalar_one()
        for statement in COPIES.split(";"):
            given = {"first": first, "more": size - 1}
            used = {name: value for name, value in given.items() if f":{name}" in statement}
            connection.execute(sqlalchemy.text(statement), used)


def traffic(url: str) -> int:
    """Return the bytes that went over the loopback so far, both ways, or the size of a journal."""
    if "://" not in url:
        return Path(url).stat().st_size
    lines = Path("/proc/net/dev").read_text().splitlines()
    loopback = next(line for line in lines if line.strip().startswith("lo:"))
    return int(loopback.split()[1])


if __name__ == "__main__":
    main()
