"""Property tests for gradients: search for a counter-example, and show the smallest one.

`check_op` searches the domain of an op, `check_derivation` compares a gradient that a person
derived with the engine's. Both draw inputs with Hypothesis, which also makes a counter-example
smaller before it is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np

try:
    from hypothesis import HealthCheck, Phase, given, reject, settings
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError:  # pragma: no cover
    raise ImportError(
        "check_op and check_derivation need Hypothesis: pip install 'tinygrad-edu[check]'"
    ) from None

from tinygrad_edu.backward import backpropagate, plain
from tinygrad_edu.check import (
    Comparison,
    Reference,
    Subject,
    check_gradients,
    parameter_names,
    several,
    shapes_of,
)
from tinygrad_edu.domain import POSITIVE, REAL, Domain
from tinygrad_edu.errors import GradientError, InputError
from tinygrad_edu.op import REGISTRY, Array, Op
from tinygrad_edu.tensor import Tensor, record

Strategy = st.SearchStrategy[Any]
Call = tuple[tuple[Any, ...], dict[str, Any]]
LARGEST = 4.0  # what is drawn from an infinite domain: exp, sinh and powers stay moderate
MARGIN = 0.125  # distance from kinks and from the ends of the domain


# -- what to draw ------------------------------------------------------------------------------


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


def _drawn(samples: Any) -> Strategy:
    """A strategy for calls from whatever `check_op` takes as samples."""
    if isinstance(samples, st.SearchStrategy):
        return samples
    if callable(samples):
        return st.integers(0, 2**32 - 1).map(lambda seed: samples(np.random.default_rng(seed)))
    return st.sampled_from(samples).flatmap(_filled)


# -- the search --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SearchReport:
    """A search that found nothing.

    Attributes:
        subject: what was checked.
        cases: how many inputs were tried.
    """

    subject: str
    cases: int

    def __str__(self) -> str:
        return f"{self.subject}: no counter-example in {self.cases} cases"


def _search(
    subject: str, cases: Strategy, check: Callable[[Any], None], examples: int | None
) -> SearchReport:
    """Call `check` on drawn cases; raise its `GradientError` for the smallest that fails."""
    tried: list[Any] = []
    causes: set[str] = set()

    @settings(
        max_examples=examples or settings().max_examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def search(case: Any) -> None:
        tried.append(case)
        try:
            check(case)
        except GradientError as error:
            causes.update(re.findall("likely cause: (.*)", str(error)))
            raise

    try:
        search()
    except GradientError as error:  # Hypothesis ends with the smallest case
        text = str(error) if _agree(causes) else _without_cause(str(error))
        raise GradientError(f"{text}\n  smallest case found: {_shown(tried[-1])}") from None
    return SearchReport(subject, len(tried))


def _agree(causes: set[str]) -> bool:
    """Whether what was guessed from each failing case may be said of all of them."""
    causes = {cause for cause in causes if not cause.startswith("unknown")}
    same = len({cause.split(" (")[0] for cause in causes}) == 1
    lengths = all(" (n = " in cause for cause in causes)
    return same or (lengths and len({cause.startswith("factor 1/") for cause in causes}) == 1)


def _without_cause(text: str) -> str:
    """A small case shows patterns by chance: a ratio of 2 where the numbers are 1 and 2."""
    return re.sub("likely cause: .*", "likely cause: no pattern that all failing cases show", text)


def _shown(case: Any) -> str:
    if isinstance(case, Mapping):
        return ", ".join(f"{key} = {_shown(value)}" for key, value in case.items())
    if isinstance(case, (tuple, list)):
        return f"[{', '.join(map(_shown, case))}]"
    if isinstance(case, np.ndarray):
        numbers = np.array2string(case, separator=", ", threshold=20).replace("\n", "")
        return numbers if case.size else f"an empty array of shape {case.shape}"
    return repr(case)


# -- check_op ----------------------------------------------------------------------------------


def check_op(
    op_or_function: Op | Callable[..., Any], samples: Any = None, *, examples: int | None = None
) -> SearchReport:
    """Search an op's whole domain for inputs at which its gradient, or anything else, is wrong.

    Its gradient and the gradient of that are compared with difference quotients, forward mode with
    backward, float32 with float64, Tensors with arrays; and its rules must not care how memory
    is laid out, write into anything, or run when nobody asks.

    Args:
        op_or_function: a registered op or its function, or any function made of ops.
        samples: how to call it, where the domains of the rules do not say (options, several
            inputs that do not broadcast, lists): a list of `(args, options)` whose parts may be
            Hypothesis strategies, as made by `values`; a strategy for such pairs; or a function of
            a `numpy.random.Generator` that returns one.
        examples: how many cases to try; by default what Hypothesis' profile says.

    Returns:
        How many cases were tried.

    Raises:
        GradientError: with the smallest case found.
        InputError: if it needs samples and there are none.
    """
    if isinstance(op_or_function, Op):
        op: Op | None = op_or_function
        function = op_or_function.function
    else:
        op, function = REGISTRY.get(op_or_function), op_or_function
    name = op.name if op else getattr(function, "__name__", "function")
    cases: Strategy
    if samples is None:
        if op is None or needs_samples(op):
            raise InputError(
                f"check_op: {name} needs samples, since its rules do not tell how to call it: "
                "pass a list of (args, options), as in [((values(REAL, (2, 3)),), {'axis': 0})]"
            )
        cases = operands([rule.domain for rule in op.rules if rule]).map(lambda args: (args, {}))
    else:
        cases = _drawn(samples)

    def check(case: Call) -> None:
        args, options = case
        _check_call(name, function, args, options)
        if op and not op.composed:
            _check_rules(op, args, options)

    return _search(name, cases, check, examples)


def needs_samples(op: Op) -> bool:
    """Whether the rules' domains alone do not say how to call an op."""
    lone = len(op.arguments) == 1 or op.broadcasts
    return not op.rules or None in op.rules or op.variadic or bool(op.options) or not lone


def _check_call(name: str, function: Callable[..., Any], args: Any, options: Any) -> None:
    """What everybody who calls it sees: values, gradients, types."""
    floats = dict(_floats(function, args, options))

    def call(*given: Any) -> Any:
        queue = iter(given)
        return function(*_replaced(args, queue), **_replaced(options, queue))

    call.__name__ = name
    for dtype in (np.float64, np.float32):
        arrays = [x.astype(dtype) for x in floats.values()]
        with np.errstate(all="ignore"):
            expected = call(*arrays)
        result = call(*map(Tensor, arrays))
        for one, other in zip(several(expected), several(result), strict=True):
            if isinstance(one, Tensor) or not isinstance(other, Tensor):
                raise GradientError(
                    f"{name}: expected arrays for arrays and Tensors for Tensors, got "
                    f"{type(one).__name__} and {type(other).__name__}"
                )
            data = np.asarray(other.data)
            limit = 64 * float(np.finfo(data.dtype).eps)  # sums may add up in another order
            close = np.allclose(data, one, rtol=limit, atol=limit, equal_nan=True)
            if data.shape != np.shape(one) or data.dtype != one.dtype or not close:
                raise GradientError(
                    f"{name}: expected {_shown(one)} ({one.dtype}), as for arrays, got "
                    f"{_shown(data)} ({data.dtype}) for Tensors"
                )
    narrow = [Tensor(x, dtype=np.float32, name=key) for key, x in floats.items()]
    check_gradients(call, *narrow, order=2, max_elements=6)


def _floats(function: Callable[..., Any], args: Any, options: Any) -> Iterator[tuple[str, Array]]:
    """The float arrays in a call, with names, in the order in which `_replaced` meets them."""
    for key, part in (*zip(parameter_names(function, args), args, strict=True), *options.items()):
        if isinstance(part, (list, tuple)):
            for i, item in enumerate(part):
                if _is_float(item):
                    yield f"{key}[{i}]", item
        elif _is_float(part):
            yield key, part


def _replaced(part: Any, queue: Iterator[Any]) -> Any:
    if isinstance(part, (list, tuple)):
        return type(part)(_replaced(item, queue) for item in part)
    if isinstance(part, dict):
        return {key: _replaced(value, queue) for key, value in part.items()}
    return next(queue) if _is_float(part) else part


def _is_float(part: Any) -> bool:
    return isinstance(part, (np.ndarray, np.generic)) and part.dtype.kind == "f"


def _check_rules(op: Op, args: Any, options: Any) -> None:
    """What only the engine sees: the rules themselves, called with unusual arrays."""
    inputs, options = op.bind(*args, **options)
    floats = [i for i, x in enumerate(inputs) if _is_float(x) and op.rule(i)]
    out = op.forward(*inputs, **options)
    rng = np.random.default_rng(0)
    g = _mapped(lambda y: rng.uniform(-1, 1, np.shape(y)).astype(y.dtype), out)

    def shares(layout: Callable[[Array], Array]) -> list[Array]:
        arrays = [_mapped(layout, x) if _is_float(x) else x for x in inputs]
        cotangent, result = _mapped(layout, g), _mapped(layout, out)
        return [
            op.vjps[0](cotangent, result, *arrays, position=i, **options)
            if op.variadic
            else op.vjps[i](cotangent, result, *arrays, **options)
            for i in floats
        ]

    try:
        expected = shares(lambda x: x)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise GradientError(f"{op.name}: a rule writes into g, out or x") from error
    for description, layout in LAYOUTS.items():
        for position, one, other in zip(floats, expected, shares(layout), strict=True):
            if not np.allclose(one, other, rtol=1e-12, atol=1e-12 * np.abs(one).max(initial=0)):
                raise GradientError(
                    f"{op.name}: the rule of argument {op.argument(position)!r} gives {_shown(one)}"
                    f" for contiguous arrays, and {_shown(other)} when they are {description}"
                )
    for position in floats:
        _check_only_asked(op, inputs, options, position)


def _check_only_asked(op: Op, inputs: Any, options: Any, position: int) -> None:
    """With one tracked input, only its rule may run."""
    called: list[int] = []

    def watched(i: int, vjp: Any) -> Any:
        def rule(*args: Any, **options: Any) -> Any:
            called.append(options.get("position", i))
            return vjp(*args, **options)

        return rule

    own = replace(op, vjps=tuple(vjp and watched(i, vjp) for i, vjp in enumerate(op.vjps)))
    x = Tensor(inputs[position], requires_grad=True)
    result = record(own, (*inputs[:position], x, *inputs[position + 1 :]), options)
    y = several(result)[0]
    backpropagate({y: np.ones(y.shape, y.dtype)})
    if set(called) - {position}:
        raise GradientError(f"{op.name}: rules of {called} ran, only {position} was asked for")


def _mapped(layout: Callable[[Array], Array], value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_mapped(layout, part) for part in value)
    array = layout(np.array(value))
    array.flags.writeable = False  # a rule that writes into what it is given fails here
    return array


def _strided(x: Array) -> Array:
    steps = (slice(None, None, 2),) * x.ndim
    larger = np.zeros([2 * n for n in x.shape], x.dtype)
    larger[steps] = x
    return larger[(..., *steps)]


def _backwards(x: Array) -> Array:
    steps = (slice(None, None, -1),) * x.ndim
    return x[(..., *steps)].copy()[(..., *steps)]


LAYOUTS: Mapping[str, Callable[[Array], Array]] = {
    "every second element of larger arrays": _strided,
    "views with negative strides": _backwards,
    "in Fortran's order": lambda x: np.array(x, order="F"),
}


# -- check_derivation --------------------------------------------------------------------------


def check_derivation(
    f: Callable[..., Any],
    derivation: Callable[..., Any],
    *inputs: Any,
    examples: int | None = None,
) -> SearchReport:
    """Search for inputs at which a gradient derived by hand is not the gradient of `f`.

    Args:
        f: the function, of arrays or Tensors alike, with one element as its result.
        derivation: takes the same arguments, as arrays, and returns the gradient: an array for
            the first argument, a tuple (None for an argument that was left out), or a dict by
            parameter name.
        *inputs: for each argument a Hypothesis strategy (`values(...)`), or an example: then other
            numbers in an array of its shape are tried too, positive if all of it is, between 0
            and 1 if all of it is. Or a single strategy for tuples of arguments.
        examples: how many cases to try; by default what Hypothesis' profile says.

    Returns:
        How many cases were tried.

    Raises:
        GradientError: with the smallest case found, both numbers, and the likely cause.
    """
    subject = getattr(f, "__name__", "function")
    whole = len(inputs) == 1 and isinstance(inputs[0], st.SearchStrategy)
    cases = inputs[0] if whole else st.tuples(*map(_around, inputs))

    def compare(case: Any) -> bool:
        args = case if isinstance(case, tuple) else (case,)
        copies = [x.copy() if isinstance(x, np.ndarray) else x for x in args]
        return _compare(f, derivation(*copies), args)

    def check(case: Any) -> None:
        if not compare(case):
            reject()

    report = _search(subject, cases, check, examples)
    if not any(isinstance(x, st.SearchStrategy) for x in inputs):
        compare(tuple(plain(x) for x in inputs))
    return report


def _compare(f: Callable[..., Any], derived: Any, inputs: Sequence[Any]) -> bool:
    """Compare with the engine; where they differ, difference quotients decide who is right.

    Returns:
        Whether it could be done: not at a kink, nor where `f` is not finite.
    """
    subject = Subject(f, inputs)
    outputs = subject.values(subject.exact)
    if len(outputs) > 1 or outputs[0].size != 1:
        raise InputError(f"{subject.title}: must return one element, got {shapes_of(outputs)}")
    if not np.isfinite(outputs[0]).all():
        return False
    ws = [np.ones(outputs[0].shape)]
    reference = Reference(subject, ws, outputs)
    claims = zip(_by_argument(derived, subject), subject.gradients(subject.exact, ws), strict=True)
    for argument, (found, engine) in enumerate(claims):
        if found is None:
            continue
        if found.shape != engine.shape:
            raise GradientError(_wrong_shape(subject, argument, found, engine))
        off = np.nan_to_num(np.abs(found - engine), nan=np.inf).ravel()
        for i in map(int, np.argsort(-off)[:3]):
            if off[i] <= 1e-9 * np.abs(engine).max():
                break
            q = reference.at(argument, i, float(found.flat[i]))
            if not q.smooth:
                return False
            if not q.accepts(found.flat[i]):
                derivation = Comparison(reference, argument, found, "derivation", {i: q})
                raise derivation.failure(i, engine)
            if not q.accepts(engine.flat[i]):
                raise Comparison(reference, argument, engine, quotients={i: q}).failure(i)
    return True


def _by_argument(derived: Any, subject: Subject) -> list[Array | None]:
    """What was derived for each float input."""
    names = parameter_names(subject.f, [None] * len(subject.inputs))
    names = [names[i] for i in subject.positions]
    if isinstance(derived, Mapping):
        parts = [derived.get(name) for name in names]
        fits = set(derived) <= set(names)
    else:
        parts = list(derived) if isinstance(derived, (tuple, list)) else [derived]
        if len(parts) == len(subject.inputs):
            parts = [parts[i] for i in subject.positions]
        fits = len(parts) == len(names) or not isinstance(derived, (tuple, list))
    if not fits:
        given = sorted(derived) if isinstance(derived, Mapping) else len(derived)
        raise InputError(
            f"{subject.title}: expected gradients by {names}, one per float argument, got {given}"
        )
    parts += [None] * (len(names) - len(parts))
    return [None if part is None else np.asarray(plain(part), np.float64) for part in parts]


def _wrong_shape(subject: Subject, argument: int, found: Array, engine: Array) -> str:
    """What to say, and which sum is missing, if one is."""
    text = (
        f"{subject.title}: expected a derivation of argument {subject.names[argument]!r} of shape "
        f"{engine.shape}, got {found.shape}"
    )
    for axis in range(found.ndim):
        summed = found.sum(axis=axis)
        if summed.shape == engine.shape and np.allclose(summed, engine):
            return f"{text}\n  likely cause: missing sum over axis {axis}"
    if found.T.shape == engine.shape and np.allclose(found.T, engine):
        return f"{text}\n  likely cause: transposed"
    return text


def _around(example: Any) -> Strategy:
    """A strategy for arrays like an example."""
    if isinstance(example, st.SearchStrategy):
        return example
    x = plain(example)
    if not (isinstance(x, float) or _is_float(x)):
        return st.just(x)
    x = np.asarray(x)
    positive = x.size > 0 and bool(np.all(x > 0))
    domain = REAL if not positive else Domain(0.0, 1.0) if np.all(x < 1) else POSITIVE
    return values(domain, x.shape, x.dtype)
