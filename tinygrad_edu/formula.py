"""Formulas: a gradient rule written as one expression, by calling it with tracers."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tinygrad_edu.errors import UnsupportedError
from tinygrad_edu.op import Op
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.shape import astype
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.tracer import Line, Symbol, Tape, Tracer, expression, text

TOO_LONG = "..."
_NUMBERS = {  # as they are written in a book, not as a computer prints them
    math.pi: "np.pi",
    math.pi / 2: "np.pi / 2",
    math.pi / 180: "np.pi / 180",
    180 / math.pi: "180 / np.pi",
    math.log(2): "np.log(2)",
    math.log(10): "np.log(10)",
    1 / math.log(2): "1 / np.log(2)",
    1 / math.log(10): "1 / np.log(10)",
    math.sqrt(math.pi): "np.sqrt(np.pi)",
    math.sqrt(math.pi) / 2: "np.sqrt(np.pi) / 2",
    2 / math.sqrt(math.pi): "2 / np.sqrt(np.pi)",
    math.sqrt(2): "np.sqrt(2)",
    1 / math.sqrt(2): "1 / np.sqrt(2)",
    math.sqrt(2 / math.pi): "np.sqrt(2 / np.pi)",
    math.sqrt(2 * math.pi): "np.sqrt(2 * np.pi)",
    1 / math.sqrt(2 * math.pi): "1 / np.sqrt(2 * np.pi)",
}


def formula(
    op: Op,
    argument: int | None,
    inputs: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] = (),
    g: str = "g",
    out: str = "out",
    longest: int = 120,
    result: Any = None,
) -> str:
    """What a gradient rule computes, as one expression that was traced from the rule itself.

    `safe_multiply`, the product in which zero times anything is zero, is written `*`; conversions
    between dtypes, and what the engine adds (undoing broadcasts), are not shown.

    Args:
        op: the op.
        argument: position of the input whose rule is asked for; None for the forward pass.
        inputs: example inputs, Tensors or arrays, of which the shapes count; with None as
            `argument`, for a function that is made of other ops, as in a call.
        options: the options of the call.
        names: of the inputs; by default those of the op's arguments. An input that is no array may
            be called "": it is then written out.
        g: name of the cotangent.
        out: name of the result.
        longest: number of characters from which on it says "..." instead.
        result: what the op computed from the inputs, where it is at hand; else it is computed.

    Returns:
        Text such as `g @ W.T`.

    Raises:
        UnsupportedError: if no gradient is defined for the argument, or the rule reads numbers.
    """
    random = any(isinstance(x, np.random.Generator) for x in (*inputs, *(options or {}).values()))
    inputs = [_undrawn(x) for x in inputs]
    options = {key: _undrawn(x) for key, x in (options or {}).items()}
    tape = _NamingTape(random)
    names = list(names) or [op.argument(position) for position in range(len(inputs))]
    values = [tape.begin(x, name) for x, name in zip(inputs, names, strict=True)]
    with np.errstate(all="ignore"):
        if argument is None:
            written = (op.composed or op.public)(*values, **options)
        else:
            rule = op.rule(argument)
            if rule is None:
                raise UnsupportedError(
                    f"formula: {op.name} has no rule for argument {op.argument(argument)!r}"
                )
            position = {"position": argument} if op.variadic else {}
            value = op.forward(*map(_plain, inputs), **options) if result is None else result
            cotangent = tape.begin(_ones_like(value), g)
            written = rule.vjp(cotangent, tape.begin(value, out), *values, **position, **options)
    if isinstance(written, (tuple, list)):
        parts = [tape.inlined(part, longest) for part in written]
        return TOO_LONG if TOO_LONG in parts else ", ".join(parts)
    return tape.inlined(written, longest)


class _Shape(tuple[int, ...]):
    """A shape that is written `x.shape`."""

    owner: str


class _NamingTape(Tape):
    """A tape of lines that refer to each other by names, for making one expression of them.

    Names are given at once, as placeholders, so that any text can stand for an input.
    """

    def __init__(self, random: bool = False) -> None:
        super().__init__()
        self.random = random  # whether arrays that are made on the way were drawn
        self.trees: dict[str, ast.expr | None] = {}  # by placeholder; None: too long
        self.known: list[tuple[Any, Symbol]] = []  # what is no array, and has a name all the same

    def begin(self, value: Any, name: str) -> Any:
        """Name what the rule is called with: arrays, also in a tuple or list."""
        value = _plain(value)
        if not name:
            return value
        if isinstance(value, (np.ndarray, np.generic)):
            return Tracer(value, self, self._placeholder(ast.Name(name)))
        if isinstance(value, (tuple, list)) and any(map(_holds_array, value)):
            parts = [self.begin(x, f"{name}[{i}]") for i, x in enumerate(value)]
            return parts if isinstance(value, list) else tuple(parts)
        if isinstance(value, (tuple, list, slice, np.random.Generator)):
            self.known.append((value, Symbol(self._placeholder(ast.Name(name)))))
        return value

    def _placeholder(self, tree: ast.expr | None) -> str:
        name = f"_{len(self.trees)}"
        self.trees[name] = tree
        return name

    def shape(self, tracer: Tracer) -> tuple[int, ...]:
        shape = _Shape(tracer.value.shape)
        shape.owner = tracer.name
        named = isinstance(self.trees[tracer.name], ast.Name)
        return shape if named and len(shape) else tuple(shape)

    def named(self, part: Any) -> Any:
        for thing, symbol in self.known:
            if part is thing:
                return symbol
        if isinstance(part, _Shape):
            return Symbol(f"{part.owner}.shape")
        if isinstance(part, (float, np.floating)):
            return Symbol(_number(float(part)))
        if isinstance(part, np.ndarray) and part.ndim == 0:
            return self.named(part.item())
        before = len(self.constants)
        found = super().named(part)
        for constant in self.constants[before:]:
            drawn = ast.Name("noise") if self.random else None
            constant.name = self._placeholder(drawn or _literal(constant.value))
        return found

    def run(self, function: Any, args: Any, options: dict[str, Any]) -> Any:
        count = len(self.lines)
        result = super().run(function, args, options)
        for line in self.lines[count:]:
            tree = self._tree(line)
            for index, target in enumerate(line.targets):
                one = tree
                if tree is not None and line.many:
                    one = ast.Subscript(tree, ast.Constant(index))
                target.name = self._placeholder(one)
        return result

    def _tree(self, line: Line) -> ast.expr | None:
        """A line's expression, with the expressions of what it mentions inside."""
        line = Line(
            np.multiply if line.function is safe_multiply else line.function,
            line.args,
            {k: v for k, v in line.options.items() if not _is_default(line.function, k, v)},
        )
        if line.function is astype:
            written = text(line.args[0])
        elif _transposes(line):
            written = f"{text(line.args[0])}.T"
        else:
            written = re.sub(r"^tg(\.\w+)+\.(?=\w+\()", "", expression(line, {}))  # of a part
            if re.match("_[a-z]", written):  # of which users need not know
                return None
        tree = ast.parse(written, mode="eval").body
        inside = [self.trees.get(node.id) for node in ast.walk(tree) if isinstance(node, ast.Name)]
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if any(name in self.trees and self.trees[name] is None for name in names):
            return None
        if sum(map(_nodes, filter(None, inside))) > _MANY:
            return None
        return _Inliner(self.trees).visit(tree)

    def inlined(self, result: Any, longest: int) -> str:
        """The expression of a result."""
        name = text(self.named(result))
        tree = self.trees.get(name, ast.parse(name, mode="eval").body)
        written = TOO_LONG if tree is None else ast.unparse(tree)
        return written if len(written) <= longest else TOO_LONG


_MANY = 400  # nodes of a tree that nobody would want to read: shared parts may double each step


class _Inliner(ast.NodeTransformer):
    def __init__(self, trees: Mapping[str, ast.expr | None]) -> None:
        self.trees = trees

    def visit_Name(self, node: ast.Name) -> ast.expr:
        tree = self.trees.get(node.id)
        return copy.deepcopy(tree) if tree else node  # `unparse` would mistake a shared one


def _is_default(function: Any, option: str, value: Any) -> bool:
    """Whether an option is switched off, and would be without being mentioned."""
    default = _defaults(function).get(option, np._NoValue)
    off = value is None or value is False
    return off and (default is value or default is np._NoValue)


@cache
def _defaults(function: Any) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):  # a ufunc, or written in C
        return {}
    found = {key: p.default for key, p in parameters.items()}
    return {key: x for key, x in found.items() if x is not inspect.Parameter.empty}


def _transposes(line: Line) -> bool:
    if line.options:
        return False
    matrix = isinstance(line.args[0], Tracer) and line.args[0].ndim == 2
    last_two = line.function is np.swapaxes and set(line.args[1:]) in ({-1, -2}, {0, 1})
    return (line.function is np.transpose and len(line.args) == 1) or (
        matrix and (last_two or line.function in (np.matrix_transpose, np.linalg.matrix_transpose))
    )


def _nodes(tree: ast.expr) -> int:
    return sum(1 for _ in ast.walk(tree))


def _number(x: float) -> str:
    for value, name in _NUMBERS.items():
        if math.isclose(abs(x), value, rel_tol=1e-15):
            return f"(-{name})" if x < 0 else f"({name})"
    if not math.isfinite(x):
        return "np.nan" if math.isnan(x) else "(-np.inf)" if x < 0 else "np.inf"
    short = repr(x)
    if len(short) > 8:
        ratios = (f"{round(x * n)} / {n}" for n in range(2, 100) if _is_whole(x * n))
        short = next(ratios, f"{x:.6g}")
    return f"({short})"


def _is_whole(x: float) -> bool:
    return round(x) != 0 and math.isclose(x, round(x), rel_tol=1e-15)


def _literal(array: np.ndarray[Any, Any]) -> ast.expr | None:
    """A small array that a rule makes on the way; nobody would want to read a large one."""
    if array.size > 8:
        return None
    return ast.parse(f"np.array({array.tolist()!r})", mode="eval").body


def _undrawn(x: Any) -> Any:
    """What a formula may draw from without the user's Generator moving on."""
    return copy.deepcopy(x) if isinstance(x, np.random.Generator) else x


def _holds_array(part: Any) -> bool:
    return isinstance(part, (Tensor, np.ndarray, np.generic))


def _plain(x: Any) -> Any:
    return x._array if isinstance(x, Tensor) else x


def _ones_like(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(np.ones_like(part) for part in value)
    return np.ones_like(value)
