"""Recurrence: back through time, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.hand_ops.base import Case, Draw, call, logistic
from benchmarks.workloads import Array
from tinygrad_edu.ops import recurrent


def cases(n: int) -> list[Case]:
    steps, batch, size = 10, n // 4, n // 10

    def S(*shape: int) -> Draw:  # small: no gate is shut
        return Draw(shape, -0.2, 0.2)

    def z(gates: int) -> Draw:
        return S(steps, batch, gates * size)

    def W(gates: int) -> Draw:
        return S(gates * size, size)

    start = S(batch, size)
    return [
        call(recurrent.rnn_steps, _rnn, z(1), W(1), start, nonlinearity="tanh"),
        call(recurrent.gru_steps, _gru, z(3), W(3), S(3 * size), start),
        call(recurrent.lstm_steps, _lstm, z(4), W(4), start, start),
    ]


def _before(h: Array, start: Array) -> Array:
    return np.concatenate([start[None], h[:-1]])


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _rnn(g: Array, h: Array, z: Array, W: Array, start: Array) -> Any:
    g_z, g_h = np.empty_like(z), 0.0
    for t in reversed(range(len(z))):
        g_z[t] = (g[t] + g_h) * (1 - h[t] * h[t])
        g_h = g_z[t] @ W
    return g_z, _flat(g_z).T @ _flat(_before(h, start)), g_h


def _gru(g: Any, out: Any, x: Array, W: Array, b: Array, start: Array) -> Any:
    (g_out, g_gates), (h, gates), size = g, out, W.shape[1]
    g_x, g_u, g_h, before = np.empty_like(x), np.empty_like(x), 0.0, _before(h, start)
    for t in reversed(range(len(x))):
        r, z, n, m = np.split(gates[t], 4, axis=-1)
        d_r, d_z, d_n, d_m = np.split(g_gates[t], 4, axis=-1)
        a = g_out[t] + g_h
        s_n = (a * (1 - z) + d_n) * (1 - n * n)
        g_x[t, :, :size] = (s_n * m + d_r) * r * (1 - r)
        g_x[t, :, size : 2 * size] = (a * (before[t] - n) + d_z) * z * (1 - z)
        g_x[t, :, 2 * size :] = s_n
        g_u[t] = g_x[t]
        g_u[t, :, 2 * size :] = s_n * r + d_m
        g_h = a * z + g_u[t] @ W
    return g_x, _flat(g_u).T @ _flat(before), _flat(g_u).sum(axis=0), g_h


def _lstm(g: Any, out: Any, z: Array, W: Array, start_h: Array, start_c: Array) -> Any:
    (g_out, g_cell), (h, c), size = g, out, W.shape[1]
    g_z, g_h, g_c, before = np.empty_like(z), 0.0, 0.0, _before(h, start_h)
    gates = z + before @ W.T  # as they were not kept
    for k in range(4):
        gate = gates[..., k * size : (k + 1) * size]
        gate[...] = np.tanh(gate) if k == 2 else logistic(gate)
    for t in reversed(range(len(z))):
        i, f, n, o = np.split(gates[t], 4, axis=-1)
        tanh = np.tanh(c[t])
        a = g_out[t] + g_h
        b = g_cell[t] + g_c + a * o * (1 - tanh * tanh)
        shares = b * n, b * (c[t - 1] if t else start_c), b * i, a * tanh
        slopes = i * (1 - i), f * (1 - f), 1 - n * n, o * (1 - o)
        for k, (share, slope) in enumerate(zip(shares, slopes, strict=True)):
            g_z[t, :, k * size : (k + 1) * size] = share * slope
        g_c, g_h = b * f, g_z[t] @ W
    return g_z, _flat(g_z).T @ _flat(before), g_h, g_c
