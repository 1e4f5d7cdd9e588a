"""Ops: a NumPy function, or one of ours, with one local-gradient rule per argument.

    register(np.multiply,
             wrt("x", lambda g, out, x, y: g * y),
             wrt("y", lambda g, out, x, y: g * x))

A rule is calculus in plain NumPy: it turns `g`, the cotangent (upstream gradient) of the result
`out`, into the cotangent of one argument. Broadcasting, dtypes, accumulation and skipping what
nobody asked for are the engine's work (`backward.py`).

Everything else about an op is read off the rule's own signature: parameters after `g, out` are
the op's inputs, those with a default (or keyword-only) its options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import Any

import numpy as np

from tinygrad_edu.domain import REAL, Domain
from tinygrad_edu.errors import RuleError, UnsupportedError

Array = Any  # whatever speaks NumPy's protocols: ndarray, Tensor, tracer, Dask, CuPy
Vjp = Callable[..., Array]
Bound = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How the cotangent of one argument follows from that of the result.

    Attributes:
        argument: name of the argument, `"*arrays"` for one that stands for a whole list.
        vjp: called as `vjp(g, out, *inputs, **options)`; a list rule also gets `position`.
        domain: where the argument may lie.
    """

    argument: str
    vjp: Vjp
    domain: Domain = REAL


def wrt(argument: str, rule: Vjp, domain: Domain = REAL) -> Rule:
    """With respect to `argument`: make a `Rule`."""
    return Rule(argument, rule, domain)


def _as_given(*args: Any, **options: Any) -> Bound:
    return args, options


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """A function and its gradient rules, as the registry keeps it.

    Attributes:
        name: what errors, pictures and tables call it.
        function: the public face: what users call, and the key of the registry.
        forward: computes the result from plain arrays.
        public: the same under the name that users know, for a tracer.
        arguments: names of the inputs, in order; `("*arrays",)` for a list.
        options: keyword arguments that are not differentiated, with their defaults.
        rules: by input position, None where no gradient is defined; empty for an op that is
            piecewise constant or not numeric (comparisons, `argmax`): its result needs no gradient.
        vjps: the rules' functions alone, for the inner loop of the backward pass.
        variadic: the single rule serves every position.
        broadcasts: the engine may sum a larger cotangent down to the argument's shape.
        bind: turns the arguments of a call into (inputs, options).
        composed: written with other ops, which do the recording; has no rule of its own.
        arity: how many positional arguments are simply the inputs; -1 if it takes a closer look.
        partial: some input has no rule.
        direct_options: options that need no closer look either.
    """

    name: str
    function: Callable[..., Any]
    forward: Callable[..., Any]
    public: Callable[..., Any]
    arguments: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Rule | None, ...] = ()
    vjps: tuple[Any, ...] = ()
    variadic: bool = False
    broadcasts: bool = False
    bind: Callable[..., Bound] = _as_given
    composed: Callable[..., Any] | None = None
    arity: int = -1
    partial: bool = False
    direct_options: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        """One line: name and arguments."""
        return f"Op({self.name}({', '.join((*self.arguments, *self.options))}))"

    def rule(self, position: int) -> Rule | None:
        """The rule of the input at `position`, or None."""
        if self.variadic:
            return self.rules[0]
        return self.rules[position] if position < len(self.rules) else None

    def argument(self, position: int) -> str:
        """Name of the input at `position`, for messages and pictures."""
        if self.variadic:
            return f"{self.arguments[0].lstrip('*')}[{position}]"
        return self.arguments[position] if position < len(self.arguments) else f"#{position}"


REGISTRY: dict[Callable[..., Any], Op] = {}


def register(
    function: Callable[..., Any],
    *rules: Rule,
    forward: Callable[..., Any] | None = None,
    public: Callable[..., Any] | None = None,
    bind: Callable[..., Bound] | None = None,
    broadcasts: bool | None = None,
    composed: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Op:
    """Give a function its gradient rules; from then on it works on Tensors.

    Args:
        function: a NumPy function or ufunc, or a ufunc of another package.
        *rules: one `wrt(...)` per differentiable argument; none for a function whose result
            needs no gradient (comparisons, `argmax`).
        forward: how to compute it from `(*inputs, **options)`, if not by `function` itself.
        public: the same for a tracer, to be written down by this name; by default `forward`.
        bind: a function with the signature of `function` that returns `(inputs, options)`,
            for calls whose inputs are not simply the first arguments (lists, `einsum`).
        broadcasts: whether inputs are broadcast against each other; by default what ufuncs do.
        composed: a function of other ops that equals `function`; takes no rules.
        name: shown in messages; by default the function's own.

    Returns:
        The registered op.

    Raises:
        RuleError: if a rule does not fit the function or the other rules.
    """
    name = name or str(getattr(function, "__name__", function))
    if function in REGISTRY:
        raise RuleError(f"{name}: is registered already; call unregister(...) first")
    if composed is not None and rules:
        raise RuleError(f"{name}: expected either rules or composed=..., got both")
    arguments, options, variadic = _read_signature(name, rules)
    by_name = {rule.argument: rule for rule in rules}
    aligned = tuple(by_name.get(argument) for argument in arguments)
    direct = bind is None and not variadic
    if bind is None and variadic:
        bind = _list_binder(name, options)
    elif bind is None and rules:
        bind = _binder(name, function, arguments, options)
    if broadcasts is None:
        # A ufunc with a core signature (matmul) broadcasts only its stacks: the rules see to it.
        broadcasts = isinstance(function, np.ufunc) and function.signature is None
    op_ = Op(
        name=name,
        function=function,
        forward=forward or composed or function,
        public=public or forward or function,
        arguments=arguments,
        options=options,
        rules=aligned,
        vjps=tuple(None if rule is None else rule.vjp for rule in aligned),
        variadic=variadic,
        broadcasts=broadcasts,
        bind=bind or _as_given,
        composed=composed,
        arity=len(arguments) if direct and rules else -1,
        partial=not variadic and None in aligned,
        direct_options=frozenset(options if direct and _all_optional(options) else ()),
    )
    REGISTRY[function] = op_
    return op_


def unregister(function: Callable[..., Any]) -> None:
    """Forget an op, so that a test can register it anew.

    Raises:
        UnsupportedError: if it is not registered.
    """
    if REGISTRY.pop(function, None) is None:
        raise UnsupportedError(f"{getattr(function, '__name__', function)}: is not registered")


def op(
    *rules: Rule,
    bind: Callable[..., Bound] | None = None,
    broadcasts: bool = False,
    name: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an op of a plain function on arrays that NumPy lacks.

        @op(wrt("x", lambda g, out, x: g * (x > 0)))
        def relu(x):
            return np.maximum(x, 0)

    The result is a function that works on arrays of every kind, and records on Tensors.

    Raises:
        RuleError: if a rule does not fit the function or the other rules.
    """

    def decorate(forward: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(forward)
        def function(*args: Any, **options: Any) -> Any:
            for arg in args:  # the short way: a Tensor among the arguments
                dispatch = getattr(type(arg), "__op__", None)
                if dispatch is not None:
                    return dispatch(registered, args, options)
            return on_arrays(args, options)

        def on_arrays(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
            inputs, chosen = (args, options) if bind is None else bind(*args, **options)
            for value in (*inputs, *chosen.values()):  # in a list, or given by keyword
                dispatch = getattr(type(value), "__op__", None)
                if dispatch is not None:
                    return dispatch(registered, args, options)
            if list in map(type, inputs):  # tg.softmax([1.0, 2.0])
                inputs = tuple(
                    np.array(x) if type(x) is list and registered.rule(i) is not None else x
                    for i, x in enumerate(inputs)
                )
            return forward(*inputs, **chosen)

        registered = register(
            function,
            *rules,
            forward=forward,
            public=function if bind is None else forward,  # does it take the inputs one by one?
            bind=bind,
            broadcasts=broadcasts,
            name=name,
        )
        return function

    return decorate


def composite(function: Callable[..., Any]) -> Callable[..., Any]:
    """List a function made of other ops with them, so that it is documented and tested like them.

    It needs no rule and no dispatch: it works on whatever the ops that it calls work on.
    """
    register(function, composed=function)
    return function


def _read_signature(
    name: str, rules: Sequence[Rule]
) -> tuple[tuple[str, ...], dict[str, Any], bool]:
    """Inputs, options with defaults, and whether the inputs are a list, as all rules agree."""
    seen: list[tuple[tuple[str, ...], dict[str, Any]]] = []
    for rule in rules:
        if not isinstance(rule, Rule):
            raise RuleError(
                f"{name}: expected rules made by wrt(argument, rule), got {type(rule).__name__}; "
                "write @op(wrt(...)) above the function"
            )
        parameters = list(inspect.signature(rule.vjp).parameters.values())
        if len(parameters) < 2 or rule.argument in [p.name for p in parameters[:2]]:
            raise RuleError(
                f"{name}: the rule of {rule.argument!r} must start with (g, out, ...), the "
                f"cotangent and the result, got {inspect.signature(rule.vjp)}"
            )
        inputs: list[str] = []
        options: dict[str, Any] = {}
        for p in parameters[2:]:
            if p.kind is p.VAR_POSITIONAL:
                inputs.append(f"*{p.name}")
            elif p.kind is p.KEYWORD_ONLY or p.default is not p.empty:
                options[p.name] = p.default
            else:
                inputs.append(p.name)
        if "*" in rule.argument:
            options.pop("position", None)
        if rule.argument not in inputs:
            raise RuleError(
                f"{name}: a rule is for argument {rule.argument!r}, but its own parameters are "
                f"{inspect.signature(rule.vjp)}: no such argument"
            )
        seen.append((tuple(inputs), options))
    if not seen:
        return (), {}, False
    if any((one[0], set(one[1])) != (seen[0][0], set(seen[0][1])) for one in seen):
        raise RuleError(
            f"{name}: all rules must take the same inputs and options, got "
            + " and ".join(str(inspect.signature(rule.vjp)) for rule in rules)
        )
    if len({rule.argument for rule in rules}) < len(rules):
        raise RuleError(f"{name}: an argument has two rules: {[r.argument for r in rules]}")
    return (*seen[0], any(argument.startswith("*") for argument in seen[0][0]))


def _binder(
    name: str, function: Callable[..., Any], arguments: tuple[str, ...], options: dict[str, Any]
) -> Callable[..., Bound]:
    """Read calls of `function` with its own parameter names and defaults, where it tells them."""
    count = len(arguments)
    required = {key for key, default in options.items() if default is inspect.Parameter.empty}

    @cache  # not before the first call: asking 200 functions would double the import time
    def signature() -> tuple[tuple[str, ...], dict[str, inspect.Parameter], dict[str, int]]:
        parameters: dict[str, inspect.Parameter] = {}
        # Ufuncs and, before NumPy 2.4, some C functions tell nothing useful.
        if not isinstance(function, np.ufunc):
            with suppress(ValueError, TypeError):
                parameters = dict(inspect.signature(function).parameters)
        names = tuple(parameters) if len(parameters) >= count else (*arguments, *options)
        positions = {key: i for keys in (names[:count], arguments) for i, key in enumerate(keys)}
        return names, parameters, positions

    def bind(*args: Any, **kwargs: Any) -> Bound:
        names, parameters, positions = signature()
        has_extra = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if len(args) > len(names):
            raise UnsupportedError(f"{name}: takes {', '.join(names)}; got {len(args)} arguments")
        inputs = dict(enumerate(args[:count]))
        chosen = {}
        extra = dict(zip(names[count:], args[count:], strict=False))
        for key, value in (extra | kwargs).items():
            if key in positions:
                inputs[positions[key]] = value
            elif key in options:
                chosen[key] = value
            elif not _is_default(parameters.get(key), value):
                supported = ", ".join(options) or "none"
                if parameters and key not in parameters and not has_extra:
                    raise UnsupportedError(f"{name}: has no option {key!r}; options: {supported}")
                raise UnsupportedError(
                    f"{name}: option {key!r} has no gradient rule; supported options: {supported}"
                )
        for position in range(count):  # an input may be optional: tg.linear(x, W)
            if position not in inputs:
                parameter = parameters.get(names[position])
                if parameter is None or parameter.default is inspect.Parameter.empty:
                    raise UnsupportedError(f"{name}: argument {arguments[position]!r} is missing")
                inputs[position] = parameter.default
        if missing := sorted(required - set(chosen)):
            raise UnsupportedError(f"{name}: option {missing[0]!r} is missing")
        return tuple(inputs[i] for i in range(count)), chosen

    return bind


def _list_binder(name: str, options: dict[str, Any]) -> Callable[..., Bound]:
    """Read calls of a function that takes its list as `*arrays`."""

    def bind(*args: Any, **kwargs: Any) -> Bound:
        if unknown := [key for key in kwargs if key not in options]:
            supported = ", ".join(options) or "none"
            raise UnsupportedError(
                f"{name}: option {unknown[0]!r} has no gradient rule; "
                f"supported options: {supported}"
            )
        return args, kwargs

    return bind


def _all_optional(options: dict[str, Any]) -> bool:
    return all(default is not inspect.Parameter.empty for default in options.values())


def _is_default(parameter: inspect.Parameter | None, value: Any) -> bool:
    """Whether a call spells out what NumPy would have taken anyway (`out=None`, `order='C'`)."""
    if parameter is None:  # a ufunc's options: all mean nothing when None
        return value is None
    return (
        value is np._NoValue
        or value is parameter.default
        or (isinstance(value, (str, bool, int)) and value == parameter.default)
    )
