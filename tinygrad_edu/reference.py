"""What the registry knows about an op, as text: for `tinygrad-edu ops` and for docs/ops.md."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from tinygrad_edu import AutogradError, Tensor
from tinygrad_edu.domain import Domain
from tinygrad_edu.formula import TOO_LONG, formula
from tinygrad_edu.op import REGISTRY, Op, Rule
from tinygrad_edu.ops.special import register_scipy
from tinygrad_edu.tracer import INFIX
from tinygrad_edu.transforms import vjp

Call = tuple[tuple[Any, ...], Mapping[str, Any]]
_PLACES = (  # where users find functions, as they write it
    ("np", "numpy"),
    ("np.linalg", "numpy.linalg"),
    ("np.fft", "numpy.fft"),
    ("np.lib.stride_tricks", "numpy.lib.stride_tricks"),
    ("tg", "tinygrad_edu"),
    ("scipy.special", "scipy.special"),
    ("scipy.linalg", "scipy.linalg"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An op as a reference shows it.

    Attributes:
        name: as users write it: "np.linalg.inv", "tg.relu".
        signature: of the call: "np.sum(x, axis=None, keepdims=False)".
        others: other ways to reach it: "x @ y", "x.sum()".
        gradients: argument and formula, for each argument that has a rule.
        forward: of a function that is made of other ops, the expression; "..." if long.
        example: the shapes that the formulas were traced with; "" where they do not matter.
        notes: domain, and the sub-gradients taken where there is no derivative.
        sources: of the rules.
        module: where it is written: "elementwise".
    """

    name: str
    signature: str
    others: tuple[str, ...]
    gradients: tuple[tuple[str, str], ...]
    forward: str
    example: str
    notes: tuple[str, ...]
    sources: tuple[str, ...]
    module: str


def entry(op: Op, call: Call | None = None, longest: int = 120) -> Entry:
    """Describe an op.

    Args:
        op: a registered op.
        call: an example of a call, `(args, options)`; by default one is guessed.
        longest: number of characters from which on a formula is only "...".
    """
    call = call or guess(op)
    gradients, forward, example = _formulas(op, call, longest)
    name = public_name(op.function)
    return Entry(
        name=name,
        signature=f"{name}({', '.join(_parameters(op))})",
        others=tuple(_others(op)),
        gradients=tuple(gradients),
        forward=forward,
        example=example,
        notes=tuple(_notes(op)),
        sources=tuple(_sources(op)),
        module=module_of(op).rpartition(".")[2],
    )


def public_name(function: Callable[..., Any]) -> str:
    """The name of a function as users write it."""
    name = getattr(function, "__name__", str(function))
    for short, long in _PLACES:
        if getattr(sys.modules.get(long), name, None) is function:
            return f"{short}.{name}"
    return name


def module_of(op: Op) -> str:
    """The module that an op's rules are written in; that of its function if it has none."""
    functions = [rule.vjp for rule in op.rules if rule] or [op.composed or op.function]
    return str(getattr(functions[0], "__module__", None) or "")


def is_elementwise(op: Op) -> bool:
    """Whether every argument is an array of any shape, and so is the result."""
    several = len(op.arguments) > 1
    if not op.rules or op.partial or op.variadic or (several and not op.broadcasts):
        return False
    if inspect.Parameter.empty in op.options.values():
        return False
    try:
        with np.errstate(all="ignore"):
            result = op.function(*(np.full((2, 3), inside(r.domain)) for r in op.rules if r))
    except Exception:  # whatever a function makes of arguments that are not for it
        return False
    return getattr(result, "shape", None) == (2, 3)


# -- how it is called --------------------------------------------------------------------------


def _parameters(op: Op) -> Iterator[str]:
    """What stands between the brackets of a call; `out` is not for what is recorded."""
    if op.rules and not op.variadic:
        yield from op.arguments
        for option, default in op.options.items():
            yield option if default is inspect.Parameter.empty else f"{option}={_value(default)}"
        return
    by = op.composed or (op.bind if op.variadic else op.function)
    marked = False  # where arguments may only be given by name
    for p in inspect.signature(by).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not marked:
            yield "*"
        marked = marked or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        given = "" if p.default is p.empty else f"={_value(p.default)}"
        if p.name != "out":
            yield f"{star}{p.name}{given}"


def _value(default: Any) -> str:
    return str(getattr(default, "__name__", None) or repr(default))


def _others(op: Op) -> Iterator[str]:
    """Operators and methods that lead to the same op."""
    names = op.arguments or tuple(_parameters(op))
    if op.function in INFIX and len(names) == 2:
        yield f"{names[0]} {INFIX[op.function]} {names[1]}"
    elif op.function is np.negative:
        yield "-x"
    elif op.function is np.absolute:
        yield "abs(x)"
    elif op.name == "getitem":
        yield "x[index]"
    method = vars(Tensor).get(op.name)
    numpy_s = getattr(np, op.name, None) is op.function or op.name == "astype"
    if inspect.isfunction(method) and numpy_s and names:
        yield f"{names[op.name == 'compress']}.{op.name}()"  # a.compress(condition)


def guess(op: Op) -> Call | None:
    """Example arguments for an op that nobody has given any for; None if nothing fits."""
    if is_elementwise(op):
        return tuple(np.full((2, 3), inside(rule.domain)) for rule in op.rules if rule), {}
    required = [o for o, default in op.options.items() if default is inspect.Parameter.empty]
    count = 2 if op.variadic else len(op.arguments)
    if required or (op.composed is None and not op.rules):
        return None
    if op.composed:
        parameters = inspect.signature(op.composed).parameters.values()
        count = sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters)
    for shapes in product(_SHAPES, repeat=count):
        args = [_example(op, position, shape) for position, shape in enumerate(shapes)]
        listed = op.variadic or (op.composed is not None and count == 1)
        for given in ((tuple(args),), tuple(args)) if listed else (tuple(args),):
            try:
                with np.errstate(all="ignore"):
                    op.function(*given)
                inputs, options = op.bind(*given)
                first = next((i for i, rule in enumerate(op.rules) if rule), None)
                formula(op, first, inputs, options)
            except Exception:  # as above
                continue
            return given, {}
    return None


_SHAPES = ((2, 3), (3, 3), (3, 4), (4,), (3,), (2, 4, 5, 5), (3, 4, 2, 2))


def _example(op: Op, position: int, shape: tuple[int, ...]) -> Any:
    rule = op.rule(position) if op.rules else None
    if op.rules and rule is None:
        return np.zeros(shape, int)
    numbers = np.arange(1.0, math.prod(shape) + 1).reshape(shape) / 8
    if len(shape) == 2 and shape[0] == shape[1]:
        numbers = numbers + 4 * np.eye(shape[0])
    return numbers if rule is None or math.isinf(rule.domain.high) else np.full(shape, 0.5)


def inside(domain: Domain) -> float:
    """A number in a domain, away from its kinks, and neither 0 nor 1."""
    low, high = max(domain.low, -8.0), min(domain.high, 8.0)
    if domain.low == -math.inf and domain.high == math.inf:
        low, high = 0.0, 4.0
    points = [low + (high - low) * part for part in (0.3, 0.35, 0.4, 0.45)]
    return next(x for x in points if all(abs(x - kink) > 0.01 for kink in domain.kinks))


# -- formulas ----------------------------------------------------------------------------------


def _formulas(op: Op, call: Call | None, longest: int) -> tuple[list[tuple[str, str]], str, str]:
    """The formula of each argument, that of the forward pass, and for which shapes."""
    unknown = [(rule.argument.lstrip("*"), TOO_LONG) for rule in op.rules if rule]
    if call is None:
        return unknown, TOO_LONG, ""
    args, options = call
    try:
        if op.composed:
            names = _argument_names(op.composed, args)
            forward = formula(op, None, args, options, names=names, longest=longest)
            return [], forward, _shapes(names, args, options)
        inputs, chosen = op.bind(*args, **options)
        names = [op.argument(position) for position in range(len(inputs))]
        gradients = [
            (name, formula(op, position, inputs, chosen, longest=longest))
            for position, name in enumerate(names)
            if op.rule(position) and _takes_gradient(inputs[position])
        ]
    except AutogradError:  # the rule reads numbers
        return unknown, TOO_LONG, ""
    if is_elementwise(op):
        return gradients, "", ""
    told = {key: value for key, value in chosen.items() if value is not op.options.get(key)}
    return gradients, "", _shapes(names, inputs, told)


def _takes_gradient(value: Any) -> bool:
    """Whether it is no label or mask, and was not left out."""
    return value is not None and np.asarray(value).dtype.kind == "f"


def _argument_names(function: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    names: list[str] = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{i}]" for i in range(len(args) - len(names))]
        names.append(p.name)
    return names[: len(args)]


def _shapes(names: Sequence[str], values: Sequence[Any], options: Mapping[str, Any]) -> str:
    """What formulas were traced with: "x (2, 3), axis=1"."""
    parts = []
    for name, value in (*zip(names, values, strict=False), *options.items()):
        if isinstance(value, (np.ndarray, np.generic)):
            parts.append(f"{name} {np.shape(value)}")
        elif isinstance(value, (list, tuple)) and any(isinstance(x, np.ndarray) for x in value):
            parts += [f"{name}[{i}] {np.shape(x)}" for i, x in enumerate(value)]
        elif value is not None and not isinstance(value, np.random.Generator):
            parts.append(f"{name}={_value(value)}")
    return ", ".join(parts)


# -- where there is no derivative --------------------------------------------------------------


def _notes(op: Op) -> Iterator[str]:
    """The domain of each argument, and what the engine answers at its ends and kinks."""
    rules = [rule for rule in op.rules if rule]
    if op.variadic or None in op.rules:
        return
    for position, rule in enumerate(rules):
        if limits := _interval(op, position, rule):
            yield limits
    if is_elementwise(op):
        yield from _kinks(op)
    if any(rule.domain.distinct for rule in rules):
        yield from _ties(op)


def _interval(op: Op, position: int, rule: Rule) -> str:
    """Where an argument may lie.

    A domain may be narrower than that, to keep checks away from jumps: `np.floor` has infinitely
    many. So an end is shown only if there is no value outside, as far as one can ask.
    """
    ends = []
    for end, step in ((rule.domain.low, -0.5), (rule.domain.high, 0.5)):
        outside: Any = np.nan
        if math.isfinite(end):
            with suppress(Exception), np.errstate(all="ignore"):  # as above
                outside = op.function(*map(np.array, _replaced(op, position, end + step)))
        ends.append(_short(end) if math.isfinite(end) and np.isnan(outside).any() else "")
    low, high = ends
    if low and high:
        return f"{low} < {rule.argument} < {high}"
    return f"{rule.argument} > {low}" if low else f"{rule.argument} < {high}" if high else ""


def _replaced(op: Op, position: int, x: float) -> list[float]:
    """Usual arguments, but for one."""
    usual = [inside(rule.domain) for rule in op.rules if rule]
    return [*usual[:position], x, *usual[position + 1 :]]


def _kinks(op: Op) -> Iterator[str]:
    """What an elementwise op sends back where it has no derivative."""
    rules = [rule for rule in op.rules if rule]
    kinked = [position for position, rule in enumerate(rules) if rule.domain.kinks]
    if len(kinked) > 1:  # hypot, arctan2: where all are
        places = " = ".join(rules[position].argument for position in kinked)
        kink = rules[kinked[0]].domain.kinks[0]
        if slopes := _gradients(op, [kink] * len(rules)):
            yield f"{_each(slopes)} at {places} = {_short(kink)}"
    for position, rule in enumerate(rules):
        domain = rule.domain
        found: dict[str, list[str]] = {}
        for x in (*(domain.kinks if len(kinked) == 1 else ()), domain.low, domain.high):
            slopes = _gradients(op, _replaced(op, position, x)) if math.isfinite(x) else []
            if slopes and (x in domain.kinks or "∞" in slopes[position]):
                found.setdefault(slopes[position], []).append(_short(x))
        for slope, at in found.items():
            yield f"{slope} at {rule.argument} = {', '.join(at)}"


def _ties(op: Op) -> Iterator[str]:
    """What each gets that is equal to another: arguments, or elements of the only one."""
    if len(op.arguments) == 1:
        if slopes := _gradients(op, [np.array([1.0, 1.0])]):
            yield f"{_each(slopes[0].split(', '))} to two equal elements"
    elif is_elementwise(op) and len(op.arguments) == 2:
        yield f"{_each(_gradients(op, [1.0, 1.0]))} at a tie"
    elif is_elementwise(op):  # clip, between -1 and 1
        bounds = [2.0 * position - 3 for position in range(1, len(op.arguments))]
        for position, bound in enumerate(bounds, 1):
            first, tied = op.arguments[0], op.arguments[position]
            slopes = _gradients(op, [bound, *bounds])
            yield f"{slopes[0]} and {slopes[position]} at {first} = {tied}"


def _each(slopes: Sequence[str]) -> str:
    same = "½" if slopes[0] == "0.5" else slopes[0]
    return f"{same} each" if len(set(slopes)) == 1 else " and ".join(slopes)


def _gradients(op: Op, args: Sequence[Any]) -> list[str]:
    """What each argument gets, as text, where the result is one number; else nothing."""
    try:
        with np.errstate(all="ignore"):
            y, pull = vjp(op.function, *map(np.array, args))
            slopes = pull(np.ones_like(y)) if np.size(y) == 1 else ()
    except (AutogradError, TypeError, ValueError):
        return []
    slopes = slopes if isinstance(slopes, tuple) else (slopes,)
    return [", ".join(_short(float(v)) for v in np.ravel(slope)) for slope in slopes]


def _short(x: float) -> str:
    """A number as people write it."""
    return "NaN" if math.isnan(x) else {math.inf: "∞", -math.inf: "-∞"}.get(x) or f"{x + 0.0:g}"


# -- where it is from --------------------------------------------------------------------------


def _sources(op: Op) -> Iterator[str]:
    functions = [op.forward, op.composed, *(rule.vjp for rule in op.rules if rule)]
    found: dict[str, None] = {}
    for function in functions:
        text = inspect.getdoc(function) if hasattr(function, "__code__") else None
        for source in re.findall(r"^Source:\s*(.+(?:\n(?!\s*$).+)*)", text or "", re.MULTILINE):
            found[" ".join(source.split())] = None
    yield from found


def shortened(name: str) -> str:
    """A function as this project writes it: "np.max" for "numpy.max(x)"."""
    name = re.sub(r"\(.*", "", name.strip())
    return re.sub(r"^numpy\b", "np", re.sub(r"^tinygrad_edu\b", "tg", name))


def find(name: str) -> list[Op]:
    """The ops that a name may mean: "np.linalg.inv", "numpy.linalg.inv", "linalg.inv", "inv"."""
    name = shortened(name)
    with suppress(ImportError):
        register_scipy()  # which is otherwise done when a Tensor meets one of its functions
    by_name = {public_name(function): op for function, op in REGISTRY.items()}
    if name in by_name:
        return [by_name[name]]
    return [op for known, op in by_name.items() if known.endswith(f".{name}")]
