"""Graphviz draws the same graph, or is done without; its output is compared by structure only."""

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import need

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from viz import draw, drawing, graphviz_dot

SVG = "{http://www.w3.org/2000/svg}"


def network():
    X = Tensor(np.ones((4, 2)), name="X")
    with tg.scope("layer1"):
        W = Tensor(
            np.ones((2, 3)), requires_grad=True, name='W "<&>\\ \n\N{GREEK SMALL LETTER ALPHA}'
        )
        h = np.tanh(X @ W + 1.0)
    return np.mean(h**2)


@pytest.fixture
def dot():
    need("dot", "graphviz")


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def ids(svg):
    return [
        element.get("id") for element in ElementTree.fromstring(svg).iter() if element.get("id")
    ]


def test_graphviz_draws_every_box_every_arrow_and_every_frame_once(dot):
    picture = draw(network(), engine="dot")
    own, *found = ids(picture.svg)
    assert len(found) == len(set(found)) and all(own in name for name in found)
    boxes = [name for name in found if re.fullmatch(rf"{own}-\d+", name)]
    assert sorted(boxes) == sorted(f"{own}-{box.index}" for box in picture.view.boxes)
    arrows = [name for name in found if re.fullmatch(rf"{own}-a\d+", name)]
    assert len(arrows) == len(picture.view.arrows)
    texts = " ".join(t.text or "" for t in ElementTree.fromstring(picture.svg).iter(f"{SVG}text"))
    for box in picture.view.boxes:
        assert all(line in texts for line in (box.title, *box.lines))
    assert "layer1" in texts
    assert picture.engine == "dot"


def test_two_pictures_of_graphviz_share_no_ids(dot):
    one, two = (draw(Tensor(x), engine="dot").svg for x in (1.0, 2.0))
    assert not set(ids(one)) & set(ids(two))
    assert "<?xml" not in one and "<!DOCTYPE" not in one


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_png_and_pdf_are_made_by_graphviz(dot, tmp_path, ending, start):
    path = draw(network(), engine="builtin").save(tmp_path / f"g.{ending}")
    assert path.read_bytes().startswith(start)


def test_graphviz_is_taken_where_it_is_installed_and_the_graph_is_small(monkeypatch):
    monkeypatch.setattr(graphviz_dot, "has_dot", lambda: True)
    assert draw(Tensor(1.0)).engine == "dot"
    monkeypatch.setattr(drawing, "DOT_LIMIT", 3)
    assert draw(network()).engine == "builtin"
    assert draw(network(), engine="dot").engine == "dot"


def test_without_graphviz_the_built_in_engine_draws(no_dot):
    picture = draw(network())
    assert picture.engine == "builtin"
    assert picture.svg == draw(network(), engine="builtin").svg


def test_without_graphviz_it_is_said_how_to_get_it(no_dot, tmp_path):
    ways = r"apt-get install graphviz / brew install graphviz .*\(2\) "
    with pytest.raises(tg.InputError, match=f"draw: .*{ways}draw.*engine='builtin'"):
        draw(network(), engine="dot")
    with pytest.raises(tg.InputError, match=f"save: .*{ways}save the picture as .svg, and print"):
        draw(network()).save(tmp_path / "g.png")
    assert not list(tmp_path.iterdir())


def test_a_slow_dot_is_stopped_and_the_built_in_engine_takes_over(monkeypatch):
    def slow(command, *, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(graphviz_dot, "has_dot", lambda: True)
    monkeypatch.setattr(graphviz_dot.execute, "run_check", slow)
    picture = draw(network())
    assert "Laid out by the built-in engine: 'dot' took more than 20 seconds." in picture.svg
    assert picture.engine == "builtin"
    with pytest.raises(tg.InputError, match=r"took more than 20 seconds; use .*engine='builtin'"):
        _ = draw(network(), engine="dot").svg


def test_dot_that_fails_is_quoted(monkeypatch, tmp_path):
    def broken(command, **_):
        raise graphviz_dot.execute.CalledProcessError(1, command, b"", b"syntax error in line 1")

    monkeypatch.setattr(graphviz_dot, "has_dot", lambda: True)
    monkeypatch.setattr(graphviz_dot.execute, "run_check", broken)
    with pytest.raises(tg.InputError, match="save: 'dot' failed: syntax error in line 1; save the"):
        draw(network()).save(tmp_path / "g.pdf")


def test_a_notebook_is_told_that_dot_failed(monkeypatch, no_dot):
    monkeypatch.setattr(graphviz_dot, "has_dot", lambda: True)
    bundle = draw(network(), engine="dot")._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert bundle["text/plain"].endswith("draw: 'dot' not found; use draw(..., engine='builtin')\n")


def test_dot_that_vanishes_is_no_failure(monkeypatch, no_dot):
    monkeypatch.setattr(graphviz_dot, "has_dot", lambda: True)
    assert "Laid out by the built-in engine: 'dot' not found." in draw(network()).svg


@pytest.mark.parametrize("form", ["dot", "svg"])
def test_the_text_is_as_it_was(form):
    x = Tensor(2.0, requires_grad=True, name="x")
    with tg.scope("layer"):
        y = np.tanh(x) * x
    picture = draw([y * x, y], names={"y": y, "x": x}, engine="builtin")
    golden = Path(__file__).parent / "golden" / f"layer.{form}"
    # After a change that was meant: picture.save(golden), and look at it.
    assert getattr(picture, form) == golden.read_text("utf-8")
