"""The computation graph: the node, the order of the backward sweep, and a snapshot to read.

A Tensor *is* a node: it remembers the op, the inputs and the options that made it. There is no
second graph and nothing points forward, so reference counting alone frees a graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinygrad_edu.errors import DtypeError, GraphError
from tinygrad_edu.op import Op


class Record(NamedTuple):
    """How a Tensor was made, as `Tensor.node` shows it.

    Attributes:
        op: the op that computed it.
        inputs: what the op was given: Tensors, arrays, plain values; None once freed.
        options: the keyword arguments that are not differentiated.
    """

    op: Op
    inputs: tuple[Any, ...] | None
    options: Mapping[str, Any]


class Node:
    """One value of a computation graph; `Tensor` adds the behaviour of an array.

    The private slots belong to the engine (`tensor.py` writes them, `backward.py` reads them).

    Attributes:
        grad: the gradient that `backward()` left: an array, a `RowSparse`, or None.
    """

    __slots__ = (
        "__weakref__",
        "_array",  # the array; a tuple of arrays for an op with several outputs
        "_held",  # whether an op may have kept `_array`, or it may be a view of other data
        "_inputs",  # as the op got them; None once freed
        "_meta",  # None, or a dict of what few nodes have: name, scope, source line, ...
        "_op",  # None for a leaf
        "_options",
        "_tracked",  # `requires_grad`, without the property's cost
        "_values",  # the inputs as plain arrays: what the forward pass computed with
        "grad",
    )

    _array: Any
    _held: bool
    _inputs: tuple[Any, ...] | None
    _meta: dict[str, Any] | None
    _op: Op | None
    _options: Mapping[str, Any]
    _tracked: bool
    _values: Any
    grad: Any

    @property
    def name(self) -> str | None:
        """The name given by the user, or None."""
        return self._meta.get("name") if self._meta else None

    @name.setter
    def name(self, name: str | None) -> None:
        if not isinstance(name, str | None):
            raise DtypeError(f"name: expected a text, or None, got {type(name).__name__}")
        self._note("name", name)

    def _note(self, key: str, value: Any) -> None:
        self._meta = {**(self._meta or {}), key: value}

    def _outputs(self) -> tuple[Any, ...]:
        """For an op with several outputs: each as a differentiable Tensor."""
        raise NotImplementedError


def topological_order(outputs: Iterable[Node]) -> list[Node]:
    """All recorded nodes that `outputs` depend on, inputs before results; leaves are left out.

    Depth first with an explicit stack: a node is listed when everything it depends on has been.
    Following paths instead of nodes (recursion from each consumer into its inputs) looks simpler
    and is wrong as soon as a result is used twice: its gradient would be passed on before the
    second contribution has arrived, and the number of paths grows exponentially.

    Raises:
        GraphError: if an earlier backward pass has freed a part of the graph.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[Node | None] = [output for output in outputs if output._op is not None]
    while stack:
        node = stack.pop()
        if node is None:  # everything below the next node is listed
            order.append(stack.pop())  # type: ignore[arg-type]  # None is only pushed on a node
        elif node not in seen:
            seen.add(node)
            stack.append(node)
            stack.append(None)
            if node._inputs is None:
                raise GraphError(_freed(node))
            for source in node._inputs:
                if isinstance(source, Node) and source._op is not None and source not in seen:
                    stack.append(source)  # noqa: PERF401  # extend() takes twice the time here
    return order


def _freed(node: Node) -> str:
    return (
        f"{node._op.name if node._op else 'leaf'}: backward reached a part of the graph that an "
        "earlier backward pass has freed. Compute the result again, or call "
        "backward(retain_graph=True) the first time"
    )


class Use(NamedTuple):
    """One array that an op was given.

    Attributes:
        argument: name of the argument.
        position: its place among the op's inputs.
        source: index of the vertex.
    """

    argument: str
    position: int
    source: int


@dataclass(frozen=True, slots=True)
class Vertex:
    """One value in a snapshot.

    Attributes:
        index: its place in `Snapshot.vertices`, a topological order.
        op: name of the op that made it; None for a leaf or a constant.
        name: the user's name, or None.
        scope: the `tg.scope(...)` it was made in, "" outside.
        entries: per part of the scope, which `with` block it was: a number, as they were entered.
        shape: of the value; None for an op with several outputs.
        dtype: name of the dtype; None for an op with several outputs.
        requires_grad: whether a gradient flows to it.
        freed: a backward pass has dropped what it was made of.
        inputs: what the op was given, as far as it is arrays, in order.
        options: everything else the op was given.
        value: the Tensor, or the array of a constant.
        array: the plain array (a tuple for an op with several outputs), to be read only: that of
            a leaf may be what other graphs compute with.
        values: what the forward pass computed with, input by input: a leaf may have been given
            other data since; empty for a leaf, and once freed.
    """

    index: int
    op: str | None
    name: str | None
    scope: str
    entries: tuple[int, ...]
    shape: tuple[int, ...] | None
    dtype: str | None
    requires_grad: bool
    freed: bool
    inputs: tuple[Use, ...]
    options: Mapping[str, Any]
    value: Any
    array: Any
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable picture of the graph below some outputs, constants included."""

    vertices: tuple[Vertex, ...]
    outputs: tuple[int, ...]


def snapshot(outputs: Iterable[Node]) -> Snapshot:
    """Read the graph below `outputs` into plain records, iteratively, in topological order.

    Of an op's inputs the one with the longest history comes first, as in the program that made it.
    """
    outputs = tuple(outputs)
    # By id(): outputs and inputs are held all the while, so that no id is used twice.
    inputs = {id(value): _array_inputs(value) for value in values_below(outputs)}
    length: dict[int, int] = {}
    for value in _depth_first(outputs, inputs):
        before = [length[id(source)] for _, source in inputs[id(value)]]
        length[id(value)] = 1 + max(before, default=-1)
    longest_first = {
        key: sorted(sources, key=lambda source: -length[id(source[1])])
        for key, sources in inputs.items()
    }
    vertices: list[Vertex] = []
    index: dict[int, int] = {}
    for value in _depth_first(outputs, longest_first):
        uses = tuple(
            Use(value._op.argument(position), position, index[id(source)])
            for position, source in inputs[id(value)]
        )
        index[id(value)] = len(vertices)
        vertices.append(_vertex(value, len(vertices), uses))
    return Snapshot(tuple(vertices), tuple(index[id(output)] for output in outputs))


def _depth_first(
    outputs: Iterable[Node], inputs: Mapping[int, list[tuple[int, Any]]]
) -> Iterator[Any]:
    """Every value once, after its inputs; these are looked up by `id`."""
    listed: set[int] = set()
    stack = [(output, False) for output in reversed(tuple(outputs))]
    while stack:
        value, inputs_listed = stack.pop()
        if id(value) in listed:
            continue
        if inputs_listed or not inputs[id(value)]:
            listed.add(id(value))
            yield value
        else:
            stack.append((value, True))
            stack.extend((source, False) for _, source in reversed(inputs[id(value)]))


def values_below(outputs: Iterable[Node]) -> Iterator[Any]:
    """Every value that `outputs` depend on, and themselves, once each, in no order.

    It only looks as far as it is asked to: `islice` tells whether a graph is too large to be read.
    """
    seen: dict[int, Any] = {}  # by id(); it holds the values, so that no id is used twice
    stack: list[Any] = list(outputs)
    while stack:
        value = stack.pop()
        if id(value) not in seen:
            seen[id(value)] = value
            yield value
            stack.extend(source for _, source in _array_inputs(value))


def _array_inputs(value: Any) -> list[tuple[int, Any]]:
    if not isinstance(value, Node) or value._op is None:
        return []
    return [
        (position, source)
        for position, source in enumerate(value._inputs or ())
        if isinstance(source, Node) or hasattr(source, "dtype")
    ]


def _vertex(value: Any, index: int, inputs: tuple[Use, ...]) -> Vertex:
    node = value if isinstance(value, Node) else None
    data = value if node is None else node._array
    op = node._op if node is not None else None
    scope, entries = ((node is not None and node._meta) or {}).get("scope", ("", ()))
    plain: dict[str, Any] = {}
    if node is not None and op is not None:
        plain = {
            op.argument(position): source
            for position, source in enumerate(node._inputs or ())
            if not (isinstance(source, Node) or hasattr(source, "dtype"))
        }
    return Vertex(
        index=index,
        op=op.name if op else None,
        name=node.name if node is not None else None,
        scope=scope,
        entries=entries,
        shape=None if isinstance(data, tuple) else tuple(data.shape),
        dtype=None if isinstance(data, tuple) else str(data.dtype),
        requires_grad=node is not None and node._tracked,
        freed=op is not None and node is not None and node._inputs is None,
        inputs=inputs,
        options=plain | dict(node._options or {}) if node is not None and op else {},
        value=value,
        array=data,
        values=(node is not None and node._values) or (),
    )
