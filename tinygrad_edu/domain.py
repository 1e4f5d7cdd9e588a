"""Where an argument of an op may lie: what checks and property tests draw from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinygrad_edu.errors import InputError


@dataclass(frozen=True, slots=True)
class Domain:
    """An open interval of real numbers with points that a difference quotient must avoid.

    Attributes:
        low: lower end, not included.
        high: upper end, not included.
        kinks: points inside at which the function has no derivative (a corner, a jump, a pole);
            a check stays away from them, a table in the docs says which sub-gradient is taken.
        distinct: no two elements (of one array, or at the same place of two arguments) may be
            equal: where `max`, `sort` or `maximum` have a corner.
    """

    low: float = -math.inf
    high: float = math.inf
    kinks: tuple[float, ...] = ()
    distinct: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty interval and kinks outside it.

        Raises:
            InputError: if `low >= high` or a kink lies outside.
        """
        if not self.low < self.high:
            raise InputError(f"Domain: expected low < high, got low={self.low}, high={self.high}")
        for kink in self.kinks:
            if not self.low < kink < self.high:
                raise InputError(f"Domain: kink {kink} is not inside ({self.low}, {self.high})")


REAL = Domain()
POSITIVE = Domain(low=0.0)
NONZERO = Domain(kinks=(0.0,))
DISTINCT = Domain(distinct=True)
