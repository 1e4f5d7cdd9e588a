"""What is wrong with a wrong gradient: the numbers, in which op, and the likely cause.

Backward and difference quotients were compared with a random cotangent; here the same mistake is
looked for with a cotangent of 1 at one element of the result, so that the numbers shown are local
gradients. The cause is guessed from all elements that were measured: a constant ratio is a
forgotten factor, a ratio of zero in some elements a forgotten branch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_edu.errors import AutogradError, GradientError
from tinygrad_edu.graph import topological_order
from tinygrad_edu.op import Array, Op
from tinygrad_edu.quotient import LIMIT, Quotient
from tinygrad_edu.subject import (
    Reference,
    Subject,
    brackets,
    chosen,
    float_array,
    random_cotangent,
    several,
    shapes_of,
)
from tinygrad_edu.tensor import Tensor, record

UNKNOWN = "unknown: the quotients are all nearly zero, the gradient is not"
NO_PATTERN = "no simple pattern: a term is missing, or the local gradient is another function's"
NOT_COMMON = "no pattern that all failing cases show"


@dataclass(frozen=True, slots=True)
class Cause:
    """A guess.

    Attributes:
        readings: what it may be, {kind: text}: with two rows a factor of 2 is also one of n.
        evidence: how many elements it was read from.
    """

    readings: Mapping[str, str]
    evidence: int

    def __str__(self) -> str:
        return list(self.readings.values())[-1]


def common_cause(causes: Sequence[Cause]) -> str:
    """What the causes read from several failing cases have in common.

    A small case shows patterns by chance (a ratio of 2 where the numbers are 1 and 2), so only
    those with most evidence count.
    """
    causes = [cause for cause in causes if UNKNOWN not in cause.readings]
    if not causes:
        return UNKNOWN
    enough = min(4, max(cause.evidence for cause in causes))
    telling = sorted(
        (cause for cause in causes if cause.evidence >= enough), key=lambda cause: -cause.evidence
    )
    for kind in telling[0].readings:
        if all(kind in cause.readings for cause in telling):
            clearest = min(telling, key=lambda cause: len(cause.readings))
            return clearest.readings[kind]
    if any(NO_PATTERN in cause.readings for cause in telling):
        return NO_PATTERN
    return NOT_COMMON


class WrongGradient(GradientError):
    """An element of a gradient that is not the slope there.

    The text is worked out by `explained`, and not before: a search meets hundreds of these.

    Attributes:
        reference: the slopes, with the cotangent that showed it.
        argument: whose gradient it is.
        index: of the element, in the flattened gradient.
        gradient: the whole gradient.
        quotients: what was measured of it, by index.
        what: "gradient" if it is the engine's, "derivation" if a person's.
        engine: the engine's gradient, if a person's is wrong.
    """

    def __init__(
        self,
        reference: Reference,
        argument: int,
        index: int,
        gradient: Array,
        quotients: dict[int, Quotient],
        what: str = "gradient",
        engine: Array | None = None,
    ) -> None:
        super().__init__(f"{reference.subject.title}: the {what} is wrong")
        self.reference, self.argument, self.index = reference, argument, index
        self.gradient, self.quotients = gradient, quotients
        self.what, self.engine = what, engine

    @property
    def name(self) -> str:
        """Of the argument."""
        return self.reference.subject.names[self.argument]

    def cause(self) -> Cause:
        """Guess it from up to 20 elements."""
        if not self.quotients[self.index].smooth:
            return Cause({"not smooth": self._simplest()[2].why_not_smooth()}, 100)
        if self.what == "gradient" and self._ignores_g():
            return Cause({"ignores g": "g is not used: with twice the g it is the same"}, 100)
        for i in chosen(self.gradient, np.random.default_rng(0), 20):
            if i not in self.quotients:
                self.quotients[i] = self.reference.at(self.argument, i)
        subject = self.reference.subject
        shapes = {name: x.shape for name, x in zip(subject.names, subject.given, strict=True)}
        if len(self.reference.outputs) == 1:
            shapes["the result"] = self.reference.outputs[0].shape
        return likely_cause(
            self.gradient,
            self.quotients,
            shapes,
            subject.exact[self.argument],
            self.name,
            self.what,
        )

    def _ignores_g(self) -> bool:
        reference = self.reference
        twice = [2 * w for w in reference.ws]
        try:
            again = reference.subject.gradients(reference.subject.exact, twice)[self.argument]
        except AutogradError:
            return False
        return bool(self.gradient.any() and np.array_equal(again, self.gradient))

    def explained(self, cause: str = "", hints: Sequence[str] = ()) -> GradientError:
        """The whole story.

        Args:
            cause: the likely one, if more is known than this case shows.
            hints: more lines.
        """
        subject = self.reference.subject
        place = np.unravel_index(self.index, self.gradient.shape)
        lines = [
            f"{subject.title}: the {self.what} of argument {self.name!r} is wrong at "
            f"{self.name}{brackets(place)}",
            *self._numbers(),
            f"likely cause: {cause or self.cause()}",
            *hints,
        ]
        if self.engine is None:
            lines += suspects(subject)
        shown = shapes_of(subject.given, subject.names)
        lines.append(f"inputs {shown}; result {shapes_of(self.reference.outputs)}")
        return GradientError("\n  ".join(lines))

    def _numbers(self) -> list[str]:
        """Both numbers, with the simplest cotangent that shows that they differ."""
        upstream, found, q = self._simplest()
        rows = {self.what: f"{found:.10g}"}
        if self.engine is not None:
            rows["engine"] = f"{float(self.engine.flat[self.index]):.10g}"
        rows["difference quotient"] = f"{q.value:.10g}  (± {q.error:.1g}, step {q.step:.1g})"
        if q.smooth and q.value and found:
            rows["ratio"] = f"{found / q.value:.6g}"
        if upstream:
            rows["upstream gradient"] = upstream
        lines = [f"{key:<20} {text}" for key, text in rows.items()]
        if not q.smooth and math.isfinite(q.left + q.right):
            lines.append(
                f"the {self.what} is not even between the two slopes, to the left and to the right"
            )
        return lines

    def _simplest(self) -> tuple[str, float, Quotient]:
        """The cotangent in words, and the two sides."""
        reference, found = self.reference, float(self.gradient.flat[self.index])
        q = self.quotients[self.index]
        if self.engine is not None or self.what != "gradient":
            return "", found, q
        subject, single = reference.subject, sum(y.size for y in reference.outputs) == 1
        for text, ws in self._unit_cotangents():
            one = Reference(subject, ws, reference.outputs)
            try:
                alone = float(subject.gradients(subject.exact, ws)[self.argument].flat[self.index])
            except AutogradError:
                break
            at_one = one.at(self.argument, self.index, alone)
            if not at_one.accepts(alone):
                return subject.weights if single else text, alone, at_one
        return "random numbers g; no single element of the result shows it", found, q

    def _unit_cotangents(self) -> Iterator[tuple[str, list[Array]]]:
        """1 at one element of the result, 0 elsewhere; first those that the input moves most."""
        outputs = self.reference.outputs
        floats = [i for i, y in enumerate(outputs) if y.dtype.kind == "f"]
        places = [(i, k) for i in floats for k in range(outputs[i].size)]
        shares = self.quotients[self.index].shares
        if shares is None or not np.isfinite(shares).all():
            shares = np.zeros(len(places))
        most = [int(i) for i in np.argsort(-np.abs(shares), kind="stable")]
        others = np.random.default_rng(0).permutation(len(places))
        for number in list(dict.fromkeys([*most[:8], *map(int, others[:16])])):
            i, k = places[number]
            ws = [np.zeros(y.shape) for y in outputs]
            ws[i].flat[k] = 1.0
            which = f" {i}" if len(outputs) > 1 else ""
            where = brackets(np.unravel_index(k, outputs[i].shape))
            yield f"g = 1 at result{which}{where}, 0 elsewhere", ws


# -- the cause ---------------------------------------------------------------------------------


def likely_cause(
    gradient: Array,
    quotients: Mapping[int, Quotient],
    shapes: Mapping[str, tuple[int, ...]],
    x: Array,
    name: str = "x",
    what: str = "gradient",
) -> Cause:
    """Guess what is wrong with a gradient, from the elements that were measured.

    Args:
        gradient: the wrong one.
        quotients: the measured slopes, by index in the flattened gradient.
        shapes: of the inputs and of `"the result"`, to recognise a factor or a forgotten sum.
        x: the argument itself, to tell on which branch it is wrong.
        name: of the argument.
        what: "gradient" if it is the engine's, "derivation" if a person's.
    """
    smooth = {i: q for i, q in quotients.items() if q.smooth}
    sure = [i for i, q in smooth.items() if abs(q.value) > 1e4 * q.error]
    found = np.array([gradient.flat[i] for i in sure])
    right = np.array([smooth[i].value for i in sure])
    if not np.isfinite(gradient).all():
        text = "a division by zero or an overflow in the rule: the gradient is not finite"
        return Cause({"not finite": text}, len(quotients))
    wrong = np.abs(found - right) > 10 * LIMIT * np.abs(right)
    if not wrong.any():
        return Cause(_wrong_where_flat(gradient, smooth, x, name), len(sure))
    readings: dict[str, str] = {}
    if not found.any():
        readings["zero"] = f"the {what} is zero although the difference quotient is not"
        if what == "gradient":
            readings["zero"] += (
                ": a rule returns zeros, or the graph is cut (detach(), .data, item())"
            )
        readings["zero on one branch"] = readings["zero"]  # nothing of the other one was seen
    elif gradient.ndim > 1 and gradient.shape == gradient.T.shape and len(sure) == gradient.size:
        whole = right[np.argsort(sure)].reshape(gradient.shape)
        if np.allclose(gradient.T, whole, rtol=1e-5, atol=0):
            readings["transposed"] = "transposed: the gradient is right for the transposed array"
    if not readings:
        readings = _constant_ratio(found, right, wrong, shapes, x.ravel()[sure], name)
    if not readings:
        readings = _misplaced(found, right, [smooth[i] for i in sure], shapes)
    return Cause(readings or {NO_PATTERN: NO_PATTERN}, len(sure))


def _wrong_where_flat(
    gradient: Array, smooth: Mapping[int, Quotient], x: Array, name: str
) -> dict[str, str]:
    """All is right where there is a slope: then it is wrong where there is none."""
    if not any(abs(q.value) > 1e4 * q.error for q in smooth.values()):
        return {UNKNOWN: UNKNOWN}
    off = np.array([not q.accepts(gradient.flat[i]) for i, q in smooth.items()])
    numbers = x.ravel()[list(smooth)]
    text = (
        f"not zero on one branch: in {off.sum()} of {off.size} elements{_side(numbers, off, name)} "
        "the function is flat, the gradient is not 0"
    )
    return {"not zero": text}


def _constant_ratio(
    found: Array,
    right: Array,
    wrong: Array,
    shapes: Mapping[str, tuple[int, ...]],
    x: Array,
    name: str,
) -> dict[str, str]:
    ratios = found / right
    factor = float(ratios[wrong][0])
    if np.ptp(ratios[wrong]) > 1e-5 * np.abs(ratios[wrong]).max():
        return {}
    side = "" if wrong.all() else _side(x, wrong, name)
    only = "" if wrong.all() else f", in {wrong.sum()} of {wrong.size} elements only{side}"
    if not factor:
        text = f"zero on one branch: the gradient is 0, the difference quotient is not{only}"
        return {"zero on one branch": text}
    return {kind: text + only for kind, text in _factor(factor, shapes).items()}


def _side(x: Array, wrong: Array, name: str) -> str:
    """On which side of the others the wrong elements lie."""
    if wrong.all() or not wrong.any():
        return ""
    here, there = x[wrong], x[~wrong]
    for sign, few in ((-1, "<"), (1, ">")):
        if (sign * here).min() > (sign * there).max():
            zero = (sign * here).min() >= 0 >= (sign * there).max()
            bound = 0.0 if zero else float(here.max() if sign < 0 else here.min())
            return f" ({name} {few}{'' if zero else '='} {bound:.4g})"
    return ""


def _factor(factor: float, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """A factor in words: the sign, 2, 1/2, or a length that somebody divided by, or forgot to."""
    size, sign = abs(factor), ", and the sign" if factor < 0 else ""
    if factor < 0 and math.isclose(size, 1, rel_tol=1e-5):
        return {"sign": "sign: it is minus what it should be"}
    lengths = [(2, "")]
    for name, shape in shapes.items():
        lengths += [(n, f"the length of axis {axis} of {name}") for axis, n in enumerate(shape)]
        lengths.append((math.prod(shape), f"the size of {name}"))
    readings = {}
    for n, meaning in lengths:
        for text, value in ((f"factor {n}", n), (f"factor 1/{n}", 1 / max(n, 1))):
            if n > 1 and math.isclose(size, value, rel_tol=1e-5):
                kind = f"{'1/' if value < 1 else ''}{meaning or 2}{sign}"
                if meaning:
                    text += f" (n = {n} is {meaning})"
                    more = value > 1
                    text += ": a division by it is missing" if more else ": divided once too often"
                readings[kind] = text + sign
    plain = f"constant factor {size:.6g}{sign}"
    return readings or {plain: plain}


def _misplaced(
    found: Array, right: Array, quotients: Sequence[Quotient], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, str]:
    """Right numbers in the wrong place, a forgotten sum, a constant added."""
    axis = _one_slice(found, quotients, shapes.get("the result", ()))
    if axis is not None:
        text = f"missing sum over axis {axis} of the result: one slice of g is used, not all"
        return {f"sum {axis}": text}
    offset = found - right
    if len(found) > 1 and np.ptp(offset) <= 1e-5 * np.abs(offset).max():
        return {"constant": f"a constant is added: every element is off by {offset[0]:.6g}"}
    return {}


def _one_slice(found: Array, quotients: Sequence[Quotient], shape: Sequence[int]) -> int | None:
    """The axis of the result of which only one slice went into the gradient."""
    for axis, length in enumerate(shape):
        for i in range(length if length > 1 else 0):
            parts = [np.take(q.shares.reshape(shape), i, axis=axis).sum() for q in quotients]
            if np.any(parts) and np.allclose(parts, found, rtol=1e-2, atol=0):
                return axis
    return None


# -- the op ------------------------------------------------------------------------------------


def suspects(subject: Subject) -> list[str]:
    """The op whose own rule is wrong, found by checking every op of the graph alone."""
    result = subject(*(Tensor(x, requires_grad=True) for x in subject.exact))
    nodes = topological_order(y for y in several(result) if isinstance(y, Tensor) and y._tracked)
    calls = [
        (node._op, node._values, node._options)
        for node in nodes
        if node._op is not None and node._op.name != "select"
    ]
    names = list(dict.fromkeys(op.name for op, _, _ in calls))
    for op, values, options in calls[:200]:
        argument = _wrong_argument(op, values, options)
        if argument:
            found = f"suspected op: {op.name}, "
            if len(names) == 1:
                found += "the only one in the graph"
            else:
                found += f"whose rule of {argument!r} is wrong by itself"
            return [found, *_only_broadcast(op, values, options)]
    if len(names) == 1:
        return [f"suspected op: {names[0]}, the only one in the graph"]
    return [f"ops in the graph, each right by itself: {', '.join(names)}"] if names else []


def _only_broadcast(op: Op, values: Sequence[Any], options: Mapping[str, Any]) -> list[str]:
    """Whether a rule is right as soon as its arguments have the shape of the result."""
    arrays = [i for i, x in enumerate(values) if float_array(x) is not None]
    shapes = {np.shape(values[i]) for i in arrays}
    if len(arrays) < 2 or len(shapes) < 2:
        return []
    try:
        full = np.broadcast_shapes(*shapes)
        spread = [np.broadcast_to(x, full) if i in arrays else x for i, x in enumerate(values)]
        right = math.prod(full) > 1 and _wrong_argument(op, spread, options) is None
    except (ValueError, TypeError, AutogradError):  # it does not broadcast
        return []
    text = "only for broadcast inputs: its rule is right where all arguments have the same shape"
    return [text] if right else []


def _wrong_argument(op: Op, values: Sequence[Any], options: Mapping[str, Any]) -> str | None:
    """Check a few elements of one op alone."""
    varied = [i for i in range(len(values)) if op.rule(i) and float_array(values[i]) is not None]

    def alone(*floats: Any) -> Any:
        inputs = list(values)
        for i, x in zip(varied, floats, strict=True):
            inputs[i] = x
        return record(op, tuple(inputs), options)

    subject = Subject(alone, [values[i] for i in varied], [op.argument(i) for i in varied])
    rng = np.random.default_rng(0)
    outputs = subject.values(subject.exact)
    ws = [random_cotangent(rng, y) for y in outputs]
    reference = Reference(subject, ws, outputs)
    for argument, gradient in enumerate(subject.gradients(subject.exact, ws)):
        for i in chosen(gradient, rng, 8):
            found = float(gradient.flat[i])
            if not reference.at(argument, i, found).accepts(found):
                return subject.names[argument]
    return None


def replaced_rules(op: Op, vjps: Sequence[Any]) -> Op:
    """An op with other rules, to ask what its gradient would be."""
    return replace(op, vjps=tuple(vjps))
