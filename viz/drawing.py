"""The picture of a graph, and the function that takes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from tinygrad_edu import Tensor
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.graph import snapshot
from viz.svg import svg_of
from viz.text import dot_of, table_of
from viz.view import View, view_of

LIMIT = 3_000  # nodes; more than that is no picture


class Drawing:
    """A picture of a computation graph as it was when it was drawn.

    A notebook shows it; elsewhere `save` it, or `print(drawing.text())`.

    Attributes:
        view: what is drawn: boxes and arrows, in words.
    """

    def __init__(self, view: View) -> None:
        self.view = view

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text."""
        return svg_of(self.view)

    @cached_property
    def dot(self) -> str:
        """The picture in Graphviz's DOT language."""
        return dot_of(self.view)

    def text(self) -> str:
        """The graph as a table: a line per value with number, op, name, shape, dtype, inputs."""
        return table_of(self.view)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, whole or not at all.

        Args:
            path: ends in ".svg" (opens in every browser) or ".dot" (for Graphviz).

        Returns:
            The path.

        Raises:
            InputError: if the path has another ending or cannot be written.
        """
        path = Path(path)
        form = path.suffix.lower()
        if form not in (".svg", ".dot"):
            raise InputError(
                f"save: expected a path that ends in .svg or .dot, got {str(path)!r}; "
                "use .svg for a browser, .dot for Graphviz"
            )
        content = (self.svg if form == ".svg" else self.dot).encode()
        # Written aside and then renamed: nobody ever finds half a picture, or loses the old one.
        aside = path.with_name(f".{uuid4().hex}.tmp")
        try:
            aside.write_bytes(content)
            aside.replace(path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(
                f"save: expected a path that can be written, got {str(path)!r}: {why}; "
                "choose an existing folder that you may write to"
            ) from error
        finally:
            with suppress(OSError, ValueError):
                aside.unlink()
        return path

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Drawing: {self.view.summary}>"

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """For notebooks; text comes along for front ends that show no pictures."""
        forms = {"image/svg+xml": self.svg, "text/plain": self.text()}
        wanted = set(forms if include is None else include) - set(exclude or ())
        return {form: content for form, content in forms.items() if form in wanted}


def draw(
    tensors: Tensor | list[Tensor] | tuple[Tensor, ...], *, names: Mapping[str, Any] | None = None
) -> Drawing:
    """Draw what one or several Tensors were computed from.

        draw(loss, names=locals()).save("graph.svg")

    A box is a value: op and name, shape and dtype, the number itself where there is only one, and
    the gradient where there is one. Solid arrows carry a gradient back, dashed ones do not. A leaf,
    or a Tensor whose graph has been freed, makes a picture of one box.

    Args:
        tensors: a Tensor, or a list or tuple of them.
        names: what to call Tensors in this picture, such as `locals()`: values that are no
            Tensors of this graph do not count, nor do names with a leading underscore.

    Raises:
        InputError: if there is nothing to draw, or more than 3,000 values.
        DtypeError: if it is given something else than Tensors.
    """
    outputs = tuple(tensors) if isinstance(tensors, list | tuple) else (tensors,)
    if not outputs:
        raise InputError("draw: expected at least one Tensor, got none; pass the result to draw")
    for output in outputs:
        if not isinstance(output, Tensor):
            raise DtypeError(
                "draw: expected a Tensor, or a list or tuple of Tensors, "
                f"got {type(output).__name__}; pass the Tensor whose computation is to be drawn"
            )
    if not isinstance(names, Mapping | None):
        raise DtypeError(
            f"draw: expected names to be a dict from name to Tensor, got {type(names).__name__}; "
            "pass names=locals() or names={'loss': loss}"
        )
    _refuse_too_large(outputs)
    graph = snapshot(outputs)
    if len(graph.vertices) > LIMIT:
        raise InputError(_too_large(f"{len(graph.vertices):,}"))
    return Drawing(view_of(graph, names or {}))


def _refuse_too_large(outputs: tuple[Any, ...]) -> None:
    """Count no further than needed: a snapshot of a million values takes seconds."""
    seen: dict[int, Any] = {}
    stack = list(outputs)
    while stack:
        tensor = stack.pop()
        if id(tensor) in seen:
            continue
        seen[id(tensor)] = tensor
        if len(seen) > LIMIT:
            raise InputError(_too_large(f"more than {LIMIT:,}"))
        record = getattr(tensor, "node", None)
        inputs = (record and record.inputs) or ()
        stack.extend(source for source in inputs if isinstance(source, Tensor))


def _too_large(count: str) -> str:
    return (
        f"draw: expected a graph of at most {LIMIT:,} values, got {count}; draw an earlier Tensor, "
        "detach() what it starts from, or build the same model with fewer layers or steps"
    )
