"""Words and letters: texts that this module makes, and turning them into numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.checks import check_whole
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.ops.random import check_rng

Sentence = list[str]

# --- sentence polarity ----------------------------------------------------------------------------

_THINGS = ("film", "book", "meal", "song", "room", "walk", "game", "story")
_GOOD = ("good", "great", "lovely", "clever", "funny", "superb")
_BAD = ("bad", "awful", "dull", "stupid", "boring", "poor")
_NEUTRAL = ("long", "short", "new", "old", "loud", "quiet")
_DEGREES = ((), ("very",), ("so",))
_NEGATIONS = ((), ("not",))


def polarity_sentences(
    count: int, *, rng: np.random.Generator
) -> tuple[list[Sentence], npt.NDArray[np.int64]]:
    """Sentences that praise or blame one thing, and say something neutral of another.

    Each clause may be negated, and "not" turns the clause that it stands in: "the film was not
    good and the room was old" is negative, "the film was good and the room was not old" positive.
    Both have the same words, so a bag of words cannot tell them apart: the order matters.

    Returns:
        Sentences of 9 to 13 words, and labels (count,) int64: 1 positive, 0 negative, each as
        likely.

    Raises:
        InputError: if `count` is below 1.
        DtypeError: if it is no whole number, or `rng` no Generator.

    Source: the task is ours; the example of such a classifier is Y. Kim, Convolutional Neural
    Networks for Sentence Classification (2014).
    """
    check_whole("polarity_sentences", "count", count, 1)
    check_rng("polarity_sentences", rng)

    def pick(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    def clause(adjective: str, negated: int) -> Sentence:
        degree = _DEGREES[int(rng.integers(len(_DEGREES)))]
        return ["the", pick(_THINGS), "was", *_NEGATIONS[negated], *degree, adjective]

    sentences = []
    labels = rng.integers(2, size=count)
    for label in labels:
        negated = int(rng.integers(2))
        clauses = [
            clause(pick(_GOOD if label != negated else _BAD), negated),
            clause(pick(_NEUTRAL), int(rng.integers(2))),
        ]
        first, second = clauses if rng.integers(2) else reversed(clauses)
        sentences.append([*first, "and", *second])
    return sentences, labels


# --- a corpus with relations between its words ----------------------------------------------------

# Rank, gender and age of each person. All that a word's neighbours tell of it are these three, so
# the vectors of king - man + woman come out near queen: same age and rank as king, other gender.
_PERSONS = {
    "king": ("royal", "male", "grown"),
    "queen": ("royal", "female", "grown"),
    "prince": ("royal", "male", "young"),
    "princess": ("royal", "female", "young"),
    "man": ("common", "male", "grown"),
    "woman": ("common", "female", "grown"),
    "boy": ("common", "male", "young"),
    "girl": ("common", "female", "young"),
}
_TRAITS = {
    "royal": ("crown", "throne", "palace", "sceptre", "court", "jewels"),
    "common": ("field", "village", "cottage", "market", "cart", "plough"),
    "male": ("he", "his", "him", "himself", "beard", "brother"),
    "female": ("she", "her", "hers", "herself", "gown", "sister"),
    "grown": ("wise", "old", "grey", "married", "works", "rules"),
    "young": ("small", "new", "plays", "learns", "toys", "school"),
}


def royal_corpus(count: int, *, rng: np.random.Generator) -> list[Sentence]:
    """Sentences about kings, queens, men and women, for word vectors.

    Each has a person in the middle, and around it in any order two words that go with the person's
    rank ("crown", "field"), two that go with the gender ("he", "gown"), two with the age ("wise",
    "toys"). So what sets king apart from man also sets queen apart from woman.

    Returns:
        Sentences of 7 words, of a vocabulary of 44.

    Raises:
        InputError: if `count` is below 1.
        DtypeError: if it is no whole number, or `rng` no Generator.

    Source: the corpus is ours; the relation is that of T. Mikolov, W. Yih, G. Zweig, Linguistic
    Regularities in Continuous Space Word Representations (2013).
    """
    check_whole("royal_corpus", "count", count, 1)
    check_rng("royal_corpus", rng)
    names = list(_PERSONS)
    sentences = []
    for _ in range(count):
        person = names[int(rng.integers(len(names)))]
        pairs = [rng.choice(_TRAITS[trait], 2, replace=False) for trait in _PERSONS[person]]
        around = rng.permutation(np.concatenate(pairs)).tolist()
        sentences.append([*around[:3], person, *around[3:]])
    return sentences


# --- a text for a network that reads letter by letter ---------------------------------------------

_HOUSE = (
    "the malt\nthat lay in",
    "the rat\nthat ate",
    "the cat\nthat killed",
    "the dog\nthat worried",
    "the cow with the crumpled horn\nthat tossed",
    "the maiden all forlorn\nthat milked",
    "the man all tattered and torn\nthat kissed",
    "the priest all shaven and shorn\nthat married",
    "the cock that crowed in the morn\nthat waked",
    "the farmer sowing his corn\nthat kept",
)


def house_that_jack_built() -> str:
    """The nursery rhyme, eleven verses, each of which repeats all before it.

    What comes next is nearly always clear to who remembers enough, so a network that reads
    letter by letter gets far below the bits per character of one that only counts letters.

    Source: traditional; R. Caldecott, The House that Jack Built (1878), public domain.
    """
    told = "the house that Jack built"
    verses = [told]
    for line in _HOUSE:
        told = f"{line} {told}"
        verses.append(told)
    return "\n\n".join(f"This is {verse}." for verse in verses) + "\n"


# --- text as numbers ------------------------------------------------------------------------------


class IndexedText(NamedTuple):
    """Sentences as rows of numbers.

    Attributes:
        indices: (count, longest) int64; 0 after the end of a sentence.
        lengths: (count,) int64.
        words: what the numbers stand for; `words[0]` is "", the padding.
    """

    indices: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    words: list[str]


def index_words(
    sentences: Iterable[Sequence[str]], words: Sequence[str] | None = None
) -> IndexedText:
    """Give each word a number, in alphabetic order from 1 on, and each sentence a row.

    Args:
        sentences: lists of words.
        words: those of an earlier call, so that a test part gets the numbers of the training part.

    Raises:
        InputError: if there is no sentence, an empty one, or a word that `words` does not have; if
            `words` do not begin with "", or one comes twice.
        DtypeError: if a sentence is a text.
    """
    sentences = [*sentences]
    if texts := [sentence for sentence in sentences if isinstance(sentence, str)]:
        raise DtypeError(
            f"index_words: expected lists of words, got the text {texts[0]!r:.60}; use text.split()"
        )
    rows = [list(sentence) for sentence in sentences]
    if not rows or not all(row and all(row) for row in rows):
        raise InputError(f"index_words: expected sentences with words, got {rows[:3]}")
    known = ["", *sorted({word for row in rows for word in row})] if words is None else [*words]
    numbers = {word: i for i, word in enumerate(known)}
    if known[:1] != [""] or len(numbers) != len(known):
        raise InputError(
            "index_words: expected the `words` of an earlier call: '' first, each once, got "
            f"{known[:5]}"
        )
    lengths = np.array([len(row) for row in rows])
    indices = np.zeros((len(rows), lengths.max()), np.int64)
    for i, row in enumerate(rows):
        strange = [word for word in row if word not in numbers]
        if strange:
            raise InputError(f"index_words: {strange[0]!r} of sentence {i} is not among `words`")
        indices[i, : len(row)] = [numbers[word] for word in row]
    return IndexedText(indices, lengths, known)


def index_characters(text: str) -> tuple[npt.NDArray[np.int64], str]:
    """Give each character a number, in the order of their codes.

    Returns:
        Numbers (len(text),) int64, and the characters that they stand for.

    Raises:
        InputError: if the text is empty.
        DtypeError: if it is none.
    """
    if not isinstance(text, str):
        raise DtypeError(f"index_characters: expected a text, got {type(text).__name__}")
    if not text:
        raise InputError("index_characters: expected a text, got an empty string")
    alphabet = "".join(sorted(set(text)))
    return np.array([alphabet.index(character) for character in text]), alphabet
