"""Scans: along one axis, or along all elements in a row."""

import numpy as np

import tinygrad_edu as tg
from samples.base import A, D, call


def along(make, *more):
    return [
        call(make(2, 3)), call(make(2, 3), axis=0), call(make(7), axis=-1),
        call(make(0, 2), axis=0), *more,
    ]  # fmt: skip


def running(*more):
    return along(A, call(A(0)), call(A()), call(A(2, 3), axis=1, dtype=np.float64), *more)


SAMPLES = {
    np.cumsum: running(),
    np.cumprod: running(call(A(2, 2, 5), axis=1)),
    np.nancumsum: running(),
    np.nancumprod: running(),
    tg.cummax: along(D),
    tg.cummin: along(D),
    tg.logcumsumexp: along(A, call(A(2, 5, 2), axis=1)),
    tg.linear_recurrence: [call(A(n), A(n)) for n in range(6)] + [call(A(2, 9), A(2, 9))],
}

for _name in ("cumulative_sum", "cumulative_prod"):  # not in NumPy 2.0
    if hasattr(np, _name):
        SAMPLES[getattr(np, _name)] = [
            call(A(4)), call(A()), call(A(2, 3), axis=1, include_initial=True),
            call(A(0, 2), axis=0, include_initial=True), call(A(2, 3), axis=-2, dtype=np.float64),
        ]  # fmt: skip
