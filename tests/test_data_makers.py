"""Synthetic data: that each set is what its docstring says, and as hard as it says."""

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import data
from tinygrad_edu.data import PADDING


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- truth tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [1, 2, 3, 4])
def test_truth_inputs_count_up(inputs):
    rows = data.truth_inputs(inputs)
    assert rows.tolist() == [list(row) for row in product([0, 1], repeat=inputs)]
    assert rows.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("and", lambda a, b: a and b),
        ("or", lambda a, b: a or b),
        ("nand", lambda a, b: not (a and b)),
        ("nor", lambda a, b: not (a or b)),
        ("xor", lambda a, b: a != b),
        ("not", lambda a: not a),
    ],
)
def test_gates_answer_as_logic_does(name, f):
    inputs, answers = data.gate(name)
    assert answers.tolist() == [[f(*row)] for row in inputs.tolist()]
    assert answers.dtype == np.float32


@given(st.integers(1, 6))
def test_parity_is_the_xor_of_all_inputs(inputs):
    rows, answers = data.parity(inputs)
    expected = np.bitwise_xor.reduce(rows.astype(int), axis=1)
    assert np.array_equal(answers[:, 0], expected)
    assert answers.shape == (2**inputs, 1)


def test_every_table_of_two_inputs_is_drawn_about_equally_often():
    generator = rng()
    drawn = Counter(
        tuple(data.random_table(2, rng=generator)[1][:, 0].tolist()) for _ in range(1600)
    )
    assert len(drawn) == 16
    assert 60 < min(drawn.values()) <= max(drawn.values()) < 140  # 100 expected, deviation 9.7


@pytest.mark.parametrize("inputs", [0, -1, 21])
def test_tables_of_no_or_too_many_inputs_are_refused(inputs):
    with pytest.raises(tg.InputError, match=f"between 1 and 20, got {inputs}"):
        data.parity(inputs)


def test_an_unknown_gate_is_refused():
    with pytest.raises(tg.InputError, match=r"expected one of and, or.*got 'nxor'"):
        data.gate("nxor")


# --- sequences ------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(2, 30), st.integers(0, 99))
def test_adding_problem_marks_one_number_in_each_half(count, length, seed):
    x, sums = data.adding_problem(count, length, rng=rng(seed))
    numbers, marks = x[:, :, 0], x[:, :, 1]
    assert x.shape == (count, length, 2)
    assert sums.shape == (count, 1)
    assert x.dtype == sums.dtype == np.float32
    assert set(np.unique(marks)) <= {0, 1}
    assert (marks[:, : length // 2].sum(axis=1) == 1).all()
    assert (marks[:, length // 2 :].sum(axis=1) == 1).all()
    assert 0 <= numbers.min() <= numbers.max() <= 1
    assert np.allclose(sums[:, 0], (numbers * marks).sum(axis=1), atol=1e-6)


def test_adding_problem_marks_every_place():
    x, _ = data.adding_problem(2000, 10, rng=rng())
    assert (x[:, :, 1].sum(axis=0) > 300).all()  # 400 expected at each


def test_to_answer_1_to_the_adding_problem_costs_a_sixth():
    _, sums = data.adding_problem(100_000, 50, rng=rng())
    assert abs(np.mean((sums - 1) ** 2) - 1 / 6) < 0.005


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 99), st.data())
def test_neighbours_differ_where_the_label_says(count, length, seed, choice):
    shortest = choice.draw(st.none() | st.integers(1, length))
    bits, labels, lengths = data.neighbours(count, length, shortest=shortest, rng=rng(seed))
    assert bits.shape == (count, length, 1)
    assert bits.dtype == np.float32
    assert labels.dtype == lengths.dtype == np.int64
    assert (lengths >= (shortest or length)).all()
    for row, answers, n in zip(bits[:, :, 0], labels, lengths, strict=True):
        inside = [0, *row[:n].tolist(), 0]
        assert answers[:n].tolist() == [inside[t] != inside[t + 2] for t in range(n)]
        assert (answers[n:] == PADDING).all()
        assert not row[n:].any()


def test_from_the_past_alone_a_label_is_a_coin_toss():
    # Whatever the bits so far are, the label of a step before the last is 0 as often as 1.
    bits, labels, _ = data.neighbours(20_000, 4, rng=rng())
    for step in range(3):
        past = bits[:, : step + 1, 0] @ 2 ** np.arange(step + 1)
        for code in np.unique(past):
            assert abs(labels[past == code, step].mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (data.adding_problem, {"count": 0, "length": 5}, r"count must be at least 1, got 0"),
        (data.adding_problem, {"count": 3, "length": 1}, r"length must be at least 2, got 1"),
        (data.neighbours, {"count": 3, "length": 0}, r"length must be at least 1, got 0"),
        (data.neighbours, {"count": 3, "length": 4, "shortest": 0}, r"between 1 and 4, got 0"),
        (data.neighbours, {"count": 3, "length": 4, "shortest": 5}, r"between 1 and 4, got 5"),
    ],
)
def test_sequences_of_impossible_sizes_are_refused(make, options, message):
    with pytest.raises(tg.InputError, match=rf"^{make.__name__}: .*{message}"):
        make(**options, rng=rng())


MAKERS = [
    lambda n, g: data.adding_problem(n, 5, rng=g),
    lambda n, g: data.adding_problem(5, n, rng=g),
    lambda n, g: data.neighbours(n, 5, rng=g),
    lambda n, g: data.neighbours(5, n, rng=g),
    lambda n, g: data.neighbours(5, 5, shortest=n, rng=g),
    lambda n, g: data.polarity_sentences(n, rng=g),
    lambda n, g: data.royal_corpus(n, rng=g),
    lambda n, g: data.random_table(n, rng=g),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_size_is_a_whole_number(make):
    for size in (2.5, "3", True):
        with pytest.raises(tg.DtypeError, match=rf"^\w+: \w+ must be a whole number, got {size!r}"):
            make(size, rng())
    for size in (0, -1):
        with pytest.raises(tg.InputError, match=rf"^\w+: \w+ must be .*1.*, got {size}|at least 2"):
            make(size, rng())
    make(np.int64(3), rng())


@pytest.mark.parametrize("make", MAKERS)
def test_what_draws_needs_a_generator(make):
    for wrong in (None, 0, np.random):
        with pytest.raises(tg.DtypeError, match=r"^\w+: expected rng .*default_rng\(0\), got"):
            make(3, wrong)


# --- sentences ------------------------------------------------------------------------------------

GOOD = {"good", "great", "lovely", "clever", "funny", "superb"}
BAD = {"bad", "awful", "dull", "stupid", "boring", "poor"}


def test_a_sentence_is_positive_if_good_or_not_bad():
    sentences, labels = data.polarity_sentences(500, rng=rng())
    for sentence, label in zip(sentences, labels, strict=True):
        assert 9 <= len(sentence) <= 13
        (opinion,) = [
            clause
            for clause in " ".join(sentence).split(" and ")
            if {*clause.split()} & (GOOD | BAD)
        ]
        good = bool({*opinion.split()} & GOOD)
        assert label == (good != ("not" in opinion.split()))
    assert 200 < labels.sum() < 300
    first = sum(bool({*sentence[: sentence.index("and")]} & (GOOD | BAD)) for sentence in sentences)
    assert 200 < first < 300  # of 250 expected: where the opinion stands is left to chance
    assert labels.dtype == np.int64


def test_polarity_needs_the_order_of_words():
    # Many bags of words stand for sentences of both kinds.
    sentences, labels = data.polarity_sentences(30_000, rng=rng())
    bags: dict[tuple[str, ...], set[int]] = {}
    for sentence, label in zip(sentences, labels.tolist(), strict=True):
        bags.setdefault(tuple(sorted(sentence)), set()).add(label)
    assert sum(len(kinds) == 2 for kinds in bags.values()) > 300


def test_words_around_a_person_are_of_its_rank_gender_and_age():
    sentences = data.royal_corpus(3000, rng=rng())
    around = {}
    for sentence in sentences:
        assert len(sentence) == 7
        around.setdefault(sentence[3], Counter()).update(sentence[:3] + sentence[4:])
    assert {*around} == {"king", "queen", "prince", "princess", "man", "woman", "boy", "girl"}
    assert all(len(words) == 18 for words in around.values())
    royal = {*around["king"]} & {*around["queen"]} & {*around["prince"]}
    assert royal == {"crown", "throne", "palace", "sceptre", "court", "jewels"}
    assert not royal & {*around["man"]}
    assert {"he", "beard"} <= {*around["king"]} & {*around["man"]} & {*around["boy"]}


@pytest.mark.parametrize("seed", range(5))
def test_king_minus_man_plus_woman_is_queen_for_counts_alone(seed):
    """Rows of positive pointwise mutual information: O. Levy, Y. Goldberg (2014), section 4."""
    text = data.index_words(data.royal_corpus(2000, rng=rng(seed)))
    counts = np.zeros((len(text.words), len(text.words)))
    for row in text.indices:
        for i, j in product(range(7), repeat=2):
            counts[row[i], row[j]] += i != j and abs(i - j) <= 3
    counts = counts[1:, 1:]
    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    vectors = np.log(np.maximum(counts / expected, 1))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    word = {w: vectors[i] for i, w in enumerate(text.words[1:])}
    goal = word["king"] - word["man"] + word["woman"]
    rest = [w for w in word if w not in ("king", "man", "woman")]
    assert max(rest, key=lambda w: word[w] @ goal) == "queen"


def test_the_house_that_jack_built_repeats_what_came_before():
    text = data.house_that_jack_built()
    verses = text.rstrip("\n").split("\n\n")
    assert len(verses) == 11
    assert verses[0] == "This is the house that Jack built."
    assert verses[2] == "This is the rat\nthat ate the malt\nthat lay in the house that Jack built."
    for before, verse in pairwise(verses):
        assert verse.endswith(before.removeprefix("This is "))
    assert len(text) == 1926
    assert text.isascii()


@pytest.mark.parametrize(
    "make",
    [
        lambda g: data.random_table(4, rng=g)[1],
        lambda g: data.adding_problem(5, 9, rng=g)[0],
        lambda g: data.neighbours(5, 9, shortest=2, rng=g)[0],
        lambda g: data.polarity_sentences(9, rng=g)[0],
        lambda g: data.royal_corpus(9, rng=g),
    ],
)
def test_the_generator_alone_decides(make):
    first, again, other = make(rng(1)), make(rng(1)), make(rng(2))
    same = np.array_equal if isinstance(first, np.ndarray) else lambda a, b: a == b
    assert same(first, again)
    assert not same(first, other)


# --- text as numbers ------------------------------------------------------------------------------


def test_words_get_numbers_in_alphabetic_order_and_padding_is_0():
    indices, lengths, words = data.index_words([["b", "a"], ["c", "a", "b"]])
    assert words == ["", "a", "b", "c"]
    assert indices.tolist() == [[2, 1, 0], [3, 1, 2]]
    assert lengths.tolist() == [2, 3]
    assert indices.dtype == lengths.dtype == np.int64


def test_a_test_part_gets_the_numbers_of_the_training_part():
    words = data.index_words([["b", "a", "c"]]).words
    assert data.index_words([["c"]], words).indices.tolist() == [[3]]
    assert data.index_words([["c"]], words).words == words


@pytest.mark.parametrize(
    ("sentences", "words", "message"),
    [
        ([], None, r"expected sentences with words, got \[\]"),
        ([["a"], []], None, r"expected sentences with words, got \[\['a'\], \[\]\]"),
        ([["a"], ["d"]], ["", "a"], r"'d' of sentence 1 is not among `words`"),
        ([["a", ""]], None, r"expected sentences with words, got \[\['a', ''\]\]"),
        ([["a"]], ["a", "b"], r"'' first, each once, got \['a', 'b'\]"),
        ([["a"]], ["", "a", "a"], r"each once, got"),
    ],
)
def test_sentences_without_numbers_are_refused(sentences, words, message):
    with pytest.raises(tg.InputError, match=message):
        data.index_words(sentences, words)


@pytest.mark.parametrize("sentences", ["abc", ["the film", "was good"]])
def test_a_text_in_place_of_its_words_is_refused(sentences):
    with pytest.raises(tg.DtypeError, match=r"expected lists of words, got the text '.*text.split"):
        data.index_words(sentences)


@given(st.text(min_size=1, max_size=50))
def test_characters_get_numbers_that_stand_for_them(text):
    indices, alphabet = data.index_characters(text)
    assert "".join(alphabet[i] for i in indices) == text
    assert list(alphabet) == sorted(set(text))
    assert indices.dtype == np.int64


def test_an_empty_text_is_refused():
    with pytest.raises(tg.InputError, match="expected a text"):
        data.index_characters("")
    with pytest.raises(tg.DtypeError, match="expected a text, got NoneType"):
        data.index_characters(None)
