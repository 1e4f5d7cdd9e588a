"""The engine's own backward pass, watched edge by edge; it leaves no trace in the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tinygrad_edu import Edge, InputError, Tensor, gradients, observe
from tinygrad_edu.graph import Snapshot, Use, Vertex


def watched(
    graph: Snapshot, outputs: Sequence[Tensor], g: Sequence[Any] | None = None
) -> list[Edge]:
    """Run a backward pass: no `.grad` is touched, and the graph is kept.

    It is the engine's: an observer around the call sees it too.

    Args:
        graph: the snapshot of `outputs`.
        outputs: where it starts.
        g: their cotangents; may be left out for outputs of one element.
    """
    leaves = [v.value for v in graph.vertices if v.op is None and v.requires_grad]
    edges: list[Edge] = []
    with observe(edges.append):
        gradients(list(outputs), leaves, g=g, retain_graph=True, allow_unused=True)
    return edges


def placed(graph: Snapshot, edges: Iterable[Edge]) -> Iterator[tuple[Edge, Vertex, Use]]:
    """Where in the graph each edge lies: at which use of which value.

    Raises:
        InputError: if one lies in another graph.
    """
    uses = {
        (id(vertex.value), use.argument, id(graph.vertices[use.source].value)): (vertex, use)
        for vertex in graph.vertices
        for use in vertex.inputs
    }
    for edge in edges:
        found = uses.get((id(edge.output), edge.argument, id(edge.input)))
        if found is None:
            raise InputError(
                f"explain: expected passes of edges of this graph, got one of {edge.op} for "
                f"{edge.argument!r} that is not in it; observe a backward pass of the same Tensor"
            )
        yield edge, *found
