"""Hierarchical softmax: the probability of a word is that of the turns on the way to it.

Words are the leaves of a binary tree, and each inner node j has a vector u_j. At a node one turns
left with probability σ(u_j·h), or right with σ(-u_j·h), which is the rest. With s = ±1 for the turn

    p(word) = Π_j σ(s_j u_j·h),    loss = -Σ_j log σ(s_j u_j·h)     over the nodes on the way

so the p of all words sum to 1, as a softmax does, for log V instead of V rows. Huffman's tree joins
the two rarest over and over, so frequent words are near the root and the mean way is shortest.

Source: T. Mikolov et al., "Distributed Representations of Words and Phrases" (2013), section 2.1;
D. Huffman, "A Method for the Construction of Minimum-Redundancy Codes" (1952).
"""

import heapq
import sys
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import data
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import Adam

ROWS, ASKED, SEEDS = (12,), "king - man + woman = queen with a hierarchical softmax", 5
WINDOW, WIDTH, BATCH = 3, 8, 128

Array = Any


def windows(sentences: Array) -> tuple[Array, Array]:
    """From (count, L) words, 0 for none: those around (n, 2 WINDOW), and those in the middle."""
    framed = np.pad(sentences, ((0, 0), (WINDOW, WINDOW)))
    views = np.lib.stride_tricks.sliding_window_view(framed, 2 * WINDOW + 1, axis=1)
    views = views[views[..., WINDOW] > 0]
    return np.delete(views, WINDOW, axis=1), views[:, WINDOW]


def huffman(counts: Array) -> tuple[Array, Array]:
    """The way to each word: inner nodes and turns (words, depth); after the end both are 0."""
    heap: Array = [(count, word, {word: []}) for word, count in enumerate(counts) if count]
    heapq.heapify(heap)
    for node in range(len(heap) - 1):  # join the two rarest; `node` is now above all their words
        sides = (1, heapq.heappop(heap)), (-1, heapq.heappop(heap))
        ways = {w: [(node, s), *way] for s, side in sides for w, way in side[2].items()}
        heapq.heappush(heap, (sum(side[0] for _, side in sides), len(counts) + node, ways))
    padded = np.zeros((2, len(counts), max(map(len, ways.values()))), int)
    for word, way in ways.items():
        padded[:, word, : len(way)] = np.transpose(way)
    return padded[0], padded[1]


def decisions(h: tg.Tensor, U: tg.Tensor, nodes: Array, signs: Array) -> tg.Tensor:
    """The mean over N of -Σ_k log σ(s_k u_k·h); h (N, d), nodes and signs (N, K), 0 for none."""
    z = np.sum(tg.embedding(U, nodes, sparse=True) * np.expand_dims(h, 1), axis=2)
    return np.sum(np.abs(signs) * tg.softplus(-signs * z)) / len(nodes)


def train(seed: int, count: int = 1000) -> tuple[list[str], Array]:
    """CBOW: the words, and a vector for each (words, WIDTH)."""
    rng = np.random.default_rng(seed)
    indices, _, words = data.index_words(data.royal_corpus(count, rng=rng))
    around, middle = windows(indices)
    nodes, turns = huffman(np.bincount(middle, minlength=len(words)))
    W = tg.Tensor(rng.normal(0, 0.2, (len(words), WIDTH)), requires_grad=True, name="W")
    U = tg.Tensor(np.zeros((len(words), WIDTH)), requires_grad=True, name="U")
    optimizer = Adam([W, U], lr=0.02)
    loader = data.DataLoader((around, middle), BATCH, shuffle=True, rng=rng)
    for given, wanted in chain.from_iterable(repeat(loader, 12)):
        there = (given > 0)[:, :, np.newaxis]
        h = np.sum(tg.embedding(W, given, sparse=True) * there, axis=1) / there.sum(axis=1)
        loss = decisions(h, U, nodes[wanted], turns[wanted])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return words, W.data


def run(seed: int, quick: bool = False) -> float:
    """The rank of queen among the words nearest to king - man + woman; 1 is the nearest."""
    words, W = train(seed, 300 if quick else 1000)
    king, man, woman = (W[words.index(word)] for word in ("king", "man", "woman"))
    cosines = W @ (king - man + woman) / np.linalg.norm(W, axis=1)
    order = [words[i] for i in np.argsort(-cosines)]
    return 1.0 + [w for w in order if w not in ("", "king", "man", "woman")].index("queen")


def reached(figure: float, quick: bool = False) -> bool:
    """Of a small corpus among the first three."""
    return figure <= (3 if quick else 1)


def picture(folder: Path) -> Path:
    """Draw how many turns lead to a word against how often it occurs, in a rhyme."""
    from matplotlib.figure import Figure  # the extra `plot`

    words, counts = np.unique(data.house_that_jack_built().split(), return_counts=True)
    turns = np.count_nonzero(huffman(counts)[1], axis=1)
    axes: Any = (figure := Figure(figsize=(7, 3.4), layout="constrained")).add_subplot()
    axes.semilogx(counts, turns, "o", base=2)
    for word, *place in zip(words, counts, turns, strict=True):
        if word in ("the", "that", "house", "horn"):
            axes.annotate(word, place, textcoords="offset points", xytext=(6, 4))
    axes.set(xlabel="times that a word occurs", ylabel="turns on the way to it", xlim=(0.8, 128))
    write_aside(path := folder / "20_hierarchical_softmax.png", figure.savefig)
    return path


if __name__ == "__main__":
    print(f"asked: {ASKED}; reached: rank {run(0):.0f}")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))
