"""What a picture says: the snapshot of a graph turned into boxes, arrows and words.

A view holds text only, no Tensor: it is what was true when it was taken, and keeps no graph alive.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tinygrad_edu.graph import Snapshot, Use, Vertex
from viz import words
from viz.folding import FULL, Plan, Unit
from viz.naming import SELECT, Wording, called
from viz.words import plain, shorten

LONGEST_LABEL = 26
_SPREAD = re.compile(r"np\.broadcast_to\((.*), (?:[^()]*\.shape|\([\d, ]*\))\)")

Kind = Literal["parameter", "input", "op", "module"]
Level = Literal["compact", "normal", "full"]


@dataclass(frozen=True, slots=True)
class Box:
    """One value of the graph, or several that are drawn as one, in words.

    Attributes:
        index: its place in the view, a topological order.
        kind: a leaf that wants a gradient, a leaf that does not, the result of an op, or several.
        name: what formulas and sentences call it.
        title: the large print: "h = tanh", "W1", "layer0 … layer11".
        lines: the small print below it.
        description: everything known, for a tooltip: a line per fact.
        op: name of its op, "" for a leaf.
        expression: how it was computed, "X @ W1"; "" where that is too long.
        shape: "(4, 3)".
        dtype: "float64".
        value: the number, or from where to where its numbers reach.
        grad: summary of its gradient, "–" before there is one, "" where none is expected.
        times: how many modules alike it stands for.
        vertex: its index in the snapshot, -1 if it stands for several.
        frame: index of the frame that it is in, -1 for none.
        is_output: whether the picture was asked for this value.
        freed: whether a backward pass has dropped what it was made of.
        marked: whether it is highlighted.
    """

    index: int
    kind: Kind
    name: str
    title: str
    lines: tuple[str, ...] = ()
    description: str = ""
    op: str = ""
    expression: str = ""
    shape: str = ""
    dtype: str = ""
    value: str = ""
    grad: str = ""
    times: int = 1
    vertex: int = -1
    frame: int = -1
    is_output: bool = False
    freed: bool = False
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Arrow:
    """One use of a value by an op.

    Attributes:
        source: index of the box it comes from.
        target: index of the box of the op's result.
        argument: which argument it is.
        formula: what flows back along it, "g @ W2.T", where `g` is the gradient that arrives at
            the target; "" where nothing does, or no short form exists.
        label: what stands at the arrow in the picture: the formula, or how much flows back.
        carries: whether a gradient flows back along it.
        marked: whether it is highlighted.
        weight: how much of a gradient flows back, from 0 to 1; None if that is not shown.
        use: (vertex, position among its inputs) in the snapshot; None if it stands for several.
    """

    source: int
    target: int
    argument: str = ""
    formula: str = ""
    label: str = ""
    carries: bool = True
    marked: bool = False
    weight: float | None = None
    use: tuple[int, int] | None = None

    @property
    def width(self) -> float:
        """How thick it is drawn: the root of the weight, so that small ones can be told apart."""
        return 1.4 if self.weight is None else 1 + 6 * self.weight**0.5


@dataclass(frozen=True, slots=True)
class Frame:
    """A module that is drawn open: a box around boxes.

    Attributes:
        title: the last part of its scope.
        parent: index of the frame that it is in, -1 for none.
    """

    title: str
    parent: int


@dataclass(frozen=True)
class View:
    """All boxes in topological order, and all arrows in the order of their targets.

    Attributes:
        boxes: the boxes.
        arrows: the arrows.
        frames: the frames, parents first.
        notes: what the reader should know about the whole.
        total: how many values these are; more than there are boxes if some are drawn as one.
        g: what formulas call the gradient that arrives at a result.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[Frame, ...] = ()
    notes: tuple[str, ...] = ()
    total: int = 0
    g: str = "g"

    @property
    def summary(self) -> str:
        """How much there is, in one line."""
        kinds = [box.kind for box in self.boxes]
        counts = [_count(len(kinds), "node" if self.total <= len(kinds) else "box")] + [
            _count(kinds.count(kind), kind)
            for kind in ("op", "parameter", "input", "module")
            if kind in kinds
        ]
        of = f" (of {self.total:,} nodes)" if self.total > len(kinds) else ""
        return f"graph of {', '.join(counts)}{of}"

    @property
    def legend(self) -> tuple[str, ...]:
        """What stands below a picture: how to read its arrows, and the notes."""
        if not any(arrow.formula and arrow.weight is None for arrow in self.arrows):
            return self.notes
        key = f"On an arrow: what flows back along it; {self.g} is what arrives at its head."
        return (key, *self.notes)

    @cached_property
    def own(self) -> str:
        """What all ids of its picture begin with: pictures share a page, and each has its own."""
        return "g" + hashlib.sha256(repr(self).encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True)
class Marks:
    """What of a graph is highlighted.

    Attributes:
        vertices: indices.
        flows: (user, position among its inputs) -> norm of what flows back there.
        gradients: vertex -> norm of its gradient in the same backward pass.
    """

    vertices: frozenset[int] = frozenset()
    flows: Mapping[tuple[int, int], float] | None = None
    gradients: Mapping[int, float] | None = None


def view_of(
    graph: Snapshot,
    names: list[str],
    plan: Plan,
    level: Level = "normal",
    marks: Marks | None = None,
    gradients: bool = True,
) -> View:
    """Put a plan into words.

    Args:
        graph: the graph.
        names: of all its vertices.
        plan: what is drawn.
        level: "compact" (op and shape), "normal" (also dtype, summaries of value and gradient,
            formulas), "full" (also the numbers).
        marks: what is highlighted.
        gradients: whether to tell those that an earlier backward pass has left.
    """
    return _Writer(graph, names, plan, level, marks or Marks(), gradients).view()


def fitting_level(level: Level, plan: Plan) -> tuple[Level, list[str]]:
    """The level at which a picture of this size can be read, and a note if it is another."""
    is_large = len(plan.units) > FULL or any(unit.title for unit in plan.units)
    if level == "compact" or not is_large:
        return level, []
    return "compact", ["Op and shape only, for the graph is large; collapse='none' tells all."]


class _Writer:
    def __init__(
        self,
        graph: Snapshot,
        names: list[str],
        plan: Plan,
        level: Level,
        marks: Marks,
        gradients: bool,
    ) -> None:
        self.graph, self.names, self.plan, self.level, self.marks = graph, names, plan, level, marks
        self.gradients = gradients
        self.wording = Wording(graph, names, short=True)
        self.owner = {i: k for k, unit in enumerate(plan.units) for i in unit.members}
        self.outputs = set(graph.outputs)

    def view(self) -> View:
        boxes = tuple(self._box(k, unit) for k, unit in enumerate(self.plan.units))
        notes = list(self.plan.notes)
        if not any(vertex.requires_grad for vertex in self.graph.vertices):
            notes.append(
                "Nothing here needs a gradient, so nothing was recorded: give the "
                "parameters requires_grad=True."
            )
        if any(box.freed for box in boxes):
            notes += [
                "backward() has freed part of this graph. To see all of it, draw before "
                "backward(), or call backward(retain_graph=True).",
            ]
        frames = tuple(
            Frame(shorten(plain(title), 40), parent) for title, parent in self.plan.frames
        )
        return View(
            boxes, tuple(self._arrows()), frames, tuple(notes), len(self.owner), self.wording.g
        )

    # -- boxes -----------------------------------------------------------------------------

    def _box(self, index: int, unit: Unit) -> Box:
        if unit.title:
            return self._module(index, unit)
        vertex = self.graph.vertices[unit.members[0]]
        kind: Kind = "op" if vertex.op else "parameter" if vertex.requires_grad else "input"
        name, op = self.names[vertex.index], called(vertex.op or "")
        expression = "" if self.level == "compact" else plain(self.wording.expression(vertex))
        facts = {
            "op": op,
            "options": self._options(vertex),
            "shape": str(vertex.shape) if vertex.shape is not None else "several outputs",
            "dtype": plain(vertex.dtype or ""),
            "value": "" if self.level == "compact" else words.value(vertex.array),
            "gradient": self._gradient(vertex),
            "computed": expression,
            "scope": plain(vertex.scope),
        }
        return Box(
            index=index,
            kind=kind,
            name=name,
            title=_title(vertex, name, op),
            lines=tuple(self._lines(vertex, facts)),
            description=_description(
                f"{index}: {'output, ' * (vertex.index in self.outputs)}{kind} {name}",
                vertex,
                facts,
            ),
            op=op,
            expression=expression,
            shape=facts["shape"],
            dtype=facts["dtype"],
            value=facts["value"],
            grad=facts["gradient"],
            vertex=vertex.index,
            frame=unit.frame,
            is_output=vertex.index in self.outputs,
            freed=vertex.freed,
            marked=vertex.index in self.marks.vertices,
        )

    def _module(self, index: int, unit: Unit) -> Box:
        vertices = [self.graph.vertices[i] for i in unit.members]
        ops = Counter(called(v.op) for v in vertices if v.op)
        parameters = [v for v in vertices if v.op is None and v.requires_grad]
        title = plain(unit.title) + (f" ×{unit.times}" if unit.times > 1 else "")
        lines = [] if unit.is_chain else [_count(sum(ops.values()), "op")]
        if parameters:
            count = sum(v.array.size for v in parameters)
            lines.append(f"{_count(len(parameters), 'parameter')}, {_count(count, 'number')}")
        if unit.times > 1:
            lines.append("one after the other" if unit.in_a_row else "side by side")
        last = vertices[-1]
        if last.shape is not None:
            lines.append(f"ends with {last.shape}")
        made = [f"{op} ×{n}" if n > 1 else op for op, n in ops.most_common()]
        return Box(
            index=index,
            kind="module",
            name=title,
            title=shorten(title),
            lines=tuple(lines),
            description="\n".join([f"{index}: {title}", *lines, f"ops: {', '.join(made)}"]),
            shape=str(last.shape) if last.shape is not None else "",
            dtype=plain(last.dtype or ""),
            times=unit.times,
            frame=unit.frame,
            is_output=bool(self.outputs.intersection(unit.members)),
            freed=any(v.freed for v in vertices),
            marked=bool(self.marks.vertices.intersection(unit.members)),
        )

    def _options(self, vertex: Vertex) -> str:
        return ", ".join(
            f"{plain(key)}={words.option(value)}"
            for key, value in vertex.options.items()
            if value is not None
        )

    def _gradient(self, vertex: Vertex) -> str:
        if self.marks.gradients is not None and vertex.index in self.marks.gradients:
            return f"norm {words.number(self.marks.gradients[vertex.index])}"
        if not self.gradients:
            return ""
        grad = getattr(vertex.value, "grad", None)
        if grad is not None:
            return words.gradient(grad)
        return "–" if vertex.op is None and vertex.requires_grad else ""

    def _lines(self, vertex: Vertex, facts: Mapping[str, str]) -> list[str]:
        if self.level == "compact":
            lines = [facts["shape"]]
        else:
            lines = [shorten(facts["computed"], 30) or shorten(facts["options"], 30)]
            lines += [
                f"{self.names[i]}: {self.graph.vertices[i].shape} {self.graph.vertices[i].dtype}"
                for i in self.plan.constants.get(vertex.index, ())
                if self.graph.vertices[i].array.size > 1
            ]
            one = _is_one(vertex) and facts["value"] != ""
            value = f" = {facts['value']}" if one else ""
            lines.append(f"{facts['shape']} {facts['dtype']}{value}".strip())
            lines.append("" if one or self.level == "full" else facts["value"])
        if self.level == "full" and not (vertex.shape is None or _is_one(vertex)):
            lines += words.rows(vertex.array)
        if facts["gradient"] and self.level != "compact":
            lines.append(f"grad {facts['gradient']}")
        grad = getattr(vertex.value, "grad", None)
        if self.level == "full" and grad is not None and vertex.shape and not _is_one(vertex):
            lines += words.rows(grad.dense() if hasattr(grad, "dense") else grad)
        if vertex.freed:
            lines.append("inputs freed by backward()")
        if missing := sum(use.source not in self.owner for use in self._shown(vertex)):
            lines.append(f"… {_count(missing, 'more input')}")
        return [line for line in lines if line]

    def _shown(self, vertex: Vertex) -> list[Use]:
        folded = self.plan.constants.get(vertex.index, ())
        return [use for use in vertex.inputs if use.source not in folded]

    # -- arrows ----------------------------------------------------------------------------

    def _arrows(self) -> list[Arrow]:
        arrows: list[Arrow] = []
        most = max(filter(math.isfinite, (self.marks.flows or {}).values()), default=0.0)
        for k, unit in enumerate(self.plan.units):
            drawn: dict[int, int] = {}  # between boxes that stand for several there is one arrow
            for vertex in (self.graph.vertices[i] for i in unit.members):
                for use in self._shown(vertex):
                    source = self.owner.get(use.source)
                    if source is None or source == k:
                        continue
                    arrow = self._arrow(vertex, use, source, k, most)
                    merged = unit.title or self.plan.units[source].title
                    if merged and source in drawn:
                        place = drawn[source]
                        arrow = _both(arrows[place], arrow)
                        arrows[place] = arrow
                    else:
                        drawn[source] = len(arrows)
                        arrows.append(arrow)
        return arrows

    def _arrow(self, vertex: Vertex, use: Use, source: int, target: int, most: float) -> Arrow:
        carries = self.graph.vertices[use.source].requires_grad and vertex.requires_grad
        whole = not self.plan.units[target].title
        formula, weight = "", None
        if carries and whole and self.level != "compact":
            formula = plain(self.wording.contribution(vertex, use))
        label = _label(formula)
        if self.marks.flows is not None:
            flow = self.marks.flows.get((vertex.index, use.position))
            label = ""
            if flow is not None:
                label = words.number(flow)
                weight = (flow / most if most else 0.0) if math.isfinite(flow) else 1.0
        return Arrow(
            source,
            target,
            plain(use.argument),
            formula,
            label if whole else "",
            carries,
            marked={vertex.index, use.source} <= self.marks.vertices,
            weight=weight,
            use=(vertex.index, use.position),
        )


def _label(formula: str) -> str:
    """A formula in few characters, to stand at an arrow."""
    spread = _SPREAD.fullmatch(formula)
    return shorten(f"{spread[1]}, spread" if spread else formula, LONGEST_LABEL)


def _both(first: Arrow, second: Arrow) -> Arrow:
    """One arrow in place of two."""
    weights = [w for w in (first.weight, second.weight) if w is not None]
    return Arrow(
        first.source,
        first.target,
        carries=first.carries or second.carries,
        marked=first.marked or second.marked,
        weight=max(weights, default=None),
    )


def _title(vertex: Vertex, name: str, op: str) -> str:
    """What it is: "h = tanh", "W1"; the scope is told by the frame."""
    short = shorten(name, 24)
    if vertex.op is None:
        return short
    if vertex.op == SELECT:
        return short
    made = name.removeprefix(f"{plain(vertex.scope.rpartition('/')[2])}.")
    if made == op or made.startswith(f"{op}_"):
        return shorten(made, 24)
    return f"{short} = {shorten(op, 24)}"


def _description(head: str, vertex: Vertex, facts: Mapping[str, str]) -> str:
    """Everything known: nothing shortened but what would fill the screen."""
    lines = [
        head.rstrip(),
        *(f"{key}: {shorten(text, 200)}" for key, text in facts.items() if text),
    ]
    return "\n".join(lines + ["inputs freed by backward()"] * vertex.freed)


def _is_one(vertex: Vertex) -> bool:
    return not isinstance(vertex.array, tuple) and vertex.array.size == 1


def _count(n: int, noun: str) -> str:
    plural = {"box": "boxes"}.get(noun, f"{noun}s")
    return f"{n:,} {noun if n == 1 else plural}"
