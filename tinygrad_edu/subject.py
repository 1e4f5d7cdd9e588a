"""A function under test: what it computes, what backward claims, what differences measure.

With a random cotangent w, <w, f(x)> is one number, and moving one element of x makes it a function
of one variable. Its slope, measured by differences, is what backward claims in that element.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import GradientError, InputError
from tinygrad_edu.mode import Edge, no_grad, observe
from tinygrad_edu.op import REGISTRY, Array
from tinygrad_edu.quotient import EPS, Quotient, difference_quotient, noise_level
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.transforms import vjp

Function = Callable[..., Any]
ROUNDINGS = 1000  # how many roundings of its own dtype a float32 gradient may be off


class Subject:
    """A function as one of its float inputs alone, the other arguments fixed.

    Attributes:
        names: of the float inputs.
        given: the float inputs.
        exact: the float inputs in float64.
        title: name of the function.
        weights: how its result was made one number, if it was, for messages.
    """

    weights = ""

    def __init__(self, f: Function, inputs: Sequence[Any], names: Sequence[str] = ()) -> None:
        arrays = [float_array(x) for x in inputs]
        self.f, self.inputs = f, list(inputs)
        self.positions = [i for i, array in enumerate(arrays) if array is not None]
        names = names or parameter_names(f, inputs)
        self.names = [names[i] for i in self.positions]
        self.given: list[Array] = [array for array in arrays if array is not None]
        self.exact: list[Array] = [x.astype(np.float64) for x in self.given]
        self.title = title_of(f)
        if not self.given:
            raise InputError(
                f"{self.title}: got no float input to differentiate by; write 3.0 instead of 3, or "
                "pass np.asarray(x, float)"
            )

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
        ws = [random_cotangent(rng, y) for y in self.values(self.exact)]
        vs = [random_cotangent(rng, x) for x in self.given]

        def slope(*floats: Any) -> Any:
            y, pull = vjp(self, *floats)
            found = pull(tuple(ws) if isinstance(y, (tuple, list)) else ws[0])
            found = found if len(floats) > 1 else (found,)
            return sum(np.sum(g * v) for g, v in zip(found, vs, strict=True))

        slope.__name__ = f"gradient of {self.title}"
        subject = Subject(slope, self.given, self.names)
        subject.weights = "random numbers g and v: this is the slope of <gradient, v>"
        return subject


def float_array(x: Any) -> Array | None:
    """A copy as an array, None if it holds no floats."""
    data = plain(x)
    if isinstance(data, (float, list)) or hasattr(data, "dtype"):
        data = np.array(data)
        return data if data.dtype.kind == "f" else None
    return None


def title_of(f: Function) -> str:
    """What messages call a function."""
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


def random_cotangent(rng: np.random.Generator, like: Array) -> Array:
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

    def along(self, argument: int, direction: Array, suspicious: bool = False) -> Quotient:
        """The slope along a direction of one argument.

        Args:
            argument: which one.
            direction: of its shape.
            suspicious: look for rounding errors that the size of the result does not tell.
        """
        exact = self.subject.exact

        def terms(t: float) -> Array:
            moved = list(exact)
            moved[argument] = exact[argument] + t * direction
            try:
                results = self.subject.values(moved)
            except ValueError:  # it refuses what lies outside of its domain
                results = [y * np.nan if y.dtype.kind == "f" else y for y in self.outputs]
            pairs = zip(self.ws, results, strict=True)
            return np.concatenate([(w * y).ravel() for w, y in pairs if y.dtype.kind == "f"])

        sizes = np.abs(exact[argument])
        moving = sizes[direction != 0].max(initial=0.0)
        scale = float(max(moving, sizes.max(initial=0.0) / 64) or 1.0)
        eps = max(float(np.finfo(y.dtype).eps) for y in self.outputs if y.dtype.kind == "f")
        noise = max(self.sizes[0], noise_level(terms, scale)) if suspicious else 0.0
        q = difference_quotient(terms, scale, eps, noise)
        if suspicious and q.smooth:  # at 0 there may be no noise, a step away from it there is
            near = noise_level(lambda t: terms(q.step + t), q.step)
            q = replace(q, error=q.error + 4 * near / q.step)
        if suspicious and q.smooth and not q.value:  # flat, or its digits were lost on the way
            q = replace(q, error=q.error + EPS * self.sizes[1] / q.step)
        return q

    def at(self, argument: int, index: int, found: float = math.nan) -> Quotient:
        """The partial derivative by one element, counted in the flattened array.

        If it is not `found`, it is measured again, more suspicious of rounding.
        """
        direction = np.zeros(self.subject.exact[argument].shape)
        direction.flat[index] = 1.0
        q = self.along(argument, direction)
        if math.isnan(found) or (q.smooth and q.accepts(found)):
            return q
        q = self.along(argument, direction, suspicious=True)
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
        exact = self.subject.exact
        with np.errstate(all="ignore"):
            here = there = self.subject.gradients(exact, self.ws)
            with suppress(ValueError):  # it refuses what lies outside of its domain
                there = self.subject.gradients([x / 8 for x in exact], self.ws)
        _, value = self.sizes
        return [
            max(largest(g), min(largest(far), value / (largest(x) or 1.0)))
            for x, g, far in zip(exact, here, there, strict=True)
        ]


def largest(x: Array) -> float:
    """The largest size of a finite element; 0 if there is none."""
    return float(np.abs(x).max(initial=0.0, where=np.isfinite(x)))


def chosen(gradient: Array, rng: np.random.Generator, count: int) -> Sequence[int]:
    """Elements to compare: all, or the ends, the largest and some random ones."""
    if gradient.size <= count:
        return range(gradient.size)
    largest = np.argsort(-np.abs(gradient.ravel()))[: count // 4]
    random = rng.permutation(gradient.size)
    return [int(i) for i in dict.fromkeys([0, gradient.size - 1, *largest, *random])][:count]


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
