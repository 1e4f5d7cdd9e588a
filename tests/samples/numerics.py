"""Differences, products along a line, interpolation, ranges."""

import numpy as np

from samples.base import A, call
from tinygrad_edu.domain import POSITIVE, Domain
from tinygrad_edu.ops.numerics import convolve_full, correlate_valid, interval

PLACES = np.array([0.5, 1.0, 2.5])
BETWEEN = Domain(-1.25, 3.75, kinks=(0.5, 1.0, 2.5))

SAMPLES = {
    np.diff: [
        call(A(4)), call(A(4, 2), n=2, axis=0), call(A(3), n=0), call(A(2), n=3),
        call(A(2, 3), prepend=A(), append=A(2, 2)),
    ],
    np.ediff1d: [call(A(2, 3)), call(A(3), to_begin=A(2), to_end=A()), call(A(0))],
    np.gradient: [
        call(A(4)), call(A(3, 2)), call(A(3, 4), 0.5, edge_order=1, axis=-1), call(A(3), PLACES),
        call(A(3, 4), PLACES, 2.0), call(A(3), PLACES, edge_order=2), call(A(2, 3), axis=(1,)),
    ],
    np.trapezoid: [call(A(4)), call(A(2, 3), dx=0.5, axis=0), call(A(2, 3), A(3))],
    np.cross: [
        call(A(3), A(2, 3)), call(A(3, 2), A(3, 2), axis=0),
        call(A(3, 2), A(2, 3), axisa=0, axisb=1, axisc=0),
    ],
    np.linalg.cross: [call(A(2, 3), A(3)), call(A(3, 2), A(3, 2), axis=0)],
    np.convolve: [call(A(4), A(n), mode) for n in (2, 5) for mode in ("full", "same", "valid")],
    np.correlate: [call(A(4), A(n), mode) for n in (2, 5) for mode in ("full", "same", "valid")],
    np.polyval: [call(A(3), A(2, 2)), call(A(2), A())],
    np.vander: [call(A(3)), call(A(2), N=4, increasing=True)],
    np.interp: [
        call(A(2, 2, domain=BETWEEN), PLACES, A(3)),
        call(A(domain=BETWEEN), PLACES, A(3), 1.0, 2.0),
        call(A(3, domain=BETWEEN), PLACES, A(3), left=A(), right=A()),
        call(A(2, domain=BETWEEN), PLACES, A(3), period=4.0),
        call(A(2, domain=POSITIVE), A(1), A(1)),
    ],
    np.linspace: [
        call(A(), A(), 4), call(A(2), A(2, 1), num=3, endpoint=False, axis=-1),
        call(A(), A(), 3, retstep=True), call(A(2), A(), 2, dtype=np.float64),
    ],
    np.logspace: [
        call(A(domain=Domain(-1, 1)), A(domain=Domain(0, 1)), 4),
        call(A(2), A(), 3, endpoint=False, base=A(2, domain=Domain(0.5, 2)), axis=-1),
        call(A(), A(), 2, base=2.0, dtype=np.float64),
    ],
    np.geomspace: [
        call(A(domain=POSITIVE), A(domain=POSITIVE), 4),
        call(A(2, domain=POSITIVE), A(domain=POSITIVE), num=3, endpoint=False, axis=1),
        call(A(domain=Domain(-2, -1)), A(domain=Domain(-2, -1)), 2, dtype=np.float64),
    ],
    np.fft.fftshift: [call(A(2, 3)), call(A(4, 3), axes=1), call(A(5), axes=(0,))],
    np.fft.ifftshift: [call(A(2, 3)), call(A(4, 3), axes=1), call(A(5), axes=(0,))],
}  # fmt: skip

INTERNAL = {
    convolve_full: "np.convolve",
    correlate_valid: "np.correlate",
    interval: "np.interp",
}
