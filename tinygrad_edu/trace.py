"""The tracer: an array that writes down what is asked of it.

A `Tensor` whose data is a `Tracer` runs through the unchanged engine; what the ops and their rules
ask of it becomes the lines of a NumPy program: forward and backward, exactly as executed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_edu.backward import backpropagate
from tinygrad_edu.errors import GraphError, InputError, UnsupportedError
from tinygrad_edu.mode import Block
from tinygrad_edu.op import Op
from tinygrad_edu.ops.index import getitem
from tinygrad_edu.ops.shape import astype
from tinygrad_edu.tensor import Tensor, seed

_INFIX = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.power: "**",
    np.matmul: "@", np.remainder: "%", np.floor_divide: "//", np.equal: "==", np.not_equal: "!=",
    np.less: "<", np.less_equal: "<=", np.greater: ">", np.greater_equal: ">=",
    np.bitwise_and: "&", np.bitwise_or: "|",
}  # fmt: skip


class _Line:
    """`targets = expression(arguments)`, kept as parts because names are given at the end."""

    def __init__(self, function: Any, args: Any, options: dict[str, Any]) -> None:
        self.function, self.args, self.options = function, args, options
        self.targets: list[_Tracer] = []

    def sources(self) -> list[_Tracer]:
        found: list[_Tracer] = []
        stack = [self.args, list(self.options.values())]
        while stack:
            part = stack.pop()
            if isinstance(part, _Tracer):
                found.append(part)
            elif isinstance(part, (tuple, list)):
                stack.extend(part)
            elif isinstance(part, slice):
                stack.extend((part.start, part.stop, part.step))
        return found


class _Tape:
    """The lines written so far and the constants that they mention."""

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.constants: list[_Tracer] = []

    def run(self, function: Any, args: Any, options: dict[str, Any]) -> Any:
        """Compute on the values, and write the line if the result is an array."""
        line = _Line(function, self._named(args), {k: self._named(v) for k, v in options.items()})
        result = function(*_values(args), **{k: _values(v) for k, v in options.items()})
        many = isinstance(result, (tuple, list))
        parts = list(result) if many else [result]
        if not parts or not all(isinstance(part, (np.ndarray, np.generic)) for part in parts):
            return result  # a plain answer: a shape, a dtype, True
        line.targets = [_Tracer(part, self) for part in parts]
        self.lines.append(line)
        return type(result)(line.targets) if many else line.targets[0]

    def _named(self, part: Any) -> Any:
        """Replace arrays, which have no name, by constants, which get one."""
        if isinstance(part, (tuple, list)):
            return type(part)(self._named(item) for item in part)
        if not isinstance(part, np.ndarray) or part.ndim == 0:
            return part
        for constant in self.constants:
            if constant.value is part:
                return constant
        self.constants.append(_Tracer(part, self))
        return self.constants[-1]


class _Tracer(NDArrayOperatorsMixin):
    """An array that computes like the one inside it and writes a line per operation."""

    __slots__ = ("name", "tape", "value")
    __array_priority__ = 500.0

    def __init__(self, value: Any, tape: _Tape, name: str = "") -> None:
        self.value, self.tape, self.name = value, tape, name

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    T = property(lambda self: self.tape.run(np.transpose, (self,), {}))

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        if method != "__call__" or any(isinstance(arg, Tensor) for arg in args):
            return NotImplemented
        if options.get("out") == (self,):  # t *= x: a new line gives a new name instead
            options.pop("out")
        return self.tape.run(ufunc, args, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        return self.tape.run(function, args, options)

    @staticmethod
    def __op__(op: Op, args: Any, options: Any) -> Any:
        inputs, chosen = op.bind(*args, **options)
        everything = (*inputs, *chosen.values())
        if any(isinstance(value, Tensor) for value in everything):
            return Tensor.__op__(op, args, options)
        tape = next(value.tape for value in everything if isinstance(value, _Tracer))
        return tape.run(op.function, args, options)

    def __getitem__(self, index: Any) -> Any:
        return self.tape.run(getitem, (self, index), {})

    def __len__(self) -> int:
        return len(self.value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise UnsupportedError(
            "trace: the function reads the numbers of a tensor (item(), float(), a branch on a "
            "value), so it has no straight-line program"
        )

    def __bool__(self) -> bool:
        return bool(self.__array__())

    def sum(self, axis: Any = None, **options: Any) -> Any:
        return self.tape.run(np.sum, (self,), {"axis": axis, **options})

    def mean(self, axis: Any = None, **options: Any) -> Any:
        return self.tape.run(np.mean, (self,), {"axis": axis, **options})

    def max(self, axis: Any = None, **options: Any) -> Any:
        return self.tape.run(np.max, (self,), {"axis": axis, **options})

    def min(self, axis: Any = None, **options: Any) -> Any:
        return self.tape.run(np.min, (self,), {"axis": axis, **options})

    def reshape(self, *shape: Any) -> Any:
        shape = shape[0] if len(shape) == 1 else shape
        return self.tape.run(np.reshape, (self, shape), {})

    def astype(self, dtype: Any) -> Any:
        return self.tape.run(astype, (self,), {"dtype": dtype})

    def copy(self) -> Any:
        return self.tape.run(np.copy, (self,), {})


class Program:
    """A function's forward and backward pass as straight-line NumPy.

    Attributes:
        source: the text of a Python function that needs only `np` and `tg`.
        constants: arrays that the traced function used without being passed them, by name.
    """

    def __init__(
        self, name: str, source: str, constants: dict[str, Any], shapes: dict[str, tuple[int, ...]]
    ) -> None:
        self.source, self.constants, self._shapes = source, constants, shapes
        self._name = name
        self._function: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return self.source

    __repr__ = __str__

    def __call__(self, *inputs: Any) -> Any:
        """Run the program on arrays of the shapes it was traced with.

        Returns:
            `(value, gradients)`: what the source's last line returns.

        Raises:
            InputError: if the inputs have other shapes.
        """
        if len(inputs) != len(self._shapes):
            raise InputError(f"{self._name}: expected {list(self._shapes)}, got {len(inputs)}")
        for (name, shape), value in zip(self._shapes.items(), inputs, strict=True):
            if np.shape(value) != shape:
                raise InputError(
                    f"{self._name}: traced with {name} of shape {shape}, got {np.shape(value)}; "
                    "trace again for other shapes"
                )
        if self._function is None:
            scope = {"np": np, "tg": sys.modules[__package__], **self.constants}
            exec(compile(self.source, f"<traced {self._name}>", "exec"), scope)
            self._function = scope[self._name]
        with np.errstate(all="ignore"):  # as in the backward pass that it was traced from
            return self._function(*inputs)


def trace(f: Callable[..., Any], *inputs: Any) -> Program:
    """Write down the forward and backward pass of `f` as a NumPy program.

    Args:
        f: function of Tensors that returns one element; its parameter names are used.
        *inputs: example arguments. The gradients are those of the Tensors with `requires_grad`,
            if there are any, otherwise of every float array.

    Returns:
        A program that prints as text and, called with arrays of the same shapes, returns
        `(value, gradients)` with the same numbers.

    Raises:
        InputError: if `f` returns more than one element.
        GraphError: if its result does not depend on the inputs.
        UnsupportedError: if `f` branches on the numbers.
    """
    tape = _Tape()
    names = _parameter_names(f, len(inputs))
    chosen = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    tensors: list[Tensor] = []
    for name, x in zip(names, inputs, strict=True):
        value = np.asarray(x._array if isinstance(x, Tensor) else x)
        tracked = x.requires_grad if chosen and isinstance(x, Tensor) else not chosen
        tracked = tracked and value.dtype.kind == "f"
        tensors.append(Tensor(_Tracer(value, tape, name), tracked, name))
    with Block(lambda mode: replace(mode, by_name=True)):
        y = f(*tensors)
    if not isinstance(y, Tensor) or not y.requires_grad:
        raise GraphError("trace: the result of f does not depend on any float input")
    if y.size != 1:
        raise InputError(f"trace: f must return one element, got shape {y.shape}")
    forward = len(tape.lines)
    asked = [t for t in tensors if t.requires_grad]
    found = backpropagate({y: seed(y, None, "trace")}, asked)
    gradients = {t: found[t] if t in found else np.zeros_like(t._array) for t in asked}
    return _written(f, tape, forward, tensors, y, gradients)


def _written(
    f: Callable[..., Any],
    tape: _Tape,
    forward: int,
    tensors: Sequence[Tensor],
    y: Tensor,
    gradients: dict[Tensor, _Tracer],
) -> Program:
    """Drop lines that nothing depends on, give names, and write the text."""
    inputs: list[_Tracer] = [t._array for t in tensors]
    result: _Tracer = y._array
    kept = _needed(tape.lines, [result, *gradients.values()])
    for t, gradient in gradients.items():
        gradient.name = gradient.name or f"d_{t._array.name}"
    taken = {"np", "tg", *(tracer.name for tracer in inputs)}
    for prefix, tracers in (
        ("c", tape.constants),
        ("t", [target for _, line in kept for target in line.targets]),
    ):
        fresh = (name for i in count(1) if (name := f"{prefix}{i}") not in taken)
        for tracer in tracers:
            tracer.name = tracer.name if tracer.name not in {"", *taken} else next(fresh)
            taken.add(tracer.name)
    functions: dict[str, Any] = {}
    title = f.__name__ if f.__name__.isidentifier() and f.__name__ not in taken else "program"
    rows = [(f"def {title}({', '.join(tracer.name for tracer in inputs)}):", "")]
    for kind, tracers in (("input", inputs), ("constant", tape.constants)):
        rows.extend((f"    # {kind} {t.name}: {t.dtype} {t.shape}", "") for t in tracers)
    for section, of_section in (
        ("forward", [line for number, line in kept if number < forward]),
        ("backward", [line for number, line in kept if number >= forward]),
    ):
        rows.append((f"    # {section}", ""))
        rows.extend(
            (
                f"    {', '.join(t.name for t in line.targets)} = {_expression(line, functions)}",
                ", ".join(str(target.shape) for target in line.targets),
            )
            for line in of_section
        )
    rows.append((f"    return {result.name}, {_text(tuple(gradients.values()))}", ""))
    width = min(max((len(text) for text, shape in rows if shape), default=0), 60)
    source = "\n".join(f"{text:<{width}}  # {shape}" if shape else text for text, shape in rows)
    constants = {constant.name: constant.value for constant in tape.constants}
    shapes = {tracer.name: tracer.shape for tracer in inputs}
    return Program(title, source, constants | functions, shapes)


def _needed(lines: list[_Line], results: list[_Tracer]) -> list[tuple[int, _Line]]:
    """The lines that the results depend on, with their numbers."""
    needed = {id(result) for result in results}
    kept = []
    for number, line in reversed(list(enumerate(lines))):
        if any(id(target) in needed for target in line.targets):
            needed.update(id(source) for source in line.sources())
            kept.append((number, line))
    return kept[::-1]


def _expression(line: _Line, functions: dict[str, Any]) -> str:
    """A line's right-hand side: infix where Python has an operator, a call otherwise.

    A function that neither `np` nor `tg` has (an op of the user's) is added to `functions`.
    """
    args = [_text(arg) for arg in line.args]
    if not line.options:
        if line.function in _INFIX and len(args) == 2:
            return f"{args[0]} {_INFIX[line.function]} {args[1]}"
        if line.function is np.negative:
            return f"-{args[0]}"
        if line.function is getitem:
            index = line.args[1]
            many = isinstance(index, tuple) and index
            return f"{args[0]}[{', '.join(map(_index, index)) if many else _index(index)}]"
    options = [f"{key}={_text(value)}" for key, value in line.options.items()]
    name = line.function.__name__
    for prefix, module in (("np", np), ("np.linalg", np.linalg), ("tg", sys.modules[__package__])):
        if getattr(module, name, None) is line.function:
            return f"{prefix}.{name}({', '.join([*args, *options])})"
    functions[name] = line.function
    return f"{name}({', '.join([*args, *options])})"


def _text(part: Any) -> str:
    if isinstance(part, _Tracer):
        return part.name
    if isinstance(part, tuple):
        return f"({', '.join(map(_text, part))}{',' if len(part) == 1 else ''})"
    if isinstance(part, list):
        return f"[{', '.join(map(_text, part))}]"
    if isinstance(part, np.dtype):
        return f"np.{part.type.__name__}"
    if isinstance(part, type):
        return f"np.{part.__name__}" if issubclass(part, np.generic) else part.__name__
    if isinstance(part, np.ndarray):  # 0-d
        return f"np.{part.dtype.type.__name__}({part.item()!r})"
    if part is Ellipsis:
        return "..."
    text = repr(part)
    if isinstance(part, (float, np.floating)) and not np.isfinite(part):
        kind = "float" if isinstance(part, float) else f"np.{type(part).__name__}"
        text = f"{kind}({str(part)!r})"
    return f"({text})" if text.startswith("-") else text


def _index(part: Any) -> str:
    if not isinstance(part, slice):
        return _text(part)
    ends = ["" if end is None else _text(end) for end in (part.start, part.stop)]
    return ":".join(ends) + (f":{_text(part.step)}" if part.step is not None else "")


def _values(part: Any) -> Any:
    if isinstance(part, _Tracer):
        return part.value
    if isinstance(part, (tuple, list)):
        return type(part)(_values(item) for item in part)
    return part


def _parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of `f`'s positional parameters, `x1, x2, ...` for those that have none."""
    names: list[str] = []  # "np" and "tg" are what the program itself calls
    for p in inspect.signature(f).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}{i + 1}" for i in range(count - len(names))]
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(f"{p.name}_" if p.name in ("np", "tg") else p.name)
    if len(names) < count:
        raise InputError(f"trace: f takes {len(names)} arguments, got {count}")
    return names[:count]
