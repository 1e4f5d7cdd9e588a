"""The picture of a graph, and the function that takes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

from tinygrad_edu import DtypeError, GraphError, InputError, Tensor
from tinygrad_edu.graph import Snapshot, snapshot, values_below
from viz import graphviz_dot
from viz.files import checked, write
from viz.folding import plan_of
from viz.naming import names_of, own_names
from viz.svg import Direction, svg_of
from viz.text import dot_of, table_of
from viz.view import Level, Marks, View, fitting_level, view_of
from viz.watching import placed, watched
from viz.words import norm

Engine = Literal["auto", "dot", "builtin"]

LIMIT = 3_000  # boxes; more than that is no picture
MOST = 50_000  # values that are looked through, to find what of them can be drawn as one
DOT_LIMIT = 1_000  # boxes; `dot` needs seconds for more, and minutes for a few thousand
DOT_FRAMES = 40  # which slow it down much more
_FITTING = 'style="max-width:100%;height:auto"'  # in a notebook: as wide as its column


class Drawing:
    """A picture of a computation graph as it was when it was drawn.

    A notebook shows it; elsewhere `save` it, or `print(drawing.text())`.

    Attributes:
        view: what is drawn: boxes and arrows, in words.
        direction: of the forward pass, "LR" or "TB".
    """

    def __init__(self, view: View, engine: Engine = "builtin", direction: Direction = "LR") -> None:
        self.view, self.direction = view, direction
        self._asked = engine

    @property
    def engine(self) -> Engine:
        """Who places the boxes: Graphviz' "dot", or "builtin"."""
        return self._laid_out[0]

    @property
    def svg(self) -> str:
        """The picture as SVG text.

        Raises:
            InputError: if `engine="dot"` was asked for and fails.
        """
        return self._laid_out[1]

    @cached_property
    def _laid_out(self) -> tuple[Engine, str]:
        view = self.view
        few = len(view.boxes) <= DOT_LIMIT and len(view.frames) <= DOT_FRAMES
        few = few and graphviz_dot.has_dot()
        if self._asked == "dot" or (self._asked == "auto" and few):
            try:
                svg = graphviz_dot.svg(self.dot, view.own, escape(view.summary))
            except graphviz_dot.DotFailed as failure:
                if self._asked == "dot":
                    message = f"draw: {failure}; use draw(..., engine='builtin')"
                    raise InputError(message) from None
                note = f"Laid out by the built-in engine: {failure}."
                view = replace(view, notes=(*view.notes, note))
            else:
                return "dot", svg
        return "builtin", svg_of(view, self.direction)

    @property
    def dot(self) -> str:
        """The picture in Graphviz' DOT language."""
        return dot_of(self.view, self.direction)

    def text(self) -> str:
        """The graph as a table: a line per value with number, op, name, shape, dtype, inputs."""
        return table_of(self.view)

    @property
    def html(self) -> str:
        """A page with the picture."""
        title = escape(self.view.summary)
        return (
            '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{title}</title>\n<style>body{{margin:0}}svg{{display:block}}</style>\n"
            f"{self.svg}</html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, whole or not at all.

        Args:
            path: ends in ".svg" or ".html" (open in every browser), ".dot" (for Graphviz and its
                readers), ".png" or ".pdf" (made by Graphviz' `dot`, which must be installed).

        Returns:
            The path.

        Raises:
            InputError: if the path has another ending or cannot be written, or `dot` fails.
            DtypeError: if it is no path.
        """
        path = checked(path, (".svg", ".html", ".dot", ".png", ".pdf"), "save")
        form = path.suffix.lower()
        if form in (".png", ".pdf"):
            return write(path, self._rendered(form[1:]), "save")
        text = self.svg if form == ".svg" else self.html if form == ".html" else self.dot
        return write(path, text.encode(), "save")

    def _rendered(self, form: str) -> bytes:
        if not graphviz_dot.has_dot():
            instead = f"save the picture as .svg, and print it to .{form} from a browser"
            raise InputError(f"save: {graphviz_dot.MISSING.format(instead=instead)}")
        try:
            return graphviz_dot.render(self.dot, form)
        except graphviz_dot.DotFailed as failure:
            raise InputError(f"save: {failure}; save the picture as .svg") from None

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Drawing: {self.view.summary}>"

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """For notebooks; text comes along for front ends that show no pictures."""
        forms = {"text/plain": self.text()}
        try:
            forms["image/svg+xml"] = self.svg.replace("<svg ", f"<svg {_FITTING} ", 1)
        except InputError as error:  # a notebook would show a traceback through its own insides
            forms["text/plain"] += f"{error}\n"
        wanted = set(forms if include is None else include) - set(exclude or ())
        return {form: content for form, content in forms.items() if form in wanted}


def draw(
    tensors: Tensor | Sequence[Tensor],
    *,
    level: Level = "normal",
    collapse: str | int = "auto",
    engine: Engine = "auto",
    direction: Direction = "LR",
    names: Mapping[str, Any] | None = None,
    constants: str = "auto",
    around: Tensor | None = None,
    depth: int = 2,
    highlight: Any = None,
    max_nodes: int | None = LIMIT,
) -> Drawing:
    """Draw what one or several Tensors were computed from.

        draw(loss, names=locals()).save("graph.svg")

    A box is a value; an arrow is the use of a value by an op, and says what flows back along it in
    the backward pass, traced from the op's rule. Solid arrows carry a gradient back, dashed ones do
    not. A frame is a module, made by `tg.scope`. A leaf, or a Tensor whose graph has been freed,
    makes a picture of one box.

    Args:
        tensors: a Tensor, or a list or tuple of them. The gradient that `tg.gradients(...,
            create_graph=True)` returns is one too: its picture is that of the backward pass.
        level: "compact" (op and shape), "normal" (also dtype, a summary of value and gradient, and
            formulas), "full" (also the numbers).
        collapse: "none"; "modules" to draw each as one box, and several alike as one with their
            number; how many levels of modules to leave open; or "auto": above 40 boxes modules
            alike are drawn once, above 150 words get fewer, above 600 modules are closed and long
            chains cut.
        engine: "dot" (Graphviz), "builtin", or "auto": `dot` if it is installed.
        direction: "LR", from left to right, or "TB", from top to bottom.
        names: what to call Tensors in this picture, such as `locals()`: values that are no
            Tensors of this graph do not count, nor do names with a leading underscore.
        constants: "show", "fold" (told in the words of their users if they have no name), or
            "auto": fold those of one number.
        around: draw only what is at most `depth` steps before or after this Tensor.
        depth: see `around`.
        highlight: a Tensor: its ways to the result; a pair of Tensors: the ways from the first to
            the second; "gradients": the more flows back along an arrow, the thicker it is.
        max_nodes: the most boxes that a picture may have; None for no limit.

    Raises:
        InputError: if there is nothing to draw, too much of it, or an option is unknown.
        DtypeError: if it is given something else than Tensors.
        GraphError: if `around` or `highlight` is not in the graph, or has no gradient to show.
    """
    outputs = tuple(tensors) if isinstance(tensors, list | tuple) else (tensors,)
    _check(outputs, names, around)
    _check_options(level, collapse, engine, direction, constants, depth, max_nodes)
    if engine == "dot" and not graphviz_dot.has_dot():
        instead = "draw(..., engine='builtin')"
        raise InputError(f"draw: {graphviz_dot.MISSING.format(instead=instead)}")
    if max_nodes is not None and around is None:
        _refuse_too_large(outputs, max(MOST, max_nodes))
    graph = snapshot(outputs)
    plan = plan_of(
        graph,
        collapse=collapse,
        constants=constants,
        named=own_names(graph, names or {}),
        around=None if around is None else _place(graph, around, "around"),
        depth=depth,
        max_nodes=max_nodes,
    )
    if collapse == "auto":
        level, notes = fitting_level(level, plan)
        plan.notes += notes
    marks = _marks(graph, outputs, highlight)
    if marks.flows is not None:
        plan.notes.append("On an arrow: the norm of what flows back along it.")
    return Drawing(
        view_of(graph, names_of(graph, names or {}), plan, level, marks), engine, direction
    )


# -- what is highlighted -----------------------------------------------------------------------


def _marks(graph: Snapshot, outputs: Sequence[Tensor], highlight: Any) -> Marks:
    if highlight is None:
        return Marks()
    if isinstance(highlight, str) and highlight == "gradients":
        return _flows(graph, outputs)
    ends = highlight if isinstance(highlight, list | tuple) else (highlight,)
    if len(ends) not in (1, 2) or not all(isinstance(end, Tensor) for end in ends):
        raise InputError(
            "draw: expected highlight to be a Tensor, a pair of Tensors, or 'gradients', got "
            f"{highlight!r:.80}"
        )
    places = [_place(graph, end, "highlight") for end in ends]
    after = {places[0]}
    for vertex in graph.vertices:
        if any(use.source in after for use in vertex.inputs):
            after.add(vertex.index)
    if len(places) == 1:
        return Marks(frozenset(after))
    before = {places[1]}
    for vertex in reversed(graph.vertices):
        if vertex.index in before:
            before.update(use.source for use in vertex.inputs)
    if not after & before:
        raise GraphError(
            "draw: no way leads from the first Tensor of highlight to the second; put the one that "
            "was computed earlier first"
        )
    return Marks(frozenset(after & before))


def _flows(graph: Snapshot, outputs: Sequence[Tensor]) -> Marks:
    """How much flows back along each arrow: measured in a backward pass that leaves no trace."""
    if any(output.size != 1 or not output.requires_grad for output in outputs):
        raise GraphError(
            "draw: highlight='gradients' is for results of one element that need a gradient, got "
            f"{', '.join(f'{x!r:.80}' for x in outputs)}; draw a sum or mean of what needs one"
        )
    if any(vertex.freed for vertex in graph.vertices):
        raise GraphError(
            "draw: highlight='gradients' needs the whole graph, but a backward pass has freed a "
            "part of it; draw before backward(), or call backward(retain_graph=True)"
        )
    flows: dict[tuple[int, int], float] = {}
    totals: dict[int, float] = {}
    for edge, vertex, use in placed(graph, watched(graph, outputs)):
        flows[vertex.index, use.position] = norm(edge.contribution)
        totals[use.source] = norm(edge.after)
    return Marks(flows=flows, gradients=totals)


def _place(graph: Snapshot, tensor: Any, option: str) -> int:
    for vertex in graph.vertices:
        if vertex.value is tensor:
            return vertex.index
    raise GraphError(
        f"draw: {option} expected a Tensor of this graph, got {tensor!r:.80}; the result does not "
        "depend on it"
    )


# -- what is refused ---------------------------------------------------------------------------


def _check(outputs: tuple[Any, ...], names: Any, around: Any) -> None:
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
    if not isinstance(around, Tensor | None):
        raise DtypeError(f"draw: expected around to be a Tensor, got {type(around).__name__}")


def _check_options(
    level: Any,
    collapse: Any,
    engine: Any,
    direction: Any,
    constants: Any,
    depth: Any,
    max_nodes: Any,
) -> None:
    for option, value, choices in (
        ("level", level, ("compact", "normal", "full")),
        ("engine", engine, ("auto", "dot", "builtin")),
        ("direction", direction, ("LR", "TB")),
        ("constants", constants, ("auto", "show", "fold")),
    ):
        if not isinstance(value, str) or value not in choices:
            raise InputError(
                f"draw: expected {option} to be one of {', '.join(map(repr, choices))}, got "
                f"{value!r:.60}"
            )
    known = isinstance(collapse, str) and collapse in ("auto", "none", "modules")
    if not known and not _is_whole(collapse, 0):
        raise InputError(
            "draw: expected collapse to be 'auto', 'none', 'modules', or how many levels of "
            f"modules to leave open, got {collapse!r}"
        )
    if not _is_whole(depth, 0):
        raise InputError(f"draw: expected depth to be 0, 1, 2, ..., got {depth!r}")
    if max_nodes is not None and not _is_whole(max_nodes, 1):
        raise InputError(f"draw: expected max_nodes to be 1, 2, ..., or None, got {max_nodes!r}")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _refuse_too_large(outputs: tuple[Any, ...], most: int) -> None:
    """Count no further than needed: a snapshot of a million values takes seconds."""
    if sum(1 for _ in islice(values_below(outputs), most + 1)) > most:
        raise InputError(
            f"draw: expected a graph of at most {most:,} values, got more; use around=t, depth=3 "
            "for what is near a Tensor t, or max_nodes=None for no limit (it may take minutes)"
        )
