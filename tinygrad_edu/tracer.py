"""The tracer: an array that writes down what is asked of it.

A rule, or a whole function, that is called with tracers computes as usual, and every operation
leaves a line on the tape. `trace` makes programs of the lines, `formula` makes expressions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_edu.errors import UnsupportedError
from tinygrad_edu.op import Op
from tinygrad_edu.ops.index import getitem
from tinygrad_edu.ops.shape import astype
from tinygrad_edu.tensor import Tensor

INFIX = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.power: "**",
    np.matmul: "@", np.remainder: "%", np.floor_divide: "//", np.equal: "==", np.not_equal: "!=",
    np.less: "<", np.less_equal: "<=", np.greater: ">", np.greater_equal: ">=",
    np.bitwise_and: "&", np.bitwise_or: "|",
}  # fmt: skip
# ndarray's methods that NumPy has as functions of the same name and arguments.
_METHODS = frozenset(
    {"all", "any", "argmax", "argmin", "argsort", "clip", "cumprod", "cumsum", "diagonal", "dot"}
    | {"max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "round", "squeeze", "std"}
    | {"sum", "swapaxes", "take", "trace", "var"}
)

_MODULES = {
    "np": np,
    "np.linalg": np.linalg,
    "np.fft": np.fft,
    "np.lib.stride_tricks": np.lib.stride_tricks,
}


class Line:
    """`targets = expression(arguments)`, kept as parts because names are given at the end."""

    def __init__(self, function: Any, args: Any, options: dict[str, Any]) -> None:
        self.function, self.args, self.options = function, args, options
        self.targets: list[Tracer] = []
        self.many = False  # whether the result is a tuple, perhaps of one

    def sources(self) -> list[Tracer]:
        """The tracers that it mentions."""
        found: list[Tracer] = []
        stack = [self.args, list(self.options.values())]
        while stack:
            part = stack.pop()
            if isinstance(part, Tracer):
                found.append(part)
            elif isinstance(part, (tuple, list)):
                stack.extend(part)
            elif isinstance(part, slice):
                stack.extend((part.start, part.stop, part.step))
        return found


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name that stands for a value in a line."""

    name: str


class Tape:
    """The lines written so far and the constants that they mention."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.constants: list[Tracer] = []

    def shape(self, tracer: Tracer) -> tuple[int, ...]:
        """The shape that a tracer shows."""
        shape: tuple[int, ...] = tracer.value.shape
        return shape

    def run(self, function: Any, args: Any, options: dict[str, Any]) -> Any:
        """Compute on the values, and write the line if the result is an array."""
        line = Line(function, self.named(args), {k: self.named(v) for k, v in options.items()})
        result = function(*_values(args), **{k: _values(v) for k, v in options.items()})
        line.many = isinstance(result, (tuple, list))
        parts = list(result) if line.many else [result]
        if not parts or not all(isinstance(part, (np.ndarray, np.generic)) for part in parts):
            return result  # a plain answer: a shape, a dtype, True
        line.targets = [Tracer(part, self) for part in parts]
        self.lines.append(line)
        return _like(result, line.targets) if line.many else line.targets[0]

    def named(self, part: Any) -> Any:
        """Replace arrays, which have no name, by constants, which get one."""
        if isinstance(part, (tuple, list)):
            return _like(part, [self.named(item) for item in part])
        if not isinstance(part, np.ndarray) or part.ndim == 0:
            return part
        for constant in self.constants:
            if constant.value is part:
                return constant
        self.constants.append(Tracer(part, self))
        return self.constants[-1]


class Tracer(NDArrayOperatorsMixin):
    """An array that computes like the one inside it and writes a line per operation."""

    __slots__ = ("name", "tape", "value")
    __array_priority__ = 500.0

    def __init__(self, value: Any, tape: Tape, name: str = "") -> None:
        self.value, self.tape, self.name = value, tape, name

    shape = property(lambda self: self.tape.shape(self))
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
        tape: Tape = next(value.tape for value in everything if isinstance(value, Tracer))
        # The halves of `astype`, for floats and for all else, are nothing to be called by name.
        function = astype if op.name == astype.__name__ else op.function
        return tape.run(function, args, options)

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

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise AttributeError(f"the tracer has no attribute {name!r}")
        function = getattr(np, name)
        return lambda *args, **options: self.tape.run(function, (self, *args), options)

    def reshape(self, *shape: Any) -> Any:
        """See `ndarray.reshape`."""
        shape = shape[0] if len(shape) == 1 else shape
        return self.tape.run(np.reshape, (self, shape), {})

    def flatten(self) -> Any:
        """See `ndarray.flatten`."""
        return self.tape.run(np.ravel, (self,), {})

    def transpose(self, *axes: Any) -> Any:
        """See `ndarray.transpose`."""
        order = axes[0] if len(axes) == 1 else axes or None
        return self.tape.run(np.transpose, (self,) if order is None else (self, order), {})

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """See `ndarray.astype`."""
        return self.tape.run(astype, (self,), {"dtype": dtype})

    def copy(self, order: str = "C") -> Any:
        """See `ndarray.copy`."""
        return self.tape.run(np.copy, (self,), {})


def expression(line: Line, functions: dict[str, Any]) -> str:
    """A line's right-hand side: infix where Python has an operator, a call otherwise.

    What is no public function is written with its module, if it is a part of this package's ops;
    otherwise (an op of the user's) it is added to `functions`.
    """
    args = [text(arg) for arg in line.args]
    if not line.options:
        if line.function in INFIX and len(args) == 2:
            left, right = map(_operand, args)
            return f"{left} {INFIX[line.function]} {right}"
        if line.function is np.negative:
            return f"-{_operand(args[0])}"
        if line.function is getitem:
            index = line.args[1]
            many = isinstance(index, tuple) and index
            return f"{args[0]}[{', '.join(map(_index, index)) if many else _index(index)}]"
    options = [f"{key}={text(value)}" for key, value in line.options.items()]
    name = line.function.__name__
    for prefix, module in (*_MODULES.items(), ("tg", sys.modules[__package__])):
        if getattr(module, name, None) is line.function:
            return f"{prefix}.{name}({', '.join([*args, *options])})"
    home = str(getattr(line.function, "__module__", None))
    if home.startswith(f"{__package__}.") and getattr(sys.modules[home], name, None):
        return f"tg{home.removeprefix(__package__)}.{name}({', '.join([*args, *options])})"
    functions[name] = line.function
    return f"{name}({', '.join([*args, *options])})"


def text(part: Any) -> str:
    """How a value is written in a program."""
    if isinstance(part, (Tracer, Symbol)):
        return part.name
    if isinstance(part, tuple):
        return f"({', '.join(map(text, part))}{',' if len(part) == 1 else ''})"
    if isinstance(part, list):
        return f"[{', '.join(map(text, part))}]"
    if isinstance(part, np.dtype):
        return f"np.{part.type.__name__}"
    if isinstance(part, type):
        return f"np.{part.__name__}" if issubclass(part, np.generic) else part.__name__
    if isinstance(part, np.ndarray):  # 0-d
        return f"np.{part.dtype.type.__name__}({part.item()!r})"
    if part is Ellipsis:
        return "..."
    written = repr(part)
    if isinstance(part, (float, np.floating)) and not np.isfinite(part):
        kind = "float" if isinstance(part, float) else f"np.{type(part).__name__}"
        written = f"{kind}({str(part)!r})"
    return written


def _operand(written: str) -> str:
    """In brackets where an operator would bind more tightly than a minus."""
    return f"({written})" if written.startswith("-") else written


def _index(part: Any) -> str:
    if not isinstance(part, slice):
        return text(part)
    ends = ["" if end is None else text(end) for end in (part.start, part.stop)]
    return ":".join(ends) + (f":{text(part.step)}" if part.step is not None else "")


def _values(part: Any) -> Any:
    if isinstance(part, Tracer):
        return part.value
    if isinstance(part, (tuple, list)):
        return _like(part, [_values(item) for item in part])
    return part


def _like(whole: Any, parts: list[Any]) -> Any:
    """A tuple or list of the same kind, named tuples (`SlogdetResult`) included."""
    make: Any = getattr(type(whole), "_make", type(whole))
    return make(parts)
