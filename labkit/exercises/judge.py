"""One answer beside the right one: not attempted, raised an error, wrong because …, or right."""

from __future__ import annotations

import copy
import functools
import inspect
import io
import itertools
import tomllib
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from warnings import catch_warnings

import torch
from torch import Tensor
from torch.random import fork_rng

from labkit.exercises.compare import differences, listed, same, table
from labkit.language import asked, word

CHANGED = 0.5  # share of the points for right values from a function that changes its inputs
LISTED = 0.75  # and for right values in a list where a tensor is wanted, or the reverse


@dataclass(frozen=True)
class Exercise:
    """What is right, and what is often written instead.

    draw: returns the inputs of several calls, the smallest first. wrong: typical wrong answers by
    name, `a+b` for two mistakes at once; wrong.toml says what each is told. tolerance: relative
    and absolute.
    """

    name: str
    points: int
    reference: Callable
    draw: Callable[[], list[tuple]]
    wrong: dict[str, Callable]
    tolerance: float = 1e-6


@functools.cache
def words() -> dict[str, dict[str, dict]]:
    """Return exercise → wrong answer → share of the points, and what to say in `en` and `zh`."""
    return tomllib.loads((Path(__file__).parent / "wrong.toml").read_text(encoding="utf-8"))


class Verdict(float):
    """Points, which nbgrader reads as a number and a notebook shows as words in Markdown."""

    outcome: str  # not attempted, raised, wrong or right
    said: str

    def _repr_markdown_(self) -> str:
        return self.said


def told(exercise: str, wrong: str) -> tuple[str, float]:
    """Return what is said of a wrong answer, and the share of the points that it earns.

    `a+b` is two mistakes at once: both are named, and each costs what it costs alone.
    """
    lang = "zh" if asked() == "zh" else "en"
    mistakes = [words()[exercise][name] for name in wrong.split("+")]
    lost = sum(1 - mistake["share"] for mistake in mistakes)
    return " ".join(mistake[lang] for mistake in mistakes), max(0.0, 1 - lost)


def normal(seed: int, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Return normal random numbers with one decimal, to follow by hand, in float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator).double() for shape in shapes]
    return tuple(numbers.round(decimals=1) for numbers in drawn)


def joined(kinds: Sequence[dict], make: Callable) -> dict:
    """Return name → make(one of each kind), without the one in which all are right (named "")."""
    chosen = filter(any, itertools.product(*kinds))
    return {"+".join(filter(None, at)): make(*map(dict.get, kinds, at)) for at in chosen}


def judge(exercise: Exercise, answer: Callable) -> Verdict:
    """Call an answer with inputs drawn for it, and say how it went.

    Nothing goes to stderr: nbgrader gives no points for a cell that writes there.
    """
    with fork_rng(devices=[]):
        cases = exercise.draw()
    yours, changed = call_all(exercise, answer, cases)
    ours, may_change = call_all(exercise, exercise.reference, cases)
    if all(nothing := [*map(_nothing, yours)]):
        return _verdict(exercise, "not attempted", 0.0, nothing[:1])
    said = []
    if names := ", ".join(f"`{name}`" for name in sorted(changed - may_change)):
        said = [_word("You changed an input in place: {names}.").format(names=names)]
    fits = [same(a, b, exercise.tolerance) for a, b in zip(yours, ours, strict=True)]
    if all(fits):
        outcome, share = ("wrong", CHANGED) if said else ("right", 1.0)
        line = differences(yours, ours, exercise.tolerance)
        return _verdict(exercise, outcome, share, [*said, line])

    k = fits.index(False)  # the smallest inputs that fail
    share = 0.0
    again, _ = call_all(exercise, answer, cases[:1], seed=1)
    if not same(again, yours[:1], exercise.tolerance):
        said = [_word("Equal calls disagree: something is random, or kept between them."), *said]
    elif name := recognise(exercise, yours, cases):
        words_said, share = told(exercise.name, name)
        said = [words_said, *said]
    elif listed(yours, ours, exercise.tolerance):
        share = LISTED
    outcome = "raised" if isinstance(yours[k], Exception) else "wrong"
    rows = dict(zip(_names(exercise), cases[k], strict=True))
    if outcome == "raised":
        said = [*said, _raised(yours[k], answer)]
    else:
        said = [*said, nothing[k] or differences([yours[k]], [ours[k]], exercise.tolerance)]
        rows |= {_word("yours"): yours[k], _word("ours"): ours[k]}
    return _verdict(exercise, outcome, share, [*said, table(rows)])


def call_all(exercise: Exercise, function: Callable, cases: list[tuple], seed: int = 0) -> tuple:
    """Return what a function gives, or raises, for copies of the cases, and what it changed."""
    given, results = copy.deepcopy(cases), []
    with fork_rng(devices=[]), catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
        for case in given:
            torch.manual_seed(seed)
            try:
                results.append(function(*case))
            except Exception as error:
                results.append(error)
    changed = {
        name
        for before, after in zip(cases, given, strict=True)
        for name, a, b in zip(_names(exercise), before, after, strict=True)
        if not same(a, b, 0.0)
    }
    return results, changed


def recognise(exercise: Exercise, results: list, cases: list[tuple]) -> str | None:
    """Return the name of the wrong answer that gives these results in every case, if any does."""
    for name, wrong in exercise.wrong.items():  # most are told apart by the first case
        found = (call_all(exercise, wrong, some)[0] for some in (cases[:1], cases))
        if all(same(results[: len(some)], some, exercise.tolerance) for some in found):
            return name
    return None


def _nothing(result) -> str:
    """Return what to say where nothing was written; PyTorch's NotImplementedError has a message."""
    if isinstance(result, NotImplementedError) and not result.args:
        return _word("`raise NotImplementedError()` is still there: replace it with your lines.")
    nothing = result is None or result is Ellipsis
    return _word("Your function returns nothing here: a `return` is missing.") if nothing else ""


def _names(exercise: Exercise) -> list[str]:
    return list(inspect.signature(exercise.reference).parameters)


def _word(english: str) -> str:
    return word(english, asked())


def _verdict(exercise: Exercise, outcome: str, share: float, said: list[str]) -> Verdict:
    verdict = Verdict(round(exercise.points * share, 2))
    earned = _word("{a:g} of {b:g} points").format(a=float(verdict), b=exercise.points)
    head = f"**{exercise.name}: {_word(outcome)}** · {earned}"
    verdict.outcome, verdict.said = outcome, "\n\n".join([head, *said])
    return verdict


def _raised(error: Exception, answer: Callable) -> str:
    """Return the error, and the line of the student's own code that it came from."""
    what = "`" + " ".join(f"{type(error).__name__}: {error}".split()) + "`"
    file = getattr(getattr(answer, "__code__", None), "co_filename", "")
    lines = [at.line for at in traceback.extract_tb(error.__traceback__) if at.filename == file]
    if not lines:
        return _word("Your code raised {error} when called with:").format(error=what)
    said = _word("Your code raised {error} in the line `{line}` when called with:")
    return said.format(error=what, line=lines[-1])
