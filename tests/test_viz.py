"""Pictures: complete, legible, stable, safe with any name, and honest about what is not known."""

import gc
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from viz import draw
from viz.layout import layout
from viz.svg import svg_of
from viz.text import dot_of, table_of
from viz.view import Arrow, Box, View, plain

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
    """A view with hostile words in every place."""
    count, arrows = draw_(graphs(max_size))
    boxes = [
        Box(
            i,
            draw_(st.sampled_from(["parameter", "input", "op"])),
            draw_(st.booleans()),
            draw_(st.booleans()),
            *(plain(draw_(hostile)) for _ in range(8)),
        )
        for i in range(count)
    ]
    return View(
        tuple(boxes),
        tuple(Arrow(s, t, plain(draw_(hostile)), i % 2 == 0) for i, (s, t) in enumerate(arrows)),
    )


def groups(svg):
    """The boxes of a picture: index -> (rectangle, class, texts)."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if "id" in group.attrib:
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


@given(views())
def test_every_box_and_every_arrow_is_drawn_once(view):
    svg = svg_of(view)
    assert sorted(groups(svg)) == list(range(len(view.boxes)))
    paths = [path.get("class") for path in ElementTree.fromstring(svg).iter(f"{SVG}path")]
    assert paths.count("head") == len(view.arrows)
    assert len(paths) - paths.count("head") == len(view.arrows)
    assert len(re.findall(r"^  \d+ \[", dot_of(view), re.M)) == len(view.boxes)
    drawn = [(int(a), int(b)) for a, b in re.findall(r"^  (\d+) -> (\d+)", dot_of(view), re.M)]
    assert drawn == [(arrow.source, arrow.target) for arrow in view.arrows]


@given(graphs(), st.data())
def test_boxes_do_not_overlap_and_arrows_pass_around_them(graph, data):
    count, arrows = graph
    side = st.floats(10, 300)
    fan_in = [sum(target == i for _, target in arrows) for i in range(count)]
    sizes = [(data.draw(side), max(data.draw(side), 17.0 * fan_in[i])) for i in range(count)]
    labels = [data.draw(st.floats(10, 100)) for _ in arrows]
    placed = layout(sizes, arrows, labels)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(placed.corners, sizes, strict=True)]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left > -1e-6 and top > -1e-6
        assert right < placed.width + 1e-6 and bottom < placed.height + 1e-6
        for x0, y0, x1, y1 in boxes[:i]:
            assert right < x0 + 1e-6 or x1 < left + 1e-6 or bottom < y0 + 1 or y1 < top + 1
    for number, ((source, target), route) in enumerate(zip(arrows, placed.routes, strict=True)):
        if route[0][0] != boxes[source][2]:  # branches off an earlier arrow from the same box
            x, _, y = route[0]
            assert any(
                arrows[other][0] == source
                and any((x, y) == earlier[1:] for earlier in earlier_route)
                for other, earlier_route in enumerate(placed.routes[:number])
            )
        else:
            assert boxes[source][1] < route[0][2] < boxes[source][3]
        assert route[-1][1] == pytest.approx(boxes[target][0])
        assert boxes[target][1] < route[-1][2] < boxes[target][3]
        ends = [x for stretch in route for x in stretch[:2]]
        assert ends == sorted(ends), "an arrow turns back"
        for x0, x1, y in route:
            for left, top, right, bottom in boxes:
                assert x1 < left + 1e-6 or x0 > right - 1e-6 or not top < y < bottom


@given(graphs())
def test_columns_are_topological_and_leaves_stand_next_to_their_first_use(graph):
    count, arrows = graph
    placed = layout([(10.0, 80.0)] * count, arrows, [10.0] * len(arrows))
    x = [corner[0] for corner in placed.corners]
    assert all(x[source] < x[target] for source, target in arrows)
    columns = sorted(set(x))
    for leaf in set(range(count)) - {target for _, target in arrows}:
        uses = [columns.index(x[target]) for source, target in arrows if source == leaf]
        assert not uses or columns.index(x[leaf]) == min(uses) - 1


@given(views())
def test_any_name_gives_well_formed_xml_dot_and_a_table_of_one_line_each(view):
    for _, _, texts in groups(svg_of(view)).values():
        assert all(text.isprintable() for text in texts)
    for line in dot_of(view).splitlines()[4:-1]:
        attribute = rf"\w+=(?:{QUOTED}|\w+)"
        assert re.fullmatch(rf"  \d+( -> \d+)?( \[{attribute}( {attribute})*\])?", line), line
    for box in view.boxes:
        label = re.search(rf"^  {box.index} \[label=({QUOTED})", dot_of(view), re.M)[1][1:-1]
        read = re.sub(r"\\(.)", lambda escaped: escaped[1].replace("n", "\n"), label)
        assert read == "\n".join([box.title, *box.lines])
    assert len(table_of(view).splitlines()) == 2 + len(view.boxes) + len(view.notes)


@given(hostile.filter(bool))
def test_a_hostile_name_can_be_read_in_the_picture(name):
    svg = draw(Tensor(1.0, name=name)).svg
    shown = plain(name)
    [(_, _, texts)] = groups(svg).values()
    assert texts[0] == (shown if len(shown) <= 20 else shown[:19] + "…")
    tooltip = next(t.text for t in list(ElementTree.fromstring(svg).iter(f"{SVG}title"))[1:])
    assert tooltip.splitlines()[0].startswith(f"0: output, input {shown[:199]}".rstrip())


@given(views())
def test_text_fits_its_box(view):
    for (_, _, width, height), _, texts in groups(svg_of(view)).values():
        assert height >= 13 + 11 * (len(texts) - 1)
        assert width >= 0.6 * max(13 * len(texts[0]), *(11 * len(t) for t in texts), 0)


def test_the_same_graph_gives_the_same_bytes_whatever_the_hash_seed():
    program = (
        "import numpy as np; from tinygrad_edu import Tensor; from viz import draw\n"
        "x = Tensor([1., 2.], requires_grad=True); y = np.tanh(x) * x\n"
        "d = draw([np.sum(y + np.exp(y)), y], names=dict(y=y, x=x)); print(d.svg, d.dot, d.text())"
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
    drawing = draw([x, y, z])
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
    assert re.search(r"\.input rect\{stroke-dasharray", drawing.svg)
    assert re.search(r"\.parameter rect\{[^}]*stroke-width", drawing.svg)
    tree = {
        group.get("id").rpartition("-")[2]: group.findall(f"{SVG}rect")
        for group in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g")
        if "id" in group.attrib
    }
    assert [tree[key][0].get("rx") is not None for key in "0123"] == [False, False, True, True]
    assert [len(tree[key]) for key in "0123"] == [1, 1, 1, 2], "the output has a second border"
    assert [line.count('peripheries="2"') for line in drawing.dot.splitlines()[4:8]] == [0, 0, 0, 1]
    assert len({re.search(r'style="(\w+)', line)[1] for line in drawing.dot.splitlines()[4:7]}) == 3


def test_a_box_says_op_name_shape_dtype_options_and_a_single_number():
    x = Tensor(np.ones((2, 3), dtype=np.float32), requires_grad=True, name="x")
    y = np.sum(x, axis=1)
    y.name = "rows"
    _, _, texts = groups(draw(np.sum(y) * 2).svg)[1]
    assert texts == ["rows = sum", "axis=1", "(2,) float32"]
    assert groups(draw(np.sum(y) * 2).svg)[3][2] == ["multiply", "y=2", "() float32 = 12"]
    assert "1: output, op rows" in draw(y).svg, "the tooltip has it too"


def test_only_arguments_that_could_be_confused_are_named_on_arrows():
    x, _, loss = small_graph()
    labels = {(arrow.source, arrow.target): arrow.label for arrow in draw(loss).view.arrows}
    assert labels[0, 2] == "x" and labels[1, 2] == "y" and labels[2, 3] == ""
    assert set(labels.values()) == {"x", "y", ""}
    assert {arrow.label for arrow in draw(x + x).view.arrows} == {""}
    assert len(draw(x + x).view.arrows) == 2, "a value that is used twice has two arrows"


def test_arrows_without_gradient_are_dashed():
    x = Tensor([[1.0]])
    W = Tensor([[2.0]], requires_grad=True)
    drawing = draw(np.tanh(x @ W))
    assert [arrow.carries for arrow in drawing.view.arrows] == [False, True, True]
    assert drawing.svg.count('<path class="constant"') == 1
    assert drawing.dot.count("style=dashed]") == 1


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
    assert groups(drawing.svg)[0][2] == ["w", "(2,) float64", "grad –"]
    assert repr(drawing) == "<Drawing: graph of 1 node, 1 parameter>"


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
    assert [(arrow.source, arrow.target) for arrow in view.arrows] == [(0, 1), (1, 2), (1, 3)]
    assert draw(np.sum(x, axis=None)).view.boxes[1].options == ""
    assert draw(x[1:3, None]).view.boxes[1].options == "index=(1:3, None)"
    assert draw(x[::2, [0, 1]]).view.boxes[1].options == "index=(::2, array(2,))"


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


def test_a_drawing_is_of_its_moment_and_keeps_no_graph_alive():
    x, _, loss = small_graph()
    drawing = draw(loss)
    watched = weakref.ref(loss)
    x.name = "renamed"
    x.grad = np.ones((1, 2))
    assert groups(drawing.svg)[0][2] == ["x", "(1, 2) float64", "grad –"]
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
    assert lines[1].split() == ["op", "name", "shape", "dtype", "value", "grad", "inputs"]
    assert lines[4].split() == ["2", "matmul", "(1,", "1)", "float64", "7", "x=0", "y=1"]
    assert lines[7].split()[:2] == ["5*", "sum"]
    assert all(line.startswith("  ") for line in lines[1:])


def test_a_notebook_gets_a_picture_and_text():
    drawing = draw(small_graph()[2])
    assert drawing._repr_mimebundle_() == {
        "image/svg+xml": drawing.svg,
        "text/plain": drawing.text(),
    }
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


def test_save_writes_what_the_suffix_says(tmp_path):
    drawing = draw(small_graph()[2])
    assert drawing.save(str(tmp_path / "g.svg")) == tmp_path / "g.svg"
    drawing.save(tmp_path / "g.DOT")
    assert (tmp_path / "g.svg").read_text("utf-8") == drawing.svg
    assert (tmp_path / "g.DOT").read_text("utf-8") == drawing.dot
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.DOT", "g.svg"]


@pytest.mark.parametrize("name", ["g.png", "g", "g.svg.gz", ".svg"])
def test_save_refuses_another_suffix(tmp_path, name):
    with pytest.raises(tg.InputError, match=r"expected a path that ends in \.svg or \.dot, got"):
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


def chain(length):
    x = Tensor(1.0, requires_grad=True)
    for _ in range(length - 1):
        x = np.sin(x)
    return x


def test_a_graph_may_be_deep_and_has_an_upper_size():
    assert len(groups(draw(chain(3_000)).svg)) == 3_000
    with pytest.raises(tg.InputError, match=r"at most 3,000 values, got more than 3,000; draw an"):
        draw(chain(3_001))
    x = Tensor(1.0, requires_grad=True)
    many = np.concatenate([np.ones(1)] * 3_000 + [x[None]])
    with pytest.raises(tg.InputError, match="got 3,003"):
        draw(many)


def test_a_huge_graph_is_refused_without_walking_it(monkeypatch):
    walked = []
    monkeypatch.setattr("viz.drawing.snapshot", walked.append)
    with pytest.raises(tg.InputError, match="more than 3,000"):
        draw(chain(5_000))
    assert not walked


def test_long_arrows_cost_no_more_than_the_budget():
    # The k-th result is used by the k-th op from the end: a quarter of a million lane points.
    count = 1_000
    arrows = [(i, i + 1) for i in range(count - 1)]
    arrows += [(count - i, i) for i in range(count // 2 + 1, count)]
    arrows.sort(key=lambda arrow: arrow[1])
    placed = layout([(60.0, 40.0)] * count, arrows, [12.0] * len(arrows))
    assert len(placed.routes) == len(arrows)
    assert sum(map(len, placed.routes)) < 40_000


def test_a_value_used_a_thousand_times_is_one_line_with_branches():
    count = 1_000
    arrows = [(source, i) for i in range(2, count) for source in (0, i - 1)]
    placed = layout([(60.0, 40.0)] * count, arrows, [12.0] * len(arrows))
    assert sum(map(len, placed.routes)) < 6 * count
