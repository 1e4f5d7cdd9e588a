"""Selecting, scattering, sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_edu as tg
from benchmarks.hand_ops.base import Case, N, call
from benchmarks.workloads import Array


def cases(n: int) -> list[Case]:
    M, rng, half, size = N(n, n), np.random.default_rng(1), n // 2, n * n
    rows, columns = rng.integers(n, size=n), rng.integers(n, size=(n, n))
    elements, words = rng.integers(size, size=size), rng.integers(10 * n, size=10 * n)
    condition = rng.random((n, n)) < 0.5

    def zeros_but(index: Any, g: Array, shape: tuple[int, ...] = (n, n)) -> Array:
        share = np.zeros(shape)
        share[index] = g
        return share

    def add_rows(g: Array, index: Array, count: int) -> Array:
        share = np.zeros((count, g.shape[1]))
        cells = index[:, None] * g.shape[1] + np.arange(g.shape[1])
        np.add.at(share.reshape(-1), cells.reshape(-1), g.reshape(-1))
        return share

    def along(g: Array, out: Array, x: Array, *_: Array) -> Array:
        cells = columns + n * np.arange(n)[:, None]
        return np.bincount(cells.reshape(-1), g.reshape(-1), size).reshape(n, n)

    def permuted(g: Array, order: Array) -> Array:
        share = np.empty_like(g)
        np.put_along_axis(share, order, g, axis=1)
        return share

    def partition(g: Array, out: Array, x: Array, _: int) -> Array:
        back = np.empty_like(g)  # where np.partition leaves the elements it does not say
        np.put_along_axis(back, np.argsort(x), np.take_along_axis(g, np.argsort(out), 1), 1)
        return back

    def quantile(q: float) -> Any:
        low = int(q * (n - 1))
        high = q * (n - 1) - low

        def hand(g: Array, out: Array, x: Array, *_: Any) -> Array:
            two = np.argpartition(x, [low, low + 1], axis=1)[:, low : low + 2]
            share = np.zeros_like(x)
            np.put_along_axis(share, two, g[:, None] * np.array([1 - high, high]), axis=1)
            return share

        return hand

    def update(g: Array, out: Array, x: Array, _: Any, value: Array) -> Any:
        share = g.copy()
        share[:half] = 0
        return share, g[:half].copy()

    return [
        call(np.where, lambda g, out, c, x, y: (np.where(c, g, 0), np.where(c, 0, g)),
             condition, M, M),
        call(np.clip, lambda g, out, x, low, high: g * ((x >= low) & (x <= high)), M, -1.0, 1.0),
        call(tg.getitem, lambda g, out, x, i: zeros_but(i, g), M, slice(1, None), note="[1:]"),
        call(tg.getitem, lambda g, out, x, i: zeros_but(i, g), M, condition, note="[mask]"),
        call(tg.getitem, lambda g, out, x, i: add_rows(g, i, n), M, rows, note="[rows]"),
        call(tg.scatter_add, lambda g, out, v, i, s: g[i], M, rows, (n, n)),
        call(tg.index_update, update, M, slice(0, half), N(half, n)),
        call(np.take, lambda g, out, x, i: np.bincount(i, g, size), N(size), elements),
        call(np.take, lambda g, out, x, i: add_rows(g, i, n), M, rows, axis=0, note="rows"),
        call(np.take_along_axis, along, M, columns, axis=1),
        call(np.bincount, lambda g, out, i, w: g[i], elements, N(size)),
        call(np.sort, lambda g, out, x: permuted(g, np.argsort(x)), M),
        call(np.partition, partition, M, half),
        *(call(f, quantile(0.5), M, axis=1) for f in (np.median, np.nanmedian)),
        *(call(f, quantile(0.3), M, 0.3, axis=1) for f in (np.quantile, np.nanquantile)),
        *(call(f, quantile(0.3), M, 30.0, axis=1) for f in (np.percentile, np.nanpercentile)),
        call(tg.embedding, lambda g, out, W, i: add_rows(g, i, 10 * n), N(10 * n, n // 10), words),
        call(np.diagonal, lambda g, out, x: zeros_but(np.s_[:: n + 1], g, (size,)).reshape(n, n),
             M),
        call(np.tril, lambda g, out, x: np.tril(g), M),
        call(np.triu, lambda g, out, x: np.triu(g), M),
    ]  # fmt: skip
