"""The four outcomes, and what they say: of answers that no list foresees."""

import contextlib
import io
import sys
import warnings

import pytest
import torch

from labkit import language
from labkit.exercises import EXERCISES, check, judge
from labkit.exercises.compare import differences, same, table


@pytest.fixture(params=["en", "zh"])
def lang(request, monkeypatch):
    monkeypatch.setattr(language, "_asked", [request.param])
    return request.param


def right(x, h, W_ih, b_ih, W_hh, b_hh):
    return torch.tanh(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh)


def not_implemented(*given):
    raise NotImplementedError()


@pytest.mark.parametrize(
    "answer",
    [not_implemented, lambda *given: ..., lambda *given: None],
    ids=["raises", "…", "None"],
)
def test_nothing_there_is_not_attempted(answer):
    verdict = check("elman_step", answer)
    assert verdict.outcome == "not attempted" and verdict == 0
    assert ("raise NotImplementedError()" in verdict.said) == (answer is not_implemented)


def test_what_pytorch_has_not_implemented_is_an_error_of_the_answer():
    """Reference: PyTorch's own NotImplementedError, which has a message."""
    verdict = check("elman_step", lambda *given: torch.nn.Module()(*given))
    assert verdict.outcome == "raised" and "NotImplementedError: Module" in verdict.said


def test_an_error_comes_with_its_line_and_the_shapes_of_the_call():
    def answer(x, h, W_ih, b_ih, W_hh, b_hh):
        y = x @ W_ih.T
        return y.tanhh()

    verdict = check("elman_step", answer)
    assert verdict.outcome == "raised" and verdict == 0
    assert "AttributeError" in verdict.said and "in the line `return y.tanhh()`" in verdict.said
    assert "W_ih  (2, 3)" in verdict.said and "ours" not in verdict.said


@pytest.mark.parametrize("answer", [None, 3, lambda: 1], ids=["None", "a number", "no arguments"])
def test_what_cannot_be_called_is_an_error_of_the_answer(answer):
    verdict = check("elman_step", answer)
    assert verdict.outcome == "raised" and "TypeError" in verdict.said


def test_an_unknown_mistake_shows_the_smallest_inputs_that_fail_and_both_results():
    verdict = check("elman_step", lambda *given: right(*given) + 0.25)
    assert verdict.outcome == "wrong" and verdict == 0
    assert (
        "exact: no · to 1e-06, relative or absolute: no · largest difference: 0.25" in verdict.said
    )
    x, *_ = EXERCISES["elman_step"].draw()[0]
    assert str(x.tolist()) in verdict.said and "yours" in verdict.said and "ours" in verdict.said


def test_only_the_larger_case_fails_and_it_is_the_one_shown():
    def answer(*given):
        return right(*given) * (1 if len(given[0]) == 1 else 2)

    assert "x      (4, 5)" in check("elman_step", answer).said


def test_another_shape_or_kind_is_said():
    for answer in (lambda *given: right(*given).T, lambda *given: "tanh"):
        assert "The shapes differ, or the types." in check("elman_step", answer).said


def test_a_list_of_another_length_is_said():
    reference = EXERCISES["tokenize"].reference
    said = check("tokenize", lambda text: reference(text)[:-2]).said
    assert "Number of values: yours " in said and "shapes" not in said


@pytest.mark.parametrize(
    "name, answer",
    [
        ("tokenize", lambda text: [word.upper() for word in EXERCISES["tokenize"].reference(text)]),
        ("vocabulary", EXERCISES["vocabulary"].wrong["from_0"]),
        ("pad", EXERCISES["pad"].wrong["lengths_with_padding"]),
        ("num_parameters", EXERCISES["num_parameters"].wrong["no_head"]),
    ],
)
def test_words_ids_and_counts_have_no_distance(name, answer):
    said = check(name, answer).said
    assert "\n\nexact: no\n\n" in said and "largest" not in said


def test_a_word_in_a_result_hides_no_distance_of_its_numbers():
    said = check("paired", EXERCISES["paired"].wrong["b_minus_a"]).said
    assert "to 1e-06, relative or absolute: no · largest difference: " in said


@pytest.mark.parametrize(
    "value, shown",
    [
        ([[5, 6], [7]], "[[5, 6], [7]]"),
        (({"a": 2, "b": 3}, [[2, 1]]), "({'a': 2, 'b': 3}, [[2, 1]])"),
        (("a", (1.5, True)), "('a', (1.5, True))"),
        (((), [], {}, ("a",)), "((), [], {}, ('a',))"),
    ],
)
def test_nested_values_are_shown_as_python_writes_them(value, shown):
    assert shown == repr(value) and table({"v": value}).splitlines()[1] == f"v  {shown}"


def test_a_long_list_is_cut_after_twelve_and_a_tensor_has_its_shape_before_it():
    twelve = ", ".join(map(str, range(12)))
    shown = table({"v": [list(range(13)), torch.tensor([1, 2])]}).splitlines()[1]
    assert shown == f"v  [[{twelve}, …], (2,) [1, 2]]"


def test_changed_inputs_cost_half_and_are_named():
    """Reference: a step that is right, but leaves its result in h."""

    def answer(x, h, *weights):
        return h.copy_(right(x, h, *weights))

    verdict = check("elman_step", answer)
    assert verdict.outcome == "wrong" and verdict == 2
    assert "You changed an input in place: `h`." in verdict.said


def test_inputs_that_the_right_answer_changes_too_may_change():
    verdict = check("train", EXERCISES["train"].reference)  # training changes the model
    assert verdict.outcome == "right"


def test_randomness_is_said():
    verdict = check("elman_step", lambda x, h, *rest: right(x, torch.randn_like(h), *rest))
    assert "something is random" in verdict.said and verdict == 0


def test_float32_is_near_enough_and_says_so():
    verdict = check("elman_step", lambda *given: right(*given).float())
    assert (
        verdict.outcome == "right"
        and "exact: no · to 1e-06, relative or absolute: yes" in verdict.said
    )


def test_nothing_goes_to_stderr():
    """nbgrader gives 0 points for a cell that writes there, though the answer is right."""

    def answer(*given):
        warnings.warn("a library's warning", stacklevel=1)
        print("a note", file=sys.stderr)
        return right(*given)

    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        assert check("elman_step", answer).outcome == "right"
    assert stderr.getvalue() == ""


def test_a_check_leaves_the_random_numbers_of_the_notebook_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    check("train", EXERCISES["train"].reference)
    assert torch.equal(torch.rand(3), expected)


def test_a_verdict_is_points_as_text_and_words_as_markdown():
    """Reference: nbgrader reads `text/plain` of the cell's value as points."""
    verdict = check("elman_step", EXERCISES["elman_step"].wrong["no_bias"])
    assert repr(verdict) == "2.0" and float(repr(verdict)) == verdict
    assert verdict._repr_markdown_().startswith("**elman_step: wrong** · 2 of 4 points")


def test_two_mistakes_at_once_are_both_named_and_both_cost():
    verdict = check("pool", EXERCISES["pool"].wrong["mean_over_width+zeros_win"])
    words = judge.words()["pool"]
    assert (
        words["mean_over_width"]["en"] in verdict.said and words["zeros_win"]["en"] in verdict.said
    )
    assert verdict == 4 * (1 - 0.25 - 0.5)


def test_every_outcome_speaks_both_languages(lang):
    answers = [
        right,
        not_implemented,
        lambda x: x,
        lambda *given: 2 * right(*given),
        lambda *given: right(*given).T,
        lambda *given: right(*given).tolist(),
        lambda x, h, *weights: h.copy_(right(x, h, *weights)),
        lambda x, *rest: right(torch.randn_like(x), *rest),
        EXERCISES["elman_step"].wrong["no_bias"],
    ]
    english = (
        "points Your You yours ours exact largest wrong right raised Two shapes values".split()
    )
    for answer in answers:
        said = check("elman_step", answer).said.replace("more", "")
        found = {word for word in english if word in said.split("`")[0] + said.split("```")[-1]}
        assert bool(found) == (lang == "en"), said


@pytest.mark.parametrize(
    "a, b, agree",
    [
        (torch.tensor(1.0), 1.0, True),
        (torch.tensor([1.0]), 1.0, False),
        ([1, 2], (1, 2), True),
        ([1, 2], [1, 2, 3], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ("a", "a", True),
        ("1", 1, False),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), True),
        (ValueError("a"), ValueError("a"), True),
        (ValueError("a"), TypeError("a"), False),
        (None, 0, False),
    ],
)
def test_what_agrees(a, b, agree):
    assert same(a, b, 1e-6) is agree and same(b, a, 1e-6) is agree
    assert differences([a], [b], 1e-6) and table({"a": a, "b": b})  # whatever it is, it is shown
