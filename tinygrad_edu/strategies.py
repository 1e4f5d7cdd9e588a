"""What property tests draw: arrays from a domain, operands that broadcast, calls of a function.

Hypothesis draws, and makes a counter-example smaller: towards short shapes, and towards 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

try:
    from hypothesis import HealthCheck, Phase, given, reject, seed, settings
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError:  # pragma: no cover
    raise ImportError(
        "check_op and check_derivation need Hypothesis: pip install 'tinygrad-edu[check]'"
    ) from None

from tinygrad_edu.backward import plain
from tinygrad_edu.domain import POSITIVE, REAL, Domain
from tinygrad_edu.op import Array

Strategy = st.SearchStrategy[Any]
LARGEST = 4.0  # what is drawn from an infinite domain: exp, sinh and powers stay moderate
MARGIN = 0.125  # distance from kinks and from the ends of the domain


def values(domain: Domain = REAL, shape: Any = (), dtype: Any = np.float64) -> Strategy:
    """Arrays with elements in a domain, away from its ends and kinks, of moderate size.

    Every number is one that float32 holds exactly.

    Args:
        domain: where the elements lie; with `distinct`, no two of them are close.
        shape: of the array.
        dtype: of the array.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if domain.distinct:
        return _apart([domain], [shape]).map(lambda arrays: arrays[0].astype(dtype))
    pieces = [
        st.floats(low, high, width=32, allow_subnormal=False) for low, high in _pieces(domain)
    ]
    return hnp.arrays(np.float64, shape, elements=st.one_of(pieces)).map(lambda x: x.astype(dtype))


# What broadcast operands fit into; simple ones first, where shrinking leads, and the telling ones
# twice: of shapes drawn blindly most have one element, or none.
SHAPES = ((), (3,), (2, 3), (3, 2, 2), (1,), (0,), (2, 1, 3), (2, 0), (2, 3), (3, 2, 2))


def operands(domains: Sequence[Domain]) -> Strategy:
    """Tuples of arrays that broadcast with each other, one from each domain; 0-d and empty too."""

    def drawn(shape: tuple[int, ...]) -> Strategy:
        each = st.just(shape) if len(domains) == 1 else st.sampled_from(_stretched_to(shape))
        return st.tuples(*[each] * len(domains))

    def filled(shapes: tuple[tuple[int, ...], ...]) -> Strategy:
        if any(domain.distinct for domain in domains):
            return _apart(domains, shapes)
        return st.tuples(*(values(d, s) for d, s in zip(domains, shapes, strict=True)))

    return st.sampled_from(SHAPES).flatmap(drawn).flatmap(filled)


def _stretched_to(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All shapes that NumPy would stretch to this one: axes of length 1, or missing in front."""
    return [
        tuple(1 if one else n for one, n in zip(ones, shape[missing:], strict=True))
        for missing in range(len(shape) + 1)
        for ones in product((False, True), repeat=len(shape) - missing)
    ]


def _bounds(domain: Domain) -> tuple[float, float]:
    """Ends of a domain, moderate where it has none."""
    low = domain.low if math.isfinite(domain.low) else min(-LARGEST, domain.high - LARGEST)
    high = domain.high if math.isfinite(domain.high) else max(LARGEST, domain.low + LARGEST)
    return low, high


def _pieces(domain: Domain) -> list[tuple[float, float]]:
    """The intervals between ends and kinks; the one nearest to 1 first, where shrinking leads."""
    low, high = _bounds(domain)
    cuts = [low, *sorted(domain.kinks), high]
    pieces = []
    for start, end in pairwise(cuts):
        margin = min(MARGIN, (end - start) / 4)
        # Rounded inwards to numbers that float32 holds.
        grid = 2.0 ** math.floor(math.log2(margin / 4))
        first = math.ceil((start + margin) / grid) * grid
        pieces.append((first, math.floor((end - margin) / grid) * grid))
    return sorted(pieces, key=lambda piece: abs(sum(piece) / 2 - 1))


def _apart(domains: Sequence[Domain], shapes: Sequence[tuple[int, ...]]) -> Strategy:
    """Arrays in which no two numbers are close, all of them together."""
    sizes = [math.prod(shape) for shape in shapes]
    count = sum(sizes)
    lows, highs = zip(*map(_bounds, domains), strict=True)
    low, high = max(lows), min(highs)
    bound = 2 * count + 4
    step = 2.0 ** math.floor(math.log2((high - low) / (2 * bound + 2)))
    middle = math.floor((low + high) / 2 / step) * step

    def split(numbers: Array) -> tuple[Array, ...]:
        parts = np.split(middle + step * numbers, np.cumsum(sizes)[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))

    kinks = [kink for domain in domains for kink in domain.kinks]
    numbers = st.integers(-bound, bound).filter(
        lambda k: all(abs(middle + step * k - kink) > step / 2 for kink in kinks)
    )
    return hnp.arrays(np.int64, count, elements=numbers, unique=True, fill=st.nothing()).map(split)


def _filled(part: Any) -> Strategy:
    """A strategy for a structure of tuples, lists and dicts with strategies inside."""
    if isinstance(part, st.SearchStrategy):
        return part
    if isinstance(part, tuple):
        return st.tuples(*map(_filled, part))
    if isinstance(part, list):
        return st.tuples(*map(_filled, part)).map(list)
    if isinstance(part, dict):
        return st.fixed_dictionaries({key: _filled(value) for key, value in part.items()})
    return st.just(part)


def calls(samples: Any) -> Strategy:
    """A strategy for calls from whatever `check_op` takes as samples."""
    if isinstance(samples, st.SearchStrategy):
        return samples
    if callable(samples):
        return st.integers(0, 2**32 - 1).map(lambda seed: samples(np.random.default_rng(seed)))
    return st.sampled_from(samples).flatmap(_filled)


def arguments(inputs: Sequence[Any]) -> Strategy:
    """A strategy for the arguments of a function, from whatever `check_derivation` takes."""
    if len(inputs) == 1 and isinstance(inputs[0], st.SearchStrategy):
        return inputs[0].map(lambda case: case if isinstance(case, tuple) else (case,))
    return st.tuples(*map(_around, inputs))


def is_strategy(part: Any) -> bool:
    """Whether it is drawn from, rather than an example."""
    return isinstance(part, st.SearchStrategy)


def _around(example: Any) -> Strategy:
    """A strategy for arrays like an example."""
    if isinstance(example, st.SearchStrategy):
        return example
    x = plain(example)
    if not isinstance(x, (float, np.ndarray, np.generic)) or np.asarray(x).dtype.kind != "f":
        return st.just(x)
    x = np.asarray(x)
    positive = x.size > 0 and bool(np.all(x > 0))
    domain = REAL if not positive else Domain(0.0, 1.0) if np.all(x < 1) else POSITIVE
    return values(domain, x.shape, x.dtype)


def draw(
    check: Callable[[Any], None],
    cases: Strategy,
    examples: int | None = None,
    *,
    shrink: bool = True,
    start: int | None = None,
) -> bool:
    """Call `check` on drawn cases: a property test outside of a test suite.

    Args:
        check: raises an error for a case that fails.
        cases: what to draw.
        examples: how many; by default what Hypothesis' profile says.
        shrink: end with the smallest case that fails, if the profile wants that too.
        start: a seed; by default every search draws the same.

    Returns:
        Whether it would have made a case smaller.
    """

    def one(case: Any) -> None:
        check(case)

    profile = settings()
    phases = [Phase.generate]
    if shrink and Phase.shrink in profile.phases:
        phases.append(Phase.shrink)
    run = settings(
        max_examples=examples or profile.max_examples,
        deadline=None,
        database=None,
        derandomize=start is None,
        report_multiple_bugs=False,
        print_blob=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )(given(cases)(one))
    if start is not None:
        run = seed(start)(run)
    run()
    return len(phases) > 1


def shared_out(samples: Any, examples: int | None) -> list[tuple[Any, int]]:
    """Every sample of a list with its share of the examples: drawing might miss one.

    The first example of each is the simplest; a second one, at least, tells more.
    """
    total = examples or settings().max_examples
    if not isinstance(samples, (list, tuple)) or not samples:  # an empty list says nothing
        return [(None if samples in ([], ()) else samples, total)]
    each, more = divmod(total, len(samples))
    least = 1 if len(samples) == 1 else 2
    return [([sample], max(each + (i < more), least)) for i, sample in enumerate(samples)]


def leave_out() -> None:
    """Called inside of a check: this case tells nothing, draw another one."""
    reject()
