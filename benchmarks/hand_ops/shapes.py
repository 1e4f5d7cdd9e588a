"""The same numbers in another shape or order."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_edu as tg
from benchmarks.hand_ops.base import Case, N, call
from benchmarks.workloads import Array


def cases(n: int) -> list[Case]:
    M, half, axis = N(n, n), N(n // 2, n), n // 10
    cube = N(axis, axis, axis)

    def copied(g: Array, out: Array, x: Array, *_: Any) -> Array:
        return g.reshape(x.shape).copy()

    return [
        call(np.reshape, copied, M, (n * n,)),
        call(np.ravel, copied, M),
        call(np.expand_dims, copied, M, 1),
        call(np.squeeze, copied, N(n, 1, n)),
        call(np.copy, copied, M),
        call(np.pad, lambda g, out, x, _: g[2:-2, 2:-2].copy(), M, 2),
        call(np.broadcast_to, lambda g, out, x, shape: g.sum(axis=0), N(n), (n, n)),
        call(np.transpose, lambda g, out, x: g.T.copy(), M),
        call(np.swapaxes, lambda g, out, x, i, j: g.swapaxes(i, j).copy(), cube, 0, 1),
        call(np.moveaxis, lambda g, out, x, i, j: np.moveaxis(g, j, i).copy(), cube, 0, 2),
        call(np.flip, lambda g, out, x: g[:, ::-1].copy(), M, axis=1),
        call(np.roll, lambda g, out, x, shift: np.roll(g, -1, axis=1), M, 1, axis=1),
        call(np.concatenate, lambda g, out, _: (g[: n // 2].copy(), g[n // 2 :].copy()),
             [half, half]),
        call(np.stack, lambda g, out, _: (g[0].copy(), g[1].copy()), [half, half]),
        call(np.split, lambda g, out, x, _: np.concatenate(g), M, 4),
        call(tg.unstack, lambda g, out, x: np.stack(g), N(axis, 10 * n)),
        call(tg.astype, lambda g, out, x: g.astype(x.dtype), M, dtype=np.float32),
    ]  # fmt: skip
