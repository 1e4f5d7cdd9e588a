"""A view as plain text: a table for the terminal, and DOT for Graphviz and its many readers."""

from __future__ import annotations

from viz.svg import Direction
from viz.view import Arrow, Box, View
from viz.words import shorten

_STYLE = {
    "op": "rounded,filled",
    "parameter": "bold,filled",
    "input": "dashed,filled",
    "module": "filled",
}
_FILL = {"op": "#e3effb", "parameter": "#fdf0d5", "input": "#f3f5f7", "module": "#e9e6f7"}
_LINE = {"op": "#0a5a9c", "parameter": "#8a5300", "input": "#57606a", "module": "#5a4a9c"}
_MARK = "#b34700"


def table_of(view: View) -> str:
    """One line per value, in the order in which they were computed."""
    inputs: dict[int, list[str]] = {}
    for arrow in view.arrows:
        prefix = f"{arrow.argument}=" if arrow.argument else ""
        inputs.setdefault(arrow.target, []).append(f"{prefix}{arrow.source}")
    head = ("", "op", "name", "computed", "shape", "dtype", "value", "grad", "inputs")
    rows = [head] + [
        (
            f"{box.index}{'*' if box.is_output else ''}",
            shorten(box.op or box.kind),
            shorten(box.name),
            shorten(box.expression),
            box.shape,
            box.dtype,
            box.value,
            box.grad,
            "freed" if box.freed else " ".join(inputs.get(box.index, ())),
        )
        for box in view.boxes
    ]
    # A column that has nothing to say is left out.
    kept = [i for i in range(len(head)) if any(row[i] for row in rows[1:])]
    width = {i: max(len(row[i]) for row in rows) for i in kept}
    lines = [f"{view.summary} (*: output)"]
    lines += [("  " + "  ".join(row[i].ljust(width[i]) for i in kept)).rstrip() for row in rows]
    return "\n".join([*lines, *view.notes]) + "\n"


def dot_of(view: View, direction: Direction = "LR") -> str:
    """The graph in the DOT language: plain labels only, so that every reader draws the same."""
    own = view.own
    lines = [
        "digraph {",
        f"  rankdir={direction}",
        '  node [shape=box fontname="monospace" fontsize=11 margin="0.15,0.08"]',
        '  edge [fontname="monospace" fontsize=10 color="#57606a" arrowsize=0.7]',
        *_members(view, own),
    ]
    for k, arrow in enumerate(view.arrows):
        lines.append(f"  {arrow.source} -> {arrow.target} [{_dot_arrow(arrow, f'{own}-a{k}')}]")
    if view.legend:
        notes = _quote("\n".join(view.legend))
        lines.append(f'  label={notes} fontname="monospace" fontsize=10')
    return "\n".join([*lines, "}"]) + "\n"


def _members(view: View, own: str) -> list[str]:
    """Boxes, those of a frame inside of its cluster."""
    boxes: dict[int, list[Box]] = {}
    for box in view.boxes:
        boxes.setdefault(box.frame, []).append(box)
    inner: dict[int, list[int]] = {}
    for i, frame in enumerate(view.frames):
        inner.setdefault(frame.parent, []).append(i)
    lines: list[str] = []
    stack: list[tuple[int, int]] = [(-1, 0)]
    while stack:
        i, depth = stack.pop()
        pad = "  " * depth
        if i == -2:
            lines.append(f"{pad}}}")
            continue
        if i >= 0:
            lines.append(f"{pad}subgraph cluster_{i} {{")
            lines.append(
                f'{pad}  label={_quote(view.frames[i].title)} labeljust=l style="rounded" '
                f'color="#5a4a9c" fontcolor="#5a4a9c" fontname="monospace" fontsize=11'
            )
            stack.append((-2, depth))
        lines += [
            f"{pad}  {box.index} [{_dot_box(box, f'{own}-{box.index}')}]"
            for box in boxes.get(i, ())
        ]
        stack += [(j, depth + 1) for j in reversed(inner.get(i, ()))]
    return lines


def _dot_box(box: Box, own: str) -> str:
    words = {
        "label": "\n".join([box.title, *box.lines]),
        "tooltip": box.description,
        "style": _STYLE[box.kind] + (",dotted" if box.freed else ""),
        "fillcolor": _FILL[box.kind],
        "color": _MARK if box.marked else _LINE[box.kind],
        "peripheries": "2" if box.is_output or box.times > 1 else "1",
        "id": own,
    }
    words |= {"penwidth": "3"} if box.marked else {}
    return " ".join(f"{key}={_quote(text)}" for key, text in words.items())


def _dot_arrow(arrow: Arrow, own: str) -> str:
    words = {"id": own}
    if arrow.label:
        words["label"] = f" {arrow.label} "
    if not arrow.carries:
        words["style"] = "dashed"
    if arrow.formula:
        words["tooltip"] = f"gradient: {arrow.formula}"
    if arrow.weight is not None:
        words["penwidth"] = f"{arrow.width:.1f}"
    if arrow.marked:
        words |= {"color": _MARK, "penwidth": "3"}
    return " ".join(f"{key}={_quote(text)}" for key, text in words.items())


def _quote(text: str) -> str:
    text = text.replace("&", "&amp;")  # `dot` would take a name like &lt; for a sign
    return '"' + text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'
