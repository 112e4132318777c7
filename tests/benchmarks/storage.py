"""What a study costs in its storage once so many trials have ended: seconds to join it, seconds and bytes a further trial.

    python tests/benchmarks/storage.py [JOURNAL_OR_URL] [SIZES]   (an empty database; bytes are those of the loopback)

The further trials take no time themselves, so all that is seen is the storage's.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import optuna

from labkit import storages, trials

EPOCHS, MOST = 10, 50  # of a trial, reported one by one; trials that are timed at each size


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else f"{tempfile.mkdtemp()}/journal.log"
    for size in map(int, (sys.argv[2] if len(sys.argv) > 2 else "0,1000,10000").split(",")):
        storage = storages.open_storage(url)
        study = optuna.create_study(study_name=f"{size}", storage=storage, direction="maximize")
        space, reported = {"x": optuna.distributions.FloatDistribution(0, 1)}, dict.fromkeys(range(EPOCHS), 0.5)
        started = time.perf_counter()
        for k in range(size):
            known = {"params": {"x": 0.5}, "distributions": space, "user_attrs": {"point": f"{k}"}}
            study.add_trial(optuna.trial.create_trial(value=0.5, intermediate_values=reported, **known))
        print(f"{size} trials written in {time.perf_counter() - started:.0f} s")
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
            trials.work(f"{size}", url, {f"{k}": {} for k in range(size + 2 * MOST)}, run)
        each, kilobytes = (begun[-1] - begun[0]) / MOST, (sent[-1] - sent[0]) / MOST / 1e3
        joined = f"joined in {begun[0] - started:.1f} s with {(sent[0] - before) / 1e6:.1f} MB"
        print(f"{size:6} trials: {joined}, then {each * 1000:.0f} ms and {kilobytes:.0f} kB a trial", flush=True)


def traffic(url: str) -> int:
    """Return the bytes that went over the loopback so far, both ways, or the size of a journal."""
    if "://" not in url:
        return Path(url).stat().st_size
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split()[1])


main()
