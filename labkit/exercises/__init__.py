"""The checks of the exercises: what a student wrote, compared with what is right, in words.

You need it to add an exercise or a typical wrong answer. steps.py, images.py, words.py, reviews.py
list them, wrong.toml has what is said of each; the student's check, the grader and the tests all
read those. judge.py decides, compare.py sets two results side by side.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.exercises import images, judge, reviews, steps, words

LISTS = (steps.EXERCISES, images.EXERCISES, words.EXERCISES, reviews.EXERCISES)
EXERCISES = {exercise.name: exercise for exercises in LISTS for exercise in exercises}


def check(name: str, answer: Callable) -> judge.Verdict:
    """Return the points of an answer to an exercise, as a number that shows its reasons in words.

    Raises KeyError for an exercise that there is not.
    """
    return judge.judge(EXERCISES[name], answer)
