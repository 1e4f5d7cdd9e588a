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

import inspect
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import GradientError, InputError, UnsupportedError
from tinygrad_edu.graph import topological_order
from tinygrad_edu.mode import Edge, no_grad, observe
from tinygrad_edu.op import REGISTRY, Array, Op
from tinygrad_edu.tensor import Tensor, record
from tinygrad_edu.transforms import jvp, vjp

Function = Callable[..., Any]
EPS = float(np.finfo(np.float64).eps)
LIMIT = 1e-6  # relative error that a float64 gradient may have
ROUNDINGS = 1000  # how many roundings of its own dtype a float32 gradient may be off
LEVELS = 40  # halvings of the step, at most


# -- one slope ---------------------------------------------------------------------------------


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
    terms: Callable[[float], Array],
    scale: float,
    eps: float = EPS,
    noise: float = 0.0,
    coarser: int = 3,
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
    center = terms(0.0)
    best, row = Quotient(), list[float]()
    bend = corner = math.nan
    sharp = blurred = math.inf
    idle = 0
    for _ in range(LEVELS):
        plus, minus = terms(h), terms(-h)
        change = plus - minus
        slope = float(change.sum()) / (2 * h)
        if not math.isfinite(slope):  # outside the domain
            h, row, bend = h / 8, [], math.nan
            continue
        rounding = (noise + eps * (_roundings(plus, minus, center) + scale * abs(slope))) / h
        left, right = float((center - minus).sum()) / h, float((plus - center).sum()) / h
        # The corner at h = 0, extrapolated. What was one at a larger step, and did not shrink with
        # it, is none only if rounding could not hide it here.
        earlier, corner = corner, abs(2 * (right - left) - bend)
        bend, steepest = right - left, max(abs(left), abs(right))
        if corner > 1e-3 * steepest + 80 * rounding and corner > earlier / 2:
            sharp = corner
        smooth = corner <= 1e-5 * steepest + min(8 * rounding, 0.01 * sharp)
        row, found, error = _extrapolated(row, slope)
        error += 16 * rounding  # of the slopes, and of a corner that it may hide
        # Rounding that does not show in the result grows as h shrinks, and two slopes may still
        # agree, by chance: to replace a good one, the error must shrink more than the step does.
        good = best.error <= 1e-3 * abs(best.value)
        idle += 1
        if not best.smooth or (smooth and error < best.error * (h / best.step if good else 1)):
            best = Quotient(found, error, h, left, right, smooth, change / (2 * h))
            idle, blurred = 0, 20 * rounding
        if best.smooth:
            settled = best.error <= 0.05 * LIMIT * abs(best.value)
            if settled or (good and idle == 3) or 16 * rounding >= best.error:
                break
        elif 8 * rounding > 0.01 * sharp:  # the corner cannot be resolved any more
            break
        h /= 2
    drowned = best.error > 100 * LIMIT * abs(best.value)
    moved = best.smooth and best.shares.any()  # if not, a larger step may only jump somewhere
    if best.smooth and drowned and coarser and (moved or 64 * scale <= 1) and scale < 1e300:
        other = difference_quotient(terms, 64 * scale, eps, noise, coarser - 1)
        # Far away a function may be flat, and a slope of 0 look precise.
        if other.smooth and other.error < min(best.error, abs(other.value) / 4):
            return other
    if best.smooth and best.error > max(1e-3 * abs(best.value), blurred):
        return replace(best, value=math.nan, smooth=False)  # it does not settle
    return best


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


# -- the function under test -------------------------------------------------------------------


class Subject:
    """A function as one of its float inputs alone, the other arguments fixed.

    Attributes:
        names: of the float inputs.
        given: the float inputs.
        exact: the float inputs in float64.
        title: name of the function.
    """

    def __init__(self, f: Function, inputs: Sequence[Any], names: Sequence[str] = ()) -> None:
        arrays = [_float_array(x) for x in inputs]
        self.f, self.inputs = f, list(inputs)
        self.positions = [i for i, array in enumerate(arrays) if array is not None]
        names = names or parameter_names(f, inputs)
        self.names = [names[i] for i in self.positions]
        self.given: list[Array] = [array for array in arrays if array is not None]
        self.exact: list[Array] = [x.astype(np.float64) for x in self.given]
        self.title = _title(f)
        if not self.given:
            raise InputError(f"{self.title}: got no float input to differentiate by")

    def __call__(self, *floats: Any) -> Any:
        """Call the function with these float inputs."""
        args = list(self.inputs)
        for position, x in zip(self.positions, floats, strict=True):
            args[position] = x
        return self.f(*args)

    def values(self, floats: Sequence[Array]) -> list[Array]:
        """What it computes, as arrays, without a graph; Tensors go in, as when it is recorded."""
        with no_grad(), np.errstate(all="ignore"):
            result = self(*(Tensor(x) for x in floats))
        return [np.asarray(plain(part)) for part in several(result)]

    def gradients(self, floats: Sequence[Array], ws: Sequence[Array]) -> list[Array]:
        """The engine's answer, asked twice: Jᵀw for every float input, of its shape and dtype."""
        y, pull = vjp(self, *floats)
        g = tuple(ws) if isinstance(y, (tuple, list)) else ws[0]
        once, again = pull(g), pull(g)
        if len(floats) == 1:
            once, again = (once,), (again,)
        found = [np.asarray(plain(x)) for x in once]
        for name, x, first, second in zip(self.names, floats, found, again, strict=True):
            if (first.shape, first.dtype) != (x.shape, x.dtype):
                raise GradientError(
                    f"{self.title}: expected a gradient of argument {name!r} of shape {x.shape} "
                    f"and dtype {x.dtype}, got {first.shape} and {first.dtype}"
                )
            if not np.array_equal(first, np.asarray(plain(second)), equal_nan=True):
                raise GradientError(
                    f"{self.title}: the gradient of argument {name!r} is another one when backward "
                    "runs again on the same graph: a rule keeps a state, or writes into its inputs"
                )
        return found

    def derivative(self, rng: np.random.Generator) -> Subject:
        """Order 2 differentiates <gradient of <w, f>, v>, for a random w and v."""
        ws = [_cotangent(rng, y) for y in self.values(self.exact)]
        vs = [_cotangent(rng, x) for x in self.given]

        def slope(*floats: Any) -> Any:
            y, pull = vjp(self, *floats)
            found = pull(tuple(ws) if isinstance(y, (tuple, list)) else ws[0])
            found = found if len(floats) > 1 else (found,)
            return sum(np.sum(g * v) for g, v in zip(found, vs, strict=True))

        slope.__name__ = f"gradient of {self.title}"
        return Subject(slope, self.given, self.names)


def _float_array(x: Any) -> Array | None:
    data = plain(x)
    if isinstance(data, (float, list)) or hasattr(data, "dtype"):
        data = np.array(data)
        return data if data.dtype.kind == "f" else None
    return None


def _title(f: Function) -> str:
    op = REGISTRY.get(f) if isinstance(f, Hashable) else None
    return op.name if op else getattr(f, "__name__", type(f).__name__)


def parameter_names(f: Function, inputs: Sequence[Any]) -> list[str]:
    """What to call the arguments: the Tensor's name, or the parameter's."""
    op = REGISTRY.get(f) if isinstance(f, Hashable) else None
    names = list(op.arguments) if op and not op.variadic else []
    try:
        parameters = [] if names else list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # some C functions tell nothing
        parameters = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{i}]" for i in range(len(inputs) - len(names))]
        elif p.kind is not p.KEYWORD_ONLY:
            names.append(p.name)
    names += [f"argument {i}" for i in range(len(names), len(inputs))]
    return [getattr(x, "name", None) or name for x, name in zip(inputs, names, strict=False)]


def several(result: Any) -> Sequence[Any]:
    """The results of a function that may return one or a tuple."""
    return result if isinstance(result, (tuple, list)) else [result]


def _cotangent(rng: np.random.Generator, like: Array) -> Array:
    """Random numbers of either sign, none near 0, which every float dtype holds exactly."""
    if like.dtype.kind != "f":
        return np.zeros(like.shape)
    sizes = 0.5 + rng.integers(0, 256, like.shape) / 256
    return np.asarray(sizes * rng.choice([-1.0, 1.0], like.shape), like.dtype)


@dataclass(frozen=True)
class Reference:
    """Slopes of <w, f(x)> around one point x, in float64."""

    subject: Subject
    ws: list[Array]
    outputs: list[Array]

    def along(self, argument: int, direction: Array, noise: float = 0.0) -> Quotient:
        """The slope along a direction of one argument."""
        exact = self.subject.exact

        def terms(t: float) -> Array:
            moved = list(exact)
            moved[argument] = exact[argument] + t * direction
            results = zip(self.ws, self.subject.values(moved), strict=True)
            return np.concatenate([(w * y).ravel() for w, y in results if y.dtype.kind == "f"])

        sizes = np.abs(exact[argument])
        moving = sizes[direction != 0].max(initial=0.0)
        scale = max(moving, sizes.max(initial=0.0) / 64) or 1.0
        eps = max(float(np.finfo(y.dtype).eps) for y in self.outputs if y.dtype.kind == "f")
        return difference_quotient(terms, float(scale), eps, noise)

    def at(self, argument: int, index: int, found: float = math.nan) -> Quotient:
        """The partial derivative by one element, counted in the flattened array.

        If it is not `found`, it is measured again, more suspicious of rounding.
        """
        direction = np.zeros(self.subject.exact[argument].shape)
        direction.flat[index] = 1.0
        q = self.along(argument, direction)
        if math.isnan(found) or (q.smooth and q.accepts(found)):
            return q
        noise, _ = self.sizes
        q = self.along(argument, direction, noise)
        return replace(q, error=q.error + ROUNDINGS * EPS * self.usual[argument])

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """What is rounded on the way to <w, f(x)> may change it by that, and the largest value.

        The result itself does not tell: where `out` is nearly 1, `1 - out * out` is small and has
        few right digits. An error in the result of a step has the effect of its gradient times it.
        """
        effects, values = [0.0], [0.0]

        def watch(edge: Edge) -> None:
            pairs = zip(several(edge.upstream), several(plain(edge.output)), strict=True)
            for g, value in pairs:
                effects.append(float(np.abs(g * value).max(initial=0)))
                values.append(float(np.abs(value).max(initial=0)))

        tensors = (Tensor(x, requires_grad=True) for x in self.subject.exact)
        with observe(watch), np.errstate(all="ignore"):
            for y, w in zip(several(self.subject(*tensors)), self.ws, strict=True):
                if isinstance(y, Tensor) and y.requires_grad:
                    y.backward(w, retain_graph=True)
        noise = 8 * EPS * sum(effects)
        return (noise if math.isfinite(noise) else 0.0), max(values)

    @cached_property
    def usual(self) -> list[float]:
        """How large each gradient is, or would be if nothing were saturated: closer to 0."""
        with np.errstate(all="ignore"):
            here, there = (
                self.subject.gradients([x / part for x in self.subject.exact], self.ws)
                for part in (1, 8)
            )
        _, value = self.sizes
        return [
            max(_largest(g), min(_largest(far), value / (_largest(x) or 1.0)))
            for x, g, far in zip(self.subject.exact, here, there, strict=True)
        ]


def _largest(x: Array) -> float:
    return float(np.abs(x).max(initial=0.0, where=np.isfinite(x)))


def numerical_vjp(f: Function, *inputs: Any, g: Any = None) -> tuple[Array, ...]:
    """Gradients of <g, f(inputs)> by difference quotients, without any rule.

    Args:
        f: function of Tensors or arrays.
        *inputs: its arguments; what is float is differentiated by.
        g: cotangent of the result; may be left out for one element.

    Returns:
        One float64 array per float input; NaN where there is a corner or a jump.

    Raises:
        InputError: if `g` is missing for more than one element.
    """
    subject = Subject(f, inputs)
    outputs = subject.values(subject.exact)
    gs = [g] if len(outputs) == 1 else g
    if g is None:
        if len(outputs) > 1 or outputs[0].size != 1:
            raise InputError(
                f"numerical_vjp: g may be left out for one-element outputs only, {subject.title} "
                f"gives {shapes_of(outputs)}"
            )
        gs = [np.ones(outputs[0].shape)]
    reference = Reference(subject, [np.asarray(plain(part)) for part in gs], outputs)
    found = []
    for argument, x in enumerate(subject.exact):
        quotients = [reference.at(argument, i) for i in range(x.size)]
        slopes = [q.value if q.smooth else math.nan for q in quotients]
        found.append(np.array(slopes).reshape(x.shape))
    return tuple(found)


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
    rng = np.random.default_rng(seed)
    subject = Subject(f, inputs)
    arguments: list[ArgumentReport] = []
    forward: float | None = 0.0
    for current in range(1, order + 1):
        if current > 1:
            subject = subject.derivative(rng)
        found, off = _check(subject, current, rng, max_elements)
        arguments += found
        forward = None if off is None or forward is None else max(forward, off)
    return GradientReport(_title(f), tuple(arguments), forward)


def _check(
    subject: Subject, order: int, rng: np.random.Generator, max_elements: int
) -> tuple[list[ArgumentReport], float | None]:
    outputs = _same_twice(subject)
    ws = [_cotangent(rng, y) for y in outputs]
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
        return np.asarray(x + 8 * eps * _largest(x) * _cotangent(rng, x), x.dtype)

    found = subject.gradients(subject.given, own)
    others = [subject.gradients([nudged(x) for x in subject.given], own) for _ in range(4)]
    for i, (name, narrow, wide) in enumerate(zip(subject.names, found, exact, strict=True)):
        blurred = max(_largest(other[i].astype(np.float64) - narrow) for other in others)
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
    """Compare <w, Jv> with <Jᵀw, v>; how far apart they are, relative to their terms."""
    subject, ws = reference.subject, reference.ws
    vs = tuple(_cotangent(rng, x) for x in subject.exact)
    try:
        _, tangents = jvp(subject, tuple(subject.exact), vs)
    except UnsupportedError:
        return None
    there = [w * np.asarray(plain(t)) for w, t in zip(ws, several(tangents), strict=True)]
    back = [gradient * v for gradient, v in zip(found, vs, strict=True)]
    one, other = (float(sum(part.sum() for part in parts)) for parts in (there, back))
    size = sum(float(np.abs(part).sum()) for part in (*there, *back))
    if not abs(one - other) <= LIMIT * size + slack:
        usual = zip(vs, reference.usual, strict=True)
        slack += ROUNDINGS * EPS * sum(v.size * largest for v, largest in usual)
    if not abs(one - other) <= LIMIT * size + slack:
        raise GradientError(
            f"{subject.title}: forward mode disagrees with backward: <w, Jv> = {one:.9g}, <Jᵀw, v> "
            f"= {other:.9g}. Likely cause: a rule is not linear in g, or reads values in a way "
            "that leaves the graph"
        )
    return abs(one - other) / size if size else 0.0


@dataclass(slots=True)
class Comparison:
    """A gradient by one argument, and the quotients it is compared with as they are made.

    Attributes:
        what: "gradient" if it is the engine's, "derivation" if a person's.
    """

    reference: Reference
    argument: int
    gradient: Array
    what: str = "gradient"
    quotients: dict[int, Quotient] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the argument."""
        return self.reference.subject.names[self.argument]

    def run(self, order: int, rng: np.random.Generator, max_elements: int) -> ArgumentReport:
        """Compare, element by element and all at once.

        Raises:
            GradientError: if they disagree, or no element could be compared.
        """
        for index in _chosen(self.gradient, rng, max_elements):
            self.element(index)
        if self.gradient.size > max_elements:
            self.everything(rng)
        compared = {i: q for i, q in self.quotients.items() if q.smooth}
        if self.quotients and not compared:
            why = next(iter(self.quotients.values())).why_not_smooth()
            raise GradientError(
                f"{self.reference.subject.title}: no element of argument {self.name!r} could be "
                f"compared. {why}; move the inputs away from there"
            )
        steps = [q.step for q in compared.values()] or [math.nan]
        errors = (q.relative_error(self.gradient.flat[i]) for i, q in compared.items())
        given = self.reference.subject.given[self.argument]
        return ArgumentReport(
            name=self.name,
            order=order,
            shape=given.shape,
            dtype=str(given.dtype),
            checked=len(compared),
            error=max(errors, default=0.0),
            steps=(min(steps), max(steps)),
            kinks=tuple(self._place(i) for i, q in self.quotients.items() if not q.smooth),
        )

    def element(self, index: int) -> None:
        """Compare one element."""
        found = float(self.gradient.flat[index])
        self.quotients[index] = q = self.reference.at(self.argument, index, found)
        if not q.accepts(found):
            raise self.failure(index)

    def everything(self, rng: np.random.Generator) -> None:
        """Compare along a random direction; a difference is followed, by halves, to an element."""
        direction = _cotangent(rng, self.gradient)
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

    def _place(self, index: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(index, self.gradient.shape))

    def failure(self, index: int, engine: Array | None = None) -> GradientError:
        """The whole story of a wrong element."""
        subject, q = self.reference.subject, self.quotients[index]
        found = float(self.gradient.flat[index])
        for i in _chosen(self.gradient, np.random.default_rng(0), 20):
            if i not in self.quotients:
                self.quotients[i] = self.reference.at(self.argument, i)
        numbers = {self.what: f"{found:.10g}"}
        if engine is not None:
            numbers["engine"] = f"{float(engine.flat[index]):.10g}"
        numbers["difference quotient"] = f"{q.value:.10g}  (± {q.error:.1g}, step {q.step:.1g})"
        if q.smooth and q.value and found:
            numbers["ratio"] = f"{found / q.value:.6g}"
        place = f"{self.name}{brackets(self._place(index))}"
        lines = [f"{subject.title}: the {self.what} of argument {self.name!r} is wrong at {place}"]
        lines += [f"{key:<21}{text}" for key, text in numbers.items()]
        if not q.smooth:
            lines.append(f"{q.why_not_smooth()}; the {self.what} is not even between the two")
        shapes = {name: x.shape for name, x in zip(subject.names, subject.given, strict=True)}
        if len(self.reference.outputs) == 1:
            shapes["the result"] = self.reference.outputs[0].shape
        lines.append(f"likely cause: {likely_cause(self.gradient, self.quotients, shapes)}")
        if engine is None:
            lines += _suspects(subject)
        shown = shapes_of(subject.given, subject.names)
        lines.append(f"inputs {shown}; result {shapes_of(self.reference.outputs)}")
        return GradientError("\n  ".join(lines))


def _chosen(gradient: Array, rng: np.random.Generator, count: int) -> Sequence[int]:
    """Elements to compare: all, or the ends, the largest and some random ones."""
    if gradient.size <= count:
        return range(gradient.size)
    largest = np.argsort(-np.abs(gradient.ravel()))[: count // 4]
    random = rng.permutation(gradient.size)
    return [int(i) for i in dict.fromkeys([0, gradient.size - 1, *largest, *random])][:count]


# -- diagnosis ---------------------------------------------------------------------------------


def likely_cause(
    gradient: Array, quotients: Mapping[int, Quotient], shapes: Mapping[str, tuple[int, ...]]
) -> str:
    """Guess what is wrong with a gradient, from the elements that were measured.

    Args:
        gradient: the wrong one.
        quotients: the measured slopes, by index in the flattened gradient.
        shapes: of the inputs and of `"the result"`, to recognise a factor or a forgotten sum.
    """
    sure = {i: q for i, q in quotients.items() if q.smooth and abs(q.value) > 1e4 * q.error}
    found = np.array([gradient.flat[i] for i in sure])
    right = np.array([q.value for q in sure.values()])
    if not np.isfinite(gradient).all():
        return "a division by zero or an overflow in the rule: the gradient is not finite"
    if not sure:
        return "unknown: the quotients are all nearly zero, the gradient is not"
    if not found.any():
        return (
            "the gradient is zero although the difference quotient is not: a rule returns zeros, "
            "or the graph is cut (detach(), .data, item())"
        )
    if gradient.ndim > 1 and gradient.shape == gradient.T.shape and len(sure) == gradient.size:
        whole = np.array([quotients[i].value for i in range(gradient.size)])
        if np.allclose(gradient.T, whole.reshape(gradient.shape), rtol=1e-5, atol=0):
            return "transposed: the gradient is right for the transposed array"
    ratios = found / right
    wrong = np.abs(ratios - 1) > LIMIT
    if wrong.any() and np.ptp(ratios[wrong]) <= 1e-5 * np.abs(ratios[wrong]).max():
        where = "" if wrong.all() else f", in {wrong.sum()} of {wrong.size} elements only"
        return _factor(float(ratios[wrong][0]), shapes) + where
    axis = _one_slice(found, list(sure.values()), shapes.get("the result", ()))
    if axis is not None:
        return f"missing sum over axis {axis} of the result: one slice of g is used, not all"
    offset = found - right
    if len(sure) > 1 and np.ptp(offset) <= 1e-5 * np.abs(offset).max():
        return f"a constant is added: every element is off by {offset[0]:.6g}"
    return "no simple pattern: a term is missing, or the local gradient is another function's"


def _factor(factor: float, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A factor in words: the sign, 2, 1/2, or a length that somebody divided by, or forgot to."""
    size, sign = abs(factor), ", and the sign" if factor < 0 else ""
    if factor < 0 and math.isclose(size, 1, rel_tol=1e-5):
        return "sign: the gradient is minus what it should be"
    lengths = {2: ""}
    for name, shape in shapes.items():
        lengths[math.prod(shape)] = f" (n = {math.prod(shape)} is the size of {name})"
        for axis, n in enumerate(shape):
            lengths[n] = f" (n = {n} is the length of axis {axis} of {name})"
    for n, meaning in lengths.items():
        for text, value in ((f"factor {n}", n), (f"factor 1/{n}", 1 / max(n, 1))):
            if n > 1 and math.isclose(size, value, rel_tol=1e-5):
                return text + meaning + sign
    return f"constant factor {size:.6g}{sign}"


def _one_slice(found: Array, quotients: Sequence[Quotient], shape: Sequence[int]) -> int | None:
    """The axis of the result of which only one slice went into the gradient."""
    for axis, length in enumerate(shape):
        for i in range(length if length > 1 else 0):
            parts = [np.take(q.shares.reshape(shape), i, axis=axis).sum() for q in quotients]
            if np.any(parts) and np.allclose(parts, found, rtol=1e-2, atol=0):
                return axis
    return None


def _suspects(subject: Subject) -> list[str]:
    """The op whose own rule is wrong, found by checking every op of the graph alone."""
    result = subject(*(Tensor(x, requires_grad=True) for x in subject.exact))
    nodes = topological_order(y for y in several(result) if isinstance(y, Tensor) and y._tracked)
    calls = [
        (node._op, node._values, node._options)
        for node in nodes
        if node._op is not None and node._op.name != "select"
    ]
    names = list(dict.fromkeys(op.name for op, _, _ in calls))
    if len(names) == 1:
        return [f"suspected op: {names[0]}, the only one in the graph"]
    for op, values, options in calls[:200]:
        argument = _wrong_argument(op, values, options)
        if argument:
            return [f"suspected op: {op.name}, whose rule of {argument!r} is wrong by itself"]
    return [f"ops in the graph, each right by itself: {', '.join(names)}"] if names else []


def _wrong_argument(op: Op, values: Sequence[Any], options: Mapping[str, Any]) -> str | None:
    """Check a few elements of one op alone."""
    varied = [i for i in range(len(values)) if op.rule(i) and _float_array(values[i]) is not None]

    def alone(*floats: Any) -> Any:
        inputs = list(values)
        for i, x in zip(varied, floats, strict=True):
            inputs[i] = x
        return record(op, tuple(inputs), options)

    subject = Subject(alone, [values[i] for i in varied], [op.argument(i) for i in varied])
    rng = np.random.default_rng(0)
    outputs = subject.values(subject.exact)
    ws = [_cotangent(rng, y) for y in outputs]
    reference = Reference(subject, ws, outputs)
    for argument, gradient in enumerate(subject.gradients(subject.exact, ws)):
        for i in _chosen(gradient, rng, 8):
            found = float(gradient.flat[i])
            if not reference.at(argument, i, found).accepts(found):
                return subject.names[argument]
    return None


def brackets(index: Sequence[Any]) -> str:
    """An index as it is written behind a name; nothing for a 0-d array."""
    return f"[{', '.join(str(int(i)) for i in index)}]" if len(index) else ""


def shapes_of(arrays: Sequence[Array], names: Sequence[str] = ()) -> str:
    """Shapes and dtypes, for messages."""
    texts = [f"{x.shape} {x.dtype}" for x in arrays]
    return (
        ", ".join(" ".join(pair) for pair in zip(names, texts, strict=True))
        if names
        else (", ".join(texts))
    )
