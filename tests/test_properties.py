"""Encoding and batches of texts that hypothesis makes up, against `tokenize` and a count."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data import imdb, words
from labkit.models import classifiers

texts = st.lists(
    st.text(st.sampled_from("ab cé中 \t\u00a0\u2028,.'<>_-9Z\x00İ")) | st.text(),
    min_size=1,
    max_size=12,
)
quick = settings(max_examples=60, deadline=None, print_blob=True)


def encode(made_up, max_len, tail, min_freq=1):
    vocabulary = words.build_vocabulary(words.tokenize_all(made_up), min_freq)
    return imdb.encode(made_up, np.zeros(len(made_up)), vocabulary, max_len, tail), vocabulary


@quick
@given(texts, st.integers(1, 30), st.floats(0, 1, allow_subnormal=False), st.integers(1, 3))
def test_no_word_is_lost_or_invented(made_up, max_len, share, min_freq):
    tail = round(share * max_len)
    split, vocabulary = encode(made_up, max_len, tail, min_freq)
    ids, lengths, _ = split.batch(torch.arange(len(made_up)))
    for row, length, text in zip(ids.tolist(), lengths.tolist(), made_up, strict=True):
        tokens = words.tokenize(text)
        if len(tokens) > max_len:
            tokens = tokens[: max_len - tail] + tokens[len(tokens) - tail :]
        assert row[:length] == (vocabulary.encode(tokens) or [words.UNKNOWN])
        assert row[length:] == [words.PAD] * (len(row) - length)


@quick
@given(texts, st.integers(1, 5), st.none() | st.integers(0, 2**32))
def test_every_review_comes_once_an_epoch(made_up, batch_size, seed):
    split, _ = encode(made_up, max_len=10, tail=0)
    order = split.order(batch_size, None if seed is None else torch.Generator().manual_seed(seed))
    assert sorted(torch.cat(order).tolist()) == list(range(len(made_up)))
    assert all(len(index) <= batch_size for index in order)


@quick
@given(
    texts,
    st.sampled_from(["last", "pool"]),
    st.sampled_from(["RNN", "LSTM"]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_padding_is_never_read(made_up, readout, cell, bidirectional, seed):
    split, vocabulary = encode(made_up, max_len=10, tail=3)
    torch.manual_seed(0)
    net = classifiers.TextClassifier(
        cell, len(vocabulary), 4, 5, num_layers=2, bidirectional=bidirectional, readout=readout
    ).eval()
    ids, lengths, _ = split.batch(torch.arange(len(made_up)))
    padding = torch.arange(ids.shape[1]) >= lengths[:, None]
    draw = torch.Generator().manual_seed(seed)
    other = torch.where(padding, torch.randint(len(vocabulary), ids.shape, generator=draw), ids)
    torch.testing.assert_close(net(other, lengths), net(ids, lengths), rtol=0, atol=1e-6)
