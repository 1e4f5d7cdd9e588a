"""How values are put into words: printable, short, and never longer than a picture can hold."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np

SIDE = 6  # rows and columns of a matrix that are written out


def plain(text: str) -> str:
    """Make a text printable: newlines, control characters and the like as Python writes them."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def shorten(text: str, length: int = 36) -> str:
    """Cut a long text, with … in place of what is missing."""
    return text if len(text) <= length else text[: length - 1] + "…"


def option(value: Any) -> str:
    """An argument that is no array, as it is written in a call."""
    return plain(_ShortRepr().repr(value))


class _ShortRepr(reprlib.Repr):
    """Options in few characters: an array as its shape, a slice as it is written in an index."""

    def repr_ndarray(self, array: Any, level: int) -> str:
        return f"array{array.shape}"

    def repr_slice(self, index: slice, level: int) -> str:
        parts = ["" if part is None else repr(part) for part in (index.start, index.stop)]
        return ":".join(parts if index.step is None else [*parts, repr(index.step)])

    def repr_instance(self, part: Any, level: int) -> str:
        try:
            has_address = "0x" in repr(part)
        except Exception:  # it may be an object of the user's, half made
            has_address = True
        if has_address:  # which would make the picture another one each time
            return str(getattr(part, "__name__", type(part).__name__))
        return super().repr_instance(part, level)

    def repr_ellipsis(self, part: Any, level: int) -> str:
        return "..."

    def repr_type(self, kind: type, level: int) -> str:
        return kind.__name__


def number(value: Any) -> str:
    """To four digits."""
    plain_number = value.item() if hasattr(value, "item") else value
    return f"{plain_number + 0 if plain_number == 0 else plain_number:.4g}"  # no "-0"


def value(array: Any) -> str:
    """An array in a few characters: the number, or from where to where its numbers reach."""
    if not in_memory(array) or array.size == 0:
        return ""
    if array.size == 1:
        return number(array)
    if array.dtype.kind == "b":
        return f"{np.count_nonzero(array)} of {array.size} true"
    low, high = array.min(), array.max()
    if np.isfinite(low) and np.isfinite(high):
        return f"all {number(low)}" if low == high else f"{number(low)} to {number(high)}"
    bad = array.size - np.count_nonzero(np.isfinite(array))
    return f"{bad} of {array.size} not finite"


def gradient(grad: Any) -> str:
    """A gradient in a few characters: the number, or the norm."""
    grad = grad.dense() if hasattr(grad, "dense") else grad
    if not in_memory(grad):
        return f"{type(grad).__name__} (not computed)"
    return number(grad) if grad.size == 1 else f"norm {number(norm(grad))}"


def norm(array: Any) -> float:
    """The Euclidean norm, of any numbers without overflow; NaN of what is not in memory."""
    if not in_memory(array):
        return math.nan
    size = np.abs(array.astype(float))
    scale = size.max(initial=0.0)  # taken out so that squares neither overflow nor vanish
    return float(scale * np.linalg.norm(size / scale) if 0 < scale < math.inf else scale)


def rows(array: Any) -> list[str]:
    """The numbers themselves, a line per row, with … for what does not fit."""
    if not in_memory(array) or not array.size:
        return []
    edge = SIDE // 2
    text = np.array2string(
        array,
        threshold=SIDE * SIDE if array.ndim <= 2 and max(array.shape, default=0) <= SIDE else 0,
        edgeitems=edge if array.ndim <= 2 else 1,
        formatter={"float_kind": lambda x: f"{x:.3g}"},
        max_line_width=10_000,
    )
    return [line for line in text.splitlines() if line.strip()]


def in_memory(data: Any) -> bool:
    """Whether the numbers are at hand; an array of another kind may need a cluster to know them."""
    return isinstance(data, np.ndarray | np.generic) and data.dtype.kind in "biuf"
