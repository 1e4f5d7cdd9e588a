"""Random ops, with noise that is the same at every call: a check asks for the value many times."""

from typing import Any

import numpy as np

import tinygrad_edu as tg
from samples.base import A, call
from tinygrad_edu.domain import Domain
from tinygrad_edu.ops.random import straight_through


class Again(np.random.Generator):
    """A Generator that starts anew at every draw."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self.seed = seed


def _drawing(name: str) -> Any:
    return lambda self, *args, **options: getattr(np.random.default_rng(self.seed), name)(
        *args, **options
    )


for _name in (
    "standard_normal", "standard_exponential", "random", "laplace", "logistic", "gumbel",
):  # fmt: skip
    setattr(Again, _name, _drawing(_name))

SCALE, HIGH = Domain(low=0.0), Domain(4.0, 8.0)
RNG = Again(0)
CERTAIN = A(2, 3).map(lambda x: x + np.array([0, 2000, 0]))

SAMPLES = {
    **{
        function: [
            call(A(2, 3), A(3, domain=SCALE), rng=RNG), call(A(), A(domain=SCALE), (2, 3), rng=RNG),
            call(0.5, A(2, domain=SCALE), size=(3, 2), rng=RNG), call(A(2), rng=RNG),
        ]
        for function in (tg.normal, tg.laplace, tg.logistic, tg.gumbel, tg.lognormal)
    },
    tg.uniform: [call(A(2, 3), A(3, domain=HIGH), rng=RNG), call(-4.0, A(domain=HIGH), 4, rng=RNG)],
    tg.exponential: [call(A(2, domain=SCALE), rng=RNG), call(A(domain=SCALE), (2, 2), rng=RNG)],
    tg.dropout: [
        call(A(3, 4), rng=RNG), call(A(3, 4), 0.2, rng=RNG), call(A(2), 0.3, False),
        call(A(2), p=1, rng=RNG), call(A(3), 0, rng=RNG), call(A(0, 2), rng=RNG),
    ],
    tg.gumbel_softmax: [
        call(A(2, 3), rng=RNG), call(A(3, 2), 2.0, axis=0, rng=RNG),
        call(A(2, 3), tau=0.8, rng=RNG),
        call(CERTAIN, hard=True, rng=RNG),  # so that the choice and the soft one are both flat
    ],
}  # fmt: skip

INTERNAL = {straight_through: "its gradient is that of a soft choice, on purpose"}
