"""Dropout: numbers left out at random, in training only."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.nn.checks import check_floats, check_probability, numbers
from tinygrad_edu.nn.module import Module
from tinygrad_edu.ops.random import check_rng, dropout


class Dropout(Module):
    """In training, set numbers to 0 with probability p and divide the others by 1 - p.

    In evaluation it does nothing: `model.eval()`.

    Args:
        p: the probability of a number to become 0.
        rng: where the choice comes from; needed unless p is 0.

    Raises:
        InputError: if p is no probability.
        DtypeError: if `rng` is no Generator, or at the call if x holds no floats.

    Source: N. Srivastava et al., "Dropout" (2014).
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        check_probability(self, "p", p)
        if p:
            check_rng(type(self).__name__, rng)
        self.p, self.rng = p, rng

    def forward(self, x: Any) -> Any:
        """Shape and dtype of x, floats."""
        x = numbers(self, x)
        check_floats(self, x)
        return dropout(x, self.p, rng=self.rng) if self.training and self.p else x

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
