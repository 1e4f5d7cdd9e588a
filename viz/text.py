"""A view as plain text: a table for the terminal, and DOT for Graphviz and its many readers."""

from __future__ import annotations

from viz.view import Box, View, shorten

_DOT_STYLE = {"op": "rounded,filled", "parameter": "bold,filled", "input": "dashed,filled"}
_DOT_FILL = {"op": "#e3effb", "parameter": "#fdf0d5", "input": "#f3f5f7"}


def table_of(view: View) -> str:
    """One line per value, in the order in which they were computed."""
    inputs: dict[int, list[str]] = {}
    for arrow in view.arrows:
        prefix = f"{arrow.label}=" if arrow.label else ""
        inputs.setdefault(arrow.target, []).append(f"{prefix}{arrow.source}")
    head = ("", "op", "name", "shape", "dtype", "value", "grad", "inputs")
    rows = [head] + [
        (
            f"{box.index}{'*' if box.is_output else ''}",
            shorten(f"{box.op}({box.options})" if box.options else box.op or box.kind),
            shorten(box.name),
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
    return "\n".join(lines + view.notes) + "\n"


def dot_of(view: View) -> str:
    """The graph in the DOT language: plain labels only, so that every reader draws the same."""
    lines = [
        "digraph {",
        "  rankdir=LR",
        '  node [shape=box fontname="monospace" fontsize=11 margin="0.15,0.08"]',
        '  edge [fontname="monospace" fontsize=10]',
        *(f"  {box.index} [{_dot_box(box)}]" for box in view.boxes),
    ]
    for arrow in view.arrows:
        words = [f"label={_quote(arrow.label)}"] if arrow.label else []
        words += [] if arrow.carries else ["style=dashed"]
        attributes = f" [{' '.join(words)}]" if words else ""
        lines.append(f"  {arrow.source} -> {arrow.target}{attributes}")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_box(box: Box) -> str:
    words = {
        "label": "\n".join([box.title, *box.lines]),
        "tooltip": box.description,
        "style": _DOT_STYLE[box.kind] + (",dotted" if box.freed else ""),
        "fillcolor": _DOT_FILL[box.kind],
        "peripheries": "2" if box.is_output else "1",
    }
    return " ".join(f"{key}={_quote(text)}" for key, text in words.items())


def _quote(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'
