"""What is drawn as one: nothing is lost, nothing twice, and no arrow leads out of it and back."""

import re
import time
from contextlib import ExitStack
from functools import partial
from graphlib import TopologicalSorter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
import viz
from tinygrad_edu import Tensor
from tinygrad_edu.graph import snapshot
from viz.folding import plan_of
from viz.modules import grouped, in_order, modules_of

draw = partial(viz.draw, engine="builtin")


ACTIONS = st.tuples(
    st.sampled_from(["add", "sin", "sin", "enter", "leave"]),
    st.sampled_from(["a", "b", "a/x"]),
    st.tuples(st.integers(-6, -1), st.integers(-6, -1)),
)


def computed(tracked, actions):
    """The result of a computation in scopes."""
    values = [Tensor(1.0, requires_grad=wanted) for wanted in (True, *tracked)]
    with ExitStack() as stack:
        entered = []
        for action, name, (i, j) in actions:
            left, right = (values[max(k, -len(values))] for k in (i, j))
            if action == "enter":
                entered.append(stack.enter_context(ExitStack()))
                entered[-1].enter_context(tg.scope(name))
            elif action == "leave" and entered:
                entered.pop().close()
            else:
                values.append(left + right if action == "add" else np.sin(left))
    return sum(values[3:], start=values[0])


results = partial(
    st.builds, computed, st.tuples(st.booleans(), st.booleans()), st.lists(ACTIONS, max_size=40)
)
collapses = st.sampled_from(["auto", "none", "modules", 0, 1, 2])


def assert_acyclic(graph, owner):
    """Contracting what has the same owner leaves no cycle."""
    sources: dict = {}
    for vertex in graph.vertices:
        for use in vertex.inputs:
            if owner(use.source) != owner(vertex.index):
                sources.setdefault(owner(vertex.index), set()).add(owner(use.source))
    TopologicalSorter(sources).prepare()


@given(results(), collapses)
def test_every_value_is_in_one_box_and_no_arrow_leads_out_and_back(result, collapse):
    graph = snapshot([result])
    plan = plan_of(graph, collapse=collapse, constants="show")
    members = [i for unit in plan.units for i in unit.members]
    assert sorted(members) == list(range(len(graph.vertices)))
    owner = {i: k for k, unit in enumerate(plan.units) for i in unit.members}
    assert_acyclic(graph, owner.__getitem__)
    for vertex in graph.vertices:
        assert all(owner[use.source] <= owner[vertex.index] for use in vertex.inputs)


@given(results(), collapses)
def test_frames_nest_and_no_arrow_leads_out_and_back(result, collapse):
    graph = snapshot([result])
    plan = plan_of(graph, collapse=collapse, constants="show")
    assert all(parent < i for i, (_, parent) in enumerate(plan.frames))
    home = {i: unit.frame for unit in plan.units for i in unit.members}
    owner = {i: k for k, unit in enumerate(plan.units) for i in unit.members}
    for frame in range(len(plan.frames)):

        def inside(i, frame=frame):
            at = home[i]
            while at > frame:
                at = plan.frames[at][1]
            return "frame" if at == frame else owner[i]

        assert_acyclic(graph, inside)
        assert sum(inside(i) == "frame" for i in owner) > 1, "a box around a single box"


@given(results())
def test_arrows_of_a_collapsed_picture_connect_what_was_connected(result):
    graph = snapshot([result])
    view = draw(result, collapse="modules", constants="show").view
    plan = plan_of(graph, collapse="modules", constants="show")
    owner = {i: k for k, unit in enumerate(plan.units) for i in unit.members}
    connected = {(owner[use.source], owner[v.index]) for v in graph.vertices for use in v.inputs}
    drawn = {(arrow.source, arrow.target) for arrow in view.arrows}
    assert drawn == {(a, b) for a, b in connected if a != b}
    assert view.total == len(graph.vertices)


def test_values_of_the_same_scope_are_put_together_as_far_as_they_can():
    # 0(a) -> 1 -> 2(a), and 4(a) on its own: 2 cannot be with 0, since 1 is between them.
    label = {0: "a", 1: None, 2: "a", 3: None, 4: "a"}
    order = grouped(range(5), label, {0: [], 1: [0], 2: [1], 3: [], 4: []})
    assert order == [(None, [3]), ("a", [0, 4]), (None, [1]), ("a", [2])]


def test_two_scopes_that_depend_on_each_other_are_not_both_kept_whole():
    sources = {0: [], 1: [], 2: [1], 3: [0]}  # a: 0, 2; b: 1, 3; a needs b, and b needs a
    order = grouped([0, 1, 2, 3], {0: "a", 1: "b", 2: "a", 3: "b"}, sources)
    assert order == [("b", [1]), ("a", [0, 2]), ("b", [3])]


def test_a_topological_order_takes_the_lowest_number_first():
    assert in_order([3, 2, 1, 0], {0: [3], 1: [], 2: [1], 3: []}) == [1, 2, 3, 0]


def network(layers, width=3):
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(2, width)), name="x")
    for i in range(layers):
        with tg.scope(f"layer{i}"):
            W = Tensor(rng.normal(size=(width, width)), requires_grad=True, name=f"W{i}")
            b = Tensor(np.zeros(width), requires_grad=True, name=f"b{i}")
            with tg.scope("activation"):
                a = np.tanh(x @ W + b)
            x = x + a * 0.5
    return np.mean(x**2)


def width(drawing):
    return float(re.search(r' width="([\d.]+)"', drawing.svg)[1])


def titles(drawing):
    return [box.title for box in drawing.view.boxes]


def test_modules_are_framed_with_their_parameters_and_data_stay_outside():
    view = draw(network(2)).view
    assert [(frame.title, frame.parent) for frame in view.frames] == [
        ("layer0", -1), ("layer1", -1), ("activation", 0), ("activation", 1),
    ]  # fmt: skip
    home = {box.name: box.frame for box in view.boxes}
    assert home["x"] == home["mean"] == -1
    assert view.frames[view.frames[home["W0"]].parent].title == "layer0"
    assert view.frames[home["layer0.add"]].title == "layer0"


def test_twelve_layers_fit_on_one_screen():
    drawing = draw(network(12))
    assert "layer1 … layer11 ×11" in titles(drawing), "the first stays open, the rest are like it"
    assert len(drawing.view.boxes) <= 15
    assert any("Modules alike are drawn once" in note for note in drawing.view.notes)
    closed = draw(network(12), collapse="modules")
    assert titles(closed) == ["x", "layer0 … layer11 ×12", "power", "mean"]
    lines = ("60 ops", "24 parameters, 144 numbers", "one after the other", "ends with (2, 3)")
    assert closed.view.boxes[1].lines == lines
    assert width(closed) < 1280 and width(drawing) < 1920
    assert 'rx="4"' in closed.svg
    assert len(draw(network(12), collapse="none").view.boxes) == closed.view.total


def test_levels_of_modules_can_be_left_open():
    view = draw(network(2), collapse=1).view
    assert sorted(frame.title for frame in view.frames) == ["layer0", "layer1"]
    assert sum(box.title == "activation" for box in view.boxes) == 2


def test_modules_that_differ_are_not_drawn_as_one():
    x = first = Tensor(np.ones(3), requires_grad=True, name="x")
    for i in range(4):
        with tg.scope(f"layer{i}"):
            x = np.tanh(x) + x if i != 2 else np.sin(x) + x
    assert titles(draw(x * first, collapse="modules")) == [
        "x", "layer0 … layer1 ×2", "layer2", "layer3", "multiply",
    ]  # fmt: skip


def test_a_scope_that_is_entered_again_makes_several_modules():
    h = Tensor(np.ones(3), name="h")
    W = Tensor(np.eye(3), requires_grad=True, name="W")
    with tg.scope("net"):
        for _ in range(4):
            with tg.scope("cell"):
                h = np.tanh(h @ W)
    view = draw(h, collapse="none").view
    assert [frame.title for frame in view.frames] == ["net", *(f"cell ({i})" for i in (1, 2, 3, 4))]
    assert next(box.frame for box in view.boxes if box.name == "W") == 0, "what they share"
    assert modules_of(snapshot([h]), range(10)).all[1].parent == 0
    assert titles(draw(h, collapse=1)) == ["h", "W", "cell ×4"]


def test_a_cell_in_a_loop_is_told_in_the_order_of_time():
    rng = np.random.default_rng(0)
    xs = [Tensor(rng.normal(size=(1, 2))) for _ in range(5)]
    W, U = (Tensor(rng.normal(size=(2, 2)), requires_grad=True) for _ in "WU")
    h = Tensor(np.zeros((1, 2)))
    for x in xs:
        with tg.scope("cell"):
            h = np.tanh(x @ W + h @ U)
    del x
    view = draw(np.sum(h), names=locals(), collapse="none").view
    assert [box.name for box in view.boxes if box.name.startswith("xs")] == [
        f"xs[{i}]" for i in range(5)
    ]
    rolled = [draw(np.sum(h), collapse=collapse) for collapse in ("modules", 0)]
    assert all("one after the other" in drawing.svg for drawing in rolled)


def test_many_modules_are_found_in_linear_time():
    h = Tensor(np.ones(2), requires_grad=True)
    for _ in range(4_000):
        with tg.scope("cell"):
            h = np.tanh(h * 2.0)
    start = time.perf_counter()
    draw(h)
    assert time.perf_counter() - start < 20  # a guard against quadratic time, not a benchmark


def test_heads_side_by_side_are_drawn_as_one():
    x = Tensor(np.ones(3), requires_grad=True, name="x")
    heads = []
    for i in range(8):
        with tg.scope(f"head{i}"):
            heads.append(np.tanh(x * 2.0) * x)
    assert titles(draw(np.concatenate(heads), collapse="modules")) == [
        "x", "head0 … head7 ×8", "concatenate",
    ]  # fmt: skip
    assert "side by side" in draw(np.concatenate(heads), collapse="modules").svg


# -- size --------------------------------------------------------------------------------------


def chain(length):
    x = Tensor(np.ones(2), requires_grad=True, name="x")
    for _ in range(length):
        x = np.sin(x)
    return x


def test_words_get_fewer_then_modules_close_then_chains_are_cut():
    assert draw(chain(100)).view.boxes[5].dtype == "float64"
    medium = draw(chain(400)).view
    assert len(medium.boxes) == 401 and medium.boxes[5].lines == ("(2,)",)
    assert any("Op and shape only" in note for note in medium.notes)
    long = draw(chain(2_000))
    assert titles(long) == [
        "x", "sin_1", "sin_2", "sin_3", "… 1,994 more ops …", "sin_1998", "sin_1999", "sin_2000",
    ]  # fmt: skip
    assert long.view.boxes[4].lines == ("ends with (2,)",)
    assert "Long chains are cut; collapse='none' draws all of them." in long.view.notes
    assert len(draw(network(100), collapse="auto").view.boxes) < 30


def test_a_cut_chain_takes_the_leaves_along_that_only_it_uses():
    x = Tensor(1.0, requires_grad=True, name="x")
    for i in range(500):
        x = x * Tensor(2.0, requires_grad=True, name=f"w{i}")
    assert len(draw(x).view.boxes) == 1 + 2 * 6 + 1
    y = Tensor(1.0, requires_grad=True)
    both = y
    for _ in range(700):
        both = np.sin(both) + y * 0
    with pytest.raises(tg.InputError, match="boxes"):
        draw(both, max_nodes=20)


def test_a_module_that_repeats_a_thousand_times_is_drawn_in_seconds():
    start = time.perf_counter()
    drawing = draw(network(600))
    assert drawing.view.total == 600 * 7 + 3
    assert len(drawing.svg) < 20_000
    assert time.perf_counter() - start < 30  # a guard against quadratic time, not a benchmark


def test_a_picture_that_is_too_big_is_refused_with_ways_out():
    with pytest.raises(tg.InputError) as error:
        draw(network(60), collapse="none", max_nodes=100)
    assert str(error.value) == (
        "draw: expected a graph of at most 100 boxes, got 423; use collapse='modules' (4 boxes), "
        "around=t, depth=3 for what is near a Tensor t, or max_nodes=None for no limit"
    )
    x = Tensor(1.0, requires_grad=True)
    wide = sum((np.sin(x) * np.cos(x) for _ in range(2_000)), start=x)
    with pytest.raises(tg.InputError, match=r"got [\d,]+; use tg.scope\(name\) around the parts"):
        draw(wide)


# -- parts of a graph --------------------------------------------------------------------------


def test_only_what_is_near_a_tensor_can_be_drawn():
    x = Tensor(1.0, requires_grad=True, name="x")
    values = [x]
    for i in range(1, 10):
        values.append(np.sin(values[-1]) if i != 5 else values[-1] * x)
        values[-1].name = f"v{i}"
    view = draw(values[-1], around=values[6], depth=2).view
    assert [box.name for box in view.boxes] == ["x", "v4", "v5", "v6", "v7", "v8"]
    assert view.boxes[1].lines[-1] == "… 1 more input"
    assert view.notes == ("Only what is at most 2 steps away; the graph has 10 values.",)
    assert [box.name for box in draw(values[-1], around=x, depth=0).view.boxes] == ["x"]


def test_a_part_of_a_huge_graph_can_be_drawn():
    x = middle = chain(30_000)
    for _ in range(30_000):
        x = np.sin(x)
    assert len(draw(x, around=middle, depth=3).view.boxes) == 7


def test_constants_are_shown_folded_or_told():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    y = x * np.array([3.0, 4.0]) + np.array(0.5)

    def boxes(constants):
        return [(box.title, *box.lines[:2]) for box in draw(y, constants=constants).view.boxes]

    assert [title for title, *_ in boxes("show")] == ["x", "constant", "multiply", "0.5", "add"]
    assert [title for title, *_ in boxes("auto")] == ["x", "constant", "multiply", "add"]
    assert boxes("auto")[-1] == ("add", "multiply + 0.5", "(2,) float64")
    assert [title for title, *_ in boxes("fold")] == ["x", "multiply", "add"]
    assert boxes("fold")[1][1:] == ("x * constant", "constant: (2,) float64")
    assert "more input" not in draw(y, constants="fold").svg
    named = Tensor(2.0, name="two") * x
    assert len(draw(named, constants="fold").view.boxes) == 3, "what has a name is shown"
    data = Tensor([1.0, 1.0])
    names = {"data": data}
    assert len(draw(data * x, constants="fold", names=names).view.boxes) == 3, "also one from names"


def test_the_backward_graph_can_be_drawn():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = np.sum(np.tanh(x))
    with tg.scope("backward"):
        slope = tg.gradients(loss, x, create_graph=True)
    slope.name = "slope"
    view = draw(slope).view
    assert view.boxes[-1].title == "slope = multiply" and view.boxes[-1].is_output
    assert [frame.title for frame in view.frames] == ["backward"]
