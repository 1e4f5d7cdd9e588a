"""What the documents show is what happens: their code runs, and prints what they say."""

import contextlib
import dataclasses
import importlib.util
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_edu import coverage, data, nn, optim
from tinygrad_edu.op import REGISTRY
from tinygrad_edu.reference import public_name

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "tutorial"
PAGES = sorted(TUTORIAL.glob("[0-9]*.md"))
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    TUTORIAL / "README.md",
    *PAGES,
]
BLOCK = re.compile(
    r"^(?:<!-- (?P<source>\S+) -->\n)?```(?P<kind>\w*)(?P<note>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)#]+\.svg)\)")


def blocks(document: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(document.read_text(encoding="utf-8")))


def prose(document: Path) -> str:
    return BLOCK.sub("", document.read_text(encoding="utf-8"))


def is_run(block: re.Match[str]) -> bool:
    return block["kind"] == "python" and not block["source"] and "no-test" not in block["note"]


def run(document: Path) -> Iterator[tuple[re.Match[str], str]]:
    """Run the code of a document in one namespace: each block, and what was printed last."""
    namespace: dict[str, Any] = {"__name__": document.stem}
    printed = ""
    for block in blocks(document):
        if is_run(block):
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(block["text"], str(document), "exec"), namespace)
            printed = output.getvalue()
        yield block, printed


def pictures(document: Path) -> list[Path]:
    """The pictures that a document shows and that its own code saves, as they are in the tree."""
    code = "".join(block["text"] for block in blocks(document) if is_run(block))
    paths = [document.parent / target for target in PICTURE.findall(prose(document))]
    return [path for path in paths if f'.save("{path.name}")' in code]


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_code_in_documents_prints_what_they_show(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block, printed in run(document):
        if block["kind"] == "text":
            assert printed.strip() == block["text"].strip()


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if pictures(d)], ids=name_of)
def test_pictures_in_documents_are_what_their_code_draws(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = pictures(document)
    for _ in run(document):
        if all((tmp_path / path.name).exists() for path in shown):
            break  # the rest of the document draws nothing that is shown
    for path in shown:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), (
            f"{name_of(document)} draws another {path.name}: look at it, and copy it to "
            f"{name_of(path.parent)}/"
        )


def test_every_picture_of_the_tutorial_is_drawn_by_the_page_that_shows_it() -> None:
    drawn = [path for page in PAGES for path in pictures(page)]
    assert sorted(drawn) == sorted(TUTORIAL.glob("*.svg"))


def test_the_tutorial_can_be_read_from_page_to_page() -> None:
    order = [TUTORIAL / "README.md", *PAGES, TUTORIAL / "README.md"]
    for before, page, after in zip(order, PAGES, order[2:], strict=False):
        text = page.read_text(encoding="utf-8")
        assert f"]({before.name})" in text, f"{page.name} has no link back"
        assert f"]({after.name})" in text, f"{page.name} has no link forward"
        assert f"]({page.name})" in order[0].read_text(encoding="utf-8"), f"no link to {page.name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_quoted_source_stands_in_the_source(document: Path) -> None:
    for block in blocks(document):
        if block["source"]:
            assert block["text"] in (ROOT / block["source"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", prose(document)):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{name_of(document)} links to {target}"


# -- docs/ops.md -------------------------------------------------------------------------------


def loaded(name: str) -> Any:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_ops() -> Any:
    pytest.importorskip("scipy")  # the formulas of its functions are traced as well
    return loaded("make_ops")


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


# -- docs/layers.md ----------------------------------------------------------------------------


def test_the_list_of_layers_is_that_of_the_docstrings() -> None:
    page = loaded("make_layers").page()
    assert (ROOT / "docs" / "layers.md").read_text(encoding="utf-8") == page, (
        "a layer has changed: write docs/layers.md anew with `make docs`"
    )


def test_every_public_name_stands_in_the_list_of_layers() -> None:
    page = loaded("make_layers").page()
    for package in (nn, optim, data):
        prefix = package.__name__.rpartition(".")[2]
        for name in package.__all__:
            value = getattr(package, name)
            if callable(value):
                assert re.search(rf"^\| `{prefix}\.{name}[(`]", page, re.MULTILINE), name
