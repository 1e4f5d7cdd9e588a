"""Write docs/ops.md from the registry: `make docs`.

Nothing in it is written by hand: the formulas are traced from the rules, the sub-gradients are
computed by the engine, the sources stand in the rules' docstrings. The calls that the formulas are
traced with are the first samples of the property tests.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from hypothesis import Phase, find, settings
from hypothesis.strategies import SearchStrategy

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from samples import INTERNAL, SAMPLES  # noqa: E402  # they lie in tests/

from tinygrad_edu.op import REGISTRY, Op  # noqa: E402
from tinygrad_edu.reference import Entry, entry, is_elementwise, module_of, public_name  # noqa: E402

PAGE = ROOT / "docs" / "ops.md"
INTRODUCTION = """\
<!-- Written by `make docs` (docs/make_ops.py) from the registry of ops: do not edit it by hand. -->
# Ops and their gradients

Every function that works on a Tensor, with the rule of each argument: what is sent back to it when
`g` arrives at the result `out`. The formulas are not written by hand: they are what the rules in
[`tinygrad_edu/ops`](../tinygrad_edu/ops) did when they were called with an array that takes notes.

How to read them:

- `np` is NumPy, `tg` is `tinygrad_edu`; a name without either is one of `scipy.special`, or a part
  of which a table below tells.
- In every product zero times anything is zero (`tg.safe_multiply`), so that a branch that
  `np.where` did not select sends back 0, not NaN.
- Where arguments were broadcast, the engine afterwards sums over the axes that were stretched.
- Conversions between dtypes are not shown. `noise` is what was drawn at random.
- The rules work for every shape and option. Where the formula depends on them, those that it was
  traced with stand below it, and numbers in it (such as 6) are lengths.
- `...` stands for what is longer than {longest} characters, or is no single expression.
- The last column says for which numbers the gradient is defined, and what is sent back, for `g` =
  1, where there is no derivative. The choices are explained in [design](design.md).

`tinygrad-edu ops np.tanh` prints one of them.

"""
LONGEST = 120
FLAT = "Functions without a gradient"
FIRST = (  # the order of the families; those that are not named follow
    *("elementwise", "trigonometry", "selection", "reduce", "scans", "statistics", "order"),
    *("shape", "joining", "padding", "index", "linalg", "einsum"),
    *("solves", "determinants", "decompositions", "matrix_functions", "numerics", "special"),
    *("activations", "rectifiers", "convolution", "pooling", "resampling", "windows"),
    *("normalisation", "attention", "recurrent"),
    *("losses", "classification", "margins", "likelihoods", "random"),
)


def page() -> str:
    """The whole document."""
    families: dict[str, list[Entry]] = {}
    flat: list[str] = []
    for op in REGISTRY.values():
        name = public_name(op.function)
        if not _is_ours(op) or (op.function in INTERNAL and not is_public(name)):
            continue
        if op.rules or op.composed:
            one = entry(op, example(op), LONGEST)
            families.setdefault(one.module, []).append(one)
        elif is_public(name):
            flat.append(f"`{name}`")
    order = sorted(families, key=lambda family: (*FIRST, family).index(family))
    titles = {family: _title(family) for family in order}
    lines = [INTRODUCTION.format(longest=LONGEST)]
    for family in order:
        title, count = titles[family][0], sum(is_public(one.name) for one in families[family])
        lines.append(f"- [{title}](#{_anchor(title)}): {count}")
    lines.append(f"- [{FLAT}](#{_anchor(FLAT)}): {len(flat)}")
    for family in order:
        title, text = titles[family]
        source = f"[`{family}.py`](../tinygrad_edu/ops/{family}.py)"
        lines += ["", f"## {title}", "", f"{text} {source}".strip(), ""]
        if public := [one for one in families[family] if is_public(one.name)]:
            lines += _table(public)
        if parts := [one for one in families[family] if not is_public(one.name)]:
            lines += ["", "Parts that some of them are made of:", "", *_table(parts)]
        lines += _sources(families[family])
    lines += ["", f"## {FLAT}", "", "Their results need none: they are steps, or no numbers.", ""]
    lines.append(", ".join(sorted(flat)))
    return "\n".join(lines) + "\n"


def is_public(name: str) -> bool:
    """Whether users reach a function by name."""
    return name.startswith(("np.", "tg.", "scipy."))


def example(op: Op) -> Any:
    """A call of an op: its first sample, with the simplest numbers that Hypothesis finds."""
    if op.function not in SAMPLES or (is_elementwise(op) and not op.options):
        return None

    def plainness(sample: Any) -> tuple[bool, int]:  # k=0 and the like show nothing
        args, options = sample
        return any(type(x) is int and x == 0 for x in (*args, *options.values())), len(options)

    return _drawn(min(SAMPLES[op.function], key=plainness))


def _drawn(part: Any) -> Any:
    if isinstance(part, SearchStrategy):
        quiet = settings(database=None, derandomize=True, phases=(Phase.generate,), deadline=None)
        return find(part, lambda _: True, settings=quiet)
    if isinstance(part, (tuple, list)):
        return type(part)(map(_drawn, part))
    return {key: _drawn(value) for key, value in part.items()} if isinstance(part, dict) else part


def _is_ours(op: Op) -> bool:
    """Whether it is registered by the package, not by a test."""
    return module_of(op).partition(".")[0] in ("tinygrad_edu", "numpy", "")


def _title(family: str) -> tuple[str, str]:
    """A heading and a sentence, from the first line of the module's docstring."""
    text = (import_module(f"tinygrad_edu.ops.{family}").__doc__ or family).strip()
    title, mark, rest = re.split(r"(: | \(|; |\. |$)", text.splitlines()[0].rstrip("."), maxsplit=1)
    rest = rest.rstrip(")") if mark == " (" else rest
    return title, f"{rest[:1].upper()}{rest[1:]}." if rest else ""


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _table(entries: list[Entry]) -> list[str]:
    """One row per function; functions with the same rules share one."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for one in entries:
        inside = one.signature.removeprefix(one.name)
        key = (inside, _gradient(one), "; ".join(one.notes), one.name.partition(".")[0])
        known = rows.setdefault(key, [])
        known.append(f"`{one.name if known else one.signature}`")
        known += [f"`{other}`" for other in one.others]
    return ["| function | gradient | where |", "| --- | --- | --- |"] + [
        f"| {', '.join(names).replace('|', BAR)} | {gradient.replace('|', BAR)} | {where} |"
        for (_, gradient, where, _), names in rows.items()
    ]


BAR = "\\|"


def _gradient(one: Entry) -> str:
    if one.gradients:
        alone = len(one.gradients) == 1 and "[" not in one.gradients[0][0]
        parts = [f"`{text}`" if alone else f"{name}: `{text}`" for name, text in one.gradients]
    elif one.forward == "...":
        parts = ["made of other ops"]
    else:
        parts = [f"made of other ops: `{one.forward}`"]
    long = all(text == "..." for _, text in one.gradients) and one.forward in ("", "...")
    if one.example and not long:
        parts.append(f"(for {one.example})")
    return "<br>".join(parts)


def _sources(entries: list[Entry]) -> list[str]:
    found: dict[str, list[str]] = {}
    for one in entries:
        for source in one.sources:
            found.setdefault(source, []).append(f"`{one.name}`")
    if not found:
        return []
    return ["", "Sources:", ""] + [
        f"- {', '.join(names)}: {source.replace('<', '&lt;')}" for source, names in found.items()
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
