"""Elementwise ops with options or conditions."""

import numpy as np

import tinygrad_edu as tg
from samples.base import SMALL, STEP, TWO, UNIT, A, D, call
from tinygrad_edu.domain import NONZERO, Domain

OUTSIDE = Domain(1.0, 4.0)
PLACES = np.array([[0, 2, 1], [1, 1, 0]])

SAMPLES = {
    np.where: [call(TWO, A(2, 3), A(3)), call(TWO[0], A(2, 1), A()), call(True, A(2), A(1))],
    np.nan_to_num: [call(A(2, 3)), call(A(), nan=1.0, posinf=2.0, neginf=-2.0)],
    np.clip: [call(D(4), -1.0, 1.0), call(D(2, 3), None, 0.5)],
    np.round: [call(A(2, 3, domain=STEP)), call(A(2, domain=Domain(0.05, 0.15)), decimals=1)],
    np.around: [call(A(2, 3, domain=STEP)), call(A(domain=Domain(5, 15)), decimals=-1)],
    np.fmod: [call(A(3, domain=Domain(4.6, 5.8)), A(3, domain=Domain(2.0, 2.25)))],
    np.divmod: [call(A(3, domain=Domain(4.6, 5.8)), A(3, domain=Domain(2.0, 2.25)))],
    np.ldexp: [call(A(2, 3), np.array([3, 0, -2])), call(A(), 2)],
    np.real_if_close: [call(A(2, 3)), call(A(), tol=10)],
    np.angle: [call(A(2, 3, domain=NONZERO)), call(A(domain=NONZERO), deg=True)],
    np.unwrap: [  # all steps smaller than half a period
        call(A(5, domain=SMALL)), call(A(2, 3, domain=SMALL), axis=0, discont=4.0),
        call(A(4, domain=STEP), period=3.0),
    ],
    tg.lerp: [call(A(2, 3), A(3), A(2, 1)), call(A(), A(2), 0.25)],
    # of several
    np.select: [
        call([TWO, ~TWO], [A(2, 3), A(3)]), call([TWO, TWO[0]], [A(2, 1), 2.0], default=A()),
        call([TWO[0]], [A(3)], 1.5),
    ],
    np.choose: [
        call(PLACES, [A(2, 3), A(3), A()]), call(PLACES - 4, [A(2, 3), A(1)], mode="wrap"),
        call(PLACES - 1, [A(3), A(2, 1)], mode="clip"),
    ],
    np.piecewise: [
        call(A(2, 3), [TWO], [np.sin, np.exp]),
        call(A(3), [TWO[0]], [np.square, 2.0]), call(A(3), TWO[1], [np.sin]),
        call(A(3), [TWO[0], ~TWO[0]], [lambda x, k, power: k * x**power, A()], 2.0, power=3),
    ],
    tg.masked_fill: [call(A(2, 3), TWO, A()), call(A(2, 3), TWO[0], 3.0), call(A(3), TWO, A())],
    # inverse of reciprocal functions
    tg.arcsec: [call(A(2, 3, domain=OUTSIDE)), call(A(domain=Domain(-4.0, -1.0)))],
    tg.arccsc: [call(A(2, 3, domain=OUTSIDE)), call(A(domain=Domain(-4.0, -1.0)))],
    tg.arcsech: [call(A(2, 3, domain=UNIT))],
    tg.arccsch: [call(A(2, 3, domain=NONZERO))],
    tg.arccoth: [call(A(2, 3, domain=OUTSIDE)), call(A(domain=Domain(-4.0, -1.0)))],
    np.heaviside: [call(np.array([0, 1, -1, 0]), A(4))],  # y counts where x is 0
}  # fmt: skip

if np.lib.NumpyVersion(np.__version__) >= "2.1.0":  # new names of the bounds
    SAMPLES[np.clip] += [call(D(3), min=0.5), call(D(3), max=0.5), call(D(2))]
