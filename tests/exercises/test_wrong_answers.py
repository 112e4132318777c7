"""The lists of wrong answers: each is told apart from what is right and from every other."""

import itertools
import re
from types import FunctionType

import pytest
from scipy import stats

from labkit.exercises import EXERCISES, check, judge

WRONG = [(name, wrong) for name, exercise in EXERCISES.items() for wrong in exercise.wrong]


@pytest.fixture(params=EXERCISES.values(), ids=EXERCISES)
def exercise(request):
    return request.param


def test_what_is_right_passes(exercise):
    verdict = check(exercise.name, exercise.reference)
    assert verdict.outcome == "right" and verdict == exercise.points, verdict.said


def test_no_two_answers_agree_on_the_inputs_drawn(exercise):
    """Reference: what is right and the wrong answers of an exercise, each beside each other."""
    cases = exercise.draw()
    answers = {"right": exercise.reference} | exercise.wrong
    results = {name: judge.call_all(exercise, answer, cases)[0] for name, answer in answers.items()}
    for (first, a), (second, b) in itertools.combinations(results.items(), 2):
        assert not judge.same(a, b, exercise.tolerance), f"{first} and {second}"


@pytest.mark.parametrize("name, wrong", WRONG)
def test_each_wrong_answer_gets_its_own_words_and_share(name, wrong):
    exercise, (said, share) = EXERCISES[name], judge.told(name, wrong)
    verdict = check(name, exercise.wrong[wrong])
    assert verdict.outcome in ("wrong", "raised") and said in verdict.said
    assert verdict == round(exercise.points * share, 2) < exercise.points


def test_words_are_for_mistakes_that_there_are():
    for name, exercise in EXERCISES.items():
        mistakes = {mistake for wrong in exercise.wrong for mistake in wrong.split("+")}
        assert mistakes == set(judge.words()[name]), name
    assert set(judge.words()) == set(EXERCISES)


def test_words_of_an_exercise_differ_in_both_languages_and_no_mistake_is_free():
    for name, mistakes in judge.words().items():
        for lang in ("en", "zh"):
            said = [mistake[lang] for mistake in mistakes.values()]
            assert len(set(said)) == len(said) and all(said), name
        assert all(0 <= mistake["share"] <= 0.8 for mistake in mistakes.values()), name
        assert all(re.search("[一-鿿]", mistake["zh"]) for mistake in mistakes.values()), name


def test_every_call_draws_the_same_inputs(exercise):
    first, second = (
        [[given for given in case if not isinstance(given, FunctionType)] for case in cases]
        for cases in (exercise.draw(), exercise.draw())
    )
    assert len(first) > 1 and judge.same(first, second, 0.0)


def test_the_paired_interval_is_that_of_the_paired_t_test():
    """Reference: scipy's ttest_rel, for the one exercise here that no library is asked about."""
    exercise = EXERCISES["paired"]
    for a, b in exercise.draw():
        interval = stats.ttest_rel(a.numpy(), b.numpy()).confidence_interval(0.95)
        assert exercise.reference(a, b)[1:3] == pytest.approx((interval.low, interval.high))
