"""What of a graph is drawn, and what is drawn as one: the plan of a picture.

Too much is worse than too little: above some sizes modules are closed, repeats are drawn once and
long chains are cut, until the picture can be read or is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tinygrad_edu import InputError
from tinygrad_edu.graph import Snapshot
from viz.modules import Modules, grouped, in_order, modules_of
from viz.naming import is_literal

REPEATED = 3  # so many modules alike are worth being drawn as one
ROLLED = 40  # from so many values on
FULL, COMPACT = 150, 600  # so many boxes are drawn in full, and so many without their numbers
CHAIN = 8  # shorter chains are never cut
ENDS = 3  # boxes left at either end of a chain


@dataclass(slots=True)
class Unit:
    """What becomes a box.

    Attributes:
        members: the vertices that it stands for, in order.
        title: what it is called, "" for a single vertex.
        times: how many modules alike it stands for.
        in_a_row: whether these feed each other, and are not side by side.
        is_chain: whether it is the inside of a chain, and no module.
        frame: index of the innermost frame it is in, -1 for none.
    """

    members: list[int]
    title: str = ""
    times: int = 1
    in_a_row: bool = False
    is_chain: bool = False
    frame: int = -1


@dataclass(slots=True)
class Plan:
    """What is drawn: boxes in topological order, frames around some of them.

    Attributes:
        units: the boxes.
        frames: (title, parent) of modules that are drawn open; parents come first.
        constants: per vertex the constants that are told in its words instead of drawn.
        notes: what was left out.
    """

    units: list[Unit]
    frames: list[tuple[str, int]] = field(default_factory=list)
    constants: dict[int, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def plan_of(
    graph: Snapshot,
    *,
    collapse: str | int = "auto",
    constants: str = "auto",
    named: Container[int] = (),
    around: int | None = None,
    depth: int = 2,
    max_nodes: int | None = 3000,
) -> Plan:
    """Decide what is drawn.

    Args:
        graph: the graph.
        collapse: "none"; "modules", all of them; how many levels of modules stay open; or "auto".
        constants: "show", "fold" (all without a name), or "auto" (those of one number).
        named: the vertices that have a name of the user's.
        around: a vertex, to draw only what is at most `depth` steps before or after it.
        depth: see `around`.
        max_nodes: most boxes that a picture may have.

    Raises:
        InputError: if there would be more boxes than that.
    """
    visible = list(range(len(graph.vertices)))
    if around is not None:
        visible = _near(graph, around, depth)
    outputs = set(graph.outputs)
    leaves = [i for i in visible if i not in outputs and i not in named]
    folded = _folded(graph, leaves, constants)
    visible = [i for i in visible if i not in folded]
    plan = _Planner(graph, visible).plan(collapse, max_nodes)
    for vertex in (graph.vertices[i] for i in visible):
        for use in vertex.inputs:
            if use.source in folded:
                plan.constants.setdefault(vertex.index, []).append(use.source)
    if around is not None and len(visible) + len(folded) < len(graph.vertices):
        plan.notes.append(
            f"Only what is at most {depth} step{'s' * (depth != 1)} away; the graph has "
            f"{len(graph.vertices):,} values."
        )
    return plan


def _near(graph: Snapshot, around: int, depth: int) -> list[int]:
    """The vertices that `depth` steps lead to, all against the arrows or all along them."""
    sources = [{use.source for use in vertex.inputs} for vertex in graph.vertices]
    users: list[set[int]] = [set() for _ in graph.vertices]
    for i, found in enumerate(sources):
        for source in found:
            users[source].add(i)
    near = {around}
    for links in (sources, users):
        front, steps = {around}, 0
        while front and steps < depth:
            front = {j for i in front for j in links[i]} - near
            near |= front
            steps += 1
    # The leaves of what is shown say what it is computed with.
    near |= {j for i in near for j in sources[i] if not sources[j]} if depth else set()
    return sorted(near)


def _folded(graph: Snapshot, nameless: Sequence[int], constants: str) -> set[int]:
    """The constants that are told in the words of their users."""
    if constants == "show":
        return set()
    return {
        v.index
        for v in (graph.vertices[i] for i in nameless)
        if v.op is None and not v.requires_grad
        if constants == "fold" or is_literal(v)
    }


class _Planner:
    """A graph, its visible part, and what of it is drawn as one."""

    def __init__(self, graph: Snapshot, visible: list[int]) -> None:
        self.graph, self.visible = graph, visible
        self.modules: Modules = modules_of(graph, visible)
        self.size = Counter(module for i in visible for module in self.modules.path(i))
        inside = set(visible)
        self.sources = {
            i: [use.source for use in graph.vertices[i].inputs if use.source in inside]
            for i in visible
        }

    def plan(self, collapse: str | int, max_nodes: int | None) -> Plan:
        notes: list[str] = []
        if collapse == "auto":
            units, notes = self._automatic()
        elif collapse == "none":
            units = self._units(set())
        else:
            levels = 0 if collapse == "modules" else int(collapse)
            units = self._rolled(self._closed(levels))
        if max_nodes is not None and len(units) > max_nodes:
            raise InputError(self._too_many(len(units), max_nodes))
        return self._framed(units, notes)

    def _automatic(self) -> tuple[list[Unit], list[str]]:
        """Close no more than needed: repeats first, then all modules, then cut long chains."""
        units = self._units(set())
        if len(units) <= ROLLED:
            return units, []
        units, notes = self._rolled(set(), keep_first=True), []
        if len(units) < len(self.visible):
            notes.append("Modules alike are drawn once; collapse='none' draws all of them.")
        deepest = max((self._level(m) for m in range(len(self.modules.all))), default=-1)
        for level in range(deepest, -1, -1):
            if len(units) <= COMPACT:
                break
            units = self._rolled(self._closed(level))
            notes = ["Modules are drawn closed; collapse=1 opens the outermost."]
        if len(units) > COMPACT:
            shorter = self._without_chains(units)
            if len(shorter) < len(units):
                units = shorter
                notes.append("Long chains are cut; collapse='none' draws all of them.")
        return units, notes

    def _closed(self, levels: int) -> set[int]:
        """All modules but those of the outermost levels."""
        return {m for m in range(len(self.modules.all)) if self._level(m) >= levels}

    def _level(self, module: int) -> int:
        level = 0
        while (module := self.modules.all[module].parent) >= 0:
            level += 1
        return level

    def _outermost(self, vertex: int, closed: set[int]) -> int | None:
        return next((m for m in self.modules.path(vertex) if m in closed), None)

    def _units(self, closed: set[int]) -> list[Unit]:
        """One unit for each closed module, one for each value outside of them."""
        units: list[Unit] = []
        of_module: dict[int, Unit] = {}
        for i in self.visible:
            module = self._outermost(i, closed)
            if module is None:
                units.append(Unit([i]))
            elif module in of_module:
                of_module[module].members.append(i)
            else:
                of_module[module] = Unit([i], self.modules.all[module].title)
                units.append(of_module[module])
        return self._in_order(units)

    def _rolled(self, closed: set[int], keep_first: bool = False) -> list[Unit]:
        """Draw modules alike, side by side or one after the other, as one.

        Args:
            closed: modules that are drawn as one box.
            keep_first: leave the first of those alike open, and close the others.
        """
        alike: dict[Hashable, list[int]] = {}
        for module, signature in self._signatures.items():
            alike.setdefault((self.modules.all[module].parent, signature), []).append(module)
        kin: dict[int, str] = {}
        for number, group in enumerate(alike.values()):
            if not keep_first:
                kin |= dict.fromkeys(group, str(number))
            elif len(group) >= REPEATED:
                kin |= dict.fromkeys(group[1:], str(number))
        closed = closed | set(kin) if keep_first else closed
        units = self._units(closed)
        label: dict[int, str | None] = {}
        for k, unit in enumerate(units):
            one = self._outermost(unit.members[0], closed)
            label[k] = None if one is None else kin.get(one)
        return self._merged(units, label, lambda group: (_joined(group), len(group)))

    @cached_property
    def _signatures(self) -> dict[int, Hashable]:
        """What makes two modules alike: their ops, shapes and inner arrows, whatever the names."""
        members: dict[int, list[int]] = {}
        for i in self.visible:
            for module in self.modules.path(i):
                members.setdefault(module, []).append(i)
        signatures: dict[int, Hashable] = {}
        for module, inside in members.items():
            place = {i: n for n, i in enumerate(inside)}
            signatures[module] = tuple(
                (v.op, v.shape, v.dtype, tuple(place.get(s, -1) for s in self.sources[v.index]))
                for v in (self.graph.vertices[i] for i in inside)
            )
        return signatures

    def _without_chains(self, units: list[Unit]) -> list[Unit]:
        """Draw the inside of long chains of ops as one box, with the leaves that only they use."""
        sources = self._sources_of(units)
        users: list[set[int]] = [set() for _ in units]
        for k, found in sources.items():
            for source in found:
                users[source].add(k)
        ops = {k for k, unit in enumerate(units) if sources[k] or len(unit.members) > 1}
        chains: dict[int, list[int]] = {}
        head: dict[int, int] = {}
        for k in sorted(ops):
            before = sources[k] & ops
            follows = len(before) == 1 and users[min(before)] & ops == {k}
            head[k] = head[min(before)] if follows else k
            chains.setdefault(head[k], []).append(k)
        outputs = set(self.graph.outputs)
        label: dict[int, str | None] = dict.fromkeys(range(len(units)))
        for chain in chains.values():
            if len(chain) >= CHAIN:
                inner = [k for k in chain[ENDS:-ENDS] if not outputs & set(units[k].members)]
                label |= dict.fromkeys(inner, str(chain[0]))
        for k in label.keys() - ops:
            goals = {label[user] for user in users[k]}
            label[k] = goals.pop() if len(goals) == 1 else None

        def titled(group: list[Unit]) -> tuple[str, int]:
            count = sum(1 for unit in group if unit.title or self.sources[unit.members[0]])
            return f"… {count:,} more ops …", 1

        return self._merged(units, label, titled)

    def _merged(
        self,
        units: list[Unit],
        label: Mapping[int, str | None],
        titled: Callable[[list[Unit]], tuple[str, int]],
    ) -> list[Unit]:
        """Make one unit of those with the same label; `titled` gives its title and number."""
        sources = self._sources_of(units)
        merged: list[Unit] = []
        for _, group in grouped(range(len(units)), label, sources):
            parts = [units[k] for k in group]
            if len(group) == 1:
                merged += parts
                continue
            title, times = titled(parts)
            members = sorted(i for unit in parts for i in unit.members)
            in_a_row = any(not sources[k].isdisjoint(group) for k in group)
            merged.append(Unit(members, title, times, in_a_row, is_chain=times == 1))
        return self._in_order(merged)

    def _sources_of(self, units: list[Unit]) -> dict[int, set[int]]:
        owner = {i: k for k, unit in enumerate(units) for i in unit.members}
        return {
            k: {owner[s] for i in unit.members for s in self.sources[i]} - {k}
            for k, unit in enumerate(units)
        }

    def _in_order(self, units: list[Unit]) -> list[Unit]:
        """Sort units topologically; of several that could be next, that of the first vertex."""
        units = sorted(units, key=lambda unit: unit.members[0])
        return [units[k] for k in in_order(range(len(units)), self._sources_of(units))]

    def _framed(self, units: list[Unit], notes: list[str]) -> Plan:
        """Put frames around the modules that are drawn open."""
        paths = []
        for unit in units:
            path = self.modules.path(unit.members[0])
            for i in unit.members[1:]:
                other = self.modules.path(i)
                shared = sum(1 for a, b in zip(path, other, strict=False) if a == b)
                path = path[:shared]
            closed = len(unit.members) > 1 and path and self._is_whole(path[-1], unit)
            paths.append(path[:-1] if closed else path)
        used = Counter(module for path in paths for module in path)
        kept = sorted(module for module, count in used.items() if count > 1)
        new = {module: n for n, module in enumerate(kept)}
        for unit, path in zip(units, paths, strict=True):
            unit.frame = next((new[m] for m in reversed(path) if m in new), -1)
        frames = []
        for module in kept:
            parent = self.modules.all[module].parent
            while parent >= 0 and parent not in new:
                parent = self.modules.all[parent].parent
            frames.append((self.modules.all[module].title, new.get(parent, -1)))
        return Plan(units, frames, notes=notes)

    def _is_whole(self, module: int, unit: Unit) -> bool:
        """Whether a unit stands for all of a module."""
        return self.size[module] == len(unit.members)

    def _too_many(self, count: int, most: int) -> str:
        ways = []
        if self.modules.all:
            fewer = len(self._rolled(self._closed(0)))
            if fewer < count:
                ways.append(f"collapse='modules' ({fewer:,} boxes)")
        ways += ["around=t, depth=3 for what is near a Tensor t", "max_nodes=None for no limit"]
        if not self.modules.all:
            ways.insert(0, "tg.scope(name) around the parts of the model, to collapse them")
        return (
            f"draw: expected a graph of at most {most:,} boxes, got {count:,}; use "
            + ", ".join(ways[:-1])
            + f", or {ways[-1]}"
        )


def _joined(modules: Iterable[Unit]) -> str:
    """One title for modules alike: "layer0 … layer11"."""
    first, *rest = (module.title for module in modules)
    plain = {title.partition(" (")[0] for title in (first, *rest)}
    if len(plain) == 1:
        return plain.pop() if rest else first
    return f"{first} … {rest[-1]}"
