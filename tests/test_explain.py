"""The page that steps through the chain rule: its numbers, its words, its safety."""

import ast
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.graph import snapshot
from viz.axes import Reader, Unknown, fresh, is_pointwise
from viz.explain import LIMIT, explain
from viz.page import PARTS

VOID = {"meta", "link", "br", "hr", "img", "input"}
CLOSED = {"path", "rect"}  # as SVG writes them


class Page(HTMLParser):
    """A page as a browser would read it; anything out of place fails."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open, self.ids, self.texts, self.attributes = [], [], {}, []
        self.items, self.starts = [], []
        self.feed(self.source)
        self.close()
        assert not self.open, f"{self.open} are never closed"
        assert len(set(self.ids)) == len(self.ids), "an id is used twice"
        self.data = json.loads(self.texts["script#data"])
        self.steps, self.arrays = self.data["steps"], self.data["arrays"]

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *attribute) for attribute in attrs]
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        key = f"{tag}#{attrs['id']}" if "id" in attrs else tag
        if tag not in VOID:
            self.open.append(key)
        if tag == "li":
            self.items.append("")
        if tag == "ol":
            self.starts.append(int(attrs["start"]))

    def handle_startendtag(self, tag, attrs):
        assert tag in CLOSED
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop().split("#")[0] == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data
        if any(key == "li" for key in self.open):
            self.items[-1] += data

    def of(self, kind):
        return [step for step in self.steps if step["kind"] == kind]

    def card(self, step, role):
        """The array of a card, if the step has one."""
        for row in step["rows"]:
            for token in row:
                if isinstance(token, dict) and token["role"] == role:
                    return self.value(token)
        return None

    def value(self, token):
        array = self.arrays[token["array"]]
        shape = tuple(int(n) for n in re.findall(r"\d+", re.match(r"\((.*?)\)", array["about"])[1]))
        cells = [float(cell) for block in array["blocks"] for row in block["cells"] for cell in row]
        return np.array(cells).reshape(shape)

    def last(self, target):
        """The gradient that a box ends with."""
        steps = [step for step in self.of("edge") if step["target"] == target]
        return self.card(steps[-1], "after")

    def box(self, name):
        """The box with a name."""
        [found] = [
            k for k, label in enumerate(self.data["nodes"]) if re.match(rf"\w+ {name},", label)
        ]
        return found


@pytest.fixture
def page(tmp_path):
    """Explain a Tensor and read the page."""

    def of(tensor, **options):
        return Page(explain(tensor, tmp_path / "page.html", **options))

    return of


def mlp():
    r = np.random.default_rng(0)
    X = Tensor(r.normal(size=(4, 2)), name="X")
    W1 = Tensor(r.normal(size=(2, 3)), requires_grad=True, name="W1")
    b1 = Tensor(r.normal(size=3), requires_grad=True, name="b1")
    W2 = Tensor(r.normal(size=(3, 1)), requires_grad=True, name="W2")
    h = np.tanh(X @ W1 + b1)
    h.name = "h"
    loss = np.mean((h @ W2) ** 2) + 0.1 * np.sum(W1**2)
    loss.name = "loss"
    return loss, {"W1": W1, "b1": b1, "W2": W2}, {"X": X, "h": h}


def tokens(step):
    return [token for row in step["rows"] for token in row]


def text(step):
    """The first row, cards by their labels."""
    return " ".join(t if isinstance(t, str) else f"[{t['label']}]" for t in step["rows"][0])


def edge_to(page, name, number=0):
    return [step for step in page.of("edge") if step["target"] == page.box(name)][number]


# -- numbers -----------------------------------------------------------------------------------


def test_the_last_gradient_of_each_leaf_is_what_backward_leaves(page):
    loss, leaves, _ = mlp()
    shown = page(loss)
    loss.backward()
    for name, leaf in leaves.items():
        assert np.array_equal(shown.last(shown.box(name)), leaf.grad)


def test_every_edge_that_the_engine_takes_is_one_step_in_its_order(page):
    loss, leaves, _ = mlp()
    edges = []
    with tg.observe(edges.append):
        tg.gradients(loss, list(leaves.values()), retain_graph=True)
    steps = page(loss).of("edge")
    graph = snapshot([loss])
    index = {id(vertex.value): vertex.index for vertex in graph.vertices}
    assert [(s["node"], s["target"]) for s in steps] == [
        (index[id(e.output)], index[id(e.input)]) for e in edges
    ]
    assert len({step["arrow"] for step in steps}) == len(steps)


def test_an_arrow_leads_from_the_target_of_its_step_to_the_op(page):
    shown = page(mlp()[0])
    for step in shown.of("edge"):
        assert shown.data["arrows"][step["arrow"]] == [step["target"], step["node"]]


def test_numbers_of_an_edge_are_those_that_the_engine_showed(page):
    loss, leaves, _ = mlp()
    edges = []
    with tg.observe(edges.append):
        tg.gradients(loss, list(leaves.values()), retain_graph=True)
    shown = page(loss)
    for step, edge in zip(shown.of("edge"), edges, strict=True):
        for role, value in (
            ("upstream gradient", edge.upstream),
            ("contribution", edge.contribution),
            ("before", edge.before),
            ("after", edge.after),
        ):
            cards = [t for t in tokens(step) if isinstance(t, dict) and t["role"] == role]
            assert bool(cards) == (value is not None)
            assert all(np.array_equal(shown.value(card), value) for card in cards)


def test_forward_steps_show_every_value_in_order(page):
    loss, _, _ = mlp()
    shown = page(loss)
    ops = [vertex for vertex in snapshot([loss]).vertices if vertex.op]
    assert [step["node"] for step in shown.of("forward")] == [vertex.index for vertex in ops]
    for step, vertex in zip(shown.of("forward"), ops, strict=True):
        assert np.array_equal(shown.card(step, "value"), vertex.array)


def test_parameters_are_shown_before_and_after_one_update(page):
    loss, leaves, _ = mlp()
    shown = page(loss, learning_rate=0.5)
    loss.backward()
    steps = shown.of("update")
    assert [step["target"] for step in steps] == [shown.box(name) for name in leaves]
    for step, leaf in zip(steps, leaves.values(), strict=True):
        assert np.array_equal(shown.card(step, "before"), leaf.data)
        assert np.array_equal(shown.card(step, "gradient"), leaf.grad)
        assert np.array_equal(shown.card(step, "after"), leaf.data - 0.5 * leaf.grad)


@st.composite
def small_graphs(draw):
    """Random graphs of ops with and without broadcasting, reuse and fan-out."""
    r = np.random.default_rng(draw(st.integers(0, 1000)))
    shapes = [(2, 3), (3,), (2, 1), ()]
    values = [
        Tensor(r.uniform(0.5, 2, shape), requires_grad=draw(st.booleans()) or i == 0)
        for i, shape in enumerate(shapes)
    ]
    for _ in range(draw(st.integers(1, 8))):
        x, y = (values[draw(st.integers(0, len(values) - 1))] for _ in range(2))
        op = draw(st.integers(0, 7))
        if op < 5:
            made = (np.add, np.multiply, np.subtract, np.maximum, np.divide)[op](x, y * y + 1.0)
        elif op == 5:
            made = np.tanh(x)
        elif op == 6:
            axis = None if x.ndim < 2 else draw(st.sampled_from([0, 1, None]))
            made = np.mean(x, axis=axis, keepdims=axis is not None)
        else:  # in shapes that fit all others
            made = np.sum(x.T @ x, axis=0) if x.ndim == 2 else np.exp(-x)
        values.append(made)
    total = values[0] * 0.0
    for value in values:
        total = total + np.sum(value)
    return np.sum(total)


@given(small_graphs())
def test_any_graph_is_told_completely_and_adds_up(tmp_path_factory, loss):
    shown = Page(explain(loss, tmp_path_factory.mktemp("any") / "page.html"))
    edges, leaves = [], [v.value for v in snapshot([loss]).vertices if not v.op]
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    with tg.observe(edges.append):
        tg.gradients(loss, leaves, retain_graph=True)
    steps = shown.of("edge")
    assert len(steps) == len(edges) == len({step["arrow"] for step in steps})
    totals = {}
    for step in steps:
        contribution, after = (shown.card(step, role) for role in ("contribution", "after"))
        before = shown.card(step, "before")
        totals[step["target"]] = totals.get(step["target"], 0) + contribution
        assert np.allclose(after, contribution if before is None else before + contribution)
        assert np.allclose(after, totals[step["target"]])
        assert "≠" not in tokens(step) and "do not give" not in step["sentence"]
        local = shown.card(step, "local gradient")
        if local is not None:
            product = local * shown.card(step, "upstream gradient")
            extra = product.ndim - contribution.ndim
            summed = product.sum(axis=tuple(range(extra)))
            sides = zip(summed.shape, contribution.shape, strict=True)
            gone = tuple(i for i, (a, b) in enumerate(sides) if a != b)
            summed = summed.sum(axis=gone, keepdims=True) if gone else summed
            assert np.allclose(summed, contribution)
    loss.backward()
    index = {id(vertex.value): vertex.index for vertex in snapshot([loss]).vertices}
    for leaf in leaves:
        if id(leaf) in index:
            assert np.allclose(shown.last(index[id(leaf)]), leaf.grad)


# -- equations ---------------------------------------------------------------------------------


def test_an_elementwise_rule_is_local_times_upstream_gradient(page):
    loss, _, inputs = mlp()
    shown = page(loss)
    step = edge_to(shown, "add")
    assert text(step) == "[1 - h * h] × [g = ∂loss/∂h] = [for add]"
    assert step["formula"] == "∂loss/∂add += g * (1 - h * h)"
    local = shown.card(step, "local gradient")
    assert np.allclose(local, 1 - inputs["h"].data ** 2, rtol=1e-15)


def test_a_matrix_product_is_shown_in_mathematical_order(page):
    loss, _, inputs = mlp()
    shown = page(loss)
    step = edge_to(shown, "W1")
    assert text(step) == "[X.T] @ [g = ∂loss/∂matmul_1] = [for W1]"
    assert np.array_equal(shown.value(step["rows"][0][0]), inputs["X"].data.T)
    assert text(edge_to(shown, "h")) == "[g = ∂loss/∂matmul_2] @ [W2.T] = [for h]"


def test_the_local_gradient_of_a_number_is_shown_as_a_matrix(page):
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="x")
    shown = page(np.mean(x))
    step = edge_to(shown, "x")
    assert text(step) == "[np.broadcast_to(1 / 4, x.shape)] × [g = ∂mean/∂mean] = [for x]"
    assert np.array_equal(shown.card(step, "local gradient"), np.full((2, 2), 0.25))


def test_a_rule_that_cannot_be_traced_is_named(page):
    def peeking(g, out, x):
        return g * float(np.asarray(x).max())

    @tg.op(tg.wrt("x", peeking))
    def peek(x):
        return x * x.max()

    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    shown = page(np.sum(peek(x)))
    step = edge_to(shown, "x")
    assert text(step) == "rule of peek for x: [g = ∂sum/∂peek] → [for x]"
    assert "no single formula" in step["sentence"]
    assert np.array_equal(shown.card(step, "contribution"), [2.0, 2.0])


@pytest.mark.parametrize("limit", [1, 2])
def test_a_rule_that_does_not_answer_again_is_shown_without_its_numbers(page, limit):
    def once(g, out, x, *, calls):
        calls.append(1)
        if len(calls) > limit:
            raise ValueError("this rule has answered often enough")
        return g

    @tg.op(tg.wrt("x", once))
    def shy(x, *, calls):
        return x * 1.0

    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    shown = page(np.sum(shy(x, calls=[])))
    assert np.array_equal(shown.card(edge_to(shown, "x"), "contribution"), [1.0, 1.0])


def test_the_local_gradient_is_written_without_the_factor_one(page):
    @tg.op(tg.wrt("x", lambda g, out, x, y: (1 - y) * g), tg.wrt("y", lambda g, out, x, y: -g))
    def odd(x, y):
        return x * y

    x, y = (Tensor([2.0, 3.0], requires_grad=True, name=name) for name in "xy")
    shown = page(np.sum(odd(x, y)))
    assert text(edge_to(shown, "x")).startswith("[1 - y] × [g")
    assert text(edge_to(shown, "y")).startswith("[-1] × [g")


def test_a_rule_that_mixes_cells_and_broadcasts_is_summed(page):
    @tg.op(tg.wrt("x", lambda g, out, x, y: np.cumsum(g * y, axis=0)), broadcasts=True)
    def mixed(x, y):
        return x * y

    x = Tensor([2.0, 3.0], requires_grad=True, name="x")
    shown = page(np.sum(mixed(x, np.ones((3, 2)))))
    step = edge_to(shown, "x")
    assert "summed to (2,)" in step["rows"][0] and "×" not in step["rows"][0]
    assert np.array_equal(shown.card(step, "contribution"), [6.0, 6.0])


def test_a_transposed_operand_is_not_taken_for_pointwise():
    assert not is_pointwise(ast.parse("g * a.T", mode="eval").body)
    assert not is_pointwise(ast.parse("g[0:4] * a", mode="eval").body)
    assert not is_pointwise(ast.parse("g * np.where(a, b.T, 0)", mode="eval").body)
    assert is_pointwise(ast.parse("g * np.pi * np.exp(a)", mode="eval").body)


def test_a_long_formula_is_cut_and_keeps_the_upstream_gradient(page):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="x")
    shown = page(np.sum(tg.layer_norm(x, (3,)) ** 2))
    step = edge_to(shown, "x")
    assert len(text(step)) < 300 and shown.card(step, "upstream gradient") is not None
    assert len(step["title"]) < 100


def test_ops_with_several_outputs_are_told_part_by_part(page):
    x = Tensor(np.arange(4.0), requires_grad=True, name="x")
    low, high = np.split(x, 2)
    shown = page(np.sum(low * high))
    x_steps = [step for step in shown.of("edge") if step["target"] == shown.box("x")]
    assert [text(step) for step in x_steps] == [
        "np.concatenate(( [g[0]] , [g[1]] ), axis=0) = [for x]"
    ]
    assert np.array_equal(shown.last(shown.box("x")), [2.0, 3.0, 0.0, 1.0])
    handed = [step for step in shown.of("edge") if "handed on unchanged" in step["sentence"]]
    assert len(handed) == 2 and {t["label"] for s in handed for t in s["rows"][0] if t != "="} >= {
        "for part 0 of split",
        "for part 1 of split",
    }
    assert "2 arrays of shapes (2,), (2,)" in [array["about"] for array in shown.arrays]


def test_an_index_with_arrays_is_shown_with_them(page):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="x")
    step = edge_to(page(np.sum(x[:, [0, 2]])), "x")
    index = "(slice(None, None, None), np.array([0, 2]))"
    assert text(step).startswith(f"tg.scatter_add( [g = ∂sum/∂getitem] , {index}, x.shape)")
    assert text(page(np.sum(x[0])).of("forward")[0]) == "[x] [0] = [getitem]"


def belong(step, row, card, place, other):
    """Which cells of another card light up, as the script decides it."""
    cards = [token for token in step["rows"][row] if isinstance(token, dict)]
    one, two = cards[card], cards[other]
    known = dict(zip(one["axes"], place, strict=True))
    return [known.get(axis) if axis >= 0 else None for axis in two["axes"]]


def test_hovering_a_matrix_product_lights_a_row_and_a_column(page):
    step = edge_to(page(mlp()[0]), "W1")
    assert belong(step, 0, 2, (1, 2), 0) == [1, None], "a row of X.T"
    assert belong(step, 0, 2, (1, 2), 1) == [None, 2], "a column of g"
    assert belong(step, 0, 0, (1, 3), 1) == [3, None], "what is multiplied with an element of X.T"


def test_hovering_what_was_summed_lights_the_terms(page):
    step = edge_to(page(mlp()[0]), "b1")
    assert [len(t["axes"]) for t in step["rows"][0] if isinstance(t, dict)] == [2, 2, 1]
    assert belong(step, 0, 2, (1,), 1) == [None, 1], "a column of g"
    assert belong(step, 1, 0, (1,), 1) == [1], "before + contribution = after, cell by cell"


def test_hovering_what_was_stretched_lights_all_of_it(page):
    x = Tensor(np.ones((2, 3)), requires_grad=True, name="x")
    y = Tensor(np.ones((2, 1)), requires_grad=True, name="y")
    shown = page(np.sum(x * y))
    forward = shown.of("forward")[0]
    assert [t["axes"] for t in forward["rows"][0] if isinstance(t, dict)] == [
        [0, 1],
        [0, -1],
        [0, 1],
    ]
    assert belong(edge_to(shown, "y"), 0, 2, (1, 0), 0) == [1, None], "a row of the local gradient"


@pytest.mark.parametrize(
    ("expression", "shapes", "expected"),
    [
        ("a + b", {"a": (2, 3), "b": (3,)}, "a0 a1"),
        ("a @ b", {"a": (2, 3), "b": (3, 4)}, "a0 b1"),
        ("a.T @ b", {"a": (3, 2), "b": (3, 4)}, "a1 b1"),
        ("a @ b", {"a": (5, 2, 3), "b": (5, 3, 4)}, "a0 a1 b2"),
        ("np.sum(a, axis=0)", {"a": (2, 3)}, "a1"),
        ("np.sum(a, axis=(0, -1), keepdims=True)", {"a": (2, 3, 4)}, ". a1 ."),
        ("np.mean(a)", {"a": (2, 3)}, ""),
        ("np.broadcast_to(a, (2, 3))", {"a": (3,)}, "? a0"),
        ("np.reshape(a, (1, -1))", {"a": (3,)}, ". a0"),
        ("np.expand_dims(a, -2)", {"a": (3,)}, ". a0"),
        ("np.swapaxes(a, -1, -2)", {"a": (5, 2, 3)}, "a0 a2 a1"),
        ("-a * np.pi > 0", {"a": (2, 3)}, "a0 a1"),
        ("np.where(a, np.exp(b), 0.0)", {"a": (2, 3), "b": (2, 1)}, "a0 a1"),
        ("np.reshape(a, (3, 2))", {"a": (2, 3)}, None),
        ("np.cumsum(a, axis=0)", {"a": (2, 3)}, None),
        ("np.max(a, axis=0, initial=0)", {"a": (2, 3)}, None),
        ("np.reshape(a, b)", {"a": (2, 3), "b": (2,)}, None),
        ("np.broadcast_to(a, b.shape)", {"a": (2, 3), "b": (2,)}, None),
        ("a[0]", {"a": (2, 3)}, None),
    ],
)
def test_axes_are_read_off_an_expression(expression, shapes, expected):
    known = {name: fresh(shape) for name, shape in shapes.items()}
    tree = ast.parse(expression, mode="eval").body
    if expected is None:
        with pytest.raises(Unknown):
            Reader(known, {}).axes(tree)
        return
    found = []
    for axis in Reader(known, {}).axes(tree):
        names = [
            f"{name}{i}"
            for name, axes in known.items()
            for i, own in enumerate(axes)
            if own.found() is axis.found()
        ]
        found.append("." if axis.size == 1 else names[0] if names else "?")
    assert " ".join(found) == expected


# -- words -------------------------------------------------------------------------------------


def test_the_seed_and_its_sentence(page):
    shown = page(mlp()[0])
    [seed] = shown.of("seed")
    assert "starts at loss, with its gradient with respect to itself: 1." in seed["sentence"]
    assert shown.card(seed, "seed") == 1.0
    given_ = page(np.tanh(Tensor([1.0, 2.0], requires_grad=True)), seed=[3.0, 4.0])
    [seed] = given_.of("seed")
    assert "the gradient that was given" in seed["sentence"]
    assert np.array_equal(given_.card(seed, "seed"), [3.0, 4.0])


def test_fan_out_is_told_and_marked(page):
    shown = page(mlp()[0])
    first, second = (edge_to(shown, "W1", i) for i in range(2))
    assert (
        "W1 is used 2 times, so its gradients are added: this is contribution 1 of 2."
        in (first["sentence"])
    )
    assert "contribution 2 of 2. With it the gradient of W1 is complete." in second["sentence"]
    assert [step["target"] for step in shown.steps if step["fan"]] == [shown.box("W1")] * 2
    assert "b1 is used once, so this is its whole gradient." in edge_to(shown, "b1")["sentence"]


def test_an_undone_broadcast_is_told(page):
    step = edge_to(page(mlp()[0]), "b1")
    assert (
        "b1 of shape (3,) was broadcast to (4, 3), so the contribution is summed over axis 0."
        in (step["sentence"])
    )
    assert "summed over axis 0" in step["rows"][0]


def test_an_argument_that_needs_no_gradient_is_told_once(page):
    x, y = (Tensor([1.0, 2.0], requires_grad=True, name=name) for name in "xy")
    mask = Tensor([True, False], name="mask")
    steps = page(np.sum(np.where(mask, x, y))).of("edge")
    told = ["mask needs no gradient: its rule is never called." in s["sentence"] for s in steps]
    assert told == [False, True, False]


def test_zero_times_infinity_is_explained(page):
    x = Tensor([0.0, 1.0], requires_grad=True, name="x")
    with np.errstate(divide="ignore"):
        step = edge_to(page(np.sum(np.where([False, True], np.log(x), 0.0))), "x")
    assert "Zero times an infinite or undefined local gradient counts as zero." in step["sentence"]


def test_numbers_that_are_not_finite_are_text_and_told(page):
    x = Tensor([np.nan, np.inf, 1.0], requires_grad=True, name="x")
    shown = page(np.sum(x * x))
    cells = [cell for array in shown.arrays for block in array["blocks"] for cell in block["cells"]]
    assert ["nan", "inf", 1.0] in cells
    assert "It has numbers that are not finite." in edge_to(shown, "x")["sentence"]


def test_operands_are_those_of_the_forward_pass_whatever_the_data_are_now(page):
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = np.sum(x * x)
    x.data += 10.0
    shown = page(loss)
    local, *_ = (token for token in edge_to(shown, "x")["rows"][0] if isinstance(token, dict))
    assert shown.arrays[local["array"]]["blocks"][0]["cells"] == [[1.0, 2.0]]


def test_the_update_starts_from_what_the_forward_pass_computed_with(page):
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    loss = np.sum(w * w)
    w.data = np.array([10.0, 20.0])
    shown = page(loss)
    row = shown.of("update")[0]["rows"][0]
    before, _, after = (token for token in row if isinstance(token, dict))
    assert shown.arrays[before["array"]]["blocks"][0]["cells"] == [[1.0, 2.0]]
    assert shown.arrays[after["array"]]["blocks"][0]["cells"] == [[0.8, 1.6]]


def test_a_rule_that_does_not_answer_twice_alike_is_not_blamed(page):
    calls = []

    @tg.op(tg.wrt("x", lambda g, out, x: calls.append(1) or g * len(calls)))
    def counting(x):
        return x * 1.0

    loss = np.sum(counting(Tensor([1.0, 2.0], requires_grad=True, name="x")))
    assert "was not followed" not in edge_to(page(loss), "x")["sentence"]


@pytest.mark.parametrize("passes", [{"a": 5}, {"a": [5]}, {5: []}])
def test_passes_are_lists_of_edges(tmp_path, passes):
    with pytest.raises(tg.DtypeError, match=r"expected passes to be a title and a list of"):
        explain(mlp()[0], tmp_path / "page.html", passes=passes)


def test_a_rule_that_was_not_followed_is_told(page):
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = np.sum(np.exp(x))
    edges = []
    with tg.observe(edges.append):
        tg.gradients(loss, x, retain_graph=True)
    wrong = [
        edge._replace(contribution=edge.contribution * 2, after=edge.after * 2) for edge in edges
    ]
    step = edge_to(page(loss, passes={"Twice": wrong}), "x")
    assert "do not give this contribution: the rule was not followed." in step["sentence"]


def test_the_list_tells_every_step_in_order(page):
    shown = page(mlp()[0])
    assert len(shown.items) == len(shown.steps)
    for item, step in zip(shown.items, shown.steps, strict=True):
        assert item.startswith(f"{step['title']} {step['sentence']}")
    assert shown.starts == [section["start"] + 1 for section in shown.data["sections"]]
    assert ("details", "open", None) in shown.attributes, "without JavaScript nothing can open it"
    assert any("after ∂loss/∂b1 [" in item for item in shown.items), "with numbers"


def test_every_sentence_is_whole(page):
    for step in page(mlp()[0]).steps:
        assert re.fullmatch(r"\S.*[.)]", step["sentence"]) and "  " not in step["sentence"]


# -- kinds of values ---------------------------------------------------------------------------


def shown_array(page, data, **options):
    """How an array is shown: the record of the input of a graph."""
    x = Tensor(1.0, requires_grad=True)
    shown = page(np.sum(x * Tensor(data, name="data")), **options)
    [token] = [
        t for t in shown.of("forward")[0]["rows"][0] if isinstance(t, dict) and t["label"] == "data"
    ]
    return shown.arrays[token["array"]], token


@pytest.mark.parametrize(
    ("data", "about", "cells"),
    [
        (2.5, "()", [[2.5]]),
        ([1.0, 2.0], "(2,)", [[1.0, 2.0]]),
        ([[1.0], [2.0]], "(2, 1)", [[1.0], [2.0]]),
        ([1, 2], "(2,) int64", [[1, 2]]),
        ([True, False], "(2,) bool", [[True, False]]),
        (np.float32([0.1]), "(1,) float32", [[0.1]]),
    ],
)
def test_small_arrays_are_shown_whole(page, data, about, cells):
    array, token = shown_array(page, data)
    assert array["about"] == about and array["note"] == ""
    assert [block["cells"] for block in array["blocks"]] == [cells]
    assert len(token["axes"]) == np.ndim(data)


def test_arrays_of_more_axes_are_shown_in_slices(page):
    array, _ = shown_array(page, np.arange(12.0).reshape(2, 2, 3))
    assert [block["name"] for block in array["blocks"]] == ["[0, :, :]", "[1, :, :]"]
    assert [block["prefix"] for block in array["blocks"]] == [[0], [1]]
    assert array["blocks"][1]["cells"] == [[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]


def test_large_arrays_are_cut_to_corners_and_statistics(page):
    data = np.arange(100.0).reshape(10, 10)
    array, _ = shown_array(page, data)
    [block] = array["blocks"]
    assert block["rows"] == block["columns"] == [0, 1, 8, 9]
    assert block["cells"][3] == [90.0, 91.0, 98.0, 99.0]
    assert "mean 49.5, std 28.87, min 0, max 99, norm 573" in array["note"]
    whole, _ = shown_array(page, data, max_cells=100)
    assert len(whole["blocks"][0]["cells"]) == 10 and not whole["note"]
    array, _ = shown_array(page, np.full((9, 9), np.inf))
    assert array["note"] == "81 numbers, 81 not finite"
    array, _ = shown_array(page, np.ones((9, 9), bool))
    assert array["note"] == "81 of 81 are True"


def test_an_empty_array_says_so(page):
    array, _ = shown_array(page, np.zeros((0, 3)))
    assert array["note"] == "empty: no numbers"


def test_each_distinct_array_is_stored_once(page):
    shown = page(mlp()[0])
    assert len({json.dumps(array) for array in shown.arrays}) == len(shown.arrays)


def test_an_array_elsewhere_is_not_computed(page):
    da = pytest.importorskip("dask.array")

    def fail(block):
        raise AssertionError("the page computed an array that is not in memory")

    x = Tensor(da.ones((3,), chunks=3).map_blocks(fail, dtype=float, meta=np.ones(0)), name="x")
    x.requires_grad = True
    loss = np.sum(x * 2.0)
    for passes in (None, {"one": observed(loss), "other": observed(loss)}):
        shown = page(loss, passes=passes)
        step = edge_to(shown, "x")
        assert text(step).startswith("rule of multiply for x: [g")
        [after] = [t for t in tokens(step) if isinstance(t, dict) and t["role"] == "after"]
        array = shown.arrays[after["array"]]
        assert array["about"] == "Array of shape (3,)"
        assert array["note"] == "not in memory, not computed"


def test_nothing_is_computed_again_elsewhere(page):
    da = pytest.importorskip("dask.array")
    calls = []

    @tg.op(tg.wrt("x", lambda g, out, x: g))
    def counted(x):
        calls.append(type(x))
        return x * 2.0

    x = Tensor(da.ones((3,), chunks=3), name="x")
    x.requires_grad = True
    shown = page(np.sum(counted(x)))
    assert len(calls) == 1, "an op on an array that is not in memory is not called for a picture"
    assert text(edge_to(shown, "x")) == "rule of counted for x: [g = ∂sum/∂counted] → [for x]"


# -- other passes ------------------------------------------------------------------------------


def observed(loss):
    edges = []
    leaves = [v.value for v in snapshot([loss]).vertices if not v.op and v.requires_grad]
    with tg.observe(edges.append):
        tg.gradients(loss, leaves, retain_graph=True)
    return edges


def test_a_wrong_sweep_is_shown_beside_the_right_one(page):
    loss, _, _ = mlp()
    right = observed(loss)
    wrong = [edge._replace(after=edge.contribution) for edge in right]
    shown = page(loss, passes={"added": right, "overwritten": wrong})
    assert [s["title"] for s in shown.data["sections"]] == [
        "Forward",
        "added",
        "overwritten",
        "Comparison",
    ]
    assert len(shown.of("edge")) == 2 * len(right) and len(shown.of("seed")) == 2
    flagged = [step for step in shown.of("edge") if "≠" in tokens(step)]
    assert [step["target"] for step in flagged] == [shown.box("W1")]
    assert "before + contribution is not what came out" in flagged[0]["sentence"]
    assert len(shown.of("result")) == 2 and not shown.of("update")
    verdicts = {step["target"]: step for step in shown.of("compare")}
    assert (
        "“overwritten” arrived at another gradient of W1 than “added”."
        in verdicts[shown.box("W1")]["sentence"]
    )
    assert "≠" in tokens(verdicts[shown.box("W1")])
    assert "the same gradient of b1" in verdicts[shown.box("b1")]["sentence"]


def test_a_sweep_that_does_not_wait_is_told(page):
    x = Tensor(2.0, requires_grad=True, name="x")
    y = x * 3.0
    loss = y + np.exp(y)
    first, exp, second, last = observed(loss)
    hasty = [first, last, exp, second]
    shown = page(loss, names={"y": y}, passes={"right": [first, exp, second, last], "hasty": hasty})
    early = ["too early: the gradient of y" in step["sentence"] for step in shown.of("edge")]
    assert early == [False, False, False, False, False, True, False, False]


def test_a_sweep_that_takes_an_edge_twice_is_told(page):
    x = Tensor(2.0, requires_grad=True, name="x")
    loss = np.tanh(x)
    [edge] = observed(loss)
    again = edge._replace(before=edge.after, after=2 * edge.after)
    step = page(loss, passes={"once": [edge], "twice": [edge, again]}).of("edge")[2]
    assert (
        "x is used once, but this backward pass brings it 2 contributions: this is number 2."
        in (step["sentence"])
    )


def test_a_sweep_that_reaches_nothing_is_told(page):
    loss, _, _ = mlp()
    shown = page(loss, passes={"right": observed(loss), "lazy": []})
    assert "gradients of nothing" in shown.of("result")[1]["sentence"]
    assert "lazy: none" in tokens(shown.of("compare")[0])


def test_edges_of_another_graph_are_refused(tmp_path):
    with pytest.raises(tg.InputError, match="expected passes of edges of this graph"):
        explain(mlp()[0], tmp_path / "p.html", passes={"foreign": observed(mlp()[0])})
    loss, _, _ = mlp()
    wrong = [edge._replace(argument="z") for edge in observed(loss)]
    with pytest.raises(tg.InputError, match="got one of add for 'z'"):
        explain(loss, tmp_path / "p.html", passes={"misnamed": wrong})


# -- looking changes nothing -------------------------------------------------------------------


def test_gradients_are_untouched_and_the_graph_is_kept(page):
    loss, leaves, _ = mlp()
    leaves["W1"].grad = np.ones((2, 3))
    page(loss)
    assert np.array_equal(leaves["W1"].grad, np.ones((2, 3))) and leaves["b1"].grad is None
    loss.backward()
    assert leaves["b1"].grad is not None


def test_no_random_numbers_are_drawn(page):
    def noisy_rule(g, out, x, *, rng):
        return g

    @tg.op(tg.wrt("x", noisy_rule))
    def noisy(x, *, rng):
        return x + rng.normal(size=x.shape)

    rng = np.random.default_rng(0)
    loss = np.sum(noisy(Tensor([1.0, 2.0], requires_grad=True), rng=rng))
    before = rng.bit_generator.state
    page(loss)
    assert rng.bit_generator.state == before


def test_it_works_without_recording(page):
    loss, _, _ = mlp()
    with tg.no_grad():
        assert page(loss).of("edge")


def test_a_leaf_alone_is_a_seed_and_an_update(page):
    shown = page(Tensor(3.0, requires_grad=True, name="w"))
    assert [step["kind"] for step in shown.steps] == ["seed", "update"]


def test_the_same_graph_gives_the_same_bytes_whatever_the_hash_seed(tmp_path):
    program = (
        "import sys, numpy as np; from tinygrad_edu import Tensor\n"
        "from viz.explain import explain\n"
        "x = Tensor([1., 2.], requires_grad=True); y = np.tanh(x) * x\n"
        "explain(np.sum(y + np.exp(y)), sys.argv[1], names=dict(y=y, x=x))"
    )
    root = Path(__file__).parents[1]
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / f"{seed}.html")],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            check=True,
        )
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()


# -- safety ------------------------------------------------------------------------------------

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"'`><img src=x onerror=alert(1)>",
    "a\nb\tc\x00d\x1b[0m",
    "${title} $data {{x}} %s",
    "重み λ̂ שלום مرحبا 🦊",
    "\ud800 lone",
    "W" * 10_000,
    "&lt;&amp;&#0;",
    "]]>",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_breaks_the_page(page, name):
    x = Tensor([1.0, 2.0], requires_grad=True, name=name)
    with tg.scope(name):
        loss = np.sum(np.tanh(x) * x)
    shown = page(loss, title=name)
    tags = [tag for tag, *_ in shown.attributes]
    assert "img" not in tags and shown.source.count("<script") == 2
    assert not [key for _, key, _ in shown.attributes if key.startswith("on")]
    assert all(step["sentence"].isprintable() for step in shown.steps)


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.integers(0, 2))
def test_any_name_is_only_text(tmp_path_factory, name, place):
    x = Tensor([1.0, 2.0], requires_grad=True, name=name if place == 0 else "x")
    y = x * x
    names = {name: y} if place == 1 else {}
    title = name if place == 2 else None
    path = tmp_path_factory.mktemp("name") / "page.html"
    shown = Page(explain(np.sum(y), path, names=names, title=title))
    plain = Page(explain(np.sum(x * x), path))
    assert [t for t, *_ in shown.attributes].count("g") == [t for t, *_ in plain.attributes].count(
        "g"
    )
    assert len(shown.items) == len(plain.items)


def test_the_policy_allows_exactly_the_scripts_and_styles_of_the_page(page):
    shown = page(mlp()[0])
    [policy] = [
        value
        for tag, key, value in shown.attributes
        if tag == "meta" and "default-src" in (value or "")
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["base-uri"] == "'none'"

    def hashes(tag):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", shown.source, re.DOTALL)
        return {
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in texts
        }

    assert set(rules["script-src"].split()) == hashes("script")
    assert set(rules["style-src"].split()) == hashes("style")
    assert "unsafe" not in policy
    assert not [key for _, key, _ in shown.attributes if key == "style" or key.startswith("on")]


def test_the_page_names_no_address_but_the_namespace_of_svg(page):
    source = page(mlp()[0]).source
    assert set(re.findall(r"\w+://[^\"'\s<]+", source)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|srcset|@import|url\()\s*[=(]", source)
    assert not re.search(r"\bhref=\"[^#]", source)


def test_script_writes_text_and_never_html():
    script = (PARTS / "script.js").read_text(encoding="utf-8")
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert way not in script


# -- legible -----------------------------------------------------------------------------------


def schemes():
    """The colours of the style sheet: one dict per scheme."""
    style = (PARTS / "style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    return {"light": light, "dark": {**light, **dark}}


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXTS = [
    *(("text", ground) for ground in ("ground", "panel", "card", "button", "chosen")),
    *(("quiet", ground) for ground in ("ground", "panel", "card", "button")),
    *((role, "card") for role in ("forward", "backward", "local", "after", "odd")),
    ("lit-text", "lit"),
]
MARKS = [
    *(("line", ground) for ground in ("ground", "panel", "card", "button")),
    *((mark, "ground") for mark in ("forward", "backward", "local", "after")),
    ("backward", "panel"),
    ("forward", "panel"),
    ("backward", "chosen"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_for_text_and_marks(scheme):
    colours = schemes()[scheme]
    for pairs, least in ((TEXTS, 4.5), (MARKS, 3.0)):
        for front, back in pairs:
            found = contrast(colours[front], colours[back])
            assert found >= least, f"{front} on {back}: {found:.2f}"


def test_every_colour_of_the_page_is_a_checked_one():
    style = (PARTS / "style.css").read_text(encoding="utf-8")
    rest = re.sub(r":root \{.*?\}", "", style, flags=re.DOTALL)
    literal = re.findall(r": [^;{}]*(#[0-9a-f]{3,8})", rest)
    assert literal == ["#000a"], "only the veil behind the help, on which nothing stands"
    used = set(re.findall(r"var\(--([\w-]+)\)", style))
    assert used == set(schemes()["light"]) == {name for pair in TEXTS + MARKS for name in pair}


def test_colour_is_never_the_only_sign(page):
    shown = page(mlp()[0])
    roles = {
        token["role"] for step in shown.steps for token in tokens(step) if isinstance(token, dict)
    }
    assert {
        "local gradient",
        "upstream gradient",
        "contribution",
        "before",
        "after",
        "value",
    } <= roles
    style = (PARTS / "style.css").read_text(encoding="utf-8")
    assert re.search(r"td\.lit \{[^}]*border-color[^}]*font-weight: bold", style)
    assert re.search(r"td\.odd \{[^}]*underline", style)
    assert re.search(r"pending rect \{[^}]*dasharray", style)
    assert re.search(r"target rect[^{]*\{[^}]*dasharray", style)
    assert re.search(r"\[aria-current\] \{[^}]*font-weight: bold", style)
    assert "opacity" not in style


def test_nodes_are_told_in_words(page):
    nodes = page(mlp()[0]).data["nodes"]
    assert "parameter W1, shape 2 by 3, float64" in nodes
    assert "op h, tanh, shape 4 by 3, float64" in nodes
    assert "op loss, add, a single number, float64" in nodes


# -- refusals ----------------------------------------------------------------------------------


def freed():
    loss, _, _ = mlp()
    loss.backward()
    return loss


def long_chain(length):
    x = Tensor(1.0, requires_grad=True)
    for _ in range(length):
        x = np.tanh(x)
    return x


@pytest.mark.parametrize(
    ("loss", "options", "error", "message"),
    [
        (3.0, {}, tg.DtypeError, "expected a Tensor, got float"),
        (Tensor(1.0), {}, tg.GraphError, "requires_grad=True"),
        (freed, {}, tg.GraphError, "has freed the inputs of add; call explain before backward"),
        (
            lambda: np.tanh(Tensor([1.0, 2.0], requires_grad=True)),
            {},
            tg.InputError,
            r"\(2,\).*seed=",
        ),
        (mlp, {"seed": [1.0, 2.0]}, tg.InputError, r"of the shape of the loss, \(\), got \(2,\)"),
        (mlp, {"seed": "one"}, tg.DtypeError, "expected a seed of real numbers, got str"),
        (lambda: long_chain(LIMIT), {}, tg.InputError, "at most 400 values"),
        (lambda: long_chain(100_000), {}, tg.InputError, "at most 400 values"),
        (
            mlp,
            {"learning_rate": np.inf},
            tg.InputError,
            "learning_rate to be a finite number above 0, got inf",
        ),
        (mlp, {"learning_rate": "fast"}, tg.InputError, "learning_rate"),
        (mlp, {"max_cells": 0}, tg.InputError, "max_cells to be an int of at least 1, got 0"),
        (mlp, {"max_cells": True}, tg.InputError, "max_cells"),
        (mlp, {"names": ["loss"]}, tg.DtypeError, "names to be a dict, got list"),
        (mlp, {"passes": []}, tg.DtypeError, "passes to be a dict, got list"),
        (mlp, {"passes": {}}, tg.InputError, "at least one backward pass"),
        (mlp, {"title": 3}, tg.DtypeError, "title to be a text, got int"),
        (mlp, {"path": "page.txt"}, tg.InputError, "ends in .html, got"),
        (mlp, {"path": 3}, tg.DtypeError, "expected a path, got int"),
        (mlp, {"path": "missing/folder/page.html"}, tg.InputError, "can be written.*No such file"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_advice(tmp_path, loss, options, error, message):
    made = loss() if callable(loss) else loss
    made = made[0] if isinstance(made, tuple) else made
    options = dict(options)
    path = options.pop("path", "page.html")
    path = tmp_path / path if isinstance(path, str) else path
    with pytest.raises(error, match=message):
        explain(made, path, **options)
    assert list(tmp_path.iterdir()) == [], "nothing is half-written"


def test_a_graph_at_the_limit_is_explained(page):
    assert len(page(long_chain(LIMIT - 1)).data["nodes"]) == LIMIT


def test_an_old_page_is_replaced_whole(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    assert explain(mlp()[0], path) == path
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert list(tmp_path.iterdir()) == [path]
