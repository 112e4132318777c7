"""The exercises on words, batches and read-outs: what is right, and what is often written.

A name such as `a+b` stands for two mistakes at once. wrong.toml says what each is told.
Shapes: N reviews, T words in the longest, H hidden units; all unequal.
"""

from __future__ import annotations

import re
from collections import Counter

import torch

from labkit.data import words
from labkit.exercises.judge import Exercise, joined, normal

LETTERS = {"": r"\w", "english_letters_only": r"[a-z0-9_]"}
DIGITS = {"": "", "no_digits": r"(?!\d)"}  # what follows is no digit
UNDERSCORES = {"": "", "no_underscore": "(?!_)"}
APOSTROPHES = {"": "L+(?:'L+)*", "apostrophe_splits": "L+", "outer_quotes": "(?:L|')+"}
LINE_ENDS = {"": " ", "line_end_a_word": " br ", "line_end_glues": ""}


def _tokenizer(letter=r"\w", no="", nor="", word="L+(?:'L+)*", line_end=" ", lower=str.lower):
    pattern = word.replace("L", f"(?:{no}{nor}{letter})")
    return lambda text: re.findall(pattern, lower(text).replace("<br />", line_end))


TOKENIZE = Exercise(
    name="tokenize",
    points=2,
    reference=lambda text: _tokenizer()(text),
    draw=lambda: [
        ("I don't regret it<br />the CAFÉ in WALL_E was GREAT, 10/10!",),
        ("Wasn't it 'naïve'?<br /><br />Two hours: 7/10, or 1.5 stars.<br />It's",),
    ],
    wrong={
        **joined((LETTERS, DIGITS, UNDERSCORES, APOSTROPHES, LINE_ENDS), _tokenizer),
        "glued": lambda text: re.sub(r"[^\w\s']", "", text.lower().replace("<br />", " ")).split(),
        "as_in_the_lesson": words.tokenize,
        "white_space_only": lambda text: text.lower().replace("<br />", " ").split(),
        "split_alone": lambda text: text.lower().split(),
        "only_t": _tokenizer(word="L+(?:'t)?"),
        "capitals": _tokenizer(lower=str),
    },
)


def _vocabulary(train, test, min_freq):
    counts = Counter(word for review in train for word in review)
    return _number([word for word, n in counts.most_common() if n >= min_freq], test)


def _number(kept, test, first=2, unknown=1):
    index = {word: k for k, word in enumerate(kept, first)}
    return index, [[index.get(word, unknown) for word in review] for review in test]


def _kept(train, test, min_freq):
    return list(_vocabulary(train, test, min_freq)[0])


def _draw_words():
    train = ["a good film", "not a good film no", "a sad idea and a sad sad film not a sad"]
    small = ([text.split() for text in train[:2]], ["good idea a film not bad bad bad".split()], 2)
    return [small, ([text.split() for text in train], [["sad", "story"], ["story", "a"]], 3)]


VOCABULARY = Exercise(
    name="vocabulary",
    points=4,
    reference=_vocabulary,
    draw=_draw_words,
    wrong={
        "of_everything": lambda train, test, m: (_number(_kept([*train, *test], test, m), test)),
        "from_0": lambda train, test, m: _number(_kept(train, test, m), test, first=0),
        "from_1": lambda train, test, m: _number(_kept(train, test, m), test, first=1),
        "more_than": lambda train, test, m: _vocabulary(train, test, m + 1),
        "all_words": lambda train, test, m: _vocabulary(train, test, 1),
        "always_2": lambda train, test, m: _vocabulary(train, test, 2),
        "unknown_dropped": lambda train, test, m: _number(
            kept := _kept(train, test, m), [[w for w in review if w in kept] for review in test]
        ),
        "unknown_is_0": lambda train, test, m: _number(_kept(train, test, m), test, unknown=0),
        "first_seen": lambda t, x, m: _number(sorted(_kept(t, x, m), key=sum(t, []).index), x),
        "alphabetical": lambda train, test, m: _number(sorted(_kept(train, test, m)), test),
        "ties_alphabetical": lambda t, x, m: _vocabulary([sorted(sum(t, []))], x, m),
        "rarest_first": lambda train, test, m: _number(_kept(train, test, m)[::-1], test),
    },
)


def _cut(review, max_len, tail):
    if len(review) <= max_len:
        return review
    return review[: max_len - tail] + review[len(review) - tail :]


def _padded(cut=_cut, width=lambda lengths, max_len: max(lengths), front=False, lengths=None):
    def pad(reviews, max_len, tail):
        kept = [cut(review, max_len, tail) for review in reviews]
        counted = [len(review) for review in kept]
        wide = width(counted, max_len)
        zeros = [[0] * (wide - n) for n in counted]
        pairs = zip(zeros, kept, strict=True) if front else zip(kept, zeros, strict=True)
        ids = torch.tensor([first + second for first, second in pairs])
        return ids, torch.tensor(lengths(reviews, wide) if lengths else counted)

    return pad


PADS = {
    "": _padded(),
    "lengths_with_padding": _padded(lengths=lambda reviews, wide: [wide] * len(reviews)),
    "lengths_before_cutting": _padded(lengths=lambda reviews, wide: list(map(len, reviews))),
    "head_only": _padded(lambda review, max_len, tail: review[:max_len]),
    "tail_only": _padded(lambda review, max_len, tail: review[-max_len:]),
    "too_long": _padded(lambda review, max_len, tail: _cut(review, max_len + tail, tail)),
    "all_of_it_at_tail_0": _padded(lambda r, m, t: r if len(r) <= m else r[: m - t] + r[-t:]),
    "short_ones_too": _padded(lambda r, m, t: r[: m - t] + r[len(r) - t :]),
    "short_ones_too+all_of_it_at_tail_0": _padded(lambda r, m, t: r[: m - t] + r[-t:]),
    "not_cut": _padded(lambda review, max_len, tail: review),
    "always_max_len": _padded(width=lambda lengths, max_len: max_len),
    "zeros_in_front": _padded(front=True),
}
IDS = {"": lambda ids, n: (ids, n), "decimals": lambda ids, n: (ids.float(), n)}


PAD = Exercise(
    name="pad",
    points=4,
    reference=PADS[""],
    draw=lambda: [
        ([[5, 6], [7]], 3, 1),
        ([[2, 3, 4, 5, 6, 7, 8], [9, 10, 3], [4]], 5, 2),
        ([[9, 8, 7, 6, 5, 4], [2**24 + 1, 2]], 4, 0),  # an id that float32 does not have
    ],
    wrong=joined((PADS, IDS), lambda pad, typed: lambda *given: typed(*pad(*given))),
    tolerance=1e-9,
)


def _last_state(states, lengths, shift=-1):
    return states[torch.arange(len(states)), lengths + shift]


LAST = Exercise(
    name="last_state",
    points=4,
    reference=lambda states, lengths: _last_state(states, lengths),
    draw=lambda: [
        (*normal(0, (2, 4, 3)), torch.tensor([2, 3])),
        (*normal(1, (3, 5, 2)), torch.tensor([5, 2, 3])),
    ],
    wrong={
        "after_padding": lambda states, lengths: states[:, -1],
        "one_early": lambda states, lengths: _last_state(states, lengths, -2),
        "one_late": lambda states, lengths: _last_state(states, lengths, 0),
        "first_word": lambda states, lengths: states[:, 0],
        "every_pair": lambda states, lengths: states[:, lengths - 1],
    },
)


def _ends(states, forward, backward):
    size = states.shape[2] // 2
    return torch.cat([forward[:, :size], backward[:, size:]], 1)


def _read_out(states, lengths):
    return _ends(states, _last_state(states, lengths), states[:, 0])


READ_OUT = Exercise(
    name="read_out",
    points=4,
    reference=_read_out,
    draw=lambda: [
        (*normal(0, (1, 3, 4)), torch.tensor([2])),
        (*normal(1, (3, 5, 6)), torch.tensor([4, 2, 3])),
    ],
    wrong={
        "both_at_the_last": lambda states, lengths: _last_state(states, lengths),
        "both_at_the_first": lambda states, lengths: states[:, 0],
        "both_after_padding": lambda states, lengths: states[:, -1],
        "forward_after_padding": lambda states, lengths: _ends(states, states[:, -1], states[:, 0]),
        "ends_swapped": lambda s, lengths: _ends(s, s[:, 0], _last_state(s, lengths)),
        "halves_swapped": lambda s, lengths: _read_out(s, lengths).roll(s.shape[2] // 2, 1),
        "forward_only": lambda s, lengths: _last_state(s, lengths)[:, : s.shape[2] // 2],
    },
)


def _masked(states, lengths, fill):
    padding = torch.arange(states.shape[1]) >= lengths[:, None]
    return states.masked_fill(padding[:, :, None], fill)


MEANS = {
    "": lambda states, lengths: _masked(states, lengths, 0).sum(1) / lengths[:, None],
    "mean_over_width": lambda states, lengths: _masked(states, lengths, 0).mean(1),
    "mean_of_all": lambda states, lengths: states.mean(1),
    "sum": lambda states, lengths: _masked(states, lengths, 0).sum(1),
}
MAXIMA = {
    "": lambda states, lengths: _masked(states, lengths, -torch.inf).amax(1),
    "zeros_win": lambda states, lengths: _masked(states, lengths, 0).amax(1),
    "maximum_of_all": lambda states, lengths: states.amax(1),
}


def _pooled(mean, maximum):
    return lambda states, lengths: (mean(states, lengths), maximum(states, lengths))


POOL = Exercise(
    name="pool",
    points=4,
    reference=_pooled(MEANS[""], MAXIMA[""]),
    draw=lambda: [
        (-normal(0, (1, 3, 2))[0].abs() - 0.1, torch.tensor([2])),
        (-normal(5, (3, 5, 2))[0].abs() - 0.1, torch.tensor([2, 3, 4])),
    ],
    wrong=joined((MEANS, MAXIMA), _pooled),
)

EXERCISES = (TOKENIZE, VOCABULARY, PAD, LAST, READ_OUT, POOL)
