"""A view as SVG: one self-contained picture for browsers, notebooks and slides."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from xml.sax.saxutils import escape

from viz.layout import PORT, Point, layout
from viz.view import Arrow, Box, View

MARGIN = 20.0
TITLE, SMALL = 13.0, 11.0  # font sizes
ADVANCE = 0.615  # width of a character in a monospaced font, of its size
LEADING = 1.35  # from line to line

# The picture paints its own ground, so it is readable wherever it is put; a dark browser gets dark
# colours. Kinds differ in border and corners too: colour alone is lost in print and on many eyes.
_STYLE = """
#ID{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
#ID text{fill:#1b1f24}#ID .title{font-size:13px;font-weight:bold}#ID .quiet{fill:#57606a}
#ID .ground{fill:#fff}#ID rect{fill:#f3f5f7;stroke:#57606a;stroke-width:1.2}
#ID .op rect{fill:#e3effb;stroke:#0a5a9c}
#ID .input rect{stroke-dasharray:5 3}
#ID .parameter rect{fill:#fdf0d5;stroke:#8a5300;stroke-width:2.6}
#ID .freed rect{stroke-dasharray:2 3}
#ID rect.ground{stroke:none}#ID rect.rim{fill:none;stroke-width:1.2;stroke-dasharray:none}
#ID path{fill:none;stroke:#57606a;stroke-width:1.4}#ID .constant{stroke-dasharray:5 3}
#ID .head{fill:#57606a;stroke:none}
@media (prefers-color-scheme:dark){
#ID text{fill:#e6edf3}#ID .quiet{fill:#a5b0bb}
#ID .ground{fill:#12161b}#ID rect{fill:#1f262d;stroke:#a5b0bb}
#ID .op rect{fill:#12304a;stroke:#6cb6ff}#ID .parameter rect{fill:#3d2d0d;stroke:#e0a83e}
#ID path{stroke:#a5b0bb}#ID .head{fill:#a5b0bb}
}
"""
_LEGEND = {
    "op": "result of an op",
    "parameter": "parameter: a leaf that gets a gradient",
    "input": "input or constant: no gradient",
    "output": "double border: output",
}


def svg_of(view: View) -> str:
    """Draw a view; the same view gives the same text, byte for byte."""
    fan_in = [0] * len(view.boxes)
    for arrow in view.arrows:
        fan_in[arrow.target] += 1
    sizes = [_size(box, fan_in[box.index]) for box in view.boxes]
    placed = layout(
        sizes,
        [(arrow.source, arrow.target) for arrow in view.arrows],
        [_width(arrow.label, SMALL) + 22 if arrow.label else 12.0 for arrow in view.arrows],
    )
    legend, legend_size = _legend(view)
    width = max(placed.width, legend_size[0]) + 2 * MARGIN
    height = placed.height + legend_size[1] + 3 * MARGIN
    # Pictures share a page, and so the ids and styles on it: each has its own, from its content.
    own = "g" + hashlib.sha256(repr(view).encode()).hexdigest()[:10]
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" id="{own}" role="img" width="{_n(width)}" ',
            f'height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}">\n',
            f"<title>{_escape(view.summary)}</title>\n",
            f"<style>{_STYLE.replace('ID', own)}</style>\n",
            f'<rect class="ground" width="{_n(width)}" height="{_n(height)}"/>\n',
            f'<g transform="translate({_n((width - placed.width) / 2)} {_n(MARGIN)})">\n',
            *(
                _arrow(arrow, route)
                for arrow, route in zip(view.arrows, placed.routes, strict=True)
            ),
            *(
                _box(box, corner, size, f"{own}-{box.index}")
                for box, corner, size in zip(view.boxes, placed.corners, sizes, strict=True)
            ),
            "</g>\n",
            f'<g transform="translate({_n(MARGIN)} {_n(placed.height + 2 * MARGIN)})">\n',
            legend,
            "</g>\n</svg>\n",
        ]
    )


def _size(box: Box, arrows: int) -> Point:
    width = max([_width(box.title, TITLE)] + [_width(line, SMALL) for line in box.lines])
    height = TITLE * LEADING + len(box.lines) * SMALL * LEADING + 12
    rim = 8.0 if box.is_output else 0.0
    return width + 24 + rim, max(height, arrows * PORT) + rim


def _box(box: Box, corner: Point, size: Point, own: str) -> str:
    (x, y), (width, height) = corner, size
    classes = f"{box.kind} freed" if box.freed else box.kind
    parts = [f'<g id="{own}" class="{classes}"><title>{_escape(box.description)}</title>']
    corner_radius = 12 if box.kind == "op" else 0
    parts.append(_rect(x, y, width, height, corner_radius))
    if box.is_output:
        inner = corner_radius and corner_radius - 4
        parts.append(_rect(x + 4, y + 4, width - 8, height - 8, inner, "rim"))
    text_height = TITLE * LEADING + len(box.lines) * SMALL * LEADING
    baseline = y + (height - text_height) / 2 + TITLE
    parts.append(_text(x + width / 2, baseline, box.title, TITLE, "title"))
    for number, line in enumerate(box.lines, 1):
        parts.append(_text(x + width / 2, baseline + number * SMALL * LEADING, line, SMALL))
    return "".join([*parts, "</g>\n"])


def _arrow(arrow: Arrow, route: Sequence[tuple[float, float, float]]) -> str:
    start, x, y = route[0]
    path = [f"M{_n(start)} {_n(y)}H{_n(x)}"]
    for left, right, level in route[1:]:
        middle = _n((x + left) / 2)
        path.append(f"C{middle} {_n(y)} {middle} {_n(level)} {_n(left)} {_n(level)}")
        x, y = right, level
        path.append(f"H{_n(x)}")
    kind = "" if arrow.carries else ' class="constant"'
    head = f'<path class="head" d="M{_n(x)} {_n(y)}l-8 -4v8z"/>'
    label = _text(x - 11, y - 3, arrow.label, SMALL, "quiet", "end") if arrow.label else ""
    return f'<path{kind} d="{"".join(path)}"/>{head}{label}\n'


def _legend(view: View) -> tuple[str, Point]:
    """The kinds that occur, each with its sign; below them what is to be said about the whole."""
    x, parts = 0.0, []
    kinds = {box.kind for box in view.boxes}
    for kind, meaning in _LEGEND.items():
        if kind in kinds or kind == "output":
            parts.append(f'<g class="{kind}">{_rect(x + 2, 0, 22, 12, 6 if kind == "op" else 0)}')
            if kind == "output":
                parts.append(_rect(x - 1, -3, 28, 18, 0, "rim"))
            parts.append(_text(x + 34, 10, meaning, SMALL, "quiet", "start") + "</g>\n")
            x += 34 + _width(meaning, SMALL) + 20
    for number, note in enumerate(view.notes, 1):
        parts.append(_text(0, 14 + number * 18, note, SMALL, anchor="start") + "\n")
        x = max(x, _width(note, SMALL) + 20)
    return "".join(parts), (x - 20, 12 + 18.0 * len(view.notes))


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
    return f"{number:.1f}".removesuffix(".0")


def _escape(text: str) -> str:
    return escape(text, {'"': "&quot;"})
