"""What values are called, and the formulas of a graph in these names.

The formulas are traced from the rules themselves (`tg.formula`), never written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinygrad_edu import Tensor, formula
from tinygrad_edu.graph import Snapshot, Use, Vertex
from viz.words import in_memory, number, option, plain, shorten

LONGEST_NAME = 40
SELECT = "select"  # the op that takes one of several outputs


def called(op: str) -> str:
    """The name of an op in pictures; `safe_multiply` is a product, and formulas write `*`."""
    return "multiply" if op == "safe_multiply" else plain(op)


def names_of(graph: Snapshot, given: Mapping[str, Any]) -> list[str]:
    """A name for every vertex.

    That of `given` comes first, then the Tensor's own; all others get one from their op and the
    scope it was applied in, numbered where there are several: "tanh", "layer2.matmul_3".

    Args:
        graph: the graph.
        given: name -> Tensor, or a list, dict or module of Tensors, such as `locals()`; what is
            not in the graph, and names with a leading underscore (a notebook's `_` and `_12`), do
            not count.
    """
    own = own_names(graph, given)
    chosen = [own.get(vertex.index, "") for vertex in graph.vertices]
    taken = {plain(name) for name in chosen}
    nameless = (v for v, name in zip(graph.vertices, chosen, strict=True) if not name)
    made = Counter(_stem(v) for v in nameless if v.op != SELECT and not is_literal(v))
    numbers: Counter[str] = Counter()
    names: list[str] = []
    for vertex, name in zip(graph.vertices, chosen, strict=True):
        if name:
            names.append(shorten(plain(name), LONGEST_NAME))
        elif vertex.op == SELECT and vertex.inputs:
            names.append(f"{names[vertex.inputs[0].source]}[{vertex.options['index']}]")
        elif is_literal(vertex):
            names.append(number(vertex.array))
        else:
            stem = _stem(vertex)
            numbers[stem] += 1
            candidate = stem if made[stem] == 1 else f"{stem}_{numbers[stem]}"
            while candidate in taken:
                candidate += "'"
            names.append(candidate)
    return names


def own_names(graph: Snapshot, given: Mapping[str, Any]) -> dict[int, str]:
    """The vertices to which the user gave a name, see `names_of`."""
    # By identity: comparing Tensors with == makes new ones. The first name of a Tensor wins.
    known = {id(tensor): name for name, tensor in reversed([*_flat(given)])}
    found = {v.index: known.get(id(v.value)) or v.name for v in graph.vertices}
    return {i: name for i, name in found.items() if name}


def is_literal(vertex: Vertex) -> bool:
    """Whether it is one plain number, to be written as such."""
    is_constant = not isinstance(vertex.value, Tensor) and vertex.op is None
    return is_constant and in_memory(vertex.array) and vertex.array.size == 1


def _stem(vertex: Vertex) -> str:
    if vertex.op is None:
        if isinstance(vertex.value, Tensor):
            return "parameter" if vertex.requires_grad else "input"
        return "constant"
    part = plain(vertex.scope.rpartition("/")[2])
    return shorten(f"{part}.{called(vertex.op)}" if part else called(vertex.op), LONGEST_NAME)


def _flat(given: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """All Tensors of a dict, also those one level down: in lists, dicts and modules."""
    for name, value in given.items():
        if not isinstance(name, str) or name.startswith("_"):
            continue
        if isinstance(value, Tensor):
            yield name, value
            continue
        parts: Any = ()
        if isinstance(value, list | tuple):
            parts = ((f"{name}[{i}]", part) for i, part in enumerate(value))
        elif isinstance(value, Mapping):
            parts = ((str(key), part) for key, part in value.items())
        elif not isinstance(value, type) and callable(getattr(value, "named_parameters", None)):
            parts = ((f"{name}.{key}", part) for key, part in value.named_parameters())
        yield from ((key, part) for key, part in parts if isinstance(part, Tensor))


class Wording:
    """The formulas of a graph, in given names.

    Attributes:
        names: of all vertices.
        g: what the gradient that arrives at a result is called.
    """

    def __init__(self, graph: Snapshot, names: Sequence[str]) -> None:
        self.graph, self.names = graph, names
        self.g = "upstream" if "g" in names else "g"

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
        """What the inputs of an op are called: values by name, all else as written."""
        op = vertex.value.node.op
        words = [_written(x, op.argument(i)) for i, x in enumerate(vertex.values)]
        for use in vertex.inputs:
            words[use.position] = self.names[use.source]
        return words

    def _traced(self, vertex: Vertex, position: int | None) -> str:
        arrays = [array for x in vertex.values for array in (x if type(x) is tuple else [x])]
        if not all(in_memory(array) for array in arrays if hasattr(array, "dtype")):
            return ""  # nothing should be computed elsewhere for a picture
        if not vertex.values:
            return ""
        record = vertex.value.node
        try:
            text = formula(
                record.op,
                position,
                vertex.values,
                record.options,
                names=self.inputs(vertex),
                g=self.g,
                out=self.names[vertex.index],
            )
        except Exception:  # a rule that reads numbers, or does what nobody foresaw
            return ""
        return "" if text == "..." else text


def _written(x: Any, argument: str) -> str:
    """An input that is no array, as it stands in an expression; by its name if it holds some."""
    parts = x if isinstance(x, tuple | list) else ()
    if any(hasattr(part, "dtype") for part in parts):
        return argument
    if isinstance(x, tuple) and any(isinstance(part, slice | type(...)) for part in x):
        return ", ".join(map(option, x))
    return option(x)
