"""The page: the steps, the graph and a little JavaScript in one file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from html import escape
from itertools import product
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from viz import words
from viz.equation import Card, Row
from viz.steps import Section, Step
from viz.svg import svg_of
from viz.view import Box, View

PARTS = Path(__file__).parent / "page_parts"
EDGE = 2  # rows and columns left at either end of a large matrix
BRIEF = 64  # numbers of an array that the list of steps writes out
PAUSE = 1800  # milliseconds per step when it plays


def page_of(
    sections: Sequence[Section],
    view: View,
    *,
    title: str,
    max_cells: int,
) -> str:
    """The whole page; the same steps give the same text, byte for byte.

    Args:
        sections: what is told.
        view: what is drawn.
        title: of the page.
        max_cells: arrays of more numbers are cut.
    """
    data = _Data(view, max_cells).of(sections)
    script = _part("script.js")
    svg = svg_of(view, both_ways=True)
    style = _part("style.css")
    styles = [style, *re.findall(r"<style>(.*?)</style>", svg, re.DOTALL)]
    policy = {
        "default-src": ["'none'"],
        "style-src": [_hash(text) for text in styles],
        "script-src": [_hash(script)],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return Template(_part("template.html")).substitute(
        policy="; ".join(f"{key} {' '.join(values)}" for key, values in policy.items()),
        title=_text(title),
        style=style,
        svg=svg,
        steps=_as_list(sections),
        data=_json(data),
        script=script,
    )


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a Content-Security-Policy names a script or style that may be used."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: Any) -> str:
    """JSON that can stand in HTML: nothing in it can end the element or begin a comment."""
    written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return written.replace("<", "\\u003c")


def _text(text: str) -> str:
    return escape(words.plain(text))


# -- data for the script -----------------------------------------------------------------------


class _Data:
    """Collects what the script shows; each distinct array once."""

    def __init__(self, view: View, max_cells: int) -> None:
        self.view, self.max_cells = view, max_cells
        self.box_of = {-1: -1} | {box.vertex: box.index for box in view.boxes}
        self.arrow_of = {arrow.use: k for k, arrow in enumerate(view.arrows)}
        self.arrays: list[Any] = []
        self.known: dict[Any, int] = {}

    def of(self, sections: Sequence[Section]) -> dict[str, Any]:
        """Everything."""
        starts: list[Any] = []
        steps: list[Any] = []
        for section in sections:
            starts.append({"title": words.plain(section.title), "start": len(steps)})
            steps += [self._step(step) for step in section.steps]
        return {
            "id": self.view.own,
            "pause": PAUSE,
            "nodes": [_spoken(box) for box in self.view.boxes],
            "arrows": [[arrow.source, arrow.target] for arrow in self.view.arrows],
            "sections": starts,
            "steps": steps,
            "arrays": self.arrays,
        }

    def _step(self, step: Step) -> dict[str, Any]:
        numbers: dict[int, int] = {}  # of the axes
        return {
            "kind": step.kind,
            "title": words.plain(step.title),
            "sentence": words.plain(step.sentence),
            "formula": words.plain(step.formula),
            "rows": [[self._token(token, numbers) for token in row] for row in step.rows],
            "node": self.box_of[step.node],
            "target": self.box_of[step.target],
            "arrow": self.arrow_of.get((step.node, step.position), -1),
            "fan": step.fan_out,
        }

    def _token(self, token: str | Card, numbers: dict[int, int]) -> Any:
        if isinstance(token, str):
            return words.plain(token)
        axes = [-1] * len(np.shape(token.value)) if words.in_memory(token.value) else []
        if token.axes is not None:
            found = [axis.found() for axis in token.axes]
            axes = [
                -1 if axis.size == 1 else numbers.setdefault(id(axis), len(numbers))
                for axis in found
            ]
        return {
            "array": self._array(token.value),
            "label": words.plain(token.label),
            "role": token.role,
            "axes": axes,
            "tied": token.axes is not None,
        }

    def _array(self, value: Any) -> int:
        if isinstance(value, tuple):
            key: Any = ("several", *map(id, value))
        elif words.in_memory(value):
            key = (np.shape(value), str(value.dtype), _digest(np.asarray(value)))
        else:
            key = id(value)
        if key not in self.known:
            self.known[key] = len(self.arrays)
            self.arrays.append(_array(value, self.max_cells))
        return self.known[key]


def _digest(array: Any) -> bytes:
    """What two arrays have in common only if they are equal, in a few bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


def _spoken(box: Box) -> str:
    """What a screen reader says of a box: "op h, tanh, shape 4 by 3, float64"."""
    numbers = re.findall(r"\d+", box.shape)
    shape = f"shape {' by '.join(numbers)}" if numbers else "a single number"
    if "outputs" in box.shape:
        shape = box.shape
    said = [f"{box.kind} {box.name}", box.op if box.op != box.name else "", shape, box.dtype]
    return ", ".join(filter(None, said))


def _array(value: Any, max_cells: int) -> dict[str, Any]:
    """An array in blocks of rows and columns, with what is to be said about it."""
    if isinstance(value, tuple):
        about = f"{len(value)} arrays of shapes {', '.join(str(np.shape(x)) for x in value)}"
        return {"about": about, "blocks": [_nothing()], "note": ""}
    if not words.in_memory(value):
        about = f"{type(value).__name__} of shape {getattr(value, 'shape', '?')}"
        here = isinstance(value, np.ndarray)
        note = f"{value.dtype} is not shown" if here else "not in memory, not computed"
        return {"about": about, "blocks": [_nothing()], "note": note}
    array = np.asarray(value)
    about = f"{array.shape}" if array.dtype == float else f"{array.shape} {array.dtype}"
    if array.size == 0:
        return {"about": about, "blocks": [_nothing()], "note": "empty: no numbers"}
    cut = array.size > max_cells
    leading = array.shape[:-2]
    prefixes = [(0,) * len(leading)] if cut else list(product(*map(range, leading)))
    blocks = [_block(array, prefix, cut) for prefix in prefixes]
    return {"about": about, "blocks": blocks, "note": _statistics(array) if cut else ""}


def _nothing() -> dict[str, Any]:
    return {"name": "", "prefix": [], "rows": [], "columns": [], "cells": []}


def _block(array: Any, prefix: tuple[int, ...], cut: bool) -> dict[str, Any]:
    matrix = np.atleast_2d(array[prefix])
    rows, columns = (_kept(length, cut) for length in matrix.shape)
    return {
        "name": f"[{', '.join(map(str, prefix))}, :, :]" if prefix else "",
        "prefix": list(prefix),
        "rows": rows,
        "columns": columns,
        "cells": [[_number(matrix[i, j]) for j in columns] for i in rows],
    }


def _kept(length: int, cut: bool) -> list[int]:
    """Which rows or columns are shown."""
    if not cut or length <= 2 * EDGE:
        return list(range(length))
    return [*range(EDGE), *range(length - EDGE, length)]


def _number(x: Any) -> float | int | str:
    """A number for JSON, in the digits that its dtype has; what JSON lacks as text."""
    if x.dtype.kind == "f":
        value = float(str(x))  # of a longdouble it may be infinite
        return value if math.isfinite(value) else words.number(x)
    return bool(x) if x.dtype.kind == "b" else int(x)


def _statistics(array: Any) -> str:
    """What is left to say of an array that is too large to be shown."""
    if array.dtype.kind == "b":
        return f"{np.count_nonzero(array):,} of {array.size:,} are True"
    x = array.astype(float)
    finite = x[np.isfinite(x)]
    rest = "" if finite.size == x.size else f", {x.size - finite.size:,} not finite"
    if not finite.size:
        return f"{x.size:,} numbers{rest}"
    with np.errstate(all="ignore"):
        facts = {
            "mean": finite.mean(),
            "std": finite.std(),
            "min": finite.min(),
            "max": finite.max(),
            "norm": words.norm(finite),
        }
    told = ", ".join(f"{key} {words.number(number)}" for key, number in facts.items())
    return f"{x.size:,} numbers, corners shown: {told}{rest}"


# -- the list of steps in words ----------------------------------------------------------------


def _as_list(sections: Sequence[Section]) -> str:
    """All steps in words: for print, without JavaScript, and for who would rather read."""
    parts, number = [], 1
    for section in sections:
        parts.append(f'<h2>{_text(section.title)}</h2>\n<ol start="{number}">')
        parts += [_item(step) for step in section.steps]
        parts.append("</ol>")
        number += len(section.steps)
    return "\n".join(parts)


def _item(step: Step) -> str:
    rows = "".join(f"<code>{_text(_written(row))}</code>" for row in step.rows)
    return f"<li><strong>{_text(step.title)}</strong> {_text(step.sentence)}{rows}</li>"


def _written(row: Row) -> str:
    """An equation in one line of text."""
    return " ".join(token if isinstance(token, str) else _brief(token) for token in row)


def _brief(card: Card) -> str:
    name = " ".join(filter(None, [card.role, card.label]))
    return f"{name} {_numbers(card.value)}".strip()


def _numbers(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_numbers, value))})"
    if not words.in_memory(value):
        return f"({type(value).__name__}, not computed)"
    array = np.asarray(value)
    if array.size > BRIEF:
        return f"{array.shape} {words.value(array)}"
    if array.ndim == 0:
        return words.number(array)
    inside = ", ".join(_numbers(part) for part in array)
    return f"[{inside}]" if math.prod(array.shape) else f"[] of shape {array.shape}"
