"""What a picture says: the snapshot of a graph turned into boxes, arrows and words.

A view holds text only, no Tensor: it is what was true when it was taken, and keeps no graph alive.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinygrad_edu import Tensor
from tinygrad_edu.graph import Snapshot, Vertex

SYMMETRIC = ("add", "multiply", "maximum", "minimum")  # which argument is which does not matter

Kind = Literal["parameter", "input", "op"]


@dataclass(frozen=True, slots=True)
class Box:
    """One value of the graph, in words.

    Attributes:
        index: its place in the view, a topological order.
        kind: a leaf that wants a gradient, a leaf that does not, or the result of an op.
        is_output: whether the picture was asked for this value.
        freed: whether a backward pass has dropped what it was made of.
        op: name of its op, "" for a leaf.
        name: the user's name for it, "" if there is none.
        shape: "(4, 3)".
        dtype: "float64".
        value: of a single number; else "".
        grad: summary of its gradient, "–" before there is one, "" where none is expected.
        options: what the op was told besides its arrays.
        scope: the `tg.scope(...)` it was made in.
    """

    index: int
    kind: Kind
    is_output: bool
    freed: bool
    op: str
    name: str
    shape: str
    dtype: str
    value: str
    grad: str
    options: str
    scope: str

    @property
    def title(self) -> str:
        """What it is: "h = tanh", "W1", "input"."""
        name, op = shorten(self.name, 20), shorten(self.op, 24)
        return f"{name} = {op}" if name and op else name or op or self.kind

    @property
    def lines(self) -> list[str]:
        """The smaller print below the title."""
        value = f" = {self.value}" if self.value else ""
        lines = [shorten(self.options), f"{self.shape} {self.dtype}{value}".strip()]
        if self.grad:
            lines.append(f"grad {self.grad}")
        if self.freed:
            lines.append("inputs freed by backward()")
        return [line for line in lines if line]

    @property
    def description(self) -> str:
        """Everything known, for a tooltip: nothing shortened but what would fill the screen."""
        what = f"output, {self.kind}" if self.is_output else self.kind
        facts = [f"{self.index}: {what} {shorten(self.name, 200)}".rstrip()]
        named = {"op": self.op, "options": self.options, "shape": self.shape, "dtype": self.dtype}
        named |= {"value": self.value, "gradient": self.grad, "scope": self.scope}
        facts += [f"{key}: {shorten(text, 200)}" for key, text in named.items() if text]
        return "\n".join(facts + ["inputs freed by backward()"] * self.freed)


@dataclass(frozen=True, slots=True)
class Arrow:
    """One use of a value by an op.

    Attributes:
        source: index of the box it comes from.
        target: index of the box of the op's result.
        label: name of the argument, "" where there is only one or they are all alike.
        carries: whether a gradient flows back along it.
    """

    source: int
    target: int
    label: str
    carries: bool


@dataclass(frozen=True, slots=True)
class View:
    """All boxes in topological order, and all arrows in the order of their targets."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    @property
    def summary(self) -> str:
        """How much there is, in one line."""
        kinds = [box.kind for box in self.boxes]
        counts = [(len(kinds), "node")] + [
            (kinds.count(kind), kind) for kind in ("op", "parameter", "input") if kind in kinds
        ]
        return "graph of " + ", ".join(f"{n:,} {noun}{'s' * (n != 1)}" for n, noun in counts)

    @property
    def notes(self) -> list[str]:
        """What the reader should know about the whole."""
        if not any(box.freed for box in self.boxes):
            return []
        return [
            "backward() has freed part of this graph. To see all of it, draw before backward(),",
            "or call backward(retain_graph=True).",
        ]


def view_of(snapshot: Snapshot, names: Mapping[str, Any]) -> View:
    """Put a snapshot into words.

    Args:
        snapshot: the graph.
        names: name -> Tensor; what is not in the graph, and names with a leading underscore
            (a notebook's `_` and `_12`), do not count.
    """
    # By identity: comparing Tensors with == makes new ones. The first name of a Tensor wins.
    known = {id(v): k for k, v in reversed([*names.items()]) if not k.startswith("_")}
    outputs = set(snapshot.outputs)
    return View(
        tuple(
            _box(vertex, vertex.index in outputs, known.get(id(vertex.value)))
            for vertex in snapshot.vertices
        ),
        tuple(
            Arrow(
                source,
                vertex.index,
                plain(argument) if len(vertex.inputs) > 1 and vertex.op not in SYMMETRIC else "",
                snapshot.vertices[source].requires_grad and vertex.requires_grad,
            )
            for vertex in snapshot.vertices
            for argument, source in vertex.inputs
        ),
    )


def _box(vertex: Vertex, is_output: bool, name: str | None) -> Box:
    kind: Kind = "op" if vertex.op else "parameter" if vertex.requires_grad else "input"
    grad = getattr(vertex.value, "grad", None)
    return Box(
        index=vertex.index,
        kind=kind,
        is_output=is_output,
        freed=vertex.freed,
        op=plain(vertex.op or ""),
        name=plain(name or vertex.name or ""),
        shape=str(vertex.shape) if vertex.shape is not None else "several outputs",
        dtype=plain(vertex.dtype or ""),
        value=_value(vertex),
        grad=_gradient(grad) if grad is not None else "–" if kind == "parameter" else "",
        options=", ".join(
            f"{plain(key)}={plain(_ShortRepr().repr(value))}"
            for key, value in vertex.options.items()
            if value is not None
        ),
        scope=plain(vertex.scope),
    )


def plain(text: str) -> str:
    """Make a text printable: newlines, control characters and the like as Python writes them."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def shorten(text: str, length: int = 36) -> str:
    """Cut a long text, with … in place of what is missing."""
    return text if len(text) <= length else text[: length - 1] + "…"


class _ShortRepr(reprlib.Repr):
    """Options in few characters: an array as its shape, a slice as it is written in an index."""

    def repr_ndarray(self, array: Any, level: int) -> str:
        return f"array{array.shape}"

    def repr_slice(self, index: slice, level: int) -> str:
        parts = ["" if part is None else repr(part) for part in (index.start, index.stop)]
        return ":".join(parts if index.step is None else [*parts, repr(index.step)])


def _value(vertex: Vertex) -> str:
    """The value where it is a single number; `.data` of a larger leaf might make a copy."""
    if vertex.shape is None or math.prod(vertex.shape) != 1:
        return ""
    return _number(vertex.value.data if isinstance(vertex.value, Tensor) else vertex.value)


def _number(data: Any) -> str:
    return f"{data.item():.4g}" if _in_memory(data) else ""


def _gradient(grad: Any) -> str:
    grad = grad.dense() if hasattr(grad, "dense") else grad
    if not _in_memory(grad):
        return f"{type(grad).__name__} (not computed)"
    if grad.size == 1:
        return _number(grad)
    size = np.abs(grad.astype(float))
    scale = size.max(initial=0.0)  # taken out so that squares neither overflow nor vanish
    norm = scale * np.linalg.norm(size / scale) if 0 < scale < np.inf else scale
    return f"norm {norm:.4g}"


def _in_memory(data: Any) -> bool:
    """Whether the numbers are at hand; an array of another kind may need a cluster to know them."""
    return isinstance(data, np.ndarray | np.generic) and data.dtype.kind in "biuf"
