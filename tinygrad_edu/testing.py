"""Property tests for gradients: search for a counter-example, and show the smallest one.

`check_op` searches the domain of an op with Hypothesis, which also makes a counter-example smaller
before it is shown. (`check_derivation` does so with a gradient that a person derived.)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from inspect import Parameter, signature
from typing import Any

import numpy as np

from tinygrad_edu.backward import backpropagate
from tinygrad_edu.check import NothingCompared, compare_gradients
from tinygrad_edu.diagnosis import WrongGradient, common_cause
from tinygrad_edu.domain import REAL, Domain
from tinygrad_edu.errors import AutogradError, GradientError, InputError, UnsupportedError
from tinygrad_edu.op import REGISTRY, Array, Op
from tinygrad_edu.strategies import Strategy, calls, draw, operands, shared_out, values
from tinygrad_edu.subject import Subject, parameter_names, random_cotangent, several
from tinygrad_edu.tensor import Tensor, record
from tinygrad_edu.trace import trace

__all__ = ["REAL", "Domain", "SearchReport", "check_op", "operands", "values"]

Call = tuple[tuple[Any, ...], dict[str, Any]]


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


@dataclass(frozen=True, slots=True)
class Story:
    """What a message says besides the numbers: the likely cause, and more lines."""

    cause: str = ""
    hints: Sequence[str] = ()


def search(
    subject: str,
    cases: Strategy,
    check: Callable[[Any], None],
    examples: int | None = None,
    start: int | None = None,
    story: Callable[[AutogradError, Sequence[WrongGradient]], Story] | None = None,
) -> SearchReport:
    """Call `check` on drawn cases; raise its error for the smallest case that fails.

    Args:
        subject: what is checked, for the report.
        cases: what to draw.
        check: raises an `AutogradError` for a case that fails.
        examples: how many to draw; by default what Hypothesis' profile says.
        start: a seed; by default every search draws the same.
        story: what to say about it, from the error and other failing cases.
    """
    tried: list[Any] = []

    def note(case: Any) -> None:
        tried.append(case)
        check(case)

    try:
        draw(note, cases, examples, start=start)
    except (GradientError, InputError) as error:  # Hypothesis ends with the smallest case
        smallest = tried[-1]
        others = _failures(cases, check, error)
        told = story(error, others) if story else Story()
        if isinstance(error, WrongGradient):
            text = str(error.explained(told.cause, told.hints))
        else:
            text = "\n  ".join([str(error), *told.hints])
        kind = GradientError if isinstance(error, GradientError) else type(error)
        raise kind(f"{text}\n  smallest case found: {shown(smallest)}") from None
    return SearchReport(subject, len(tried))


def _failures(
    cases: Strategy, check: Callable[[Any], None], error: AutogradError
) -> list[WrongGradient]:
    """More cases that fail like one: what the smallest shows, it may show by chance."""
    found: list[WrongGradient] = []

    def collect(case: Any) -> None:
        try:
            check(case)
        except WrongGradient as wrong:
            found.append(wrong)
        except (GradientError, InputError):
            pass

    if not isinstance(error, WrongGradient):
        return []
    draw(collect, cases, 30, shrink=False, start=0)
    key = (error.name, error.reference.subject.title)
    return [wrong for wrong in found if (wrong.name, wrong.reference.subject.title) == key]


def shown(case: Any) -> str:
    """A case for messages."""
    if isinstance(case, Mapping):
        return ", ".join(f"{key} = {shown(value)}" for key, value in case.items())
    if isinstance(case, (tuple, list)):
        return f"[{', '.join(filter(None, map(shown, case)))}]"  # no options: nothing to say
    if isinstance(case, np.generic):
        return str(case)
    if isinstance(case, np.ndarray):
        numbers = np.array2string(case, separator=", ", threshold=20).replace("\n", "")
        return numbers if case.size else f"an empty array of shape {case.shape}"
    return repr(case)


def _shown_call(args: Any, options: Any) -> str:
    return ", ".join(filter(None, [*map(shown, args), shown(options)]))


# -- check_op ----------------------------------------------------------------------------------


def check_op(
    op_or_function: Op | Callable[..., Any],
    samples: Any = None,
    *,
    examples: int | None = None,
    seed: int | None = None,
) -> SearchReport:
    """Search an op's whole domain for inputs at which its gradient, or anything else, is wrong.

    Its gradient and the gradient of that are compared with difference quotients, forward mode with
    backward, float32 with float64, Tensors with arrays, the traced program with the engine; and
    its rules must be linear in g, and must not care how memory is laid out, write into anything,
    or run when nobody asks.

    Args:
        op_or_function: a registered op or its function, or any function made of ops.
        samples: how to call it, where the domains of the rules do not say (options, several
            inputs that do not broadcast, lists): a list of `(args, options)` whose parts may be
            Hypothesis strategies, as made by `values`; a strategy for such pairs; or a function of
            a `numpy.random.Generator` that returns one.
        examples: how many cases to try; by default what Hypothesis' profile says. Every sample of
            a list is tried at least twice.
        seed: of the search; by default every search tries the same cases.

    Returns:
        How many cases were tried.

    Raises:
        GradientError: with the smallest case found.
        InputError: if it needs samples and there are none.
    """
    name, tried = "", 0
    for part, count in shared_out(samples, examples):
        op, name, cases, check = plan(op_or_function, part, seed or 0)
        story = partial(_story, op)
        tried += search(name, cases, check, count, seed, story).cases
    return SearchReport(name, tried)


_HOW = (
    "Say in samples how it is called, or in the domains of its rules what it takes; what is "
    "elementwise takes 0-d and empty arrays too."
)


def plan(
    op_or_function: Op | Callable[..., Any], samples: Any = None, seed: int = 0
) -> tuple[Op | None, str, Strategy, Callable[[Call], None]]:
    """What `check_op` does: the op, its name, the cases to draw, and the check of one case."""
    if isinstance(op_or_function, Op):
        op: Op | None = op_or_function
        function = op_or_function.function
    else:
        op, function = REGISTRY.get(op_or_function), op_or_function
    name = op.name if op else getattr(function, "__name__", "function")
    if samples is not None:
        cases = calls(samples)
    elif op is None or needs_samples(op):
        raise InputError(_samples_for(name, op, function))
    else:
        cases = operands([rule.domain for rule in op.rules if rule]).map(lambda args: (args, {}))

    def check(case: Call) -> None:
        args, options = case
        call = _Call(name, function, args, options)
        try:
            with np.errstate(all="ignore"):
                call(*call.floats.values())
        except Exception as error:
            error.add_note(f"check_op: {name} cannot be called like this. {_HOW}")
            raise
        call.check_values()
        call.check_gradients(seed)
        call.check_program()
        if op and not op.composed:
            _check_rules(op, args, options)
        else:
            call.check_layouts()

    return op, name, cases, check


def needs_samples(op: Op) -> bool:
    """Whether the rules' domains alone do not say how to call an op."""
    lone = len(op.arguments) == 1 or op.broadcasts
    return not op.rules or None in op.rules or op.variadic or bool(op.options) or not lone


def _samples_for(name: str, op: Op | None, function: Callable[..., Any]) -> str:
    """What to say when samples are missing: a line for this very op."""
    args, options = ["values(REAL, (2, 3))"], {}
    if op and op.variadic:
        args = ["[values(REAL, (2, 3)), values(REAL, (2, 3))]"]
    elif op and op.arguments:
        args = args * len(op.arguments)
        given = op.options
    else:
        given = {}
        with suppress(TypeError, ValueError):
            parameters = signature(function).parameters.values()
            fixed = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
            required = [p for p in parameters if p.kind in fixed and p.default is p.empty]
            args = args * (len(required) or 1)
    if op and not op.composed:
        options = {
            key: "..." if default is Parameter.empty else repr(default)
            for key, default in (given if not op.variadic else op.options).items()
        }
    call = f"({', '.join(args)},)"
    words = ", ".join(f"{key!r}: {value}" for key, value in options.items())
    line = f"tg.check_op({_spelled(name, function)}, [({call}, {{{words}}})])"
    return (
        f"check_op: {name} needs samples, since its rules do not tell how to call it: a list of "
        "(args, options), each as in a call, with `values(domain, shape)` for arrays to be drawn. "
        "Put in what fits, one entry for every way to call it:\n"
        f"  from tinygrad_edu.testing import REAL, values\n  {line}"
    )


def _spelled(name: str, function: Callable[..., Any]) -> str:
    """How a program names a function."""
    for prefix, module in (("np", np), ("np.linalg", np.linalg), ("tg", sys.modules[__package__])):
        if getattr(module, name, None) is function:
            return f"{prefix}.{name}"
    return name if name.isidentifier() else "f"


def _story(op: Op | None, error: AutogradError, others: Sequence[WrongGradient]) -> Story:
    """The cause that all failing cases show, or what to do where nothing can be compared."""
    if isinstance(error, WrongGradient):
        cause = common_cause([wrong.cause() for wrong in (*others, error)])
        q = error.quotients[error.index]
        at_end = not q.smooth and not np.isfinite(q.left + q.right)
        return Story(cause, [_DOMAIN] if at_end else [])
    return Story(hints=_hints(op, error))


_DOMAIN = (
    'say where the function has a value, as in tg.wrt("x", rule, tg.Domain(low=0.0)), or draw the '
    "samples from there: values(Domain(low=0.0), shape)"
)


def _hints(op: Op | None, error: AutogradError) -> list[str]:
    """What to do about inputs at which nothing can be compared."""
    if isinstance(error, InputError) and "is not finite" in str(error):
        return [_DOMAIN, "if it cannot take empty arrays, pass samples"]
    if not isinstance(error, NothingCompared):
        return []
    if not np.isfinite(error.quotient.left + error.quotient.right):
        return [_DOMAIN]
    name, at = error.argument, np.unique(error.at)
    rule = next((rule for rule in op.rules if rule and rule.argument == name), None) if op else None
    domain = rule.domain if rule else REAL
    if at.size > 3:
        return []
    inside = {*domain.kinks, *(float(x) for x in at if domain.low < x < domain.high)}
    text = f"Domain(kinks={tuple(sorted(inside))})"
    where = f'tg.wrt("{name}", rule, tg.{text})' if rule else f"values({text}, shape)"
    lines = [f"if the function has a corner or a jump there, say so, and it is left out: {where}"]
    if error.at.size > 1 or (op and len(op.arguments) > 1):
        lines.append("if it is because two numbers are equal (max, sort): Domain(distinct=True)")
    return lines


# -- what everybody who calls it sees ----------------------------------------------------------


class _Call:
    """A call, as a function of the float arrays in it.

    Attributes:
        floats: the arrays by name.
    """

    def __init__(self, name: str, function: Callable[..., Any], args: Any, options: Any) -> None:
        self.__name__ = name
        self.function, self.args, self.options = function, args, options
        self.floats = dict(_floats(function, args, options))

    def __call__(self, *given: Any) -> Any:
        queue = iter(given)
        args = _replaced(self.args, queue)
        return self.function(*args, **_replaced(self.options, queue))

    def check_values(self) -> None:
        """Tensors give what arrays give: values, shape, dtype; and an op keeps float32."""
        for dtype in (np.float64, np.float32):
            arrays = [x.astype(dtype) for x in self.floats.values()]
            kept = [x.copy() for x in arrays]
            with np.errstate(all="ignore"):
                expected, result = self(*arrays), self(*map(Tensor, arrays))
            if not all(map(partial(np.array_equal, equal_nan=True), arrays, kept)):
                raise GradientError(
                    f"{self.__name__}: the function writes into its arguments: write x = 2 * x, "
                    "for example, and not x *= 2"
                )
            for one, other in zip(several(expected), several(result), strict=True):
                if isinstance(one, Tensor) or not isinstance(other, Tensor):
                    raise GradientError(
                        f"{self.__name__}: expected arrays for arrays and Tensors for Tensors, got "
                        f"{type(one).__name__} and {type(other).__name__}"
                    )
                data = np.asarray(other.data)
                real = data.dtype.kind == "f"  # sums may add up in another order
                limit = 64 * float(np.finfo(data.dtype).eps) if real else 0.0
                close = np.allclose(data, one, rtol=limit, atol=limit, equal_nan=True)
                if data.shape != np.shape(one) or data.dtype != one.dtype or not close:
                    raise GradientError(
                        f"{self.__name__}: expected {shown(one)} ({one.dtype}), as for arrays, got "
                        f"{shown(data)} ({data.dtype}) for Tensors"
                    )
                if dtype is np.float32 and one.dtype == np.float64 and self.keeps_float32():
                    raise GradientError(
                        f"{self.__name__}: expected float32 for float32, got float64. NumPy's own "
                        "numbers widen it: write float(np.log(2)) for np.log(2), and dtype=x.dtype "
                        "where an array is made"
                    )

    def keeps_float32(self) -> bool:
        """Whether it should: NumPy and SciPy sometimes widen it, and so do integer arrays."""
        module = getattr(self.function, "__module__", None) or "numpy"  # old ufuncs have none
        own = self.function in REGISTRY and not module.startswith(("numpy", "scipy"))
        integers = any(isinstance(x, np.ndarray) and x.dtype.kind in "iu" for x in self.args)
        return own and not integers and "dtype" not in self.options

    def check_gradients(self, seed: int) -> None:
        """First and second order, forward mode, float32."""
        narrow = [Tensor(x, dtype=np.float32, name=key) for key, x in self.floats.items()]
        compare_gradients(self, *narrow, order=2, seed=seed, max_elements=6)

    def gradients(self, arrays: Sequence[Array]) -> list[Array]:
        """Of <w, result>, for a w that depends on nothing but its shape."""
        subject = Subject(self, arrays, list(self.floats))
        rng = np.random.default_rng(0)
        ws = [random_cotangent(rng, y) for y in subject.values(arrays)]
        return subject.gradients(arrays, ws)

    def check_layouts(self) -> None:
        """Gradients do not depend on how memory is laid out."""
        arrays = list(self.floats.values())
        expected = self.gradients(arrays)
        for description, layout in LAYOUTS.items():
            found = self.gradients([_mapped(layout, x) for x in arrays])
            for key, one, other in zip(self.floats, expected, found, strict=True):
                what = f"{self.__name__}: the gradient of {key!r}"
                _check_same(what, one, other, f"when they are {description}")

    def check_program(self) -> None:
        """The traced program computes what the engine computes, with public functions only."""
        arrays = list(self.floats.values())
        if not getattr(self.function, "__name__", "").isidentifier():  # how would it be called?
            return

        def weighted(*xs: Any) -> Any:
            rng, total = np.random.default_rng(0), 0.0
            for y in several(self(*xs)):
                total = total + np.sum(y * random_cotangent(rng, y))
            return total

        try:
            program = trace(weighted, *arrays)
        except UnsupportedError:  # it says that it has none: it branches on values, or draws
            return
        _, found = program(*arrays)
        for key, one, other in zip(self.floats, self.gradients(arrays), found, strict=True):
            _check_same(f"{self.__name__}: the gradient of {key!r}", one, other, "in a program")
        private = private_names(program.source, program.constants)
        if private:
            raise GradientError(
                f"{self.__name__}: its program calls {sorted(private)}, which no one can import; "
                "rules call NumPy and registered public functions"
            )


def private_names(source: str, constants: Mapping[str, Any]) -> set[str]:
    """Functions of this package that a traced program calls although they are not public."""
    hidden = re.findall(r"\b(?:np|tg)(?:\.\w+)*\._\w[\w.]*(?=\()", source)
    ours = f"{__package__}."
    return {*hidden} | {
        name
        for name, value in constants.items()
        if callable(value) and str(getattr(value, "__module__", "")).startswith(ours)
    }


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


# -- what only the engine sees -----------------------------------------------------------------


def _check_rules(op: Op, args: Any, options: Any) -> None:
    """The rules themselves, called with unusual arrays."""
    inputs, options = op.bind(*args, **options)
    floats = [i for i, x in enumerate(inputs) if _is_float(x) and op.rule(i)]
    out = op.forward(*inputs, **options)
    rng = np.random.default_rng(0)
    g = _mapped(lambda y: rng.uniform(-1, 1, np.shape(y)).astype(y.dtype), out)

    def shares(layout: Callable[[Array], Array], factor: float = 1.0) -> list[Array]:
        arrays = [_mapped(layout, x) if _is_float(x) else x for x in inputs]
        cotangent, result = _mapped(lambda y: layout(factor * y), g), _mapped(layout, out)
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
    names = [f"{op.name}: the rule of argument {op.argument(i)!r}" for i in floats]
    for description, layout in LAYOUTS.items():
        for name, one, other in zip(names, expected, shares(layout), strict=True):
            _check_same(name, one, other, f"when they are {description}")
    for name, one, other in zip(names, expected, shares(lambda x: x, -2.0), strict=True):
        if not _same(-2 * one, other):
            raise GradientError(f"{name} is not linear in g: for -2 g it gives {shown(other)}")
    for position in floats:
        _check_only_asked(op, inputs, options, position)


def _check_same(what: str, one: Array, other: Array, unusual: str) -> None:
    if not _same(one, other):
        raise GradientError(
            f"{what} gives {shown(one)} for contiguous arrays, and {shown(other)} {unusual}"
        )


def _same(one: Array, other: Array) -> bool:
    # What cancelled out leaves its rounding errors, which may differ: g is of the order of 1.
    atol = 1e-12 * np.abs(one).max(initial=0) + 1e-15
    return bool(np.shape(one) == np.shape(other) and np.allclose(one, other, 1e-12, atol, True))


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
    if isinstance(value, (tuple, list)):
        return tuple(_mapped(layout, part) for part in value)
    array = np.asarray(layout(np.array(value)))
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
