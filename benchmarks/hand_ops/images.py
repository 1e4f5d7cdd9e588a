"""Convolution, pooling, normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_edu as tg
from benchmarks.hand import add_columns, columns_of, conv_back
from benchmarks.hand_ops.base import Case, N, call
from benchmarks.workloads import Array


def cases(n: int) -> list[Case]:
    size = 2 * (n // 16)
    images, channels, half = N(8, 8, size, size), N(8), N(8, 8, size // 2, size // 2)

    def conv(g: Array, out: Array, x: Array, K: Array, b: Array) -> Any:
        x, g = x.swapaxes(0, 1), g.swapaxes(0, 1)  # one matrix product serves all images
        g_K, g_b, g_x = conv_back(g, columns_of(x, K.shape[2:]), K, x.shape)
        return g_x.swapaxes(0, 1), g_K, g_b

    def corners(g: Array, out: Array, x: Array, _: int) -> Array:
        share = np.empty_like(x)
        for i, j in np.ndindex(2, 2):
            share[:, :, i::2, j::2] = g * (x[:, :, i::2, j::2] == out)
        return share

    def quarters(g: Array, out: Array, x: Array, _: int) -> Array:
        share = np.empty_like(x)
        share[:, :, ::2, ::2] = share[:, :, ::2, 1::2] = g / 4
        share[:, :, 1::2] = share[:, :, ::2]
        return share

    def layer_norm(g: Array, out: Array, x: Array, _: int, w: Array, b: Array) -> Any:
        return _normalised(g, x, w, (1,), (0,))

    def batch_norm(g: Array, out: Array, x: Array, _: Any, __: Any, w: Array, b: Array) -> Any:
        return _normalised(g, x, w[:, None, None], (0, 2, 3), (0, 2, 3))

    def windows(g: Array, out: Array, x: Array, _: Any) -> Array:
        share = np.zeros_like(x)
        for i, j in np.ndindex(3, 3):
            share[i : i + len(g), j : j + g.shape[1]] += g[:, :, i, j]
        return share

    def unfold(g: Array, out: Array, x: Array, _: int) -> Array:
        return add_columns(g, x.shape, (3, 3))

    def fold(g: Array, out: Array, x: Array, _: Any, __: int) -> Array:
        return columns_of(g, (3, 3))[None]

    third = n // 3
    count = (third - 2) ** 2
    return [
        call(tg.conv2d, conv, images, N(8, 8, 3, 3), channels),
        call(tg.max_pool2d, corners, images, 2),
        call(tg.avg_pool2d, quarters, images, 2),
        call(tg.interpolate, lambda g, out, x, _: g.reshape(8, 8, size // 2, 2, size // 2, 2)
             .sum(axis=(3, 5)), half, size),
        call(sliding_window_view, windows, N(third, third), (3, 3)),
        call(tg.unfold, unfold, N(1, 1, third, third), 3),
        call(tg.fold, fold, N(1, 9, count), (third, third), 3),
        call(tg.layer_norm, layer_norm, N(n, n), n, N(n), N(n)),
        call(tg.batch_norm, batch_norm, images, None, None, channels, channels, training=True),
    ]  # fmt: skip


def _normalised(
    g: Array, x: Array, w: Array, axes: tuple[int, ...], stretched: tuple[int, ...]
) -> Any:
    normal = x - x.mean(axis=axes, keepdims=True)
    scale = 1 / np.sqrt(np.square(normal).mean(axis=axes, keepdims=True) + 1e-5)
    normal *= scale
    share = g * w
    along = (share * normal).mean(axis=axes, keepdims=True)
    share -= share.mean(axis=axes, keepdims=True)
    share -= normal * along
    share *= scale
    return share, (g * normal).sum(axis=stretched), g.sum(axis=stretched)
