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
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import GradientError, InputError, UnsupportedError
from tinygrad_edu.graph import topological_order
from tinygrad_edu.mode import no_grad
from tinygrad_edu.op import REGISTRY, Array, Op
from tinygrad_edu.tensor import Tensor, record
from tinygrad_edu.transforms import jvp, vjp

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
        smooth: whether `left` and `right` approach each other as the step shrinks.
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
        if not math.isfinite(self.left + self.right):  # at the end of the domain
            return math.isfinite(found)
        low, high = sorted((self.left, self.right))
        margin = 0.01 * (high - low) + LIMIT * max(abs(low), abs(high))
        return low - margin <= found <= high + margin

    def relative_error(self, found: float) -> float:
        """How far off `found` is, relative to what the quotient can tell; `LIMIT` is the most."""
        off = abs(found - self.value)
        return off / (abs(self.value) + self.error / LIMIT) if off else 0.0


def difference_quotient(
    terms: Callable[[float], Array], scale: float, eps: float = EPS, coarser: int = 3
) -> Quotient:
    """The derivative of `sum(terms(t))` at t = 0.

    Central differences with steps h, h/2, h/4, ... are extrapolated to h = 0 until two ways to do
    so agree.

    Args:
        terms: gives the summands, (n,). Kept apart, those that do not move cancel exactly.
        scale: a typical size of the variable; the first step is a small part of it.
        eps: relative rounding error of the terms.
        coarser: how often a larger scale may be tried where rounding drowns the difference.

    Source: C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)" (1982).
    """
    h = 2.0 ** (math.floor(math.log2(scale)) - 6)  # a power of two: x + h is exact, mostly
    center = terms(0.0)
    best = Quotient()
    row: list[float] = []
    bend, sharp, idle = math.nan, math.inf, 0
    for _ in range(LEVELS):
        plus, minus = terms(h), terms(-h)
        change = plus - minus
        slope = float(change.sum()) / (2 * h)
        if not math.isfinite(slope):  # outside the domain
            h, row, bend = h / 8, [], math.nan
            continue
        rounding = eps * (_rounding(plus, minus, center) + scale * abs(slope)) / h
        left, right = float((center - minus).sum()) / h, float((plus - center).sum()) / h
        corner = abs(2 * (right - left) - bend)  # extrapolated to h = 0, where it should vanish
        bend, steepest = right - left, max(abs(left), abs(right))
        # What was a corner at a larger step is none only if rounding could not hide it here.
        smooth = corner <= 1e-5 * steepest + min(8 * rounding, 0.01 * sharp)
        if not smooth and math.isfinite(corner):
            sharp = corner
        above, row = row, [slope]
        found, error = slope, math.inf
        for order, before in enumerate(above, start=1):
            row.append(row[-1] + (row[-1] - before) / (4**order - 1))
            off = max(abs(row[-1] - row[-2]), abs(row[-1] - before)) + 2 * rounding
            if off < error:
                found, error = row[-1], off
        idle += 1
        if (smooth, -error) > (best.smooth, -best.error) or not (smooth or best.smooth):
            best = Quotient(found, error, h, left, right, smooth, change / (2 * h))
            idle = 0
        settled = best.error <= 0.05 * LIMIT * abs(best.value)
        if best.smooth and (settled or idle == 3 or 2 * rounding >= best.error):
            break
        if not best.smooth and 8 * rounding > 0.01 * sharp:
            break  # the corner cannot be resolved any more
        h /= 2
    drowned = best.error > 100 * LIMIT * abs(best.value) and best.shares.any()
    if best.smooth and coarser and drowned:
        other = difference_quotient(terms, 64 * scale, eps, coarser - 1)
        if other.smooth and other.error < best.error:
            return other
    return best


def _rounding(plus: Array, minus: Array, center: Array) -> float:
    """Rounding errors of a difference of terms, in units of eps.

    A few for every term that moved. Those that did not move mostly do not depend on the variable
    at all; but one of them may, by less than its last digit.
    """
    moved = (plus != center) | (minus != center)
    few = 4 * (np.abs(plus) + np.abs(minus))[moved].sum()
    return float(few + 2 * np.abs(center).max(initial=0.0, where=~moved))


# -- the function under test -------------------------------------------------------------------


class _Function:
    """A function as one of its float inputs alone, the other arguments fixed."""

    def __init__(
        self, f: Callable[..., Any], inputs: Sequence[Any], names: Sequence[str] | None = None
    ) -> None:
        arrays = [_float_array(x) for x in inputs]
        self.f, self.inputs = f, list(inputs)
        self.positions = [i for i, array in enumerate(arrays) if array is not None]
        names = names or parameter_names(f, inputs)
        self.names = [names[i] for i in self.positions]
        self.given: list[Array] = [array for array in arrays if array is not None]
        self.exact: list[Array] = [x.astype(np.float64) for x in self.given]
        self.title = _title(f)
        if not self.given:
            raise InputError(f"check_gradients: {self.title} got no float input to check")

    def __call__(self, *floats: Any) -> Any:
        args = list(self.inputs)
        for position, x in zip(self.positions, floats, strict=True):
            args[position] = x
        return self.f(*args)

    def values(self, floats: Sequence[Array]) -> list[Array]:
        """What it computes, as arrays, without a graph; Tensors go in, as when it is recorded."""
        with no_grad(), np.errstate(all="ignore"):
            result = self(*(Tensor(x) for x in floats))
        return [np.asarray(plain(part)) for part in _parts(result)]

    def gradients(self, floats: Sequence[Array], ws: Sequence[Array]) -> list[Array]:
        """The engine's answer, asked twice: Jᵀw for every float input, of its shape and dtype."""
        y, pull = vjp(self, *floats)
        g = tuple(ws) if isinstance(y, (tuple, list)) else ws[0]
        once, again = pull(g), pull(g)
        if len(floats) == 1:
            once, again = (once,), (again,)
        found = [np.asarray(plain(x)) for x in once]
        for name, x, first, second in zip(self.names, floats, found, again, strict=True):
            if first.shape != x.shape or first.dtype != x.dtype:
                raise GradientError(
                    f"{self.title}: expected a gradient of argument {name!r} of shape {x.shape} "
                    f"and dtype {x.dtype}, got {first.shape} and {first.dtype}"
                )
            if not np.array_equal(first, np.asarray(plain(second)), equal_nan=True):
                raise GradientError(
                    f"{self.title}: the gradient of argument {name!r} is another one when backward "
                    "runs again on the same graph: a rule keeps a state, or writes into its "
                    "arguments"
                )
        return found

    def derivative(self, rng: np.random.Generator) -> _Function:
        """Order 2 differentiates <gradient of <w, f>, v>, for a random w and v."""
        ws = [_cotangent(rng, y) for y in self.values(self.exact)]
        vs = [_cotangent(rng, x) for x in self.given]

        def slope(*floats: Any) -> Any:
            y, pull = vjp(self, *floats)
            found = pull(tuple(ws) if isinstance(y, (tuple, list)) else ws[0])
            found = found if len(floats) > 1 else (found,)
            return sum(np.sum(g * v) for g, v in zip(found, vs, strict=True))

        slope.__name__ = f"gradient of {self.title}"
        return _Function(slope, self.given, self.names)


def _parts(result: Any) -> Sequence[Any]:
    return result if isinstance(result, (tuple, list)) else [result]


def _float_array(x: Any) -> Array | None:
    data = plain(x)
    if isinstance(data, (float, list)) or hasattr(data, "dtype"):
        data = np.array(data)
        return data if data.dtype.kind == "f" else None
    return None


def _title(f: Callable[..., Any]) -> str:
    op = REGISTRY.get(f) if isinstance(f, Hashable) else None
    return op.name if op else getattr(f, "__name__", type(f).__name__)


def parameter_names(f: Callable[..., Any], inputs: Sequence[Any]) -> list[str]:
    """What to call the arguments: the Tensor's name, or the parameter's."""
    op = REGISTRY.get(f) if isinstance(f, np.ufunc) else None
    names = list(op.arguments) if op else []
    try:
        parameters = [] if op else list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # some C functions tell nothing
        parameters = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{i}]" for i in range(len(inputs) - len(names))]
        elif p.kind is not p.KEYWORD_ONLY:
            names.append(p.name)
    names += [f"argument {i}" for i in range(len(names), len(inputs))]
    return [getattr(x, "name", None) or name for x, name in zip(inputs, names, strict=False)]


def _cotangent(rng: np.random.Generator, like: Array) -> Array:
    """Random numbers of either sign, none near 0, which every float dtype holds exactly."""
    if like.dtype.kind != "f":
        return np.zeros(like.shape)
    sizes = 0.5 + rng.integers(0, 256, like.shape) / 256
    return np.asarray(sizes * rng.choice([-1.0, 1.0], like.shape), like.dtype)


@dataclass(frozen=True, slots=True)
class _Reference:
    """<w, f(x)> around one point x, in float64."""

    function: _Function
    ws: list[Array]
    outputs: list[Array]

    def along(self, argument: int, direction: Array) -> Quotient:
        """Its slope along a direction of one argument."""
        exact = self.function.exact

        def terms(t: float) -> Array:
            moved = list(exact)
            moved[argument] = exact[argument] + t * direction
            values = self.function.values(moved)
            with np.errstate(all="ignore"):
                return np.concatenate(
                    [
                        (w * y).ravel()
                        for w, y in zip(self.ws, values, strict=True)
                        if y.dtype.kind == "f"
                    ]
                )

        sizes = np.abs(exact[argument])
        moving = sizes[direction != 0].max(initial=0.0)
        scale = max(moving, sizes.max(initial=0.0) / 64) or 1.0
        eps = max(float(np.finfo(y.dtype).eps) for y in self.outputs if y.dtype.kind == "f")
        return difference_quotient(terms, float(scale), eps)

    def at(self, argument: int, index: int) -> Quotient:
        """Its partial derivative by one element, counted in the flattened array."""
        direction = np.zeros(self.function.exact[argument].shape)
        direction.flat[index] = 1.0
        return self.along(argument, direction)


def numerical_vjp(f: Callable[..., Any], *inputs: Any, g: Any = None) -> tuple[Array, ...]:
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
    function = _Function(f, inputs)
    outputs = function.values(function.exact)
    gs = [g] if len(outputs) == 1 else g
    if g is None:
        if len(outputs) > 1 or outputs[0].size != 1:
            raise InputError(
                f"numerical_vjp: g may be left out for one-element outputs only, {function.title} "
                f"gives {_shapes(outputs)}"
            )
        gs = [np.ones(outputs[0].shape)]
    reference = _Reference(function, [np.asarray(plain(part)) for part in gs], outputs)
    found = []
    for argument, x in enumerate(function.exact):
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


@dataclass(frozen=True, slots=True)
class GradientReport:
    """What `check_gradients` found in order; prints as a table.

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
        rows = [("argument", "shape", "dtype", "elements", "largest error", "steps")]
        for a in self.arguments:
            name = a.name if a.order == 1 else f"{a.name} (order {a.order})"
            size = math.prod(a.shape)
            low, high = (f"{step:.1e}" for step in a.steps)
            steps = low if low == high else f"{low} to {high}"
            rows.append(
                (name, str(a.shape), a.dtype, f"{a.checked} of {size}", f"{a.error:.1e}", steps)
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
        lines = [f"{self.function}: gradients agree with difference quotients", *table]
        lines += [
            f"kink suspected, not compared: {a.name}{_brackets(index)}"
            for a in self.arguments
            for index in a.kinks
        ]
        if self.forward is None:
            lines.append("forward mode: not available (a rule uses a function that has none)")
        else:
            lines.append(f"forward mode: <w, Jv> = <Jᵀw, v> to {self.forward:.1e}")
        return "\n".join(lines)


def check_gradients(
    f: Callable[..., Any], *inputs: Any, order: int = 1, seed: int = 0, max_elements: int = 50
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
    function = _Function(f, inputs)
    arguments: list[ArgumentReport] = []
    forward: float | None = 0.0
    for current in range(1, order + 1):
        if current > 1:
            function = function.derivative(rng)
        found, off = _check(function, current, rng, max_elements)
        arguments += found
        forward = None if off is None or forward is None else max(forward, off)
    return GradientReport(_title(f), tuple(arguments), forward)


def _check(
    function: _Function, order: int, rng: np.random.Generator, max_elements: int
) -> tuple[list[ArgumentReport], float | None]:
    outputs = _same_twice(function)
    ws = [_cotangent(rng, y) for y in outputs]
    reference = _Reference(function, ws, outputs)
    found = function.gradients(function.exact, ws)
    reports = []
    for argument in range(len(found)):
        comparison = _Comparison(reference, argument, found[argument], order)
        reports.append(comparison.run(rng, max_elements))
    if any(x.dtype != np.float64 for x in function.given):
        _check_own_dtype(function, ws, found, close=order == 1)
    return reports, _forward_mode(function, ws, rng)


def _same_twice(function: _Function) -> list[Array]:
    """The value of the function, if it has one."""
    first, second = (function.values(function.exact) for _ in range(2))
    if not any(y.dtype.kind == "f" for y in first):
        raise InputError(f"check_gradients: {function.title} must return a float, got {first}")
    for y, again in zip(first, second, strict=True):
        if y.dtype.kind != "f":
            continue
        if not np.isfinite(y).all():
            raise InputError(
                f"check_gradients: {function.title} is not finite at the given inputs: {y}"
            )
        if y.shape != again.shape or np.any(np.abs(y - again) > 64 * EPS * np.abs(y)):
            raise GradientError(
                f"check_gradients: {function.title} is not deterministic: two calls with the same "
                f"inputs gave different results, by up to {np.max(np.abs(y - again)):.3g}. Draw "
                "random numbers outside and pass them in, or seed a new generator in each call"
            )
    return first


def _check_own_dtype(function: _Function, ws: list[Array], exact: list[Array], close: bool) -> None:
    """Compare gradients of the inputs as given (float32) with those in float64.

    How far they may be apart, a second look in float64 tells: at inputs that are off by what
    float32 rounds away. Of second derivatives only shape, dtype and finiteness are checked.
    """
    y, _ = vjp(function, *function.given)
    own = [w.astype(plain(part).dtype) for w, part in zip(ws, _parts(y), strict=True)]
    found = function.gradients(function.given, own)
    eps = max(float(np.finfo(x.dtype).eps) for x in (*function.given, *own) if x.dtype.kind == "f")
    rng = np.random.default_rng(0)
    nudged = function.gradients(
        [x + 8 * eps * np.abs(x).max(initial=0) * _cotangent(rng, x) for x in function.exact], ws
    )
    for name, narrow, wide, near in zip(function.names, found, exact, nudged, strict=True):
        allowed = ROUNDINGS * eps * np.abs(wide).max(initial=0)
        allowed += 8 * np.abs(near - wide).max(initial=0)
        off = np.abs(narrow.astype(np.float64) - wide)
        if not np.all((off <= allowed) if close else np.isfinite(narrow)):
            index = np.unravel_index(np.argmax(np.nan_to_num(off, nan=np.inf)), off.shape)
            raise GradientError(
                f"{function.title}: the gradient of argument {name!r} is right in float64, but not "
                f"in {narrow.dtype}, at {name}{_brackets(index)}: got {narrow[index]!s}, in float64 "
                f"{wide[index]!s}. Likely cause: an overflow, or digits lost by cancellation"
            )


def _forward_mode(function: _Function, ws: list[Array], rng: np.random.Generator) -> float | None:
    """Compare <w, Jv> with <Jᵀw, v>; how far apart they are, relative to their terms."""
    vs = tuple(_cotangent(rng, x) for x in function.exact)
    try:
        _, tangents = jvp(function, tuple(function.exact), vs)
    except UnsupportedError:
        return None
    tangents = tangents if isinstance(tangents, (tuple, list)) else [tangents]
    gradients = function.gradients(function.exact, ws)
    there = [w * np.asarray(plain(t)) for w, t in zip(ws, tangents, strict=True)]
    back = [g * v for g, v in zip(gradients, vs, strict=True)]
    one, other = (float(sum(np.sum(part) for part in parts)) for parts in (there, back))
    size = sum(float(np.abs(part).sum()) for part in (*there, *back))
    off = abs(one - other) / size if size else 0.0
    if not off <= LIMIT:
        raise GradientError(
            f"check_gradients({function.title}): forward mode disagrees with backward: <w, Jv> = "
            f"{one:.9g}, <Jᵀw, v> = {other:.9g}. Likely cause: a rule is not linear in g, or reads "
            "values in a way that leaves the graph"
        )
    return off


@dataclass(slots=True)
class _Comparison:
    """One argument's gradient and the quotients it is compared with, as they are made."""

    reference: _Reference
    argument: int
    gradient: Array
    order: int = 1
    what: str = "gradient"
    quotients: dict[int, Quotient] = field(default_factory=dict)

    def run(self, rng: np.random.Generator, max_elements: int) -> ArgumentReport:
        """Compare, element by element and all at once.

        Raises:
            GradientError: if they disagree.
        """
        for index in _chosen(self.gradient, rng, max_elements):
            self.element(index)
        if self.gradient.size > max_elements:
            self.everything(rng)
        function = self.reference.function
        compared = {i: q for i, q in self.quotients.items() if q.smooth}
        if self.quotients and not compared:
            q = next(iter(self.quotients.values()))
            raise GradientError(
                f"{function.title}: no element of argument {function.names[self.argument]!r} could "
                f"be compared. {_corner(q)}; move the inputs off the kink"
            )
        flat = self.gradient.ravel()
        steps = [q.step for q in compared.values()] or [math.nan]
        given = function.given[self.argument]
        return ArgumentReport(
            name=function.names[self.argument],
            order=self.order,
            shape=given.shape,
            dtype=str(given.dtype),
            checked=len(compared),
            error=max((q.relative_error(flat[i]) for i, q in compared.items()), default=0.0),
            steps=(min(steps), max(steps)),
            kinks=tuple(self._index(i) for i, q in self.quotients.items() if not q.smooth),
        )

    def element(self, index: int) -> None:
        self.quotients[index] = q = self.reference.at(self.argument, index)
        if not q.accepts(self.gradient.flat[index]):
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
        found = float((self.gradient * direction).sum())
        return not q.smooth or q.accepts(found)

    def _index(self, index: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(index, self.gradient.shape))

    def failure(self, index: int, engine: Array | None = None) -> GradientError:
        """The whole story of a wrong element."""
        function, q = self.reference.function, self.quotients[index]
        name = function.names[self.argument]
        found = float(self.gradient.flat[index])
        for i in _chosen(self.gradient, np.random.default_rng(0), 20):
            if i not in self.quotients:
                self.quotients[i] = self.reference.at(self.argument, i)
        where = f"{name}{_brackets(self._index(index))}"
        lines = [f"{function.title}: the {self.what} of argument {name!r} is wrong at {where}"]
        numbers = {self.what: f"{found:.10g}"}
        if engine is not None:
            numbers["engine"] = f"{float(engine.flat[index]):.10g}"
        numbers["difference quotient"] = f"{q.value:.10g}  (± {q.error:.1g}, step {q.step:.1g})"
        if q.smooth and q.value and found:
            numbers["ratio"] = f"{found / q.value:.6g}"
        lines += [f"  {key:<21}{text}" for key, text in numbers.items()]
        if not q.smooth:
            lines.append(f"  {_corner(q)}; the {self.what} is not even between the two")
        cause = likely_cause(self.gradient, self.quotients, self.shapes())
        lines.append(f"  likely cause: {cause}")
        suspect = _suspect(function) if engine is None else None
        if suspect:
            lines.append(f"  {suspect}")
        shown = _shapes(function.given, function.names)
        lines.append(f"  checked with {shown}; result {_shapes(self.reference.outputs)}")
        return GradientError("\n".join(lines))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes that a forgotten sum or mean may show by a factor."""
        function = self.reference.function
        shapes = {f"of {n}": x.shape for n, x in zip(function.names, function.given, strict=True)}
        if len(self.reference.outputs) == 1:
            shapes["of the result"] = self.reference.outputs[0].shape
        return shapes


def compare_with_engine(f: Callable[..., Any], derived: Any, inputs: Sequence[Any]) -> bool:
    """Compare a gradient derived by hand with the engine's; quotients decide who is right.

    Args:
        f: the function, with one element as its result.
        derived: its gradient at the inputs: an array, a tuple, or a dict by parameter name.
        inputs: where.

    Returns:
        Whether it could be done: not at a kink, nor where `f` is not finite.

    Raises:
        GradientError: if the derivation is wrong, or the engine.
        InputError: if `f` has more than one element as its result, or `derived` does not fit it.
    """
    function = _Function(f, inputs)
    outputs = function.values(function.exact)
    if len(outputs) > 1 or outputs[0].size != 1:
        raise InputError(f"{function.title}: must return one element, got {_shapes(outputs)}")
    if not np.isfinite(outputs[0]).all():
        return False
    ws = [np.ones(outputs[0].shape)]
    engine = function.gradients(function.exact, ws)
    reference = _Reference(function, ws, outputs)
    for argument, found in _by_argument(derived, function):
        own = engine[argument]
        comparison = _Comparison(reference, argument, found, what="derivation")
        if found.shape != own.shape:
            raise GradientError(_wrong_shape(function, argument, found, own))
        off = np.nan_to_num(np.abs(found - own), nan=np.inf).ravel()
        for i in np.argsort(-off)[:3]:
            if off[i] <= 1e-9 * np.abs(own).max():
                break
            q = comparison.quotients[i] = reference.at(argument, int(i))
            if not q.smooth:
                return False
            if not q.accepts(found.flat[i]):
                raise comparison.failure(i, own)
            if not q.accepts(own.flat[i]):
                raise _Comparison(reference, argument, own, quotients={i: q}).failure(i)
    return True


def _by_argument(derived: Any, function: _Function) -> Iterator[tuple[int, Array]]:
    """Which gradient is of which float input."""
    names = parameter_names(function.f, function.inputs)
    if isinstance(derived, dict):
        unknown = set(derived) - {names[i] for i in function.positions}
        if unknown:
            raise InputError(
                f"{function.title}: the derivation names {sorted(unknown)}, but its float "
                f"arguments are {[names[i] for i in function.positions]}"
            )
        parts = [derived.get(names[i]) for i in function.positions]
    elif isinstance(derived, (tuple, list)):
        every = len(derived) == len(function.inputs)
        parts = [derived[i] for i in function.positions] if every else list(derived)
        if len(parts) != len(function.positions):
            raise InputError(
                f"{function.title}: the derivation gives {len(derived)} gradients for "
                f"{len(function.positions)} float arguments"
            )
    else:
        parts = [derived]
    for argument, part in enumerate(parts):
        if part is not None:
            yield argument, np.asarray(plain(part), dtype=np.float64)


def _wrong_shape(function: _Function, argument: int, found: Array, own: Array) -> str:
    """What to say, and which sum is missing, if one is."""
    name = function.names[argument]
    text = f"{function.title}: expected a derivation of argument {name!r} of shape {own.shape}"
    text += f", got {found.shape}"
    for axis in range(found.ndim):
        summed = found.sum(axis=axis)
        if summed.shape == own.shape and np.allclose(summed, own):
            return f"{text}. Likely cause: missing sum over axis {axis}"
    if found.T.shape == own.shape and np.allclose(found.T, own):
        return f"{text}. Likely cause: transposed"
    return text


def _chosen(gradient: Array, rng: np.random.Generator, count: int) -> Sequence[int]:
    """Elements to compare: all, or the ends, the largest and some random ones."""
    if gradient.size <= count:
        return range(gradient.size)
    largest = np.argsort(-np.abs(gradient.ravel()))[: count // 4]
    random = rng.permutation(gradient.size)
    return [int(i) for i in dict.fromkeys([0, gradient.size - 1, *largest, *random])][:count]


# -- diagnosis ---------------------------------------------------------------------------------


def likely_cause(
    gradient: Array, quotients: dict[int, Quotient], shapes: dict[str, tuple[int, ...]]
) -> str:
    """Guess what is wrong with a gradient, from the elements that were measured.

    Args:
        gradient: the wrong one.
        quotients: the measured slopes, by index in the flattened gradient.
        shapes: of the arrays involved, `"of the result"` among them, to recognise factors.
    """
    sure = {i: q for i, q in quotients.items() if q.smooth and abs(q.value) > 1e4 * q.error}
    flat = gradient.ravel()
    found = np.array([flat[i] for i in sure])
    right = np.array([q.value for q in sure.values()])
    if not np.isfinite(flat).all():
        return "a division by zero or an overflow in the rule: the gradient is not finite"
    if not len(sure):
        return "unknown: the quotients are all nearly zero, the gradient is not"
    if not found.any():
        return (
            "the gradient is zero although the difference quotient is not: a rule returns zeros, "
            "or the graph is cut (detach(), .data, item())"
        )
    if gradient.ndim > 1 and len(sure) == gradient.size:
        whole = np.array([quotients[i].value for i in range(gradient.size)])
        backwards = whole.reshape(gradient.shape[::-1]).T
        if gradient.shape == backwards.shape and np.allclose(
            gradient, backwards, rtol=1e-5, atol=0
        ):
            return "transposed: the gradient is right for the transposed array"
    ratios = found / right
    wrong = np.abs(ratios - 1) > LIMIT
    factor = float(np.median(ratios[wrong])) if wrong.any() else 1.0
    if wrong.any() and np.allclose(ratios[wrong], factor, rtol=1e-4, atol=0):
        where = "" if wrong.all() else f", in {wrong.sum()} of {wrong.size} elements only"
        return _factor(factor, shapes) + where
    axis = _one_slice(found, list(sure.values()), shapes.get("of the result", ()))
    if axis is not None:
        return f"missing sum over axis {axis} of the result: one slice of g is used, not all"
    offset = found - right
    if len(sure) > 1 and np.allclose(offset, offset[0], rtol=1e-4, atol=0):
        return f"a constant is added: every element is off by {offset[0]:.6g}"
    return "no simple pattern: a term is missing, or the local gradient is another function's"


def _factor(factor: float, shapes: dict[str, tuple[int, ...]]) -> str:
    if math.isclose(factor, -1, rel_tol=1e-4):
        return "sign: the gradient is minus what it should be"
    sign = ", and the sign" if factor < 0 else ""
    size = abs(factor)
    names: dict[int, str] = {}
    for whose, shape in shapes.items():
        names.setdefault(math.prod(shape), f"the size {whose}")
        for axis, length in enumerate(shape):
            names.setdefault(length, f"the length of axis {axis} {whose}")
    names.pop(1, None)
    texts = []
    for n, text in {2: "", **names}.items():
        why = [text] if text else []
        if n == 2 and n in names:
            why = [names[2]]
        for value, shown in ((n, f"factor {n}"), (1 / n if n else 0, f"factor 1/{n}")):
            if n and math.isclose(size, value, rel_tol=1e-4):
                texts.append(shown + (f" (n = {n}: {', '.join(why)})" if why else ""))
    return (texts[0] if texts else f"constant factor {size:.6g}") + sign


def _one_slice(found: Array, quotients: Sequence[Quotient], shape: tuple[int, ...]) -> int | None:
    """The axis of the result of which only one slice went into the gradient."""
    for axis, length in enumerate(shape):
        for i in range(length if length > 1 else 0):
            parts = np.array(
                [np.take(q.shares.reshape(shape), i, axis=axis).sum() for q in quotients]
            )
            if parts.any() and np.allclose(parts, found, rtol=1e-2, atol=0):
                return axis
    return None


def _suspect(function: _Function) -> str | None:
    """The op whose own rule is wrong, found by checking every op of the graph alone."""
    tensors = [Tensor(x, requires_grad=True) for x in function.exact]
    result = function(*tensors)
    parts = result if isinstance(result, (tuple, list)) else [result]
    tracked = [y for y in parts if isinstance(y, Tensor) and y.requires_grad]
    nodes = topological_order(tracked)
    calls = [
        (node._op, node._values, node._options)
        for node in nodes
        if node._op is not None and node._op.name != "select"
    ]
    ops = list(dict.fromkeys(op.name for op, _, _ in calls))
    if len(ops) == 1:
        return f"suspected op: {ops[0]}, the only one in the graph"
    for op, values, options in calls[:200]:
        wrong = _wrong_argument(op, values, options)
        if wrong:
            return f"suspected op: {op.name}, whose rule of {wrong!r} fails alone, too"
    return f"ops in the graph, each right alone: {', '.join(ops)}" if ops else None


def _wrong_argument(op: Op, values: Sequence[Any], options: Any) -> str | None:
    names = [op.argument(i) for i in range(len(values))]
    fixed = [None if op.rule(i) is None else x for i, x in enumerate(values)]
    alone = [x for x in fixed if x is not None]

    def call(*floats: Any) -> Any:
        given = iter(floats)
        inputs = [x if own is None else next(given) for x, own in zip(values, fixed, strict=True)]
        return record(op, tuple(inputs), options)

    function = _Function(
        call, alone, [n for n, own in zip(names, fixed, strict=True) if own is not None]
    )
    rng = np.random.default_rng(0)
    outputs = function.values(function.exact)
    ws = [_cotangent(rng, y) for y in outputs]
    reference = _Reference(function, ws, outputs)
    for argument, gradient in enumerate(function.gradients(function.exact, ws)):
        for i in _chosen(gradient, rng, 8):
            if not reference.at(argument, i).accepts(gradient.flat[i]):
                return function.names[argument]
    return None


def _corner(q: Quotient) -> str:
    if not math.isfinite(q.left + q.right):
        return "the function is not finite on both sides: the input is at the end of its domain"
    return (
        f"kink suspected: the slopes to the left ({q.left:.6g}) and to the right ({q.right:.6g}) "
        f"disagree at step {q.step:.1g}"
    )


def _brackets(index: Sequence[Any]) -> str:
    return f"[{', '.join(str(int(i)) for i in index)}]" if len(index) else ""


def _shapes(arrays: Sequence[Array], names: Sequence[str] = ()) -> str:
    shown: Iterator[str] = (f"{x.shape} {x.dtype}" for x in arrays)
    if names:
        shown = (f"{name} {text}" for name, text in zip(names, shown, strict=True))
    return ", ".join(shown)
