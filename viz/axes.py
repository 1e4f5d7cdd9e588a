"""Which cells of an equation belong together, read off the expression itself.

In `A @ B` the columns of A and the rows of B are one axis, in `x + y` all axes are, and
`np.sum(x, axis=0)` has lost one. So every axis of every array in an equation gets a number, the
same where they are one: two cells belong together if they agree on all axes that they share.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

POINTWISE = {  # besides the ufuncs of NumPy, and by their names as formulas have them
    "np.where",
    "np.clip",
    *("ndtr", "tg.erf", "tg.gelu", "tg.leaky_relu", "tg.log_sigmoid", "tg.mish", "tg.relu"),
    *("tg.rsqrt", "tg.safe_multiply", "tg.sigmoid", "tg.silu", "tg.softplus", "tg.softsign"),
}
_REDUCTIONS = {"np.sum", "np.mean", "np.max", "np.min", "np.prod", "np.all", "np.any"}


class Unknown(Exception):
    """The expression mixes cells in a way that no simple rule tells."""


class Axis:
    """One axis, which may turn out to be the same as another."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._same: Axis | None = None

    def found(self) -> Axis:
        """The one that stands for all that are the same."""
        axis = self
        while axis._same is not None:
            axis = axis._same
        return axis

    def join(self, other: Axis) -> None:
        """Say that two axes are one; a stretched axis (of size 1) is not the one it meets."""
        mine, theirs = self.found(), other.found()
        if mine is not theirs and mine.size == theirs.size:
            mine._same = theirs


Axes = list[Axis]


def fresh(shape: Sequence[int]) -> Axes:
    """Axes of an array that nothing is known about."""
    return [Axis(size) for size in shape]


def aligned(parts: Sequence[Axes]) -> Axes:
    """The axes of a broadcast result: from the last one on, axes of the same size are one."""
    result = fresh([1] * max(map(len, parts), default=0))
    for part in parts:
        for place, axis in enumerate(reversed(part), 1):
            if result[-place].size == 1:
                result[-place] = axis
            result[-place].join(axis)
    return result


def is_pointwise(tree: ast.expr) -> bool:
    """Whether each cell of the result comes from the cells at the same place alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not _pointwise_function(ast.unparse(node.func)):
            return False
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            return False
        if isinstance(node, ast.Subscript | ast.List | ast.Tuple):
            return False
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("np", "tg"):
            return False
    return True


def _pointwise_function(name: str) -> bool:
    ufunc = getattr(np, name.removeprefix("np."), None) if name.startswith("np.") else None
    return name in POINTWISE or (isinstance(ufunc, np.ufunc) and ufunc.signature is None)


class Reader:
    """Works out the axes of an expression from those of the names in it."""

    def __init__(self, known: Mapping[str, Axes], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.known, self.shapes = known, shapes

    def axes(self, tree: ast.expr) -> Axes:
        """The axes of the result.

        Raises:
            Unknown: if it is no arithmetic, product, sum or change of shape.
        """
        match tree:
            case ast.Name(id=name) if name in self.known:
                return self.known[name]
            case ast.Constant():
                return []
            case ast.Attribute(value=ast.Name(id="np"), attr="pi" | "inf" | "nan"):
                return []
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                return _product(self.axes(left), self.axes(right))
            case ast.Attribute(value=value, attr="T"):
                return self.axes(value)[::-1]
            case ast.BinOp(left=left, right=right):
                return aligned([self.axes(left), self.axes(right)])
            case ast.Compare(left=left, comparators=others):
                return aligned([self.axes(part) for part in (left, *others)])
            case ast.UnaryOp(operand=operand):
                return self.axes(operand)
            case ast.Call():
                return self._call(tree)
        raise Unknown

    def _call(self, tree: ast.Call) -> Axes:
        name = ast.unparse(tree.func)
        if _pointwise_function(name):
            return aligned([self.axes(part) for part in tree.args])
        first = self.axes(tree.args[0]) if tree.args else []
        options = {str(word.arg): word.value for word in tree.keywords}
        if name in _REDUCTIONS and len(tree.args) == 1:
            return _reduced(first, **{key: self._plain(value) for key, value in options.items()})
        if name == "np.swapaxes":
            return _swapped(first, *map(self._plain, (*tree.args[1:], *options.values())))
        if len(tree.args) == 2 and not options:
            if name == "np.broadcast_to":
                return aligned([fresh(self._plain(tree.args[1])), first])
            if name == "np.reshape":
                return _reshaped(first, self._plain(tree.args[1]))
            if name == "np.expand_dims":
                place = self._plain(tree.args[1]) % (len(first) + 1)
                return [*first[:place], Axis(1), *first[place:]]
        raise Unknown

    def _plain(self, tree: ast.expr) -> Any:
        """A shape or an axis that is written in the expression."""
        if isinstance(tree, ast.Attribute) and isinstance(tree.value, ast.Name):
            if tree.attr == "shape" and tree.value.id in self.shapes:
                return self.shapes[tree.value.id]
            raise Unknown
        try:
            return ast.literal_eval(tree)
        except ValueError:
            raise Unknown from None


def _product(left: Axes, right: Axes) -> Axes:
    """Of a matrix product: what is summed over is one axis."""
    inner = right[-2] if len(right) > 1 else right[0]
    left[-1].join(inner)
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else []
    return [*aligned([left[:-2], right[:-2]]), *rows, *columns]


def _reduced(axes: Axes, axis: Any = None, keepdims: bool = False, **others: Any) -> Axes:
    if others.keys() - {"dtype"}:
        raise Unknown
    gone = range(len(axes)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    places = {place % len(axes) for place in gone} if axes else set()
    if keepdims:
        return [Axis(1) if place in places else axis for place, axis in enumerate(axes)]
    return [axis for place, axis in enumerate(axes) if place not in places]


def _swapped(axes: Axes, one: int, other: int) -> Axes:
    swapped = [*axes]
    swapped[one], swapped[other] = axes[other], axes[one]
    return swapped


def _reshaped(axes: Axes, shape: Any) -> Axes:
    """Of a new shape that only adds or drops axes of size 1."""
    shape = shape if isinstance(shape, tuple) else (shape,)
    kept = [axis for axis in axes if axis.size != 1]
    if [axis.size for axis in kept] != [size for size in shape if size != 1] and (
        -1 not in shape or len(kept) != sum(size != 1 for size in shape)
    ):
        raise Unknown
    rest = iter(kept)
    return [Axis(1) if size == 1 else next(rest) for size in shape]
