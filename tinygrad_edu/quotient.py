"""Difference quotients: the slope of a function of one number, and how well it is known.

A step that is too long misses the slope because the function bends, one that is too short because
both values are rounded. Neither is known beforehand, so the step is found for every slope: it
shrinks until Richardson's extrapolation settles, and grows where rounding drowns the difference.

Where the slopes to the left and to the right disagree there is a corner or a jump, and no
derivative: that is found too, not mistaken for a wrong gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from tinygrad_edu.op import Array

EPS = float(np.finfo(np.float64).eps)
LIMIT = 1e-6  # relative error that a float64 gradient may have
LEVELS = 40  # halvings of the step, at most

Terms = Callable[[float], Array]


@dataclass(frozen=True, slots=True)
class Quotient:
    """The slope of a function of one number, measured by differences.

    Attributes:
        value: the slope.
        error: what `value` may be off, by truncation and by rounding.
        step: the smallest step it was made of.
        left: slope to the left at that step.
        right: slope to the right.
        smooth: whether there is a slope at all: `left` and `right` approach each other.
        shares: what each term contributed to `value`, roughly.
    """

    value: float = math.nan
    error: float = math.inf
    step: float = math.nan
    left: float = math.nan
    right: float = math.nan
    smooth: bool = False
    shares: Array = field(default=None, repr=False)

    def accepts(self, found: float) -> bool:
        """Whether `found` may be this slope; at a corner, whether it lies between the two."""
        if self.smooth:
            return abs(found - self.value) <= LIMIT * abs(self.value) + self.error
        if not math.isfinite(self.value + self.left + self.right):  # no idea
            return math.isfinite(found)
        low, high = sorted((self.left, self.right))
        margin = 0.01 * (high - low) + LIMIT * max(abs(low), abs(high))
        return low - margin <= found <= high + margin

    def relative_error(self, found: float) -> float:
        """How far off `found` is, relative to what the quotient can tell; `LIMIT` is the most."""
        off = abs(found - self.value)
        return off / (abs(self.value) + self.error / LIMIT) if off else 0.0

    def why_not_smooth(self) -> str:
        """A sentence for messages."""
        if not math.isfinite(self.left + self.right):
            return "the function is not finite on both sides: the input is at the end of its domain"
        if math.isnan(self.value):
            return "the difference quotient does not settle as the step shrinks: noise, or a jump"
        return (
            f"kink suspected: the slopes to the left ({self.left:.6g}) and to the right "
            f"({self.right:.6g}) disagree at step {self.step:.1g}"
        )


@np.errstate(all="ignore")  # outside the domain there may be anything
def difference_quotient(
    terms: Terms, scale: float, eps: float = EPS, noise: float = 0.0, coarser: int = 3
) -> Quotient:
    """The derivative of `sum(terms(t))` at t = 0.

    Central differences with steps h, h/2, h/4, ... are extrapolated to h = 0 until two ways to do
    so agree.

    Args:
        terms: gives the summands, (n,). Kept apart, those that do not move cancel exactly.
        scale: a typical size of the variable; the first step is a small part of it.
        eps: relative rounding error of the terms.
        noise: absolute rounding error of their sum, beyond what their size tells.
        coarser: how often a larger scale may be tried where rounding drowns the difference.

    Source: C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)" (1982).
    """
    h = 2.0 ** (math.floor(math.log2(scale)) - 6)  # a power of two: x + h is exact, mostly
    ladder = _Ladder(terms, scale, eps, noise, terms(0.0))
    best, blurred, idle = Quotient(), math.inf, 0
    for _ in range(LEVELS):
        q, rounding = ladder.measured(h)
        if not math.isfinite(q.value):
            h /= 8
            continue
        # Rounding that does not show in the result grows as h shrinks, and two slopes may still
        # agree, by chance: to replace a good one, the error must shrink more than the step does.
        good = best.error <= 1e-3 * abs(best.value)
        idle += 1
        if not best.smooth or (q.smooth and q.error < best.error * (h / best.step if good else 1)):
            best, blurred, idle = q, 20 * rounding, 0
        if best.smooth:
            settled = best.error <= 0.05 * LIMIT * abs(best.value)
            if settled or (good and idle == 3) or 16 * rounding >= best.error:
                break
        elif 8 * rounding > 0.01 * ladder.sharp:  # the corner cannot be resolved any more
            break
        h /= 2
    drowned = best.error > 100 * LIMIT * abs(best.value)
    moved = best.smooth and best.shares.any()  # if not, a larger step may only jump somewhere
    if best.smooth and drowned and coarser and (moved or 64 * scale <= 1) and scale < 1e300:
        other = difference_quotient(terms, 64 * scale, eps, noise, coarser - 1)
        # Far away a function may be flat, and a slope of 0 look precise.
        if other.smooth and other.error < min(best.error, abs(other.value) / 4):
            return other
    known = max(1e-3 * abs(best.value), 1e-6 * max(abs(best.left), abs(best.right)), blurred)
    if best.smooth and best.error > known:
        return replace(best, value=math.nan, smooth=False)  # it does not settle
    return best


@dataclass(slots=True)
class _Ladder:
    """What was seen at steps of half the length each.

    Attributes:
        center: the terms at 0.
        row: the last row of Richardson's table.
        bend: the right slope minus the left one.
        corner: the same, extrapolated to h = 0.
        sharp: the last corner that rounding could not explain.
    """

    terms: Terms
    scale: float
    eps: float
    noise: float
    center: Array
    row: list[float] = field(default_factory=list)
    bend: float = math.nan
    corner: float = math.nan
    sharp: float = math.inf

    def measured(self, h: float) -> tuple[Quotient, float]:
        """The best slope that steps down to h can tell, and what rounding may change it by."""
        plus, minus, center = self.terms(h), self.terms(-h), self.center
        change = plus - minus
        slope = float(change.sum()) / (2 * h)
        if not math.isfinite(slope):  # outside the domain
            self.row, self.bend = [], math.nan
            return Quotient(), math.inf
        known = self.eps * (_roundings(plus, minus, center) + self.scale * abs(slope))
        rounding = (self.noise + known) / h
        left, right = float((center - minus).sum()) / h, float((plus - center).sum()) / h
        # What was a corner at a larger step, and did not shrink with it, is none only if rounding
        # could not hide it here.
        earlier, self.corner = self.corner, abs(2 * (right - left) - self.bend)
        self.bend, steepest = right - left, max(abs(left), abs(right))
        if self.corner > 1e-3 * steepest + 80 * rounding and self.corner > earlier / 2:
            self.sharp = self.corner
        smooth = self.corner <= 1e-5 * steepest + min(8 * rounding, 0.01 * self.sharp)
        self.row, found, error = _extrapolated(self.row, slope)
        error += 16 * rounding  # of the slopes, and of a corner that it may hide
        return Quotient(found, error, h, left, right, smooth, change / (2 * h)), rounding


def _extrapolated(above: list[float], slope: float) -> tuple[list[float], float, float]:
    """Richardson's extrapolation: one more row of the table, for half the step.

    Returns:
        The row, its best entry, and how far two ways to that entry are apart.
    """
    row, found, error = [slope], slope, math.inf
    for order, before in enumerate(above, start=1):
        row.append(row[-1] + (row[-1] - before) / (4**order - 1))
        apart = max(abs(row[-1] - row[-2]), abs(row[-1] - before))
        if apart < error:
            found, error = row[-1], apart
    return row, found, error


def _roundings(plus: Array, minus: Array, center: Array) -> float:
    """Rounding errors of a difference of terms, in units of eps.

    A few for every term that moved. Those that did not move mostly do not depend on the variable
    at all; but one of them may, by less than its last digit.
    """
    moved = (plus != center) | (minus != center)
    few = 4 * (np.abs(plus) + np.abs(minus))[moved].sum()
    return float(few + 2 * np.abs(center).max(initial=0.0, where=~moved))


@np.errstate(all="ignore")
def noise_level(terms: Terms, scale: float) -> float:
    """How far values of `sum(terms(t))` near 0 scatter about a smooth curve.

    The size of a result does not tell how it was rounded on the way. But over steps so short that
    any smooth function is a straight line, differences of high order consist of noise alone.

    Returns:
        A standard deviation; 0 if it is too large to be rounding.

    Source: J. J. Moré and S. M. Wild, "Estimating computational noise" (2011).
    """
    step = 2.0 ** (math.floor(math.log2(scale)) - 36)
    center = terms(0.0)
    differences = np.array([(terms(k * step) - center).sum() for k in range(9)])
    levels = []
    for order in range(1, 9):
        differences = np.diff(differences)
        weight = math.factorial(order) ** 2 / math.factorial(2 * order)
        levels.append(math.sqrt(weight * float(np.mean(differences**2))))
    level = max(levels[3:6])
    return level if level <= 1e-8 * float(np.abs(center).max(initial=0.0)) else 0.0
