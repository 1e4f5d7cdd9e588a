"""Elementwise ops with options or conditions."""

import numpy as np

from samples.base import STEP, TWO, A, D, call
from tinygrad_edu.domain import Domain

SAMPLES = {
    np.where: [call(TWO, A(2, 3), A(3)), call(TWO[0], A(2, 1), A()), call(True, A(2), A(1))],
    np.nan_to_num: [call(A(2, 3)), call(A(), nan=1.0, posinf=2.0, neginf=-2.0)],
    np.clip: [call(D(4), -1.0, 1.0), call(D(2, 3), None, 0.5), call(D(3), min=0.5), call(D(2))],
    np.round: [call(A(2, 3, domain=STEP)), call(A(2, domain=Domain(0.05, 0.15)), decimals=1)],
    np.around: [call(A(2, 3, domain=STEP)), call(A(domain=Domain(5, 15)), decimals=-1)],
    np.fmod: [call(A(3, domain=Domain(4.6, 5.8)), A(3, domain=Domain(2.0, 2.25)))],
}  # fmt: skip
