"""The steps of the page: forward values, the seed, the backward pass edge by edge, the update.

All numbers of a backward pass come from its `tg.Edge`s, that is from the engine itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from tinygrad_edu import Edge
from tinygrad_edu.graph import Snapshot, Use, Vertex
from viz.axes import Axes, fresh
from viz.equation import Call, Card, Equation, Row, backward, forward, summed_axes
from viz.naming import SELECT, Wording, called
from viz.watching import placed
from viz.words import in_memory, shorten

Kind = Literal["forward", "seed", "edge", "update", "result", "compare"]
LONGEST_TITLE = 60


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        kind: what happens.
        title: in short, "W1 += X.T @ g".
        sentence: what happens, in full sentences.
        rows: equations with numbers.
        node: the vertex at which it happens.
        target: the vertex that gets a gradient or a new value, -1 for none.
        position: which input of `node` the target is.
        formula: the rule in real names.
        fan_out: whether its contribution is added to others.
    """

    kind: Kind
    title: str
    sentence: str
    rows: tuple[Row, ...]
    node: int
    target: int = -1
    position: int = -1
    formula: str = ""
    fan_out: bool = False


@dataclass(frozen=True)
class Section:
    """Steps that belong together."""

    title: str
    steps: tuple[Step, ...]


class Take(NamedTuple):
    """An edge that a backward pass takes, and where it lies in the graph."""

    edge: Edge
    vertex: Vertex
    use: Use

    @property
    def goal(self) -> tuple[int, int]:
        """What the contribution is added to: a value, or one of several results."""
        is_part = self.vertex.op == SELECT
        return self.use.source, self.vertex.options["index"] if is_part else -1


class Counts(NamedTuple):
    """Of the contributions to the same goal: the number of this one, of all, and of its uses."""

    number: int
    total: int
    uses: int


class Story:
    """Tells what happens in a graph.

    Args:
        graph: the graph, with one output.
        names: of its vertices.
        seed: the gradient that the passes start with.
        learning_rate: of the update.
        check: whether to say where a contribution is not what the rule gives; of the engine's own
            that could only mean that the rule does not answer twice alike.
    """

    def __init__(
        self,
        graph: Snapshot,
        names: Sequence[str],
        seed: Any,
        learning_rate: float,
        *,
        check: bool = False,
    ) -> None:
        self.graph, self.names = graph, names
        # What the forward pass computed with: a leaf may have been given other data since.
        self.values = {
            use.source: vertex.values[use.position]
            for vertex in graph.vertices
            for use in vertex.inputs
        }
        self.seed, self.rate, self.check = seed, learning_rate, check
        self.wording = Wording(graph, names)
        self.g = self.wording.g
        self.output = graph.outputs[0]

    def sections(self, passes: Mapping[str, Sequence[Edge]]) -> list[Section]:
        """The forward pass, each backward pass, and what comes of it."""
        told = [Section("Forward", tuple(map(self._forward, self._ops())))]
        arrived: dict[str, dict[int, Any]] = {}
        for title, edges in passes.items():
            takes = [Take(*one) for one in placed(self.graph, edges)]
            arrived[title] = self._arrived(takes)
            steps = self._backward(takes)
            if len(passes) > 1:
                steps.append(self._result(title, len(takes), arrived[title]))
            told.append(Section(title, tuple(steps)))
        if len(passes) > 1:
            told.append(Section("Comparison", tuple(self._comparison(arrived))))
        else:
            (gradients,) = arrived.values()
            updates = (self._update(i, gradient) for i, gradient in gradients.items())
            told.append(Section("Update", tuple(updates)))
        return [section for section in told if section.steps]

    def _ops(self) -> list[Vertex]:
        return [vertex for vertex in self.graph.vertices if vertex.op and vertex.op != SELECT]

    def _call(self, vertex: Vertex) -> Call:
        record = vertex.value.node
        return Call(
            op=record.op,
            values=vertex.values,
            options=record.options,
            names=self.wording.inputs(vertex),
            out=vertex.array,
            out_name=self.names[vertex.index],
            g=self.g,
        )

    # -- forward ---------------------------------------------------------------------------

    def _forward(self, vertex: Vertex) -> Step:
        name = self.names[vertex.index]
        text, row = forward(self._call(vertex))
        kept = {use.source: self.names[use.source] for use in vertex.inputs}
        sentence = f"{name} is computed as {shorten(text, 200)}"
        sentence += f" from {_listed(list(kept.values()))}." if kept else "."
        return Step(
            "forward",
            f"{name} = {shorten(text, LONGEST_TITLE)}",
            sentence,
            (row,),
            vertex.index,
            formula=f"{name} = {text}",
        )

    # -- a backward pass ----------------------------------------------------------------------

    def _backward(self, takes: Sequence[Take]) -> list[Step]:
        total = Counter(take.goal for take in takes)
        uses = Counter(
            {(take.vertex.index, take.use.position): take.goal for take in takes}.values()
        )
        seen: Counter[tuple[int, int]] = Counter()
        left = Counter(take.use.source for take in takes)
        steps = [self._seed()]
        visited: set[int] = set()
        for take in takes:
            seen[take.goal] += 1
            left[take.use.source] -= 1
            counts = Counts(seen[take.goal], total[take.goal], uses[take.goal])
            equation = self._equation(take)
            sentences = [
                self._what(take, equation),
                *self._remarks(take, equation),
                self._early(take.vertex) if left[take.vertex.index] else "",
                self._sum(take, counts, complete=not left[take.use.source]),
            ]
            if take.vertex.index not in visited:
                visited.add(take.vertex.index)
                sentences += self._skipped(take.vertex)
            steps.append(self._edge(take, equation, sentences, fan_out=counts.total > 1))
        return steps

    def _seed(self) -> Step:
        name = self.names[self.output]
        one = not in_memory(self.seed) or (self.seed.size == 1 and self.seed.item() == 1)
        why = (
            f"The backward pass starts at {name}, with its gradient with respect to itself: 1."
            if one
            else f"The backward pass starts at {name}, with the gradient that was given for it."
        )
        card = Card(name, self.seed, "seed", fresh(np.shape(self.seed)))
        return Step(
            "seed",
            f"seed: {self._partial(name)}" + (" = 1" if one else ""),
            f"{why} All other gradients are still unknown.",
            ((f"{self._partial(name)} =", card),),
            self.output,
            formula=self._partial(name) + (" = 1" if one else " is given"),
        )

    def _equation(self, take: Take) -> Equation:
        edge, vertex, use = take
        if vertex.op != SELECT:
            return backward(self._call(vertex), use.position, edge.upstream, edge.contribution)
        axes = fresh(np.shape(edge.upstream))
        row = (
            Card(self.g, edge.upstream, "upstream gradient", axes),
            "=",
            Card("", edge.contribution, "contribution", axes),
        )
        return Equation(self.g, row)

    def _edge(
        self, take: Take, equation: Equation, sentences: Sequence[str], *, fan_out: bool
    ) -> Step:
        edge, vertex, use = take
        name = self._named(vertex, use)
        *left, last = self._upstream(equation.row, vertex)
        assert isinstance(last, Card), "an equation ends with the contribution"
        axes = last.axes if last.axes is not None else fresh(np.shape(edge.contribution))
        formula = equation.text or f"rule of {vertex.op} for {use.argument}"
        if equation.stretched is not None:
            formula += f" summed to {np.shape(edge.contribution)}"
        return Step(
            "edge",
            f"∂{name} += {shorten(formula, LONGEST_TITLE)}",
            " ".join(filter(None, sentences)),
            (
                (*left, Card(f"for {name}", last.value, last.role, axes)),
                self._accumulation(edge, name, axes),
            ),
            vertex.index,
            use.source,
            use.position,
            f"{self._partial(name)} += {formula}",
            fan_out,
        )

    def _upstream(self, row: Row, vertex: Vertex) -> Row:
        """The row, with what `g` is."""
        of = f"{self.g} = {self._partial(self.names[vertex.index])}"
        labels = {self.g: of, f"{self.g}.T": f"{self.g}.T, {of}"}
        return tuple(
            replace(token, label=labels[token.label])
            if isinstance(token, Card) and token.role and token.label in labels
            else token
            for token in row
        )

    def _partial(self, name: str) -> str:
        return f"∂{self.names[self.output]}/∂{f'({name})' if ' ' in name else name}"

    def _accumulation(self, edge: Edge, name: str, axes: Axes) -> Row:
        sign = "=" if _adds_up(edge) else "≠"
        before: str | Card = "nothing yet"
        if edge.before is not None:
            before = Card(self._partial(name), edge.before, "before", axes)
        return (
            before,
            "+",
            Card("", edge.contribution, "contribution", axes),
            sign,
            Card(self._partial(name), edge.after, "after", axes),
        )

    def _named(self, vertex: Vertex, use: Use) -> str:
        name = self.names[use.source]
        return f"part {vertex.options['index']} of {name}" if vertex.op == SELECT else name

    # -- sentences -------------------------------------------------------------------------

    def _what(self, take: Take, equation: Equation) -> str:
        _, vertex, use = take
        source, result = self._named(vertex, use), self.names[vertex.index]
        if vertex.op == SELECT:
            return f"{result} is one of several results, so its gradient is handed on unchanged."
        op = called(vertex.op or "")
        way = f"The gradient {self.g} of {result} flows back through {op} to {source}"
        if equation.local:
            return f"{way}: local gradient times upstream gradient is the contribution."
        if equation.text:
            return f"{way}: the rule gives {shorten(equation.text, 200)}."
        if not self._call(vertex).at_hand:
            return f"{way}. What it is computed from is elsewhere, or large, and is not shown."
        return f"{way}, by a rule that is no single formula."

    def _remarks(self, take: Take, equation: Equation) -> list[str]:
        """What is special about a contribution."""
        found = []
        edge = take.edge
        shape = np.shape(edge.contribution)
        if equation.stretched is not None:
            over = summed_axes(equation.stretched, shape)
            found.append(
                f"{self.names[take.use.source]} of shape {shape} was broadcast to "
                f"{equation.stretched}, so the contribution is summed over {over}."
            )
        if equation.hidden_zero:
            found.append("Zero times an infinite or undefined local gradient counts as zero.")
        if self.check and not equation.agrees:
            found.append(
                "The operands shown do not give this contribution: the rule was not followed."
            )
        if in_memory(edge.contribution) and not np.isfinite(edge.contribution).all():
            found.append("It has numbers that are not finite.")
        return found

    def _early(self, vertex: Vertex) -> str:
        """What is wrong with a backward pass that does not wait."""
        name = self.names[vertex.index]
        return (
            f"This is too early: the gradient of {name} is not complete, more contributions follow."
        )

    def _sum(self, take: Take, counts: Counts, *, complete: bool) -> str:
        name = self._named(take.vertex, take.use)
        count, total, uses = counts
        end = f" With it the gradient of {name} is complete." if complete else ""
        if total > uses:
            text = (
                f"{name} is used {_times(uses)}, but this backward pass brings it {total} "
                f"contributions: this is number {count}."
            )
        elif total > 1:
            text = (
                f"{name} is used {_times(uses)}, so its gradients are added: "
                f"this is contribution {count} of {total}.{end}"
            )
        elif complete:
            text = f"{name} is used once, so this is its whole gradient."
        else:
            text = ""
        if not _adds_up(take.edge):
            text += " But here before + contribution is not what came out."
        return text.strip()

    def _skipped(self, vertex: Vertex) -> list[str]:
        """What gets no gradient from an op, and why."""
        names = dict.fromkeys(
            self.names[use.source]
            for use in vertex.inputs
            if not self.graph.vertices[use.source].requires_grad
        )
        return [f"{name} needs no gradient: its rule is never called." for name in names]

    # -- what comes of it ------------------------------------------------------------------

    def _arrived(self, takes: Sequence[Take]) -> dict[int, Any]:
        """The last gradient of each leaf, in the order of the graph."""
        last = {take.use.source: take.edge.after for take in takes}
        if not self.graph.vertices[self.output].op:
            last[self.output] = self.seed
        return {i: last[i] for i in sorted(last) if not self.graph.vertices[i].op}

    def _update(self, index: int, gradient: Any) -> Step:
        name = self.names[index]
        value = self.values.get(index, self.graph.vertices[index].array)
        axes = fresh(np.shape(gradient))
        after = value - np.asarray(self.rate, value.dtype) * gradient
        return Step(
            "update",
            f"{name} −= {self.rate:g} × ∂{name}",
            f"One step of gradient descent: {name} moves against its gradient, by the learning "
            f"rate {self.rate:g} times the gradient. (This is only shown: {name} is unchanged.)",
            (
                (
                    Card(name, value, "before", axes),
                    f"− {self.rate:g} ×",
                    Card(self._partial(name), gradient, "gradient", axes),
                    "=",
                    Card(name, after, "after", axes),
                ),
            ),
            index,
            index,
            formula=f"{name} − {self.rate:g} × {self._partial(name)}",
        )

    def _result(self, title: str, count: int, arrived: Mapping[int, Any]) -> Step:
        rows = tuple(
            (Card(self._partial(self.names[i]), gradient, "gradient"),)
            for i, gradient in arrived.items()
        )
        return Step(
            "result",
            "the gradients it arrived at",
            f"“{title}” ends here, after {count} contributions. "
            f"It has found gradients of {_listed([self.names[i] for i in arrived])}.",
            rows,
            self.output,
        )

    def _comparison(self, found: Mapping[str, Mapping[int, Any]]) -> list[Step]:
        leaves = sorted({i for gradients in found.values() for i in gradients})
        return [self._compared(i, found) for i in leaves]

    def _compared(self, index: int, found: Mapping[str, Mapping[int, Any]]) -> Step:
        name = self.names[index]
        axes = fresh(self.graph.vertices[index].shape or ())
        (first, right), *others = (
            (title, gradients.get(index)) for title, gradients in found.items()
        )
        wrong = [title for title, gradient in others if not _equal(gradient, right)]
        row: list[str | Card] = []
        for title, gradients in found.items():
            if row:
                row.append("≠" if title in wrong else "=")
            gradient = gradients.get(index)
            row.append(
                f"{title}: none" if gradient is None else Card(title, gradient, "gradient", axes)
            )
        verdict = (
            f"{_listed([f'“{title}”' for title in wrong])} arrived at another gradient of {name} "
            f"than “{first}”."
            if wrong
            else f"All arrived at the same gradient of {name}."
        )
        title = f"{name}: {'different' if wrong else 'the same'}"
        return Step("compare", title, verdict, (tuple(row),), index, index)


def _adds_up(edge: Edge) -> bool:
    parts = [edge.contribution, edge.after, *([] if edge.before is None else [edge.before])]
    if not all(map(in_memory, parts)):
        return True
    with np.errstate(all="ignore"):
        total = edge.contribution if edge.before is None else edge.before + edge.contribution
    return _equal(total, edge.after)


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if not (in_memory(one) and in_memory(other)):
        return True
    return np.shape(one) == np.shape(other) and np.allclose(one, other, 1e-6, 0, equal_nan=True)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "nothing"
    return f"{', '.join(names[:-1])} and {names[-1]}"
