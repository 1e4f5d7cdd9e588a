"""What an equation shows: the traced formula of a rule, with matrices in place of the names.

A rule that works cell by cell is shown as *local gradient × upstream gradient*, and the local
gradient is what the rule itself makes of an upstream gradient of ones. All others are shown as they
compute, operands in mathematical order (`X.T @ g`): their local gradients would have four axes.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu import Op, formula
from viz.axes import Axes, Reader, Unknown, aligned, fresh, is_pointwise
from viz.naming import LARGE
from viz.words import in_memory, option, shorten

LONGEST = 2_000  # characters of a formula that is still taken apart
MOST_CARDS = 4  # in one formula; what is more cannot be read in one row
_G, _OUT = "g_", "out_"  # placeholders; real names may be any text
_MARK = re.compile("\0(\\d+)\0")


@dataclass(frozen=True)
class Card:
    """Numbers in an equation.

    Attributes:
        label: what they are, "X.T".
        value: the array, or what stands for one that is not in memory.
        role: their part in the chain rule, "upstream gradient"; "" for a mere operand.
        axes: which cells belong to which of other cards; None if nobody knows.
    """

    label: str
    value: Any
    role: str = ""
    axes: Axes | None = None


Row = tuple[str | Card, ...]


@dataclass(frozen=True)
class Call:
    """One application of an op.

    Attributes:
        op: what was applied.
        values: its inputs, as plain arrays where they are arrays.
        options: the options of the call.
        names: what the inputs are called.
        out: the result, a tuple of arrays for several.
        out_name: what it is called.
        g: what its gradient is called.
    """

    op: Op
    values: tuple[Any, ...]
    options: Mapping[str, Any]
    names: Sequence[str]
    out: Any
    out_name: str
    g: str = "g"

    @property
    def at_hand(self) -> bool:
        """Whether its rules can be asked again without much work, here or on another machine."""
        arrays = [x for x in (*self.values, *_parts(self.out)) if hasattr(x, "dtype")]
        return all(map(in_memory, arrays)) and sum(x.size for x in arrays) <= LARGE


@dataclass(frozen=True)
class Equation:
    """How a contribution comes about.

    Attributes:
        text: the rule in real names, "X.T @ g"; "" if it could not be traced.
        row: the same with numbers, up to and with the contribution.
        local: whether it is local gradient times upstream gradient, cell by cell.
        stretched: the shape in which the contribution arose, if the engine had to undo a
            broadcast; else None.
        agrees: whether the operands shown give the contribution.
        hidden_zero: whether a zero upstream met a local gradient that is infinite or NaN.
    """

    text: str
    row: Row
    local: bool = False
    stretched: tuple[int, ...] | None = None
    agrees: bool = True
    hidden_zero: bool = False


def forward(call: Call) -> tuple[str, Row]:
    """How a value was computed: text, and a row that ends in the value."""
    arguments = [f"a{i}" for i in range(len(call.values))]
    tree = _traced(call, None) if call.at_hand else None
    names = {x.id for x in ast.walk(tree) if isinstance(x, ast.Name)} if tree else set()
    if tree is None or not names.intersection(arguments):
        tree = ast.Call(ast.Name(call.op.name), [ast.Name(name) for name in arguments], [])
    text, row, axes = _in_real_names(tree, call, None)
    value = Card(call.out_name, call.out, "value", _like(axes, call.out))
    return text, (*row, "=", value)


def backward(call: Call, position: int, upstream: Any, contribution: Any) -> Equation:
    """How the contribution to one input comes about."""
    tree = raw = None
    if call.at_hand and in_memory(contribution):
        tree = _traced(call, position)
        raw = _pulled(call, position, upstream)
    stretched = None
    if raw is not None and raw.shape != contribution.shape:
        stretched = raw.shape
    if tree is None:
        g = Card(call.g, upstream, "upstream gradient")
        rule = f"rule of {call.op.name} for {call.op.argument(position)}:"
        row: Row = (rule, g, "→", _contribution(contribution, None))
        return Equation("", row, stretched=stretched)
    known = _agree(raw, contribution)
    local = None
    if raw is not None and not isinstance(upstream, tuple) and _has_local(tree, upstream):
        local = _pulled(call, position, np.ones_like(call.out))
    if local is not None:
        return _local(tree, call, local, upstream, contribution, stretched, known)
    text, row, axes = _in_real_names(tree, call, upstream)
    if stretched is not None:
        row = (*row, f"summed to {contribution.shape}")
    return Equation(
        text,
        (*row, "=", _contribution(contribution, _like(axes, contribution))),
        stretched=stretched,
        agrees=known,
    )


def _has_local(tree: ast.expr, upstream: Any) -> bool:
    """Whether ones as upstream gradient give the whole local gradient."""
    return is_pointwise(tree) or np.ndim(upstream) == 0


def _local(
    tree: ast.expr,
    call: Call,
    local: Any,
    upstream: Any,
    contribution: Any,
    stretched: tuple[int, ...] | None,
    agrees: bool,
) -> Equation:
    """Local gradient × upstream gradient = contribution."""
    text, _, _ = _in_real_names(tree, call, None)
    written, _, _ = _in_real_names(_WithoutUpstream().visit(copy.deepcopy(tree)), call, None)
    shape = np.broadcast_shapes(local.shape, np.shape(upstream))
    base = fresh(shape)
    dead = ~np.isfinite(local) & (np.broadcast_to(upstream, shape) == 0)
    row: Row = (
        Card(written, local, "local gradient", _like(base, local)),
        "×",
        Card(call.g, upstream, "upstream gradient", _like(base, upstream)),
    )
    if stretched is not None:
        row = (*row, f"summed over {summed_axes(stretched, contribution.shape)}")
    row = (*row, "=", _contribution(contribution, _like(base, contribution)))
    return Equation(text, row, True, stretched, agrees, bool(dead.any()))


def summed_axes(large: Sequence[int], small: Sequence[int]) -> str:
    """Over which axes a broadcast is undone: "axis 0", "axes 0 and 2"."""
    extra = len(large) - len(small)
    gone = [*range(extra)] + [
        extra + i for i, (a, b) in enumerate(zip(large[extra:], small, strict=True)) if a != b
    ]
    words = [str(axis) for axis in gone]
    return f"axis {words[0]}" if len(words) == 1 else f"axes {' and '.join(words)}"


def _contribution(value: Any, axes: Axes | None) -> Card:
    return Card("", value, "contribution", axes)


def _like(axes: Axes | None, value: Any) -> Axes | None:
    """Axes of an array that is broadcast with, or summed down from, something with `axes`."""
    if axes is None or isinstance(value, tuple):
        return None
    own = fresh(np.shape(value))
    aligned([axes, own])
    return own


def _traced(call: Call, position: int | None) -> ast.expr | None:
    """The expression of a rule, or of the forward pass, in placeholders; None if there is none."""
    try:
        written = formula(
            call.op,
            position,
            call.values,
            call.options,
            names=[f"a{i}" if _is_numbers(x) else "" for i, x in enumerate(call.values)],
            g=_G,
            out=_OUT,
            longest=LONGEST,
        )
        tree = ast.parse(written, mode="eval").body
    except Exception:  # a rule of the user's may do anything with a tracer
        return None
    return None if isinstance(tree, ast.Constant | ast.Tuple) else tree


def _pulled(call: Call, position: int, upstream: Any) -> Any:
    """What the rule itself makes of an upstream gradient; None if it makes no array of it."""
    rule = call.op.rule(position)
    assert rule is not None, "no gradient flows without a rule"
    given = (*call.values, *call.options.values())
    if any(isinstance(x, np.random.Generator) for x in given):
        return None  # asked again, it would draw again
    extra = {"position": position} if call.op.variadic else {}
    try:
        with np.errstate(all="ignore"):
            raw = rule.vjp(upstream, call.out, *call.values, **extra, **call.options)
    except Exception:  # it did work for the engine: here it is only for show
        return None
    return raw if in_memory(raw) else None


def _agree(raw: Any, contribution: Any) -> bool:
    """Whether the rule, asked again, gives what the sweep had."""
    if raw is None:
        return True
    extra = raw.ndim - contribution.ndim
    summed = raw.sum(axis=tuple(range(extra))) if extra > 0 else raw
    places = zip(summed.shape, contribution.shape, strict=True)
    gone = tuple(place for place, (a, b) in enumerate(places) if a != b)
    summed = summed.sum(axis=gone, keepdims=True) if gone else summed
    tolerance = 1e-3 if contribution.dtype.itemsize < 8 else 1e-8
    scale = np.abs(contribution[np.isfinite(contribution)]).max(initial=0.0)
    return np.allclose(summed, contribution, tolerance, tolerance * scale, equal_nan=True)


class _WithoutUpstream(ast.NodeTransformer):
    """The formula of the local gradient: `g` is taken as 1, and what is times 1 is shortened."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(1) if node.id == _G else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) and _is_one(node.left):
            return node.right
        if isinstance(node.op, ast.Mult | ast.Div) and _is_one(node.right):
            return node.left
        return node


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1 and type(node.value) is int


class _Marker(ast.NodeTransformer):
    """Puts marks in place of placeholders, and notes what each stands for."""

    def __init__(self, call: Call, upstream: Any) -> None:
        self.marks: list[str | Card] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.known: dict[str, tuple[str, Any, str]] = {
            f"a{i}": (name, value, "")
            for i, (name, value) in enumerate(zip(call.names, call.values, strict=True))
        }
        self.known[_OUT] = (call.out_name, call.out, "")
        self.known[_G] = (call.g, upstream, "upstream gradient")

    def mark(self, part: str | Card) -> ast.Name:
        self.marks.append(part)
        return ast.Name(f"\0{len(self.marks) - 1}\0")

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.known:
            return node
        name, value, role = self.known[node.id]
        if not hasattr(value, "dtype"):
            return self.mark(name or option(value))
        return self.mark(Card(name, value, role, fresh(np.shape(value))))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if not (isinstance(node.value, ast.Name) and node.value.id in self.known):
            self.generic_visit(node)
            return node
        name, value, role = self.known[node.value.id]
        if node.attr == "T" and in_memory(value):
            return self.mark(Card(f"{name}.T", value.T, role, fresh(value.T.shape)))
        written = self.mark(name)
        self.shapes[written.id] = np.shape(value)
        return ast.Attribute(written, node.attr)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Constant):
            name, value, role = self.known.get(node.value.id, ("", None, ""))
            if isinstance(value, tuple) and isinstance(node.slice.value, int):
                part = value[node.slice.value]
                if not hasattr(part, "dtype"):
                    return self.mark(option(part))
                label = f"{name}[{node.slice.value}]"
                return self.mark(Card(label, part, role, fresh(np.shape(part))))
        self.generic_visit(node)
        return node


def _in_real_names(tree: ast.expr, call: Call, upstream: Any) -> tuple[str, Row, Axes | None]:
    """An expression in placeholders as text, as a row of cards, and the axes of its result."""
    marker = _Marker(call, upstream)
    marked = marker.visit(copy.deepcopy(tree))
    cards = {f"\0{i}\0": card for i, card in enumerate(marker.marks) if isinstance(card, Card)}
    pieces = _MARK.split(ast.unparse(ast.fix_missing_locations(marked)))
    parts = [piece if i % 2 == 0 else marker.marks[int(piece)] for i, piece in enumerate(pieces)]
    text = "".join(part.label if isinstance(part, Card) else part for part in parts)
    try:
        known = {mark: card.axes or [] for mark, card in cards.items()}
        axes: Axes | None = Reader(known, marker.shapes).axes(marked)
    except (Unknown, IndexError, TypeError):
        axes = None
    return text, _readable(parts, text, cards, axes is not None), axes


def _readable(parts: Sequence[str | Card], text: str, cards: Mapping[str, Card], tied: bool) -> Row:
    """The parts as a row, with no more cards than can be read in one."""
    first: dict[str, Card] = {}
    for card in cards.values():
        first.setdefault(card.label, card)
    if len(first) > MOST_CARDS or len(text) > 160:
        shown = [card for card in first.values() if card.role] or [*first.values()][:1]
        return (shorten(text, 160), "with", *(Card(c.label, c.value, c.role) for c in shown))
    repeat = len(cards) > MOST_CARDS
    row: list[str | Card] = []
    for part in parts:
        if isinstance(part, Card) and not (repeat and first[part.label] is not part):
            row.append(part if tied else Card(part.label, part.value, part.role))
        else:
            word = part.label if isinstance(part, Card) else part
            last = row.pop() if row and isinstance(row[-1], str) else ""
            row.append(f"{last}{word}")
    words = (part.strip() if isinstance(part, str) else part for part in row)
    return tuple(part for part in words if part)


def _is_numbers(value: Any) -> bool:
    """Whether it is an array, or the several results of an op; an index or a shape is neither."""
    several = isinstance(value, tuple) and len(value) > 0
    return hasattr(value, "dtype") or (several and all(hasattr(x, "dtype") for x in value))


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
