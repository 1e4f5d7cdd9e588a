"""Sequences whose task says what a recurrent network must remember."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.checks import check_whole
from tinygrad_edu.ops.random import check_rng

PADDING = -100  # the label of a place after the end, as in PyTorch: `ignore_index=PADDING`


def adding_problem(
    count: int, length: int, *, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Add the two numbers that are marked, one in each half of the sequence.

    Each step shows a number, uniform in [0, 1], and a mark, which is 1 at one step of the first
    half and at one of the second, and 0 elsewhere. Who always answers 1 has a mean squared error of
    1/6, the variance of the sum; to do better, a network must carry a number over many steps.

    Returns:
        Sequences (count, length, 2), numbers and marks, and sums (count, 1), float32.

    Raises:
        InputError: if `length` is below 2 or `count` below 1.
        DtypeError: if one is no whole number, or `rng` no Generator.

    Source: S. Hochreiter, J. Schmidhuber, Long Short-Term Memory (1997), section 5.4, in the form
    of Q. Le, N. Jaitly, G. Hinton (2015), arXiv:1504.00941, section 4.1. The first has numbers in
    [-1, 1], marks -1 at both ends, and the sum scaled to 0.5 + sum / 4.
    """
    _check("adding_problem", count, length, 2, rng)
    numbers, marks = rng.random((count, length)), np.zeros((count, length))
    half, rows = length // 2, np.arange(count)
    marks[rows, rng.integers(half, size=count)] = 1
    marks[rows, rng.integers(half, length, size=count)] = 1
    sums = np.sum(numbers * marks, axis=1, keepdims=True)
    return np.stack([numbers, marks], axis=2).astype(np.float32), sums.astype(np.float32)


class Neighbours(NamedTuple):
    """Bits, and for each the question whether the bits on its two sides differ.

    Attributes:
        bits: (count, length, 1) float32, 0 or 1; 0 after the end of a sequence.
        labels: (count, length) int64, 0 or 1; `PADDING` after the end.
        lengths: (count,) int64, how many steps each sequence has.
    """

    bits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def neighbours(
    count: int, length: int, *, shortest: int | None = None, rng: np.random.Generator
) -> Neighbours:
    """Tell at every step whether the bit before and the bit after it differ.

    Beyond both ends the bits are 0. The bit after has not been seen yet by a network that reads
    from left to right: at all steps but the last it can do no better than guess, so it is right in
    a share of (length + 1) / (2 length). One that reads in both directions can be right always.

    Args:
        count: how many sequences.
        length: of the longest.
        shortest: if given, lengths are drawn between this and `length`.
        rng: where bits and lengths are drawn from.

    Raises:
        InputError: if `count` is below 1, or not 1 <= shortest <= length.
        DtypeError: if one is no whole number, or `rng` no Generator.

    Source: the task is ours; networks of this kind are of M. Schuster, K. Paliwal, Bidirectional
    Recurrent Neural Networks (1997).
    """
    _check("neighbours", count, length, 1, rng)
    shortest = length if shortest is None else shortest
    check_whole("neighbours", "shortest", shortest, 1, length)
    lengths = rng.integers(shortest, length, size=count, endpoint=True)
    inside = np.arange(length) < lengths[:, np.newaxis]
    bits = rng.integers(2, size=(count, length)) * inside
    framed = np.pad(bits, ((0, 0), (1, 1)))
    labels = np.where(inside, framed[:, :-2] ^ framed[:, 2:], PADDING)
    return Neighbours(bits[:, :, np.newaxis].astype(np.float32), labels, lengths)


def _check(maker: str, count: int, length: int, shortest: int, rng: np.random.Generator) -> None:
    check_whole(maker, "count", count, 1)
    check_whole(maker, "length", length, shortest)
    check_rng(maker, rng)
