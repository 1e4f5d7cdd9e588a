"""The chain rule over the graph: each rule once, contributions added, broadcasting undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from sys import getrefcount
from typing import Any

import numpy as np

from tinygrad_edu.errors import AnomalyError, GraphError, RuleError
from tinygrad_edu.graph import Node, topological_order
from tinygrad_edu.mode import MODE, Edge
from tinygrad_edu.op import Array, Op
from tinygrad_edu.sparse import RowSparse


# A local gradient may be singular where the function is not (sqrt at 0), or in a branch that was
# not selected. Where it counts, the gradient itself shows it; `detect_anomaly` tells from where.
@np.errstate(all="ignore")
def backpropagate(
    seeds: Mapping[Any, Array],  # Mapping is invariant in its keys: Node, or Tensor
    wanted: Iterable[Node] | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> dict[Node, Array]:
    """Apply the chain rule from some outputs back to the leaves.

    `create_graph` is only a choice of what the rules see: plain arrays, or the Tensors themselves,
    so that what a rule computes is recorded like everything else.

    Args:
        seeds: outputs and their cotangents, arrays (Tensors with `create_graph`).
        wanted: the tensors whose gradients are asked for; only rules on the way to them are
            called. By default every leaf, and every tensor with `retain_grad()`.
        create_graph: make the gradients differentiable.
        retain_graph: keep what the graph holds for another pass.

    Returns:
        The gradient of each wanted tensor that was reached: an array, or a `RowSparse` of a leaf
        of which `tg.embedding(W, index, sparse=True)` used some rows, and nothing else.

    Raises:
        GraphError: if an earlier backward pass has freed a part of the graph.
        RuleError: if a rule returns something else than an array of its argument's shape.
    """
    order = topological_order(seeds)
    goals = None if wanted is None else set(wanted)
    passed = set() if goals is None else _on_the_way(order, goals)
    useful = None if goals is None else goals | passed
    mode = MODE.get()
    watched = mode.anomaly or mode.observers
    # Keyed by the node: hashing is by identity, and the dictionary keeps its keys alive, so no
    # two nodes can share an entry.
    cotangents: dict[Node, Any] = dict(seeds)
    found: dict[Node, Array] = {}
    while order:
        node = order.pop()
        g = cotangents.pop(node, None)
        if g is None:  # not on the way from a seed to anything that is wanted
            continue
        op, data = node._op, node._array
        assert op is not None, "the order holds recorded nodes only"
        if type(data) is tuple:
            g = tuple(np.zeros_like(data[i]) if i not in g else g[i] for i in range(len(data)))
        elif type(g) is RowSparse:  # only a leaf keeps it
            g = g.dense()
        if goals is not None:
            if node in goals:
                found[node] = g
            if node not in passed:
                continue
        elif node._meta is not None and "retain" in node._meta:
            found[node] = g
        inputs: Any = node._inputs
        values, options, out, vjps = node._values, node._options, data, op.vjps
        if mode.anomaly:
            _check_unchanged(node)
        if create_graph:
            values = tuple(
                _unchanged(source, value) if isinstance(source, Node) and source._tracked else value
                for source, value in zip(inputs, values, strict=True)
            )
            out = node._outputs() if type(data) is tuple else node
        position = -1
        for source in inputs:
            position += 1
            if not (isinstance(source, Node) and source._tracked):
                continue
            if useful is not None and source not in useful:
                continue
            try:
                if op.variadic:
                    share = vjps[0](g, out, *values, position=position, **options)
                elif vjps[position] is not None:
                    share = vjps[position](g, out, *values, **options)
                else:  # it was no tracked tensor when it was used
                    continue
            except Exception as error:
                error.add_note(f"in the rule of argument {op.argument(position)!r} of {op.name}")
                raise
            target = source._array
            try:
                array = share._array if create_graph else share
                fits = array.shape == target.shape and array.dtype is target.dtype
            except AttributeError:
                fits = False
            if not fits:
                share = _fitted(share, source, op, position)
            if source._op is None and not (create_graph or _is_ours(share)):
                share = _owned(share, op, position)  # the gradient of a leaf is its own array
            before = cotangents.get(source)
            if before is None:
                cotangents[source] = share
            elif type(share) is dict:
                cotangents[source] = _merged(before, share, in_place=not watched)
            elif not watched and type(share) is np.ndarray and _is_ours(before):
                before += share  # no new array where nobody else holds this one
            else:
                cotangents[source] = before + share
            if watched:
                after = cotangents[source]
                _watch(mode.observers, mode.anomaly, node, position, g, share, before, after)
        if not retain_graph:
            node._inputs = node._values = None
    # Every other cotangent has been passed on: those that are left belong to leaves.
    if goals is None:
        return found | cotangents
    return found | {x: g for x, g in cotangents.items() if x in goals}


def _unchanged(source: Node, value: Array) -> Node:
    """The Tensor itself, as a rule sees it, if it still is what the forward pass computed with.

    Raises:
        GraphError: if its data were changed in between.
    """
    now = source._array
    if source._op is None and now is not value and not np.array_equal(now, value, equal_nan=True):
        name = f" {source.name!r}" if source.name else ""
        raise GraphError(
            f"create_graph: the data of leaf{name} changed after the forward pass; compute the "
            "result again"
        )
    return source


def sum_to_shape(g: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: sum `g` over the axes that were stretched.

    Args:
        g: cotangent of the broadcast result, (..., *shape) with stretched axes.
        shape: the argument's own shape.

    Returns:
        An array of `shape`; None if `g` cannot have come from broadcasting `shape`.

    Source: the adjoint of repetition is summation.
    """
    extra = len(g.shape) - len(shape)
    if extra < 0:
        return None
    kept = g.shape[extra:]
    if kept == shape:
        return g.sum(axis=0 if extra == 1 else tuple(range(extra)))
    if any(mine not in (1, theirs) for mine, theirs in zip(shape, kept, strict=True)):
        return None
    stretched = tuple(
        extra + i
        for i, (mine, theirs) in enumerate(zip(shape, kept, strict=True))
        if mine != theirs
    )
    if extra == 0:
        return g.sum(axis=stretched, keepdims=True)
    g = g.sum(axis=(*range(extra), *stretched))
    return g.reshape(shape) if stretched else g


def _on_the_way(order: list[Node], goals: set[Node]) -> set[Node]:
    """The nodes whose rules must be called to reach the goals."""
    passed: set[Node] = set()
    for node in order:
        for source in node._inputs or ():
            if isinstance(source, Node) and (source in passed or source in goals):
                passed.add(node)
                break
    return passed


def _fitted(share: Any, source: Node, op: Op, position: int) -> Any:
    """Give a contribution the shape and dtype of its argument, or say what is wrong with it."""
    target = source._array
    if type(share) is dict and type(target) is tuple:
        return share
    shape = getattr(share, "shape", None)
    if shape is None:
        raise RuleError(
            f"{op.name}: the rule of argument {op.argument(position)!r} must return an array of "
            f"shape {target.shape}, got {type(share).__name__}"
        )
    if shape != target.shape:
        summed = sum_to_shape(share, target.shape) if op.broadcasts else None
        if summed is None:
            raise RuleError(
                f"{op.name}: the rule of argument {op.argument(position)!r} must return shape "
                f"{target.shape}, got {shape}"
                + ("" if op.broadcasts else " (the op is not registered with broadcasts=True)")
            )
        share = summed
    return share if share.dtype == target.dtype else share.astype(target.dtype)


def _owned(share: Any, op: Op, position: int) -> Any:
    """A copy of what may be an alias; other kinds of arrays are never written into."""
    if isinstance(share, Node):
        raise RuleError(
            f"{op.name}: the rule of argument {op.argument(position)!r} returned a Tensor; a rule "
            "computes with what it is given, and a Tensor from outside would drop the graph"
        )
    if isinstance(share, RowSparse):
        return share if share.values.base is None else share.copy()
    if not isinstance(share, (np.ndarray, np.generic)):
        return share
    alone = getrefcount(share) <= _ALONE and _holders(share) == _ONE_HOLDER
    if isinstance(share.base, np.ndarray) and alone:
        whole = share.base.flags.owndata and share.base.size == share.size
        if whole and share.flags.c_contiguous:
            return share  # another shape of an array that the rule made, and let go
    return share.copy()


def _holders(view: Any) -> int:
    """How many references there are to what it is a view of."""
    return getrefcount(view.base)


def _is_ours(array: Any) -> bool:
    """Whether it may be written into, and nobody else holds it or a view of it."""
    return (
        type(array) is np.ndarray
        and array.base is None
        and array.flags.writeable
        and getrefcount(array) <= _ALONE
    )


def _count(array: Any) -> int:
    return getrefcount(array)


def _count_when_ours() -> int:
    """As `backpropagate` asks: of what is in the dictionary and in a variable."""
    cotangents = {0: np.zeros(2)}
    before = cotangents.get(0)
    return _count(before)


# Asked, as Pythons differ in how they count. A debugger that shows local variables holds them too,
# and so do some profilers: more than dictionary, variable, argument and question cannot be ours.
_ONE_HOLDER = _holders(np.zeros(2).reshape((1, 2)))
_ALONE = min(_count_when_ours(), 4)


def _merged(before: dict[int, Any], share: dict[int, Any], in_place: bool) -> dict[int, Any]:
    """Cotangents of an op with several outputs, {output: cotangent}, with one more."""
    merged = before if in_place else before.copy()
    for i, g in share.items():
        merged[i] = merged[i] + g if i in merged else g
    return merged


def _watch(
    observers: tuple[Callable[[Edge], object], ...],
    anomaly: bool,
    node: Node,
    position: int,
    g: Any,
    share: Any,
    before: Any,
    after: Any,
) -> None:
    assert node._op is not None and node._inputs is not None, "edges start at recorded nodes"
    op, source = node._op, node._inputs[position]
    if type(share) is dict:  # show the one output that the edge leads to, not the bookkeeping
        (index,) = share
        share, after = share[index], after[index]
        before = before.get(index) if before else None
    if anomaly and not np.isfinite(plain(share)).all():
        raise AnomalyError(
            f"{op.name}: backward made a non-finite gradient for argument "
            f"{op.argument(position)!r}, shape {share.shape}{made_at(node)}"
        )
    for observer in observers:
        observer(
            Edge(
                op=op.name,
                argument=op.argument(position),
                upstream=_copied(g),
                contribution=_copied(share),
                before=_copied(before),
                after=_copied(after),
                output=node,
                input=source,
            )
        )


def _copied(value: Any) -> Any:
    """What an observer may keep, and even write into."""
    if isinstance(value, tuple):
        return tuple(_copied(part) for part in value)
    value = plain(value)
    return value if value is None else value.copy()


def plain(value: Any) -> Any:
    """The array behind a Tensor; anything else as it is."""
    return value._array if isinstance(value, Node) else value


def fingerprint(values: tuple[Any, ...]) -> tuple[int, ...]:
    """One number per array, to notice that it was written into (only under `detect_anomaly`)."""
    return tuple(hash(value.tobytes()) if isinstance(value, np.ndarray) else 0 for value in values)


def made_at(node: Node) -> str:
    """The end of a message: where `detect_anomaly` saw the node being made."""
    place = (node._meta or {}).get("line")
    return f", made at {place}" if place else ""


def _check_unchanged(node: Node) -> None:
    noted = (node._meta or {}).get("fingerprint")
    if noted is None or node._op is None or node._inputs is None:
        return
    for position, (then, now) in enumerate(zip(noted, fingerprint(node._values), strict=True)):
        if then != now:
            source = node._inputs[position]
            name = f" ({source.name!r})" if isinstance(source, Node) and source.name else ""
            raise AnomalyError(
                f"{node._op.name}: data of argument {node._op.argument(position)!r}{name} changed "
                f"between forward and backward{made_at(node)}: write through t.data after the "
                "forward pass, or assign t.data"
            )
