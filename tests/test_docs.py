"""What the documents show is what happens: their code runs, and prints what they say."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

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
