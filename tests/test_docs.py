"""What the documents show is what happens: their code runs, and prints what they say."""

import contextlib
import dataclasses
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_edu import coverage
from tinygrad_edu.op import REGISTRY
from tinygrad_edu.reference import public_name

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^(?:<!-- (?P<source>\S+) -->\n)?```(?P<kind>\w*)(?P<note>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(document: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(document.read_text()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_in_documents_prints_what_they_show(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": document.stem}
    printed = ""
    for block in blocks(document):
        if block["kind"] == "python" and not block["source"] and "no-test" not in block["note"]:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(block["text"], str(document), "exec"), namespace)
            printed = output.getvalue()
        elif block["kind"] == "text":
            assert printed.strip() == block["text"].strip()


def test_the_picture_in_the_readme_is_what_its_code_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "README"}
    for block in blocks(ROOT / "README.md"):
        if block["kind"] == "python" and not block["source"]:
            exec(block["text"], namespace)
        if (tmp_path / "graph.svg").exists():
            break
    assert (tmp_path / "graph.svg").read_bytes() == (ROOT / "docs" / "graph.svg").read_bytes(), (
        "the README draws another picture: look at it, and copy it to docs/graph.svg"
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_source_stands_in_the_source(document: Path) -> None:
    for block in blocks(document):
        if block["source"]:
            assert block["text"] in (ROOT / block["source"]).read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", BLOCK.sub("", document.read_text())):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


# -- docs/ops.md -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make_ops() -> Any:
    pytest.importorskip("scipy")  # the formulas of its functions are traced as well
    spec = importlib.util.spec_from_file_location("make_ops", ROOT / "docs" / "make_ops.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(make_ops: Any) -> str:
    return make_ops.page()


def known_here(page: str) -> list[str]:
    """The lines of docs/ops.md but for functions that this NumPy does not have, and counts."""
    lines = []
    for line in page.splitlines():
        first = re.match(r"\| `([\w.]+)", line)
        if first and first[1].startswith("np.") and coverage.resolve(first[1]) is None:
            continue
        line = re.sub(r"(- \[.*\]\(#.*\)): \d+", r"\1", line)
        if not line.startswith("|"):
            line = re.sub(
                r"`(np\.[\w.]+)`,? ?", lambda m: m[0] if coverage.resolve(m[1]) else "", line
            )
        lines.append(line)
    return lines


def test_the_table_of_ops_is_that_of_the_registry(page: str) -> None:
    written = (ROOT / "docs" / "ops.md").read_text(encoding="utf-8")
    assert known_here(written) == known_here(page), (
        "an op has changed: write docs/ops.md anew with `python docs/make_ops.py` (make docs)"
    )


def test_every_op_stands_in_the_table_of_ops(make_ops: Any, page: str) -> None:
    for function, op in REGISTRY.items():
        name = public_name(function)
        if make_ops.is_public(name):
            assert f"`{name}`" in page or f"`{name}(" in page, op.name


def test_the_table_of_ops_can_be_read_as_a_table(page: str) -> None:
    for line in page.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4, line
            assert line.count("`") % 2 == 0, line
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    contents = re.findall(r"^- \[(.*)\]\(#(.*)\): \d+$", page, re.MULTILINE)
    assert [title for title, _ in contents] == headings
    assert len({anchor for _, anchor in contents}) == len(contents)
    assert not re.search(r"(?i)0x[0-9a-f]{6}|object at|<lambda>|<function|PCG64", page)


def test_the_table_of_ops_follows_the_rules(
    make_ops: Any, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = REGISTRY[np.square]
    wrong = dataclasses.replace(op.rules[0], vjp=lambda g, out, x: g * x)  # type: ignore[type-var]
    wrong.vjp.__module__ = "tinygrad_edu.ops.elementwise"
    monkeypatch.setitem(REGISTRY, np.square, dataclasses.replace(op, rules=(wrong,)))
    assert "| `np.square(x)` | `g * (2 * x)` |  |" in page.splitlines()
    assert "| `np.square(x)` | `g * x` |  |" in make_ops.page().splitlines()
