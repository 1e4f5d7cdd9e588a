"""What values are called, and the formulas of a graph in these names.

The formulas are traced from the rules themselves (`tg.formula`), never written here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any

from tinygrad_edu import Tensor, formula
from tinygrad_edu.graph import Snapshot, Use, Vertex
from viz.words import in_memory, number, plain, shorten

LONGEST_NAME = 40
MANY = 64  # inputs of an op; more make no formula that could be read
_WORD = re.compile(r"[\w.\[\]…]+")
LARGE = 2_000_000  # numbers; to trace a rule is to run it, and that would take longer than to draw
SELECT = "select"  # the op that takes one of several outputs


def called(op: str) -> str:
    """The name of an op in pictures; `safe_multiply` is a product, and formulas write `*`."""
    return "multiply" if op == "safe_multiply" else plain(op)


def names_of(graph: Snapshot, given: Mapping[str, Any]) -> list[str]:
    """A name for every vertex, each another one.

    That of `given` comes first, then the Tensor's own; where two have the same, the scope in which
    they are used tells them apart: "layer1.weight". All others get one from their op and its scope,
    numbered where there are several: "tanh", "layer2.matmul_3".

    Args:
        graph: the graph.
        given: name -> Tensor, or a list, dict or module of Tensors, such as `locals()`; what is
            not in the graph, and names with a leading underscore (a notebook's `_` and `_12`), do
            not count.
    """
    own = {i: shorten(plain(name), LONGEST_NAME) for i, name in own_names(graph, given).items()}
    scopes = {use.source: v.scope for v in reversed(graph.vertices) for use in v.inputs}
    times = Counter(own.values())
    for i, name in own.items():
        if times[name] > 1:
            own[i] = _in_scope(graph.vertices[i].scope or scopes.get(i, ""), name)
    stems = [_stem(v) if v.index not in own else own[v.index] for v in graph.vertices]
    times = Counter(stems)
    taken = {stem for stem in stems if times[stem] == 1}
    numbers: Counter[str] = Counter()
    names: list[str] = []
    for vertex, stem in zip(graph.vertices, stems, strict=True):
        if vertex.index not in own and vertex.op == SELECT and vertex.inputs:
            names.append(f"{names[vertex.inputs[0].source]}[{vertex.options['index']}]")
        elif vertex.index not in own and is_literal(vertex):
            names.append(number(vertex.array))
        elif times[stem] == 1:
            names.append(stem)
        else:
            while True:
                numbers[stem] += 1
                candidate = f"{stem}_{numbers[stem]}"
                if candidate not in taken:
                    break
            names.append(candidate)
    return names


def own_names(graph: Snapshot, given: Mapping[str, Any]) -> dict[int, str]:
    """The vertices to which the user gave a name, see `names_of`."""
    # By identity: comparing Tensors with == makes new ones. The first name of a Tensor wins, and
    # one of its own over one that it has as a part of something.
    direct, parts = _flat(given)
    known = {id(t): name for name, t in reversed(parts)}
    known |= {id(t): name for name, t in reversed(direct)}
    found = {v.index: known.get(id(v.value)) or v.name for v in graph.vertices}
    return {i: name for i, name in found.items() if name}


def is_literal(vertex: Vertex) -> bool:
    """Whether it is one plain number, to be written as such."""
    is_constant = not isinstance(vertex.value, Tensor) and vertex.op is None
    return is_constant and in_memory(vertex.array) and vertex.array.ndim == 0


def _stem(vertex: Vertex) -> str:
    """What a vertex without a name is called, before it is numbered; "" if never."""
    if is_literal(vertex) or vertex.op == SELECT:
        return ""
    if vertex.op is None:
        if isinstance(vertex.value, Tensor):
            return "parameter" if vertex.requires_grad else "input"
        return "constant"
    return _in_scope(vertex.scope, called(vertex.op))


def _in_scope(scope: str, name: str) -> str:
    part = plain(scope.rpartition("/")[2])
    return shorten(f"{part}.{name}" if part else name, LONGEST_NAME)


Named = list[tuple[str, Tensor]]


def _flat(given: Mapping[str, Any]) -> tuple[Named, Named]:
    """The Tensors of a dict, and those that are parts of its lists, dicts and modules."""
    direct: Named = []
    parts: Named = []
    for name, value in given.items():
        if not isinstance(name, str) or name.startswith("_"):
            continue
        if isinstance(value, Tensor):
            direct.append((name, value))
            continue
        with suppress(Exception):  # anything may be among locals(), and do anything when asked
            parts += _inside(name, value)
    return direct, parts


def _inside(name: str, value: Any) -> Named:
    """The Tensors that are parts of a value."""
    if isinstance(value, list | tuple):
        return [found for i, part in enumerate(value) for found in _parts(f"{name}[{i}]", part)]
    if isinstance(value, Mapping):
        known = {k: x for k, x in value.items() if isinstance(k, str) and not k.startswith("_")}
        return [found for key, part in known.items() for found in _parts(key, part)]
    return _parts(name, value)


def _parts(name: str, value: Any) -> Named:
    if isinstance(value, Tensor):
        return [(name, value)]
    # Asked of the type: an instance may answer to any name, or fail to.
    if isinstance(value, type) or not callable(getattr(type(value), "named_parameters", None)):
        return []
    found = [(f"{name}.{key}", part) for key, part in value.named_parameters()]
    return [(key, part) for key, part in found if isinstance(part, Tensor)]


class Wording:
    """The formulas of a graph, in given names.

    Attributes:
        names: of all vertices.
        short: whether names lose the scope that the formula is in itself: a picture shows it.
        g: what the gradient that arrives at a result is called.
    """

    def __init__(self, graph: Snapshot, names: Sequence[str], *, short: bool = False) -> None:
        self.graph, self.names, self.short = graph, names, short
        self.g = next(g for g in chain(["g"], (f"g{i}" for i in count(1))) if g not in names)

    def expression(self, vertex: Vertex) -> str:
        """How a value was computed, "X @ W1"; "" for a leaf, or where no short form exists."""
        return "" if vertex.op == SELECT else self._traced(vertex, None)

    def contribution(self, vertex: Vertex, use: Use) -> str:
        """What goes back from an op to an input, "X.T @ g"; "" where no short form exists.

        `g` is the gradient that arrives at the op's result.
        """
        if vertex.op == SELECT:
            return f"{self.g}, as part {vertex.options['index']}"
        text = self._traced(vertex, use.position)
        shape = self.graph.vertices[use.source].shape
        if text and shape != vertex.shape and vertex.value.node.op.broadcasts:
            text += f" summed to {shape}"
        return text

    def inputs(self, vertex: Vertex) -> list[str]:
        """What the inputs of an op are called: values by name, all else ""."""
        words = [""] * len(vertex.values)
        for use in vertex.inputs:
            words[use.position] = self._name(vertex, use.source)
        return words

    def _name(self, where: Vertex, index: int) -> str:
        scope = f"{plain(where.scope.rpartition('/')[2])}."
        name = self.names[index].removeprefix(scope if self.short else "")
        return name if _WORD.fullmatch(name) else f"({name})"

    def _traced(self, vertex: Vertex, position: int | None) -> str:
        if not vertex.values or not self._is_quick(vertex):
            return ""
        record, words = vertex.value.node, self.inputs(vertex)
        try:
            text = formula(
                record.op,
                position,
                vertex.values,
                record.options,
                names=words,
                g=self.g,
                out=self._name(vertex, vertex.index),
                result=vertex.array,
            )
        except Exception:  # a rule that reads numbers, or does what nobody foresaw
            return ""
        if text == "..." or (position is None and not any(w and w in text for w in words)):
            return ""  # too long, or only numbers
        return text

    def _is_quick(self, vertex: Vertex) -> bool:
        """Whether its rules can be asked without much work, here or on another machine."""
        parts = (*vertex.values, vertex.array)
        arrays = [a for x in parts for a in (x if type(x) is tuple else [x]) if hasattr(a, "dtype")]
        few = len(vertex.values) <= MANY and sum(a.size for a in arrays) <= LARGE
        return few and all(map(in_memory, arrays))
