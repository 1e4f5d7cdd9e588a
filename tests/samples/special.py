"""Special functions: those with an order, and those of SciPy, if it is there."""

import numpy as np

import tinygrad_edu as tg
from samples.base import UNIT, A, call
from tinygrad_edu.domain import POSITIVE, Domain
from tinygrad_edu.ops.special import register_scipy

LARGE = Domain(2.0, 5.0)
ORDERS = np.array([0, 1, 3])  # integers: what they get is no gradient

SAMPLES = {
    tg.logit: [call(A(2, 3, domain=UNIT)), call(A(4, domain=Domain(0.0, 1.0, (0.25, 0.75))), 0.25)],
}
INTERNAL = {}

try:
    from scipy import special
except ImportError:
    WITH_SCIPY = "needs SciPy: pip install tinygrad_edu[special]"
    INTERNAL = dict.fromkeys(
        (tg.erf, tg.erfinv, tg.gelu, tg.multigammaln, tg.polygamma, tg.zeta, np.i0), WITH_SCIPY
    )
else:
    register_scipy()
    SAMPLES |= {
        tg.polygamma: [call(n, A(2, domain=POSITIVE)) for n in (0, 1, 4)],
        tg.multigammaln: [call(A(2, 3, domain=LARGE), d) for d in (1, 3)],
        tg.zeta: [call(3.0, A(2, domain=POSITIVE)), call(ORDERS + 2, A(2, 3, domain=POSITIVE))],
        special.zeta: [call(3.0, A(2, domain=POSITIVE)), call(1.5, A(domain=POSITIVE))],
        special.huber: [
            call(A(3, domain=LARGE), A(3, domain=Domain(-2.0, 2.0))),
            call(A(3, domain=UNIT), A(3, domain=Domain(1.0, 3.0))),
        ],
    }  # fmt: skip
    for _function in (special.gammainc, special.gammaincc):
        SAMPLES[_function] = [
            call(2.5, A(4, domain=POSITIVE)), call(ORDERS + 1, A(3, domain=POSITIVE)),
        ]  # fmt: skip
    for _function in (special.betainc, special.betaincc):
        SAMPLES[_function] = [
            call(2.5, 1.5, A(4, domain=UNIT)), call(ORDERS + 1, 2.0, A(3, domain=UNIT)),
        ]  # fmt: skip
    for _name in ("boxcox", "boxcox1p", "inv_boxcox", "inv_boxcox1p"):
        _function = getattr(special, _name)
        SAMPLES[_function] = [call(A(2, 3, domain=POSITIVE), p) for p in (0.0, 0.5, ORDERS)]
    for _function in (special.jv, special.iv):
        SAMPLES[_function] = [
            call(2, A(2, 3)),
            call(0.5, A(3, domain=POSITIVE)),
            call(ORDERS, A(2, 3)),
        ]
    SAMPLES[special.ive] = [call(2, A(2, 3, domain=Domain(kinks=(0.0,))))]
    for _function in (special.yv, special.kv, special.kve, special.ive):
        SAMPLES.setdefault(_function, []).extend(
            [call(0.5, A(3, domain=POSITIVE)), call(ORDERS, A(2, 3, domain=POSITIVE))]
        )
    for _function in (special.yn, special.kn):
        SAMPLES[_function] = [call(n, A(3, domain=POSITIVE)) for n in (0, 1, 3)]
    INTERNAL[special._ufuncs._zeta] = "checked as scipy.special.zeta"
    for _function in (special.xlogy, tg.xlogy):
        SAMPLES.setdefault(_function, []).append(call(A(2, 2), A(2, 2, domain=POSITIVE)))
