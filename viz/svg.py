"""A view as SVG: one self-contained picture for browsers, notebooks and slides."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal
from xml.sax.saxutils import escape

from viz.layout import PORT, Layout, Point, layout
from viz.view import Arrow, Box, Frame, View

Direction = Literal["LR", "TB"]
Route = Sequence[tuple[float, float, float]]

MARGIN = 20.0
TITLE, SMALL = 13.0, 11.0  # font sizes
ADVANCE = 0.615  # width of a character in a monospaced font, of its size
LEADING = 1.35  # from line to line
HEAD = 8.0  # length of an arrow's head

# The picture paints its own ground, so it is readable wherever it is put; a dark browser gets dark
# colours. Kinds differ in border and corners too: colour alone is lost in print and on many eyes.
STYLE = """
#ID{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
#ID .halo{paint-order:stroke;stroke:#fff;stroke-width:4px}
#ID text{fill:#1b1f24}#ID .title{font-size:13px;font-weight:bold}#ID .quiet{fill:#57606a}
#ID .ground{fill:#fff}#ID rect{fill:#f3f5f7;stroke:#57606a;stroke-width:1.2}
#ID .op rect{fill:#e3effb;stroke:#0a5a9c}
#ID .input rect{stroke-dasharray:5 3}
#ID .parameter rect{fill:#fdf0d5;stroke:#8a5300;stroke-width:2.6}
#ID .module rect{fill:#e9e6f7;stroke:#5a4a9c;stroke-width:2}
#ID .freed rect{stroke-dasharray:2 3}
#ID .frame rect{fill:#5a4a9c;fill-opacity:.05;stroke:#5a4a9c;stroke-opacity:.6}
#ID .frame text{fill:#5a4a9c}
#ID rect.ground{stroke:none}#ID rect.rim{fill:none;stroke-width:1.2;stroke-dasharray:none}
#ID path{fill:none;stroke:#57606a;stroke-width:1.4}#ID .constant path{stroke-dasharray:5 3}
#ID path.head{fill:#57606a;stroke:none}
#ID .marked rect{stroke:#b34700;stroke-width:4;stroke-dasharray:none}
#ID .marked path{stroke:#b34700;stroke-width:3}#ID .marked path.head{fill:#b34700;stroke:none}
@media (prefers-color-scheme:dark){
#ID text{fill:#e6edf3}#ID .quiet{fill:#a5b0bb}#ID .halo{stroke:#12161b}
#ID .ground{fill:#12161b}#ID rect{fill:#1f262d;stroke:#a5b0bb}
#ID .op rect{fill:#12304a;stroke:#6cb6ff}#ID .parameter rect{fill:#3d2d0d;stroke:#e0a83e}
#ID .module rect{fill:#2a2547;stroke:#b3a6f2}
#ID .frame rect{fill:#b3a6f2;stroke:#b3a6f2}#ID .frame text{fill:#b3a6f2}
#ID path{stroke:#a5b0bb}#ID path.head{fill:#a5b0bb}
#ID .marked rect,#ID .marked path{stroke:#ff9d5c}#ID .marked path.head{fill:#ff9d5c}
}
"""
_LEGEND = {
    "op": "result of an op",
    "parameter": "parameter: a leaf that gets a gradient",
    "input": "input or constant: no gradient",
    "module": "several values, drawn as one",
    "output": "double border: output",
    "marked": "highlighted",
}


def svg_of(view: View, direction: Direction = "LR", *, both_ways: bool = False) -> str:
    """Draw a view; the same view gives the same text, byte for byte.

    Args:
        view: what to draw.
        direction: of the forward pass: "LR", from left to right, or "TB", from top to bottom.
        both_ways: for the page: whole arrows with a head at either end, of which a style sheet
            hides one, and no legend.
    """
    down = direction == "TB"
    sizes = _sizes(view, down)
    placed = _placed(view, sizes, down, whole=both_ways)
    legend, legend_size = ("", (0.0, 0.0)) if both_ways else _legend(view)
    drawn = (placed.height, placed.width) if down else (placed.width, placed.height)
    width = max(drawn[0], legend_size[0]) + 2 * MARGIN
    height = drawn[1] + 2 * MARGIN + (legend_size[1] + MARGIN if legend else 0)
    own = view.own
    corners = [(y, x) if down else (x, y) for x, y in placed.corners]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" id="{own}" role="img" ',
        f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}">\n',
        f"<title>{_escape(view.summary)}</title>\n",
        f"<style>{STYLE.replace('ID', own)}</style>\n",
        f'<rect class="ground" width="{_n(width)}" height="{_n(height)}"/>\n',
        f'<g transform="translate({_n((width - drawn[0]) / 2)} {_n(MARGIN)})">\n',
        *(_frame(f, box, down) for f, box in zip(view.frames, placed.frames, strict=True)),
        *(
            _arrow(arrow, route, f"{own}-a{k}", down, both_ways)
            for k, (arrow, route) in enumerate(zip(view.arrows, placed.routes, strict=True))
        ),
        *(
            _box(box, corner, size, f"{own}-{box.index}")
            for box, corner, size in zip(view.boxes, corners, sizes, strict=True)
        ),
        "</g>\n",
    ]
    if legend:
        below = drawn[1] + 2 * MARGIN
        parts.append(f'<g transform="translate({_n(MARGIN)} {_n(below)})">\n{legend}</g>\n')
    return "".join([*parts, "</svg>\n"])


# -- sizes and places --------------------------------------------------------------------------


def _sizes(view: View, down: bool) -> list[Point]:
    labels: dict[int, list[float]] = {}
    for arrow in view.arrows:
        labels.setdefault(arrow.target, []).append(_label(arrow, down)[1])
    # Arrows come in beside each other, as far apart as the broadest of their labels needs.
    ports = [0.0] * len(view.boxes)
    for target, breadths in labels.items():
        ports[target] = len(breadths) * max(PORT, *breadths)
    return [_size(box, ports[box.index], down) for box in view.boxes]


def _label(arrow: Arrow, down: bool) -> Point:
    """Room for the label, along the arrow and across it, and for the arrow's head."""
    if not arrow.label:
        return HEAD + 4, 0.0
    thick = 0.0 if arrow.weight is None else arrow.width + 4
    width, height = _width(arrow.label, SMALL), SMALL * LEADING + thick
    return (height + HEAD + 8, width + 10) if down else (width + HEAD + 14, height)


def _placed(view: View, sizes: list[Point], down: bool, whole: bool) -> Layout:
    """Places in the direction of the flow: from top to bottom, x is what y is in the picture."""
    titles = [(_width(frame.title, TITLE) + 16, TITLE * LEADING + 2) for frame in view.frames]
    return layout(
        [(h, w) for w, h in sizes] if down else sizes,
        [(arrow.source, arrow.target) for arrow in view.arrows],
        [_label(arrow, down) for arrow in view.arrows],
        homes=[box.frame for box in view.boxes],
        frames=[
            (frame.parent, *(reversed(title) if down else title))
            for frame, title in zip(view.frames, titles, strict=True)
        ],
        whole=whole,
    )


def _size(box: Box, ports: float, down: bool) -> Point:
    width = max([_width(box.title, TITLE)] + [_width(line, SMALL) for line in box.lines])
    height = TITLE * LEADING + len(box.lines) * SMALL * LEADING + 12
    rim = 8.0 if box.is_output else 0.0
    width, height = width + 24 + rim, height + rim
    return (max(width, ports), height) if down else (width, max(height, ports))


# -- what is drawn -----------------------------------------------------------------------------


def _box(box: Box, corner: Point, size: Point, own: str) -> str:
    (x, y), (width, height) = corner, size
    classes = [box.kind, *["freed"] * box.freed, *["marked"] * box.marked]
    parts = [f'<g id="{own}" class="{" ".join(classes)}"><title>{_escape(box.description)}</title>']
    corner_radius = {"op": 12, "module": 4}.get(box.kind, 0)
    if box.times > 1:
        parts.append(_rect(x + 5, y + 5, width, height, corner_radius))
    parts.append(_rect(x, y, width, height, corner_radius))
    if box.is_output:
        inner = max(corner_radius - 4, 0)
        parts.append(_rect(x + 4, y + 4, width - 8, height - 8, inner, "rim"))
    text_height = TITLE * LEADING + len(box.lines) * SMALL * LEADING
    baseline = y + (height - text_height) / 2 + TITLE
    parts.append(_text(x + width / 2, baseline, box.title, TITLE, "title"))
    for number, line in enumerate(box.lines, 1):
        parts.append(_text(x + width / 2, baseline + number * SMALL * LEADING, line, SMALL))
    return "".join([*parts, "</g>\n"])


def _frame(frame: Frame, place: tuple[float, float, float, float], down: bool) -> str:
    x, y, width, height = place
    if down:
        x, y, width, height = y, x, height, width
    title = _text(x + 8, y + TITLE + 3, frame.title, TITLE, "title", "start")
    return f'<g class="frame">{_rect(x, y, width, height, 8)}{title}</g>\n'


def _arrow(arrow: Arrow, route: Route, own: str, down: bool, both_ways: bool) -> str:
    def at(x: float, y: float) -> str:
        return f"{_n(y)} {_n(x)}" if down else f"{_n(x)} {_n(y)}"

    start, x, y = route[0]
    path = [f"M{at(start, y)}L{at(x, y)}"]
    for (_, before, y0), (after, end, y1) in pairwise(route):
        middle = (before + after) / 2
        path.append(f"C{at(middle, y0)} {at(middle, y1)} {at(after, y1)}L{at(end, y1)}")
        x, y = end, y1
    size = 1.0 if arrow.weight is None else max(1.0, arrow.width / 2.5)
    heads = [_head(x, y, size, down, "head")]
    if both_ways:
        heads.append(_head(start, route[0][2], -size, down, "head back"))
    label = ""
    if arrow.label:
        over = 4 + (arrow.width / 2 if arrow.weight else 0)
        place = (y, x - HEAD - 5, "middle") if down else (x - HEAD - 3, y - over, "end")
        label = _text(place[0], place[1], arrow.label, SMALL, "quiet halo", place[2])
    classes = ["arrow", *["constant"] * (not arrow.carries), *["marked"] * arrow.marked]
    width = "" if arrow.weight is None else f' style="stroke-width:{_n(arrow.width)}"'
    words = [w for w in (arrow.argument, arrow.formula and f"gradient: {arrow.formula}") if w]
    tooltip = f"<title>{_escape(': '.join(words))}</title>" if words else ""
    return (
        f'<g id="{own}" class="{" ".join(classes)}">{tooltip}'
        f'<path{width} d="{"".join(path)}"/>{"".join(heads)}{label}</g>\n'
    )


def _head(x: float, y: float, size: float, down: bool, kind: str) -> str:
    length, half = HEAD * size, HEAD / 2 * abs(size)
    place, back = (
        (f"{_n(y)} {_n(x)}", f"{_n(-half)} {_n(-length)}h{_n(2 * half)}")
        if down
        else (f"{_n(x)} {_n(y)}", f"{_n(-length)} {_n(-half)}v{_n(2 * half)}")
    )
    return f'<path class="{kind}" d="M{place}l{back}z"/>'


def _legend(view: View) -> tuple[str, Point]:
    """The kinds that occur, each with its sign; below them what is to be said about the whole."""
    x, parts = 0.0, []
    kinds = {"output", *(box.kind for box in view.boxes)}
    kinds |= {"marked"} if any(box.marked for box in view.boxes) else set()
    for kind, meaning in _LEGEND.items():
        if kind in kinds:
            corner = {"op": 6, "module": 3}.get(kind, 0)
            parts.append(f'<g class="{kind}">{_rect(x + 2, 0, 22, 12, corner)}')
            if kind == "output":
                parts.append(_rect(x - 1, -3, 28, 18, 0, "rim"))
            parts.append(_text(x + 34, 10, meaning, SMALL, "quiet", "start") + "</g>\n")
            x += 34 + _width(meaning, SMALL) + 20
    for number, note in enumerate(view.legend, 1):
        parts.append(_text(0, 14 + number * 18, note, SMALL, "quiet", "start") + "\n")
        x = max(x, _width(note, SMALL) + 20)
    return "".join(parts), (x - 20, 12 + 18.0 * len(view.legend))


def _rect(
    x: float, y: float, width: float, height: float, corner: float = 0, kind: str = ""
) -> str:
    extra = (f' rx="{_n(corner)}"' if corner else "") + (f' class="{kind}"' if kind else "")
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"{extra}/>'


def _text(
    x: float, y: float, text: str, size: float, kind: str = "", anchor: str = "middle"
) -> str:
    extra = f' class="{kind}"' if kind else ""
    if not text.isascii():  # nobody knows which font will draw it: make it fit
        extra += f' textLength="{_n(_width(text, size))}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{extra}>{_escape(text)}</text>'


def _width(text: str, size: float) -> float:
    cells = 0
    for c in text:
        if not unicodedata.combining(c):
            cells += 2 if unicodedata.east_asian_width(c) in "WF" else 1
    return cells * size * ADVANCE


def _n(number: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _escape(text: str) -> str:
    return escape(text, {'"': "&quot;"})
