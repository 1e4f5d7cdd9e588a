"""Data: sets of images, makers of small tasks, and batches of either."""

from tinygrad_edu.data.digits import Digits, load_digits
from tinygrad_edu.data.idx import read_idx, write_idx
from tinygrad_edu.data.loader import DataLoader
from tinygrad_edu.data.logic import gate, parity, random_table, truth_inputs
from tinygrad_edu.data.mnist import MNIST, DownloadError, FashionMNIST
from tinygrad_edu.data.sequences import PADDING, Neighbours, adding_problem, neighbours
from tinygrad_edu.data.text import (
    IndexedText,
    house_that_jack_built,
    index_characters,
    index_words,
    polarity_sentences,
    royal_corpus,
)

__all__ = [
    "MNIST",
    "PADDING",
    "DataLoader",
    "Digits",
    "DownloadError",
    "FashionMNIST",
    "IndexedText",
    "Neighbours",
    "adding_problem",
    "gate",
    "house_that_jack_built",
    "index_characters",
    "index_words",
    "load_digits",
    "neighbours",
    "parity",
    "polarity_sentences",
    "random_table",
    "read_idx",
    "royal_corpus",
    "truth_inputs",
    "write_idx",
]
