"""Run every example over all its seeds, and write what it reached beside what was asked.

    python examples/run_all.py                    all, and write the results and the pictures
    python examples/run_all.py --quick            one seed at reduced size; only printed
    python examples/run_all.py --pictures         only draw the pictures, in docs/systems/
    python examples/run_all.py 09_digits 12_*     only these; only printed

The results go to docs/systems_results.md, and to the lines of docs/systems.md that begin with a
link to the example. An example that can be run has ROWS (of the table of systems), ASKED (the
figure, in words), SEEDS, `run(seed, quick)`, which returns the figure, `reached(figure, quick)`,
and `picture(folder)`. Whether a smaller figure is the better one follows from `reached`: then minus
infinity would do. The exit status is 1 if an example did not reach its figure, or failed, with one
of its seeds.

It needs the extra `progress` for the table.
"""

import argparse
import importlib.util
import math
import platform
import re
import sys
import traceback
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from types import ModuleType
from typing import NamedTuple

import numpy as np

from tinygrad_edu.data.files import write_aside

FOLDER = Path(__file__).parent
PICTURES = FOLDER.parent / "docs" / "systems"
PAGE = PICTURES.with_suffix(".md")
RESULTS = PICTURES.with_name("systems_results.md")
HEADER = ("rows", "example", "asked", "median", "worst", "reached by", "seconds")


class Result(NamedTuple):
    """What an example reached.

    Attributes:
        name: of the file, without its ending.
        rows: of the table of systems.
        asked: the figure, in words.
        figures: one per seed; NaN where it failed.
        worst: of these.
        reached: how many of them do.
        seconds: all seeds together.
    """

    name: str
    rows: tuple[int, ...]
    asked: str
    figures: tuple[float, ...]
    worst: float
    reached: int
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        rows = ", ".join(map(str, self.rows))
        found = f"{self.reached} of {len(self.figures)}"
        figures = f"{median(self.figures):.4g}", f"{self.worst:.4g}"
        return rows, self.name, self.asked, *figures, found, f"{self.seconds:.1f}"

    def line(self) -> str:
        """The same, as it stands in the page of the systems."""
        _, name, asked, middle, worst, found, _ = self.cells()
        link = f"[{name}](../examples/{name}.py)"
        return f"- {link}: {asked}. Reached by {found} seeds; median {middle}, worst {worst}."


def files(patterns: Iterable[str] = ()) -> list[Path]:
    """The examples that can be run, in teaching order."""
    numbered = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    if patterns := list(patterns):
        numbered = [file for file in numbered if any(map(file.with_suffix("").match, patterns))]
    # Those without `run` are scripts that would already run when imported.
    return [file for file in numbered if "\ndef run(" in file.read_text(encoding="utf-8")]


def load(file: Path) -> ModuleType:
    """Import an example, whose name begins with a digit."""
    name = f"example_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None, "a .py file has a spec"
    assert spec.loader is not None, "and a loader"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(file: Path, quick: bool = False) -> Result:
    """Run an example over its seeds; quick: over one, at reduced size."""
    example = load(file)
    figures = []
    start = perf_counter()
    for seed in range(1 if quick else example.SEEDS):
        try:
            figures.append(float(example.run(seed, quick)))
        except Exception:  # the other seeds and examples are worth their time all the same
            traceback.print_exc()
            figures.append(math.nan)
    seconds = perf_counter() - start
    smaller_is_better = example.reached(-math.inf, quick)
    worst = float((np.max if smaller_is_better else np.min)(figures))  # NaN if one is
    reached = sum(bool(example.reached(figure, quick)) for figure in figures)
    return Result(file.stem, example.ROWS, example.ASKED, tuple(figures), worst, reached, seconds)


def markdown(results: Iterable[Result]) -> str:
    """The results as a page."""
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    lines = [
        "# What the examples reach",
        "",
        f"Written by `make examples` ({versions}). Rows are those of the table of systems; median",
        "and worst are over the seeds, and the time is that of all seeds together.",
        "",
        *(f"| {' | '.join(cells)} |" for cells in (HEADER, ["---"] * len(HEADER))),
        *(f"| {' | '.join(result.cells())} |" for result in results),
    ]
    return "\n".join(lines) + "\n"


def inserted(page: str, results: Iterable[Result]) -> str:
    """The page of the systems, with each line of results written anew."""
    lines = {result.name: result.line() for result in results}
    result = re.compile(r"^- \[(\w+)\]\(\S+\): .*$", re.MULTILINE)
    return result.sub(lambda found: lines.get(found[1], found[0]), page)


def show(results: Iterable[Result], quick: bool = False) -> None:
    """Print the table, with what was not reached in red."""
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
    except ImportError as error:
        raise ImportError("run_all needs rich: pip install 'tinygrad-edu[progress]'") from error
    title = "One seed at reduced size, with bounds of its own" if quick else None
    table = Table(*HEADER, box=SIMPLE_HEAD, pad_edge=False, title=title)
    for column in table.columns:
        column.no_wrap = column.header != "asked"
    for column in table.columns[3:]:
        column.justify = "right"
    for result in results:
        complete = result.reached == len(result.figures)
        table.add_row(*result.cells(), style=None if complete else "bold red")
    console = Console(highlight=False)
    console.width = max(console.width, 120)  # a log file has room for the words
    console.print(table)


def draw(chosen: Iterable[Path]) -> None:
    """Draw the pictures of examples anew; it needs the extra `plot`."""
    for file in chosen:
        print(f"drawn: {load(file).picture(PICTURES)}", flush=True)


def main() -> int:
    """Run the examples; see above."""
    parser = argparse.ArgumentParser(description="Run the examples over all their seeds.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="09_digits, 12_*; default: all")
    parser.add_argument("--quick", action="store_true", help="one seed, at reduced size")
    parser.add_argument("--pictures", action="store_true", help="only draw, in docs/systems/")
    arguments = parser.parse_args()
    chosen = files(arguments.names)
    if not chosen:
        parser.error(f"no example that can be run is named {' or '.join(arguments.names)}")
    if arguments.pictures:
        draw(chosen)
        return 0
    results = []
    for file in chosen:
        results.append(measure(file, arguments.quick))
        figures = ", ".join(f"{figure:.4g}" for figure in results[-1].figures[:5])
        print(f"{file.stem}: {figures} in {results[-1].seconds:.1f} s", flush=True)
    if not arguments.quick and not arguments.names:
        pages = {
            RESULTS: markdown(results),
            PAGE: inserted(PAGE.read_text(encoding="utf-8"), results),
        }
        for file, page in pages.items():
            write_aside(file, partial(Path.write_text, data=page, encoding="utf-8"))
            print(f"written: {file}")
        draw(chosen)
    show(results, arguments.quick)
    return int(any(result.reached < len(result.figures) for result in results))


if __name__ == "__main__":
    sys.exit(main())
