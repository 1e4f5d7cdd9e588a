"""Sums, extrema, scans, losses."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_edu as tg
from benchmarks.hand_ops.base import Case, N, P, call, logistic, rows
from benchmarks.workloads import Array


def _winners(g: Array, x: Array, out: Array) -> Array:
    ties = x == out[:, None]
    return ties * (g / ties.sum(axis=1))[:, None]


def _nanmean(g: Array, out: Array, x: Array) -> Array:
    known = ~np.isnan(x)
    return known * (g / known.sum(axis=1))[:, None]


def _nan_centred(x: Array) -> Array:
    """Deviations from the mean over the number of elements, and 0 for NaN."""
    known = ~np.isnan(x)
    count = known.sum(axis=1, keepdims=True)
    filled = np.where(known, x, 0)
    return known * ((filled - filled.sum(axis=1, keepdims=True) / count) / count)


def _prod(g: Array, out: Array, x: Array) -> Array:
    """Products of all before, and of all behind: right where there is a zero, too."""
    before, behind = np.ones_like(x), np.ones_like(x)
    np.cumprod(x[:, :-1], axis=1, out=before[:, 1:])
    np.cumprod(x[:, :0:-1], axis=1, out=behind[:, -2::-1])
    return g[:, None] * before * behind


def _polyval(g: Array, out: Array, p: Array, x: Array) -> Any:
    share, power = np.empty_like(p), g.copy()
    for i in reversed(range(len(p))):
        share[i] = power.sum()
        power *= x
    return share, g * np.polyval(np.polyder(p), x)


def _scan(g: Array, carry: Array, local: Array) -> Array:
    """Back along axis 0: s_i = g_i + carry_{i+1} s_{i+1}, and s_i local_i for element i."""
    share, s = np.empty_like(g), np.zeros_like(g[0])
    for i in reversed(range(len(g))):
        s = g[i] + s
        np.multiply(s, local[i], out=share[i])
        s *= carry[i]
    return share


def _cumprod(g: Array, out: Array, x: Array) -> Array:
    return _scan(g, x, np.concatenate([np.ones_like(x[:1]), out[:-1]]))


def _cummax(g: Array, out: Array, x: Array) -> Array:
    """Of cummin, too."""
    new = x == out
    return _scan(g, ~new, new)


def _logcumsumexp(g: Array, out: Array, x: Array) -> Array:
    carry = np.zeros_like(x)
    np.exp(out[:-1] - out[1:], out=carry[1:])
    return _scan(g, carry, np.exp(x - out))


def cases(n: int) -> list[Case]:
    M, lines = N(n, n), np.arange(10 * n)
    scores, labels = N(10 * n, n // 10), np.arange(10 * n) % (n // 10)

    def softmax(x: Array) -> Array:
        p = np.exp(x - x.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return p

    def cross_entropy(g: Array, out: Array, x: Array, _: Array) -> Array:
        p = softmax(x)
        p[lines, labels] -= 1
        p *= g / len(x)
        return p

    def nll(g: Array, out: Array, x: Array, _: Array) -> Array:
        share = np.zeros_like(x)
        share[lines, labels] = -g / len(x)
        return share

    def centred(x: Array) -> Array:
        return x - x.mean(axis=1, keepdims=True)

    def bce(g: Array, out: Array, p: Array, y: Array) -> Any:
        return g / p.size * ((1 - y) / (1 - p) - y / p), g / p.size * (np.log(1 - p) - np.log(p))

    def softmax_back(g: Array, out: Array, x: Array) -> Array:
        share = g * out
        share -= share.sum(axis=1, keepdims=True) * out
        return share

    return [
        call(np.sum, lambda g, out, x: rows(g, n), M, axis=1),
        call(np.sum, lambda g, out, x: np.tile(g, (n, 1)), M, axis=0, note="axis 0"),
        call(np.mean, lambda g, out, x: rows(g / n, n), M, axis=1),
        call(np.nanmax, lambda g, out, x: _winners(g, x, out), M, axis=1),
        call(np.nanmin, lambda g, out, x: _winners(g, x, out), M, axis=1),
        call(np.cumprod, _cumprod, M, axis=0),
        call(tg.cummax, _cummax, M, axis=0),
        call(tg.cummin, _cummax, M, axis=0),
        call(tg.logcumsumexp, _logcumsumexp, M, axis=0),
        call(np.cumsum, lambda g, out, x: np.cumsum(g[:, ::-1], axis=1)[:, ::-1], M, axis=1),
        call(np.prod, _prod, M, axis=1),
        *(call(f, lambda g, out, x: _winners(g, x, out), M, axis=1) for f in (np.max, np.amax)),
        *(call(f, lambda g, out, x: _winners(g, x, out), M, axis=1) for f in (np.min, np.amin)),
        call(np.var, lambda g, out, x: (2 / n * g)[:, None] * centred(x), M, axis=1),
        call(np.nanmean, _nanmean, M, axis=1),
        call(np.nanvar, lambda g, out, x: (2 * g)[:, None] * _nan_centred(x), M, axis=1),
        call(np.nanstd, lambda g, out, x: (g / out)[:, None] * _nan_centred(x), M, axis=1),
        call(np.std, lambda g, out, x: (g / (n * out))[:, None] * centred(x), M, axis=1),
        call(np.polyval, _polyval, N(10), N(n, n)),
        call(np.linalg.norm, lambda g, out, x: (g / out)[:, None] * x, M, axis=1),
        call(tg.logsumexp, lambda g, out, x: g[:, None] * np.exp(x - out[:, None]), M, axis=1),
        call(tg.softmax, softmax_back, M),
        call(tg.log_softmax, lambda g, out, x: g - g.sum(1, keepdims=True) * np.exp(out), M),
        call(tg.mse_loss, lambda g, out, x, y: ((e := 2 * g / x.size * (x - y)), -e), M, M),
        call(tg.l1_loss, lambda g, out, x, y: ((e := g / x.size * np.sign(x - y)), -e), M, M),
        call(tg.huber_loss, lambda g, out, x, y: ((e := g / x.size * np.clip(x - y, -1, 1)), -e),
             M, M),
        call(tg.cross_entropy, cross_entropy, scores, labels),
        call(tg.nll_loss, nll, scores, labels),
        call(tg.binary_cross_entropy, bce, P(n, n), P(n, n)),
        call(tg.binary_cross_entropy_with_logits,
             lambda g, out, z, y: (g / z.size * (logistic(z) - y), -g / z.size * z), M, P(n, n)),
    ]  # fmt: skip
