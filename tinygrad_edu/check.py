"""Is a gradient right? Difference quotients, and the comparison of the engine's gradient with them.

With a random cotangent w, <w, f(x)> is one number, and moving one element of x makes it a function
of one variable. Its slope, measured by differences, is what backward claims in that element. What
has fooled other checkers decides the details:

- w is random. The plain sum of a softmax is constant: it would accept a gradient of zeros.
- The reference is computed in float64, whatever the inputs are.
- The step is found per element: it shrinks until Richardson's extrapolation settles, and grows
  where rounding drowns the difference.
- The tolerance is relative to the quotient, plus the quotient's own estimated error. No absolute
  floor (a small wrong gradient is wrong), no factor that grows with the size of the array.
- Where the slopes to the left and to the right disagree there is a corner or a jump, and no
  derivative. Such an element is not compared: the report lists it, and its gradient must only lie
  between the two slopes. If no other element is left to compare, the check fails and says why.
- A function that gives two answers to one question is found first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.diagnosis import WrongGradient
from tinygrad_edu.errors import GradientError, InputError, UnsupportedError
from tinygrad_edu.op import Array
from tinygrad_edu.quotient import EPS, Quotient
from tinygrad_edu.subject import (
    ROUNDINGS,
    Function,
    Reference,
    Subject,
    brackets,
    chosen,
    largest,
    random_cotangent,
    several,
    shapes_of,
    title_of,
)
from tinygrad_edu.transforms import jvp, vjp

# -- the check ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArgumentReport:
    """What was checked of one argument.

    Attributes:
        name: of the argument.
        order: 1 for the gradient, 2 for the gradient of <gradient, v>.
        shape: of the argument.
        dtype: of the argument and its gradient.
        checked: number of elements compared one by one.
        error: the largest relative error among them.
        steps: the smallest and the largest step used.
        kinks: indices where the slopes to both sides disagree: not compared.
    """

    name: str
    order: int
    shape: tuple[int, ...]
    dtype: str
    checked: int
    error: float
    steps: tuple[float, float]
    kinks: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        order = "" if self.order == 1 else f", order {self.order}"
        text = (
            f"{self.name} {self.shape} {self.dtype}{order}: {self.checked} of "
            f"{math.prod(self.shape)} elements, largest relative error {self.error:.1e}, "
            f"steps {self.steps[0]:.1e} to {self.steps[1]:.1e}"
        )
        places = ", ".join(f"{self.name}{brackets(index)}" for index in self.kinks)
        return text + (f"\n    kink suspected, not compared: {places}" if places else "")


@dataclass(frozen=True, slots=True)
class GradientReport:
    """What `check_gradients` found in order; `print` it.

    Attributes:
        function: name of the function.
        arguments: one entry per float input and order.
        forward: relative difference of <w, Jv> and <Jᵀw, v>; None if the rules use functions
            that have no rule themselves, so that there is no forward mode.
    """

    function: str
    arguments: tuple[ArgumentReport, ...]
    forward: float | None

    def __str__(self) -> str:
        forward = (
            "not available: a rule uses a function that has no rule"
            if self.forward is None
            else f"<w, Jv> = <Jᵀw, v> to {self.forward:.1e}"
        )
        lines = (f"{self.function}: gradients agree with difference quotients", *self.arguments)
        return "\n  ".join(map(str, (*lines, f"forward mode: {forward}")))


def check_gradients(
    f: Function, *inputs: Any, order: int = 1, seed: int = 0, max_elements: int = 50
) -> GradientReport:
    """Compare the gradients of `f` with difference quotients, and forward mode with backward.

    Args:
        f: a function of Tensors that returns one, or a tuple.
        *inputs: where to check: Tensors, arrays, numbers. Every float input is checked.
        order: 2 also checks the gradient of the gradient.
        seed: of the random cotangent, and of the choice of elements.
        max_elements: how many elements of an argument are compared one by one. In a larger one
            all are also compared at once, along a random direction, and the culprit is searched.

    Returns:
        A report; `print` it.

    Raises:
        GradientError: if a gradient is wrong, or nothing could be compared; names the op, the
            argument, the index, both numbers and the likely cause.
        InputError: if there is nothing to differentiate, or `f` is not finite at the inputs.
    """
    try:
        return compare_gradients(f, *inputs, order=order, seed=seed, max_elements=max_elements)
    except WrongGradient as wrong:
        raise wrong.explained() from None


def compare_gradients(
    f: Function, *inputs: Any, order: int, seed: int, max_elements: int
) -> GradientReport:
    """`check_gradients`, whose error is not explained yet."""
    rng = np.random.default_rng(seed)
    subject = Subject(f, inputs)
    arguments: list[ArgumentReport] = []
    forward: float | None = 0.0
    for current in range(1, order + 1):
        if current > 1:
            subject = subject.derivative(rng)
        found, off = _compare(subject, current, rng, max_elements)
        arguments += found
        forward = None if off is None or forward is None else max(forward, off)
    return GradientReport(title_of(f), tuple(arguments), forward)


def _compare(
    subject: Subject, order: int, rng: np.random.Generator, max_elements: int
) -> tuple[list[ArgumentReport], float | None]:
    outputs = _same_twice(subject)
    ws = [random_cotangent(rng, y) for y in outputs]
    reference = Reference(subject, ws, outputs)
    found = subject.gradients(subject.exact, ws)
    reports, slack = [], 0.0
    for argument, gradient in enumerate(found):
        comparison = Comparison(reference, argument, gradient)
        reports.append(comparison.run(order, rng, max_elements))
        slack += sum(q.error for q in comparison.quotients.values() if q.smooth)
    if any(x.dtype != np.float64 for x in subject.given):
        _check_own_dtype(reference, found, close=order == 1)
    return reports, _forward_mode(reference, found, rng, slack)


def _same_twice(subject: Subject) -> list[Array]:
    """The value of the function, if it has one."""
    first, second = (subject.values(subject.exact) for _ in range(2))
    if not any(y.dtype.kind == "f" for y in first):
        raise InputError(f"{subject.title}: must return a float, got {shapes_of(first)}")
    for y, again in zip(first, second, strict=True):
        if y.dtype.kind != "f":
            continue
        if not np.isfinite(y).all():
            raise InputError(f"{subject.title}: is not finite at the given inputs: {y}")
        if y.shape != again.shape or np.any(np.abs(y - again) > 64 * EPS * np.abs(y)):
            raise GradientError(
                f"{subject.title}: is not deterministic: two calls with the same inputs gave "
                "different results. Draw random numbers outside and pass them in, or seed a new "
                "generator in each call"
            )
    return first


@np.errstate(all="ignore")
def _check_own_dtype(reference: Reference, exact: list[Array], close: bool) -> None:
    """Compare gradients of the inputs as given (float32) with those in float64.

    What float32 rounds away counts relative to the usual size of the gradient, and to what a few
    last digits of the inputs change. Of second derivatives only shape, dtype and finiteness are
    checked.
    """
    subject, ws = reference.subject, reference.ws
    y, _ = vjp(subject, *subject.given)
    own = [w.astype(plain(part).dtype) for w, part in zip(ws, several(y), strict=True)]
    infos = [np.finfo(x.dtype) for x in (*subject.given, *own) if x.dtype.kind == "f"]
    eps = max(float(info.eps) for info in infos)
    underflow = max(float(info.tiny / info.eps) for info in infos)
    rng = np.random.default_rng(0)

    def nudged(x: Array) -> Array:
        return np.asarray(x + 8 * eps * largest(x) * random_cotangent(rng, x), x.dtype)

    found = subject.gradients(subject.given, own)
    others = [subject.gradients([nudged(x) for x in subject.given], own) for _ in range(4)]
    for i, (name, narrow, wide) in enumerate(zip(subject.names, found, exact, strict=True)):
        blurred = max(largest(other[i].astype(np.float64) - narrow) for other in others)
        apart = np.nan_to_num(np.abs(narrow.astype(np.float64) - wide), nan=np.inf)
        allowed = ROUNDINGS * eps * reference.usual[i] + 16 * blurred + underflow
        if np.any(apart > allowed if close else ~np.isfinite(narrow)):
            index = np.unravel_index(np.argmax(apart), apart.shape)
            raise GradientError(
                f"{subject.title}: the gradient of argument {name!r} is right in float64, but not "
                f"in {narrow.dtype}, at {name}{brackets(index)}: got {narrow[index]!s}, in "
                f"float64 {wide[index]!s}. Likely cause: overflow, or digits lost by cancellation"
            )


def _forward_mode(
    reference: Reference, found: list[Array], rng: np.random.Generator, slack: float
) -> float | None:
    """Compare <w, Jv> with <Jᵀw, v>; how far apart they are, relative to their terms.

    Both are the engine's: they agree to rounding. `slack`, what the difference quotients cannot
    tell, counts only where the terms are what is left of larger numbers.
    """
    subject, ws = reference.subject, reference.ws
    vs = tuple(random_cotangent(rng, x) for x in subject.exact)
    try:
        _, tangents = jvp(subject, tuple(subject.exact), vs)
    except UnsupportedError:
        return None
    there = [w * np.asarray(plain(t)) for w, t in zip(ws, several(tangents), strict=True)]
    back = [gradient * v for gradient, v in zip(found, vs, strict=True)]
    one, other = (float(sum(part.sum() for part in parts)) for parts in (there, back))
    size = sum(float(np.abs(part).sum()) for part in (*there, *back))
    limit = ROUNDINGS * EPS * size
    if not abs(one - other) <= limit:
        usual = zip(vs, reference.usual, strict=True)
        limit += slack + ROUNDINGS * EPS * sum(v.size * most for v, most in usual)
    if not abs(one - other) <= limit:
        raise GradientError(
            f"{subject.title}: forward mode disagrees with backward: <w, Jv> = {one:.9g}, <Jᵀw, v> "
            f"= {other:.9g}. Likely cause: a rule is not linear in g, or reads values in a way "
            "that leaves the graph"
        )
    return abs(one - other) / size if size else 0.0


class NothingCompared(GradientError):
    """There is no slope at any element.

    Attributes:
        argument: name of the input.
        at: its elements.
        quotient: what was measured at one of them.
    """

    def __init__(self, title: str, argument: str, at: Array, quotient: Quotient) -> None:
        super().__init__(
            f"{title}: no element of argument {argument!r} could be compared. "
            f"{quotient.why_not_smooth()} (for a random upstream gradient); move the inputs away "
            "from there"
        )
        self.argument, self.at, self.quotient = argument, at, quotient


@dataclass(slots=True)
class Comparison:
    """A gradient by one argument, and the quotients it is compared with as they are made."""

    reference: Reference
    argument: int
    gradient: Array
    quotients: dict[int, Quotient] = field(default_factory=dict)

    def run(self, order: int, rng: np.random.Generator, max_elements: int) -> ArgumentReport:
        """Compare, element by element and all at once.

        Raises:
            WrongGradient: if they disagree.
            NothingCompared: if no element has a slope.
        """
        subject = self.reference.subject
        name, exact = subject.names[self.argument], subject.exact[self.argument]
        for index in chosen(self.gradient, rng, max_elements):
            self.element(index)
        if self.gradient.size > max_elements:
            self.everything(rng)
        compared = {i: q for i, q in self.quotients.items() if q.smooth}
        if self.quotients and not compared:
            first = next(iter(self.quotients.values()))
            raise NothingCompared(subject.title, name, exact, first)
        steps = [q.step for q in compared.values()] or [math.nan]
        errors = (q.relative_error(self.gradient.flat[i]) for i, q in compared.items())
        kinks = (i for i, q in self.quotients.items() if not q.smooth)
        return ArgumentReport(
            name=name,
            order=order,
            shape=exact.shape,
            dtype=str(subject.given[self.argument].dtype),
            checked=len(compared),
            error=max(errors, default=0.0),
            steps=(min(steps), max(steps)),
            kinks=tuple(tuple(map(int, np.unravel_index(i, exact.shape))) for i in kinks),
        )

    def element(self, index: int) -> None:
        """Compare one element."""
        found = float(self.gradient.flat[index])
        self.quotients[index] = q = self.reference.at(self.argument, index, found)
        if not q.accepts(found):
            raise WrongGradient(self.reference, self.argument, index, self.gradient, self.quotients)

    def everything(self, rng: np.random.Generator) -> None:
        """Compare along a random direction; a difference is followed, by halves, to an element."""
        direction = random_cotangent(rng, self.gradient)
        if self._agrees(direction):
            return
        low, high = 0, self.gradient.size
        while high - low > 1:
            middle = (low + high) // 2
            part = np.zeros_like(direction)
            part.flat[low:middle] = direction.flat[low:middle]
            low, high = (middle, high) if self._agrees(part) else (low, middle)
        self.element(low)

    def _agrees(self, direction: Array) -> bool:
        q = self.reference.along(self.argument, direction)
        return not q.smooth or q.accepts(float((self.gradient * direction).sum()))
