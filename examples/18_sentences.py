"""A 1-D convolutional network reads sentences, and finds out whether they praise or blame.

    "the film was not good and the room was old"    negative
    "the film was good and the room was not old"    positive

Both have the same words. Which is which is told by what stands next to "not", and a window of a few
words that is laid over every place of a sentence sees just that. Each word is looked up as a
vector, so a sentence is an "image" of one axis, (channels, places); the largest answer over all
places says whether a pattern occurs anywhere, however long the sentence is.

Beside it a network that gets the mean of the vectors: a bag of words. It cannot know where "not"
belonged, and does hardly better than the three in four that guessing at "not" gives.

Source: Y. Kim, "Convolutional Neural Networks for Sentence Classification" (2014).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import data, nn
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import Adam

ROWS, ASKED, SEEDS = (17,), "polarity of new sentences: accuracy >= 98 %", 5
Array = Any
WIDTH = 16  # numbers per word
SENTENCES = (
    "the film was not good and the room was old",
    "the film was good and the room was not old",
    "the walk was quiet and the meal was not so boring",
)


class BagOfWords(nn.Module):
    """The mean of the words' vectors, and an MLP on it: blind to order."""

    def __init__(self, words: int, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(words, WIDTH, padding_idx=0, rng=rng)
        self.mlp = nn.MLP([WIDTH, 32, 2], rng=rng)

    def forward(self, indices: Array) -> Array:
        """(N, L) numbers of words to (N, 2) scores."""
        lengths = np.count_nonzero(indices, axis=1)[:, np.newaxis]
        return self.mlp(np.sum(self.embedding(indices), axis=1) / lengths)


class Windows(nn.Module):
    """Convolutions over 3, 4 and 5 words, the largest of each over all places, a linear layer."""

    def __init__(self, words: int, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(words, WIDTH, padding_idx=0, rng=rng)
        self.convolutions = [
            nn.Conv1d(WIDTH, 16, kernel_size, padding="same", rng=rng) for kernel_size in (3, 4, 5)
        ]
        self.output = nn.Linear(3 * 16, 2, rng=rng)

    def forward(self, indices: Array) -> Array:
        """(N, L) numbers of words to (N, 2) scores."""
        words = np.swapaxes(self.embedding(indices), 1, 2)  # (N, WIDTH, L): channels first
        found = [np.max(tg.relu(layer(words)), axis=2) for layer in self.convolutions]
        return self.output(np.concatenate(found, axis=1))


def train(kind: type[nn.Module], seed: int, epochs: int) -> tuple[nn.Module, nn.History, list[str]]:
    """Learn from 2,000 sentences; the test is on 1,000 others."""
    rng = np.random.default_rng(seed)
    sentences, labels = data.polarity_sentences(3000, rng=rng)
    indices, _, words = data.index_words(sentences)
    net = kind(len(words), rng)
    loader = data.DataLoader((indices[:2000], labels[:2000]), 50, shuffle=True, rng=rng)
    test = [(indices[2000:], labels[2000:])]
    optimizer = Adam(net.parameters(), lr=5e-3)
    history = nn.fit(
        net, loader, tg.cross_entropy, optimizer, epochs, test=test, progress=False
    )  # fmt: skip
    return net, history, words


def run(seed: int, quick: bool = False) -> float:
    """The accuracy on new sentences."""
    return train(Windows, seed, epochs=4 if quick else 10)[1][-1].test_accuracy


def reached(figure: float, quick: bool = False) -> bool:
    """The bag of words does not get there."""
    return figure >= (0.95 if quick else 0.98)


def picture(folder: Path) -> Path:
    """What each word does to the answer: how much it changes without the word."""
    from matplotlib.figure import Figure  # the extra `plot`

    net, _, words = train(Windows, 0, epochs=10)
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, sentence in zip(figure.subplots(2, 1), SENTENCES, strict=False):
        row = data.index_words([sentence.split()], words).indices
        without = np.where(np.eye(row.size), 0, row)  # row i lacks word i
        praise = np.diff(net(np.concatenate([row, without])).numpy())[:, 0]  # positive - negative
        said = "positive" if praise[0] > 0 else "negative"
        effect = praise[0] - praise[1:]
        axes.bar(range(row.size), effect, color=np.where(effect > 0, "tab:blue", "tab:orange"))
        axes.set(xticks=range(row.size), xticklabels=sentence.split(), title=said, ylabel="effect")
    write_aside(path := folder / "18_sentences.png", figure.savefig)
    return path


if __name__ == "__main__":
    net, history, words = train(Windows, 0, epochs=10)
    for sentence in SENTENCES:
        scores = net(data.index_words([sentence.split()], words).indices)
        print(f"{('negative', 'positive')[int(np.argmax(scores))]:9} {sentence}")
    print(f"a bag of words: {train(BagOfWords, 0, epochs=10)[1][-1].test_accuracy:.1%}")
    print(f"asked: {ASKED}; reached: {history[-1].test_accuracy:.1%}")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))
