"""Reductions: all axes, one, several, kept, none of length 0; the options that they share."""

import numpy as np

import tinygrad_edu as tg
from samples.base import TWO, A, D, call, over_axes

SINGLE = {"axis": 1, "dtype": np.float64}


def masked(make, **options):
    return [
        call(make(2, 3), axis=1, where=TWO, **options),
        call(make(2, 3), where=TWO[0], keepdims=True, **options),
    ]


SAMPLES = {
    np.sum: over_axes(
        A, call(A(0, 3)), call(A(0, 3), axis=1), call(A(2, 3), **SINGLE), *masked(A, initial=2.0)
    ),
    np.mean: over_axes(A, call(A(2, 3), **SINGLE), *masked(A)),
    np.prod: over_axes(
        A, call(A(0, 3)), call(A(7), axis=0), call(A(2, 3), **SINGLE), *masked(A, initial=2.0)
    ),
    np.ptp: [call(D(2, 3)), call(D(2, 3), axis=0), call(D(2, 3), axis=1, keepdims=True)],
    np.var: over_axes(
        A, call(A(2, 3), axis=0, ddof=1), call(A(2, 3), correction=1), call(A(2, 3), **SINGLE),
        *masked(A, ddof=-1), call(A(2, 3), axis=1, where=TWO[1:]),
    ),
    np.std: [
        call(D(2, 3)), call(D(2, 3), axis=0), call(D(3, 2), axis=(0, 1), ddof=1, keepdims=True),
        call(D(3, 2), axis=0, correction=1), call(D(2, 3), **SINGLE), *masked(D, ddof=-1)[1:],
    ],
    tg.logsumexp: over_axes(A),
    np.nansum: [call(A(2, 3), axis=1, initial=1.0), call(A(2, 3), where=TWO), call(A())],
    np.nanprod: [call(A(2, 3), axis=1, initial=2.0), call(A(2, 3), where=TWO), call(A())],
    np.nanmean: [
        call(A(2, 3), (0, 1), np.float64), call(A(2, 3), 1, keepdims=True, where=TWO), call(A()),
    ],
    np.nanvar: [
        call(A(2, 3), 1, np.float64), call(A(2, 3), 1, ddof=1),
        call(A(2, 3), keepdims=True, where=TWO, correction=1),
    ],
    np.nanstd: [
        call(D(2, 3), 1, np.float64), call(D(2, 3), 1, ddof=1),
        call(D(2, 3), keepdims=True, where=TWO, correction=1),
    ],
}  # fmt: skip

for _extremum, _initial in {
    np.max: -0.3, np.amax: -0.3, np.nanmax: -0.3, np.min: 0.3, np.amin: 0.3, np.nanmin: 0.3,
}.items():  # fmt: skip
    SAMPLES[_extremum] = over_axes(D, *masked(D, initial=_initial))
