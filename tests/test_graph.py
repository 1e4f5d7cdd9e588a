"""The graph: the order of the backward sweep, and the snapshot that pictures read."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.graph import Snapshot, Vertex, snapshot, topological_order


def leaf(data: Any, **options: Any) -> Tensor:
    return Tensor(data, requires_grad=True, **options)


def by_name(graph: Snapshot, name: str) -> Vertex:
    (found,) = (v for v in graph.vertices if v.name == name)
    return found


def recorded(*outputs: Tensor) -> list[Any]:
    """The order, without the leaves, which may or may not be listed."""
    return [node for node in topological_order(outputs) if node._op is not None]


# --- topological order --------------------------------------------------------------------------


def test_every_node_is_listed_once_and_after_its_inputs() -> None:
    x, w = leaf(1.0), leaf(2.0)
    h = x * w
    y = (h + x) * (h - w)
    order = recorded(y)
    assert len(order) == len(set(order)) == 4
    place = {node: i for i, node in enumerate(order)}
    for node in order:
        for source in node._inputs or ():
            assert source.is_leaf or place[source] < place[node]
    assert order[-1] is y


def test_only_what_needs_a_gradient_is_listed() -> None:
    x, c = leaf(1.0), Tensor(2.0)
    y = x * (c * 3.0) + np.float64(3)
    assert len(recorded(y)) == 2
    assert all(node._tracked for node in topological_order([y]))


def test_several_outputs_share_one_order() -> None:
    x = leaf(1.0)
    h = x * 2
    first, second = h + 1, h * h
    order = recorded(first, second, h)
    assert len(order) == 3
    place = {node: i for i, node in enumerate(order)}
    assert place[h] < min(place[first], place[second])


def test_a_leaf_and_nothing_depend_on_no_op() -> None:
    assert recorded(leaf(1.0)) == []
    assert recorded() == []


def test_a_doubling_graph_is_listed_in_linear_time() -> None:
    y = leaf(1.0)
    for _ in range(200):  # 2**200 paths
        y = y + y
    assert len(recorded(y)) == 200


def test_a_deep_graph_is_listed_without_recursion() -> None:
    y = leaf(1.0)
    for _ in range(20_000):
        y = y + 1.0
    assert len(recorded(y)) == 20_000


def test_a_freed_part_is_refused_with_the_ops_name() -> None:
    h = np.tanh(leaf(1.0))
    y = h * 2
    y.backward()
    with pytest.raises(tg.GraphError, match=r"tanh: .*freed.*retain_graph=True"):
        topological_order([h + 1])


# --- snapshot -------------------------------------------------------------------------------------


def test_a_snapshot_names_ops_arguments_shapes_and_dtypes() -> None:
    x, W = leaf(np.ones((4, 3)), name="x"), leaf(np.ones((3, 2), np.float32), name="W")
    y = np.sum(x @ W, axis=0, keepdims=True)
    graph = snapshot([y])
    assert [v.op for v in graph.vertices] == [None, None, "matmul", "sum"]
    product, total = graph.vertices[2:]
    assert [(use.argument, graph.vertices[use.source].name) for use in product.inputs] == [
        ("x", "x"),
        ("y", "W"),
    ]
    assert (product.shape, product.dtype) == ((4, 2), "float64")
    assert (total.shape, total.options) == ((1, 2), {"axis": 0, "keepdims": True})
    assert graph.outputs == (3,)
    assert by_name(graph, "W").dtype == "float32"
    assert by_name(graph, "W").value is W


def test_a_snapshot_is_in_topological_order_and_numbers_itself() -> None:
    x = leaf(1.0)
    h = x * x
    graph = snapshot([h * h + x])
    for i, vertex in enumerate(graph.vertices):
        assert vertex.index == i
        assert all(use.source < i for use in vertex.inputs)


def test_a_value_used_twice_is_one_vertex() -> None:
    x = leaf(1.0)
    graph = snapshot([x * x])
    assert len(graph.vertices) == 2
    assert graph.vertices[1].inputs == (("x", 0, 0), ("y", 1, 0))


def test_constants_are_shown_and_plain_numbers_are_options() -> None:
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    graph = snapshot([x * array + 2.5])
    assert [v.requires_grad for v in graph.vertices] == [True, False, True, True]
    assert isinstance(graph.vertices[1].value, np.ndarray)
    assert graph.vertices[2].inputs[1] == ("y", 1, 1)
    assert graph.vertices[3].options == {"y": 2.5}


def test_the_plain_numbers_can_be_read_without_a_copy() -> None:
    x = leaf([1.0, 2.0])
    y = np.tanh(x)
    first, second = snapshot([y]).vertices
    assert first.array is x._array and not isinstance(second.array, Tensor)
    assert second.array.tolist() == y.tolist()


def test_a_vertex_keeps_what_the_forward_pass_computed_with() -> None:
    x = leaf([1.0, 2.0])
    y = np.tanh(x)
    x.data = np.array([5.0, 6.0])
    first, second = snapshot([y]).vertices
    assert first.values == () and first.array.tolist() == [5.0, 6.0]
    assert [value.tolist() for value in second.values] == [[1.0, 2.0]]


def test_constant_tensors_keep_their_name() -> None:
    graph = snapshot([leaf(1.0) * Tensor(2.0, name="c")])
    assert by_name(graph, "c").requires_grad is False


def test_an_index_is_an_option() -> None:
    graph = snapshot([leaf([1.0, 2.0])[0]])
    assert graph.vertices[-1].options == {"index": 0}


def test_scopes_are_kept() -> None:
    x = leaf(1.0)
    with tg.scope("net"), tg.scope("layer1"):
        h = x * 2
    graph = snapshot([h + 1])
    assert [v.scope for v in graph.vertices] == ["", "net/layer1", ""]


def test_a_freed_graph_is_shown_as_such() -> None:
    x = leaf(1.0)
    y = np.tanh(x) * 2
    y.backward()
    (vertex,) = snapshot([y]).vertices
    assert (vertex.freed, vertex.op, vertex.inputs) == (True, "multiply", ())
    assert not by_name(snapshot([leaf(1.0, name="x") * 1]), "x").freed


def test_several_outputs_of_one_op_share_a_vertex_without_shape() -> None:
    first, second = np.split(leaf([1.0, 2.0]), 2)
    graph = snapshot([first * second])
    (made,) = (v for v in graph.vertices if v.op == "split")
    assert (made.shape, made.dtype) == (None, None)
    selections = [v for v in graph.vertices if v.op == "select"]
    assert [v.inputs[0].source for v in selections] == [made.index] * 2


def test_several_roots_share_what_they_have_in_common() -> None:
    x = leaf(1.0)
    h = x * 2
    graph = snapshot([h, h + 1, x, h])
    assert len(graph.vertices) == 3
    assert graph.outputs == (1, 2, 0, 1)


def test_a_snapshot_of_a_constant_is_one_vertex() -> None:
    (vertex,) = snapshot([Tensor([1, 2])]).vertices
    assert (vertex.op, vertex.shape, vertex.dtype, vertex.requires_grad) == (
        None,
        (2,),
        "int64",
        False,
    )


def test_a_snapshot_cannot_be_changed() -> None:
    graph = snapshot([leaf(1.0) * 2])
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.vertices = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        graph.vertices[0].name = "x"  # type: ignore[misc]


def test_a_snapshot_outlives_the_graph() -> None:
    x = leaf(2.0, name="x")
    y = x * x
    graph = snapshot([y])
    y.backward()
    assert [v.op for v in graph.vertices] == [None, "multiply"]
    assert [v.freed for v in graph.vertices] == [False, False]


def test_a_deep_graph_is_read_without_recursion() -> None:
    y = leaf(1.0)
    for _ in range(20_000):
        y = y * 1.0
    assert len(snapshot([y]).vertices) == 20_001


def test_taking_a_snapshot_records_nothing() -> None:
    x = leaf(2.0)
    y = x * x
    snapshot([y])
    y.backward()
    assert x.grad == 4
