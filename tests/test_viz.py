"""Pictures: complete, legible, stable, safe with any name, and honest about what is not known."""

import gc
import os
import re
import subprocess
import sys
import unicodedata
import weakref
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
import viz
from tinygrad_edu import Tensor
from viz.drawing import Drawing
from viz.svg import svg_of
from viz.text import dot_of, table_of
from viz.view import Arrow, Box, Frame, View
from viz.words import plain

# Whether Graphviz is installed changes nothing here: tests/test_graphviz.py asks for it.
draw = partial(viz.draw, engine="builtin")

SVG = "{http://www.w3.org/2000/svg}"
# Every code point: control characters, lone surrogates and unassigned ones too.
hostile = st.text(st.characters(exclude_categories=()), max_size=60)
QUOTED = r'"(?:[^"\\]|\\.)*"'


@st.composite
def graphs(draw_, max_size=25):
    """A directed acyclic graph: its size, and its arrows ordered by target."""
    count = draw_(st.integers(1, max_size))
    arrows = [
        (source, target)
        for target in range(1, count)
        for source in draw_(st.lists(st.integers(0, target - 1), max_size=4))
    ]
    return count, arrows


@st.composite
def views(draw_, max_size=12):
    """A view with hostile words in every place, and frames around boxes that follow each other."""
    count, arrows = draw_(graphs(max_size))
    words = hostile.map(plain)
    cuts = sorted(draw_(st.sets(st.integers(0, count), max_size=4)))
    frames = [Frame(draw_(words), -1) for _ in cuts[1:]]
    boxes = [
        Box(
            i,
            draw_(st.sampled_from(["parameter", "input", "op", "module"])),
            *(draw_(words) for _ in range(2)),
            lines=tuple(draw_(st.lists(words, max_size=4))),
            **{key: draw_(words) for key in ("description", "op", "expression", "shape", "dtype")},
            value=draw_(words),
            grad=draw_(words),
            times=draw_(st.integers(1, 3)),
            frame=next((k for k in range(len(frames)) if cuts[k] <= i < cuts[k + 1]), -1),
            is_output=draw_(st.booleans()),
            freed=draw_(st.booleans()),
            marked=draw_(st.booleans()),
        )
        for i in range(count)
    ]
    weights = st.none() | st.floats(0, 1)
    return View(
        tuple(boxes),
        tuple(
            Arrow(s, t, *(draw_(words) for _ in range(3)), i % 2 == 0, i % 3 == 0, draw_(weights))
            for i, (s, t) in enumerate(arrows)
        ),
        tuple(frames),
        tuple(draw_(st.lists(words, max_size=2))),
    )


def groups(svg):
    """The boxes of a picture: index -> (rectangle, class, texts)."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if re.search(r"-\d+$", group.get("id", "")):
            index = int(group.get("id").rpartition("-")[2])
            assert index not in found, f"box {index} is drawn twice"
            rect = group.find(f"{SVG}rect")
            box = tuple(float(rect.get(key)) for key in ("x", "y", "width", "height"))
            found[index] = box, group.get("class"), [t.text for t in group.iter(f"{SVG}text")]
    return found


def small_graph():
    x = Tensor([[1.0, 2.0]], requires_grad=True, name="x")
    W = Tensor([[1.0], [3.0]], requires_grad=True, name="W")
    return x, W, np.sum(np.tanh(x @ W) + 1.0)


@given(views(), st.sampled_from(["LR", "TB"]))
def test_every_box_every_arrow_and_every_frame_is_drawn_once(view, direction):
    svg = svg_of(view, direction)
    assert sorted(groups(svg)) == list(range(len(view.boxes)))
    tree = ElementTree.fromstring(svg)
    arrows = [g for g in tree.iter(f"{SVG}g") if "arrow" in g.get("class", "").split()]
    assert [g.get("id").rpartition("-a")[2] for g in arrows] == [
        str(k) for k in range(len(view.arrows))
    ]
    for group in arrows:
        assert [path.get("class") for path in group.iter(f"{SVG}path")] == [None, "head"]
    frames = [g for g in tree.iter(f"{SVG}g") if g.get("class") == "frame"]
    assert [g.find(f"{SVG}text").text or "" for g in frames] == [f.title for f in view.frames]
    dot = dot_of(view, direction)
    assert sorted(map(int, re.findall(r"^ +(\d+) \[", dot, re.M))) == list(range(len(view.boxes)))
    drawn = [(int(a), int(b)) for a, b in re.findall(r"^  (\d+) -> (\d+)", dot, re.M)]
    assert drawn == [(arrow.source, arrow.target) for arrow in view.arrows]
    assert dot.count("subgraph cluster_") == len(view.frames)


@given(views(), st.sampled_from(["LR", "TB"]))
def test_boxes_do_not_overlap_and_lie_inside_of_the_picture(view, direction):
    svg = svg_of(view, direction)
    boxes = [rect for _, (rect, _, _) in sorted(groups(svg).items())]
    width, height = (float(ElementTree.fromstring(svg).get(key)) for key in ("width", "height"))
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= -1 and y >= -1 and x + w <= width and y + h <= height
        for x1, y1, w1, h1 in boxes[:i]:
            assert (
                x + w <= x1 + 0.2 or x1 + w1 <= x + 0.2 or y + h <= y1 + 0.2 or y1 + h1 <= y + 0.2
            )


@given(views())
def test_any_name_gives_well_formed_xml_dot_and_a_table_of_one_line_each(view):
    for _, _, texts in groups(svg_of(view)).values():
        assert all(text.isprintable() for text in texts if text)
    attribute = rf"\w+=(?:{QUOTED}|\w+)"
    for line in dot_of(view).splitlines()[4:-1]:
        assert re.fullmatch(
            rf" +(\d+( -> \d+)? \[{attribute}( {attribute})*\]|{attribute}( {attribute})*"
            r"|subgraph cluster_\d+ {|})",
            line,
        ), line
    for box in view.boxes:
        label = re.search(rf"^ +{box.index} \[label=({QUOTED})", dot_of(view), re.M)[1][1:-1]
        read = re.sub(r"\\(.)", lambda escaped: escaped[1].replace("n", "\n"), label)
        read = read.replace("&amp;", "&")
        assert read == "\n".join([box.title, *box.lines])
    assert len(table_of(view).splitlines()) == 2 + len(view.boxes) + len(view.notes)


@given(hostile.filter(bool))
def test_a_hostile_name_can_be_read_in_the_picture(name):
    svg = draw(Tensor(1.0, name=name)).svg
    shown = plain(name)
    [(_, _, texts)] = groups(svg).values()
    assert texts[0] == (shown if len(shown) <= 24 else shown[:23] + "…")
    tooltip = next(t.text for t in list(ElementTree.fromstring(svg).iter(f"{SVG}title"))[1:])
    assert tooltip.splitlines()[0].startswith(f"0: output, input {shown[:39]}".rstrip())


def test_a_name_of_ten_thousand_characters_does_not_fill_the_picture():
    drawing = draw(Tensor(1.0, requires_grad=True, name="<&'\"" * 2_000) * 2)
    assert len(drawing.svg) < 6_000 and len(drawing.dot) < 2_000 and len(drawing.text()) < 1_000


def columns(text):
    return sum(not unicodedata.combining(c) for c in text)


@given(views(), st.sampled_from(["LR", "TB"]))
def test_text_fits_its_box(view, direction):
    for (_, _, width, height), _, texts in groups(svg_of(view, direction)).values():
        first, *rest = (text or "" for text in texts)
        assert height >= 13 + 11 * len(rest)
        assert width >= 0.6 * max(13 * columns(first), *(11 * columns(t) for t in rest), 0)


def test_the_same_graph_gives_the_same_bytes_whatever_the_hash_seed():
    program = (
        "import numpy as np; from tinygrad_edu import Tensor; from viz import draw\n"
        "x = Tensor([1., 2.], requires_grad=True); y = np.tanh(x) * x\n"
        "d = draw([np.sum(y + np.exp(y)), y], names=dict(y=y, x=x), engine='builtin')\n"
        "print(d.svg, d.dot, d.text())"
    )
    root = Path(__file__).parents[1]
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_coordinates_are_finite_whatever_the_numbers_are():
    x = Tensor([np.nan, np.inf, -1e308], requires_grad=True)
    x.grad = np.array([np.nan, 1.0, 2.0])
    y = Tensor([1e308, 1e308], requires_grad=True)
    y.grad = np.array([3e300, 4e300])
    z = Tensor(np.zeros((0, 3)), requires_grad=True)
    z.grad = np.zeros((0, 3))
    drawing = draw([x, y, z], level="full")
    assert [box.value for box in drawing.view.boxes] == ["2 of 3 not finite", "all 1e+308", ""]
    assert [box.grad for box in drawing.view.boxes] == ["norm nan", "norm 5e+300", "norm 0"]
    for element in ElementTree.fromstring(drawing.svg).iter():
        for key in ("x", "y", "width", "height", "d", "viewBox", "transform"):
            assert not re.search(r"nan|inf|e\d", element.get(key, ""))


def test_kinds_differ_by_more_than_colour():
    X = Tensor([[1.0, 2.0]], name="X")
    W = Tensor([[1.0], [3.0]], requires_grad=True)
    drawing = draw(np.sum(X @ W))
    kinds = {index: kind for index, (_, kind, _) in groups(drawing.svg).items()}
    assert kinds == {0: "input", 1: "parameter", 2: "op", 3: "op"}
    assert re.search(r"\.module rect\{[^}]*stroke-width", drawing.svg)
    assert re.search(r"\.input rect\{stroke-dasharray", drawing.svg)
    assert re.search(r"\.parameter rect\{[^}]*stroke-width", drawing.svg)
    tree = {
        group.get("id").rpartition("-")[2]: group.findall(f"{SVG}rect")
        for group in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g")
        if re.search(r"-\d$", group.get("id", ""))
    }
    assert [tree[key][0].get("rx") is not None for key in "0123"] == [False, False, True, True]
    assert [len(tree[key]) for key in "0123"] == [1, 1, 1, 2], "the output has a second border"
    assert [line.count('peripheries="2"') for line in drawing.dot.splitlines()[4:8]] == [0, 0, 0, 1]
    assert len({re.search(r'style="(\w+)', line)[1] for line in drawing.dot.splitlines()[4:7]}) == 3


def test_a_box_says_op_name_how_it_was_computed_shape_dtype_and_a_summary():
    x = Tensor(np.ones((2, 3), dtype=np.float32), requires_grad=True, name="x")
    y = np.sum(x, axis=1)
    y.name = "rows"
    loss = np.sum(y * np.array([1.0, 3.0], np.float32))
    boxes = groups(draw(loss * 2).svg)
    assert boxes[0][2] == ["x", "(2, 3) float32", "all 1", "grad –"]
    assert boxes[1][2] == ["rows = sum", "np.sum(x, axis=1)", "(2,) float32", "all 3"]
    assert boxes[2][2] == ["constant", "(2,) float32", "1 to 3"]
    assert boxes[4][2] == ["sum", "np.sum(multiply_1)", "() float32 = 12"]
    assert boxes[5][2] == ["multiply_2", "sum * 2", "() float32 = 24"]
    assert "1: output, op rows" in draw(y).svg, "the tooltip has it too"


def test_three_levels_tell_more_and_more():
    x = Tensor([[1.0, 2.5]], requires_grad=True, name="x")
    y = np.tanh(x)
    x.grad = np.array([[0.5, -1.0]])
    compact, normal, full = (
        groups(draw(y, level=level).svg)[0][2] for level in ("compact", "normal", "full")
    )
    assert compact == ["x", "(1, 2)"]
    assert normal == ["x", "(1, 2) float64", "1 to 2.5", "grad norm 1.118"]
    assert full == ["x", "(1, 2) float64", "[[1 2.5]]", "grad norm 1.118", "[[0.5 -1]]"]
    assert not any(arrow.label for arrow in draw(y, level="compact").view.arrows)
    big = draw(Tensor(np.arange(10_000.0).reshape(100, 100)), level="full")
    assert len(groups(big.svg)[0][2]) < 12, "large arrays are cut"


def test_an_arrow_says_what_flows_back_along_it_in_the_user_s_names():
    X, y = Tensor(np.ones((4, 2)), name="X"), Tensor(np.ones((4, 1)), name="y")
    W = Tensor(np.ones((2, 1)), requires_grad=True, name="W")
    b = Tensor(np.zeros(1), requires_grad=True, name="b")
    p = X @ W + b
    loss = np.mean((p - y) ** 2)
    view = draw(loss, names={"p": p}).view
    formulas = {(view.boxes[a.source].name, view.boxes[a.target].name): a for a in view.arrows}
    assert formulas["W", "matmul"].formula == formulas["W", "matmul"].label == "X.T @ g"
    assert formulas["X", "matmul"].formula == "" and formulas["X", "matmul"].label == ""
    assert formulas["b", "p"].formula == "g summed to (1,)"
    assert formulas["subtract", "power"].formula == "g * (2 * subtract)"
    assert formulas["power", "mean"].formula == "np.broadcast_to(g / 4, power.shape)"
    assert formulas["power", "mean"].label == "g / 4, spread"
    assert "gradient: np.broadcast_to(g / 4, power.shape)" in draw(loss).svg


def test_a_name_that_is_an_expression_is_put_in_brackets():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x + 1")
    view = draw(np.sum(x**2)).view
    assert view.boxes[1].expression == "(x + 1) ** 2"
    assert view.arrows[0].formula == "g * (2 * (x + 1))"


def test_formulas_are_numpy():
    v = Tensor([[1.0], [2.0]], requires_grad=True, name="v")
    assert draw(v @ np.array([[3.0]])).view.boxes[-1].expression == "v @ constant"
    assert draw(v * np.array(3.0)).view.boxes[-1].expression == "v * 3"
    assert draw(v[[0], :]).view.boxes[-1].expression == "v[np.array([0]), :]"
    assert draw(np.sort(v, axis=None)).view.boxes[-1].expression == "np.sort(v, axis=None)"
    made = tg.checkpoint(lambda a: np.exp(a) * a)(v)
    assert draw(made).view.boxes[-1].expression == "", "numbers are no formula"


def test_an_upstream_gradient_is_never_called_like_a_value():
    g = Tensor([1.0], requires_grad=True, name="g")
    assert [a.formula for a in draw(g * g).view.arrows] == ["g1 * g"] * 2
    assert "; g1 is what arrives" in draw(g * g).svg


def test_an_arrow_knows_its_argument_and_says_only_what_flows_back():
    x, one = Tensor([[1.0]], requires_grad=True), Tensor([[1.0]])
    assert [arrow.label for arrow in draw(one @ x).view.arrows] == ["", "input.T @ g"]
    assert [arrow.argument for arrow in draw(one + x).view.arrows] == ["x", "y"]
    assert len(draw(x + x).view.arrows) == 2, "a value that is used twice has two arrows"


def test_arrows_without_gradient_are_dashed():
    x = Tensor([[1.0]])
    W = Tensor([[2.0]], requires_grad=True)
    drawing = draw(np.tanh(x @ W))
    assert [arrow.carries for arrow in drawing.view.arrows] == [False, True, True]
    assert drawing.svg.count('class="arrow constant"') == 1
    assert drawing.dot.count('style="dashed"]') == 1


def test_gradient_is_unknown_before_backward_and_summarised_after():
    x, W, loss = small_graph()
    assert groups(draw(loss).svg)[0][2][-1] == "grad –"
    assert "grad 0" not in draw(loss).svg and "norm" not in draw(loss).svg
    loss.backward(retain_graph=True)
    before = groups(draw(loss).svg)
    x.grad = np.array([[3.0, 4.0]])
    assert groups(draw(loss).svg)[0][2][-1] == "grad norm 5"
    assert before[1][2][-1] == f"grad norm {np.linalg.norm(W.grad):.4g}"
    W.grad = np.zeros_like(W.data)
    assert groups(draw(loss).svg)[1][2][-1] == "grad norm 0", "a gradient of zero is one"
    assert not any("grad" in text for text in before[2][2]), "none is kept for results"


def test_a_gradient_of_one_number_is_shown_and_one_kept_for_a_result_too():
    x = Tensor(3.0, requires_grad=True)
    y = x * x
    y.retain_grad()
    (y * 2).backward(retain_graph=True)
    assert [box.grad for box in draw(y).view.boxes] == ["12", "2"]


def test_a_sparse_gradient_is_summarised_as_its_dense_form():
    W = Tensor(np.zeros((3, 2)), requires_grad=True)

    class Rows:
        def dense(self):
            return np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])

    W.grad = Rows()
    assert draw(W).view.boxes[0].grad == "norm 5"


def test_a_gradient_that_is_not_in_memory_is_not_computed():
    class Remote:
        dtype = np.dtype(float)

    x = Tensor([1.0], requires_grad=True)
    x.grad = Remote()
    assert draw(x).view.boxes[0].grad == "Remote (not computed)"


def test_a_freed_graph_shows_what_is_known_and_says_so():
    x, _, loss = small_graph()
    loss.backward()
    drawing = draw(loss)
    [(_, kind, texts)] = groups(drawing.svg).values()
    assert kind == "op freed" and texts[0] == "sum" and texts[-1] == "inputs freed by backward()"
    for text in (drawing.svg, drawing.text()):
        assert "draw before backward()" in text and "retain_graph=True" in text
    assert "freed" in drawing.dot and drawing.text().splitlines()[2].endswith("  freed")
    assert not draw(x).view.boxes[0].freed and "freed" not in draw(x).text(), "a leaf is not"


def test_a_leaf_is_a_picture_of_one_box():
    drawing = draw(Tensor([1.0, 2.0], name="w", requires_grad=True))
    assert groups(drawing.svg)[0][2] == ["w", "(2,) float64", "1 to 2", "grad –"]
    assert repr(drawing) == "<Drawing: graph of 1 node, 1 parameter>"


def test_a_graph_that_was_not_recorded_says_why():
    drawing = draw(np.tanh(Tensor([1.0])))
    assert "give the parameters requires_grad=True" in drawing.svg
    assert "requires_grad" not in draw(Tensor([1.0], requires_grad=True)).svg


def test_several_tensors_share_one_picture():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.tanh(x)
    drawing = draw((np.sum(y), y, y))
    assert [box.is_output for box in drawing.view.boxes] == [False, True, True]
    assert draw([np.sum(y), y]).view.summary == drawing.view.summary


def test_ops_with_several_outputs_arrays_and_indices_are_told_in_few_words():
    x = Tensor(np.ones((4, 3)), requires_grad=True)
    view = draw(np.split(x, 2)).view
    assert [box.shape for box in view.boxes] == ["(4, 3)", "several outputs", *["(2, 3)"] * 2]
    assert [box.title for box in view.boxes[1:]] == ["split", "split[0]", "split[1]"]
    assert [(arrow.source, arrow.target) for arrow in view.arrows] == [(0, 1), (1, 2), (1, 3)]
    assert [arrow.formula for arrow in view.arrows[1:]] == ["g, as part 0", "g, as part 1"]
    assert draw(np.sum(x, axis=None)).view.boxes[1].expression == "np.sum(parameter)"
    assert draw(x[1:3, None]).view.boxes[1].expression == "parameter[1:3, None]"
    assert draw(x[::2, ..., 1]).view.boxes[1].expression == "parameter[::2, ..., 1]"
    assert "options: index=(::2, array(2,))" in draw(x[::2, [0, 1]]).view.boxes[1].description


def test_the_tooltip_tells_the_scope():
    x = Tensor(1.0, requires_grad=True)
    with tg.scope("layer1"):
        y = np.tanh(x)
    assert "\nscope: layer1<" in draw(y).svg


def test_names_come_from_a_dict_such_as_locals():
    x, W, loss = small_graph()
    _hidden = hidden = np.exp(loss)
    _secret = out = hidden * 2
    again = out  # the first of two names counts
    number, array, nothing = 3, np.ones(2), None  # no Tensors: do not count
    unrelated = Tensor(1.0)
    names = [box.name for box in draw(out, names=locals()).view.boxes]
    assert names[:2] == ["x", "W"] and names[-3:] == ["loss", "hidden", "out"]
    assert draw(x, names={"first": x, "second": x}).view.boxes[0].name == "first"
    assert draw(x, names={"_": x}).view.boxes[0].name == "x"
    assert draw(x, names={}).view.boxes[0].name == "x"


def test_parts_of_lists_dicts_and_modules_have_names():
    class Layer:
        def __init__(self):
            self.weight = Tensor([1.0], requires_grad=True)

        def named_parameters(self):
            return [("weight", self.weight)]

    class Grumpy:
        def __getattr__(self, name):
            raise RuntimeError(name)

    layer, other = Layer(), Layer()
    x = Tensor([1.0])

    class Broken:
        def named_parameters(self, needed):
            raise RuntimeError

    names = {"pair": [x], "net": layer, "layers": [other], 3: x, "grumpy": Grumpy(), "t": type}
    names |= {"broken": Broken(), "brokens": [Broken()]}
    result = x * layer.weight * other.weight
    found = [box.name for box in draw(result, names=names).view.boxes if not box.op]
    assert found == ["pair[0]", "net.weight", "layers[0].weight"]
    x = Tensor([1.0])
    # What a notebook's locals() begin with: the results of all cells.
    notebook = {"In": [], "Out": {3: x, "_": x}, "cells": {"a": x}, "x": x}
    assert draw(x, names=notebook).view.boxes[0].name == "x", "its own name comes first"
    assert draw(x, names={"parameters": {"bias": x}}).view.boxes[0].name == "bias"


def test_two_values_of_one_name_are_told_apart():
    first, second = (Tensor([1.0], requires_grad=True, name="weight") for _ in "12")
    with tg.scope("net/layer1"):
        h = np.tanh(first * 2.0)
    with tg.scope("net/layer2"):
        y = h * second
    names = [box.name for box in draw(y).view.boxes if not box.op]
    assert names == ["layer1.weight", "layer2.weight"]
    assert [box.name for box in draw(first * second).view.boxes[:2]] == ["weight_1", "weight_2"]


def test_options_that_have_an_address_do_not_show_it():
    @tg.op(tg.wrt("x", lambda g, out, x, *, f, rng: g))
    def odd(x, *, f, rng):
        return x * 1.0

    x = Tensor([1.0], requires_grad=True)
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    description = draw(odd(x, f=np.sin, rng=rng)).view.boxes[1].description
    assert "f=sin, rng=Generator" in description.replace("<ufunc 'sin'>", "sin")
    assert "0x" not in draw(odd(x, f=lambda: 0, rng=rng)).svg
    assert rng.bit_generator.state == state


def test_a_drawing_is_of_its_moment_and_keeps_no_graph_alive():
    x, _, loss = small_graph()
    drawing = draw(loss)
    watched = weakref.ref(loss)
    x.name = "renamed"
    x.grad = np.ones((1, 2))
    assert groups(drawing.svg)[0][2] == ["x", "(1, 2) float64", "1 to 2", "grad –"]
    del loss
    assert watched() is None, "reference counting alone frees the graph"
    gc.collect()


def test_looking_changes_nothing():
    x = Tensor(2.0, requires_grad=True)
    y = x * x
    draw(y)
    y.backward()
    assert x.grad == 4.0


def test_the_table_lists_number_op_name_shape_dtype_and_inputs():
    lines = draw(small_graph()[2]).text().splitlines()
    assert lines[0].startswith("graph of 6 nodes, 4 ops, 2 parameters")
    assert lines[1].split() == [
        "op",
        "name",
        "computed",
        "shape",
        "dtype",
        "value",
        "grad",
        "inputs",
    ]
    assert lines[4].split() == [
        "2",
        "matmul",
        "matmul",
        "x",
        "@",
        "W",
        "(1,",
        "1)",
        "float64",
        "7",
        "x=0",
        "y=1",
    ]
    assert lines[7].split()[:2] == ["5*", "sum"]
    assert all(line.startswith("  ") for line in lines[1:])


def test_a_notebook_gets_a_picture_and_text():
    drawing = draw(small_graph()[2])
    bundle = drawing._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "image/svg+xml"]
    assert bundle["text/plain"] == drawing.text()
    fitting = ' style="max-width:100%;height:auto"'
    assert bundle["image/svg+xml"].replace(fitting, "", 1) == drawing.svg
    assert list(drawing._repr_mimebundle_(include=["text/plain"])) == ["text/plain"]
    assert list(drawing._repr_mimebundle_(exclude={"text/plain"})) == ["image/svg+xml"]
    assert drawing._repr_mimebundle_(include=["text/html"]) == {}


def test_ids_and_styles_of_two_pictures_on_one_page_do_not_meet():
    one, two = draw(Tensor(1.0)).svg, draw(Tensor(2.0)).svg
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, two)]
    assert not ids[0] & ids[1]
    for svg in (one, two):
        own = ElementTree.fromstring(svg).get("id")
        style = ElementTree.fromstring(svg).find(f"{SVG}style").text
        rules = re.findall(r"([^{}\n]+)\{[^{}]", style)
        assert all(rule.startswith((f"#{own}", "@media")) for rule in rules), rules


@pytest.mark.parametrize("path", [5, None, b"g.svg", ["g.svg"]])
def test_save_refuses_what_is_no_path(path):
    with pytest.raises(tg.DtypeError, match="save: expected a path, got"):
        draw(Tensor(1.0)).save(path)


def test_names_are_texts():
    with pytest.raises(tg.DtypeError, match="name: expected a text, or None, got int"):
        Tensor(1.0, name=5)
    with pytest.raises(tg.DtypeError, match="scope: expected the name of a part"):
        tg.scope(5)


def test_steps_beyond_the_end_of_a_graph_take_no_time():
    x = Tensor(1.0, requires_grad=True)
    assert len(draw(np.sin(x), around=x, depth=10**30).view.boxes) == 2


def test_an_op_of_many_inputs_is_drawn_in_linear_time():
    parts = [Tensor([1.0], requires_grad=True) for _ in range(1_000)]
    view = draw(np.concatenate(parts), level="normal", collapse="none").view
    assert view.boxes[-1].expression == "" and len(view.arrows) == 1_000


def test_save_writes_what_the_suffix_says(tmp_path):
    drawing = draw(small_graph()[2])
    assert drawing.save(str(tmp_path / "g.svg")) == tmp_path / "g.svg"
    drawing.save(tmp_path / "g.DOT")
    drawing.save(tmp_path / "g.html")
    assert drawing.svg in (tmp_path / "g.html").read_text("utf-8")
    assert (tmp_path / "g.svg").read_text("utf-8") == drawing.svg
    assert (tmp_path / "g.DOT").read_text("utf-8") == drawing.dot
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.DOT", "g.html", "g.svg"]


@pytest.mark.parametrize("name", ["g.jpg", "g", "g.svg.gz", ".svg"])
def test_save_refuses_another_suffix(tmp_path, name):
    with pytest.raises(tg.InputError, match=r"expected a path that ends in \.svg or .*, got"):
        draw(Tensor(1.0)).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_save_says_what_is_wrong_with_a_path(tmp_path):
    drawing = draw(Tensor(1.0))
    (tmp_path / "folder.svg").mkdir()
    for bad in (tmp_path / "missing" / "g.svg", tmp_path / "folder.svg", tmp_path / "a\0b.svg"):
        with pytest.raises(tg.InputError, match=r"expected a path that can be written.*choose"):
            drawing.save(bad)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"]


def test_a_save_that_fails_leaves_the_old_picture(tmp_path, monkeypatch):
    target = tmp_path / "g.svg"
    target.write_text("old")
    real = Path.write_bytes

    def full_disk(self, content):
        real(self, content[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(tg.InputError, match="no space left"):
        draw(Tensor(1.0)).save(target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["g.svg"]


def test_draw_refuses_what_is_no_tensor():
    with pytest.raises(tg.DtypeError, match=r"expected a Tensor.*got ndarray; pass"):
        draw(np.ones(3))
    with pytest.raises(tg.DtypeError, match="got float"):
        draw([Tensor(1.0), 2.0])
    with pytest.raises(tg.InputError, match="at least one Tensor"):
        draw([])
    with pytest.raises(tg.DtypeError, match=r"names to be a dict.*got list"):
        draw(Tensor(1.0), names=["x"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "verbose"}, "level to be one of 'compact', 'normal', 'full', got 'verbose'"),
        ({"engine": "neato"}, "engine to be one of 'auto', 'dot', 'builtin', got 'neato'"),
        ({"direction": "RL"}, "direction to be one of 'LR', 'TB'"),
        ({"constants": True}, "constants to be one of"),
        ({"collapse": "all"}, "collapse to be 'auto', 'none', 'modules', or how many .* got 'all'"),
        ({"collapse": True}, "collapse to be"),
        ({"collapse": -1}, "collapse to be"),
        ({"depth": -1}, "depth to be 0, 1, 2"),
        ({"max_nodes": 0}, "max_nodes to be 1, 2, ..., or None, got 0"),
        ({"around": 3}, "around to be a Tensor, got int"),
        ({"around": Tensor(1.0)}, "around expected a Tensor of this graph"),
        ({"highlight": Tensor(1.0)}, "highlight expected a Tensor of this graph"),
        ({"highlight": "path"}, "highlight to be a Tensor, a pair of Tensors, or 'gradients'"),
        ({"highlight": ()}, "highlight to be a Tensor, a pair of Tensors, or 'gradients'"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(tg.AutogradError, match=f"draw: .*{message}"):
        viz.draw(small_graph()[2], **options)


# -- what is highlighted -----------------------------------------------------------------------


def test_the_ways_from_a_tensor_are_highlighted():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    w = Tensor([3.0, 4.0], requires_grad=True, name="w")
    a, b = np.exp(x), np.sin(x * w)
    loss = np.sum(a + b)
    names = {"a": a, "b": b, "loss": loss}

    def marked(highlight):
        view = draw(loss, names=names, highlight=highlight).view
        return [box.name for box in view.boxes if box.marked], sum(x.marked for x in view.arrows)

    assert marked(w) == (["w", "multiply", "b", "add", "loss"], 4)
    assert marked(a) == (["a", "add", "loss"], 2)
    assert marked((x, b)) == (["x", "multiply", "b"], 2)
    assert marked([x, x]) == (["x"], 0)
    with pytest.raises(tg.GraphError, match="no way leads from the first"):
        draw(loss, highlight=(a, b))
    drawing = draw(loss, highlight=w)
    assert drawing.svg.count('class="op marked"') == 4
    assert drawing.dot.count("penwidth") == 5 + 4


def test_arrows_are_as_thick_as_the_gradient_that_flows_back():
    x = Tensor([3.0, 4.0], requires_grad=True, name="x")
    loss = np.sum(x * 0.01) + np.sum(x)
    view = draw(loss, highlight="gradients").view
    weights = [arrow.weight for arrow in view.arrows if arrow.source == 0]
    assert weights == pytest.approx([0.01, 1.0])
    assert [arrow.label for arrow in view.arrows if arrow.source == 0] == ["0.01414", "1.414"]
    assert view.boxes[0].grad == f"norm {1.01 * 2**0.5:.4g}"
    assert "norm of what flows back" in view.notes[-1]
    assert x.grad is None, "it left no trace"
    loss.backward()
    with pytest.raises(tg.GraphError, match="one element"):
        draw(np.exp(x), highlight="gradients")


def test_a_gradient_that_is_not_finite_has_the_thickest_arrow():
    x = Tensor([0.0, 1.0], requires_grad=True)
    drawing = draw(np.sum(np.sqrt(x) + x), highlight="gradients")
    assert drawing.view.arrows[0].weight == 1.0
    assert not re.search(r"(width|d|x|y)[=:]\"?(nan|inf)", drawing.svg + drawing.dot)


def test_gradients_are_highlighted_in_a_whole_graph_only():
    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = np.sum(x * 2)
    with pytest.raises(tg.GraphError, match="need a gradient"):
        draw([loss, Tensor(1.0)], highlight="gradients")
    loss.backward()
    with pytest.raises(tg.GraphError, match="backward pass has freed"):
        draw(loss, highlight="gradients")


# -- size --------------------------------------------------------------------------------------


def chain(length):
    x = Tensor(1.0, requires_grad=True)
    for _ in range(length - 1):
        x = np.sin(x)
    return x


def test_a_graph_may_be_deep_and_has_an_upper_size():
    assert len(groups(draw(chain(3_000), collapse="none").svg)) == 3_000
    with pytest.raises(tg.InputError, match=r"at most 3,000 boxes, got 3,001; use .*around=t"):
        draw(chain(3_001), collapse="none")
    assert len(draw(chain(3_001), collapse="none", max_nodes=None).view.boxes) == 3_001


def test_a_huge_graph_is_refused_without_walking_it(monkeypatch):
    walked = []
    monkeypatch.setattr("viz.drawing.snapshot", walked.append)
    with pytest.raises(tg.InputError, match=r"at most 50,000 values, got more; use around=t"):
        draw(chain(100_000))
    assert not walked


def test_drawing_says_what_it_is():
    assert isinstance(draw(Tensor(1.0)), Drawing)
    assert str(draw(Tensor(1.0))) == draw(Tensor(1.0)).text()
