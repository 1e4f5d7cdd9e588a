"""Word vectors from the company that words keep: king - man + woman = queen.

A window slides over each sentence. Skip-gram predicts every word around from the word in the
middle; CBOW (continuous bag of words) the word in the middle from the mean of those around. Both
make a vector h from rows of a matrix W, one row per word, and ask how well it fits a word o:

    full softmax            -log softmax(U h)_o                       costs all rows of U
    negative sampling       -log σ(u_o·h) - Σ_k log σ(-u_k·h)         costs 1 + K rows

Words k are drawn with probability ~ count^¾. The gradient has the rows that were used, and no
others (`tg.RowSparse`). The third loss, the hierarchical softmax, has an example of its own: 20.
Source: T. Mikolov et al., "Distributed Representations of Words and Phrases" (2013).
"""

import sys
from itertools import chain, product, repeat
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import data
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import Adam

ROWS, ASKED, SEEDS = (12,), "king - man + woman = queen, by 2 models with 2 losses each: all 4", 5
MODELS, LOSSES = ("skip-gram", "CBOW"), ("full softmax", "negative")
WINDOW, WIDTH, NEGATIVES, BATCH = 3, 8, 5, 128
Array = Any


def windows(sentences: Array) -> tuple[Array, Array]:
    """From (count, L) words, 0 for none: those around (n, 2 WINDOW), and those in the middle."""
    framed = np.pad(sentences, ((0, 0), (WINDOW, WINDOW)))
    views = np.lib.stride_tricks.sliding_window_view(framed, 2 * WINDOW + 1, axis=1)
    views = views[views[..., WINDOW] > 0]
    return np.delete(views, WINDOW, axis=1), views[:, WINDOW]


def decisions(h: tg.Tensor, U: tg.Tensor, nodes: Array, signs: Array) -> tg.Tensor:
    """The mean over N of -Σ_k log σ(s_k u_k·h); h (N, d), nodes and signs (N, K), 0 for none."""
    z = np.sum(tg.embedding(U, nodes, sparse=True) * np.expand_dims(h, 1), axis=2)
    return np.sum(np.abs(signs) * tg.softplus(-signs * z)) / len(nodes)


def train(model: str, loss: str, seed: int, count: int = 1000) -> tuple[list[str], Array]:
    """The words, and a vector for each (words, WIDTH)."""
    rng = np.random.default_rng(seed)
    indices, _, words = data.index_words(data.royal_corpus(count, rng=rng))
    around, middle = windows(indices)
    if model == "skip-gram":  # a pair for each word around; h is made of a single word
        there = around > 0
        around, middle = np.repeat(middle, there.sum(axis=1))[:, np.newaxis], around[there]
    noise = np.bincount(middle, minlength=len(words)) ** 0.75
    begin = rng.normal(0, 0.2, (len(words), WIDTH))
    W, U = (tg.Tensor(start, requires_grad=True) for start in (begin, 0 * begin))
    optimizer = Adam([W, U], lr=0.02)
    loader = data.DataLoader((around, middle), BATCH, shuffle=True, rng=rng)
    for given, wanted in chain.from_iterable(repeat(loader, 3 if model == "skip-gram" else 12)):
        there = (given > 0)[:, :, np.newaxis]
        h = np.sum(tg.embedding(W, given, sparse=True) * there, axis=1) / there.sum(axis=1)
        if loss == "full softmax":
            value = tg.cross_entropy(h @ U.T, wanted)
        else:
            drawn = rng.choice(len(words), (len(wanted), NEGATIVES), p=noise / sum(noise))
            signs = np.column_stack([np.ones_like(wanted), -np.ones_like(drawn)])
            value = decisions(h, U, np.column_stack([wanted, drawn]), signs)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return words, W.data


def nearest(words: list[str], W: Array, plus: str, minus: str = "", count: int = 1) -> list[str]:
    """The words of the largest cosine with a sum of words, which are left out themselves."""
    signs = {**dict.fromkeys(plus.split(), 1), **dict.fromkeys(minus.split(), -1)}
    goal = sum(sign * W[words.index(word)] for word, sign in signs.items())
    order = [words[i] for i in np.argsort(-(W @ goal) / np.linalg.norm(W, axis=1))]
    return [word for word in order if word and word not in signs][:count]


def run(seed: int, quick: bool = False) -> float:
    """In which share of the four queen is nearest to king - man + woman."""
    trained = [train(*pair, seed, 300 if quick else 1000) for pair in product(MODELS, LOSSES)]
    return float(np.mean([nearest(*one, "king woman", "man") == ["queen"] for one in trained]))


def reached(figure: float, quick: bool = False) -> bool:
    """All four; of a small corpus most."""
    return figure >= (0.5 if quick else 1)


def picture(folder: Path) -> Path:
    """The vectors of the persons in the plane in which they differ most."""
    from matplotlib.figure import Figure  # the extra `plot`

    words, W = train("skip-gram", "negative", seed=0)
    names = ["man", "woman", "boy", "girl", "king", "queen", "prince", "princess"]
    vectors = W[[words.index(name) for name in names]]
    vectors -= vectors.mean(axis=0)
    points = vectors @ np.linalg.svd(vectors)[2][:2].T  # the first two principal components
    axes: Any = (figure := Figure(figsize=(6, 4), layout="constrained")).add_subplot()
    axes.plot(*points.reshape(2, 4, 2).transpose(2, 0, 1), "0.7")  # from each to the royal one
    axes.plot(*points.T, "o")
    for name, point in zip(names, points, strict=True):
        axes.annotate(name, point, textcoords="offset points", xytext=(6, 4))
    axes.set(title="royal is a direction", xlabel="component 1", ylabel="component 2")
    axes.margins(0.15)
    write_aside(path := folder / "12_word2vec.png", figure.savefig)
    return path


if __name__ == "__main__":
    words, W = train("skip-gram", "negative", seed=0)
    for word in ("king", "queen", "prince", "woman", "crown", "he", "toys"):
        print(f"near {word:6} {', '.join(nearest(words, W, word, count=4))}")
    print(f"asked: {ASKED}; reached: {run(0):.0%}")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))
