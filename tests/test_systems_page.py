"""The page of the systems has a section, a picture and a result for every row and example."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from examples import run_all

PAGE = run_all.PAGE.read_text(encoding="utf-8")
RESULTS = run_all.RESULTS.read_text(encoding="utf-8")
NAMES = [file.stem for file in run_all.files()]
ANEW = "draw it anew (python examples/run_all.py --pictures), and look at it"

FAKE = """
ROWS, ASKED, SEEDS = (1, 2), "figure >= 2", 3

def run(seed, quick=False):
    return 2.0 + seed

def reached(figure, quick=False):
    return figure >= 2

def picture(folder):
    folder.mkdir(exist_ok=True)
    (folder / "99_fake.png").write_bytes(b"drawn")
    return folder / "99_fake.png"
"""
LINE = (
    "- [99_fake](../examples/99_fake.py): figure >= 2. Reached by 3 of 3 seeds; median 3, worst 2."
)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write to, where there is one example, and a page with a line for it."""
    file = tmp_path / "99_fake.py"
    file.write_text(FAKE)
    monkeypatch.setattr(run_all, "files", lambda _: [file])
    for name in ("PICTURES", "PAGE", "RESULTS"):
        monkeypatch.setattr(run_all, name, tmp_path / getattr(run_all, name).name)
    run_all.PAGE.write_text(
        "# Page\n\n- [99_fake](../examples/99_fake.py): old.\n- [other](a): b\n"
    )
    return tmp_path


def test_every_row_has_a_section_and_an_example() -> None:
    headings = re.findall(r"^## Rows? ([\d, ]+):", PAGE, re.MULTILINE)
    assert sorted(int(row) for rows in headings for row in rows.split(",")) == [*range(1, 20)]
    rows = {row for name in NAMES for row in run_all.load(run_all.FOLDER / f"{name}.py").ROWS}
    assert rows == set(range(1, 20))


@pytest.mark.parametrize("section", re.split(r"^## ", PAGE, flags=re.MULTILINE)[2:])
def test_a_section_has_formulas_a_picture_a_notice_and_a_result(section: str) -> None:
    assert re.search(r"^    \S", section, re.MULTILINE), "a formula"
    assert "\n![" in section
    assert "otice" in section, "what a reader should see"
    assert re.search(r"^- \[\d\d_\w+\]", section, re.MULTILINE)
    assert re.search(r"\.\./tinygrad_edu/(nn|optim)/\w+\.py\)", section), "the layer"


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_result_of_the_table(name: str) -> None:
    row = re.search(
        rf"^\| [\d, ]+ \| {name} \| (.+) \| (\S+) \| (\S+) \| (.+) \| \S+ \|$", RESULTS, re.M
    )
    assert row, "not in docs/systems_results.md: run `make examples`"
    asked, median, worst, found = row.groups()
    line = f"{asked}. Reached by {found} seeds; median {median}, worst {worst}."
    assert f"- [{name}](../examples/{name}.py): {line}\n" in PAGE


def test_every_picture_is_committed_small_and_shown() -> None:
    files = list(run_all.PICTURES.iterdir())
    assert sorted(file.stem for file in files) == NAMES
    for file in files:
        assert f"](systems/{file.name})" in PAGE
        assert 1000 < file.stat().st_size < 80_000, file.name


@pytest.mark.parametrize("name", ["04_back_propagation", "19_gated_mlp"])
def test_graphs_are_what_the_examples_draw(name: str, tmp_path: Path) -> None:
    drawn = run_all.load(run_all.FOLDER / f"{name}.py").picture(tmp_path)
    assert drawn.read_bytes() == (run_all.PICTURES / drawn.name).read_bytes(), f"{name}: {ANEW}"


def test_a_full_run_writes_results_page_and_pictures(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_all.py"])
    assert run_all.main() == 0
    assert "| 1, 2 | 99_fake | figure >= 2 | 3 | 2 | 3 of 3 |" in run_all.RESULTS.read_text()
    assert run_all.PAGE.read_text() == f"# Page\n\n{LINE}\n- [other](a): b\n"
    assert (fake / "systems" / "99_fake.png").read_bytes() == b"drawn"
    assert "drawn: " in capsys.readouterr().out


@pytest.mark.parametrize(("flag", "drawn"), [("--pictures", True), ("--quick", False)])
def test_pictures_are_drawn_without_a_run_and_a_quick_run_writes_nothing(
    fake: Path, monkeypatch: pytest.MonkeyPatch, flag: str, drawn: bool
) -> None:
    before = run_all.PAGE.read_text()
    monkeypatch.setattr(sys, "argv", ["run_all.py", flag])
    assert run_all.main() == 0
    assert (fake / "systems" / "99_fake.png").exists() == drawn
    assert not run_all.RESULTS.exists()
    assert run_all.PAGE.read_text() == before
