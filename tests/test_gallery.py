"""The committed gallery is what the examples draw today."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "docs" / "gallery"
ANEW = "draw the gallery anew (make gallery), and look at it"
NUMBER = re.compile(r"(?<![\w.#-])-?\d+\.\d+(?:e[+-]\d+)?")


@pytest.fixture(scope="module")
def gallery() -> Any:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "examples" / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(gallery: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("gallery")
    gallery.write(folder)
    return folder


def test_every_picture_is_committed_and_shown(drawn: Path) -> None:
    names = sorted(path.name for path in drawn.iterdir())
    assert names == sorted(path.name for path in COMMITTED.iterdir())
    shown = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    assert all(f"](gallery/{name})" in shown for name in names)


def test_pictures_are_the_same_byte_for_byte(drawn: Path) -> None:
    for path in sorted(drawn.glob("*.svg")):
        assert path.read_bytes() == (COMMITTED / path.name).read_bytes(), f"{path.name}: {ANEW}"


def test_pages_are_the_same_but_for_the_last_digits_of_numbers(drawn: Path) -> None:
    # A page has all digits in its tooltips, and these may differ from one BLAS to the next.
    for path in sorted(drawn.glob("*.html")):
        now, then = (p.read_text("utf-8") for p in (path, COMMITTED / path.name))
        assert NUMBER.sub("#", now) == NUMBER.sub("#", then), f"{path.name}: {ANEW}"
        numbers = [np.array(list(map(float, NUMBER.findall(text)))) for text in (now, then)]
        assert np.allclose(*numbers, rtol=1e-9, atol=1e-12), f"{path.name}: {ANEW}"


def test_without_an_order_the_gradient_is_wrong(gallery: Any) -> None:
    named = gallery.fan_out()
    edges = gallery.along_paths(named["c"])
    named["c"].backward(retain_graph=True)
    assert named["a"].grad == 2 * (1 + 2 * named["b"].item()) == 18
    assert edges[-1].after == 30
    assert [edge.op for edge in edges].count("multiply") == 5, "3 times to a, instead of once"


def test_without_fan_out_the_order_does_not_matter(gallery: Any) -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    loss = np.sum(np.tanh(np.exp(x) * 0.5))
    wrong = gallery.along_paths(loss)
    right: list[tg.Edge] = []
    with tg.observe(right.append):
        loss.backward()
    assert [edge.op for edge in wrong] == [edge.op for edge in right]
    for one, other in zip(wrong, right, strict=True):
        assert np.array_equal(one.contribution, other.contribution)
